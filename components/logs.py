"""The journal of every host, copied to the other region's control host: what a region said last can be read when it is lost. And sent to a store of
the team's own, where there is one.

It is no part of the role chain, as monitoring is none: hosts are told the same whichever region is active, nothing waits for it, and it comes after the
proof.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.bundle import Bundle
from components.host import Host
from components.region_stack import RegionStack
from components.remote import host_link
from components.render import documents
from components.settings import Settings
from contract.dataclass import dataclass
from contract.services.logs import Keys


@dataclass(frozen=True, kw_only=True)
class LogsArgs:
    settings: Settings
    tool: Bundle
    region: RegionStack
    after: Sequence[pulumi.Resource]


class Logs(pulumi.ComponentResource):
    """Nothing where `dr:logs` is absent."""

    def __init__(self, name: str, args: LogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:Logs", name, {}, opts)
        if args.settings.logs is not None:
            for host in args.region.hosts.values():
                self._told(name, args, args.settings.logs, host)
        self.register_outputs({})

    def _told(self, name: str, args: LogsArgs, keys: Keys, host: Host) -> None:
        settings, tool = args.settings, args.tool

        def document(instance: str) -> str:
            envelope = documents.envelope(settings, host.address, instance=instance, tool=tool.digest)
            return documents.dump({**envelope, "logs": documents.logs(settings, keys, host.address.role)})

        host_link(
            f"{name}-{host.address.name}",
            service="logs",
            connection=host.connection,
            document=host.instance_id.apply(document),
            parent=self,
            after=[host.ready, *args.after],
            tool=tool,
        )
