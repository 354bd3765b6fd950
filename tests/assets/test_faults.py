"""Stores that fail, lie, or are not what the document says: a clear error, the right exit code, nothing lost."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contract.errors import Failed, Refused
from scripts.assets.sync import GIVE_UP
from tests.assets.conftest import OPTIONS, Pair
from tests.assets.stub import Fault, Request, Rule

KEYS = [b"k%02d" % number for number in range(30)]


@pytest.fixture
def filled(pair: Pair) -> Pair:
    for key in KEYS:
        pair.a.put(key, key)
    return pair


# More than a run may have under way at once besides those after whose refusals it gives up: one that goes on asks for more than these.
MANY = 5 + GIVE_UP + 24 + 51


@pytest.fixture
def full(pair: Pair) -> Pair:
    for number in range(MANY):
        pair.a.put(b"k%03d" % number, b"x")
    return pair


def whole(pair: Pair) -> bool:
    return pair.b.bodies() == pair.a.bodies()


# --- what the document says wrongly


def test_a_missing_bucket(filled: Pair) -> None:
    filled.b.bucket = "elsewhere"
    done = filled.sync(target=replace(filled.job().target, bucket="assets-b"))
    assert done["code"] == 1
    assert done["error"].startswith(
        f"target bucket assets-b at {filled.b.endpoint}: list refused (NoSuchBucket), wanted an existing bucket"
    )


def test_the_wrong_region(filled: Pair) -> None:
    done = filled.sync(source=replace(filled.job().source, region="sbg"))
    assert done["code"] == 1
    assert "wanted the region that the endpoint serves" in done["error"]


def test_no_right_to_write(full: Pair) -> None:
    full.b.rule("put", Fault(403, "AccessDenied"), times=1000)
    done = full.sync()
    assert (done["code"], full.b.bodies()) == (1, {})
    assert "put refused (AccessDenied), wanted the right to do this" in done["error"]
    assert full.b.asked("put") < MANY


def test_one_object_that_may_not_be_read_does_not_hold_up_the_others(filled: Pair) -> None:
    filled.a.rule("get", Fault(403, "AccessDenied"), times=1000, key=b"k07")
    done = filled.sync()
    assert (done["code"], done["done"]) == (1, {"copied": 29, "failed": 1})
    assert "k07" in done["error"]
    assert done["debt"].count == 1


def test_an_expired_key_stops_at_once(filled: Pair) -> None:
    for operation in ("list", "put"):
        filled.b.rule(operation, Fault(403, "InvalidAccessKeyId"), times=1000)
    done = filled.sync()
    assert "renew the key" in done["error"]
    assert filled.b.asked("put", "list") <= 5
    assert "secret" not in done["error"].replace("a secret that fits", "")


# What a store may say of keys, clocks and addresses, also of a single object: another half of it, or a proxy that rewrites one name.
DOUBTS = [
    (403, "SignatureDoesNotMatch"),
    (403, "InvalidAccessKeyId"),
    (400, "ExpiredToken"),
    (403, "RequestTimeTooSkewed"),
    (404, "NoSuchBucket"),
    (301, "PermanentRedirect"),
]


@pytest.mark.parametrize(("status", "code"), DOUBTS)
@pytest.mark.parametrize(("side", "operation"), [("a", "get"), ("b", "put")])
def test_keys_that_were_taken_and_refused_for_one_object_fail_that_object_alone(
    filled: Pair, status: int, code: str, side: str, operation: str
) -> None:
    getattr(filled, side).rule(operation, Fault(status, code), times=1000, key=b"k07")
    done = filled.sync()
    assert (done["code"], done["done"], done["complete"]) == (1, {"copied": 29, "failed": 1}, True)
    assert [row["key"] for row in done["lists"]["failed"]] == ["k07"]
    assert "it served this run before with the same keys" in done["error"]
    assert code in done["error"]


@pytest.mark.parametrize(("status", "code"), DOUBTS)
def test_a_doubt_about_a_page_of_the_listing_may_pass(filled: Pair, status: int, code: str) -> None:
    filled.a.page = 10
    filled.a.rule("list", lambda r: Fault(status, code) if "continuation-token" in r.query else None, times=3)
    done = filled.sync()
    assert (done["error"], whole(filled)) == (None, True)


def test_a_clock_that_is_wrong_is_named_where_no_request_went_through(filled: Pair) -> None:
    filled.b.clock = -1200
    for operation in ("list", "put"):
        filled.b.rule(operation, Fault(403, "RequestTimeTooSkewed"), times=1000)
    done = filled.sync()
    assert "timedatectl" in done["error"]
    assert filled.b.asked("put", "list") <= 5


def test_keys_that_end_in_the_middle_of_a_run_end_it(full: Pair) -> None:
    def ended(_: Request) -> Fault | None:
        return Fault(403, "InvalidAccessKeyId") if len(full.b.objects) >= 5 else None

    for operation in ("put", "head", "list"):
        full.b.rule(operation, ended, times=100_000)
    done = full.sync()
    assert (done["code"], done["complete"]) == (1, False)
    assert "renew the key" in done["error"]
    assert len(full.b.objects) <= full.b.asked("put") < MANY


def test_a_clock_that_is_wrong_is_named(filled: Pair) -> None:
    filled.a.clock = 1200
    filled.a.rule("list", Fault(403, "RequestTimeTooSkewed"), times=100)
    done = filled.sync()
    assert re.search(r"clock and the store.s are 1(19\d|200) s apart, wanted less than 15 minutes", done["error"])


def test_a_full_target_stops_and_the_next_run_goes_on(filled: Pair) -> None:
    filled.b.rule(
        "put", lambda _: Fault(507, "InsufficientStorage") if len(filled.b.objects) >= 10 else None, times=1000
    )
    done = filled.sync()
    assert done["code"] == 1
    assert "raise the quota or free space" in done["error"]
    filled.b.rules.clear()
    again = filled.sync()
    assert whole(filled)
    assert (again["done"], again["requests"]["target"]["put"]) == ({"copied": 20}, 20)


# --- overload and broken lines


@pytest.mark.parametrize("code", ["SlowDown", "", "InternalError"])
def test_a_third_of_all_answers_is_an_overload(filled: Pair, code: str) -> None:
    counter = iter(range(100_000))

    def third(_: Request) -> Fault | None:
        return Fault(429 if not code else 503, code) if next(counter) % 3 == 0 else None

    for stub in (filled.a, filled.b):
        for operation in ("list", "get", "put"):
            stub.rule(operation, third, times=100_000)
    filled.options = replace(OPTIONS, attempts=12)
    done = filled.sync()
    assert done["ok"], done["error"]
    assert done["retries"] > 10
    assert whole(filled)


def test_one_page_of_the_listing_is_refused_five_times(filled: Pair) -> None:
    filled.a.page = 5
    filled.a.rule("list", lambda r: Fault(503, "SlowDown") if "continuation-token" in r.query else None, times=5)
    assert filled.sync()["ok"]
    assert whole(filled)


def test_connections_are_cut(filled: Pair) -> None:
    for stub, operation in ((filled.a, "get"), (filled.b, "put"), (filled.a, "list")):
        stub.rule(operation, Fault(reset=True), times=4)
    assert filled.sync()["ok"]
    assert whole(filled)


def test_bodies_end_early(filled: Pair) -> None:
    filled.a.put(b"large", os.urandom(300_000))
    filled.a.put(b"parts", os.urandom(700_000))
    filled.a.rule("get", Fault(cut=1), times=3, key=b"k03")
    filled.a.rule("get", Fault(cut=50_000), times=2, key=b"large")
    filled.a.rule("get", Fault(cut=50_000), times=2, key=b"parts")
    assert filled.sync()["error"] is None
    assert whole(filled)


def test_a_put_whose_answer_is_lost_is_not_a_conflict(filled: Pair) -> None:
    filled.b.rule("put", Fault(lose_answer=True), times=5)
    done = filled.sync()
    assert (done["ok"], done["done"].get("held")) == (True, None)
    assert whole(filled)
    assert [len(versions) for versions in filled.b.objects.values()] == [1] * len(KEYS)


def test_a_store_that_is_gone_ends_the_run(filled: Pair) -> None:
    for operation in ("put", "head"):
        filled.b.rule(operation, Fault(reset=True), times=100_000)
    filled.options = replace(OPTIONS, attempts=2)
    done = filled.sync()
    assert done["code"] == 1
    assert "see whether the region has an outage" in done["error"]
    assert done["debt"].count == len(KEYS)


def test_a_server_that_only_trickles_is_given_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.assets.wire.SLOW_AFTER_S", 0.0)
    monkeypatch.setattr("scripts.assets.wire.SLOWEST", 10**12)
    pair.a.put(b"k", b"x" * 100)
    done = pair.sync()
    assert done["code"] == 1
    assert "bytes a second" in done["error"]


def test_silence_is_an_overload(filled: Pair) -> None:
    filled.options = replace(OPTIONS, timeout_s=1)
    over = threading.Event()
    filled.a.rule("get", Fault(before=lambda: over.wait(30)))
    try:
        assert filled.sync()["ok"]
    finally:
        over.set()
    assert whole(filled)


# --- lies about bytes


def test_damage_on_the_way_from_the_source_is_seen(filled: Pair) -> None:
    filled.a.rule("get", Fault(body=b"bad"), times=1, key=b"k05")
    done = filled.sync()
    assert done["code"] == 1
    assert "sends other bytes each time" in done["error"]
    assert b"k05" not in filled.b.bodies()
    assert filled.sync()["ok"]
    assert whole(filled)


def test_a_shorter_body_than_listed_is_not_copied(filled: Pair) -> None:
    filled.a.rule("get", Fault(body=b"no"), times=10, key=b"k05")
    done = filled.sync()
    assert "sent 2 bytes, listed 3" in done["error"]
    assert b"k05" not in filled.b.bodies()


def damaging(pair: Pair, size: int) -> Callable[[], None]:
    def damage() -> None:
        found = pair.b.current(b"damaged")
        assert found is not None
        found.body = b"x" * size
        found.etag = hashlib.md5(found.body).hexdigest()

    return damage


def test_a_target_that_stores_something_else_is_caught(pair: Pair) -> None:
    body = b"what was sent"
    pair.a.put(b"damaged", body)
    lie = {"etag": '"' + hashlib.md5(b"x" * len(body)).hexdigest() + '"'}
    pair.b.rule("put", Fault(after=damaging(pair, len(body)), headers=lie))
    done = pair.sync()
    assert done["code"] == 1
    assert "holds other bytes than were sent; that version was removed" in done["error"]
    assert pair.b.bodies() == {}
    assert pair.sync()["ok"]
    assert whole(pair)


def test_etags_that_are_no_md5_are_lived_with(pair: Pair) -> None:
    pair.a.opaque_etags = pair.b.opaque_etags = True
    for number in range(20):
        pair.a.put(b"k%d" % number, os.urandom(50))
    pair.a.put(b"large", os.urandom(300_000))
    pair.a.put(b"parts", os.urandom(700_000))
    done = pair.sync()
    assert done["ok"], done["error"]
    assert whole(pair)
    assert pair.sync()["done"] == {}


@pytest.mark.parametrize("lie", [{"last-modified": "yesterday"}, {"content-length": "many"}])
def test_headers_that_cannot_be_read_fail_the_object_and_no_other(filled: Pair, lie: dict[str, str]) -> None:
    filled.a.rule("get", Fault(headers=lie), times=20, key=b"k05")
    done = filled.sync()
    assert (done["code"], done["done"]) == (1, {"copied": 29, "failed": 1})
    assert "not believed" in done["lists"]["failed"][0]["why"]


def test_a_fault_of_the_program_itself_ends_the_run_and_is_raised(
    filled: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("scripts.assets.transfer.hashlib.sha256", broken)
    with pytest.raises(ZeroDivisionError):
        filled.sync()
    assert filled.b.bodies() == {}


# --- objects that change under our hands


@pytest.mark.parametrize("size", [10, 300_000, 700_000])
def test_replaced_while_it_is_copied(pair: Pair, size: int) -> None:
    pair.a.put(b"k", os.urandom(size))
    newer = os.urandom(size)
    pair.a.rule("get", Fault(before=lambda: pair.a.put(b"k", newer, at=time.time() + 5)))
    done = pair.sync()
    assert done["ok"], done["error"]
    assert pair.b.body(b"k") == newer
    assert pair.b.uploads == {}
    assert len(pair.b.objects[b"k"]) == 1


def test_parts_of_two_versions_are_never_mixed(pair: Pair) -> None:
    pair.a.put(b"k", os.urandom(1_400_000))
    newer = os.urandom(1_400_000)

    def second_part(request: Request) -> Fault | None:
        if request.headers.get("range", "").startswith("bytes=500000-"):
            return Fault(before=lambda: pair.a.put(b"k", newer, at=time.time() + 5))
        return None

    pair.options = replace(OPTIONS, part_streams=1)
    pair.a.rules.append(Rule(lambda request: bool(second_part(request)), second_part, 1))
    done = pair.sync()
    assert done["ok"], done["error"]
    assert pair.b.body(b"k") == newer


@pytest.mark.parametrize("size", [10, 300_000, 700_000])
def test_deleted_while_it_is_copied(pair: Pair, size: int) -> None:
    pair.a.put(b"k", os.urandom(size))
    pair.a.put(b"stays", b"x")
    pair.a.rule("get", Fault(before=lambda: pair.a.remove(b"k")), key=b"k")
    done = pair.sync()
    assert done["ok"], done["error"]
    assert done["done"] == {"copied": 1, "vanished": 1}
    assert pair.b.bodies() == {b"stays": b"x"}
    assert pair.b.uploads == {}


def test_it_does_not_run_after_an_object_for_ever(pair: Pair) -> None:
    pair.a.put(b"k", b"0")
    counter = iter(range(1, 1000))
    pair.a.rule(
        "get",
        lambda _: Fault(before=lambda: pair.a.put(b"k", b"%d" % next(counter), at=time.time() + 5)),
        times=1000,
    )
    done = pair.sync()
    assert done["code"] == 1
    assert "changed 4 times while it was copied" in done["error"]


# --- two copiers, and their memory


def test_two_copiers_on_one_folder(filled: Pair) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        leave.wait(10)

    filled.a.rule("get", Fault(before=hold))
    first = threading.Thread(target=filled.sync)
    first.start()
    try:
        assert entered.wait(10)
        with pytest.raises(Refused, match="another run is at work in it"):
            filled.sync()
    finally:
        leave.set()
        first.join()
    assert whole(filled)


def test_two_copiers_on_two_hosts_do_not_disturb_each_other(filled: Pair) -> None:
    results = []
    other = threading.Thread(target=lambda: results.append(filled.sync(state_dir=filled.folder / "other")))
    other.start()
    results.append(filled.sync())
    other.join()
    assert [done["error"] for done in results] == [None, None]
    assert whole(filled)
    assert [len(versions) for versions in filled.b.objects.values()] == [1] * len(KEYS)


def test_a_damaged_manifest_is_named_and_changes_nothing(filled: Pair) -> None:
    filled.sync()
    filled.a.remove(KEYS[3])
    path = filled.folder / "state" / "state.db"
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    path.write_bytes(b"SQLite format 3\0" + os.urandom(4096))
    with pytest.raises(Failed, match=r"state.db: cannot be read.*move it away"):
        filled.sync()
    assert len(filled.b.bodies()) == len(KEYS)
    path.unlink()
    assert filled.sync()["done"] == {"delete_waits": 1}


def test_a_page_of_the_manifest_is_damaged(filled: Pair) -> None:
    for number in range(2000):
        filled.b.put(b"n%04d" % number, b"x", at=time.time())
        filled.a.put(b"n%04d" % number, b"x", at=time.time() - 100)
    filled.sync()
    path = filled.folder / "state" / "state.db"
    data = bytearray(path.read_bytes())
    data[3 * 4096 : 20 * 4096] = os.urandom(17 * 4096)
    path.write_bytes(data)
    try:
        done = filled.sync()
        text, code = done["error"], done["code"]
    except Failed as error:
        text, code = str(error), error.code
    assert (code, "move it away" in text) == (1, True)
    assert filled.b.asked("delete") == 0


def test_the_manifest_of_another_pair_is_refused(filled: Pair) -> None:
    filled.sync()
    filled.a, filled.b = filled.b, filled.a
    with pytest.raises(Failed, match="give every direction its own"):
        filled.sync()


def test_a_folder_that_cannot_be_written(filled: Pair, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failed, match="cannot be written"):
        filled.sync(state_dir=tmp_path / "file" / "state")


# --- killed


KILL = """
import json, os, sys
from pathlib import Path
from scripts.assets import cli, {module}
real, left = {module}.{owner}.{method}, [int(sys.argv[2])]
def deadly(*a, **k):
    left[0] -= 1
    if left[0] < 0 and {before}:
        os._exit(99)
    answer = real(*a, **k)
    if left[0] < 0:
        os._exit(99)
    return answer
{module}.{owner}.{method} = deadly
sys.exit(cli.main(["sync", "--config", sys.argv[1]]))
"""


def killed(pair: Pair, owner: str, method: str, calls: int, before: bool = False) -> None:
    """A run that is gone, without a goodbye, at (or just before) its n-th call of a method."""

    path = pair.folder / "job.json"
    pair.options = replace(OPTIONS, part_size=5 * 2**20, multipart_above=6 * 2**20)
    document = pair.document()
    document["options"] |= {"multipart_above": 6 * 2**20, "part_size": 5 * 2**20, "part_streams": 1}
    path.write_text(json.dumps(document))
    module, _, name = owner.rpartition(".")
    text = KILL.format(module=module, owner=name, method=method, before=before)
    done = subprocess.run(
        [sys.executable, "-c", text, str(path), str(calls)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 99, done.stderr + done.stdout


@pytest.mark.parametrize("calls", [0, 1, 13])
def test_killed_after_a_put(filled: Pair, calls: int) -> None:
    killed(filled, "store.Bucket", "put", calls)
    done = filled.sync()
    assert done["ok"], done["error"]
    assert whole(filled)
    assert [len(versions) for versions in filled.b.objects.values()] == [1] * len(KEYS)


PLACES = [
    ("begin_upload", True, 0),  # the intention is written, the store was not asked
    ("begin_upload", False, 0),  # the store has begun, its answer is not written
    ("put_part", False, 0),
    ("put_part", False, 1),
    ("finish_upload", True, 0),
    ("finish_upload", False, 0),  # the object is there, nobody wrote it down
]


@pytest.mark.parametrize(("method", "before", "calls"), PLACES)
def test_killed_within_an_upload(pair: Pair, method: str, before: bool, calls: int) -> None:
    pair.a.put(b"large", os.urandom(14_000_000))
    killed(pair, "store.Bucket", method, calls, before)
    done = pair.sync()
    assert done["ok"], done["error"]
    assert whole(pair)
    assert (pair.b.uploads, len(pair.b.objects[b"large"])) == ({}, 1)
    if method == "put_part":
        assert pair.b.asked("part") == 3, "parts that were there are not sent again"


def test_killed_and_then_the_object_is_gone(pair: Pair) -> None:
    pair.a.put(b"large", os.urandom(14_000_000))
    pair.a.put(b"stays", b"x")
    killed(pair, "store.Bucket", "put_part", 1)
    assert len(pair.b.uploads) == 1
    pair.a.remove(b"large")
    assert pair.sync()["ok"]
    assert pair.b.uploads == {}


def test_killed_and_then_the_object_is_another(pair: Pair) -> None:
    pair.a.put(b"large", os.urandom(14_000_000))
    killed(pair, "store.Bucket", "put_part", 1)
    pair.a.put(b"large", os.urandom(14_000_000), at=time.time() + 1)
    assert pair.sync()["ok"]
    assert whole(pair)
    assert pair.b.uploads == {}
