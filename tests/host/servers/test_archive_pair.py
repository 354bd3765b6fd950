"""The archive with real servers: PostgreSQL, pgBackRest, S3 over TLS in two regions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from contract.errors import Refused
from lab.pairs.archive import KEYS, PASSPHRASE, ArchivePair
from lab.pairs.loopback import free_port
from lab.pairs.postgres import Node, caught_up
from scripts.host.archive.check import metrics
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.archive.state import change
from scripts.host.frame.wait import until
from scripts.host.postgres.server import psql
from scripts.host.postgres.verbs import stop_server
from tests.host.servers.test_pg_pair import hand_over


@pytest.fixture
def alone() -> Iterator[ArchivePair]:
    """Epoch 1: a leads and archives, b is not there yet; a table with one row."""
    made = ArchivePair()
    try:
        made.epoch(1, "a")
        made.prepare(made.a)
        made.a.converge(1, "a", archive=True)
        made.make_places(made.a)
        made.a.sql("create table orders (id int); insert into orders values (1)", "shop")
        yield made
    finally:
        made.close()


@pytest.fixture
def pair(alone: ArchivePair) -> ArchivePair:
    """And b follows."""
    alone.prepare(alone.b)
    alone.b.converge(1, "a", archive=True)
    return alone


def archived(pair: ArchivePair, node: Node, *sites: str) -> str:
    """Everything written so far is in the archive of these sites (both when none is named); returns the last segment's name."""
    name = node.sql("select pg_walfile_name(pg_switch_wal())")

    def there(site: str) -> bool:
        return name in pair.regions[site].wal()

    for site in sites or "ab":
        assert until(partial(there, site), 60, 0.2), f"{name} is not in {site}: {server_log(node)}"
    return name


def nudged(node: Node) -> bool:
    """The archiver looks again at once; after failures it would wait for a minute."""
    return node.sql("select pg_reload_conf()") == "t"


def server_log(node: Node) -> str:
    return node.layout.log.read_text()[-20000:]


def now(node: Node) -> str:
    return node.sql("select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US+00:00')")


def restored(pair: ArchivePair, node: Node, name: str, **order: Any) -> dict[str, Any]:
    """The facts of a restore that has to work."""
    pair.restored.append(pair.folder / name)
    done = pair.call(node, "restore", {"directory": str(pair.folder / name), "port": free_port(), **order})
    assert done.code == 0, done.err
    facts: dict[str, Any] = json.loads(done.out)["facts"]
    return facts


def orders(node: Node, facts: dict[str, Any]) -> list[str]:
    """Ids in the restored cluster, by its socket."""
    target = {"host": facts["sockets"], "port": str(facts["port"]), "user": "postgres", "dbname": "shop"}
    return psql(
        node.layout, target, "select id from public.orders order by id", limit_s=10, user=node.layout.user
    ).split()


def test_times_before_and_after_a_promotion_come_back(pair: ArchivePair) -> None:
    done = pair.call(pair.a, "backup", {"type": "full"})
    assert done.code == 0, done.err
    pair.a.sql("insert into orders values (2)", "shop")
    before = now(pair.a)
    pair.a.sql("insert into orders values (3)", "shop")
    archived(pair, pair.a)
    caught_up(pair.a, pair.b)
    facts: dict[str, Any] = hand_over(pair.a, pair.b, 2)
    pair.epoch(2, "b")
    pair.b.converge(2, "b", archive=True, **facts)
    pair.a.converge(2, "b", archive=True, **facts)
    pair.check(pair.b)
    pair.b.sql("insert into orders values (4)", "shop")
    after = now(pair.b)
    pair.b.sql("insert into orders values (5)", "shop")
    archived(pair, pair.b)

    first = restored(pair, pair.b, "r1", target=before)
    assert orders(pair.b, first) == ["1", "2"]
    second = restored(pair, pair.b, "r2", target=after, repository="a")
    assert orders(pair.b, second) == ["1", "2", "3", "4"]
    everything = restored(pair, pair.a, "r3")
    assert orders(pair.a, everything) == ["1", "2", "3", "4", "5"]
    assert first["timeline"] > 1 and second["timeline"] > 2, "each restore ends on a timeline of its own"

    outside = pair.call(
        pair.b,
        "restore",
        {"directory": str(pair.folder / "r4"), "target": "2020-01-01T00:00:00+00:00", "port": free_port()},
    )
    assert (
        outside.code == 3
        and "a: from 20" in outside.err
        and "b: from 20" in outside.err
        and not (pair.folder / "r4").exists()
    )
    assert pair.b.sql("select count(*) from orders", "shop") == "5", "the running cluster goes on"
    assert KEYS["secret_key"] not in outside.err and PASSPHRASE not in outside.err


