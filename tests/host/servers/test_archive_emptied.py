"""What is left when somebody holds the keys of the archive: everything, because the buckets are locked."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.pairs.archive import KEYS, ArchivePair, Region
from lab.pairs.loopback import free_port
from scripts.assets import cli
from scripts.host.frame.wait import until
from tests.host.servers.test_archive_pair import archived, nudged, orders, restored


@pytest.fixture
def locked() -> Iterator[ArchivePair]:
    """Epoch 1: a leads and archives into locked buckets; a table with one row."""
    made = ArchivePair(lock_days=1)
    try:
        made.epoch(1, "a")
        made.prepare(made.a)
        made.a.converge(1, "a", archive=True)
        made.make_places(made.a)
        made.a.sql("create table orders (id int); insert into orders values (1)", "shop")
        yield made
    finally:
        made.close()


def emptied(region: Region) -> int:
    """All that a key may do to make it empty; how many objects it took."""
    keys = region.objects()
    for key in keys:
        region.client.delete_object(Bucket=region.bucket, Key=key)
    return len(keys)


def refused(region: Region) -> set[str]:
    """Codes of the answers to the removal of every version."""
    codes = set()
    pages = region.client.get_paginator("list_object_versions").paginate(Bucket=region.bucket)
    for item in [item for page in pages for item in page.get("Versions", [])]:
        try:
            region.client.delete_object(Bucket=region.bucket, Key=item["Key"], VersionId=item["VersionId"])
            codes.add("removed")
        except ClientError as error:
            codes.add(error.response["Error"]["Code"])
    return codes


def test_a_repository_that_is_emptied_comes_back_as_of_a_time_and_then_as_it_was(locked: ArchivePair) -> None:
    """Pushes, backups and their expiry work on locked buckets all the while: a deletion puts a marker."""
    for _ in range(3):
        made = locked.call(locked.a, "backup", {"type": "full"})
        assert made.code == 0, made.err
    assert locked.check(locked.a)["repositories"]["a"]["backups"] == 2, "the oldest has expired"
    locked.a.sql("insert into orders values (2)", "shop")
    archived(locked, locked.a)
    moment = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(seconds=1)
    assert until(lambda: time.time() >= moment.timestamp() + 1, 5), "times of a store are whole seconds"

    for region in locked.regions.values():
        assert emptied(region) > 0 == len(region.objects())
        assert refused(region) == {"AccessDenied"}
        region.put_times_right()
    order = {"directory": str(locked.folder / "now"), "port": free_port()}
    without = locked.call(locked.a, "restore", order, before=locked.newer())
    assert without.code == 3 and "`repository_at`" in without.err, without.err

    facts = _restored(locked, "back", repository_at=moment.isoformat())
    assert orders(locked.a, facts) == ["1", "2"] and facts["short"] is False

    locked.check(locked.a)  # what is left cannot be taken for a place, nor overwritten with one
    assert "docs/restore.md, backups were removed" in locked.a.log.getvalue()
    for site, other in ("ab", "ba"):
        put_back(locked, site, other, moment)
    locked.a.sql("insert into orders values (3)", "shop")
    assert nudged(locked.a)
    archived(locked, locked.a)
    found = locked.check(locked.a)["repositories"]
    assert {name: it["backups"] for name, it in found.items()} == {"a": 2, "b": 2}
    assert locked.call(locked.a, "backup", {"type": "incr"}).code == 0
    assert orders(locked.a, restored(locked, locked.a, "on")) == ["1", "2", "3"]


def end(region: Region) -> dict[str, str]:
    """As a document of dr-assets names it."""
    place = {"endpoint": region.endpoint, "region": region.site, "bucket": region.bucket}
    return {**place, "ca": str(region.ca), **KEYS}


def put_back(pair: ArchivePair, site: str, other: str, moment: datetime.datetime) -> None:
    """`dr-assets undelete`, as a person calls it."""
    ends = {name: end(pair.regions[it]) for name, it in (("source", other), ("target", site))}
    job = pair.folder / f"undelete-{site}.json"
    job.write_text(json.dumps({"schema": 1, "state_dir": str(pair.folder / f"undelete-{site}"), **ends}))
    assert cli.main(["undelete", "--compact", "--config", str(job), "--since", moment.isoformat()]) == 0


def _restored(pair: ArchivePair, name: str, **order: Any) -> dict[str, Any]:
    pair.restored.append(pair.folder / name)
    document = {"directory": str(pair.folder / name), "port": free_port(), **order}
    done = pair.call(pair.a, "restore", document, before=pair.newer())
    assert done.code == 0, done.err
    facts: dict[str, Any] = json.loads(done.out)["facts"]
    return facts


def test_a_copy_outside_the_account_brings_it_back_when_both_regions_are_gone(locked: ArchivePair) -> None:
    """Pulled by `dr-assets offsite`; then neither region's storage answers, and nothing of them is asked."""
    assert locked.call(locked.a, "backup", {"type": "full"}).code == 0
    locked.a.sql("insert into orders values (2)", "shop")
    archived(locked, locked.a)
    there = Region("x", locked.folder, "copy-of-a", lock_days=1)
    try:
        there.start()
        there.make()
        job = locked.folder / "offsite.json"
        ends = {"source": end(locked.regions["a"]), "target": end(there)}
        job.write_text(json.dumps({"schema": 1, "state_dir": str(locked.folder / "offsite"), **ends}))
        assert cli.main(["offsite", "--compact", "--config", str(job)]) == 0
        assert there.objects() == locked.regions["a"].objects()
        for region in locked.regions.values():
            region.stop()
        copy = {**end(there), "ca": there.ca.read_text()}
        facts = restored(locked, locked.a, "outside", **{"from": copy})
        assert orders(locked.a, facts) == ["1", "2"] and facts["short"] is False
        assert not list((locked.a.root / "etc/dr/archive").glob("outside*"))
    finally:
        there.stop()
