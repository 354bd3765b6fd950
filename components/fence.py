"""The first link of the role chain: who is active, proved before anything is promoted.

Runs on the operator's machine. Its answer is the epoch in force, and every later link takes that answer as an input: no epoch, no
promotion. The proof itself (the ladder of fences, the conditional claim) is in `scripts/links`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components.remote import local_link
from components.render import documents, links
from components.settings import Settings
from contract.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class FenceArgs:
    settings: Settings
    address: pulumi.Input[str]  # public, of the own load balancer
    bastion: pulumi.Input[str]  # public, of the own control host
    instances: Mapping[str, pulumi.Input[str]]  # ids of the own servers that a fence stops, by their names
    after: Sequence[pulumi.Resource]  # everything that does not depend on the role


class Fence(pulumi.ComponentResource):
    """`epoch` is the link's answer, a JSON text (`docs/interfaces.md`, section 3)."""

    epoch: pulumi.Output[str]
    done: pulumi.Resource

    def __init__(self, name: str, args: FenceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:Fence", name, {}, opts)
        settings = args.settings
        facts = pulumi.Output.all(lb=args.address, bastion=args.bastion, instances=dict(args.instances))
        document = facts.apply(lambda found: documents.dump(links.fence(settings, found, found["instances"])))
        link = local_link(f"{name}-claim", link="fence", document=document, parent=self, after=args.after)
        self.done = link
        self.epoch = link.stdout
        self.register_outputs({"epoch": self.epoch})
