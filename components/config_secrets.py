"""The one secret key, `dr:secrets`: an object that `drctl secrets` makes. No message shows a value of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from components import settings as s
from contract import checks, ssh_keys, witness
from contract.hosts import CACHE, kind_of
from contract.reading import Section
from contract.report import DAY
from contract.rotation import FIRST_KEYS, KINDS, Stage
from contract.services.environment import SECRETS
from contract.services.postgres import PAIRS, REPLICATION_ROLE, Logins, other_pair
from contract.services.redis import SHOP

_REMEDY = (
    "store the object that was kept, whole (`pulumi config set --secret secrets < secrets.json`, in both stacks), or correct this part of it; a new one "
    "of `drctl secrets` is for a new installation alone: hosts take their keys at their first boot, and no backup is read by another passphrase"
)
_OF_APP = "make it a mapping of names to texts of one line, as in docs/your-shop.md, and store the whole object again, in both stacks"
RENEW = "take the part tls of a new set of `drctl secrets`, and nothing else of it, as `Certificates end` in docs/failover.md says"

_PASSWORD = checks.text(r"[\x21-\x7e]{12,200}", "12 or more printable characters without spaces")
_TOKEN = checks.text(r"[\x21-\x7e]+", "a word without spaces")
_PRIVATE_KEY = checks.text(
    r"-----BEGIN OPENSSH PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+-----END OPENSSH PRIVATE KEY-----\n?",
    "an OpenSSH private key",
)
_PUBLIC_KEY = checks.text(r"ssh-ed25519 [A-Za-z0-9+/=]+( \S+)?", "an ssh-ed25519 public key in one line")
_CERTIFICATE = checks.text(
    r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n*)+", "a PEM certificate or chain"
)
_TLS_KEY = checks.text(
    r"-----BEGIN ((EC|RSA) )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+-----END ((EC|RSA) )?PRIVATE KEY-----\n?",
    "a PEM private key",
)
_HTTP = checks.text(r"https?://[^\s\"'\\]+", "an http or https URL")
_NUMBER = checks.integer(FIRST_KEYS, 1_000_000)
_LONG = checks.text(r"[0-9a-f]{64,256}", "64 or more hexadecimal digits")


def read_secrets(root: Section, hosts: Sequence[str], spare: Sequence[str] = ()) -> s.Secrets:
    """Secrets of these hosts ("db-1.a"). Those of `spare` hosts, which may be added later, are checked where there are some, and left out."""
    with root.section("secrets", "nothing can be signed in to and no host can prove who it is", _REMEDY) as at:
        ssh, tls = at.section("ssh", "hosts cannot be reached"), at.section("tls", "hosts cannot trust each other")
        with ssh, tls:
            operator, of_hosts = _witness(at)
            postgres = _postgres(at)
            login = postgres.login or PAIRS[0]
            beside = _rotation(at, login, hosts, spare)
            return s.Secrets(
                openstack_password=at.take("openstack_password", _TOKEN, "signing in to OpenStack fails", _REMEDY),
                ovh=_ovh(at, "ovh"),
                acme=None if at.empty("acme") else _ovh(at, "acme"),
                operator=_ssh_key(ssh, "operator"),
                ssh_ca=None if ssh.empty("ca") else _ssh_ca(ssh),
                host_keys=_host_keys(ssh, hosts, spare),
                ca=_both(tls.take("ca", _CERTIFICATE, "hosts cannot trust each other", _REMEDY), beside.hosts_ca),
                shop=_entrance(tls),
                host_certificates=_host_certificates(tls, hosts, spare),
                host_certificates_beside=beside.hosts,
                database=_database(tls, login, beside.database_ca),
                cache=_cache(tls, _caches(hosts), _caches(spare), beside.caches_ca),
                postgres=replace(postgres, beside=beside.database, replication_rotated=beside.replication),
                redis=replace(_redis(at), **beside.redis),
                witness=operator,
                witness_hosts=of_hosts,
                secret_key_base=_rails(at),
                secret_key_base_beside=beside.sessions,
                app={}
                if at.readable and at.empty("app")
                else at.take("app", SECRETS, "the shop is not told its secrets", _OF_APP),
                archive=_archive(at),
                since=_since(at),
                monitoring=_monitoring(at),
                buckets=s.BucketKeys(used=_buckets(at), beside=beside.buckets),
            )


def _ovh(root: Section, name: str) -> s.OvhKeys:
    with root.section(name, "the OVHcloud API refuses every request") as at:
        names = ("application_key", "application_secret", "consumer_key")
        return s.OvhKeys(
            **{name: at.take(name, _TOKEN, "the OVHcloud API refuses every request", _REMEDY) for name in names}
        )


def _ssh_key(parent: Section, name: str) -> s.SshKey:
    with parent.section(name, "the host cannot be reached by ssh") as at:
        why = "the host cannot be reached by ssh, or not be told from another"
        return s.SshKey(
            private=at.take("private", _PRIVATE_KEY, why, _REMEDY), public=at.take("public", _PUBLIC_KEY, why, _REMEDY)
        )


def _ssh_ca(ssh: Section) -> s.SshKey:
    why, remedy = (
        "nobody could come in by a certificate",
        "take the part ssh.ca of a new set of `drctl secrets`, and nothing else of it (docs/failover.md)",
    )
    with ssh.section("ca", why, remedy) as at:
        return s.SshKey(
            private=at.take("private", _PRIVATE_KEY, why, remedy),
            public=at.take("public", ssh_keys.PUBLIC, why, remedy),
        )


def _host_keys(ssh: Section, hosts: Sequence[str], spare: Sequence[str]) -> dict[str, s.SshKey]:
    with ssh.section("hosts", "no host has a key to be known by") as at:
        found = {host: _ssh_key(at, host) for host in (*hosts, *filter(at.has, spare))} if at.readable else {}
    return {host: key for host, key in found.items() if host in hosts}


def _certificate(parent: Section, name: str) -> s.Certificate:
    with parent.section(name, "TLS cannot be served") as at:
        why = "TLS cannot be served"
        return s.Certificate(
            cert=at.take("cert", _CERTIFICATE, why, _REMEDY), key=at.take("key", _TLS_KEY, why, _REMEDY)
        )


def _entrance(parent: Section) -> s.Entrance:
    with parent.section("shop", "TLS cannot be served") as at:
        why = "nothing can prove that the shop is reached by its name"
        ca = None if at.empty("ca") else at.take("ca", _CERTIFICATE, why, _REMEDY)
        return s.Entrance(
            cert=at.take("cert", _CERTIFICATE, "TLS cannot be served", _REMEDY),
            key=at.take("key", _TLS_KEY, "TLS cannot be served", _REMEDY),
            ca=ca,
        )


def _host_certificates(tls: Section, hosts: Sequence[str], spare: Sequence[str]) -> dict[str, s.Certificate]:
    with tls.section("hosts", "hosts cannot trust each other", RENEW) as at:
        found = {host: _certificate(at, host) for host in (*hosts, *filter(at.has, spare))} if at.readable else {}
    return {host: certificate for host, certificate in found.items() if host in hosts}


def _both(ca: str, beside: str | None) -> str:
    """Whoever shows a certificate of one of both CAs comes in while they are rotated."""
    return f"{ca.rstrip()}\n{beside}" if ca and beside else ca


def _database(tls: Section, login: int, beside: str | None) -> s.Clients:
    why = "nobody can prove to the database who it is"
    with tls.section("database", why, RENEW) as at:
        ca = at.take("ca", _CERTIFICATE, why, RENEW)
        return s.Clients(
            ca=_both(ca, beside),
            clients=_clients(at, database_clients(login)),
        )


def database_clients(login: int) -> tuple[str, ...]:
    """Who signs in at the database, where the shop uses this pair of its logins."""
    names = Logins.pair(login)
    return (names.app, names.worker, REPLICATION_ROLE)


@dataclass(frozen=True, kw_only=True, repr=False)
class _Beside:
    """What is taken beside what is in use: a password of databases, those of caches by user, a word of sessions, PEM of CAs; certificates of hosts; the
    number of the keys of buckets; whether a standby's password is another at the other end.
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


