"""A service's user plants links and exchanges names below its own folders; root works there and changes nothing that is not that user's. Needs root."""

from __future__ import annotations

import io
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.host.archive import inherit
from scripts.host.archive import state as archive_state
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.frame.files import ManagedFile, make_folder, rename, write_atomically
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.postgres import copy as pg_copy
from scripts.host.postgres import overrides
from scripts.host.postgres.applied import Applied
from scripts.host.postgres.layout import PostgresLayout
from scripts.host.postgres.mark import Mark
from scripts.host.redis import server as redis_server
from scripts.host.redis.engine import ENGINES
from scripts.host.redis.server import Process

USER = "nobody"
HOLDER = pwd.getpwnam(USER)


class Ground:
    """`own`: a folder of the user, as a service has it; `treasure`: a folder of root with a file that nobody else may have."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="drfiles"))
        self.root.chmod(0o755)
        self.own, self.treasure = self.root / "own", self.root / "treasure"
        self.own.mkdir()
        os.chown(self.own, HOLDER.pw_uid, HOLDER.pw_gid)
        self.treasure.mkdir(mode=0o755)
        self.file = self.treasure / "passwd"
        self.file.write_text("root\n")
        self.file.chmod(0o644)
        self.layout = PostgresLayout(Layout(self.root), 15, USER)
        self.given(self.layout.mount)
        self.as_user("mkdir", "-p", str(self.layout.data / "pg_wal" / "archive_status"))
        self.before = self.look()

    def given(self, folder: Path) -> None:
        """As a service gets it."""
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, HOLDER.pw_uid, HOLDER.pw_gid)

    def as_user(self, *argv: str) -> None:
        subprocess.run(argv, check=True, user=HOLDER.pw_uid, group=HOLDER.pw_gid, extra_groups=[], cwd="/")

    def plant(self, place: Path, target: Path | None = None) -> None:
        """A link of the user's, in the place of whatever is there."""
        self.as_user("rm", "-rf", str(place))
        self.as_user("ln", "-s", str(target or self.treasure), str(place))

    def look(self) -> list[tuple[str, int, int, int, bytes]]:
        found = []
        for path in (self.treasure, *sorted(self.treasure.rglob("*"))):
            status = path.lstat()
            text = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found.append((path.name, status.st_uid, status.st_gid, status.st_mode, text))
        return found

    def unharmed(self) -> bool:
        return self.look() == self.before


@pytest.fixture
def ground() -> Iterator[Ground]:
    assert os.geteuid() == 0, "these tests are about what root does"
    made = Ground()
    yield made
    shutil.rmtree(made.root)


Attack = Callable[[Ground], None]


def folder_is_a_link(ground: Ground) -> None:
    ground.plant(ground.own / "data")
    make_folder(ground.own / "data", 0o700, USER)


def folder_below_a_link(ground: Ground) -> None:
    ground.plant(ground.own / "data")
    make_folder(ground.own / "data" / "more", 0o777, USER)


def file_below_a_link(ground: Ground) -> None:
    ground.plant(ground.own / "etc")
    ManagedFile(path=ground.own / "etc" / "passwd", content="evil\n", mode=0o666, owner=USER).write()


def atomic_write_below_a_link(ground: Ground) -> None:
    ground.plant(ground.own / "etc")
    write_atomically(ground.own / "etc" / "passwd", b"evil\n", 0o666)


def move_through_a_link(ground: Ground) -> None:
    ground.plant(ground.own / "etc")
    rename(ground.own / "etc" / "passwd", ground.own / "taken")


def signal_is_a_link(ground: Ground) -> None:
    ground.plant(ground.layout.data / "standby.signal", ground.file)
    pg_copy.signal_standby(ground.layout, ground.layout.data)


def data_directory_is_a_link(ground: Ground) -> None:
    ground.plant(ground.layout.data)
    pg_copy.signal_standby(ground.layout, ground.layout.data)


def swapped_copy_is_a_link(ground: Ground) -> None:
    ground.treasure.chmod(0o755)
    ground.as_user("rm", "-rf", str(ground.layout.data))
    ground.plant(ground.layout.fresh)
    pg_copy.swap(ground.layout)