def test_every_segment_lies_encrypted_in_both_regions_and_no_key_is_told(alone: ArchivePair) -> None:
    alone.a.sql("insert into orders select 7654321 from generate_series(1, 1000)", "shop")
    name = archived(alone, alone.a)
    place = alone.check(alone.a)["cluster"]
    assert place == "dr-" + alone.a.sql("select system_identifier from pg_control_system()")
    for region in alone.regions.values():
        key = next(key for key in region.objects() if name in key)
        assert key.startswith(f"pgbackrest/archive/{place}/")
        body = region.client.get_object(Bucket=region.bucket, Key=key)["Body"].read()
        assert body.startswith(b"Salted__"), "compressed before it was encrypted, and encrypted it is"
    told = server_log(alone.a) + alone.a.log.getvalue() + json.dumps(alone.check(alone.a))
    for path in (alone.a.root / "var/log/pgbackrest").rglob("*.log"):
        told += path.read_text()
    assert KEYS["secret_key"] not in told and PASSPHRASE not in told
    config = alone.a.root / "etc/dr/archive/a.conf"
    assert PASSPHRASE in config.read_text() and config.stat().st_mode & 0o777 == 0o640


def test_a_fenced_host_and_one_of_an_old_epoch_store_nothing(alone: ArchivePair) -> None:
    archived(alone, alone.a)
    before = {site: region.objects() for site, region in alone.regions.items()}
    alone.epoch(2, "b")
    assert alone.check(alone.a)["hold"] == {"epoch": 2, "active": "b"}
    alone.a.sql("insert into orders values (2)", "shop")
    name = alone.a.sql("select pg_walfile_name(pg_switch_wal())")
    said = alone.call(alone.a, "push", {"wal": f"pg_wal/{name}"}, user=alone.a.layout.user)
    assert said.code == 3 and "the witness has 2 with site b active" in said.err
    assert until(lambda: "FATAL:  archive command failed with exit code 255" in server_log(alone.a), 60), (
        "the archiver is ended, not kept trying"
    )

    backup = alone.call(alone.a, "backup", {"type": "full"})
    assert backup.code == 3 and "the witness has 2" in backup.err

    stop_server(alone.a.call({}, "stop"), alone.a.server)
    fenced = alone.call(alone.a, "push", {"wal": f"pg_wal/{name}"}, user=alone.a.layout.user)
    assert fenced.code == 3 and "found fenced" in fenced.err
    assert {site: region.objects() for site, region in alone.regions.items()} == before


def test_the_same_segment_with_other_content_is_the_alarm_of_two_writers(alone: ArchivePair) -> None:
    name = archived(alone, alone.a)
    status = alone.a.layout.data / "pg_wal/archive_status"
    assert until((status / f"{name}.done").exists, 90), server_log(alone.a)
    # As a standby that was opened without a new timeline would: the same name, another content.
    segment = alone.a.layout.data / "pg_wal" / name
    segment.write_bytes(segment.read_bytes()[:-100] + b"x" * 100)
    for spool in (alone.a.root / "var/lib/dr/archive").glob("spool-*/archive"):
        shutil.rmtree(spool)
    (status / f"{name}.done").rename(status / f"{name}.ready")

    again = alone.call(alone.a, "push", {"wal": f"pg_wal/{name}"}, user=alone.a.layout.user)
    assert again.code == 1 and f"SPLIT BRAIN: WAL segment {name}" in again.err, again
    alarm = alone.state(alone.a).alarm
    assert alarm is not None and (alarm["segment"], alarm["epoch"]) == (name, 1)
    look = alone.call(alone.a, "check")
    assert look.code == 1 and "wanted one writer" in look.err
    found = json.loads(alone.call(alone.a, "status").out)["facts"]
    assert found["alarm"]["segment"] == name and "dr_archive_split_brain 1" in metrics(found)

    assert alone.call(alone.a, "clear", {"segment": "0" * 24}).code == 3
    assert alone.call(alone.a, "clear", {"segment": name}).code == 0
    assert alone.state(alone.a).alarm is None


