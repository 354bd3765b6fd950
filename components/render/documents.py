"""The JSON documents that hosts and links read on stdin: settings and resolved facts, in the forms of the contract.

Pure, one JSON text with sorted keys out, so that the same facts always give the same bytes and a run that changes nothing shows no difference.
Every document holds secrets; the caller marks it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from components import settings as settings_of
from components.settings import S3Keys, Settings
from contract import fields, hosts
from contract.buckets import Bucket
from contract.documents import Certificate, Envelope, Host, Tls, Trusted
from contract.epoch import InForce
from contract.hosts import APP, CACHE, CONTROL, DATABASE, HostAddress, balancer_networks
from contract.release import Place
from contract.services import app as app_service
from contract.services import archive as archive_service
from contract.services import assets as assets_service
from contract.services import certificate as certificate_service
from contract.services import logs as logs_service
from contract.services import monitoring as monitoring_service
from contract.services import postgres as postgres_service
from contract.services import redis as redis_service
from contract.services import setup as setup_service
from contract.services.environment import secrets_named
from contract.services.postgres import REPLICATION_ROLE, Logins
from contract.services.redis import SHOP
from contract.witness import user_of

Document = dict[str, Any]
DATABASE_NAME = "shop"


def dump(document: Mapping[str, Any]) -> str:
    """The one spelling of a document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def epoch_of(stdout: str) -> InForce:
    """The epoch that the fence link printed; every document after it carries it."""
    return fields.read(InForce, json.loads(stdout), "answer of the fence link")


def envelope(
    settings: Settings, host: HostAddress, *, instance: str, tool: str, epoch: InForce | None = None
) -> Document:
    """What every host document holds. `epoch`: of every link after the fence; without one it is the same whatever the role and the request.

    `instance` is the server's id and `tool` the digest of dr-host: a host that was replaced, and hosts whose software was, are
    converged again because the document differs.
    """
    certificate = settings.secrets.host_certificates[host.key]
    told = Envelope(
        site=settings.site,
        peer=settings.peer,
        host=host.name,
        repair=settings.repair,
        instance=instance,
        tool=tool,
        hosts={key: Host(name=it.fqdn, vrack=it.vrack, front=it.front) for key, it in settings.hosts.items()},
        tls=Tls(ca=settings.secrets.ca, cert=certificate.cert, key=certificate.key),
        request=settings.failover_region if epoch else None,
        epoch=epoch,
    )
    return {key: value for key, value in fields.write(told).items() if epoch or key not in ("request", "epoch")}


def witness(settings: Settings) -> Bucket:
    """The witness bucket with the operator's key to it."""
    return _witness(settings, settings.secrets.witness)


def host_keys(settings: Settings) -> dict[str, Bucket]:
    """The same with the keys of hosts, by their users."""
    return {user: _witness(settings, keys) for user, keys in settings.secrets.witness_hosts.items()}


def host_witness(settings: Settings, kind: str) -> Bucket | None:
    """The same with the key of the own site's hosts of one kind; None for a kind whose key the set of secrets lacks."""
    return host_keys(settings).get(user_of(kind, settings.site))


def _witness(settings: Settings, keys: S3Keys) -> Bucket:
    return Bucket(**vars(settings.witness), access_key=keys.access_key, secret_key=keys.secret_key)


def setup(settings: Settings, role: str) -> Document:
    """Block of `host converge`, of one kind of host."""
    kind, witness = hosts.KINDS[role], host_witness(settings, role)
    block = setup_service.Block(
        packages=hosts.packages(role, settings.postgres.version, acme=settings.shop.acme is not None),
        witness=witness,
        lease=settings.lease if kind.leased else None,
        hardened=True,
        ssh_authorities=ssh_authorities(settings),
        ssh_operators=_lines(settings.secrets.operators),
        ssh_revoked=(*settings.revoked, *_lines(settings.secrets.operators_shut_out)),
        signed_in=witness is not None,
        certificate=_shop_certificate(settings, role),
    )
    return dict(fields.write(block))


def _lines(keys: Sequence[str]) -> tuple[str, ...]:
    """Public keys without what people write behind them."""
    return tuple(" ".join(key.split()[:2]) for key in keys)


def _shop_certificate(settings: Settings, role: str) -> certificate_service.Certificate | None:
    """Of bastions and app hosts, where the shop's certificate is ordered."""
    acme, keys = settings.shop.acme, settings.secrets.acme
    if acme is None or keys is None or role not in (CONTROL, APP):
        return None
    order = certificate_service.Order(
        directory=acme.directory,
        contact=acme.contact,
        endpoint=settings.ovh.endpoint,
        keys=certificate_service.OvhKeys(**vars(keys)),
        resolvers=settings.region.dns_servers,
        opened_by={key: _openers(settings, key) for key, host in settings.hosts.items() if host.role in (CONTROL, APP)},
    )
    return certificate_service.Certificate(
        shop=settings.shop.host, ca=acme.ca, order=order if role == CONTROL else None
    )


