"""The proof that a role works: through the public entrance the shop is well, and with `proof: orders` takes a real order; on a standby a forwarded answer of
the active site.

Runs on the operator's machine, after every host has its role and before the public name moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.chain import Chain
from components.remote import local_link
from components.render import documents, links
from contract.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class VerifyArgs:
    chain: Chain
    address: pulumi.Input[str]  # public, of the own load balancer
    after: Sequence[pulumi.Resource]


class Verify(pulumi.ComponentResource):
    """`done` once the shop has answered as the epoch says."""

    done: pulumi.Resource

    def __init__(self, name: str, args: VerifyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:Verify", name, {}, opts)
        settings = args.chain.settings
        document = pulumi.Output.all(epoch=args.chain.epoch, address=args.address).apply(
            lambda facts: documents.dump(links.verify(settings, documents.epoch_of(facts["epoch"]), facts["address"]))
        )
        self.done = local_link(f"{name}-order", link="verify", document=document, parent=self, after=args.after)
        self.register_outputs({})
