"""The last link: the shop's public name points at the active site (`single`) or at both (`dual`), and every name server says so.

Records are changed in place, never deleted first: a gap would be cached as "no such name". After a change the zone is refreshed, and also when
the servers do not say what the records do, because an earlier refresh may have failed without a word: what counts is what the servers answer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.rdatatype

from contract.errors import Failed, Partial
from contract.links.pointer import Document
from contract.sites import other
from scripts.clients.ovh import OvhApi
from scripts.clients.ovh_zone import OvhZone
from scripts.clients.witness import Witness
from scripts.clients.zone import Record, Zone

SERVED_S, QUERY_S, PAUSE_S = 60.0, 2.0, 0.2


def run(told: Document) -> dict[str, Any]:
    """Returns {"schema", "site", "name", "addresses"}; raises DrError."""
    settings, peer = told.dns, other(told.site)
    name = f"{settings.subdomain}.{settings.zone}" if settings.subdomain else settings.zone
    known: dict[str, str | None] = {told.site: told.address, peer: None}
    if settings.mode == "dual":
        known[peer] = Witness(told.witness).addresses(peer).get("lb")
    wanted = targets(settings.mode, told.site, told.epoch.active, known)
    answer = {"schema": 1, "site": told.site, "name": name, "addresses": sorted(wanted)}
    if not wanted:
        return answer
    zone: Zone = OvhZone(OvhApi(told.ovh), settings.zone, settings.subdomain)
    try:
        if _point(zone, wanted, settings.ttl) or not _served(settings.servers, name, wanted):
            zone.refresh()
    except Failed as error:
        if not _served(settings.servers, name, wanted):
            raise
        print(f"WARNING pointer: {error}; {name} is served as wanted all the same", file=sys.stderr)
    _await_served(settings.servers, name, wanted)
    return answer


def targets(mode: str, site: str, active: str, known: dict[str, str | None]) -> set[str]:
    """The addresses that the name shall have; none: this site has nothing to say (standby, single). Pure."""
    if mode == "single":
        address = known[site] if site == active else None
        return {address} if address else set()
    return {address for address in known.values() if address}


class Plan:
    """What to do with the records so that their targets become `wanted`, in place where possible. Pure."""

    def __init__(self, records: Sequence[Record], wanted: set[str], ttl: int) -> None:
        have = {record["target"] for record in records}
        missing = sorted(wanted - have)
        spare = sorted(
            (record for record in records if record["target"] not in wanted), key=lambda record: record["id"]
        )
        kept: set[str] = set()
        self.delete: list[int] = []
        self.update: list[tuple[int, str]] = []
        for record in sorted(records, key=lambda record: record["id"]):
            if record["target"] in wanted and record["target"] in kept:
                self.delete.append(record["id"])
            elif record["target"] in wanted:
                kept.add(record["target"])
                if record["ttl"] != ttl:
                    self.update.append((record["id"], record["target"]))
        while missing and spare:
            self.update.append((spare.pop(0)["id"], missing.pop(0)))
        self.create: list[str] = missing
        self.delete += [record["id"] for record in spare]


def _point(zone: Zone, wanted: set[str], ttl: int) -> bool:
    """Make the records so, adding before removing. Returns whether anything was changed; nothing is served before the zone's refresh."""
    plan = Plan(zone.records(), wanted, ttl)
    for target in plan.create:
        zone.create(target, ttl)
    for number, target in plan.update:
        zone.change(number, target, ttl)
    for number in plan.delete:
        zone.remove(number)
    return bool(plan.create or plan.update or plan.delete)


def _answers(server: str, name: str) -> set[str] | None:
    """The A addresses that one authoritative server ("ip:port") gives; None when it does not answer."""
    host, _, port = server.partition(":")
    try:
        reply = dns.query.udp(dns.message.make_query(name, "A"), host, timeout=QUERY_S, port=int(port or 53))
    except (OSError, dns.exception.DNSException):
        return None
    return {item.address for rrset in reply.answer if rrset.rdtype == dns.rdatatype.A for item in rrset}


def _served(servers: Sequence[str], name: str, wanted: set[str]) -> bool:
    return all(_answers(server, name) == wanted for server in servers)


def _await_served(servers: Sequence[str], name: str, wanted: set[str]) -> None:
    deadline = time.monotonic() + SERVED_S
    while True:
        seen = {server: _answers(server, name) for server in servers}
        if all(addresses == wanted for addresses in seen.values()):
            return
        if time.monotonic() > deadline:
            text = "; ".join(
                f"{server} says {'nothing' if got is None else sorted(got)}"
                for server, got in seen.items()
                if got != wanted
            )
            raise Partial(
                f"name {name}: {SERVED_S:.0f} s after the zone's refresh {text}; wanted {sorted(wanted)}; clients still go to the old address, "
                "where the standby site forwards them; run the same again, it refreshes the zone once more"
            )
        time.sleep(PAUSE_S)
