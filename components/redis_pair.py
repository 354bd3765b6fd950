"""This site's half of the Redis pair: the link that makes cache-1 master or replica by the epoch. It creates nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.chain import Chain
from components.host import Host
from components.render import documents


@dataclass(frozen=True, kw_only=True)
class RedisPairArgs:
    chain: Chain
    host: Host
    after: Sequence[pulumi.Resource]


class RedisPair(pulumi.ComponentResource):
    """`done` once the cache has its role."""

    done: pulumi.Resource

    def __init__(self, name: str, args: RedisPairArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:RedisPair", name, {}, opts)
        chain = args.chain
        block = chain.epoch.apply(lambda stdout: documents.redis(chain.settings, documents.epoch_of(stdout)))
        self.done = chain.link(f"{name}-converge", host=args.host, service="redis", block=block, parent=self, after=args.after)
        self.register_outputs({})
