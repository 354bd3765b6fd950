"""Whether hosts of both regions would take each other's certificates if they were renewed now: each door between them, both ways, stage by stage.

What a rotation would make is made here, in memory, and shown to the hosts alone; its CAs are trusted by nobody. Two hosts greet each other by TLS over the
sessions of ssh that lead to them, so no port is opened and nothing listens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from components.settings import Settings
from contract import fields
from contract.dataclass import dataclass
from contract.errors import DrError, Failed
from contract.greeting import DONE, REFUSED, Begin, Fresh, Place, Said, Turn, Use
from contract.hosts import APP, CACHE, DATABASE, HostAddress, first, serves, shared_name
from contract.plain import phrase
from contract.services.postgres import REPLICATION_ROLE, Logins, other_pair
from contract.services.redis import SHOP
from contract.sites import SITES, other
from scripts.ctl.stacks.rotation import login

TURNS, ANSWER_S = 12, 20.0  # of a handshake, which takes three or four; for each answer of a host
HOST_S = 180.0  # for all that one host answers: one that takes its time at each turn would hold the rehearsal up until the others' sessions end
HOSTS, CACHES, LOGINS = "host-certificates", "cache-certificates", "database"
Made = Mapping[str, Mapping[str, Any]]  # what is new, by the kind of `drctl rotate`


class Line(Protocol):
    """What leads to `certificate greet` of a host."""

    def say(self, document: dict[str, Any], limit_s: float) -> dict[str, Any]:
        """As of `scripts.clients.hosts.Conversation`."""


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of a door: as whom a host greets, what is new of its own, and the new CA of those whom it trusts."""

    host: str
    place: Place
    new: Mapping[str, str]
    ca: str
    login: str | None = None

    def begin(self, shows: Use, trusts: Use, *, name: str | None = None, heard: str = "") -> dict[str, Any]:
        """The line that begins a handshake. `name`: whom it asks for, None where it is asked, and has `heard` of it."""
        it = Begin(
            place=self.place,
            name=name,
            login=self.login,
            shows=shows,
            trusts=trusts,
            new=Fresh(cert=self.new["cert"], key=self.new["key"]) if shows is Use.NEW else None,
            ca=None if trusts is Use.OWN else self.ca,
        )
        return dict(fields.write(Turn(begin=it, heard=heard)))


@dataclass(frozen=True, kw_only=True)
class Door:
    """`name`: by which the one that asks knows the other."""

    server: End
    client: End
    name: str

    def __str__(self) -> str:
        return f"{self.client.host} as {self.client.place} at {self.server.place} of {self.server.host}"


@dataclass(frozen=True)
class Case:
    """What both show and trust, at one moment of a rotation; whether they are to take each other."""

    what: str
    server: tuple[Use, Use]
    client: tuple[Use, Use]
    fits: bool = True


CASES = (
    Case("as they are", (Use.OWN, Use.OWN), (Use.OWN, Use.OWN)),
    Case("the one that asks has turned", (Use.OWN, Use.BOTH), (Use.NEW, Use.BOTH)),
    Case("the one that is asked has turned", (Use.NEW, Use.BOTH), (Use.OWN, Use.BOTH)),
    Case("both have turned, and trust what is new alone", (Use.NEW, Use.NEW), (Use.NEW, Use.NEW)),
    # Without it nobody would know whether a host refuses anything.
    Case("an old one comes to one that trusts what is new alone", (Use.NEW, Use.NEW), (Use.OWN, Use.BOTH), fits=False),
)


def doors(settings: Settings, made: Made, secrets: Mapping[str, Any]) -> Iterator[Door]:
    """Each door between hosts of the two regions: every host is at both ends of one, where it answers anybody."""
    for site in SITES:
        there = settings.hosts_of(other(site))
        for host in settings.hosts_of(site).values():
            twin = next((it for it in there.values() if it.name == host.name), None)
            asked = twin if twin and serves(twin.role) else there[f"{first(DATABASE)}.{other(site)}"]
            yield Door(server=_host(asked, made), client=_host(host, made), name=_name(asked))
            yield from _at_data(settings, host, made, secrets)


