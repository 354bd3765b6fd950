"""DNS of the lab: two Knot servers that serve what was published, and Unbound as the caching resolver of clients and guests.

The OVHcloud API owns the records; the servers know nothing of them until `Dns.publish`, as OVHcloud's name servers until a zone refresh. The
resolver knows the published zones alone (everything else does not exist: no question leaves the lab) and keeps answers for their TTL.

Not imitated: DNSSEC, zone transfers between the servers (both are given the zone), the hours that a delegation takes.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rdatatype

from lab.child import POLL_S, Child

KNOTD, UNBOUND = "knotd", "unbound"
DEFAULT_TTL_S = 3600
PUBLISHED_WITHIN_S = 10.0
READY_TIMEOUT_S = 0.2
STANDING_IN = ("ns1.lab.invalid", "ns2.lab.invalid")  # of a zone whose records name no server of its own


class DnsError(Exception):
    """A zone could not be published: which server, what it serves, what was wanted."""


@dataclass(frozen=True)
class Record:
    """One record; `subdomain` relative to the zone, empty at its top; `ttl` 0 takes the zone's default."""

    subdomain: str
    fieldtype: str
    target: str
    ttl: int = 0


@dataclass(frozen=True)
class Address:
    host: str
    port: int = 53


class Dns:
    """Two authoritative servers and a resolver. `publish` is the only way in."""

    def __init__(
        self,
        run: Path,
        servers: Sequence[Address],
        resolver: Address,
        zones: Sequence[str] = ("shop.example",),
        names: Sequence[str] = STANDING_IN,
    ) -> None:
        """`names`: of the servers, to which zones are delegated; the resolver knows their addresses, as a registry's glue has them."""
        self.names = tuple(names)
        self.servers, self.resolver, self.zones = tuple(servers), resolver, tuple(zones)
        self._home = run / "dns"
        self._lock = threading.Lock()
        self._knots = [self._knot(number) for number in range(len(self.servers))]
        self._unbound = Child(
            "unbound",
            [UNBOUND, "-d", "-p", "-c", str(self._home / "unbound.conf")],
            self._home / "unbound.log",
            self._home / "unbound.pid",
        )

    def _knot(self, number: int) -> Child:
        home = self._home / f"knot-{number}"
        return Child(f"knot {number}", [KNOTD, "-c", str(home / "knot.conf")], home / "knot.log", home / "knot.pid")

    def start(self) -> None:
        """Start all three, the servers with empty zones (serial 1) or what they served before. Raises `ChildError`, all stopped."""
        for number in range(len(self.servers)):
            self._configure_knot(number)
        (self._home / "unbound.conf").write_text(self._unbound_conf())
        try:
            for number, knot in enumerate(self._knots):
                self._start_knot(number, knot)
            self._unbound.start(self._resolves)
        except Exception:
            self.stop()
            raise

    def stop(self) -> None:
        for child in (self._unbound, *self._knots):
            child.stop()

    def stop_server(self, number: int) -> None:
        """One name server is dead; the other goes on."""
        self._knots[number].stop(hard=True)

    def start_server(self, number: int) -> None:
        self._start_knot(number, self._knots[number])

    def _start_knot(self, number: int, knot: Child) -> None:
        knot.start(lambda: self.serial(self.servers[number], self.zones[0], READY_TIMEOUT_S) is not None)

    def _resolves(self) -> bool:
        return answer(self.resolver, "lab.invalid", "A", READY_TIMEOUT_S) is not None

    def publish(self, zone: str, records: Iterable[Record], serial: int) -> None:
        """Serve exactly `records` under `serial` (greater than the one served) and return when every running server does.

        Raises `DnsError` when the zone is not known or a server does not serve it within the limit.
        """
        if zone not in self.zones:
            raise DnsError(f"zone {zone}: not one of the lab's ({', '.join(self.zones)})")
        text = zone_text(zone, records, serial)
        with self._lock:
            running = [(knot, server) for knot, server in zip(self._knots, self.servers, strict=True) if knot.running]
            for number in range(len(self.servers)):
                self._write_zone(number, zone, text)
            for knot, _ in running:
                knot.reload()
            for _, server in running:
                self._await_serial(server, zone, serial)

    def flush(self) -> None:
        """Forget every cached answer: the resolver starts anew."""
        self._unbound.stop()
        self._unbound.start(self._resolves)

    def serial(self, server: Address, zone: str, timeout_s: float = 1.0) -> int | None:
        """The SOA serial that `server` serves for `zone`, None when it does not answer for it."""
        message = answer(server, zone, "SOA", timeout_s)
        for section in message.answer if message is not None else ():
            if section.rdtype == dns.rdatatype.SOA:
                return int(section[0].serial)
        return None

    def _await_serial(self, server: Address, zone: str, serial: int) -> None:
        deadline = time.monotonic() + PUBLISHED_WITHIN_S
        while (served := self.serial(server, zone)) != serial:
            if time.monotonic() > deadline:
                raise DnsError(
                    f"name server {server.host}: serves serial {served} of {zone} after {PUBLISHED_WITHIN_S:g} s, wanted {serial}; see its log"
                )
            time.sleep(POLL_S)

    def _configure_knot(self, number: int) -> None:
        home, server = self._home / f"knot-{number}", self.servers[number]
        for folder in ("zones", "db"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        zones = "".join(f"  - domain: {zone}\n    file: {zone}.zone\n" for zone in self.zones)
        (home / "knot.conf").write_text(
            f"server:\n  listen: {server.host}@{server.port}\n  rundir: {home}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
            f"database:\n  storage: {home}/db\n"
            f"log:\n  - target: stderr\n    any: info\n"
            f"template:\n  - id: default\n    storage: {home}/zones\n    zonefile-load: whole\n    zonefile-sync: -1\n    journal-content: none\n"
            f"zone:\n{zones}"
        )
        for zone in self.zones:
            if not (home / "zones" / f"{zone}.zone").exists():
                self._write_zone(number, zone, zone_text(zone, (), 1))

    def _write_zone(self, number: int, zone: str, text: str) -> None:
        target = self._home / f"knot-{number}" / "zones" / f"{zone}.zone"
        fresh = target.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(target)

    def _unbound_conf(self) -> str:
        # 200 ms for a server that was never asked: with Unbound's own 376 the other server's answer can come so late that it is dropped.
        local = "".join(f'  local-zone: "{zone}." transparent\n' for zone in self.zones)
        hosts = "".join(f"  stub-addr: {server.host}@{server.port}\n" for server in self.servers)
        glue = "".join(
            f'  local-data: "{name}. A {server.host}"\n' for name, server in zip(self.names, self.servers, strict=True)
        )
        stubs = "".join(f'stub-zone:\n  name: "{zone}."\n{hosts}' for zone in self.zones)
        return (
            f"server:\n  interface: {self.resolver.host}@{self.resolver.port}\n  access-control: 0.0.0.0/0 allow\n  do-ip6: no\n"
            f'  username: ""\n  chroot: ""\n  directory: "{self._home}"\n  pidfile: ""\n  use-syslog: no\n  verbosity: 1\n  num-threads: 1\n'
            "  module-config: iterator\n  do-not-query-localhost: no\n  cache-min-ttl: 0\n  infra-host-ttl: 5\n"
            "  unknown-server-time-limit: 200\n  qname-minimisation: no\n"
            f'  local-zone: "." static\n{glue}{local}{stubs}remote-control:\n  control-enable: no\n'
        )


def answer(server: Address, name: str, kind: str, timeout_s: float = 1.0) -> dns.message.Message | None:
    """One question over UDP, None when nothing (readable) came back in time."""
    with contextlib.suppress(OSError, dns.exception.DNSException):
        return dns.query.udp(dns.message.make_query(name, kind), server.host, timeout=timeout_s, port=server.port)
    return None


def zone_text(zone: str, records: Iterable[Record], serial: int) -> str:
    """The zone file. Name servers come from the records; without any, two of the lab's own names stand in (a zone needs them)."""
    rows = list(records)
    if not any(row.fieldtype == "NS" and not row.subdomain for row in rows):
        rows += [Record("", "NS", f"{name}.") for name in STANDING_IN]
    primary = next(row.target for row in rows if row.fieldtype == "NS" and not row.subdomain)
    lines = [
        f"$ORIGIN {zone}.",
        f"$TTL {DEFAULT_TTL_S}",
        f"@ {DEFAULT_TTL_S} IN SOA {primary} tech.{zone}. {serial} 86400 3600 3600000 60",
    ]
    lines += [f"{row.subdomain or '@'} {row.ttl or DEFAULT_TTL_S} IN {row.fieldtype} {_target(row)}" for row in rows]
    return "\n".join(lines) + "\n"


def _target(row: Record) -> str:
    if row.fieldtype == "A":
        return str(ipaddress.IPv4Address(row.target))
    if row.fieldtype in ("TXT", "SPF") and not row.target.startswith('"'):
        return '"' + row.target.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return row.target
