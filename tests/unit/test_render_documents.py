"""The documents are read by programs that were written from docs/interfaces.md: their keys are compared with it, key by key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components import config
from components.render import documents
from components.settings import Settings
from tests.components import stack

EPOCH = {
    "schema": 1,
    "epoch": 2,
    "active": "b",
    "previous": "a",
    "planned": True,
    "checkpoint": None,
    "fence": {"rung": 1},
}
KEYS = {"access_key": "AK", "secret_key": "SK"}


@pytest.fixture
def settings() -> Settings:
    return config.parse(stack.configuration("b", failover_region="b"))


def shape(value: Any) -> Any:
    """Keys of a document, all the way down."""
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None


def keys(*names: str, **nested: Any) -> dict[str, Any]:
    return {**dict.fromkeys(names), **nested}


WITNESS = keys("endpoint", "region", "bucket", "access_key", "secret_key")


def test_the_envelope(settings: Settings) -> None:
    host = settings.hosts["db-1.b"]
    document = {**documents.envelope(settings, host, instance="i-1", tool="t-1"), **documents.role(settings, EPOCH)}
    hosts = {key: keys("name", "vrack", "front") for key in settings.hosts}
    assert shape(document) == keys(
        "schema",
        "site",
        "repair",
        "peer",
        "host",
        "request",
        "instance",
        "tool",
        epoch=shape(EPOCH),
        hosts=hosts,
        tls=keys("ca", "cert", "key"),
    )
    assert (document["site"], document["peer"], document["host"], document["request"]) == ("b", "a", "db-1", "b")
    assert document["hosts"]["cache-1.a"] == {
        "name": "cache-1.a.dr.internal",
        "vrack": "10.100.0.21",
        "front": "10.1.0.21",
    }
    assert document["tls"]["cert"] == settings.secrets.host_certificates["db-1.b"].cert


def test_the_setup_block(settings: Settings) -> None:
    assert shape(documents.setup(settings, ("nginx",))) == keys("packages", witness=WITNESS)
    lease = keys("lease_s", "stop_s", "margin_s", "heartbeat_s")
    assert shape(documents.setup(settings, ("nginx",), leased=True)) == keys("packages", witness=WITNESS, lease=lease)
    without = config.parse(stack.configuration("b", lease="off"))
    assert documents.setup(without, (), leased=True)["lease"] == "off"


def test_the_postgres_block(settings: Settings) -> None:
    block = documents.postgres(settings, "v-1")
    assert shape(block) == keys(
        "version",
        "port",
        "volume_id",
        "volume_gb",
        "database",
        "app_clients",
        "archive",
        "peer_db",
        "mode",
        "degrade_after_s",
        "max_slot_wal_keep_size",
        "preload",
        "extensions",
        "logical",
        passwords=keys("replication", "app"),
        parameters=keys("shared_buffers"),
    )
    assert block["peer_db"] == "db-1.a"
    assert block["app_clients"] == ["10.100.0.41/32", "10.100.0.42/32", "10.100.0.141/32", "10.100.0.142/32"]


def test_the_archive_block(settings: Settings) -> None:
    assert settings.archive is not None
    block = documents.archive(settings, settings.archive, {"access_key": "k", "secret_key": "s"})
    place = keys("endpoint", "region", "bucket")
    assert shape(block) == keys(
        "version", "port", "passphrase", "ca", "retention_full", "process_max", "queue_max",
        repositories={"a": place, "b": place}, keys=keys("access_key", "secret_key"), schedule=keys("full", "incremental"),
    )  # fmt: skip
    assert block["repositories"]["a"] == {
        "endpoint": "https://203.0.113.3",
        "region": "gra",
        "bucket": "shop-01234567-a-wal",
    }


def test_the_redis_block(settings: Settings) -> None:
    block = documents.redis(settings, {"epoch": 1})
    assert shape(block) == keys(
        "port",
        "peer_offset",
        "peer_replication_id",
        "maxmemory",
        "maxmemory_policy",
        "write_rate",
        "bridge_s",
        "link_mbit",
        "min_replicas_to_write",
        "cold_cache",
        "app_clients",
        "caches",
        "peer_caches",
        passwords=keys("app", "replica", "operator"),
    )
    assert (block["caches"], block["peer_caches"]) == (["cache-1.b"], ["cache-1.a"])


@pytest.mark.parametrize(
    "seen", [{}, {"last_seen": None}, {"last_seen": {"redis": None}}, {"last_seen": {"redis": {"running": False}}}]
)
def test_a_cache_of_which_no_heartbeat_tells_has_an_unknown_offset(settings: Settings, seen: dict[str, Any]) -> None:
    block = documents.redis(settings, seen)
    assert (block["peer_offset"], block["peer_replication_id"]) == (None, None)


def test_the_app_block_names_the_local_side_first(settings: Settings) -> None:
    block = documents.app(settings, "/opt/shop/releases/x", KEYS)
    assert shape(block) == keys(
        "release",
        "shop_host",
        "secret_key_base",
        "databases",
        "database",
        "database_password",
        "caches",
        "cache_password",
        "assets_peer",
        "peer_apps",
        "vip_subnet",
        "threads",
        "workers",
        shop_tls=keys("cert", "key"),
        assets=WITNESS,
    )
    assert block["databases"] == ["db-1.b", "db-1.a"]
    assert block["caches"] == ["cache-1.b", "cache-1.a"]
    assert block["peer_apps"] == ["app-1.a", "app-2.a"]
    assert block["vip_subnet"] == "10.2.0.0/24"
    assert block["assets"]["bucket"] == "shop-01234567-b-assets"
    assert block["assets"]["endpoint"] == "http://198.51.100.3:7070"


def test_the_fence_document(settings: Settings) -> None:
    document = documents.fence(settings, {"lb": "198.51.100.50", "bastion": "198.51.100.51"})
    hosts = {key: keys("vrack", "front", "host_key") for key in settings.hosts}
    assert shape(document) == keys(
        "schema",
        "repair",
        "site",
        "peer",
        "request",
        "override",
        "override_epoch",
        "accept_loss",
        "apps",
        "caches",
        loss_budget=keys("max_lag_bytes", "max_lag_s"),
        lease=keys("lease_s", "stop_s", "margin_s", "heartbeat_s"),
        witness=WITNESS,
        ssh=keys("private_key", hosts=hosts, bastions=keys("b")),
        openstack=keys(
            "auth_url", "user", "password", "project_id", "domain", regions=keys("a", "b"), servers=keys("a", "b")
        ),
        public=keys("lb", "bastion"),
    )
    assert document["openstack"]["regions"] == {"a": "GRA11", "b": "SBG5"}
    assert document["openstack"]["servers"]["a"] == ["shop-a-db-1", "shop-a-app-1", "shop-a-app-2", "shop-a-cache-1"]
    assert document["apps"] == ["app-1", "app-2"]
    assert document["caches"] == ["cache-1"]
    assert document["ssh"]["bastions"] == {"b": "198.51.100.51"}
    assert (document["override"], document["override_epoch"]) == (None, None)


def test_an_override_reaches_the_fence() -> None:
    accept = {"without_fence": {"epoch": 4, "reason": "the building burned"}}
    document = documents.fence(config.parse(stack.configuration(accept=accept)), {"lb": "x", "bastion": "y"})
    assert (document["override"], document["override_epoch"]) == ("the building burned", 4)


def test_the_verify_document(settings: Settings) -> None:
    document = documents.verify(settings, EPOCH, "198.51.100.50")
    assert shape(document) == keys(
        "schema", "site", "repair", "peer", "shop_host", "address", "ca", epoch=shape(EPOCH), witness=WITNESS
    )


def test_the_pointer_document_leaves_the_other_sites_address_to_the_witness(settings: Settings) -> None:
    document = documents.pointer(settings, EPOCH, "198.51.100.50")
    assert shape(document) == keys(
        "schema",
        "repair",
        "site",
        epoch=shape(EPOCH),
        witness=WITNESS,
        addresses=keys("a", "b"),
        dns=keys("zone", "subdomain", "ttl", "mode", "servers"),
        ovh=keys("endpoint", "application_key", "application_secret", "consumer_key"),
    )
    assert document["addresses"] == {"a": None, "b": "198.51.100.50"}


def test_the_same_facts_give_the_same_bytes(settings: Settings) -> None:
    one = documents.dump({"b": 1, "a": {"d": [1, 2], "c": None}})
    assert one == '{"a":{"c":null,"d":[1,2]},"b":1}'
    assert json.loads(one) == {"a": {"c": None, "d": [1, 2]}, "b": 1}


def test_several_caches_are_named_to_hosts_shop_and_fence() -> None:
    settings = config.parse(stack.configuration("b", redis={"maxmemory": "256mb", "cache_replicas": 2}))
    own, peers = ([f"cache-{number}.{site}" for number in (1, 2, 3)] for site in "ba")
    block = documents.redis(settings, {})
    assert (block["caches"], block["peer_caches"]) == (own, peers)
    assert documents.app(settings, "/opt/shop/releases/x", KEYS)["caches"] == [*own, *peers]
    document = documents.fence(settings, {"lb": "x", "bastion": "y"})
    assert document["caches"] == ["cache-1", "cache-2", "cache-3"]
    assert {"shop-a-cache-1", "shop-a-cache-2", "shop-a-cache-3"} < set(document["openstack"]["servers"]["a"])