def _at_data(settings: Settings, host: HostAddress, made: Made, secrets: Mapping[str, Any]) -> Iterator[Door]:
    """What a host asks of the other region's database and cache."""
    there = settings.hosts_of(other(host.site))
    database, caches, logins = there[f"{first(DATABASE)}.{other(host.site)}"], made[CACHES], made[LOGINS]
    one, two = Logins.pair(login(secrets)), Logins.pair(other_pair(login(secrets)))
    asking = {
        DATABASE: ((Place.STREAM, None, REPLICATION_ROLE),),
        APP: ((Place.SHOP, one.app, two.app), (Place.WORKER, one.worker, two.worker)),
    }.get(host.role, ())
    hosts = made[HOSTS]
    for place, role, new in asking:
        server = End(host=database.key, place=Place.DATABASE, new=hosts["hosts"][database.key], ca=logins["ca"])
        client = End(host=host.key, place=place, new=logins["clients"][new], ca=hosts["ca"], login=role)
        yield Door(server=server, client=client, name=database.fqdn)
    if host.role in (CACHE, APP):
        cache = there[f"{host.name if host.role == CACHE else first(CACHE)}.{other(host.site)}"]
        new = caches["hosts"][host.key] if host.role == CACHE else caches["clients"][SHOP]
        place = Place.CACHE if host.role == CACHE else Place.SHOP_CACHE
        yield Door(
            server=End(host=cache.key, place=Place.CACHE, new=caches["hosts"][cache.key], ca=caches["ca"]),
            client=End(host=host.key, place=place, new=new, ca=caches["ca"]),
            name=cache.fqdn,
        )


def _host(host: HostAddress, made: Made) -> End:
    return End(host=host.key, place=Place.HOST, new=made[HOSTS]["hosts"][host.key], ca=made[HOSTS]["ca"])


def _name(host: HostAddress) -> str:
    """As nginx asks for an app host, whose kind shares one; any other by its own."""
    return shared_name(host.role, host.site) or host.fqdn


def greeted(door: Door, case: Case, lines: Mapping[str, Line]) -> str:
    """What is otherwise than it should be; empty where nothing is. `lines`: to `certificate greet` of both hosts. Raises DrError where one does not answer."""
    server, client = lines[door.server.host], lines[door.client.host]
    there = _said(client, door.client, door.client.begin(*case.client, name=door.name))
    back = _said(server, door.server, door.server.begin(*case.server, heard=there.said))
    for _ in range(TURNS):
        if REFUSED in (back.state, there.state) or (back.state, there.state) == (DONE, DONE):
            break
        there = _said(client, door.client, fields.write(Turn(heard=back.said)))
        back = _said(server, door.server, fields.write(Turn(heard=there.said)))
    taken = (back.state, there.state) == (DONE, DONE)
    if taken if case.fits else back.state == REFUSED:  # by the one that is asked: the other one trusts both
        return ""
    refused = [f"{host}: {it.why}" for host, it in ((door.server.host, back), (door.client.host, there)) if it.why]
    return phrase(f"{door}, {case.what}: {'; '.join(refused) or ('taken' if taken else 'comes to no end')}", 400)


def _said(line: Line, end: End, document: dict[str, Any]) -> Said:
    answer = line.say(document, ANSWER_S)
    return fields.heard(
        Said, answer, f"host {end.host}, answer of dr-host certificate greet", "nothing is concluded from it"
    )


class _Bounded:
    """A host's line, with an end to all of what it answers."""

    def __init__(self, host: str, line: Line) -> None:
        self._host, self._line, self._left_s = host, line, HOST_S

    def say(self, document: dict[str, Any], limit_s: float) -> dict[str, Any]:
        """Raises Failed."""
        if self._left_s <= 0:
            raise Failed(
                f"host {self._host}, dr-host certificate greet: took {HOST_S:g} s for its answers in all, wanted less; it is asked nothing more"
            )
        began = time.monotonic()
        try:
            return self._line.say(document, min(limit_s, self._left_s))
        finally:
            self._left_s -= time.monotonic() - began


def all_greeted(found: Iterator[Door], lines: Mapping[str, Line]) -> tuple[int, list[str]]:
    """How many handshakes were made, and what was otherwise than it should be. A host that does not answer ends its own doors alone."""
    number, wrong, silent = 0, list[str](), set[str]()
    bounded = {host: _Bounded(host, line) for host, line in lines.items()}
    for door in found:
        ends = {door.server.host, door.client.host}
        if ends & silent or not ends <= lines.keys():
            wrong.append(
                f"{door}: not asked, because {', '.join(sorted(ends & silent or ends - lines.keys()))} says nothing"
            )
            continue
        for case in CASES:
            try:
                number += 1
                if told := greeted(door, case, bounded):
                    wrong.append(told)
            except DrError as error:
                wrong.append(phrase(str(error), 400))
                silent |= {host for host in ends if f"host {host}" in str(error)}
                break
    return number, wrong