def _openers(settings: Settings, key: str) -> str:
    """A host's certificates: also by the key that it will have, or had, while they are rotated."""
    found = (settings.secrets.host_certificates, settings.secrets.host_certificates_beside)
    return "\n".join(certificates[key].cert.strip() for certificates in found if key in certificates) + "\n"


def ssh_authorities(settings: Settings) -> tuple[str, ...]:
    """Whose certificates open root: of our own CA, where there is one, and of those that a team runs itself."""
    own = [settings.secrets.ssh_ca.public] if settings.secrets.ssh_ca else []
    return tuple(dict.fromkeys([*own, *settings.authorities]))


def postgres(settings: Settings, volume_id: str | None) -> Document:
    """Block of `postgres converge`."""
    passwords = settings.secrets.postgres
    block = postgres_service.Block(
        **vars(settings.postgres),
        volume_id=volume_id,
        volume_gb=settings.region.db_volume_gb,
        database=DATABASE_NAME,
        passwords=postgres_service.Passwords(
            replication=passwords.replication,
            app=passwords.app,
            beside=passwords.beside,
            replication_rotated=passwords.replication_rotated,
        ),
        login=passwords.login,
        tls=_trusted(settings.secrets.database.ca, settings.secrets.database.clients[REPLICATION_ROLE]),
        app_clients=tuple(f"{address}/32" for address in settings.vrack_of(APP)),
        worker_clients=tuple(f"{address}/32" for address in settings.vrack_of(APP, settings.site)),
        archive=settings.archive is not None,
        peer_db=settings.keys_of(DATABASE, settings.peer)[0],
        begin_empty=settings.begin_empty.epoch if settings.begin_empty else None,
        begin_empty_at=settings.begin_empty.at if settings.begin_empty else None,
    )
    return dict(fields.write(block))


def archive(settings: Settings, it: archive_service.Keys, keys: Mapping[str, str]) -> Document:
    """Block of `archive prepare` and `archive converge`; `keys` reach the WAL buckets of both sites."""
    block = archive_service.Block(
        **vars(it),
        version=settings.postgres.version,
        repositories={
            site: archive_service.Repository(region=region.s3_region, bucket=settings.bucket(site, "wal"))
            for site, region in settings.regions.items()
        },
        keys=archive_service.S3Keys(access_key=keys["access_key"], secret_key=keys["secret_key"]),
        passphrase=settings.secrets.archive or "",
    )
    return dict(fields.write(block))


def _certificate(its: settings_of.Certificate) -> Certificate:
    return Certificate(cert=its.cert, key=its.key)


def _trusted(ca: str, own: settings_of.Certificate) -> Trusted:
    return Trusted(ca=ca, cert=own.cert, key=own.key)


def redis(settings: Settings, host: HostAddress, epoch: InForce) -> Document:
    """Block of `redis converge`. What the old master's last heartbeat told comes from the fence link, with the epoch."""
    passwords = settings.secrets.redis
    seen = epoch.last_seen.redis if epoch.last_seen else None
    block = redis_service.Block(
        **vars(settings.redis),
        passwords=redis_service.Passwords(**vars(passwords)),
        tls=_trusted(settings.secrets.cache.ca, settings.secrets.cache.hosts[host.key]),
        caches=tuple(settings.keys_of(CACHE, settings.site)),
        peer_caches=tuple(settings.keys_of(CACHE, settings.peer)),
        peer_offset=seen.offset if seen else None,
        peer_replication_id=seen.replication_id if seen else None,
        peer_keys=seen.keys if seen else None,
    )
    return dict(fields.write(block))


def asset_bucket(settings: Settings, site: str, keys: Mapping[str, str]) -> Bucket:
    """A site's asset bucket; `keys` are `access_key` and `secret_key` of a user who may reach it."""
    return _bucket(settings, site, "assets", keys)


def _bucket(settings: Settings, site: str, kind: str, keys: Mapping[str, str]) -> Bucket:
    region = settings.regions[site]
    return Bucket(
        endpoint=region.s3_endpoint,
        region=region.s3_region,
        bucket=settings.bucket(site, kind),
        access_key=keys["access_key"],
        secret_key=keys["secret_key"],
    )


