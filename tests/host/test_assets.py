"""Which way objects are copied: what is done in which order, what the copier is told."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import Failed, Usage
from scripts.assets.bucket import UNSUPPORTED
from scripts.assets.config import BucketRules, parse
from scripts.host import assets
from scripts.host.assets import EPOCH, JOB, OWN, RECONCILE, SYNC, TOOL, USER, Assets, Desired, Facts, plan
from scripts.host.frame import systemd, users
from scripts.host.frame.commands import TIMED_OUT, Done
from scripts.host.frame.files import ManagedFile, write_atomically
from scripts.host.frame.layout import Layout
from scripts.host.frame.plan import Step
from scripts.host.frame.systemd import verified_line
from tests.host.frame.test_frame import BUCKET, DOCUMENT

UNIT = f"/etc/systemd/system/{SYNC}.timer"


def document(active: str = "a", **block: Any) -> dict[str, Any]:
    peer = BUCKET | {"endpoint": "http://peer", "region": "sbg"}
    return {
        **DOCUMENT,
        "host": "control-1",
        "epoch": {**DOCUMENT["epoch"], "epoch": 3, "active": active},
        "assets": {"source": peer, "target": BUCKET} | block,
    }


def steps(facts: Facts, *, active: bool) -> list[str]:
    return [str(step) for step in plan(facts, active, 3)]


def test_a_host_that_is_as_wanted_is_left_alone() -> None:
    assert steps(Facts(timers=(SYNC,), role="standby", role_epoch=3, settings={}), active=False) == []
    assert steps(Facts(timers=(RECONCILE,), role="primary", role_epoch=3, settings={}), active=True) == []


def test_the_pull_ends_before_anything_else_when_the_site_becomes_active() -> None:
    found = steps(Facts(stale=(EPOCH, UNIT), timers=(SYNC,), role="standby", role_epoch=2, settings={}), active=True)
    assert found == [
        f"stop {SYNC}",
        f"write {EPOCH}",
        f"write {UNIT}",
        "daemon-reload",
        "role primary",
        f"start {RECONCILE}",
    ]


def test_a_new_epoch_starts_the_same_timer_anew_so_that_it_runs_at_once() -> None:
    behind = Facts(stale=(EPOCH,), timers=(SYNC,), role="standby", role_epoch=1, settings={})
    assert steps(behind, active=False) == [f"write {EPOCH}", "role standby", f"start {SYNC}"]


@pytest.mark.parametrize(("active", "says"), [("a", {"epoch": 3, "active": "a"}), ("b", {"epoch": 3, "active": "b"})])
def test_the_copier_takes_what_it_is_told(active: str, says: dict[str, Any]) -> None:
    files = {str(file.path): file for file in Assets(Desired.read(document(active)), Layout(), None, print).files()}  # type: ignore[arg-type]
    job = parse(json.loads(files[JOB].content))
    assert (job.source.endpoint, job.target.endpoint) == ("http://peer", "http://s3")
    assert (job.source_site, job.target_site) == ("b", "a")
    assert str(job.epoch_file) == EPOCH
    assert json.loads(files[EPOCH].content) == says
    assert (files[JOB].mode, files[JOB].owner, files[JOB].group) == (0o640, "root", USER), "read by whose job it is"
    assert files[EPOCH].owner == "root", "who copies says in no way which site is active"
    assert [path for path, file in files.items() if "A-SECRET" in file.content] == [JOB]


def test_what_root_ran_before_is_handed_to_the_copiers_user_before_anything_is_started() -> None:
    """An upgrade: the same timer, begun anew. And a first time: nothing is written for a group that is not there yet."""
    older = Facts(stale=(JOB, UNIT), timers=(SYNC,), owned=False, role="standby", role_epoch=3, settings={})
    found = steps(older, active=False)
    assert found == [f"hand-over {USER}", f"write {JOB}", f"write {UNIT}", "daemon-reload", f"start {SYNC}"]
    assert steps(replace(older, stale=()), active=False) == [f"hand-over {USER}", f"start {SYNC}"]


@pytest.mark.parametrize("state", ["activating", "deactivating"])
def test_files_of_a_copier_that_does_not_end_stay_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """A job that runs once is never "active": it is about to be, until it has ended, or is told to end."""
    asked: list[str] = []

    def systemctl(argv: list[str], **_: object) -> Done:
        if argv[1] == "stop":
            asked.append(argv[2])
            return Done(TIMED_OUT, "", "no end within 30 s")
        assert argv[1] == "is-active", "nothing is changed"
        return Done(0, state if argv[2] == f"{SYNC}.service" else "inactive", "")

    monkeypatch.setattr(systemd, "run", systemctl)
    monkeypatch.setattr(users, "make", lambda _: pytest.fail("nothing is changed"))
    old = tmp_path / OWN.lstrip("/") / "epoch.json"
    old.parent.mkdir(parents=True)
    old.touch()
    with pytest.raises(Failed, match=rf"unit {SYNC}\.service: found still at work, wanted an end within"):
        Assets(Desired.read(document()), Layout(tmp_path), systemd.Systemd(), print).apply(Step("hand-over"))
    assert asked == [f"{name}.{kind}" for name in (SYNC, RECONCILE) for kind in ("timer", "service")]
    assert old.exists() and not (tmp_path / "var/lib/dr/metrics").exists()


def test_a_unit_of_which_a_busy_service_manager_has_not_heard_is_told_to_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends a run before its timer has begun anew, the next one comes to it."""
    monkeypatch.setattr(ManagedFile, "differs", lambda self: not self.path.exists())
    monkeypatch.setattr(ManagedFile, "write", lambda self: write_atomically(self.path, self.content.encode()))
    layout, heard = Layout(tmp_path), list[str]()
    for folder in ("etc/dr", "etc/systemd/system", "var/lib/dr"):
        (tmp_path / folder).mkdir(parents=True)

    def systemctl(argv: list[str], **_: object) -> Done:
        heard.append(argv[1])
        if argv[1] == "daemon-reload" and heard.count("daemon-reload") == 1:
            raise Failed("program systemctl: no end within 60 s")
        return Done(0, {"is-active": "active", "is-enabled": "enabled"}.get(argv[1], ""), "")

    monkeypatch.setattr(systemd, "run", systemctl)

    def due() -> list[str]:
        service = Assets(Desired.read(document("b")), layout, systemd.Systemd(), print)
        steps = [step for step in service.plan(service.facts()) if step.name in ("write", "daemon-reload", "start")]
        for step in steps:
            service.apply(step)
        return [step.name for step in steps]

    with pytest.raises(Failed):
        due()
    assert due()[-2:] == ["daemon-reload", "start"] and "daemon-reload" not in due()


