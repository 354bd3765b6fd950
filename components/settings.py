"""The configuration as the program uses it: frozen, typed, already validated by `components.config.parse`.

What can be configured is the contract's (`contract.installation`); here are the secrets, and what follows from both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, field

from contract import fields, hosts, names, sites
from contract.accept import Accept, Word
from contract.dataclass import dataclass
from contract.hosts import HostAddress, Place, Sizes
from contract.installation import Configuration, Region
from contract.rotation import FIRST_KEYS


@dataclass(frozen=True, kw_only=True)
class OvhKeys:
    application_key: str = field(repr=False)
    application_secret: str = field(repr=False)
    consumer_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class SshKey:
    private: str = field(repr=False)  # OpenSSH PEM, ed25519
    public: str  # one authorized_keys line


@dataclass(frozen=True, kw_only=True)
class Certificate:
    cert: str
    key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Entrance(Certificate):
    """Of the public name."""

    ca: str | None = None  # that it goes back to; None: a public root, which every customer knows


@dataclass(frozen=True, kw_only=True)
class Clients:
    """Who may come in at a service, by certificates of a CA that has no other purpose."""

    ca: str
    clients: Mapping[str, Certificate]  # by the name under which they sign in


@dataclass(frozen=True, kw_only=True)
class Caches(Clients):
    """The caches know their clients and each other by one CA."""

    hosts: Mapping[str, Certificate]  # "cache-1.a" -> what it is known by as a cache


@dataclass(frozen=True, kw_only=True)
class S3Keys:
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class PostgresPasswords:
    """`login`: which of its pairs of logins the shop uses; `beside`: the other pair's, where that is let in as well; `replication_rotated`: that one's is
    another at the other end for a while.
    """

    replication: str = field(repr=False)
    app: str = field(repr=False)
    login: int = 1
    beside: str | None = field(default=None, repr=False)
    replication_rotated: bool = False


@dataclass(frozen=True, kw_only=True)
class BucketKeys:
    """Which keys of the buckets' users are in use, by number; `beside`: those that are good as well."""

    used: int = FIRST_KEYS
    beside: int | None = None