def discarded_copy_has_links(ground: Ground) -> None:
    (ground.treasure / "main.tablespaces-1").mkdir()
    (ground.treasure / "main.tablespaces-1" / "16400").mkdir()
    ground.before = ground.look()
    ground.as_user("mkdir", "-p", str(ground.layout.fresh / "pg_tblspc"))
    ground.plant(ground.layout.fresh / "pg_tblspc" / "16400", ground.treasure / "main.tablespaces-1" / "16400")
    pg_copy.discard(ground.layout)


def overrides_in_a_link(ground: Ground) -> None:
    ground.file.write_text("port = 1\nprimary_conninfo = 'x'\n")
    ground.before = ground.look()
    ground.plant(ground.layout.data / overrides.FILE, ground.file)
    overrides.drop(ground.layout)


def mark_below_a_link(ground: Ground) -> None:
    ground.as_user("rm", "-rf", str(ground.layout.data.parent))
    ground.plant(ground.layout.data.parent)
    Mark(1, "rewind").write(ground.layout)


def evidence_is_a_link(ground: Ground) -> None:
    ground.plant(ground.layout.evidence)
    make_folder(ground.layout.evidence, 0o700, USER)


def archive_lock_is_a_link(ground: Ground) -> None:
    layout = ArchiveLayout(ground.layout)
    ground.given(layout.folder)
    ground.plant(layout.folder / "state.lock", ground.file)
    with archive_state.change(layout) as state:
        state.compared = 3


def archive_folder_is_a_link(ground: Ground) -> None:
    layout = ArchiveLayout(ground.layout)
    ground.given(layout.folder.parent)
    ground.plant(layout.folder)
    with archive_state.change(layout) as state:
        state.compared = 3


def archive_mark_is_a_link(ground: Ground) -> None:
    wal = ground.layout.data / "pg_wal"
    ground.plant(wal / "archive_status" / "00000001.history.ready", ground.treasure / "new")
    inherit.mark(ArchiveLayout(ground.layout), wal, ["00000001.history"])


def kept_cache_is_a_link(ground: Ground) -> None:
    """The folder of the copy is exchanged once it was made: what is copied there is the user's own text."""
    engine = replace(ENGINES[0], user=USER)
    data = ground.layout.base.at(engine.data)
    ground.given(data)
    (data / "dr.rdb").write_text("* * * * * root evil\n")

    def make(folder: Path, mode: int = 0o755, owner: str | None = None) -> None:
        make_folder(folder, mode, owner)
        ground.plant(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis_server, "make_folder", make)
        patch.setattr(redis_server, "look", lambda _: (None, "down"))
        Process(SimpleNamespace(local=None), engine, ground.layout.base, SimpleNamespace()).keep(4, {})  # type: ignore[arg-type]