def test_a_status_that_is_a_link_to_somebody_elses_file_is_not_read(tmp_path: Path) -> None:
    """The folder is the copier's, and root reads what it says."""
    layout = Layout(tmp_path)
    other = tmp_path / "secret.json"
    other.write_text(json.dumps({"source": "hidden"}))
    layout.at(assets.STATUS).parent.mkdir(parents=True)
    layout.at(assets.STATUS).symlink_to(other)
    assert assets.status(SimpleNamespace(layout=layout)).facts["source"] is None  # type: ignore[arg-type]


def test_limits_of_deletes_reach_the_copier() -> None:
    desired = Desired.read(document(grace_s=5, max_deletes=6, max_deletes_percent=7))
    options = parse(json.loads(desired.job)).options
    assert (options.grace_s, options.max_deletes, options.max_deletes_percent) == (5, 6, 7)


def test_a_bucket_without_keys_is_named() -> None:
    with pytest.raises(Usage, match=r"document\.assets\.source\.secret_key: found nothing"):
        Desired.read(document(source={key: value for key, value in BUCKET.items() if key != "secret_key"}))


def test_settings_of_the_bucket_come_last_so_that_neither_role_nor_copier_waits_for_them() -> None:
    as_wanted = Facts(timers=(SYNC,), role="standby", role_epoch=3)
    assert steps(as_wanted, active=False) == ["settings"]
    assert steps(replace(as_wanted, timers=()), active=False) == [f"start {SYNC}", "settings"]
    assert steps(replace(as_wanted, tool=False), active=False) == []


RULES = {"keep_old_versions_days": 90, "abort_uploads_days": 7, "cors_origins": ["https://www.shop.example"]}


