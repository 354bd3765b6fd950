"""Which secrets lie on which kind of host, and what each opens: the table of docs/security.md. A test holds it to the documents that hosts are told.

All of `dr:secrets` passes through the operator's machine, and lies, encrypted, in both stack files and in the state.
"""

from __future__ import annotations

from .dataclass import dataclass
from .hosts import APP, CACHE, CONTROL, DATABASE, KINDS

# S3 users that the program makes, by the names of their resources: their keys are no part of dr:secrets.
SHOP_S3, COPIER_S3, ARCHIVE_S3, PUBLISHER_S3 = "assets-user", "assets-copier", "assets-archive", "assets-publisher"
EVERY = tuple(KINDS)


@dataclass(frozen=True, kw_only=True)
class Secret:
    """`place`: in `dr:secrets`, where `{host}` is one host, `{kind}` its kind, `{site}` its site, `{role}` one of the database; or the name of a user that
    the program makes.
    """

    place: str
    opens: str
    on: tuple[str, ...]  # kinds of hosts; none: it lies on no host

    @property
    def made(self) -> bool:
        """Whether the program makes it."""
        return self.place in (SHOP_S3, COPIER_S3, ARCHIVE_S3, PUBLISHER_S3)


SECRETS = (
    Secret(place="openstack_password", opens="every server, volume and network of the project", on=()),
    Secret(place="ovh", opens="the zone's records, and through users that it makes all of the project (below)", on=()),
    Secret(place="acme", opens="records of the zone in which the challenge is answered: with a zone of its own those alone", on=(CONTROL,)),
    Secret(place="ssh.operator.private", opens="root on every host of both sites; it signs the records of moves", on=()),
    Secret(place="ssh.ca.private", opens="it makes certificates that open the same, under any name", on=()),
    Secret(place="witness", opens="epochs, addresses and ids at the witness (below)", on=()),
    Secret(place="ssh.hosts.{host}.private", opens="it is this host to whoever comes by ssh", on=EVERY),
    Secret(place="tls.hosts.{host}.key", opens="it is this host to the others", on=EVERY),
    Secret(place="tls.database.clients.shop.key", opens="beside its password: it is the shop to a database", on=(APP,)),
    Secret(place="tls.database.clients.shop_worker.key", opens="the same of its workers", on=(APP,)),
    Secret(place="tls.database.clients.dr_replication.key", opens="the same of a standby", on=(DATABASE,)),
    Secret(place="tls.cache.hosts.{host}.key", opens="it is this cache to others and to the shop", on=(CACHE,)),
    Secret(place="tls.cache.clients.shop.key", opens="beside its password: it is the shop to a cache", on=(APP,)),
    Secret(place="tls.shop.key", opens="it is the shop to its customers", on=(APP,)),
    Secret(place="rails.secret_key_base", opens="sessions and signed links of any customer", on=(APP,)),
    Secret(place="app", opens="whatever the shop's own variables name: of these, those that are named", on=(APP,)),
    Secret(place="postgres.app", opens="the shop's rows, and its schema; nothing of the server", on=(DATABASE, APP)),
    Secret(place="rotation.database.app", opens="the same while it is rotated: the password that is new, or was good before", on=(DATABASE,)),
    Secret(place="rotation.replication.replication", opens="what it opens, before it is in use and after", on=()),
    Secret(place="rotation.redis.app", opens="the same of the cache", on=(CACHE,)),
    Secret(place="rotation.redis.replica", opens="the same of its replicas", on=(CACHE,)),
    Secret(place="rotation.cache-operator.operator", opens="the same of who looks after it", on=(CACHE,)),
    Secret(place="rotation.sessions.secret_key_base", opens="the same of sessions and signed links", on=(APP,)),
    Secret(place="rotation.database.clients.{role}.key", opens="what its certificate opens, before it is in use and after", on=()),
    Secret(place="rotation.host-certificates.hosts.{host}.key", opens="the same of a host", on=()),
    Secret(place="rotation.cache-certificates.hosts.{host}.key", opens="the same of a cache", on=()),
    Secret(place="rotation.cache-certificates.clients.shop.key", opens="the same of the shop at caches", on=()),
    Secret(place="rotation.operator.private", opens="root on every host, before it is in use", on=()),
    Secret(place="rotation.witness", opens="the same of the operator at the witness", on=()),
    Secret(place="rotation.witness.hosts.{kind}.{site}", opens="the same of hosts there", on=()),
    Secret(place="postgres.replication", opens="a copy of the whole database", on=(DATABASE,)),
    Secret(place="redis.app", opens="the shop's keys in the cache", on=(CACHE, APP)),
    Secret(place="redis.replica", opens="a copy of the cache", on=(CACHE,)),
    Secret(place="redis.operator", opens="whom the cache follows", on=(CACHE,)),
    Secret(place="witness.hosts.{kind}.{site}", opens="its part of the witness (below)", on=EVERY),
    Secret(place="archive.passphrase", opens="what lies in the archive, for whoever has it", on=(DATABASE,)),
    Secret(place="monitoring", opens="messages in the team's name to its own people: mail, chat, pager; and the store of figures", on=(CONTROL,)),
    Secret(place="monitoring.status_page", opens="what customers read of how the shop is, and what that is made of", on=(CONTROL,)),
    Secret(place="logs", opens="the store of journals, as far as that lets its word in", on=(CONTROL,)),
    Secret(place=ARCHIVE_S3, opens="both archives: read, write, delete (a marker)", on=(DATABASE,)),
    Secret(place=SHOP_S3, opens="the site's assets: read, write, delete (a marker); releases of both sites: read", on=(APP,)),
    Secret(place=PUBLISHER_S3, opens="releases of both sites: read, write, delete (a marker); it cannot have a host run one", on=()),
    Secret(place=COPIER_S3, opens="the peer's assets: read; the site's: all but versions, and how long old ones live", on=(CONTROL,)),
)  # fmt: skip
