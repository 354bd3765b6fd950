"""What a run tells: figures for the loss budget, metrics, exit codes, and documents that are refused."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Failed
from scripts.assets.output import Bar, metrics, read_status, write_file
from scripts.assets.sync import Run
from tests.assets.conftest import Pair
from tests.assets.stub import Fault


def files(pair: Pair) -> dict[str, Any]:
    return {"status_file": str(pair.folder / "status.json"), "metrics_file": str(pair.folder / "assets.prom")}


def known(pair: Pair) -> dict[str, Any]:
    return read_status(pair.folder / "status.json")


def test_a_whole_run_owes_nothing_from_its_start_on(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.a.put(b"k", b"12345", at=time.time() - 50)
    before = time.time()
    code, done, err = pair.cli(capsys, "sync", document=files(pair))
    assert (code, err) == (0, "")
    assert done is not None
    assert done["unreplicated"] == {"count": 0, "bytes": 0, "oldest": None}
    status = known(pair)
    assert (status["ok"], status["source"]) == (True, {"objects": 1, "bytes": 5})
    assert before - 2 < status["replicated_until"] < time.time() + 1
    text = (pair.folder / "assets.prom").read_text()
    assert "\ndr_assets_unreplicated_objects 0\n" in text
    assert '\ndr_assets_last_run_objects{kind="copied"} 1\n' in text
    assert "oldest" not in text


def test_what_could_not_be_copied_is_owed(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    for name, age in ((b"old", 500), (b"new", 100), (b"fine", 900)):
        pair.a.put(name, b"x" * age, at=now - age)
    for name in (b"old", b"new"):
        pair.a.rule("get", Fault(403, "AccessDenied"), times=9, key=name)
    code, _, err = pair.cli(capsys, "sync", document=files(pair))
    assert code == 1
    assert err.startswith("dr-assets: run: 2 objects could not be copied, wanted none")
    status = known(pair)
    assert (status["unreplicated"]["count"], status["unreplicated"]["bytes"]) == (2, 600)
    assert status["unreplicated"]["oldest"] == pytest.approx(now - 500, abs=1)
    assert status["replicated_until"] == status["unreplicated"]["oldest"]
    assert re.search(
        r"^dr_assets_oldest_unreplicated_timestamp_seconds \d{10}", (pair.folder / "assets.prom").read_text(), re.M
    )


def test_a_failed_run_does_not_claim_to_know_more_than_the_last_whole_one(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.a.put(b"k", b"x")
    pair.cli(capsys, "sync", document=files(pair))
    whole = known(pair)
    pair.a.rule("list", Fault(503, "SlowDown"), times=1000)
    assert pair.cli(capsys, "sync", document=files(pair))[0] == 1
    status = known(pair)
    assert (status["ok"], "SlowDown" in status["error"]) == (False, True)
    assert {name: status[name] for name in ("replicated_until", "complete_at", "source", "unreplicated")} == {
        name: whole[name] for name in ("replicated_until", "complete_at", "source", "unreplicated")
    }
    assert status["finished"] > whole["finished"]


def test_before_the_first_whole_run_nothing_is_known(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.a.rule("list", Fault(403, "AccessDenied"), times=9)
    pair.cli(capsys, "sync", document=files(pair))
    assert known(pair)["replicated_until"] is None
    assert "replicated_until" not in metrics(known(pair))


def test_status_shows_the_last_run(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = pair.cli(capsys, "status", document=files(pair))
    assert code == 2
    assert "run `dr-assets sync` first" in err
    pair.a.put(b"k", b"x")
    pair.cli(capsys, "sync", document=files(pair))
    code, done, _ = pair.cli(capsys, "status", document=files(pair))
    assert code == 0
    assert done is not None
    assert done["unreplicated"]["count"] == 0


def test_plan_and_dry_run_change_nothing(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.a.put(b"k", b"x" * 7)
    for arguments in (("plan",), ("sync", "--dry-run")):
        code, done, _ = pair.cli(capsys, *arguments)
        assert code == 0
        assert done is not None
        assert (done["planned"], done["lists"]) == ({"copy": 1}, {"copy": [{"key": "k", "size": 7}]})
    assert {request.operation for request in pair.b.log} == {"list"}


def test_an_empty_source_has_its_exit_code(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.b.put(b"k", b"x")
    for command in ("plan", "sync"):
        code, _, err = pair.cli(capsys, command)
        assert code == 3
        assert "lists no object, the target holds 1; wanted at least one; nothing was changed" in err


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"schema": 2}, "schema: found 2, wanted 1"),
    ({"surprise": 1}, "surprise: unknown"),
    ({"source": {"endpoint": "http://h"}}, "source.bucket: missing or not a string"),
    ({"source": "x"}, "source: found str"),
    ({"state_dir": ""}, "state_dir: found ''"),
    ({"epoch": 0}, "epoch: found 0, wanted a whole number from 1"),
    ({"epoch": True}, "epoch: found True"),
    ({"options": {"concurrency": 0}}, "options.concurrency: found 0, wanted more than 0"),
    ({"options": {"concurrency": "9"}}, "options.concurrency: found '9', wanted int"),
    ({"options": {"fast": True}}, "options.fast: unknown"),
    ({"options": {"carry_acl": "maybe"}}, "options.carry_acl: found 'maybe'"),
    ({"options": {"part_size": 1024}}, "options.part_size: found 1024"),
    ({"metrics_file": 3}, "metrics_file: found 3"),
]


@pytest.mark.parametrize(("change", "text"), WRONG, ids=[text for _, text in WRONG])
def test_a_wrong_document_names_its_fault(
    pair: Pair, capsys: pytest.CaptureFixture[str], change: dict[str, Any], text: str
) -> None:
    code, done, err = pair.cli(capsys, "sync", document=change)
    assert (code, done) == (2, None)
    assert text in err
    assert pair.a.log + pair.b.log == []


ENDPOINTS = [
    ({"endpoint": "ftp://h"}, "wanted http(s)://host[:port]"),
    ({"endpoint": "http://h/assets-b"}, "holds the bucket or a path"),
    ({"endpoint": "http://assets-b.h"}, "the bucket would be addressed twice"),
    ({"bucket": "A"}, "wanted 3 to 63"),
    ({"addressing": "dns"}, "wanted path or virtual"),
    ({"prefix": "x/"}, "target.prefix: found 'x/', wanted the source's ''"),
    ({"secret_key": ""}, "target.secret_key: missing"),
]


@pytest.mark.parametrize(("change", "text"), ENDPOINTS, ids=[text for _, text in ENDPOINTS])
def test_a_wrong_endpoint_is_refused(
    pair: Pair, capsys: pytest.CaptureFixture[str], change: dict[str, str], text: str
) -> None:
    target = pair.document()["target"] | change
    code, _, err = pair.cli(capsys, "sync", document={"target": target})
    assert code == 2
    assert text in err


def test_the_same_bucket_on_both_sides_is_refused(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    source = pair.document()["source"]
    code, _, err = pair.cli(capsys, "sync", document={"target": source | {"endpoint": source["endpoint"] + "/"}})
    assert code == 2
    assert "is the source's own bucket assets-a" in err
    assert pair.a.log == []


def test_a_trailing_slash_of_an_endpoint_is_no_fault(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.a.put(b"k", b"x")
    target = pair.document()["target"]
    assert pair.cli(capsys, "sync", document={"target": target | {"endpoint": target["endpoint"] + "/"}})[0] == 0
    assert pair.b.body(b"k") == b"x"


def test_the_bucket_in_the_host_name(
    pair: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    pair.a.put(b"a//b", b"x")
    ends = {name: pair.document()[name] for name in ("source", "target")}
    virtual = {
        name: end | {"addressing": "virtual", "endpoint": end["endpoint"].replace("127.0.0.1", "s3.test")}
        for name, end in ends.items()
    }
    code, _, err = pair.cli(capsys, "sync", document=virtual | {"options": {"carry_acl": "never"}})
    assert (code, err) == (0, "")
    assert pair.b.body(b"a//b") == b"x"
    assert set(asked) == {"assets-a.s3.test", "assets-b.s3.test"}


def test_any_two_endpoints_by_hand(
    pair: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.assets import cli

    pair.a.put(b"img/k", b"x")
    pair.a.put(b"other", b"y")
    arguments = ["sync", "--source", f"{pair.a.endpoint}/assets-a/img/", "--target", f"{pair.b.endpoint}/assets-b/img/"]
    arguments += [
        "--source-region",
        "gra",
        "--target-region",
        "sbg",
        "--state-dir",
        str(pair.folder / "hand"),
        "--set",
        "concurrency=2",
    ]
    assert cli.main(arguments) == 2
    assert "SOURCE_ACCESS_KEY, SOURCE_SECRET_KEY not set" in capsys.readouterr().err
    for name in ("SOURCE_ACCESS_KEY", "SOURCE_SECRET_KEY", "TARGET_ACCESS_KEY", "TARGET_SECRET_KEY"):
        monkeypatch.setenv(name, "k")
    assert cli.main(arguments) == 0
    assert pair.b.bodies() == {b"img/k": b"x"}


def test_no_secret_in_anything_that_is_said(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.a.rule("list", Fault(403, "SignatureDoesNotMatch"), times=9)
    ends = {name: pair.document()[name] | {"secret_key": "hunter2hunter2"} for name in ("source", "target")}
    code, done, err = pair.cli(capsys, "sync", document=ends | files(pair))
    assert code == 1
    said = (
        err
        + json.dumps(done)
        + (pair.folder / "status.json").read_text()
        + repr(pair.job())
        + (pair.folder / "assets.prom").read_text()
    )
    assert "hunter2" not in said


def test_continuous_runs_again_and_ends_with_a_signal(pair: Pair) -> None:
    pair.a.put(b"k0", b"x")
    path = pair.folder / "job.json"
    path.write_text(json.dumps(pair.document()))
    argv = [sys.executable, "-m", "scripts.assets", "sync", "--config", str(path), "--continuous", "0.05"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["done"] == {"copied": 1}
        pair.a.put(b"k1", b"y")
        lines = iter(child.stdout.readline, "")
        assert any(json.loads(line)["done"] == {"copied": 1} for line in lines)
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=20)
    assert child.returncode == 0
    assert pair.b.bodies() == pair.a.bodies()


def test_a_signal_stops_a_run_and_what_was_copied_is_remembered(pair: Pair) -> None:
    # Many more than can be copied between the signal and its being heard.
    for number in range(1000):
        pair.a.put(b"k%03d" % number, b"x")
    path = pair.folder / "job.json"
    path.write_text(json.dumps(pair.document()))
    argv = [sys.executable, "-m", "scripts.assets", "sync", "--config", str(path)]
    child = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    pair.b.rule("put", Fault(after=lambda: os.kill(child.pid, signal.SIGTERM)), key=b"k010")
    out, err = child.communicate(timeout=30)
    assert child.returncode == 1
    assert "asked to stop" in err
    assert json.loads(out)["complete"] is False
    copied = len(pair.b.objects)
    assert 0 < copied < 1000
    assert pair.sync()["done"].get("copied") == 1000 - copied


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_for_terminals(pair: Pair) -> None:
    pair.a.put(b"k", b"x")
    for out, shown in ((Terminal(), True), (io.StringIO(), False)):
        run = Run(pair.job())
        try:
            run.sync(Bar(out))
        finally:
            run.close()
        assert ("copied" in out.getvalue()) is shown


def test_a_place_that_cannot_be_written_is_told(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.a.put(b"k", b"x")
    (pair.folder / "file").write_text("")
    code, _, err = pair.cli(capsys, "sync", document={"status_file": str(pair.folder / "file" / "status.json")})
    assert code == 1
    assert "what was copied stays" in err
    assert pair.b.body(b"k") == b"x"


@pytest.mark.parametrize("name", ["figures.prom", "figures.prom.new"])
def test_a_link_that_lies_where_a_file_is_written_leads_nowhere(tmp_path: Path, name: str) -> None:
    """A collector's folder may be another user's, and a copier on a machine of its own may be root's."""
    other = tmp_path / "other"
    other.write_text("of root alone")
    (tmp_path / name).symlink_to(other)
    write_file(tmp_path / "figures.prom", "dr_assets_last_run_success 1\n")
    assert other.read_text() == "of root alone" and not (tmp_path / "figures.prom").is_symlink()
    assert (tmp_path / "figures.prom").read_text() == "dr_assets_last_run_success 1\n"


def test_a_file_that_cannot_be_written_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failed, match=r"file .*figures\.prom: cannot be written \(No space left on device\)"):
        write_file(tmp_path / "figures.prom", "text\n")
    assert list(tmp_path.iterdir()) == []
