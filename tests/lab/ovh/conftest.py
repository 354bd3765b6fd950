from __future__ import annotations

import pytest

from lab.cloud.ovh import service
from tests.lab.ovh.fakes import CONFIG, Api, FakeDns, FakeStorage


@pytest.fixture
def storage() -> FakeStorage:
    return FakeStorage()


@pytest.fixture
def dns() -> FakeDns:
    return FakeDns()


@pytest.fixture
def api(storage: FakeStorage, dns: FakeDns) -> Api:
    return Api(service(CONFIG, storage, dns))
