"""The copying of assets between the sites' buckets: the link that turns its direction by the epoch.

The host says in its answer whether copying is implemented; this side needs no change when it is. It creates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.asset_buckets import AssetBuckets
from components.chain import Chain
from components.host import Host
from components.render import documents


@dataclass(frozen=True, kw_only=True)
class AssetSyncArgs:
    chain: Chain
    host: Host
    buckets: AssetBuckets
    after: Sequence[pulumi.Resource]


class AssetSync(pulumi.ComponentResource):
    """`done` once the bucket has its role."""

    done: pulumi.Resource

    def __init__(self, name: str, args: AssetSyncArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:AssetSync", name, {}, opts)
        settings = args.chain.settings
        block = args.buckets.keys.apply(lambda keys: {"bucket": documents.assets(settings, keys)})
        self.done = args.chain.link(f"{name}-converge", host=args.host, service="assets", block=block, parent=self, after=args.after)
        self.register_outputs({})
