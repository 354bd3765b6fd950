"""The lab's sampler of caches against real ones: a planned handover has one writer at every moment, two masters are two."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.pairs.redis import SERVERS, Pair, settled
from lab.rehearsal.sampler import Cache, Refused, look
from lab.rehearsal.writers import of_site, overlaps, spans
from scripts.host.frame.wait import until

ERRORS = (OSError, Refused, ValueError)


class Sampler(threading.Thread):
    """Looks at one site's cache until `stop`, more often than in the lab."""

    def __init__(self, pair: Pair, site: str) -> None:
        super().__init__(daemon=True)
        self.rows: list[dict[str, Any]] = []
        self._cache = Cache(dataclasses.asdict(getattr(pair, site).server("shop")))
        self._halt = threading.Event()

    def run(self) -> None:
        while not self._halt.wait(0.005):
            self.rows.append(look(self._cache, ERRORS, time.time))
        self._cache.drop()

    def stop(self) -> list[dict[str, Any]]:
        self._halt.set()
        self.join(10)
        return self.rows


@pytest.fixture(params=SERVERS)
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    pair = Pair(tmp_path, server=request.param)
    yield pair.up()
    pair.close()


@pytest.fixture
def sampled(pair: Pair) -> Iterator[dict[str, Sampler]]:
    assert settled(pair.b)
    pair.a.shop("HSET", "cart:token-one", "1", "2")
    samplers = {site: Sampler(pair, site) for site in "ab"}
    for sampler in samplers.values():
        sampler.start()
    assert until(lambda: any(row["writer"] for row in samplers["a"].rows), 10)
    yield samplers
    for sampler in samplers.values():
        sampler.stop()


def test_a_planned_handover_has_one_writer_at_every_moment(pair: Pair, sampled: dict[str, Sampler]) -> None:
    pair.b.converge(2, "b", planned=True)
    assert until(lambda: any(row["writer"] for row in sampled["b"].rows[-20:]), 10)
    assert until(lambda: not any(row["writer"] for row in sampled["a"].rows[-20:]), 10)
    rows = {site: sampler.stop() for site, sampler in sampled.items()}
    assert overlaps(of_site([rows["a"]]), of_site([rows["b"]])) == []
    assert max(span.end for span in spans(rows["a"])) < min(span.begin for span in spans(rows["b"]))


def test_a_second_master_is_found(pair: Pair, sampled: dict[str, Sampler]) -> None:
    pair.b.operator("REPLICAOF", "NO", "ONE")
    assert until(lambda: sum(row["writer"] for row in sampled["b"].rows) >= 5, 10)
    rows = {site: sampler.stop() for site, sampler in sampled.items()}
    assert overlaps(of_site([rows["a"]]), of_site([rows["b"]]))


def test_looking_changes_nothing_and_carts_are_read_as_they_stand(pair: Pair, sampled: dict[str, Sampler]) -> None:
    before = dict(
        line.split(":", 1) for line in str(pair.a.operator("INFO", "replication")).splitlines() if ":" in line
    )
    seen = len(sampled["a"].rows)
    assert until(lambda: len(sampled["a"].rows) > seen + 20, 10)
    assert pair.a.shop("DBSIZE") == 1
    after = dict(line.split(":", 1) for line in str(pair.a.operator("INFO", "replication")).splitlines() if ":" in line)
    # A replica's own pings come every 10 s; twenty samples that were replicated would be more than one of those.
    assert int(after["master_repl_offset"]) - int(before["master_repl_offset"]) < 20 * 20
    cache = Cache(dataclasses.asdict(pair.a.server("shop")))
    cache.connect()
    assert cache.carts() == {"token-one": {"1": 2}}
    cache.drop()
