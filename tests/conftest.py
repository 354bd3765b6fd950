"""For every test: the layer that it belongs to, and the process back in the machine's own network namespace when a module is done.

The layer is that of the folder, so that nobody has to remember a mark: a bare `pytest` runs what needs no root, no lab, no server and no built tool.
"""

from pathlib import Path

import pytest

HOME = Path("/proc/thread-self/ns/net").readlink()
TESTS = Path(__file__).resolve().parent
# By folder or file below tests/; what is not here is fast.
LAYERS = {
    "assets/test_stores.py": "tools",
    "drills": "lab",
    "host/servers": "servers",
    "lab": "lab",
    "providers": "tools",
    "refused": "lab",
}


def layer(path: Path) -> str | None:
    """The mark of a test file; None for the fast ones."""
    inside = path.resolve().relative_to(TESTS)
    return next((mark for place, mark in LAYERS.items() if inside.is_relative_to(place)), None)


def pytest_collection_modifyitems(items):
    for item in items:
        mark = layer(item.path)
        if mark is not None:
            item.add_marker(mark)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item, nextitem):
    yield
    if nextitem is None or nextitem.module is not item.module:
        here = Path("/proc/thread-self/ns/net").readlink()
        assert here == HOME, (
            f"{item.module.__name__} leaves the tests in network namespace {here}, wanted {HOME}: what follows has no network"
        )
