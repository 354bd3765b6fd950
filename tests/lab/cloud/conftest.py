"""Fixtures of the cloud's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.cloud.fabric import Fabric


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    """Two regions, empty. Whatever a test did, the backend must never have been called under the cloud's lock."""
    made = Fabric()
    yield made
    made.cloud.settle()
    made.close()
    assert made.backend.locked_calls == []