def test_a_dead_repository_stops_neither_the_other_nor_the_disk_and_is_filled_in_later(alone: ArchivePair) -> None:
    archived(alone, alone.a)
    alone.prepare(alone.a, queue_max="20MB")
    alone.regions["b"].stop()
    alone.a.sql("insert into orders values (2)", "shop")
    first = archived(alone, alone.a, "a")
    alone.a.sql("insert into orders values (3)", "shop")
    archived(alone, alone.a, "a")
    assert until(lambda: "b" in alone.state(alone.a).suspended or not nudged(alone.a), 90, 2), server_log(alone.a)
    left_out = alone.state(alone.a).suspended["b"]
    assert left_out["from"] <= first and left_out["why"]
    alone.a.sql("insert into orders values (4)", "shop")
    archived(alone, alone.a, "a")
    assert until(lambda: nudged(alone.a) and alone.check(alone.a)["waiting"] == 0, 150, 2), (
        "nothing waits for it on the primary's disk"
    )
    assert alone.check(alone.a)["repositories"]["b"]["reachable"] is False

    alone.regions["b"].start()
    found = alone.check(alone.a)
    archived(alone, alone.a)
    found = alone.check(alone.a)
    assert found["repositories"]["b"]["left_out"] is None and found["repositories"]["b"]["gap"] is None
    assert alone.regions["a"].wal() <= alone.regions["b"].wal(), "what it missed is there"


def test_both_databases_lost_the_shop_comes_back_from_the_archive(pair: ArchivePair) -> None:
    assert pair.call(pair.a, "backup", {"type": "full"}).code == 0
    pair.a.sql("insert into orders values (2)", "shop")
    archived(pair, pair.a)
    for node in (pair.a, pair.b):
        node.kill()
        shutil.rmtree(node.layout.mount)
        shutil.rmtree(node.root / "var/lib/dr")
        node.layout.mount.mkdir()
        node.units.on.clear()
    pair.epoch(2, "a")
    pair.prepare(pair.a)
    with pytest.raises(Refused, match="none, in epoch 2"):
        pair.a.converge(2, "a", archive=True)

    done = pair.call(
        pair.a, "restore", {"directory": str(pair.a.layout.mount / "back"), "port": free_port(), "adopt": True}
    )
    assert done.code == 0, done.err
    pair.a.converge(2, "a", archive=True)
    assert pair.a.sql("select id from public.orders order by id", "shop").split() == ["1", "2"]
    pair.a.sql("insert into orders values (3)", "shop")
    pair.check(pair.a)
    name = archived(pair, pair.a)
    assert int(name[:8], 16) > 1 and f"{name[:8]}.history" in pair.regions["b"].wal()
    later = restored(pair, pair.a, "later")
    assert orders(pair.a, later) == ["1", "2", "3"]
    pair.b.converge(2, "a", archive=True)
    caught_up(pair.a, pair.b)
    assert pair.b.sql("select count(*) from orders", "shop") == "3"


def test_the_latest_comes_from_the_bucket_that_reaches_further_and_a_dead_one_is_a_refusal(alone: ArchivePair) -> None:
    alone.prepare(alone.b)
    assert alone.call(alone.a, "backup", {"type": "full"}).code == 0
    alone.a.sql("insert into orders values (2)", "shop")
    behind = archived(alone, alone.a)
    alone.a.sql("insert into orders values (3)", "shop")
    archived(alone, alone.a)
    alone.regions["b"].forget(behind)  # two days in which it was dead, and it answers again

    place = alone.check(alone.a)["cluster"]
    found = restored(alone, alone.b, "latest", cluster=place)
    assert (found["repository"], found["short"], orders(alone.b, found)) == ("a", False, ["1", "2", "3"])

    alone.regions["a"].stop()
    asked = {"directory": str(alone.folder / "refused"), "port": free_port(), "cluster": place}
    refused = alone.call(alone.b, "restore", asked)
    assert refused.code == 3 and "a: no answer" in refused.err and "set `repository` to b" in refused.err
    assert not (alone.folder / "refused").exists()
    one = restored(alone, alone.b, "one", cluster=place, repository="b")
    assert orders(alone.b, one) == ["1"], "asked for by name, it is what that one has"


def test_what_a_repository_lacks_is_known_to_a_primary_that_never_saw_it_fail(alone: ArchivePair) -> None:
    first = archived(alone, alone.a)
    alone.a.sql("insert into orders values (2)", "shop")
    name = archived(alone, alone.a)
    assert first < name
    alone.a.sql("insert into orders values (3)", "shop")
    archived(alone, alone.a)
    alone.regions["b"].forget(name)
    with change(ArchiveLayout(alone.a.layout)) as state:
        state.compared = 0  # a host that was not there then
    assert alone.check(alone.a)["repositories"]["b"]["gap"] is None, "found, and filled in at once"
    assert (
        name in alone.regions["b"].wal() and f"lacks 1 WAL files that the other has, {name}" in alone.a.log.getvalue()
    )


