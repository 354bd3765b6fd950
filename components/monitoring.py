"""Who watches: exporters on every host, Prometheus and Alertmanager on the control host, which look at both regions.

It makes no server and no dashboard, and it is no part of the role chain: what hosts are told is the same whichever region is active, nothing waits for
it, and it comes after the proof, so that what fails here has kept no order waiting.
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
from contract.services.monitoring import Keys


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    settings: Settings
    tool: Bundle
    region: RegionStack
    after: Sequence[pulumi.Resource]


class Monitoring(pulumi.ComponentResource):
    """Nothing where `dr:monitoring` is absent."""

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:Monitoring", name, {}, opts)
        if args.settings.monitoring is not None:
            for host in args.region.hosts.values():
                self._told(name, args, args.settings.monitoring, host)
        self.register_outputs({})

    def _told(self, name: str, args: MonitoringArgs, keys: Keys, host: Host) -> None:
        settings, tool = args.settings, args.tool

        def document(it: dict[str, str]) -> str:
            envelope = documents.envelope(settings, host.address, instance=it["instance"], tool=tool.digest)
            block = documents.monitoring(settings, keys, host.address.role, it["address"])
            return documents.dump({**envelope, "monitoring": block})

        host_link(
            f"{name}-{host.address.name}",
            service="monitoring",
            connection=host.connection,
            document=pulumi.Output.all(instance=host.instance_id, address=args.region.address).apply(document),
            parent=self,
            after=[host.ready, *args.after],
            tool=tool,
        )
