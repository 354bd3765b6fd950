"""What is written into PostgreSQL's files, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.pairs.postgres import Node
from scripts.host.postgres.config import hba, settings
from scripts.host.postgres.desired import Desired
from scripts.host.postgres.layout import PostgresLayout

TLS = {"ca": "c", "cert": "c", "key": "k"}


def rendered(root: Path, floors: dict[str, int] | None = None, **block: object) -> dict[str, str]:
    node = Node("a", root, TLS, {"a": 5432, "b": 5433})
    return settings(Desired.read(node.document(1, "a", **block)), node.layout, floors)


def test_a_standby_is_never_below_its_primary_and_keeps_what_is_more(tmp_path: Path) -> None:
    found = rendered(
        tmp_path,
        {"max_connections": 50, "max_wal_senders": 10, "max_prepared_transactions": 7},
        parameters={"max_connections": "20"},
    )
    assert (found["max_connections"], found["max_wal_senders"], found["max_prepared_transactions"]) == ("50", "10", "7")
    assert rendered(tmp_path, {"max_connections": 15}, parameters={"max_connections": "20"})["max_connections"] == "20"
    assert "max_worker_processes" not in rendered(tmp_path, {"max_worker_processes": 8}), "a default is left alone"


@pytest.mark.parametrize(
    ("disk_gb", "keep", "rewind"), [(10, "4096MB", "1024MB"), (1, "409MB", "409MB"), (0.05, "64MB", "64MB")]
)
def test_the_disk_decides_how_much_wal_a_standby_that_is_away_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk_gb: float, keep: str, rewind: str
) -> None:
    monkeypatch.setattr(PostgresLayout, "disk", lambda self: int(disk_gb * (1 << 30)))
    found = rendered(tmp_path, max_slot_wal_keep_size=None)
    assert (found["max_slot_wal_keep_size"], found["wal_keep_size"]) == (keep, rewind)
    assert rendered(tmp_path, max_slot_wal_keep_size="2GB")["max_slot_wal_keep_size"] == "2GB"


def test_a_data_folder_that_is_not_there_yet_has_a_disk(tmp_path: Path) -> None:
    layout = Node("a", tmp_path, TLS, {"a": 5432, "b": 5433}).layout
    assert not layout.mount.exists() and layout.disk() > 0


def test_a_slot_of_a_standby_that_is_away_does_not_expire_where_the_server_knows_such_a_thing(tmp_path: Path) -> None:
    found = {version: rendered(tmp_path, version=version).get("idle_replication_slot_timeout") for version in (17, 18)}
    assert found == {17: None, 18: "0"}


def test_workers_come_in_from_their_own_site_and_by_no_rule_of_the_shops(tmp_path: Path) -> None:
    node = Node("a", tmp_path, TLS, {"a": 5432, "b": 5433})
    told = {"app_clients": ["10.0.0.41/32", "10.0.0.141/32"], "worker_clients": ["10.0.0.41/32"]}
    rules = [line.split() for line in hba(Desired.read(node.document(1, "a", **told))).splitlines()]
    assert [rule[3] for rule in rules if rule[2] == '"shop"'] == ["10.0.0.41/32", "10.0.0.141/32"]
    assert [rule[:2] + rule[3:] for rule in rules if rule[2] == '"shop_worker"'] == [
        ["hostssl", '"shop"', "10.0.0.41/32", "scram-sha-256", "clientcert=verify-full"]
    ]
    assert all(
        rule[0] == "hostssl" and rule[-1] == "clientcert=verify-full" for rule in rules if "scram-sha-256" in rule
    )
    assert not [rule for rule in rules if rule[2].startswith('"+')], "members of a role would come in by its rule"
    assert rules[-3:] == [
        ["local", "all", "all", "reject"],
        ["host", "all", "all", "all", "reject"],
        ["host", "replication", "all", "all", "reject"],
    ]


def test_while_its_password_is_rotated_the_other_regions_database_host_alone_comes_in_by_its_certificate(
    tmp_path: Path,
) -> None:
    node = Node("a", tmp_path, TLS, {"a": 5432, "b": 5433})
    told = {"app_clients": ["10.0.0.41/32"], "worker_clients": ["10.0.0.41/32"]}
    words = {"replication": "r", "app": "one", "beside": "two", "replication_rotated": True}
    rules = [line.split() for line in hba(Desired.read(node.document(1, "a", passwords=words, **told))).splitlines()]
    assert [rule for rule in rules if rule[-1] == "cert"] == [
        ["hostssl", name, '"dr_replication"', "127.0.0.1/32", "cert"] for name in ("replication", '"postgres"')
    ]
    assert all(
        rule[-2:] == ["scram-sha-256", "clientcert=verify-full"] for rule in rules if rule[2].startswith('"shop')
    )
    at_rest = hba(Desired.read(node.document(1, "a", passwords={**words, "replication_rotated": False}, **told)))
    assert " cert\n" not in at_rest


def test_the_other_pair_of_logins_comes_in_as_the_first_one_while_it_is_rotated_and_not_otherwise(
    tmp_path: Path,
) -> None:
    node = Node("a", tmp_path, TLS, {"a": 5432, "b": 5433})
    told = {"app_clients": ["10.0.0.41/32", "10.0.0.141/32"], "worker_clients": ["10.0.0.41/32"]}
    words = {"replication": "r", "app": "one"}

    def rules(**more: object) -> dict[str, list[str]]:
        lines = [line.split() for line in hba(Desired.read(node.document(1, "a", **told, **more))).splitlines()]
        names = {rule[2] for rule in lines if rule[2].startswith('"shop')}
        return {name.strip('"'): [rule[3] for rule in lines if rule[2] == name] for name in names}

    both = {"shop": told["app_clients"], "shop_worker": told["worker_clients"]}
    assert rules(passwords={**words, "beside": "two"}) == both | {
        "shop_2": told["app_clients"],
        "shop_worker_2": told["worker_clients"],
    }
    assert rules(passwords={**words, "beside": None}, login=1) == both
    assert rules(passwords=words, login=2).keys() == {"shop_2", "shop_worker_2"}