_ROTATING = "nobody knows how far the rotation has come, and hosts would be shut out by what they show"
_GO_ON = "run the same `drctl rotate` again, which goes on; or put the object of the other stack here, whole, where that one is readable"


def _rotation(root: Section, login: int, hosts: Sequence[str], spare: Sequence[str]) -> _Beside:
    """There while `drctl rotate` is under way; of a kind that is at rest nothing is read."""
    if not root.has("rotation"):
        return _Beside()
    with root.section("rotation", _ROTATING, _GO_ON) as at:
        password, database_ca = _database_beside(at, login) if at.has("database") else (None, None)
        certificates, hosts_ca = _hosts_beside(at, hosts, spare) if at.has("host-certificates") else ({}, None)
        return _Beside(
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
            caches_ca=_caches_beside(at, _caches(hosts), _caches(spare)) if at.has("cache-certificates") else None,
        )


def _two(at: Section) -> bool:
    """Whether two are good at this stage."""
    stage = at.take("stage", checks.one_of(*Stage), _ROTATING, _GO_ON)
    at.take("applied", checks.boolean, _ROTATING, _GO_ON)
    return stage in (Stage.BESIDE, Stage.TURNED)


def _database_beside(rotation: Section, login: int) -> tuple[str | None, str | None]:
    with rotation.section("database", _ROTATING, _GO_ON) as at:
        if not _two(at):
            return None, None
        password = at.take("app", _PASSWORD, _ROTATING, _GO_ON)
        ca = at.take("ca", _CERTIFICATE, _ROTATING, _GO_ON)
        _clients(at, database_clients(other_pair(login)))
        return password, ca


