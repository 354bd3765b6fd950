"""The one secret key, `dr:secrets`: an object that `drctl secrets` makes. No message shows a value of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from components import settings as s
from components.config_certificates import (
    CERTIFICATE,
    REMEDY,
    RENEW,
    TLS_KEY,
    both,
    caches,
    clients,
    database_clients,
    host_certificates,
)
from components.config_rotation import LONG, NUMBER, PASSWORD, PRIVATE_KEY, TOKEN, rotation
from contract import checks, ssh_keys, witness
from contract.reading import Section
from contract.report import DAY
from contract.rotation import FIRST_KEYS, KINDS
from contract.services.environment import SECRETS
from contract.services.logs import PASSWORD as STORE_PASSWORD
from contract.services.logs import TOKEN as STORE_TOKEN
from contract.services.postgres import PAIRS
from contract.services.redis import SHOP

_OF_APP = "make it a mapping of names to texts of one line, as in docs/your-shop.md, and store the whole object again, in both stacks"

_PUBLIC_KEY = checks.text(r"ssh-ed25519 [A-Za-z0-9+/=]+( \S+)?", "an ssh-ed25519 public key in one line")
_HTTP = checks.text(r"https?://[^\s\"'\\]+", "an http or https URL")


def read_secrets(root: Section, hosts: Sequence[str], spare: Sequence[str] = ()) -> s.Secrets:
    """Secrets of these hosts ("db-1.a"). Those of `spare` hosts, which may be added later, are checked where there are some, and left out."""
    with root.section("secrets", "nothing can be signed in to and no host can prove who it is", REMEDY) as at:
        ssh, tls = at.section("ssh", "hosts cannot be reached"), at.section("tls", "hosts cannot trust each other")
        with ssh, tls:
            operator, of_hosts = _witness(at)
            postgres = _postgres(at)
            login = postgres.login or PAIRS[0]
            beside = rotation(at, login, hosts, spare)
            return s.Secrets(
                openstack_password=at.take("openstack_password", TOKEN, "signing in to OpenStack fails", REMEDY),
                ovh=_ovh(at, "ovh"),
                acme=None if at.empty("acme") else _ovh(at, "acme"),
                operator=_ssh_key(ssh, "operator"),
                ssh_ca=None if ssh.empty("ca") else _ssh_ca(ssh),
                host_keys=_host_keys(ssh, hosts, spare),
                ca=both(tls.take("ca", CERTIFICATE, "hosts cannot trust each other", REMEDY), beside.hosts_ca),
                shop=_entrance(tls),
                host_certificates=host_certificates(tls, hosts, spare),
                host_certificates_beside=beside.hosts,
                database=_database(tls, login, beside.database_ca),
                cache=_cache(tls, caches(hosts), caches(spare), beside.caches_ca),
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
                logs=_logs(at),
                buckets=s.BucketKeys(used=_buckets(at), beside=beside.buckets),
                operator_beside=beside.operator,
                operator_former=_former(ssh),
            )


def _ovh(root: Section, name: str) -> s.OvhKeys:
    with root.section(name, "the OVHcloud API refuses every request") as at:
        names = ("application_key", "application_secret", "consumer_key")
        return s.OvhKeys(
            **{name: at.take(name, TOKEN, "the OVHcloud API refuses every request", REMEDY) for name in names}
        )


def _ssh_key(parent: Section, name: str) -> s.SshKey:
    with parent.section(name, "the host cannot be reached by ssh") as at:
        why = "the host cannot be reached by ssh, or not be told from another"
        return s.SshKey(
            private=at.take("private", PRIVATE_KEY, why, REMEDY), public=at.take("public", _PUBLIC_KEY, why, REMEDY)
        )


def _ssh_ca(ssh: Section) -> s.SshKey:
    why, remedy = (
        "nobody could come in by a certificate",
        "take the part ssh.ca of a new set of `drctl secrets`, and nothing else of it (docs/failover.md)",
    )
    with ssh.section("ca", why, remedy) as at:
        return s.SshKey(
            private=at.take("private", PRIVATE_KEY, why, remedy),
            public=at.take("public", ssh_keys.PUBLIC, why, remedy),
        )


def _former(ssh: Section) -> tuple[str, ...]:
    if not ssh.has("former"):
        return ()
    why = "keys that the program had before would open hosts again, and what they have signed would not verify"
    found: tuple[str, ...] | None = ssh.take(
        "former", checks.listing(ssh_keys.PUBLIC), why, "take the part ssh.former of the other stack's set, whole"
    )
    return found or ()


def _host_keys(ssh: Section, hosts: Sequence[str], spare: Sequence[str]) -> dict[str, s.SshKey]:
    with ssh.section("hosts", "no host has a key to be known by") as at:
        found = {host: _ssh_key(at, host) for host in (*hosts, *filter(at.has, spare))} if at.readable else {}
    return {host: key for host, key in found.items() if host in hosts}


def _entrance(parent: Section) -> s.Entrance:
    with parent.section("shop", "TLS cannot be served") as at:
        why = "nothing can prove that the shop is reached by its name"
        ca = None if at.empty("ca") else at.take("ca", CERTIFICATE, why, REMEDY)
        return s.Entrance(
            cert=at.take("cert", CERTIFICATE, "TLS cannot be served", REMEDY),
            key=at.take("key", TLS_KEY, "TLS cannot be served", REMEDY),
            ca=ca,
        )


def _database(tls: Section, login: int, beside: str | None) -> s.Clients:
    why = "nobody can prove to the database who it is"
    with tls.section("database", why, RENEW) as at:
        ca = at.take("ca", CERTIFICATE, why, RENEW)
        return s.Clients(
            ca=both(ca, beside),
            clients=clients(at, database_clients(login)),
        )


def _buckets(root: Section) -> int:
    if not root.has("buckets"):
        return FIRST_KEYS
    why = "nobody knows which keys open the buckets"
    with root.section("buckets", why) as at:
        return at.take("generation", NUMBER, why, REMEDY)


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
            ca=both(at.take("ca", CERTIFICATE, why, RENEW), beside),
            clients=clients(at, (SHOP,)),
            hosts=host_certificates(at, hosts, spare),
        )


def _postgres(root: Section) -> s.PostgresPasswords:
    with root.section("postgres", "the database has no passwords") as at:
        why = "replication or the shop cannot sign in to the database"
        return s.PostgresPasswords(
            replication=at.take("replication", PASSWORD, why, REMEDY),
            app=at.take("app", PASSWORD, why, REMEDY),
            login=at.take("login", checks.integer(*PAIRS), why, REMEDY, default=PAIRS[0]),
        )


def _redis(root: Section) -> s.RedisPasswords:
    with root.section("redis", "the cache has no passwords") as at:
        names = ("app", "replica", "operator")
        return s.RedisPasswords(
            **{name: at.take(name, PASSWORD, "nobody can sign in to the cache", REMEDY) for name in names}
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
        access_key=at.take("access_key", TOKEN, why, REMEDY), secret_key=at.take("secret_key", TOKEN, why, REMEDY)
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
        return at.take("secret_key_base", LONG, "sessions cannot be signed", REMEDY)


def _archive(root: Section) -> str | None:
    if not root.has("archive"):
        return None
    with root.section("archive", "backups cannot be encrypted") as at:
        why = "backups cannot be encrypted, and those that were made not be read"
        return at.take("passphrase", PASSWORD, why, "put back the passphrase that the archive was begun with")


_TOLD = "put it into the part monitoring of the object, or take its key out of there"


def _monitoring(root: Section) -> s.Told:
    """Each of them may be left out."""
    if root.empty("monitoring"):
        return s.Told()
    with root.section("monitoring", "nobody is told of an alert", _TOLD) as at:
        checks_of = {
            "smtp_password": checks.password,
            "remote_write_password": TOKEN,
            "remote_write_token": TOKEN,
            "pagerduty": TOKEN,
            "slack": _HTTP,
            "webhook": _HTTP,
            "watchdog": _HTTP,
        }
        found = {
            name: None if at.empty(name) else at.take(name, check, "that way nobody is told of an alert", _TOLD)
            for name, check in checks_of.items()
        }
        return s.Told(**found, status_page=_page(at))


def _logs(root: Section) -> s.Stored:
    """Either may be left out."""
    if root.empty("logs"):
        return s.Stored()
    why, remedy = (
        "the store would take no journal",
        "put it into the part logs of the object, or take its key out of there",
    )
    with root.section("logs", why, remedy) as at:
        checks_of = {"store_password": STORE_PASSWORD, "store_token": STORE_TOKEN}
        return s.Stored(
            **{name: None if at.empty(name) else at.take(name, check, why, remedy) for name, check in checks_of.items()}
        )


def _page(at: Section) -> s.S3Keys | None:
    if at.empty("status_page"):
        return None
    why = "the page for customers could be written by nobody"
    remedy = "put both words of the key of the page's S3 user there (docs/status-page.md), or take status_page out"
    with at.section("status_page", why, remedy) as inner:
        return s.S3Keys(
            access_key=inner.take("access_key", TOKEN, why, remedy),
            secret_key=inner.take("secret_key", TOKEN, why, remedy),
        )
