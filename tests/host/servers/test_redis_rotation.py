"""Passwords of the cache are rotated on a real pair: a session that is open goes on, new ones come in by both, and the old one opens nothing afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.rotation import Stage
from contract.services.redis import worker
from lab.pairs.redis import PASSWORDS, Pair, Site, newer, settled
from scripts.host.frame.wait import until
from scripts.host.redis.wire import Connection, ErrorReply

NEXT = {"app": "of-the-shop-from-now-on", "replica": "of-the-replicas-from-now-on"}
AT_REST = "rest"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Of the server that hosts run. One before 7.2 ends the connections of whoever is in a file of users that it reads anew."""
    made = Pair(tmp_path).up()
    try:
        for site in (made.a, made.b):
            site.units.kill()
            site.units.program = newer()
            site.units.start("redis", 30)
            assert until(lambda site=site: site.look() is not None, 30)  # type: ignore[misc]
        assert settled(made.b)
        yield made
    finally:
        made.close()


def stage(site: Site, which: str, epoch: int = 1, active: str = "a", **options: Any) -> list[str]:
    """A converge of one host with what this stage tells it. Returns its steps."""
    new = which in (Stage.TURNED, Stage.ENDED)
    now, other = ({**PASSWORDS, **NEXT}, PASSWORDS) if new else (PASSWORDS, NEXT)
    two = which in (Stage.BESIDE, Stage.TURNED)
    beside = {f"{user}_beside": other[user] if two else None for user in NEXT}
    return site.converge(epoch, active, passwords={**now, **beside}, **options).actions


def comes_in(site: Site, password: str, user: str = "shop") -> bool:
    try:
        with Connection(replace(site.server("shop"), user=user, password=password)) as connection:
            return bool(connection.call("PING") == "PONG")
    except ErrorReply as error:
        assert "WRONGPASS" in str(error)
        return False


def copies(site: Site) -> str:
    """How many full copies a master has sent."""
    (line,) = [it for it in site.operator("INFO", "stats").splitlines() if it.startswith("sync_full:")]
    return str(line)


def test_nobody_is_refused_while_passwords_are_rotated_and_the_old_ones_open_nothing_afterwards(pair: Pair) -> None:
    before = copies(pair.a)
    with Connection(pair.a.server("shop")) as pool:
        for which in (Stage.BESIDE, Stage.TURNED):
            for site in (pair.b, pair.a):
                stage(site, which)
                assert comes_in(pair.a, PASSWORDS["app"]), f"{which}: an app host that has not heard of it yet"
                assert pool.call("SET", "cart", which) == "OK"
            assert comes_in(pair.a, NEXT["app"]) and comes_in(pair.a, NEXT["app"], worker("a"))
        for site in (pair.b, pair.a):
            stage(site, Stage.ENDED)
            assert comes_in(pair.a, NEXT["app"])
        assert pool.call("GET", "cart") == Stage.TURNED, "one that is signed in stays so"
    for site in (pair.a, pair.b):
        for user, word in (("shop", PASSWORDS["app"]), (worker(site.site), PASSWORDS["app"])):
            assert not comes_in(site, word, user), (
                "what was in the hands of a host that was taken still opens the cache"
            )
        assert not comes_in(site, PASSWORDS["replica"], "dr_replica")
        assert comes_in(site, NEXT["replica"], "dr_replica")
    assert settled(pair.b) and copies(pair.a) == before, "the replica took all of it anew"


def test_a_replica_whose_link_is_cut_at_any_stage_comes_back_by_what_it_shows(pair: Pair) -> None:
    for which in (Stage.BESIDE, Stage.TURNED, Stage.ENDED):
        for site in (pair.b, pair.a):
            stage(site, which)
            pair.a.operator("CLIENT", "KILL", "TYPE", "replica")
            assert until(lambda: "slave0" in str(pair.a.operator("INFO", "replication")), 10), (which, site.site)
            assert settled(pair.b)


@pytest.mark.parametrize(
    ("here", "there"),
    [(Stage.BESIDE, AT_REST), (Stage.TURNED, Stage.BESIDE), (Stage.BESIDE, Stage.TURNED), (Stage.TURNED, Stage.ENDED)],
)
def test_a_planned_move_between_any_two_neighbouring_stages_takes_the_keys_along(
    pair: Pair, here: str, there: str
) -> None:
    """`here`: what the region that is left was told last, `there` the one that takes over."""
    order = [AT_REST, *Stage]
    for which in order:
        for site, last in ((pair.b, there), (pair.a, here)):
            if order.index(which) <= order.index(last):
                stage(site, which)
    shows = {which: NEXT if which in (Stage.TURNED, Stage.ENDED) else PASSWORDS for which in (here, there)}
    with Connection(replace(pair.a.server("shop"), password=shows[here]["app"])) as shop:
        assert shop.call("SET", "cart", "full") == "OK"
    assert settled(pair.b)
    stage(pair.b, there, 2, "b", planned=True)
    stage(pair.a, here, 2, "b", planned=True)
    assert settled(pair.a), "the region that was left does not follow"
    for which in (here, there):  # hosts of both regions, as they have been told
        with Connection(replace(pair.b.server("shop"), password=shows[which]["app"])) as shop:
            assert shop.call("GET", "cart") == "full"
