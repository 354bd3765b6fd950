"""Two versions of the cache in one pair: a newer leader's full copy, which an older replica cannot read."""

from __future__ import annotations

import pytest

from contract.errors import Refused
from lab.pairs.redis import Pair, Site, newer
from scripts.host.frame.wait import until

pytestmark = pytest.mark.lab  # the newer server is that of the guests' image


@pytest.fixture
def pair(tmp_path):
    pair = Pair(tmp_path)
    yield pair.up()
    pair.close()


def keys(site: Site) -> int | None:
    found = site.look()
    return None if found is None else found.keys


def full(pair: Pair) -> None:
    for number in range(300):
        pair.a.shop("SET", f"cart:{number}", number)
    assert until(lambda: keys(pair.b) == 300, 10)


def replaced(site: Site) -> None:
    """Its package is a newer one by now, and the server was started anew."""
    site.units.kill()
    site.units.program = newer()
    site.units.start("redis", 30)
    assert until(lambda: site.look() is not None, 30)


def test_an_older_replica_keeps_its_keys_beside_a_newer_leader_and_takes_over_with_them(pair):
    """redis#11750: the replica emptied itself for a copy that it could not read."""
    full(pair)
    replaced(pair.a)
    assert until(lambda: any("RDB format version" in line for line in pair.b.units.said("redis")), 30)
    with pytest.raises(Refused, match=r"redis 7\.0\.15.*cannot read.*redis 8\..*standby first"):
        pair.b.converge(1, "a")
    pair.a.converge(1, "a")
    assert "cannot take a full copy" in pair.a.err.getvalue()
    pair.a.units.kill()
    pair.b.converge(2, "b")
    assert pair.b.look().keys == 300


def test_the_standby_first_is_the_order_that_works(pair):
    full(pair)
    replaced(pair.b)
    pair.b.converge(1, "a")
    replaced(pair.a)
    pair.a.converge(1, "a")
    assert until(lambda: pair.b.look().link_up, 30)
    assert (pair.b.converge(1, "a").changed, pair.b.look().keys) == (False, 300)
    assert "cannot" not in pair.a.err.getvalue() + pair.b.err.getvalue()


def test_a_replica_that_lost_its_keys_in_memory_takes_over_with_those_of_its_files(pair):
    full(pair)
    pair.b.operator("CONFIG", "SET", "repl-diskless-load", "disabled")
    replaced(pair.a)
    assert until(lambda: pair.b.look().keys == 0, 30)
    pair.a.units.kill()
    result = pair.b.converge(2, "b")
    assert pair.b.look().keys == 300
    assert (result.facts["takeover"]["way"], result.facts["takeover"]["keys"]) == ("start from own files", 300)
    assert pair.b.converge(2, "b").changed is False
