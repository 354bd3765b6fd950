"""What the zone's authoritative servers say of a name: the only proof of what customers are told."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.message
import dns.query
import dns.rdatatype

QUERY_S = 2.0
ASKED = (dns.rdatatype.A, dns.rdatatype.AAAA)


def answers(server: str, name: str) -> set[str] | None:
    """All addresses, of both kinds, and aliases that one authoritative server ("ip:port") gives; None when it does not answer."""
    host, _, port = server.partition(":")
    found: set[str] = set()
    try:
        for kind in ASKED:
            reply = dns.query.udp(dns.message.make_query(name, kind), host, timeout=QUERY_S, port=int(port or 53))
            wanted = (*ASKED, dns.rdatatype.CNAME)
            found |= {item.to_text() for rrset in reply.answer if rrset.rdtype in wanted for item in rrset}
    except (OSError, dns.exception.DNSException):
        return None
    return found


def all_answers(servers: Sequence[str], name: str) -> dict[str, set[str] | None]:
    """Side by side: one that is silent must not take the others' time."""
    with ThreadPoolExecutor(len(servers)) as pool:
        return dict(zip(servers, pool.map(lambda server: answers(server, name), servers), strict=True))
