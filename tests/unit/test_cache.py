"""The build cache: what has an entry's name is complete, whatever happened to the process that made it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.toolchain import cache

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(text: str):
    def make(folder: Path) -> None:
        (folder / "result").write_text(text)

    return make


def forbidden(folder: Path) -> None:
    pytest.fail(f"built again in {folder}")


def child(code: str) -> subprocess.Popen[str]:
    """Another process that runs `code` with `cache` imported; it talks to us by lines."""
    program = "from pathlib import Path\nimport os, sys\nfrom lab.toolchain import cache\n" + code
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_builds_once_per_recipe() -> None:
    first = cache.build("tool", "v1", write("one"))
    assert (first / "result").read_text() == "one"
    assert cache.build("tool", "v1", forbidden) == first
    second = cache.build("tool", "v2", write("two"))
    assert second != first
    assert (second / "result").read_text() == "two"
    assert (first / "result").read_text() == "one"


def test_the_name_is_the_contract(tmp_path: Path) -> None:
    # sha256("v1") begins with 3bfc269594ef6492
    assert (
        cache.build("guest-image", "v1", write("x")) == tmp_path / "cache" / "shop-dr" / "guest-image-3bfc269594ef6492"
    )


@pytest.mark.parametrize("value", [None, "", "relative"])
def test_without_a_usable_xdg_cache_home(value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert cache.home() == tmp_path / ".cache" / "shop-dr"


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Tool", ".hidden"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="cache entry"):
        cache.build(name, "v1", forbidden)


def test_a_failed_build_leaves_no_entry_and_the_next_starts_clean() -> None:
    def half(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("compiler says no")

    with pytest.raises(RuntimeError, match="compiler says no"):
        cache.build("tool", "v1", half)
    assert not cache.entry("tool", "v1").exists()
    built = cache.build("tool", "v1", write("whole"))
    assert sorted(path.name for path in built.iterdir()) == ["result"]


def test_a_killed_build_leaves_no_entry_and_the_next_starts_clean() -> None:
    process = child("""
def make(folder):
    (folder / "half").write_text("")
    print("half way", flush=True)
    sys.stdin.read()
cache.build("tool", "v1", make)
""")
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
        process.send_signal(signal.SIGKILL)
    assert not cache.entry("tool", "v1").exists()
    leftovers = [path for path in cache.home().rglob("half")]
    assert leftovers, "the killed build should have left something, or this test shows nothing"
    built = cache.build("tool", "v1", write("whole"))
    assert sorted(path.name for path in built.iterdir()) == ["result"]
    assert not list(cache.home().rglob("half"))


def test_processes_that_want_the_same_entry_build_it_once(tmp_path: Path) -> None:
    log = tmp_path / "builds"
    code = f"""
def make(folder):
    with open({str(log)!r}, "a") as out:
        out.write("built\\n")
    (folder / "result").write_text("x" * 100000)
print("ready", flush=True)
sys.stdin.readline()
print(len((cache.build("tool", "v1", make) / "result").read_text()), flush=True)
"""
    processes = [child(code) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    seen = [process.communicate()[0].strip() for process in processes]
    assert seen == ["100000"] * 4
    assert log.read_text() == "built\n"


def test_a_waiter_takes_over_from_a_killed_builder() -> None:
    builder = child("""
def make(folder):
    print("building", flush=True)
    sys.stdin.read()
cache.build("tool", "v1", make)
""")
    with builder:
        assert builder.stdout is not None
        builder.stdout.readline()
        waiter = child("""
def make(folder):
    (folder / "result").write_text("mine")
print("waiting", flush=True)
print((cache.build("tool", "v1", make) / "result").read_text())
""")
        with waiter:
            assert waiter.stdout is not None
            assert waiter.stdout.readline() == "waiting\n"
            assert not cache.entry("tool", "v1").exists()
            builder.send_signal(signal.SIGKILL)
            assert waiter.stdout.readline() == "mine\n"


def test_a_full_disk_is_one_line_with_the_remedy() -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(cache.CacheError, match=r"No space left on device.*MiB free.*XDG_CACHE_HOME") as caught:
        cache.build("tool", "v1", full)
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(cache.CacheError, match=r"Not a directory.*XDG_CACHE_HOME"):
        cache.build("tool", "v1", forbidden)


def test_an_error_of_the_maker_about_another_file_is_its_own() -> None:
    def make(folder: Path) -> None:
        Path("/nonexistent/source").read_text()

    with pytest.raises(FileNotFoundError, match="/nonexistent/source"):
        cache.build("tool", "v1", make)


def test_leftovers_with_a_mount_in_them_are_not_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    place = cache.entry("image", "v1")
    scratch = place.with_name(f".{place.name}.part")
    (scratch / "dev").mkdir(parents=True)
    real = Path.read_text

    def read_text(self: Path) -> str:
        line = f"40 30 0:5 / {scratch}/dev rw - devtmpfs udev rw"
        return line if str(self) == "/proc/self/mountinfo" else real(self)

    monkeypatch.setattr(Path, "read_text", read_text)
    with pytest.raises(cache.CacheError, match=r"/dev is still mounted"):
        cache.build("image", "v1", forbidden)
    assert (scratch / "dev").is_dir()
