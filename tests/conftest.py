"""For every test: the process is back in the machine's own network namespace when a module is done."""

from pathlib import Path

import pytest

HOME = Path("/proc/thread-self/ns/net").readlink()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item, nextitem):
    yield
    if nextitem is None or nextitem.module is not item.module:
        here = Path("/proc/thread-self/ns/net").readlink()
        assert here == HOME, (
            f"{item.module.__name__} leaves the tests in network namespace {here}, wanted {HOME}: what follows has no network"
        )
