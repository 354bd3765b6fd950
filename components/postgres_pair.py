"""This site's half of the PostgreSQL pair: the link that makes db-1 primary or standby by the epoch.

It creates nothing; host and data volume belong to the region, and the other half to the other stack. Whether there is anything to
promote, rewind or copy is decided on the host, from what is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.chain import Chain
from components.host import Host
from components.render import documents
from contract.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class PostgresPairArgs:
    chain: Chain
    host: Host
    after: Sequence[pulumi.Resource]


class PostgresPair(pulumi.ComponentResource):
    """`done` once the database has its role."""

    done: pulumi.Resource

    def __init__(self, name: str, args: PostgresPairArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:PostgresPair", name, {}, opts)
        settings = args.chain.settings
        block = pulumi.Output.from_input(args.host.volume_id).apply(lambda volume: documents.postgres(settings, volume))
        self.done = args.chain.link(
            f"{name}-converge", host=args.host, service="postgres", block=block, parent=self, after=args.after
        )
        self.register_outputs({})
