"""A cache whose disk is full: what a replica keeps all the same, and what is said of it."""

from __future__ import annotations

import io
import resource
from types import SimpleNamespace

import pytest

from contract.errors import Failed
from lab.pairs.redis import SERVERS, Pair, Site, settled
from scripts.host.frame.call import Call
from scripts.host.frame.log import Log
from scripts.host.frame.wait import until
from scripts.host.redis.status import status


@pytest.fixture(params=SERVERS)
def pair(tmp_path, request):
    pair = Pair(tmp_path, server=request.param)
    yield pair.up()
    pair.close()


def keys(site: Site) -> int | None:
    found = site.look()
    return None if found is None else found.keys


def full_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server gets an error for whatever it appends, and the host says why."""
    size = max(path.stat().st_size for path in (site.data / "dr-aof").iterdir())
    resource.prlimit(site.units.processes["redis"].pid, resource.RLIMIT_FSIZE, (size, -1))
    monkeypatch.setattr("os.statvfs", lambda place: SimpleNamespace(f_bavail=1, f_frsize=4096))


def write(site: Site, first: int, last: int) -> None:
    for number in range(first, last):
        site.shop("SET", f"cart:{number}", number)


def test_a_replica_keeps_in_memory_what_its_disk_does_not_take_and_takes_over_with_all_of_it(pair, monkeypatch):
    write(pair.a, 0, 31)
    assert until(lambda: keys(pair.b) == 31, 10)
    full_disk(pair.b, monkeypatch)
    write(pair.a, 31, 60)
    assert until(lambda: keys(pair.b) == 60, 10) and settled(pair.b)
    pair.b.converge(1, "a")
    assert "found 4096 bytes free" in pair.b.err.getvalue()
    pair.a.units.kill()
    with pytest.raises(Failed, match=r"found a master that cannot write its files.*4096 bytes free"):
        pair.b.converge(2, "b", peer_keys=60)
    assert (pair.b.look().role, keys(pair.b)) == ("master", 60)
    resource.prlimit(pair.b.units.processes["redis"].pid, resource.RLIMIT_FSIZE, (-1, -1))
    takeover = pair.b.converge(2, "b", peer_keys=60).facts["takeover"]
    assert (takeover["keys"], takeover["keys_before"]) == (60, 60)
    assert pair.b.shop("SET", "cart", 1) == "OK"


def test_a_link_that_stays_down_tells_the_disk(pair, monkeypatch):
    full_disk(pair.b, monkeypatch)
    pair.b.operator("REPLICAOF", "127.0.0.1", 1)
    monkeypatch.setattr("scripts.host.redis.server.until", lambda *_: False)  # the limit is over
    with pytest.raises(Failed, match=r"found link down.*4096 bytes free"):
        pair.b.converge(1, "a")


def test_status_tells_what_is_free_and_that_it_is_little(pair, monkeypatch):
    pair.a.converge(1, "a")
    call = Call("redis", "status", {}, pair.a.layout, Log(io.StringIO(), "redis status"), False)
    free = status(call).facts["disk_free"]
    assert free > 0
    full_disk(pair.a, monkeypatch)
    facts = status(call).facts
    assert facts["disk_free"] == 4096 and any("found 4096 bytes free" in line for line in facts["warnings"])


def test_nobody_waits_for_a_leader_that_is_gone(pair, monkeypatch):
    pair.a.units.kill()
    monkeypatch.setattr("scripts.host.redis.server.GONE_S", 0.0)
    with pytest.raises(Failed, match=r"cache cache-1\.a\.dr\.internal: found no answer for 0 s \(.*Connection refused"):
        pair.b.service(1, "a")._process.await_link(pair.a.server())
