"""WAL and backups of this site's database in a bucket of each region: the configuration before any role, the timers after it.

It makes no bucket and waits for no backup. The second half comes after the proof: nothing that a client waits for waits for it, and the
first half has told the server already where its WAL goes.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.asset_buckets import AssetBuckets
from components.bundle import Bundle
from components.chain import Chain
from components.host import Host
from components.remote import host_script, verified
from components.render import documents
from components.settings import Settings
from contract.dataclass import dataclass
from contract.limits import KILL_AFTER_S, PREPARE_S
from contract.services.archive import Keys


@dataclass(frozen=True, kw_only=True)
class ArchivePlaceArgs:
    settings: Settings
    tool: Bundle
    host: Host
    buckets: AssetBuckets


class ArchivePlace(pulumi.ComponentResource):
    """`block` for the link of the chain, None where nothing is archived. `ready` once the host knows where its WAL goes."""

    block: pulumi.Output[documents.Document] | None
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: ArchivePlaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:ArchivePlace", name, {}, opts)
        self.block, self.ready = None, []
        if args.settings.archive is not None:
            self.block = self._block(args, args.settings.archive)
            self.ready = [self._prepared(name, args, self.block)]
        self.register_outputs({})

    def _block(self, args: ArchivePlaceArgs, archive: Keys) -> pulumi.Output[documents.Document]:
        return args.buckets.archive_keys.apply(lambda keys: documents.archive(args.settings, archive, keys))

    def _prepared(self, name: str, args: ArchivePlaceArgs, block: pulumi.Output[documents.Document]) -> pulumi.Resource:
        host = args.host
        document = pulumi.Output.all(instance=host.instance_id, block=block).apply(
            lambda it: documents.dump(
                {
                    **documents.envelope(args.settings, host.address, instance=it["instance"], tool=args.tool.digest),
                    "archive": it["block"],
                }
            )
        )
        prepared: pulumi.Resource = host_script(
            f"{name}-prepare",
            script=f"timeout -k {KILL_AFTER_S} {PREPARE_S} {verified(args.tool, 'archive prepare')}",
            connection=host.connection,
            stdin=document,
            parent=self,
            after=[host.ready, *args.buckets.ready],
        )
        return prepared


@dataclass(frozen=True, kw_only=True)
class ArchiveLinkArgs:
    chain: Chain
    host: Host
    place: ArchivePlace
    after: Sequence[pulumi.Resource]


class ArchiveLink(pulumi.ComponentResource):
    """Timers by role. Nothing waits for it."""

    def __init__(self, name: str, args: ArchiveLinkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:ArchiveLink", name, {}, opts)
        if args.place.block is not None:
            args.chain.link(
                f"{name}-converge",
                host=args.host,
                service="archive",
                block=args.place.block,
                parent=self,
                after=args.after,
            )
        self.register_outputs({})
