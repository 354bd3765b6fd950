"""The JSON documents that hosts and links read on stdin (`docs/interfaces.md`, sections 2 and 3).

Pure: settings and resolved facts in, one JSON text with sorted keys out, so that the same facts always give the same bytes and a
run that changes nothing shows no difference. Every document holds secrets; the caller marks it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from components.naming import HostAddress
from components.settings import Archive, Settings

Document = dict[str, Any]


def dump(document: Mapping[str, Any]) -> str:
    """The one spelling of a document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _head(settings: Settings) -> Document:
    """What every document begins with. A raised `repair` makes each of them another one, so that every link runs again."""
    return {"schema": 1, "site": settings.site, "repair": settings.repair}


def epoch_of(stdout: str) -> Document:
    """The epoch that the fence link printed; every document after it carries it."""
    epoch: Document = json.loads(stdout)
    return epoch


def envelope(settings: Settings, host: HostAddress, *, instance: str, tool: str) -> Document:
    """What every host document holds, whatever the role and the request.

    `instance` is the server's id and `tool` the digest of dr-host: a host that was replaced, and hosts whose software was, are
    converged again because the document differs.
    """
    certificate = settings.secrets.host_certificates[host.key]
    return {
        **_head(settings),
        "peer": settings.peer,
        "host": host.name,
        "instance": instance,
        "tool": tool,
        "hosts": {key: {"name": it.fqdn, "vrack": it.vrack, "front": it.front} for key, it in settings.hosts.items()},
        "tls": {"ca": settings.secrets.ca, "cert": certificate.cert, "key": certificate.key},
    }


def role(settings: Settings, epoch: Document) -> Document:
    """What is added to the envelope of every link after the fence."""
    return {"request": settings.request, "epoch": epoch}


def witness(settings: Settings) -> Document:
    """The witness bucket with the keys to it."""
    keys = settings.secrets.witness
    return {
        "endpoint": settings.witness.endpoint,
        "region": settings.witness.region,
        "bucket": settings.witness.bucket,
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
    }


def setup(settings: Settings, packages: tuple[str, ...], *, leased: bool = False) -> Document:
    """Block of `host converge`. Its key is not the service's name: that one is taken by the envelope. `leased`: the host keeps a lease."""
    block: Document = {"packages": list(packages), "witness": witness(settings)}
    if leased:
        block["lease"] = asdict(settings.lease) if settings.lease else "off"
    return block


def postgres(settings: Settings, volume_id: str | None) -> Document:
    """Block of `postgres converge`."""
    passwords = settings.secrets.postgres
    return {
        "version": settings.postgres.version,
        "port": 5432,
        "volume_id": volume_id,
        "volume_gb": settings.region.db_volume_gb,
        "database": "shop",
        "passwords": {"replication": passwords.replication, "app": passwords.app},
        "app_clients": [f"{address}/32" for address in settings.vrack_of("app")],
        "archive": settings.archive is not None,
        "peer_db": f"db-1.{settings.peer}",
        "mode": settings.postgres.mode,
        "degrade_after_s": settings.postgres.degrade_after_s,
        "max_slot_wal_keep_size": settings.postgres.max_slot_wal_keep_size,
        "parameters": dict(settings.postgres.parameters),
        "preload": list(settings.postgres.preload),
        "extensions": list(settings.postgres.extensions),
        "logical": settings.postgres.logical,
    }


def archive(settings: Settings, it: Archive, keys: Mapping[str, str]) -> Document:
    """Block of `archive prepare` and `archive converge`; `keys` reach the WAL buckets of both sites."""
    return {
        "version": settings.postgres.version,
        "port": 5432,
        "repositories": {
            site: {"endpoint": it.endpoints[site], "region": region.s3_region, "bucket": settings.bucket(site, "wal")}
            for site, region in settings.regions.items()
        },
        "keys": {"access_key": keys["access_key"], "secret_key": keys["secret_key"]},
        "passphrase": settings.secrets.archive,
        "ca": it.ca,
        "retention_full": it.retention_full,
        "process_max": it.process_max,
        "queue_max": it.queue_max,
        "schedule": {"full": it.full, "incremental": it.incremental},
    }


def redis(settings: Settings, epoch: Mapping[str, Any]) -> Document:
    """Block of `redis converge`. What the old master's last heartbeat told comes from the fence link, with the epoch."""
    passwords, cache = settings.secrets.redis, settings.redis
    seen = (epoch.get("last_seen") or {}).get("redis") or {}
    return {
        "port": 6379,
        "passwords": {"app": passwords.app, "replica": passwords.replica, "operator": passwords.operator},
        "caches": settings.caches(settings.site),
        "peer_caches": settings.caches(settings.peer),
        "peer_offset": seen.get("offset"),
        "peer_replication_id": seen.get("replication_id"),
        "maxmemory": cache.maxmemory,
        "maxmemory_policy": cache.maxmemory_policy,
        "write_rate": cache.write_rate,
        "bridge_s": cache.bridge_s,
        "link_mbit": cache.link_mbit,
        "min_replicas_to_write": cache.min_replicas_to_write,
        "cold_cache": cache.cold_cache,
        "app_clients": [f"{address}/32" for address in settings.vrack_of("app")],
    }


def assets(settings: Settings, site: str, keys: Mapping[str, str]) -> Document:
    """A site's asset bucket; `keys` are `access_key` and `secret_key` of a user who may reach it."""
    region = settings.regions[site]
    return {
        "endpoint": region.s3_endpoint,
        "region": region.s3_region,
        "bucket": settings.bucket(site, "assets"),
        "access_key": keys["access_key"],
        "secret_key": keys["secret_key"],
    }


