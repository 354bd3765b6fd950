"""How far the platform's own replication is: what objects say, what is counted, what the status file and the loss budget get."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from scripts.assets.listing import Entry
from scripts.assets.replication import Sample, Seen, figures
from tests.assets.conftest import Pair
from tests.assets.stub import Fault

HEADER = "x-amz-replication-status"
NOW = 1_800_000_000.0


def entry(number: int, size: int = 1) -> Entry:
    """The higher the number the newer."""
    return Entry(b"k%05d" % number, size, "etag", time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(NOW + number)))


def says(status: str) -> dict[str, Any]:
    return {HEADER: status}


def look(
    pair: Pair, capsys: pytest.CaptureFixture[str], *arguments: str, **document: Any
) -> tuple[int, dict[str, Any], dict[str, Any], str]:
    """(exit code, answer, status file, stderr)."""
    status = pair.folder / "status.json"
    code, answer, error = pair.cli(capsys, "replication", *arguments, document={"status_file": str(status), **document})
    return code, answer or {}, json.loads(status.read_text()) if status.exists() else {}, error


def test_objects_are_counted_by_what_they_say(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    for key, said, age in (
        (b"a", "COMPLETED", 900),
        (b"b", "PENDING", 60),
        (b"c", "PENDING", 300),
        (b"d", "FAILED", 500),
        (b"e", "REPLICA", 9000),
    ):
        pair.a.put(key, b"12345", at=now - age, **says(said))
    pair.a.put(b"f", b"1234567", at=now - 5000)
    code, answer, status, _ = look(pair, capsys)
    assert code == 0
    assert answer["status"] == {"completed": 1, "pending": 2, "failed": 1, "replica": 1, "none": 1}
    assert 299 < answer["lag_s"] < 400
    assert (answer["unreplicated"]["count"], answer["unreplicated"]["bytes"]) == (4, 22)
    assert abs(answer["unreplicated"]["oldest"] - (now - 5000)) < 2
    assert answer["not_carried"][0] == "delete markers"
    assert status["replication"]["status"] == answer["status"] and "unreplicated" not in status
    assert pair.a.asked("put", "delete") == pair.b.asked("head", "list", "put") == 0


def test_alone_the_figures_are_those_of_the_loss_budget(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    pair.a.put(b"a", b"1", at=now - 900, **says("COMPLETED"))
    pair.a.put(b"b", b"2", at=now - 60, **says("PENDING"))
    metrics = pair.folder / "assets.prom"
    _, _, status, _ = look(pair, capsys, "--alone", metrics_file=str(metrics))
    assert status["ok"] and abs(status["replicated_until"] - (now - 60)) < 2
    assert status["unreplicated"]["count"] == 1 and status["source"] == {"objects": 2, "bytes": 2}
    (lag,) = [
        line.split()[1]
        for line in metrics.read_text().splitlines()
        if line.startswith("dr_assets_platform_lag_seconds ")
    ]
    assert 58 < float(lag) < 160
    pair.a.put(b"b", b"2", **says("COMPLETED"))
    _, _, status, _ = look(pair, capsys, "--alone")
    assert status["unreplicated"]["count"] == 0 and time.time() - status["replicated_until"] < 30


def test_beside_a_copier_its_figures_stay(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.a.put(b"a", b"1")
    path = pair.folder / "status.json"
    pair.cli(capsys, "sync", document={"status_file": str(path)})
    before = json.loads(path.read_text())
    _, _, status, _ = look(pair, capsys)
    assert status.pop("replication")["status"]["none"] == 1
    assert status == before


def test_figures_that_nobody_renews_go_with_a_later_sync(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.a.put(b"a", b"1", **says("COMPLETED"))
    look(pair, capsys)
    path = pair.folder / "status.json"
    pair.cli(capsys, "sync", document={"status_file": str(path)})
    status = json.loads(path.read_text())
    assert status["replication"]["status"]["completed"] == 1
    status["replication"]["at"] -= 3601
    path.write_text(json.dumps(status))
    pair.cli(capsys, "sync", document={"status_file": str(path)})
    assert "replication" not in json.loads(path.read_text())


def test_a_source_that_does_not_answer_leaves_the_last_figures_and_an_error(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.a.put(b"a", b"1", **says("COMPLETED"))
    look(pair, capsys, "--alone")
    pair.a.rule("list", Fault(403, "AccessDenied"))
    code, _, status, error = look(pair, capsys, "--alone")
    assert code == 1 and "list refused (AccessDenied)" in error
    assert (
        status["ok"] is False
        and status["replication"]["status"]["completed"] == 1
        and "AccessDenied" in status["replication"]["error"]
    )
    assert status["replicated_until"] is not None


def test_an_object_that_goes_meanwhile_is_not_counted(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.a.put(b"a", b"1", **says("COMPLETED"))
    pair.a.rule("head", Fault(404, "NoSuchKey"))
    _, answer, _, _ = look(pair, capsys)
    assert answer["sampled"] == 0 and answer["objects"] == 1


def test_the_wrong_side_is_not_asked(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    path = pair.folder / "epoch.json"
    path.write_text(json.dumps({"epoch": 2, "active": "b"}))
    code, _, _, _ = look(pair, capsys, epoch_file=str(path), source_site="a", target_site="b")
    assert code == 3 and pair.a.asked("list", "head") == 0


def test_the_sample_holds_the_newest_and_as_many_others_however_long_the_listing() -> None:
    sample = Sample(newest=20, others=10)
    for number in range(5000):
        sample.add(entry((number * 7919) % 5000))
    chosen = [int(item.key[1:]) for item in sample.entries()]
    assert sorted(chosen, reverse=True)[:20] == list(range(4999, 4979, -1))
    others = sorted(chosen)[:10]
    assert len(set(chosen)) == 30 and others[0] < 1500 and others[-1] > 3500
    assert (sample.objects, sample.bytes) == (5000, 5000)


def test_an_older_object_without_a_status_bounds_what_is_safe() -> None:
    seen = [Seen(entry(0), "none", NOW), Seen(entry(50), "completed", NOW + 50)]
    found = figures(seen, NOW + 100)
    assert found["replicated_until"] == NOW and found["lag_s"] == 0.0
    assert figures(seen[1:], NOW + 100)["replicated_until"] == NOW + 100
