"""This site's half of the Redis pair: the links that make its cache hosts master and replicas by the epoch. It creates nothing.

The shop sells without a cache, so nothing of the chain waits for one, and none may end a run before the shop sells: the engine begins nothing
more once a link has failed. The head's turn beside the database is therefore no failure, whatever becomes of it; behind the proof it is asked once
more, which changes nothing where all is well and is a failure where it is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.chain import Chain
from components.host import Host
from components.render import documents
from contract.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class RedisPairArgs:
    chain: Chain
    hosts: Sequence[Host]  # cache-1 first: it leads after a move, the others follow it
    after: Sequence[pulumi.Resource]


class RedisPair(pulumi.ComponentResource):
    """`turned` once cache-1 was asked to take its role; `settle` declares the rest."""

    turned: pulumi.Resource

    def __init__(self, name: str, args: RedisPairArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:RedisPair", name, {}, opts)
        self._prefix, self._args = name, args
        self.turned = args.chain.turn(
            f"{name}-turn",
            hosts=args.hosts[:1],
            service="redis",
            block=self._block(args.hosts[0]),
            parent=self,
            after=args.after,
        )
        self.register_outputs({})

    def settle(self, after: Sequence[pulumi.Resource]) -> None:
        """Each cache host in its role, or a failure that names it, once everything in `after` is done."""
        head, *others = self._args.hosts
        first = self._link(f"{self._prefix}-converge", head, [self.turned, *after])
        for host in others:
            self._link(f"{self._prefix}-{host.address.name}-converge", host, [first])

    def _block(self, host: Host) -> pulumi.Output[documents.Document]:
        chain = self._args.chain
        return chain.epoch.apply(
            lambda stdout: documents.redis(chain.settings, host.address, documents.epoch_of(stdout))
        )

    def _link(self, name: str, host: Host, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        link: pulumi.Resource = self._args.chain.link(
            name, host=host, service="redis", block=self._block(host), parent=self, after=after
        )
        return link