def test_wal_that_nobody_has_is_known_to_a_primary_that_never_dropped_it(alone: ArchivePair) -> None:
    """The host that dropped it may be the one that was lost; a restore would end before it, whoever asks."""
    assert alone.call(alone.a, "backup", {"type": "full"}).code == 0
    first = archived(alone, alone.a)
    alone.a.sql("insert into orders values (2)", "shop")
    name = archived(alone, alone.a)
    alone.a.sql("insert into orders values (3)", "shop")
    archived(alone, alone.a)
    for region in alone.regions.values():
        region.forget(name)
    assert first < name and alone.check(alone.a)["dropped"] is None
    with change(ArchiveLayout(alone.a.layout)) as state:
        state.looked = 0  # a host that was not there then
    assert alone.check(alone.a)["dropped"] == {"from": name, "to": name}
    assert f"WAL from {name} to {name} is in no repository" in alone.a.log.getvalue()
    short = alone.call(alone.a, "restore", {"directory": str(alone.folder / "r"), "port": free_port()})
    assert f"WAL from {name} to {name} is missing there" in short.err, short
    assert alone.call(alone.a, "backup", {"type": "full"}).code == 0
    assert alone.check(alone.a)["dropped"] is None, "restores from that backup on need none of it"


def test_damaged_pages_are_told_and_no_good_backup_is_removed_for_bad_ones(alone: ArchivePair) -> None:
    alone.a.sql("create table carts as select n, repeat('x', 100) from generate_series(1, 2000) n", "shop")
    assert alone.call(alone.a, "backup", {"type": "full"}).code == 0
    good = alone.check(alone.a)["repositories"]["a"]["newest_backup"]
    name = alone.a.sql("checkpoint; select pg_relation_filepath('carts')", "shop")
    file = alone.a.layout.data / name
    pages = bytearray(file.read_bytes())
    for number in (3, 7, 8):
        pages[number * 8192 + 5000 : number * 8192 + 5008] = b"damaged!"
    file.write_bytes(pages)

    told = [alone.call(alone.a, "backup", {"type": "full"}) for _ in range(3)]
    assert [it.code for it in told] == [1, 1, 1] and f"damaged pages ({name} pages 3, 7-8)" in told[0].err
    assert [it.err.count("has damaged pages") for it in told] == [2, 0, 0], "told once for each repository"
    found = alone.check(alone.a)["repositories"]["a"]
    assert found["failed_backup"]["damage"] == [{"file": name, "pages": "3, 7-8"}]
    assert (found["backups"], found["damaged_backups"], found["newest_backup"]) == (1, 3, good), (
        "more than retention_full"
    )
    due = alone.call(alone.a, "backup", {"type": "due"})
    assert due.code == 0 and json.loads(due.out)["facts"]["made"] == []

    alone.a.sql("drop table carts", "shop")
    for _ in range(2):
        assert alone.call(alone.a, "backup", {"type": "full"}).code == 0
    found = alone.check(alone.a)["repositories"]["b"]
    assert found["failed_backup"] is None
    assert (found["backups"], found["damaged_backups"]) == (2, 0), "two good ones again, and what is older may go"


def test_a_restore_is_rehearsed_beside_a_standby_with_counts_and_every_page_and_leaves_nothing(
    pair: ArchivePair,
) -> None:
    assert pair.call(pair.a, "backup", {"type": "full"}).code == 0
    pair.a.sql("create schema more; create table more.carts as select n from generate_series(1, 700) n", "shop")
    archived(pair, pair.a)
    order = {"directory": str(pair.folder / "rehearsal"), "port": free_port()}
    refused = pair.call(pair.a, "rehearse", order)
    assert (
        refused.code == 3 and "role primary on this host" in refused.err and "other site's database host" in refused.err
    )
    assert pair.call(pair.b, "rehearse", {**order, "adopt": True}).code == 3

    done = pair.call(pair.b, "rehearse", order)
    assert done.code == 0, done.err
    facts = json.loads(done.out)["facts"]
    shop = facts["databases"]["shop"]
    assert (shop["tables"], shop["rows"], shop["by_table"]) == (2, 701, {"public.orders": 1, "more.carts": 700})
    assert facts["checksums"]["bad"] == 0 < facts["checksums"]["blocks"] and facts["restored"]["short"] is False
    assert [path.name for path in pair.folder.glob("rehearsal*")] == [] and facts["kept"] is None
    assert pair.b.sql("select pg_is_in_recovery()") == "t", "the standby goes on"
