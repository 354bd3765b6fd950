"""What name servers say of the shop's name: each of the zone's, and this machine's resolver as customers' do."""

from __future__ import annotations

from collections.abc import Callable

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import dns.resolver

from contract.errors import Failed
from scripts.ctl.survey.seen import Told

ANSWER_S = 2.0
_OTHERS = (dns.rdatatype.AAAA, dns.rdatatype.CNAME, dns.rdatatype.HTTPS, dns.rdatatype.SVCB)


def authoritative(server: str, zone: str, name: str) -> Told:
    """`server`: "ip:port". Raises Failed where it does not answer."""
    host, _, port = server.partition(":")

    def ask(asked: str, kind: dns.rdatatype.RdataType) -> dns.message.Message:
        return dns.query.udp(dns.message.make_query(asked, kind), host, timeout=ANSWER_S, port=int(port or 53))

    return _told(lambda kind: ask(name, kind), lambda: ask(zone, dns.rdatatype.SOA), f"name server {server}")


def resolved(name: str) -> Told:
    """As this machine's resolver has it. Raises Failed."""
    resolver = _resolver()
    return _told(lambda kind: _asked(resolver, name, kind), None, "this machine's resolver")


def delegated(zone: str) -> frozenset[str]:
    """IPv4 addresses of the name servers to which the zone is delegated, as this machine's resolver finds them. Raises Failed."""
    resolver, found = _resolver(), set[str]()
    try:
        for row in resolver.resolve(zone, "NS"):
            found |= {it.to_text() for it in resolver.resolve(row.target, "A")}
    except dns.exception.DNSException as error:
        raise Failed(f"zone {zone}: its name servers cannot be found ({type(error).__name__})") from None
    return frozenset(found)


def _resolver() -> dns.resolver.Resolver:
    try:
        made = dns.resolver.Resolver()
    except dns.exception.DNSException as error:
        raise Failed(f"resolver of this machine: is not configured ({type(error).__name__})") from None
    made.lifetime = made.timeout = ANSWER_S
    return made


def _asked(resolver: dns.resolver.Resolver, name: str, kind: dns.rdatatype.RdataType) -> dns.message.Message:
    return resolver.resolve(name, kind, raise_on_no_answer=False).response


def _told(
    ask: Callable[[dns.rdatatype.RdataType], dns.message.Message],
    soa: Callable[[], dns.message.Message] | None,
    subject: str,
) -> Told:
    try:
        addresses, others, ttls = set[str](), set[str](), list[int]()
        for kind in (dns.rdatatype.A, *_OTHERS):
            for rows in ask(kind).answer:
                into = addresses if rows.rdtype == dns.rdatatype.A else others
                into |= {it.to_text() for it in rows}
                ttls += [rows.ttl] if rows.rdtype == dns.rdatatype.A else []
        zones = [rows for rows in soa().answer if rows.rdtype == dns.rdatatype.SOA] if soa else []
    except (OSError, dns.exception.DNSException) as error:
        raise Failed(f"{subject}: does not answer ({type(error).__name__})") from None
    serial = zones[0][0].serial if zones else None
    return Told(addresses=frozenset(addresses), others=frozenset(others), ttl=min(ttls, default=None), serial=serial)
