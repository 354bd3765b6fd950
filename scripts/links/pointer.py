"""The last link: the shop's public name points at the active site (`single`) or at both (`dual`), and every name server says so.

Records are changed in place, never deleted first: a gap would be cached as "no such name". After a change the zone is refreshed, and also when
the servers do not say what the records do, because an earlier refresh may have failed without a word: what counts is what the servers answer.

Records of other types at the name are never touched. Those that lead customers elsewhere (an AAAA that somebody made, a CNAME) are an error that names
them: before anything is done where the name can have no address beside them, else after all else is done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from contract.errors import Failed, Partial, Refused
from contract.links.pointer import Document
from contract.sites import other
from scripts.clients.http import plain
from scripts.clients.nameservers import all_answers
from scripts.clients.ovh import OvhApi
from scripts.clients.ovh_zone import OvhZone
from scripts.clients.trail import Note
from scripts.clients.witness import Witness
from scripts.clients.zone import Gone, Record, Zone

SERVED_S, PAUSE_S = 60.0, 0.2
API_S = 180.0  # all that the API is asked
NOTED_S = 3.0  # for the entry of the audit trail
ASKED_S = 3.0  # the witness, whether this epoch is still in force
TRIES = 3  # at records that somebody else changes meanwhile
INSTEAD = frozenset(
    {"CNAME", "DNAME", "NS"}
)  # of all addresses; a zone's own name has its NS records, and they lead nowhere else
BESIDE = frozenset({"AAAA", "HTTPS", "SVCB"})  # those who can prefer it go there


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
    zone: Zone = OvhZone(OvhApi(told.ovh, all_s=API_S), settings.zone, settings.subdomain)
    strangers: list[Record] = []
    try:
        strangers = _strangers(zone.records(), name, apex=not settings.subdomain)
        _not_past(told)
        if _point(zone, wanted, settings.ttl) or not _served(settings.servers, name, wanted):
            zone.refresh()
    except Failed as error:
        if not _served(settings.servers, name, wanted):
            raise
        print(f"WARNING pointer: {error}; {name} is served as wanted all the same", file=sys.stderr)
    if strangers:
        raise Partial(
            f"name {name}: has {_listed(strangers)} as well, wanted A records alone, which lead to {', '.join(sorted(wanted))} by now; customers whose "
            "network prefers it go elsewhere, also when that place is lost; remove it in the zone, where it was not made by this program, and run the "
            "same again"
        )
    _await_served(settings.servers, name, wanted)
    if told.site == told.epoch.active:
        # The move is over: customers come here, and nothing waits for this any more but the platform's own copying.
        facts = {"name": name, "addresses": " ".join(sorted(wanted))}
        note = Note(told.witness, "moved", told.site, epoch=told.epoch.epoch, facts=facts)
        if lost := note.lost(NOTED_S):
            print(f"WARNING pointer: {lost}", file=sys.stderr)
    return answer


def _not_past(told: Document) -> None:
    """Raises Refused where the shop was moved on while this run went its way: it would lead the name back, and no run without a change would right it.

    Asked behind the first answer of the zone: an API that is slow is what makes a run late. A witness that is silent holds up no name.
    """
    newest = None
    if told.dns.mode == "single":
        with suppress(Failed):
            newest = Witness(told.witness, answer_s=ASKED_S, attempts=1).newest()
    if newest is not None and newest.epoch > told.epoch.epoch and newest.active != told.site:
        raise Refused(
            f"name: epoch {newest.epoch} is in force and region {newest.active} active, wanted epoch {told.epoch.epoch} of region {told.site}, for which "
            f"this run was to lead it here; no record was changed; `pulumi up -s region-{newest.active}` leads it there, and this stack follows with "
            f"failover_region {newest.active}"
        )


def withdraw(zone: Zone, servers: Sequence[str], name: str, address: str) -> bool:
    """Take one address from the name, and wait until no server says it. Returns whether there was anything to take. Raises DrError."""
    there = [record for record in zone.records() if record["target"] == address]
    for record in there:
        zone.remove(record["id"])
    if there or _said(servers, name, address):
        zone.refresh()
    deadline = time.monotonic() + SERVED_S
    while still := _said(servers, name, address):
        if time.monotonic() > deadline:
            raise Partial(
                f"name {name}: {SERVED_S:.0f} s after the zone's refresh {', '.join(still)} still says {address}, wanted it gone; run the same again, it "
                "refreshes the zone once more"
            )
        time.sleep(PAUSE_S)
    return bool(there)


def _said(servers: Sequence[str], name: str, address: str) -> list[str]:
    return sorted(server for server, found in all_answers(servers, name).items() if address in (found or ()))


def _strangers(records: Sequence[Record], name: str, *, apex: bool) -> list[Record]:
    """Those that lead customers elsewhere. `apex`: whether it is the zone's own name. Raises Refused where no address can be beside them."""
    instead = [record for record in records if record["kind"] in INSTEAD and not (apex and record["kind"] == "NS")]
    if instead:
        raise Refused(
            f"name {name}: has {_listed(instead)}, wanted A records; no address can stand beside it, so no record was changed; remove it in the zone, "
            "where it was not made by this program, and run the same again"
        )
    return [record for record in records if record["kind"] in BESIDE]


def _listed(records: Sequence[Record]) -> str:
    return ", ".join(f"{plain(each['kind'])} {plain(each['target'])} (record {each['id']})" for each in records)


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
    changed = False
    for attempt in range(1, TRIES + 1):
        plan = Plan([record for record in zone.records() if record["kind"] == "A"], wanted, ttl)
        try:
            for target in plan.create:
                zone.create(target, ttl)
                changed = True
            for number, target in plan.update:
                zone.change(number, target, ttl)
                changed = True
            for number in plan.delete:
                zone.remove(number)
                changed = True
        except Gone:  # somebody has removed it since it was listed
            if attempt == TRIES:
                raise
        else:
            break
    return changed


def _served(servers: Sequence[str], name: str, wanted: set[str]) -> bool:
    return all(found == wanted for found in all_answers(servers, name).values())


def _await_served(servers: Sequence[str], name: str, wanted: set[str]) -> None:
    deadline = time.monotonic() + SERVED_S
    while True:
        seen = all_answers(servers, name)
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
