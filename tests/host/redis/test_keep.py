"""What a cache that cannot follow holds is kept beside it, in a folder of the server's user, who may put anything there at any moment."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.host.frame.files import make_folder
from scripts.host.frame.layout import Layout
from scripts.host.redis import server
from scripts.host.redis.engine import ENGINES
from scripts.host.redis.server import Process

ENGINE = replace(ENGINES[0], user=getpass.getuser())
SECRET = "of root alone"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    found = Layout(tmp_path).at(ENGINE.data)
    (found / "dr-aof").mkdir(parents=True)
    (found / "dr-aof/dr.aof.manifest").write_text("file dr.aof.1.base.rdb seq 1 type b\n")
    (found / "dr.rdb").write_text("REDIS")
    (tmp_path / "secret").write_text(SECRET)
    return found


def keep(root: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Path], None] = lambda _: None) -> None:
    """`meanwhile`: what the user does with the folder in which the copy is made, a moment after it was made."""

    def make(folder: Path, mode: int = 0o755, owner: str | None = None) -> None:
        make_folder(folder, mode, owner)
        meanwhile(folder)

    monkeypatch.setattr(server, "make_folder", make)
    monkeypatch.setattr(server, "look", lambda _: (None, "down"))
    Process(SimpleNamespace(local=None), ENGINE, Layout(root), SimpleNamespace()).keep(4, {})  # type: ignore[arg-type]


def test_both_of_its_files_are_kept_as_they_are(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, monkeypatch)
    kept = data / "diverged-4"
    assert sorted(str(path.relative_to(kept)) for path in kept.rglob("*")) == [
        "dr-aof",
        "dr-aof/dr.aof.manifest",
        "dr.rdb",
    ]
    assert (kept / "dr.rdb").read_text() == "REDIS" and kept.stat().st_mode & 0o777 == 0o750
    assert not (data / "diverged-4.part").exists()
    (data / "dr.rdb").write_text("newer")
    keep(tmp_path, monkeypatch)
    assert (kept / "dr.rdb").read_text() == "REDIS", "an earlier copy of the same epoch stays"


def test_one_that_has_no_saved_file_is_kept_without(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "dr.rdb").unlink()
    keep(tmp_path, monkeypatch)
    assert [path.name for path in (data / "diverged-4").iterdir()] == ["dr-aof"]


def test_a_link_in_the_place_of_the_copy_is_not_written_through(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileExistsError):
        keep(tmp_path, monkeypatch, lambda folder: (folder / "dr.rdb").symlink_to(tmp_path / "secret"))
    assert (tmp_path / "secret").read_text() == SECRET


def test_a_link_in_the_place_of_what_is_copied_is_left_out(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "dr.rdb").unlink()
    (data / "dr.rdb").symlink_to(tmp_path / "secret")
    (data / "dr-aof/more").symlink_to(tmp_path / "secret")
    keep(tmp_path, monkeypatch)
    kept = data / "diverged-4"
    assert sorted(path.name for path in kept.rglob("*")) == ["dr-aof", "dr.aof.manifest"]
