"""The app hosts of one site: the links that serve the shop from here, or forward to the active site, by the epoch.

Puma runs on both sides either way; what changes is where nginx sends requests and whether workers run. It uploads nothing (that is `Release`, done
before any role is known).

A host that is dead must not keep the others from selling, and a link that fails ends a run: whatever has not begun by then does not. So all hosts
are told their role side by side first, and that is no failure, whatever becomes of it; behind the proof each is asked for all that it shall be, one
after the other where a release is new, and there a failure is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.asset_buckets import AssetBuckets
from components.chain import Chain
from components.host import Host
from components.release import Release
from components.remote import local_link
from components.render import documents, links
from contract.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class AppTierArgs:
    chain: Chain
    hosts: Sequence[Host]  # app-1 first: it migrates
    release: Release
    buckets: AssetBuckets
    after: Sequence[pulumi.Resource]


class AppTier(pulumi.ComponentResource):
    """Every app host is asked to take its role; `settle` declares the rest, `forward` what the other region's are told."""

    def __init__(self, name: str, args: AppTierArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:AppTier", name, {}, opts)
        self._prefix, self._args = name, args
        self._turned = args.chain.turn(
            f"{name}-turn",
            hosts=args.hosts,
            service="app",
            block=self._block(turn=True),
            parent=self,
            after=[*args.after, *args.release.ready],
        )
        self.register_outputs({})

    def settle(self, after: Sequence[pulumi.Resource]) -> None:
        """Each host with its release, its role and its workers, or a failure that names it, once everything in `after` is done.

        The first one migrates the schema; the others start after it and side by side.
        """
        head, *others = self._args.hosts
        first = self._link(head, [*after, self._turned])
        for host in others:
            self._link(host, [first])

    def forward(self, after: Sequence[pulumi.Resource]) -> None:
        """Those of the region that was left send their customers here, once everything in `after` is done; no failure, whatever becomes of it."""
        chain = self._args.chain
        facts = pulumi.Output.all(epoch=chain.epoch, bastion=chain.bastion)
        document = facts.apply(
            lambda told: documents.dump(
                links.forward(chain.settings, documents.epoch_of(told["epoch"]), told["bastion"])
            )
        )
        local_link(f"{self._prefix}-forward", link="forward", document=document, parent=self, after=after, shown=True)

    def _block(self, *, turn: bool) -> pulumi.Output[documents.Document]:
        settings, path = self._args.chain.settings, self._args.release.path
        return self._args.buckets.keys.apply(lambda keys: documents.app(settings, path, keys, turn=turn))

    def _link(self, host: Host, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        link: pulumi.Resource = self._args.chain.link(
            f"{self._prefix}-{host.address.name}-converge",
            host=host,
            service="app",
            block=self._block(turn=False),
            parent=self,
            after=[*after, *self._args.release.ready],
        )
        return link
