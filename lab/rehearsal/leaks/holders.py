"""Where a secret may lie, and why: the one table. Whatever is found elsewhere is a leak, and so is one of these that everybody may read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

OWN = "{host}"  # in a name of a secret: that of the host on which it lies
APP, CACHE, DATABASE, CONTROL, EVERY = "app-*", "cache-*", "db-*", "control-*", "*"


@dataclass(frozen=True)
class Holder:
    """A place on hosts of a kind, the secrets that it holds, and why it holds them. `*` stands for anything."""

    hosts: str
    path: str
    names: tuple[str, ...]
    why: str


FILES = (
    Holder(EVERY, "/etc/dr/host.key", (f"tls.hosts.{OWN}.key",), "by it the host proves itself to the others; root's"),
    Holder(EVERY, "/etc/dr/witness.json", ("witness.*",), "the guard and the agent ask the witness; root's"),
    Holder(EVERY, "/run/credentials/dr-authlog.service/witness", ("witness.*",), "the job that keeps sign-ins is no root; its own copy while it runs"),
    Holder(EVERY, "/run/credentials/dr-logs*.service/*.key", (f"tls.hosts.{OWN}.key",), "what sends and takes journals is no root; its own copies"),
    Holder(CONTROL, "/etc/dr/logs-store.secret", ("logs.*",), "HAProxy shows it at the store of journals; root's"),
    Holder(CONTROL, "/run/credentials/dr-logs-store.service/store.secret", ("logs.*",), "its own copy while it runs"),
    Holder(CONTROL, "/etc/dr/certificate-*", ("acme.*",), "lego answers the CA's challenge; root's"),
    Holder(CONTROL, "/run/credentials/dr-certificate.service/*", ("acme.*", "witness.*", f"tls.hosts.{OWN}.key"), "the job's own copies while it runs"),
    Holder(CONTROL, "/run/credentials/dr-status-page.service/*", ("monitoring.status_page*", "witness.*", f"tls.hosts.{OWN}.key"), "the same"),
    Holder(CONTROL, "/etc/dr/status-page-store.json", ("monitoring.status_page*",), "by it the page for customers is written; root's"),
    Holder(EVERY, "/etc/ssh/ssh_host_*_key", (f"ssh.hosts.{OWN}.private",), "sshd proves the host to the operator; root's"),
    Holder(EVERY, "/var/lib/cloud/*", (f"ssh.hosts.{OWN}.private",), "the first boot puts the host's ssh key into its place; root's"),
    Holder(EVERY, "/run/cloud-init/*", (f"ssh.hosts.{OWN}.private",), "the same"),
    Holder(CACHE, "/etc/dr/redis.json", ("redis.*", f"tls.cache.hosts.{OWN}.key"), "dr-host asks the caches; root's"),
    Holder(CACHE, "/etc/redis/dr.conf", ("redis.replica",), "a replica asks its master; the server's user's"),
    Holder(CACHE, "/etc/redis/dr.key", (f"tls.cache.hosts.{OWN}.key",), "the server's TLS; the server's user's"),
    Holder(CACHE, "/etc/redis/sentinel*.conf", ("redis.*",), "Sentinel asks the caches; its user's"),
    Holder(DATABASE, "/etc/postgresql/*/main/tls/server.key", (f"tls.hosts.{OWN}.key",), "the server's TLS; the server's user's"),
    Holder(DATABASE, "/etc/postgresql/*/main/tls/client.key", ("tls.database.clients.dr_replication.key",), "a standby shows it; the server's user's"),
    Holder(DATABASE, "/etc/postgresql/*/main/replication.pgpass", ("postgres.replication",), "a standby asks its primary; the server's user's"),
    Holder(DATABASE, "/etc/dr/archive/*", ("archive.*", "storage.archive*"), "pgBackRest writes WAL; the server's user's"),
    Holder(APP, "/etc/shop/env", ("postgres.app", "redis.app", "rails.*", "storage.shop*"), "systemd reads it before the shop's user; root's"),
    Holder(APP, "/etc/shop/processes/*.env", ("postgres.app", "redis.app", "storage.shop*", "app.*"), "the same, of one process; root's"),
    Holder(APP, "/etc/dr/caches.cfg", ("redis.app",), "the way to the cache that leads asks each for its role; its group's"),
    Holder(APP, "/etc/dr/caches.pem", ("tls.cache.clients.shop.key",), "and proves itself to them; its group's"),
    Holder(APP, "/etc/shop/tls/*.key", ("tls.database.clients.shop*.key", "tls.cache.clients.shop.key"), "the shop shows them; its group's"),
    Holder(APP, "/etc/shop/tls.key", ("tls.shop.key",), "nginx reads it before it becomes another user; root's"),
    Holder(CONTROL, "/etc/dr/assets.json", ("storage.copier*",), "the copier's job; its group's"),
    Holder(CACHE, "/opt/lab/cache.json", ("redis.app", "tls.cache.clients.shop.key"), "the lab's own eyes; of the server's user"),
)  # fmt: skip
# Environments, by the name of the process's user; arguments hold none.
ENVIRONMENTS = (
    Holder(
        APP,
        "shop",
        ("postgres.app", "redis.app", "rails.*", "storage.shop*", "app.*"),
        "the shop takes them from there (docs/your-shop.md)",
    ),
)


def allowed(table: Iterable[Holder], host: str, place: str, name: str) -> bool:
    """`host`: "db-1.a"; `place`: a path there, or a user."""
    return any(
        fnmatchcase(host, row.hosts)
        and fnmatchcase(place, row.path)
        and any(fnmatchcase(name, it.replace(OWN, host)) for it in row.names)
        for row in table
    )
