"""The app hosts of one site: the link that serves the shop from here, or forwards to the active site, by the epoch.

Puma runs on both sides either way; what changes is where nginx sends requests and whether workers run. It uploads nothing (that is
`Release`, done before any role is known).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.asset_buckets import AssetBuckets
from components.chain import Chain
from components.host import Host
from components.release import Release
from components.render import documents


@dataclass(frozen=True, kw_only=True)
class AppTierArgs:
    chain: Chain
    hosts: Sequence[Host]
    release: Release
    buckets: AssetBuckets
    after: Sequence[pulumi.Resource]


class AppTier(pulumi.ComponentResource):
    """`done` once every app host has its role."""

    done: list[pulumi.Resource]

    def __init__(self, name: str, args: AppTierArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:AppTier", name, {}, opts)
        settings, release = args.chain.settings, args.release.path
        block = args.buckets.keys.apply(lambda keys: documents.app(settings, release, keys))
        self.done = []
        for host in args.hosts:
            # The first host migrates the schema; the others start after it and side by side.
            after = [*args.after, *args.release.ready, *self.done[:1]]
            self.done.append(
                args.chain.link(
                    f"{name}-{host.address.name}-converge",
                    host=host,
                    service="app",
                    block=block,
                    parent=self,
                    after=after,
                )
            )
        self.register_outputs({})
