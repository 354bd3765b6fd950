"""This site's half of the Redis pair: the links that make its cache hosts master and replicas by the epoch. It creates nothing."""

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
    hosts: Sequence[Host]  # cache-1 first: it leads after a move, the others follow it
    after: Sequence[pulumi.Resource]


class RedisPair(pulumi.ComponentResource):
    """`done` once cache-1 has its role: the shop waits for no other."""

    done: pulumi.Resource

    def __init__(self, name: str, args: RedisPairArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:RedisPair", name, {}, opts)
        chain = args.chain
        block = chain.epoch.apply(lambda stdout: documents.redis(chain.settings, documents.epoch_of(stdout)))
        first, *others = args.hosts
        self.done = chain.link(
            f"{name}-converge", host=first, service="redis", block=block, parent=self, after=args.after
        )
        for host in others:
            chain.link(
                f"{name}-{host.address.name}-converge",
                host=host,
                service="redis",
                block=block,
                parent=self,
                after=[self.done],
            )
        self.register_outputs({})
