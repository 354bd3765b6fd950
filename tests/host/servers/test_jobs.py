"""Jobs of the archive and of the copier as the users that they are, with real servers, and what root leaves behind where it does their work by hand.
Needs root.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.pairs.archive import PROJECT, ArchivePair
from scripts.host.archive import word
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.assets import SYNC, Assets, Desired
from scripts.host.frame.files import differing, hand_over
from scripts.host.frame.layout import Layout
from tests.assets.stub import Stub
from tests.host.test_assets import document

USER = "daemon"
HOLDER = pwd.getpwnam(USER)
SERVER = pwd.getpwnam("postgres")


@pytest.fixture(autouse=True)
def root() -> None:
    assert os.geteuid() == 0, "these tests are about what root does, and what it must not be needed for"


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that other users may pass."""
    made = Path(tempfile.mkdtemp(prefix="drjobs"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def alone() -> Iterator[ArchivePair]:
    """Epoch 1: a leads, and the witness's key is root's as on a host."""
    made = ArchivePair()
    try:
        made.epoch(1, "a")
        (made.a.root / "etc/dr/witness.json").chmod(0o600)
        made.prepare(made.a)
        made.a.converge(1, "a", archive=True)
        yield made
    finally:
        made.close()


def told(pair: ArchivePair) -> None:
    """As `dr-archive-epoch.service` leaves it."""
    done = pair.call(pair.a, "ask")
    assert done.code == 0, done.err
    path = pair.a.layout.base.at(word.TOLD)
    path.write_text(done.out)
    path.chmod(0o644)


def others(folder: Path, owner: int) -> list[str]:
    """What is in it and not this user's: the job's next run could not write it."""
    return [str(path) for path in (folder, *folder.rglob("*")) if path.lstat().st_uid != owner]


def kept(pair: ArchivePair) -> list[str]:
    layout = ArchiveLayout(pair.a.layout)
    found = [
        name for each in (layout.folder, layout.logs, layout.figures.folder) for name in others(each, SERVER.pw_uid)
    ]
    return [name for name in found if name != str(layout.memory)]  # what root writes for the job to read


def test_all_that_the_archive_does_each_minute_and_each_night_needs_no_right_of_roots(alone: ArchivePair) -> None:
    told(alone)
    layout = ArchiveLayout(alone.a.layout)
    done = alone.call(alone.a, "check", user="postgres")
    assert done.code == 0, done.err
    facts = json.loads(done.out)["facts"]
    assert all(it["reachable"] for it in facts["repositories"].values()) and "witness" not in done.err
    assert layout.due.exists(), "there is no backup yet"
    assert "dr_archive_repository_up" in layout.figures.link.read_text()
    made = alone.call(alone.a, "backup", {"type": "due"}, user="postgres")
    assert made.code == 0, made.err
    assert json.loads(made.out)["facts"]["made"] == ["a", "b"]
    assert kept(alone) == []


def test_no_backup_is_made_by_who_is_told_nothing_or_that_another_site_is_active(alone: ArchivePair) -> None:
    silent = alone.call(alone.a, "backup", {"type": "full"}, user="postgres")
    assert silent.code == 1 and "wanted that of dr-archive-epoch.service" in silent.err
    assert alone.call(alone.a, "check", user="postgres").code == 0, "the rest goes on"
    alone.epoch(2, "b")
    told(alone)
    refused = alone.call(alone.a, "backup", {"type": "full"}, user="postgres")
    assert refused.code == 3 and "found epoch 2, active b" in refused.err
    assert alone.call(alone.a, "check", user="postgres").code == 0
    assert alone.state(alone.a).hold == {"epoch": 2, "active": "b"}, "the archiver is told"


def test_what_root_does_by_hand_the_jobs_can_go_on_with(alone: ArchivePair) -> None:
    """It asks the witness itself, with the key; nobody has told it anything."""
    for verb, order in (("check", {}), ("backup", {"type": "full"}), ("status", {})):
        done = alone.call(alone.a, verb, order)
        assert done.code == 0, done.err
    assert kept(alone) == []
    told(alone)
    for verb, order in (("check", {}), ("backup", {"type": "incr"})):
        done = alone.call(alone.a, verb, order, user="postgres")
        assert done.code == 0, done.err


def test_figures_of_an_older_version_are_read_until_the_first_check(alone: ArchivePair) -> None:
    figures = ArchiveLayout(alone.a.layout).figures
    shutil.rmtree(figures.folder)
    figures.link.unlink()
    figures.link.write_text("dr_archive_hold 0\n")
    alone.prepare(alone.a)
    assert figures.link.is_symlink() and figures.link.read_text() == "dr_archive_hold 0\n"
    assert kept(alone) == []
    told(alone)
    assert alone.call(alone.a, "check", user="postgres").code == 0
    assert "dr_archive_repository_up" in figures.link.read_text()


def test_a_copier_that_root_calls_leaves_nothing_that_its_user_cannot_write(ground: Path) -> None:
    folder, software = ground / "assets", ground / "software"
    folder.mkdir()
    os.chown(folder, HOLDER.pw_uid, HOLDER.pw_gid)
    for package, source in (("assets", PROJECT / "scripts/assets"), ("contract", PROJECT / "contract")):
        shutil.copytree(source, software / package, ignore=shutil.ignore_patterns("__pycache__"))
    with Stub("assets-a", region="gra") as a, Stub("assets-b", region="sbg") as b:
        ends = {
            name: {
                "endpoint": it.endpoint,
                "region": it.region,
                "bucket": it.bucket,
                "access_key": "AK",
                "secret_key": "s",
            }
            for name, it in (("source", a), ("target", b))
        }
        places = {"state_dir": "state", "status_file": "status.json", "metrics_file": "figures.prom"}
        job = {"schema": 1, **ends, **{name: str(folder / place) for name, place in places.items()}}
        config = ground / "assets.json"
        config.write_text(json.dumps(job))
        config.chmod(0o640)
        argv = ["/usr/bin/python3", "-B", "-m", "assets", "sync", "--compact", "--config", str(config)]
        done = subprocess.run(argv, cwd=software, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == {"state", "status.json", "figures.prom"}
    assert others(folder, HOLDER.pw_uid) == []


class Units:
    """No unit is there."""

    def stop(self, unit: str, _: float) -> bool:
        return False

    def down(self, unit: str) -> bool:
        return True

    def enabled(self, unit: str) -> bool:
        return False

    def daemon_reload(self) -> None: ...


def test_what_roots_copier_has_left_becomes_its_users(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.host.assets.USER", USER)
    layout = Layout(ground)
    own = layout.at("/var/lib/dr/assets")
    (own / "state").mkdir(parents=True, mode=0o700)
    for name in ("status.json", "epoch.json", "bucket.json", "reconciled-1", "state/state.db", "state/lock"):
        (own / name).write_text("{}")
    service = Assets(Desired.read(document()), layout, Units(), print)  # type: ignore[arg-type]
    assert service.facts().owned is False
    steps = service.plan(service.facts())
    assert str(steps[0]) == f"hand-over {USER}"
    for step in steps:
        if step.name in ("hand-over", "write"):
            service.apply(step)
    assert service.facts().owned and not differing(service.files())
    assert others(own, HOLDER.pw_uid) == [] and not (own / "epoch.json").exists()
    told_to = layout.at("/etc/dr/assets.json").stat()
    assert (told_to.st_uid, told_to.st_gid, stat.S_IMODE(told_to.st_mode)) == (0, HOLDER.pw_gid, 0o640)
    assert layout.at(f"/etc/systemd/system/{SYNC}.service").stat().st_uid == 0


def test_a_folder_is_handed_over_and_nothing_that_a_link_or_a_second_name_leads_to(ground: Path) -> None:
    treasure, own = ground / "treasure", ground / "own"
    for folder in (treasure, own / "below"):
        folder.mkdir(parents=True)
    secret, twice = treasure / "secret", treasure / "twice"
    for path in (secret, twice):
        path.touch()
    (own / "below/link").symlink_to(secret)
    (own / "folder").symlink_to(treasure)
    (own / "twice").hardlink_to(twice)
    (own / "below/file").touch()
    hand_over(own, USER)
    assert [path.stat().st_uid for path in (treasure, secret, twice)] == [0, 0, 0]
    assert [path.stat().st_uid for path in (own, own / "below", own / "below/file")] == [HOLDER.pw_uid] * 3
