"""Since when a host has kept what it granted: no longer than since its first process started."""

from __future__ import annotations

from scripts.host.agent.status import up_s
from scripts.host.frame.boots import boottime


def test_a_host_is_up_for_no_longer_than_its_kernel() -> None:
    found = up_s()
    assert found is not None and 0.0 < found <= boottime()
