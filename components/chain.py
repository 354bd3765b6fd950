"""The role chain's common part: what every link after the fence is told, and how it is run.

A component of the chain asks for `Chain.link`; which host, which service and which block are all it has to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
from pulumi_command import remote

from components.bundle import Bundle
from components.host import Host
from components.remote import host_link, local_link, verified
from components.render import documents, links
from components.settings import Settings
from contract.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Facts that all links share. `epoch` is the fence link's answer: whoever takes it runs after the fence. `bastion`: public, of the own site."""

    settings: Settings
    tool: Bundle
    epoch: pulumi.Output[str]
    bastion: pulumi.Output[str]

    def link(
        self,
        name: str,
        *,
        host: Host,
        service: str,
        block: pulumi.Input[documents.Document],
        parent: pulumi.Resource,
        after: Sequence[pulumi.Resource],
    ) -> remote.Command:
        """`dr-host <service> converge` on the host, told the epoch and this block, once everything in `after` is done."""
        stdin = pulumi.Output.all(instance=host.instance_id, epoch=self.epoch, block=block).apply(
            lambda facts: self._document(host, service, facts)
        )
        return host_link(
            name,
            service=service,
            connection=host.connection,
            document=stdin,
            parent=parent,
            after=[host.ready, *after],
            tool=self.tool,
        )

    def turn(
        self,
        name: str,
        *,
        hosts: Sequence[Host],
        service: str,
        block: pulumi.Input[documents.Document],
        parent: pulumi.Resource,
        after: Sequence[pulumi.Resource],
    ) -> pulumi.Resource:
        """The same on several hosts side by side, and no failure, whatever becomes of it (`scripts/links/turn.py`): a link for each has to follow."""

        def document(facts: dict[str, Any]) -> str:
            told = {
                host.address.key: self._document(host, service, {**facts, "instance": facts["instances"][number]})
                for number, host in enumerate(hosts)
            }
            program = verified(self.tool, f"{service} converge")
            return documents.dump(links.turn(self.settings, facts["bastion"], service, program, told))

        facts = pulumi.Output.all(
            instances=[host.instance_id for host in hosts], epoch=self.epoch, block=block, bastion=self.bastion
        )
        link: pulumi.Resource = local_link(
            name,
            link="turn",
            document=facts.apply(document),
            parent=parent,
            after=[*(host.ready for host in hosts), *after],
            shown=True,
        )
        return link

    def _document(self, host: Host, service: str, facts: dict[str, Any]) -> str:
        envelope = documents.envelope(
            self.settings,
            host.address,
            instance=facts["instance"],
            tool=self.tool.digest,
            epoch=documents.epoch_of(facts["epoch"]),
        )
        return documents.dump({**envelope, service: facts["block"]})