def _redis_beside(rotation: Section, kind: str, *users: str) -> dict[str, str]:
    with rotation.section(kind, _ROTATING, _GO_ON) as at:
        users = users if _two(at) else ()
        return {f"{user}_beside": at.take(user, _PASSWORD, _ROTATING, _GO_ON) for user in users}


def _sessions_beside(rotation: Section) -> str | None:
    with rotation.section("sessions", _ROTATING, _GO_ON) as at:
        return at.take("secret_key_base", _LONG, _ROTATING, _GO_ON) if _two(at) else None


def _hosts_beside(
    rotation: Section, hosts: Sequence[str], spare: Sequence[str]
) -> tuple[dict[str, s.Certificate], str | None]:
    with rotation.section("host-certificates", _ROTATING, _GO_ON) as at:
        if not _two(at):
            return {}, None
        return _host_certificates(at, hosts, spare), at.take("ca", _CERTIFICATE, _ROTATING, _GO_ON)


def _caches_beside(rotation: Section, hosts: Sequence[str], spare: Sequence[str]) -> str | None:
    with rotation.section("cache-certificates", _ROTATING, _GO_ON) as at:
        if not _two(at):
            return None
        _clients(at, (SHOP,))
        _host_certificates(at, hosts, spare)
        return at.take("ca", _CERTIFICATE, _ROTATING, _GO_ON)


def _replication_beside(rotation: Section) -> bool:
    with rotation.section("replication", _ROTATING, _GO_ON) as at:
        if not _two(at):
            return False
        at.take("replication", _PASSWORD, _ROTATING, _GO_ON)
        return True


def _buckets_beside(rotation: Section) -> int | None:
    with rotation.section("buckets", _ROTATING, _GO_ON) as at:
        return at.take("generation", _NUMBER, _ROTATING, _GO_ON) if _two(at) else None


def _buckets(root: Section) -> int:
    if not root.has("buckets"):
        return FIRST_KEYS
    why = "nobody knows which keys open the buckets"
    with root.section("buckets", why) as at:
        return at.take("generation", _NUMBER, why, _REMEDY)


def _since(root: Section) -> dict[str, str]:
    """Of an older set nobody knows it."""
    if not root.has("since"):
        return {}
    why = "nobody knows how old a secret is"
    remedy = "correct the day, or take it out: it is unknown then"
    with root.section("since", why, remedy) as at:
        return {kind: at.take(kind, DAY, why, remedy) for kind, it in KINDS.items() if it.dated and at.has(kind)}


def _cache(tls: Section, hosts: Sequence[str], spare: Sequence[str], beside: str | None) -> s.Caches:
    why = "caches and shop cannot trust each other"
    with tls.section("cache", why, RENEW) as at:
        return s.Caches(
            ca=_both(at.take("ca", _CERTIFICATE, why, RENEW), beside),
            clients=_clients(at, (SHOP,)),
            hosts=_host_certificates(at, hosts, spare),
        )


def _clients(parent: Section, names: Sequence[str]) -> dict[str, s.Certificate]:
    with parent.section("clients", "nobody can sign in there", RENEW) as at:
        return {name: _certificate(at, name) for name in names} if at.readable else {}


def _caches(hosts: Sequence[str]) -> list[str]:
    return [host for host in hosts if kind_of(host) == CACHE]


