"""What the program writes is read back by the contract that hosts and links read it with, and says what it should."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from components import config
from components.render import documents, links
from components.settings import Settings
from contract import fields
from contract.accept import spelled
from contract.documents import Envelope
from contract.epoch import InForce, LastSeen, LastSeenCache, Rung
from contract.hosts import KINDS
from contract.links import fence, pointer, replication, verify
from contract.services import app, archive, assets, postgres, redis, setup
from tests.components import stack

EPOCH = InForce(epoch=2, active="b", previous="a", planned=True, fence=Rung(rung=1))
KEYS = {"access_key": "AK", "secret_key": "SK"}
SERVERS = {"shop-a-db-1": "0f3a"}
PUBLIC = {"lb": "198.51.100.50", "bastion": "198.51.100.51"}


@pytest.fixture
def settings() -> Settings:
    return config.parse(stack.configuration("b", failover_region="b"))


def test_every_document_is_read_as_it_was_written(settings: Settings) -> None:
    """Through JSON and back: nothing is lost, nothing is unknown."""
    assert settings.archive is not None
    written: list[tuple[type[Any], dict[str, Any]]] = [
        (Envelope, documents.envelope(settings, settings.hosts["db-1.b"], instance="i-1", tool="t-1", epoch=EPOCH)),
        (setup.Block, documents.setup(settings, "db")),
        (postgres.Block, documents.postgres(settings, "v" * 36)),
        (archive.Block, documents.archive(settings, settings.archive, KEYS)),
        (redis.Block, documents.redis(settings, settings.hosts["cache-1.b"], EPOCH)),
        (assets.Block, documents.assets(settings, KEYS)),
        (app.Block, documents.app(settings, "/opt/shop/releases/x", KEYS, turn=False)),
        (fence.Document, links.fence(settings, PUBLIC, SERVERS)),
        (verify.Document, links.verify(settings, EPOCH, "198.51.100.50")),
        (pointer.Document, links.pointer(settings, EPOCH, "198.51.100.50")),
        (replication.Document, links.replication(settings, EPOCH)),
    ]
    for kind, document in written:
        assert set(document) == set(fields.keys(kind)), kind
        assert fields.write(fields.read(kind, json.loads(documents.dump(document)), "document")) == json.loads(
            documents.dump(document)
        ), kind


def test_the_envelope(settings: Settings) -> None:
    host = settings.hosts["db-1.b"]
    document = documents.envelope(settings, host, instance="i-1", tool="t-1", epoch=EPOCH)
    assert (document["site"], document["peer"], document["host"], document["request"]) == ("b", "a", "db-1", "b")
    assert document["hosts"]["cache-1.a"] == {
        "name": "cache-1.a.dr.internal",
        "vrack": "10.100.0.21",
        "front": "10.1.0.21",
    }
    assert document["tls"]["cert"] == settings.secrets.host_certificates["db-1.b"].cert


def test_before_the_fence_a_document_depends_on_no_request(settings: Settings) -> None:
    document = documents.envelope(settings, settings.hosts["db-1.b"], instance="i-1", tool="t-1")
    assert not {"request", "epoch"} & set(document)


def test_the_setup_block(settings: Settings) -> None:
    assert documents.setup(settings, "app")["lease"] is None and "nginx" in documents.setup(settings, "app")["packages"]
    assert documents.setup(settings, "cache")["lease"] == {"lease_s": 30, "stop_s": 5, "margin_s": 5, "heartbeat_s": 2}
    without = config.parse(stack.configuration("b", lease="off"))
    assert documents.setup(without, "db")["lease"] is None


def test_no_host_is_told_the_operators_key_to_the_witness(settings: Settings) -> None:
    """Who holds that key says which region is active."""
    operators = settings.secrets.witness.secret_key
    assert documents.witness(settings).secret_key == operators
    for kind in KINDS:
        assert operators not in documents.dump(documents.setup(settings, kind)), kind


def test_a_host_is_told_the_key_to_the_witness_of_its_kind_and_site_or_none(settings: Settings) -> None:
    told = {kind: documents.setup(settings, kind)["witness"] for kind in KINDS}
    assert {kind for kind, block in told.items() if block is not None} == set(KINDS)
    held = stack.secrets()["witness"]["hosts"]
    for kind in KINDS:
        assert {name: told[kind][name] for name in ("access_key", "secret_key")} == held[f"{kind}.b"]
        assert told[kind]["bucket"] == "shop-witness" and documents.setup(settings, kind)["signed_in"]


def test_a_bastion_without_a_key_is_asked_to_keep_nothing(settings: Settings) -> None:
    """Its set of secrets is older than that key."""
    held = {user: it for user, it in settings.secrets.witness_hosts.items() if not user.startswith("control.")}
    older = replace(settings, secrets=replace(settings.secrets, witness_hosts=held))
    block = documents.setup(older, "control")
    assert block["witness"] is None and not block["signed_in"] and documents.setup(older, "db")["signed_in"]


def test_the_postgres_block(settings: Settings) -> None:
    block = documents.postgres(settings, "v-1")
    assert block["peer_db"] == "db-1.a"
    assert block["app_clients"] == ["10.100.0.41/32", "10.100.0.42/32", "10.100.0.141/32", "10.100.0.142/32"]
    assert block["worker_clients"] == ["10.100.0.141/32", "10.100.0.142/32"], "workers of a standby site are let in"


def test_the_archive_block(settings: Settings) -> None:
    assert settings.archive is not None
    block = documents.archive(settings, settings.archive, {"access_key": "k", "secret_key": "s"})
    assert block["repositories"]["a"] == {"region": "gra", "bucket": "shop-01234567-a-wal"}
    assert block["endpoints"]["a"] == "https://203.0.113.3"


def test_the_redis_block(settings: Settings) -> None:
    block = documents.redis(settings, settings.hosts["cache-1.b"], EPOCH)
    assert (block["caches"], block["peer_caches"]) == (["cache-1.b"], ["cache-1.a"])


@pytest.mark.parametrize("seen", [None, LastSeen(), LastSeen(redis=LastSeenCache())])
def test_a_cache_of_which_no_heartbeat_tells_has_an_unknown_offset(settings: Settings, seen: LastSeen | None) -> None:
    block = documents.redis(settings, settings.hosts["cache-1.b"], InForce(epoch=2, active="b", last_seen=seen))
    assert (block["peer_offset"], block["peer_replication_id"], block["peer_keys"]) == (None, None, None)


def test_what_the_old_master_was_seen_to_have_is_told(settings: Settings) -> None:
    seen = LastSeen(redis=LastSeenCache(offset=9, replication_id="r1", keys=60))
    block = documents.redis(settings, settings.hosts["cache-1.b"], InForce(epoch=2, active="b", last_seen=seen))
    assert (block["peer_offset"], block["peer_replication_id"], block["peer_keys"]) == (9, "r1", 60)


def test_the_app_block_names_the_local_side_first(settings: Settings) -> None:
    block = documents.app(settings, "/opt/shop/releases/x", KEYS, turn=False)
    assert block["databases"] == ["db-1.b", "db-1.a"]
    assert block["caches"] == ["cache-1.b", "cache-1.a"]
    assert block["peer_apps"] == ["app-1.a", "app-2.a"]
    assert block["balancers"] == ["10.2.0.5/32", "10.2.0.200/29", "10.2.0.208/28", "10.2.0.224/28"]
    assert block["assets"]["bucket"] == "shop-01234567-b-assets"
    assert block["assets"]["endpoint"] == "http://198.51.100.3:7070"


def test_the_fence_document(settings: Settings) -> None:
    document = links.fence(settings, PUBLIC, SERVERS)
    assert document["openstack"]["regions"] == {"a": "GRA11", "b": "SBG5"}
    assert document["openstack"]["servers"]["a"] == ["shop-a-db-1", "shop-a-cache-1"]
    assert document["openstack"]["workers"]["a"] == ["shop-a-app-1", "shop-a-app-2"]
    assert document["apps"] == ["app-1", "app-2"]
    assert document["caches"] == ["cache-1"]
    assert document["ssh"]["bastions"] == {"b": "198.51.100.51"}
    assert (document["without_fence"], document["data_loss"]) == (None, None)


def test_an_override_reaches_the_fence() -> None:
    accept = {"without_fence": {"epoch": 4, "at": spelled(), "reason": "the building burned"}}
    document = links.fence(config.parse(stack.configuration(accept=accept)), {"lb": "x", "bastion": "y"}, {})
    assert document["without_fence"] == {"epoch": 4, "at": spelled(), "reason": "the building burned"}


def test_the_pointer_document_leaves_the_other_sites_address_to_the_witness(settings: Settings) -> None:
    document = links.pointer(settings, EPOCH, "198.51.100.50")
    assert document["address"] == "198.51.100.50" and "addresses" not in document


def test_where_no_rule_is_turned_no_move_changes_the_document(settings: Settings) -> None:
    later = InForce(epoch=3, active="a", previous="b")
    assert links.replication(settings, EPOCH) == links.replication(settings, later)
    native = config.parse(stack.configuration("b", assets={"mode": "native"}))
    assert links.replication(native, EPOCH) != links.replication(native, later)


def test_the_same_facts_give_the_same_bytes(settings: Settings) -> None:
    one = documents.dump({"b": 1, "a": {"d": [1, 2], "c": None}})
    assert one == '{"a":{"c":null,"d":[1,2]},"b":1}'
    assert json.loads(one) == {"a": {"c": None, "d": [1, 2]}, "b": 1}


def test_several_caches_are_named_to_hosts_shop_and_fence() -> None:
    settings = config.parse(stack.configuration("b", redis={"maxmemory": "256mb", "cache_replicas": 2}))
    own, peers = ([f"cache-{number}.{site}" for number in (1, 2, 3)] for site in "ba")
    block = documents.redis(settings, settings.hosts["cache-1.b"], EPOCH)
    assert (block["caches"], block["peer_caches"]) == (own, peers)
    assert documents.app(settings, "/opt/shop/releases/x", KEYS, turn=False)["caches"] == [*own, *peers]
    document = links.fence(settings, {"lb": "x", "bastion": "y"}, {})
    assert document["caches"] == ["cache-1", "cache-2", "cache-3"]
    assert {"shop-a-cache-1", "shop-a-cache-2", "shop-a-cache-3"} < set(document["openstack"]["servers"]["a"])