class Copier:
    """In place of `dr-assets bucket`: ends as told, and its calls are kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = Done(0, json.dumps({"settings": {"lifecycle": "changed", "cors": "as wanted"}}), "")
        self.calls: list[list[str]] = []
        self.users: list[str | None] = []
        monkeypatch.setattr(assets, "run", self)

    def __call__(self, argv: list[str], *, user: str | None = None, **_: Any) -> Done:
        self.calls.append(argv)
        self.users.append(user)
        return self.done


def service(root: Path, warnings: list[str], **block: Any) -> Assets:
    return Assets(Desired.read(document(**{**RULES, **block})), Layout(root), Silent(), warnings.append)  # type: ignore[arg-type]


class Silent:
    """No unit is there."""

    def enabled(self, unit: str) -> bool:
        return False

    def daemon_reload(self) -> None:
        raise AssertionError("not asked for")


def test_settings_are_put_once_for_each_wording_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copier, warnings = Copier(monkeypatch), list[str]()
    service(tmp_path, warnings).apply(Step("settings"))
    assert copier.calls[0][1:3] == [TOOL, "bucket"] and copier.users == [USER] and not warnings
    assert service(tmp_path, warnings).facts().settings == {"lifecycle": "set", "cors": "set"}
    assert service(tmp_path, warnings, abort_uploads_days=3).facts().settings is None


def test_what_a_store_does_not_know_is_a_fact_and_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copier, warnings = Copier(monkeypatch), list[str]()
    copier.done = Done(0, json.dumps({"settings": {"lifecycle": UNSUPPORTED, "cors": "changed"}}), "")
    service(tmp_path, warnings).apply(Step("settings"))
    assert service(tmp_path, warnings).facts().settings == {"lifecycle": UNSUPPORTED, "cors": "set"}
    assert len(warnings) == 1 and warnings[0].startswith(f"lifecycle of the own bucket: {UNSUPPORTED}")


def test_a_failure_of_the_settings_holds_nothing_up_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copier, warnings = Copier(monkeypatch), list[str]()
    copier.done = Done(1, "", "dr-assets: target bucket assets at http://s3: get cors: no answer")
    one = service(tmp_path, warnings)
    one.apply(Step("settings"))
    assert one.facts().settings is None and "get cors: no answer" in warnings[0]
    assert one.verify(Facts())["bucket"] == "failed"
    for file in one.files():
        if str(file.path).endswith(".service"):
            assert f"ExecStartPre=-/usr/bin/python3 {TOOL} bucket --compact --config {JOB}\n" in file.content


def test_the_copier_reads_the_settings_it_is_handed(tmp_path: Path) -> None:
    job = next(file for file in service(tmp_path, []).files() if str(file.path).endswith("assets.json"))
    assert parse(json.loads(job.content)).bucket == BucketRules(
        keep_old_versions_days=90, abort_uploads_days=7, cors_origins=("https://www.shop.example",)
    )


@pytest.mark.parametrize(
    ("mode", "runs"),
    [
        ("copy", ["ExecStart=sync"]),
        ("both", ["ExecStart=sync", "ExecStartPost=-replication"]),
        ("native", ["ExecStart=replication --alone"]),
    ],
)
def test_who_copies_is_the_modes_matter_and_a_reconcile_is_always_ours(
    tmp_path: Path, mode: str, runs: list[str]
) -> None:
    texts = {file.path.name: file.content for file in service(tmp_path, [], mode=mode).files()}
    found = [
        line.replace(f"/usr/bin/python3 {TOOL} ", "")
        for line in texts[f"{SYNC}.service"].splitlines()
        if line.startswith("ExecStart")
    ]
    assert found[0] == verified_line(TOOL).strip()
    assert found[2:] == [f"{line} --compact --config {JOB}" for line in runs]
    assert f"ExecStart=/usr/bin/python3 {TOOL} reconcile " in texts[f"{RECONCILE}.service"]


def test_an_unknown_mode_is_named(tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r"document\.assets\.mode: found a string, wanted copy or native or both"):
        service(tmp_path, [], mode="mirror")


@pytest.mark.parametrize("text", ["[]", "null", "{", '"x"'])
def test_files_that_hold_something_else_are_unknown_and_end_nothing(tmp_path: Path, text: str) -> None:
    layout = Layout(tmp_path)
    for path in (assets.STATUS, assets.SETTINGS):
        layout.at(path).parent.mkdir(parents=True, exist_ok=True)
        layout.at(path).write_text(text)
    call = SimpleNamespace(layout=layout)
    assert assets.status(call).facts["unreplicated"] is None  # type: ignore[arg-type]
    assert Assets(Desired.read(document()), layout, None, print)._settings() is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("minutes", "runs"), [(None, True), (0, True), (assets.LATE_MIN - 1, True), (assets.LATE_MIN + 2, False)]
)
def test_what_reaches_the_left_region_after_a_move_is_asked_for_some_minutes_more(
    tmp_path: Path, minutes: int | None, runs: bool
) -> None:
    """Until its own run its customers' uploads lie in its bucket; a mark that is old enough ends the asking. `minutes`: since the first that was whole."""
    done = tmp_path / "var/lib/dr/assets/reconciled-3"
    unit = next(file.content for file in service(tmp_path, []).files() if file.path.name == f"{RECONCILE}.service")
    lines = dict(
        line.split("=", 1) for line in unit.splitlines() if line.startswith(("ExecCondition", "ExecStartPost"))
    )
    done.parent.mkdir(parents=True)
    if minutes is not None:
        done.touch()
        os.utime(done, (time.time() - 60 * minutes,) * 2)

    def run(name: str) -> int:
        line = lines[name].replace("/var/lib/dr/assets", str(done.parent))
        return subprocess.run(shlex.split(line), check=False).returncode

    assert (run("ExecCondition") == 0) == runs
    before = done.stat().st_mtime if minutes is not None else None
    assert run("ExecStartPost") == 0 and done.exists()
    assert before is None or done.stat().st_mtime == before, "the first one counts"