@dataclass(frozen=True, kw_only=True)
class RedisPasswords:
    """`app_beside`, `replica_beside`, `operator_beside`: what caches take as well."""

    app: str = field(repr=False)
    replica: str = field(repr=False)
    operator: str = field(repr=False)
    app_beside: str | None = field(default=None, repr=False)
    replica_beside: str | None = field(default=None, repr=False)
    operator_beside: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What it takes to tell somebody of an alert, in ways that are used; None: that way is not."""

    smtp_password: str | None = field(default=None, repr=False)
    slack: str | None = field(default=None, repr=False)  # URL of an incoming webhook
    pagerduty: str | None = field(default=None, repr=False)  # integration key of Events v2
    webhook: str | None = field(default=None, repr=False)  # URL
    watchdog: str | None = field(default=None, repr=False)  # URL that is to be called each minute
    remote_write_password: str | None = field(default=None, repr=False)  # of the user of dr:monitoring.remote_write
    remote_write_token: str | None = field(default=None, repr=False)  # in place of both
    status_page: S3Keys | None = None  # of the page for customers; None: nobody could write it


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What it takes to be let in at the store of journals."""

    store_password: str | None = field(default=None, repr=False)  # of the user of dr:logs.store
    store_token: str | None = field(default=None, repr=False)  # in place of both


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything of the one secret key. Plain strings: whoever puts one in a resource marks it secret."""

    openstack_password: str = field(repr=False)
    ovh: OvhKeys
    acme: OvhKeys | None  # of the bastions; None: nobody orders the shop's certificate
    operator: SshKey
    ssh_ca: SshKey | None  # signs persons' certificates; None: hosts trust none of ours
    host_keys: Mapping[str, SshKey]  # "db-1.a" -> the host's own key
    ca: str
    shop: Entrance
    host_certificates: Mapping[str, Certificate]
    database: Clients
    cache: Caches
    postgres: PostgresPasswords
    redis: RedisPasswords
    witness: S3Keys  # the operator's
    witness_hosts: Mapping[
        str, S3Keys
    ]  # by their users (`contract.witness.HOST_USERS`); of its `LATER_USERS` those that have one
    secret_key_base: str = field(repr=False)
    app: Mapping[str, str] = field(repr=False)  # what the shop's own variables are filled with, by name
    archive: str | None = field(repr=False)  # passphrase; None: nothing was ever archived
    secret_key_base_beside: str | None = field(default=None, repr=False)  # read as well while it is rotated
    host_certificates_beside: Mapping[str, Certificate] = field(
        default_factory=dict
    )  # which hosts show after it, or did before, while theirs are rotated
    since: Mapping[str, str] = field(
        default_factory=dict
    )  # by kind (`contract.rotation`) the day since which it is in use
    monitoring: Told = field(default_factory=Told)
    logs: Stored = field(default_factory=Stored)
    buckets: BucketKeys = field(default_factory=BucketKeys)
    operator_beside: str | None = None  # public key that hosts take as well while it is rotated
    operator_former: tuple[str, ...] = ()  # public keys that the program had before, the newest last

    @property
    def operators(self) -> tuple[str, ...]:
        """Public keys by which the program comes in."""
        return (self.operator.public, *filter(None, [self.operator_beside]))

    @property
    def operators_shut_out(self) -> tuple[str, ...]:
        """Those by which it came in before, and nobody does any more."""
        taken = {it.split()[1] for it in self.operators}
        return tuple(it for it in self.operator_former if it.split()[1] not in taken)


@dataclass(frozen=True, kw_only=True)
class Settings(Configuration):
    """One stack's configuration: both regions as facts, one site as its own, one request."""

    secrets: Secrets

    @property
    def peer(self) -> str:
        return sites.other(self.site)

    @property
    def region(self) -> Region:
        """The stack's own region."""
        return self.regions[self.site]

    @property
    def entrance_cas(self) -> str | None:
        """PEM of the CAs that the shop's certificate may go back to; None: the public roots alone."""
        acme, own = self.shop.acme, self.secrets.shop.ca
        return "".join(filter(None, (own, acme.ca if acme else None))) or None

    @property
    def entrance_public(self) -> bool:
        """Whether the public roots are trusted with it besides: until the first one is issued the entrance shows that of the secrets."""
        return self.shop.acme is not None and self.shop.acme.ca is None

    @property
    def authorities(self) -> tuple[str, ...]:
        """Public keys of the CAs of ssh that a team runs itself; none of a list that cannot be read."""
        return (self.ssh.authorities if self.ssh else None) or ()

    @property
    def revoked(self) -> tuple[str, ...]:
        """Who is shut out from ssh; nobody by a list that cannot be read."""
        return (self.ssh.revoked if self.ssh else None) or ()

    @property
    def words(self) -> dict[str, Word | None]:
        """The operator's, by their names in `dr:accept`."""
        return {name: getattr(self.accept, name) if self.accept else None for name in fields.keys(Accept)}

    @property
    def without_fence(self) -> Word | None:
        """The operator's word to take over from a site that nothing proves stopped."""
        return self.accept.without_fence if self.accept else None

    @property
    def data_loss(self) -> Word | None:
        """The operator's word to lose more than the budget."""
        return self.accept.data_loss if self.accept else None

    @property
    def other_configuration(self) -> Word | None:
        """The operator's word to move although the other region ran last with another configuration."""
        return self.accept.configuration if self.accept else None

    @property
    def protects(self) -> bool:
        """Whether the engine is to refuse the deletion of what this site stands on."""
        return self.protect and self.destroy is None

    @property
    def fingerprint(self) -> str:
        """Tells one set of secrets from another, and nothing of it: it is made of all of them together, the private keys among them."""
        return hashlib.sha256(json.dumps(asdict(self.secrets), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def begin_empty(self) -> Word | None:
        """The operator's word for an empty database where the shop's is lost."""
        return self.accept.empty if self.accept else None

    @property
    def sizes(self) -> Sizes:
        """How many hosts a site has."""
        return Sizes(app=self.app.hosts, cache_replicas=self.redis.cache_replicas)

    def hosts_of(self, site: str) -> dict[str, HostAddress]:
        """Hosts of one site by key ("db-1.a")."""
        region = self.regions[site]
        place = Place(front=region.front_cidr, vrack=self.vrack.cidr, offset=region.vrack_offset, sizes=self.sizes)
        return hosts.site_hosts(site, place)

    @property
    def hosts(self) -> dict[str, HostAddress]:
        """Hosts of both sites by key."""
        return {key: host for site in sites.SITES for key, host in self.hosts_of(site).items()}

    def vrack_of(self, role: str, *of: str) -> tuple[str, ...]:
        """vRack addresses of all hosts of one kind in the sites named, both when none is."""
        return tuple(
            host.vrack for site in of or sites.SITES for host in self.hosts_of(site).values() if host.role == role
        )

    def keys_of(self, role: str, site: str) -> list[str]:
        """Keys of a site's hosts of one kind, the first one first."""
        return [key for key, host in self.hosts_of(site).items() if host.role == role]

    def bucket(self, site: str, kind: str) -> str:
        """Name of a site's bucket: kind is `assets` or `wal`."""
        return names.bucket_name(self.project, self.service_name, site, kind)

    def server_names(self, site: str) -> list[str]:
        """Names at the OpenStack API of a site's servers that a fence stops: those that keep a lease, database first, then those that only work."""
        return [*self.leased_servers(site), *self.workers(site)]

    def leased_servers(self, site: str) -> list[str]:
        """Of those the ones that keep a lease, database first."""
        return self._servers(site, leased=True)

    def workers(self, site: str) -> list[str]:
        """And the ones that keep none."""
        return self._servers(site, leased=False)

    def _servers(self, site: str, *, leased: bool) -> list[str]:
        kinds = {kind.name for kind in hosts.KINDS.values() if kind.fenced and (kind.leased is not None) == leased}
        found = [host for host in self.hosts_of(site).values() if host.role in kinds]
        found.sort(key=lambda host: (host.role != hosts.DATABASE, host.name))
        return [names.server_name(self.project, site, host.name) for host in found]
