"""Both sides of docs/interfaces.md: what the program writes, the hosts' software reads."""

from __future__ import annotations

from typing import Any

import pytest

from components import config
from components.render import documents
from components.settings import Settings
from contract.epoch import InForce, LastSeen, LastSeenCache
from contract.hosts import packages
from scripts.host.host import service as base
from scripts.host.postgres import desired as pg_desired
from scripts.host.redis import config as redis_config
from tests.components import stack
from tests.components.engine import EPOCH

VOLUME = stack.identifier(77)


def document(settings: Settings, host: str, service: str, block: dict[str, Any]) -> dict[str, Any]:
    epoch = None if service == "setup" else documents.epoch_of(EPOCH)
    envelope = documents.envelope(
        settings, settings.hosts[host], instance=stack.identifier(1), tool="0" * 12, epoch=epoch
    )
    return {**envelope, service: block}


@pytest.fixture(params=["a", "b"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return config.parse(stack.configuration(request.param))


@pytest.mark.parametrize("host", ["control-1", "db-1", "cache-1", "app-1", "app-2"])
def test_host_converge_reads_its_document(settings: Settings, host: str) -> None:
    key = f"{host}.{settings.site}"
    block = documents.setup(settings, settings.hosts[key].role)
    read = base.Desired.read(document(settings, key, "setup", block))
    assert (read.envelope.own_key, read.envelope.epoch) == (key, None)
    assert read.packages == packages(settings.hosts[key].role, 17)
    asks = settings.hosts[key].role != "control"
    assert '"bucket": "shop-witness"' in read.witness if read.witness else not asks


def test_postgres_converge_reads_its_document(settings: Settings) -> None:
    read = pg_desired.Desired.read(
        document(settings, f"db-1.{settings.site}", "postgres", documents.postgres(settings, VOLUME))
    )
    assert read.envelope.active is (settings.site == "a")
    assert read.peer.name == f"db-1.{settings.peer}.dr.internal"


def test_redis_converge_reads_its_document(settings: Settings) -> None:
    seen = InForce(epoch=2, active="b", last_seen=LastSeen(redis=LastSeenCache(offset=91442, replication_id="f" * 40)))
    key = f"cache-1.{settings.site}"
    read = redis_config.Desired.read(
        document(settings, key, "redis", documents.redis(settings, settings.hosts[key], seen))
    )
    assert read.envelope.active is (settings.site == "a")
    assert (read.last_seen.offset, read.last_seen.replication_id) == (91442, "f" * 40)
