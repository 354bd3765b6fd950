"""Whether a challenge of an ACME CA could be answered now: a record like it is written with the bastions' key, served by the zone's name servers, and taken
back. Its name is another one, so no CA and no order that is under way meets it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.rdatatype

from components.settings import Settings
from contract.access import Ovh
from contract.dataclass import dataclass
from contract.errors import DrError, Failed
from contract.plain import phrase
from scripts.clients.ovh import OvhApi
from scripts.ctl.survey.names import delegated

OWN, REAL = "_acme-rehearsal", "_acme-challenge"
SERVED_S, PAUSE_S, ANSWER_S = 600.0, 2.0, 2.0  # as the bastion waits for the zone; OVHcloud's take some two minutes
API_S = 60.0


@dataclass(frozen=True)
class World:
    """`api`: raises Failed; `said`: texts and targets that a server has for a name."""

    api: Any
    said: Callable[[str, str, str], set[str]]
    servers: Callable[[str], Sequence[str]]
    clock: Callable[[], float] = time.monotonic
    rest: Callable[[float], None] = time.sleep


def world(settings: Settings) -> World:
    """By the key on the bastions, `acme` of `dr:secrets`."""
    keys = settings.secrets.acme
    assert keys is not None
    told = Ovh(
        endpoint=settings.ovh.endpoint,
        application_key=keys.application_key,
        application_secret=keys.application_secret,
        consumer_key=keys.consumer_key,
    )

    def servers(zone: str) -> Sequence[str]:
        own = zone == settings.dns.zone
        return settings.dns.servers if own else [f"{it}:53" for it in sorted(delegated(zone))]

    return World(OvhApi(told, attempts=1, all_s=API_S), _said, servers)  # a second attempt might leave a second record


def rehearsed(settings: Settings, world: World) -> str:
    """A sentence of what was proven. Raises Failed; nothing stays of it then, or the sentence says what does."""
    acme = settings.shop.acme
    assert acme is not None
    host, zone = settings.shop.host, acme.zone or settings.dns.zone
    began = world.clock()
    if acme.zone is not None:
        _leads(f"{REAL}.{host}", f"{host}.{zone}", world.servers(settings.dns.zone), world)
    name = f"{OWN}.{host}" if acme.zone is None else f"{OWN}.{host}.{zone}"
    value, servers = secrets.token_urlsafe(24), world.servers(zone)
    number = _written(zone, name, value, world)
    try:
        world.api.ask("POST", f"/domain/zone/{zone}/refresh")
        _served(servers, name, value, world)
    finally:
        _taken_back(zone, name, number, world)
    return (
        f"a challenge: written into zone {zone} by the bastions' key, served by {len(servers)} name servers, and taken back in "
        f"{world.clock() - began:.0f} s"
    )


def _leads(name: str, wanted: str, servers: Sequence[str], world: World) -> None:
    for server in servers:
        found = world.said(server, name, "CNAME")
        if found != {f"{wanted}."}:
            raise Failed(
                f"name {name}: found {phrase(', '.join(sorted(found)) or 'no CNAME', 200)} at name server {server}, wanted one that leads to {wanted}; no CA "
                "would find the challenge; make that record once, by hand"
            )


def _written(zone: str, name: str, value: str, world: World) -> int:
    """The record's number."""
    body = {"fieldType": "TXT", "subDomain": name.removesuffix(f".{zone}"), "target": value, "ttl": 60}
    found = world.api.ask("POST", f"/domain/zone/{zone}/record", body)
    number = found.get("id") if isinstance(found, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise Failed(
            f"zone {zone}: the API tells no number of the record {name} that it has written, wanted one; it stays, and harms nobody; remove it in the Control "
            "Panel"
        )
    return number


def _served(servers: Sequence[str], name: str, value: str, world: World) -> None:
    until = world.clock() + SERVED_S
    while late := [it for it in servers if value not in world.said(it, name, "TXT")]:
        if world.clock() > until:
            raise Failed(
                f"name {name}: not served by {', '.join(late)} {SERVED_S:.0f} s after the zone's refresh, wanted the record that was written; a CA would be "
                "answered too late; see dns.serial of `drctl check`"
            )
        world.rest(PAUSE_S)


def _taken_back(zone: str, name: str, number: int, world: World) -> None:
    try:
        world.api.ask("DELETE", f"/domain/zone/{zone}/record/{number}")
    except DrError as error:
        raise Failed(
            f"zone {zone}: record {number}, {name}, cannot be taken back ({error}); it stays, and harms nobody; remove it in the Control Panel"
        ) from None
    with suppress(DrError):  # it goes with the next refresh of whoever
        world.api.ask("POST", f"/domain/zone/{zone}/refresh")


def _said(server: str, name: str, kind: str) -> set[str]:
    """Nothing where it does not answer: it is asked again."""
    host, _, port = server.partition(":")
    wanted = dns.rdatatype.from_text(kind)
    try:
        answer = dns.query.udp(dns.message.make_query(name, wanted), host, timeout=ANSWER_S, port=int(port or 53))
    except (dns.exception.DNSException, OSError, ValueError):
        return set()
    rows = [row for rrset in answer.answer if rrset.rdtype == wanted for row in rrset]
    return {row.to_text().strip('"') for row in rows}
