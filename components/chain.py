"""The role chain's common part: what every link after the fence is told, and how it is run.

A component of the chain asks for `Chain.link`; which host, which service and which block are all it has to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_command import remote

from components.bundle import Bundle
from components.host import Host
from components.remote import host_link
from components.render import documents
from components.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Facts that all links share. `epoch` is the fence link's answer: whoever takes it runs after the fence."""

    settings: Settings
    tool: Bundle
    epoch: pulumi.Output[str]

    def link(
        self,
        name: str,
        *,
        host: Host,
        service: str,
        block: pulumi.Input[documents.Document],
        parent: pulumi.Resource,
        after: Sequence[pulumi.Resource],
        may_fail: bool = False,
    ) -> remote.Command:
        """`dr-host <service> converge` on the host, told the epoch and this block, once everything in `after` is done.

        `may_fail`: see `host_link`.
        """

        def document(facts: dict[str, Any]) -> str:
            epoch = documents.epoch_of(facts["epoch"])
            envelope = documents.envelope(
                self.settings, host.address, instance=facts["instance"], tool=self.tool.digest, epoch=epoch
            )
            return documents.dump({**envelope, service: facts["block"]})

        stdin = pulumi.Output.all(instance=host.instance_id, epoch=self.epoch, block=block).apply(document)
        return host_link(
            name,
            service=service,
            connection=host.connection,
            document=stdin,
            parent=parent,
            after=[host.ready, *after],
            may_fail=may_fail,
        )
