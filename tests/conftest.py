"""For every test: the layer that it belongs to, and the process back in the machine's own network namespace when a module is done.

The layer is that of the folder, so that nobody has to remember a mark: a bare `pytest` runs what needs no root, no lab, no server and no built tool.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.audit import TRAIL
from contract.wire import document
from scripts.clients import trail

HOME = Path("/proc/thread-self/ns/net").readlink()
TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
# By folder or file below tests/; what is not here is fast.
LAYERS = {
    "assets/test_stores.py": "tools",
    "browser": "rest",
    "drills": "lab",
    "host/servers": "servers",
    "lab": "lab",
    "providers": "tools",
    "refused": "lab",
}


class Kept:
    """A witness's audit trail in memory, for those who write into it without a store of their own: key to body."""

    chain = TRAIL

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def listed(self) -> list[str]:
        return sorted(self.objects)

    def last(self) -> int:
        return max(filter(None, map(TRAIL.number_of, self.objects)), default=0)

    def stored(self, number: int) -> bytes | None:
        return self.objects.get(TRAIL.name_of(number))

    def record(self, number: int, body: bytes) -> bool:
        return self.objects.setdefault(TRAIL.name_of(number), body) is body

    def told(self) -> list[tuple[str, str]]:
        """What each entry is, and of which site, in order, once whoever writes has ended."""
        for thread in threading.enumerate():
            if thread.name == "audit":
                thread.join(30)
        found = [document.mapping(self.objects[name]) for name in sorted(self.objects)]
        return [(str(it["what"]), str(it["site"])) for it in found]


@pytest.fixture(autouse=True)
def mode() -> Iterator[None]:
    """What a host's command takes from new files, it takes from its own process: the tests behind it make theirs as before."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """No test's move is written into somebody's trail, and none waits for a witness that is nobody's."""
    found = Kept()
    monkeypatch.setattr(trail, "TrailBucket", lambda *_, **__: found)
    return found


@pytest.fixture(autouse=True)
def state_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `drctl` keeps for a user is this test's: logs, journals, bastions."""
    found = tmp_path_factory.mktemp("state-home")
    monkeypatch.setenv("XDG_STATE_HOME", str(found))
    return found


def layer(path: Path) -> str | None:
    """The mark of a test file; None for the fast ones."""
    inside = path.resolve().relative_to(TESTS)
    return next((mark for place, mark in LAYERS.items() if inside.is_relative_to(place)), None)


def pytest_collection_modifyitems(items):
    """Marks by layer; the labs come last."""
    for item in items:
        mark = layer(item.path)
        if mark is not None:
            item.add_marker(mark)
    items.sort(key=lambda item: layer(item.path) == "lab")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadscope`: a file's tests share one worker and its servers, and the labs follow one at a time, on a machine that is theirs."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # not there without the plugin

    scheduler = LoadScopeScheduling(config, log) if config.getvalue("dist") == "loadscope" else None
    if scheduler is not None:
        scheduler._split_scope = scope
    return scheduler


def scope(name: str) -> str:
    """Of a test by its id: those of one scope never run at the same time."""
    file = name.partition("::")[0]
    if layer(ROOT / file) == "lab":
        return "lab"
    if "/test_monitoring_" in file:
        return "monitoring"  # the same addresses and ports for all
    return "sentinels" if "/test_redis_" in file else file  # a Sentinel's port is the same for all


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item, nextitem):
    yield
    if nextitem is None or nextitem.module is not item.module:
        here = Path("/proc/thread-self/ns/net").readlink()
        assert here == HOME, (
            f"{item.module.__name__} leaves the tests in network namespace {here}, wanted {HOME}: what follows has no network"
        )