def release(settings: Settings, digest: str, keys: Mapping[str, str] | None) -> Document:
    """Block of `app place`; `keys` read the buckets of releases, None where the release was copied to the host."""
    own, peer = (
        None if keys is None else release_bucket(settings, site, keys) for site in (settings.site, settings.peer)
    )
    block = Place(
        digest=digest, most_mb=settings.app.release_max_mb, kept=settings.app.releases_kept, own=own, peer=peer
    )
    return dict(fields.write(block))


def release_bucket(settings: Settings, site: str, keys: Mapping[str, str]) -> Bucket:
    """Where a site keeps releases."""
    return _bucket(settings, site, "releases", keys)


def assets(settings: Settings, keys: Mapping[str, str]) -> Document:
    """Block of `assets converge`: pulled from the peer's bucket into the own one, by the copier's own user."""
    block = assets_service.Block(
        **vars(settings.assets),
        source=asset_bucket(settings, settings.peer, keys),
        target=asset_bucket(settings, settings.site, keys),
        # What backups that expired leave behind in a versioned bucket.
        lifecycle_of=(settings.bucket(settings.site, "wal"),),
        lock_days=settings.archive.lock_days if settings.archive else 0,
    )
    return dict(fields.write(block))


def app(settings: Settings, release: str, keys: Mapping[str, str], *, turn: bool) -> Document:
    """Block of `app converge`, or of the turn before it. Databases and caches are named local first: libpq tries them in order."""
    secrets, site, peer = settings.secrets, settings.site, settings.peer
    logins = Logins.pair(secrets.postgres.login)
    block = app_service.Block(
        **vars(settings.app),
        turn=turn,
        release=release,
        shop_host=settings.shop.host,
        shop_aliases=settings.shop.aliases,
        serve_aliases=settings.shop.aliases_answer == "serve",
        shop_tls=_certificate(secrets.shop),
        acme=settings.shop.acme is not None,
        secret_key_base=secrets.secret_key_base,
        secret_key_base_beside=secrets.secret_key_base_beside,
        secrets={name: secrets.app[name] for name in secrets_named(settings.app.environments())},
        databases=(*settings.keys_of(DATABASE, site), *settings.keys_of(DATABASE, peer)),
        database=DATABASE_NAME,
        login=secrets.postgres.login,
        database_password=secrets.postgres.app,
        caches=(*settings.keys_of(CACHE, site), *settings.keys_of(CACHE, peer)),
        cache_password=secrets.redis.app,
        database_tls=_certificate(secrets.database.clients[logins.app]),
        worker_tls=_certificate(secrets.database.clients[logins.worker]),
        cache_tls=_trusted(secrets.cache.ca, secrets.cache.clients[SHOP]),
        assets=asset_bucket(settings, site, keys),
        peer_apps=tuple(settings.keys_of(APP, peer)),
        balancers=balancer_networks(settings.region.front_cidr),
    )
    return dict(fields.write(block))


def monitoring(settings: Settings, it: monitoring_service.Keys, kind: str, entrance: str) -> Document:
    """Block of `monitoring converge`, of one kind of host. `entrance`: public address of the own site's load balancer."""
    told = dict(vars(settings.secrets.monitoring))
    page, keys = it.status_page, told.pop("status_page")
    watch = monitoring_service.Watch(
        **vars(it),
        **told,
        page_store=replace(_witness(settings, keys), bucket=page.bucket) if page and keys else None,
        shop_host=settings.shop.host,
        shop_ca=settings.secrets.shop.ca,
        entrance=entrance,
        max_lag_bytes=settings.loss_budget.max_lag_bytes,
        max_lag_s=settings.loss_budget.max_lag_s,
        archived=settings.archive is not None,
    )
    block = monitoring_service.Block(enabled=it.enabled, watch=watch if kind == CONTROL and it.enabled else None)
    return dict(fields.write(block))


def logs(settings: Settings, it: logs_service.Keys, kind: str) -> Document:
    """Block of `logs converge`, of one kind of host. The store's word is told to control hosts alone."""
    kept = logs_service.Kept(days=it.days, host_mb=it.host_mb)
    takes = kind == CONTROL and it.enabled
    block = logs_service.Block(
        enabled=it.enabled,
        kept=kept if takes else None,
        stored=it.enabled and it.store is not None,
        store=_forward(settings, it.store) if takes and it.store is not None else None,
    )
    return dict(fields.write(block))


def _forward(settings: Settings, store: logs_service.Store) -> logs_service.Forward:
    told = settings.secrets.logs
    return logs_service.Forward(**vars(store), password=told.store_password, token=told.store_token)