def asset_sync(settings: Settings, keys: Mapping[str, str]) -> Document:
    """Block of `assets converge`: pulled from the peer's bucket into the own one, by the copier's own user."""
    sync = settings.asset_sync
    return {
        "source": assets(settings, settings.peer, keys),
        "target": assets(settings, settings.site, keys),
        "mode": sync.mode,
        "interval_s": sync.interval_s,
        "options": {"grace_s": float(sync.grace_s), "max_deletes": sync.max_deletes},
        "bucket": {
            "keep_old_versions_days": sync.keep_old_versions_days,
            "abort_uploads_days": sync.abort_uploads_days,
            "cors_origins": list(sync.cors_origins),
            # What backups that expired leave behind in a versioned bucket.
            "lifecycle_of": [settings.bucket(settings.site, "wal")],
        },
    }


def app(settings: Settings, release: str, keys: Mapping[str, str]) -> Document:
    """Block of `app converge`. Databases and caches are named local first: libpq tries them in order."""
    secrets, site, peer = settings.secrets, settings.site, settings.peer
    return {
        "release": release,
        "shop_host": settings.shop.host,
        "shop_tls": {"cert": secrets.shop.cert, "key": secrets.shop.key},
        "secret_key_base": secrets.secret_key_base,
        "databases": [f"db-1.{site}", f"db-1.{peer}"],
        "database": "shop",
        "database_password": secrets.postgres.app,
        "caches": [*settings.caches(site), *settings.caches(peer)],
        "cache_password": secrets.redis.app,
        "assets": assets(settings, site, keys),
        "assets_peer": None,
        "peer_apps": [key for key, it in settings.hosts_of(peer).items() if it.role == "app"],
        "vip_subnet": settings.region.front_cidr,
        "threads": settings.app.threads,
        "workers": settings.app.workers,
    }


def openstack(settings: Settings) -> Document:
    """How to log in at OpenStack."""
    stack = settings.openstack
    return {
        "auth_url": stack.auth_url,
        "user": stack.user,
        "password": settings.secrets.openstack_password,
        "project_id": stack.project_id,
        "domain": stack.domain,
    }


def ovh(settings: Settings) -> Document:
    """How to sign at the OVHcloud API."""
    keys = settings.secrets.ovh
    return {
        "endpoint": settings.ovh_endpoint,
        "application_key": keys.application_key,
        "application_secret": keys.application_secret,
        "consumer_key": keys.consumer_key,
    }


def fence(settings: Settings, public: Mapping[str, str]) -> Document:
    """Stdin of the fence link; `public` are the own site's addresses `lb` and `bastion`."""
    override = settings.override
    return {
        **_head(settings),
        "peer": settings.peer,
        "request": settings.request,
        "override": override.reason if override else None,
        "override_epoch": override.epoch if override else None,
        "loss_budget": asdict(settings.loss_budget),
        "accept_loss": settings.accepted_loss.epoch if settings.accepted_loss else None,
        "lease": asdict(settings.lease) if settings.lease else None,
        "witness": witness(settings),
        "ssh": {
            "private_key": settings.secrets.operator.private,
            "hosts": {
                key: {"vrack": it.vrack, "front": it.front, "host_key": settings.secrets.host_keys[key].public}
                for key, it in settings.hosts.items()
            },
            "bastions": {settings.site: public["bastion"]},
        },
        "openstack": {
            **openstack(settings),
            "regions": {site: region.compute_region for site, region in settings.regions.items()},
            "servers": {site: settings.server_names(site) for site in settings.regions},
        },
        "apps": [it.name for it in settings.hosts_of(settings.peer).values() if it.role == "app"],
        "caches": [key.rsplit(".", 1)[0] for key in settings.caches(settings.peer)],
        "public": dict(public),
    }


def verify(settings: Settings, epoch: Document, address: str) -> Document:
    """Stdin of the verify link; `address` is the load balancer's floating IP."""
    return {
        **_head(settings),
        "peer": settings.peer,
        "epoch": epoch,
        "shop_host": settings.shop.host,
        "address": address,
        "ca": settings.secrets.ca,
        "witness": witness(settings),
    }


def pointer(settings: Settings, epoch: Document, address: str) -> Document:
    """Stdin of the pointer link. The other site's address is not this stack's to know: the link reads it from the witness."""
    dns = settings.dns
    return {
        **_head(settings),
        "epoch": epoch,
        "dns": {
            "zone": dns.zone,
            "subdomain": dns.subdomain,
            "ttl": dns.ttl,
            "mode": dns.mode,
            "servers": list(dns.servers),
        },
        "addresses": {settings.site: address, settings.peer: None},
        "witness": witness(settings),
        "ovh": ovh(settings),
    }


def replication(settings: Settings, epoch: Document) -> Document:
    """Stdin of the replication link. In mode `copy` there is no direction to turn: no move makes it run."""
    return {
        **_head(settings),
        "epoch": epoch if settings.asset_sync.mode != "copy" else None,
        "mode": settings.asset_sync.mode,
        "service_name": settings.service_name,
        "buckets": {
            site: {"region": region.storage_region, "bucket": settings.bucket(site, "assets")}
            for site, region in settings.regions.items()
        },
        "witness": witness(settings),
        "ovh": ovh(settings),
    }