ATTACKS = [
    folder_is_a_link, folder_below_a_link, file_below_a_link, atomic_write_below_a_link, move_through_a_link, signal_is_a_link,
    data_directory_is_a_link, swapped_copy_is_a_link, discarded_copy_has_links, overrides_in_a_link, mark_below_a_link, evidence_is_a_link,
    archive_lock_is_a_link, archive_folder_is_a_link, archive_mark_is_a_link,
    kept_cache_is_a_link,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_root_changes_nothing_through_a_link_that_was_planted(ground: Ground, attack: Attack) -> None:
    try:
        attack(ground)
    except OSError as refused:
        assert refused.errno, "a word of the system's own"
    assert ground.unharmed()


@pytest.mark.parametrize("place", ["conf.d/dr.conf", "conf.d"])
def test_what_is_for_root_alone_is_not_copied_for_the_servers_user(ground: Ground, place: str) -> None:
    """Beside the configuration lies a copy of what the server started with, which root makes and which is that user's."""
    (ground.treasure / "dr.conf").write_text("secret")
    (ground.treasure / "dr.conf").chmod(0o600)
    ground.given(ground.layout.conf)
    ground.given(ground.layout.conf / "conf.d")
    ground.plant(ground.layout.conf / place, ground.treasure / "dr.conf" if place.endswith("dr.conf") else None)
    server, log = SimpleNamespace(start=lambda: None), Log(io.StringIO(), "postgres converge")
    Applied(SimpleNamespace(), ground.layout, server, SimpleNamespace(), log).start()  # type: ignore[arg-type]
    assert not (ground.layout.conf / "dr.conf.proven").exists()


def test_a_hard_link_to_a_file_of_roots_is_replaced_and_not_written(ground: Ground) -> None:
    os.link(ground.file, ground.own / "dr.conf")
    file = ManagedFile(path=ground.own / "dr.conf", content="new\n", mode=0o600, owner=USER)
    assert file.differs()
    file.write()
    assert ground.unharmed() and not file.differs() and (ground.own / "dr.conf").stat().st_uid == HOLDER.pw_uid


def test_a_file_that_is_a_link_is_replaced_by_a_file(ground: Ground) -> None:
    ground.plant(ground.own / "dr.conf", ground.file)
    file = ManagedFile(path=ground.own / "dr.conf", content="root\n", mode=0o644, owner="root")
    assert file.differs(), "what a link leads to is not what was wanted there"
    file.write()
    assert ground.unharmed() and not (ground.own / "dr.conf").is_symlink()


def test_a_folder_of_somebody_else_is_refused(ground: Ground) -> None:
    other = ground.root / "others"
    other.mkdir()
    os.chown(other, 12345, 12345)
    with pytest.raises(OSError, match=f"it is of user 12345, wanted {USER}"):
        make_folder(other, owner=USER)
    assert other.stat().st_uid == 12345


def test_roots_own_links_lead_where_they_lead(ground: Ground) -> None:
    disk = ground.root / "disk"
    disk.mkdir()
    (ground.root / "var").rename(ground.root / "old")
    (ground.root / "var").symlink_to("disk")
    make_folder(ground.root / "var" / "data", 0o750, USER)
    write_atomically(ground.root / "var" / "data" / "file", b"1")
    assert (disk / "data" / "file").read_bytes() == b"1" and (disk / "data").stat().st_uid == HOLDER.pw_uid


RACE = """
import os, sys
place, treasure = sys.argv[1:]
os.mkdir(place + ".real")
while True:
    for source in (place + ".link", place + ".real"):
        if source.endswith("link"):
            try:
                os.symlink(treasure, source)
            except FileExistsError:
                pass
        try:
            os.rename(source, place)
            os.rename(place, source)
        except OSError:
            pass
"""


def test_names_that_are_exchanged_all_the_time_lead_nowhere(ground: Ground) -> None:
    place = ground.own / "data"
    argv = ["/usr/bin/python3", "-c", RACE, str(place), str(ground.treasure)]
    racer = subprocess.Popen(
        argv, user=HOLDER.pw_uid, group=HOLDER.pw_gid, extra_groups=[], cwd="/", stderr=subprocess.DEVNULL
    )
    tried = 0
    try:
        for _ in range(300):
            for work in (
                lambda: make_folder(place, 0o700, USER),
                lambda: write_atomically(place / "passwd", b"evil\n", 0o666),
                lambda: pg_copy.leave(ground.layout, place / "passwd", None),
            ):
                try:
                    work()
                    tried += 1
                except OSError:
                    pass  # whatever was there at that moment
        assert racer.poll() is None and ground.unharmed()
    finally:
        racer.kill()
        racer.wait()
    assert tried > 0, "some of it was done, in folders of the user's"


def test_rights_that_are_lent_are_of_one_thread_and_end(ground: Ground) -> None:
    lent, done = threading.Event(), threading.Event()

    def beside() -> None:
        assert lent.wait(10)
        (ground.treasure / "beside").touch()
        done.set()

    thread = threading.Thread(target=beside)
    thread.start()  # before, for a thread begins with the rights of who starts it
    with ground.layout.acting():
        lent.set()
        assert done.wait(10), "another thread is root all the time"
        with ground.layout.acting():
            (ground.own / "mine").touch()
        with pytest.raises(PermissionError):
            (ground.treasure / "stolen").touch()
    thread.join()
    (ground.treasure / "after").touch()
    assert (ground.own / "mine").stat().st_uid == HOLDER.pw_uid and (ground.treasure / "after").stat().st_uid == 0
    assert {path.name for path in ground.treasure.iterdir()} == {"passwd", "beside", "after"}
