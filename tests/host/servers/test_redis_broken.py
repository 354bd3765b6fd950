"""Append-only files that a cache cannot start from: the repair is named, and they are put aside where the keys come from elsewhere or are given up."""

from __future__ import annotations

import pytest

from contract.errors import Failed, Refused
from lab.pairs.redis import SERVERS, Pair, Site, settled
from scripts.host.frame.wait import until
from scripts.host.redis.data import MOST_BROKEN

KEYS = 50


@pytest.fixture(params=SERVERS)
def pair(tmp_path, request):
    pair = Pair(tmp_path, server=request.param)
    yield pair.up()
    pair.close()


def keys(site: Site) -> int | None:
    found = site.look()
    return None if found is None else found.keys


def full(pair: Pair) -> None:
    for number in range(KEYS):
        pair.a.shop("SET", f"cart:{number}", number)
    assert until(lambda: keys(pair.b) == KEYS, 10)


def files(site: Site) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (site.data / "dr-aof").iterdir()}


def broken(site: Site, how: str = "middle") -> dict[str, bytes]:
    """It is down, and its files hold something that no server wrote. Returns them."""
    assert site.units.stop("redis", 10)
    manifest = next((site.data / "dr-aof").glob("*.manifest"))
    if how == "manifest":
        manifest.write_text("garbage\n")
    else:
        name = [line.split()[1] for line in manifest.read_text().splitlines() if line.split()[5] == "i"][-1]
        with (site.data / "dr-aof" / name).open("r+b") as file:
            file.seek(100)
            file.write(b"X" * 9)
    return files(site)


def aside(site: Site) -> list[dict[str, bytes]]:
    return [
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in sorted(site.data.glob("dr-aof.broken-*"))
    ]


@pytest.mark.parametrize(("how", "word"), [("middle", "Bad file format"), ("manifest", "Invalid AOF manifest")])
def test_a_takeover_names_the_fault_and_the_repair_and_leaves_the_files(pair, how, word):
    full(pair)
    pair.a.units.kill()
    found = broken(pair.b, how)
    with pytest.raises(Failed, match=word) as failure:
        pair.b.converge(2, "b")
    assert f"-check-aof --fix {pair.b.data}/dr-aof/dr.aof.manifest`" in str(failure.value)
    assert "cold_cache: true" in str(failure.value)
    assert (files(pair.b), aside(pair.b)) == (found, [])


def test_a_takeover_that_may_begin_empty_does_and_keeps_them(pair):
    full(pair)
    pair.a.units.kill()
    found = broken(pair.b)
    result = pair.b.converge(2, "b", cold_cache=True)
    assert (result.facts["takeover"]["way"], result.facts["takeover"]["keys"]) == ("cold start", 0)
    assert aside(pair.b) == [found]
    assert "kept as" in pair.b.err.getvalue() and "Bad file format" in pair.b.err.getvalue()
    assert pair.b.shop("SET", "cart", 1) == "OK"
    assert pair.b.converge(2, "b", cold_cache=True).changed is False


def test_a_standby_fetches_everything_from_its_leader(pair):
    full(pair)
    found = broken(pair.b)
    pair.b.converge(1, "a")
    assert settled(pair.b)
    assert (keys(pair.b), aside(pair.b)) == (KEYS, [found])
    assert pair.b.converge(1, "a").changed is False


def test_a_standby_does_not_give_up_its_files_for_a_leader_that_was_started_empty(pair):
    pair.a.units.kill()
    for path in sorted(pair.a.data.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    pair.a.units.start("redis", 10)
    pair.b.operator("REPLICAOF", "NO", "ONE")
    for number in range(KEYS):
        pair.b.shop("SET", f"cart:{number}", number)
    found = broken(pair.b)
    with pytest.raises(Refused, match="a master that was started empty"):
        pair.b.converge(1, "a")
    assert (files(pair.b), aside(pair.b)) == (found, [])


def test_an_active_cache_takes_the_keys_from_its_replica(pair):
    full(pair)
    found = broken(pair.a)
    result = pair.a.converge(1, "a")
    assert "promote-peer cache-1.b.dr.internal" in result.actions
    assert (pair.a.look().role, keys(pair.a), aside(pair.a)) == ("master", KEYS, [found])
    assert settled(pair.b) and keys(pair.b) == KEYS


def test_no_more_than_a_few_are_kept_and_none_is_removed(pair):
    full(pair)
    for _ in range(MOST_BROKEN):
        broken(pair.b)
        pair.b.converge(1, "a")
        assert settled(pair.b)
    before, found = aside(pair.b), broken(pair.b)
    with pytest.raises(Failed, match=f"found {MOST_BROKEN} kept already.*remove"):
        pair.b.converge(1, "a")
    assert (aside(pair.b), files(pair.b)) == (before, found)
