"""What lies beside the secrets that are in use while `drctl rotate` is under way: `dr:secrets`, `rotation`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from components import settings as s
from components.config_certificates import CERTIFICATE, caches, clients, database_clients, host_certificates
from contract import checks, ssh_keys
from contract.reading import Section
from contract.report import DAY
from contract.rotation import FIRST_KEYS, Stage
from contract.services.postgres import other_pair
from contract.services.redis import SHOP
from contract.witness import HOST_USERS

PASSWORD = checks.text(r"[\x21-\x7e]{12,200}", "12 or more printable characters without spaces")
LONG = checks.text(r"[0-9a-f]{64,256}", "64 or more hexadecimal digits")
PRIVATE_KEY = checks.text(
    r"-----BEGIN OPENSSH PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+-----END OPENSSH PRIVATE KEY-----\n?",
    "an OpenSSH private key",
)
TOKEN = checks.text(r"[\x21-\x7e]+", "a word without spaces")
NUMBER = checks.integer(FIRST_KEYS, 1_000_000)


@dataclass(frozen=True, kw_only=True, repr=False)
class Beside:
    """What is taken beside what is in use: a password of databases, those of caches by user, a word of sessions, PEM of CAs; certificates of hosts; the
    number of the keys of buckets; whether a standby's password is another at the other end; the program's public key of ssh.
    """

    database: str | None = None
    database_ca: str | None = None
    redis: dict[str, str] = field(default_factory=dict)
    sessions: str | None = None
    hosts: dict[str, s.Certificate] = field(default_factory=dict)
    hosts_ca: str | None = None
    caches_ca: str | None = None
    buckets: int | None = None
    replication: bool = False
    operator: str | None = None


def _whether(value: object) -> bool:
    """Of a stage: false, or the day on which the stack's run has brought it to its hosts; true of one that an earlier version wrote."""
    return value if isinstance(value, bool) else bool(DAY(value))


_APPLIED = checks.Check(f"true, false or {DAY.wanted}", _whether)
_ROTATING = "nobody knows how far the rotation has come, and hosts would be shut out by what they show"
_GO_ON = "run the same `drctl rotate` again, which goes on; or put the object of the other stack here, whole, where that one is readable"


def rotation(root: Section, login: int, hosts: Sequence[str], spare: Sequence[str]) -> Beside:
    """There while `drctl rotate` is under way; of a kind that is at rest nothing is read."""
    if not root.has("rotation"):
        return Beside()
    with root.section("rotation", _ROTATING, _GO_ON) as at:
        password, database_ca = _database_beside(at, login) if at.has("database") else (None, None)
        certificates, hosts_ca = _hosts_beside(at, hosts, spare) if at.has("host-certificates") else ({}, None)
        if at.has("witness"):
            _witness_beside(at)
        return Beside(
            database=password,
            database_ca=database_ca,
            redis={
                **(_redis_beside(at, "redis", "app", "replica") if at.has("redis") else {}),
                **(_redis_beside(at, "cache-operator", "operator") if at.has("cache-operator") else {}),
            },
            sessions=_sessions_beside(at) if at.has("sessions") else None,
            hosts=certificates,
            hosts_ca=hosts_ca,
            replication=_replication_beside(at) if at.has("replication") else False,
            buckets=_buckets_beside(at) if at.has("buckets") else None,
            operator=_operator_beside(at) if at.has("operator") else None,
            caches_ca=_caches_beside(at, caches(hosts), caches(spare)) if at.has("cache-certificates") else None,
        )


def _two(at: Section) -> bool:
    """Whether two are good at this stage."""
    stage = at.take("stage", checks.one_of(*Stage), _ROTATING, _GO_ON)
    at.take("applied", _APPLIED, _ROTATING, _GO_ON)
    return stage in (Stage.BESIDE, Stage.TURNED)


def _database_beside(rotation: Section, login: int) -> tuple[str | None, str | None]:
    with rotation.section("database", _ROTATING, _GO_ON) as at:
        if not _two(at):
            return None, None
        password = at.take("app", PASSWORD, _ROTATING, _GO_ON)
        ca = at.take("ca", CERTIFICATE, _ROTATING, _GO_ON)
        clients(at, database_clients(other_pair(login)))
        return password, ca


def _redis_beside(rotation: Section, kind: str, *users: str) -> dict[str, str]:
    with rotation.section(kind, _ROTATING, _GO_ON) as at:
        users = users if _two(at) else ()
        return {f"{user}_beside": at.take(user, PASSWORD, _ROTATING, _GO_ON) for user in users}


def _sessions_beside(rotation: Section) -> str | None:
    with rotation.section("sessions", _ROTATING, _GO_ON) as at:
        return at.take("secret_key_base", LONG, _ROTATING, _GO_ON) if _two(at) else None


def _hosts_beside(
    rotation: Section, hosts: Sequence[str], spare: Sequence[str]
) -> tuple[dict[str, s.Certificate], str | None]:
    with rotation.section("host-certificates", _ROTATING, _GO_ON) as at:
        if not _two(at):
            return {}, None
        return host_certificates(at, hosts, spare), at.take("ca", CERTIFICATE, _ROTATING, _GO_ON)


def _caches_beside(rotation: Section, hosts: Sequence[str], spare: Sequence[str]) -> str | None:
    with rotation.section("cache-certificates", _ROTATING, _GO_ON) as at:
        if not _two(at):
            return None
        clients(at, (SHOP,))
        host_certificates(at, hosts, spare)
        return at.take("ca", CERTIFICATE, _ROTATING, _GO_ON)


def _replication_beside(rotation: Section) -> bool:
    with rotation.section("replication", _ROTATING, _GO_ON) as at:
        if not _two(at):
            return False
        at.take("replication", PASSWORD, _ROTATING, _GO_ON)
        return True


def _buckets_beside(rotation: Section) -> int | None:
    with rotation.section("buckets", _ROTATING, _GO_ON) as at:
        return at.take("generation", NUMBER, _ROTATING, _GO_ON) if _two(at) else None


def _operator_beside(rotation: Section) -> str | None:
    """The private part is there while it is the new one's: nobody comes in by the old one any more once all hosts take the other."""
    with rotation.section("operator", _ROTATING, _GO_ON) as at:
        if not _two(at):
            return None
        if at.has("private"):
            at.take("private", PRIVATE_KEY, _ROTATING, _GO_ON)
        return at.take("public", ssh_keys.PUBLIC, _ROTATING, _GO_ON)


def _witness_beside(rotation: Section) -> None:
    """No host is told of them: the store takes both keys of a user by itself."""
    with rotation.section("witness", _ROTATING, _GO_ON) as at:
        if not _two(at):
            return
        _key_beside(at)
        with at.section("hosts", _ROTATING, _GO_ON) as hosts:
            for user in filter(hosts.has, HOST_USERS) if hosts.readable else ():
                with hosts.section(user, _ROTATING, _GO_ON) as inner:
                    _key_beside(inner)


def _key_beside(at: Section) -> None:
    for name in ("access_key", "secret_key"):
        at.take(name, TOKEN, _ROTATING, _GO_ON)