def _postgres(root: Section) -> s.PostgresPasswords:
    with root.section("postgres", "the database has no passwords") as at:
        why = "replication or the shop cannot sign in to the database"
        return s.PostgresPasswords(
            replication=at.take("replication", _PASSWORD, why, _REMEDY),
            app=at.take("app", _PASSWORD, why, _REMEDY),
            login=at.take("login", checks.integer(*PAIRS), why, _REMEDY, default=PAIRS[0]),
        )


def _redis(root: Section) -> s.RedisPasswords:
    with root.section("redis", "the cache has no passwords") as at:
        names = ("app", "replica", "operator")
        return s.RedisPasswords(
            **{name: at.take(name, _PASSWORD, "nobody can sign in to the cache", _REMEDY) for name in names}
        )


_KEYS_OF_HOSTS = (
    "make an S3 user for each, with the policy that `drctl rights witness` prints (docs/security.md), and add their keys to the object of dr:secrets in "
    "both stacks"
)


def _witness(root: Section) -> tuple[s.S3Keys, dict[str, s.S3Keys]]:
    """The operator's key, and those of hosts by their users."""
    why = "epochs cannot be claimed"
    with root.section("witness", why) as at:
        operator = _s3_keys(at, why)
        why = "hosts have no key to the witness of their own, and with the operator's each of them could say which region is active"
        with at.section("hosts", why, _KEYS_OF_HOSTS) as inner:
            users = (it for it in witness.HOST_USERS if it not in witness.LATER_USERS or inner.has(it))
            found = {user: _witness_user(inner, user, why) for user in users} if inner.readable else {}
            _apart(inner, operator, found)
    return operator, found


def _witness_user(hosts: Section, user: str, why: str) -> s.S3Keys:
    with hosts.section(user, why, _KEYS_OF_HOSTS) as at:
        return _s3_keys(at, why)


def _s3_keys(at: Section, why: str) -> s.S3Keys:
    return s.S3Keys(
        access_key=at.take("access_key", _TOKEN, why, _REMEDY), secret_key=at.take("secret_key", _TOKEN, why, _REMEDY)
    )


def _apart(hosts: Section, operator: s.S3Keys, found: dict[str, s.S3Keys]) -> None:
    """A key that two share has the rights of both on the hosts of either."""
    seen = {operator.access_key: witness.OPERATOR}
    for user, keys in found.items():
        if keys.access_key is None:
            continue
        first = seen.setdefault(keys.access_key, user)
        if first != user:
            hosts.fault(
                user,
                f"another user's key than that of {first}",
                "a host of one would do at the witness what the other may",
                _KEYS_OF_HOSTS,
            )


def _rails(root: Section) -> str:
    with root.section("rails", "sessions cannot be signed") as at:
        return at.take("secret_key_base", _LONG, "sessions cannot be signed", _REMEDY)


def _archive(root: Section) -> str | None:
    if not root.has("archive"):
        return None
    with root.section("archive", "backups cannot be encrypted") as at:
        why = "backups cannot be encrypted, and those that were made not be read"
        return at.take("passphrase", _PASSWORD, why, "put back the passphrase that the archive was begun with")


_TOLD = "put it into the part monitoring of the object, or take its key out of there"


def _monitoring(root: Section) -> s.Told:
    """Each of them may be left out."""
    if root.empty("monitoring"):
        return s.Told()
    with root.section("monitoring", "nobody is told of an alert", _TOLD) as at:
        checks_of = {
            "smtp_password": checks.password,
            "remote_write_password": _TOKEN,
            "remote_write_token": _TOKEN,
            "pagerduty": _TOKEN,
            "slack": _HTTP,
            "webhook": _HTTP,
            "watchdog": _HTTP,
        }
        found = {
            name: None if at.empty(name) else at.take(name, check, "that way nobody is told of an alert", _TOLD)
            for name, check in checks_of.items()
        }
        return s.Told(**found, status_page=_page(at))


def _page(at: Section) -> s.S3Keys | None:
    if at.empty("status_page"):
        return None
    why = "the page for customers could be written by nobody"
    remedy = "put both words of the key of the page's S3 user there (docs/status-page.md), or take status_page out"
    with at.section("status_page", why, remedy) as inner:
        return s.S3Keys(
            access_key=inner.take("access_key", _TOKEN, why, remedy),
            secret_key=inner.take("secret_key", _TOKEN, why, remedy),
        )
