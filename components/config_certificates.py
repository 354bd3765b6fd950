"""Certificates of `dr:secrets`, as they are read from it: of hosts, of those who sign in, of one CA or of two."""

from __future__ import annotations

from collections.abc import Sequence

from components import settings as s
from contract import checks
from contract.hosts import CACHE, kind_of
from contract.reading import Section
from contract.services.postgres import REPLICATION_ROLE, Logins

REMEDY = (
    "store the object that was kept, whole (`pulumi config set --secret secrets < secrets.json`, in both stacks), or correct this part of it; a new one "
    "of `drctl secrets` is for a new installation alone: hosts take their keys at their first boot, and no backup is read by another passphrase"
)
RENEW = "take the part tls of a new set of `drctl secrets`, and nothing else of it, as `Certificates end` in docs/failover.md says"
CERTIFICATE = checks.text(
    r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n*)+", "a PEM certificate or chain"
)
TLS_KEY = checks.text(
    r"-----BEGIN ((EC|RSA) )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+-----END ((EC|RSA) )?PRIVATE KEY-----\n?",
    "a PEM private key",
)


def certificate(parent: Section, name: str) -> s.Certificate:
    with parent.section(name, "TLS cannot be served") as at:
        why = "TLS cannot be served"
        return s.Certificate(cert=at.take("cert", CERTIFICATE, why, REMEDY), key=at.take("key", TLS_KEY, why, REMEDY))


def host_certificates(tls: Section, hosts: Sequence[str], spare: Sequence[str]) -> dict[str, s.Certificate]:
    with tls.section("hosts", "hosts cannot trust each other", RENEW) as at:
        found = {host: certificate(at, host) for host in (*hosts, *filter(at.has, spare))} if at.readable else {}
    return {host: certificate for host, certificate in found.items() if host in hosts}


def both(ca: str, beside: str | None) -> str:
    """Whoever shows a certificate of one of both CAs comes in while they are rotated."""
    return f"{ca.rstrip()}\n{beside}" if ca and beside else ca


def database_clients(login: int) -> tuple[str, ...]:
    """Who signs in at the database, where the shop uses this pair of its logins."""
    names = Logins.pair(login)
    return (names.app, names.worker, REPLICATION_ROLE)


def clients(parent: Section, names: Sequence[str]) -> dict[str, s.Certificate]:
    with parent.section("clients", "nobody can sign in there", RENEW) as at:
        return {name: certificate(at, name) for name in names} if at.readable else {}


def caches(hosts: Sequence[str]) -> list[str]:
    return [host for host in hosts if kind_of(host) == CACHE]
