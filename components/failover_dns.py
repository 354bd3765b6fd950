"""The names of a site: one record of its own that never moves, and the link that points the public name at the active site.

The public record is no resource. A resource adds a record instead of taking over the one that is there, reports success when the zone's
refresh failed, and would be put back to an old address by the stack that had it first. The link upserts it, refreshes the zone and asks
every authoritative server until it serves the new address.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_ovh import domain

from components.chain import Chain
from components.remote import local_link
from components.render import documents, links
from contract import names
from contract.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class FailoverDNSArgs:
    chain: Chain
    address: pulumi.Input[str]  # public, of the own load balancer
    after: Sequence[pulumi.Resource]  # the last proof before the name may move


class FailoverDNS(pulumi.ComponentResource):
    """`done` once the public name is served with the right address."""

    record: pulumi.Output[str]  # the site's own name
    own: pulumi.Resource  # the record of that name
    done: pulumi.Resource

    def __init__(self, name: str, args: FailoverDNSArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:FailoverDNS", name, {}, opts)
        settings = args.chain.settings
        subdomain = names.record_name(settings.site, settings.dns.subdomain)
        self.own = domain.ZoneRecord(
            f"{name}-site",
            zone=settings.dns.zone,
            subdomain=subdomain,
            fieldtype="A",
            target=args.address,
            ttl=settings.dns.ttl,
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protects),
        )
        document = pulumi.Output.all(epoch=args.chain.epoch, address=args.address).apply(
            lambda facts: documents.dump(links.pointer(settings, documents.epoch_of(facts["epoch"]), facts["address"]))
        )
        self.done = local_link(f"{name}-pointer", link="pointer", document=document, parent=self, after=args.after)
        self.record = pulumi.Output.from_input(f"{subdomain}.{settings.dns.zone}")
        self.register_outputs({"record": self.record})
