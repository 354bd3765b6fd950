"""`drctl destroy SITE`: all that comes before `pulumi destroy` of a site. It deletes nothing of the site itself.

Looks first, each of which can refuse: the witness says that the shop lives elsewhere, no resource is protected any more, no run is at work at the stack,
whose lease is held meanwhile. Then the name is led away from the site, at the witness (whose addresses the other site publishes) and in the zone. Then it
says what stays, what is not ours, and what to type.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from components.render import documents, links
from components.settings import Settings
from contract import fields
from contract.accept import spelled
from contract.errors import DrError, ExitCode, Refused, Usage
from contract.links.keeper import Document
from contract.plain import phrase
from scripts.clients.openstack import Cloud
from scripts.clients.ovh import OvhApi
from scripts.clients.ovh_zone import OvhZone
from scripts.clients.run_lease import RunLease
from scripts.clients.trail import Note
from scripts.clients.witness import Witness
from scripts.ctl.output import say
from scripts.ctl.stacks.stack import Resource, Stack
from scripts.leftovers import network
from scripts.links import keeper, pointer

PUBLIC, NETWORK, PORT = "region-balancer-ip", "openstack:networking/network:Network", "openstack:networking/port:Port"
BALANCER = "openstack:loadbalancer/loadBalancer:LoadBalancer"
SHOWN = 12  # names in a sentence


def run(chosen: argparse.Namespace) -> ExitCode:
    """Says what was done and what to type. Raises DrError; nothing was changed then, or the message says what."""
    stack = Stack.chosen(chosen)
    return make_ready(stack, chosen.site, looks=chosen.dry_run)


def make_ready(stack: Stack, site: str, *, looks: bool = False) -> ExitCode:
    """The same for a stack that is at hand. `looks`: all that is asked before, and nothing is done."""
    settings = stack.settings()
    if settings.site != site:
        raise Usage(
            f"stack {stack.name}: is of site {settings.site}, wanted {site}; nothing was changed; name that site's stack"
        )
    resources = list(stack.resources())
    address = next((str(it.outputs.get("address")) for it in resources if it.name == PUBLIC), "")
    if not address:
        print(f"region {site}: has no public address, so nothing leads there; run `{stack.command('destroy')}`")
        return ExitCode.DONE
    told: Document = fields.read(Document, links.keeper(settings, address), "the keeper's document")
    for sentence in keeper.may_go(told):
        print(sentence)
    _unprotected(settings, stack, resources)
    strangers = _strangers(settings, resources)
    if looks:
        for sentence in (*strangers, *_stays(resources)):
            print(sentence)
        print(f"{settings.dns.subdomain}.{settings.dns.zone}: would no longer lead to {address}; nothing was changed")
        return ExitCode.DONE
    with RunLease(told.witness, site, "destroy", os.environ, tell=say):
        _lead_away(settings, told)
    why = settings.destroy.reason if settings.destroy else ""
    note = Note(told.witness, "destroy", site, why=why, facts={"step": "the name was taken away"})
    if lost := note.lost(keeper.NOTED_S):
        print(lost)
    for sentence in (*strangers, *_stays(resources)):
        print(sentence)
    print(
        f"customers may have the old address for {settings.dns.ttl} s more; then run `{stack.command('destroy')}`, whose keeper asks all of this again; "
        f"to keep the site after all, raise dr:repair there and run `{stack.command('up')}`"
    )
    return ExitCode.DONE


def _unprotected(settings: Settings, stack: Stack, resources: Sequence[Resource]) -> None:
    """Raises Refused where a destroy would stop half-way, or at once."""
    protected = [it.name for it in resources if it.protected]
    if not protected:
        return
    newest = Witness(documents.witness(settings)).newest()
    word = f"{{site: {settings.site}, epoch: {newest.epoch if newest else 1}, at: {spelled()}, reason: ...}}"
    raise Refused(
        f"stack {stack.name}: found {len(protected)} protected ({_some(protected)}), wanted none; nothing was changed; set dr:destroy of that stack to "
        f"{word} (good for an hour), run `{stack.command('up')}`, and the same again; where the region is lost for good and no run of it can end, "
        f"`{stack.command('state', 'unprotect', '--all')}` instead"
    )


def _lead_away(settings: Settings, told: Document) -> None:
    """Raises DrError, Partial when name servers do not follow."""
    name = f"{settings.dns.subdomain}.{settings.dns.zone}"
    zone = OvhZone(OvhApi(links.ovh(settings), all_s=pointer.API_S), settings.dns.zone, settings.dns.subdomain)
    zone.records()  # one that does not answer ends it before anything is changed
    Witness(documents.witness(settings)).forget_addresses(settings.site)
    taken = pointer.withdraw(zone, settings.dns.servers, name, told.address)
    print(f"{name}: {'no longer leads' if taken else 'does not lead'} to {told.address}")


def _strangers(settings: Settings, resources: Sequence[Resource]) -> list[str]:
    """What somebody else has put into the site's networks holds them, and the destroy ends there. An API that is silent is told: it would end it as well."""
    ours = {it.identity for it in resources if it.kind == PORT}
    ours |= {str(it.outputs.get("vipPortId")) for it in resources if it.kind == BALANCER}
    cloud = Cloud(links.openstack(settings), settings.region.compute_region)
    try:
        cloud.connect()
        found = [
            phrase(f"port {port['id']} ({port['name'] or port['device_owner'] or 'nameless'})")
            for it in resources
            if it.kind == NETWORK
            for port in network.listed(cloud, "ports", network_id=it.identity)
            if port["id"] not in ours and not _platforms(str(port["device_owner"]), str(port["name"]))
        ]
    except (DrError, KeyError, TypeError) as error:
        return [f"OpenStack does not say whether somebody else uses this site's networks ({error})"]
    return (
        [f"not of this stack, and in its networks, which cannot be removed before: {_some(sorted(found))}"]
        if found
        else []
    )


def _platforms(owner: str, name: str) -> bool:
    """Ports that go by themselves: of routers, DHCP, the balancer's machines."""
    return owner.startswith(("network:", "Octavia")) or name.startswith("octavia-")


def _stays(resources: Sequence[Resource]) -> list[str]:
    kept = [f"{it.name} ({it.identity})" for it in resources if it.retained]
    return [f"outlives the stack, and is paid for until it is removed by hand: {_some(kept)}"] if kept else []


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
