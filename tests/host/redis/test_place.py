"""Whom a cache follows, takes over from or leads, from what is seen of all of them; pure."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import pytest

from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.rolefile import PRIMARY, STANDBY
from scripts.host.redis.config import ARMED
from scripts.host.redis.group import Place, others, place
from scripts.host.redis.leader import Word
from scripts.host.redis.state import MASTER, REPLICA, Instance
from scripts.host.redis.upstream import ALONE_LOOKS, NEVER, Company
from scripts.host.redis.wire import Server

ALL = {
    f"{name}.{site}": Server(f"{name}.{site}", f"{name}.{site}", 6379, "", "", "")
    for site in "ab"
    for name in ("cache-1", "cache-2", "cache-3")
}


def desired(host="cache-1.a", *, active=True, replicas=2):
    """As this host's document has it; addresses are names here."""
    own, peers = (
        [ALL[f"cache-{number}.{site}"] for number in range(1, replicas + 2)]
        for site in (host[-1], "b" if host[-1] == "a" else "a")
    )
    return SimpleNamespace(
        envelope=SimpleNamespace(active=active), local=ALL[host], members=tuple(own), peers=tuple(peers), head=own[0]
    )


def leads(**changes):
    return replace(Instance(role=MASTER, keys=9, offset=500), **changes)


def follows(master, **changes):
    return replace(Instance(role=REPLICA, keys=9, offset=500, master=master, link_up=True), **changes)


NEW = follows("cache-1.b")  # a head that is to take over


@pytest.mark.parametrize(
    ("host", "active", "local", "found", "said", "wanted"),
    [
        # a take-over: the head, from whoever leads over there
        ("cache-1.a", True, NEW, {"cache-1.b": leads()}, None, (True, "cache-1.b", PRIMARY)),
        (
            "cache-1.a",
            True,
            NEW,
            {"cache-1.b": follows("cache-2.b"), "cache-2.b": leads()},
            None,
            (True, "cache-2.b", PRIMARY),
        ),
        ("cache-1.a", True, NEW, {}, None, (True, "cache-1.b", PRIMARY)),
        ("cache-2.a", True, follows("cache-1.a"), {"cache-1.a": leads()}, None, (False, "cache-1.a", PRIMARY)),
        # the active site, in which another one was chosen
        ("cache-1.a", True, None, {"cache-2.a": leads()}, None, (False, "cache-2.a", PRIMARY)),
        ("cache-1.a", True, follows("cache-2.a"), {"cache-2.a": leads()}, None, (False, "cache-2.a", PRIMARY)),
        ("cache-2.a", True, leads(), {"cache-1.a": follows("cache-2.a")}, None, (True, "cache-1.b", PRIMARY)),
        # a leader that nobody sees is not replaced by a run
        ("cache-1.a", True, follows("cache-2.a"), {}, None, (False, "cache-2.a", PRIMARY)),
        (
            "cache-1.a",
            True,
            follows("cache-2.a", link_up=False),
            {},
            Word("cache-2.a", 2, 1),
            (False, "cache-2.a", PRIMARY),
        ),
        ("cache-1.a", True, None, {}, Word("cache-1.a", 2, 1), (True, "cache-1.b", PRIMARY)),
        (
            "cache-1.a",
            True,
            follows("cache-2.a", link_up=False),
            {},
            None,
            (True, "cache-1.b", PRIMARY),
        ),  # two of three are lost
        # an empty head does not lead siblings that hold keys into emptiness: it takes over from the furthest
        (
            "cache-1.a",
            True,
            None,
            {"cache-2.a": follows("x", offset=7), "cache-3.a": follows("x", offset=8)},
            None,
            (True, "cache-3.a", PRIMARY),
        ),
        # a standby: the head follows the leader over there, the others follow the head
        ("cache-1.a", False, None, {"cache-3.b": leads()}, None, (False, "cache-3.b", STANDBY)),
        ("cache-1.a", False, None, {}, None, (False, "cache-1.b", STANDBY)),
        ("cache-3.a", False, None, {"cache-1.a": follows("cache-1.b")}, None, (False, "cache-1.a", STANDBY)),
    ],
)
def test_the_place_of_a_host(host, active, local, found, said, wanted):
    at = place(desired(host, active=active), local, found, data=local is not None, said=said)
    assert (at.leads, at.other.name, at.role, at.waits) == (*wanted, None)
    assert at.other in others(desired(host, active=active)), "nobody has looked at it"


@pytest.mark.parametrize(
    ("host", "active", "local", "found", "said", "why"),
    [
        ("cache-1.a", True, follows("cache-2.a", link_up=False), {}, Word(None, 2, 1), "chosen"),
        ("cache-1.a", True, leads(), {"cache-2.a": leads()}, None, "cache-2.a and cache-1.a say that they lead"),
        (
            "cache-3.a",
            True,
            follows("cache-1.a"),
            {"cache-1.a": leads(), "cache-2.a": leads()},
            None,
            "cache-1.a and cache-2.a",
        ),
        ("cache-1.a", True, NEW, {"cache-1.b": leads(), "cache-3.b": leads()}, None, "cache-1.b and cache-3.b"),
        ("cache-1.a", False, NEW, {"cache-1.b": leads(), "cache-3.b": leads()}, None, "cache-1.b and cache-3.b"),
    ],
)
def test_where_nobody_can_say_who_leads_a_host_waits(host, active, local, found, said, why):
    at = place(desired(host, active=active), local, found, data=True, said=said)
    assert at.waits is not None and why in at.waits
    assert at.other in others(desired(host, active=active))


def test_with_one_cache_a_site_there_is_nothing_to_choose():
    assert place(desired(replicas=0), None, {}, data=False) == Place(True, ALL["cache-1.b"], PRIMARY)
    assert place(desired(replicas=0, active=False), None, {}, data=False) == Place(False, ALL["cache-1.b"], STANDBY)


class Server3:
    """A leader on paper, and what its agent had it do."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.value = 1

    def ask(self, *words):
        if words[1] == "GET":
            return [ARMED, str(self.value)]
        self.value = words[3]
        self.asked.append(words[3])
        return "OK"


def info(*followers, armed=True):
    lines = {
        f"slave{number}": f"ip={ip},port=6379,state=online,offset=1,lag={lag}"
        for number, (ip, lag) in enumerate(followers)
    }
    return {"role": "master", **lines, **({"min_slaves_good_slaves": "1"} if armed else {})}


@pytest.fixture
def company(monkeypatch, tmp_path):
    access = SimpleNamespace(local=ALL["cache-1.a"], members=desired().members, sentinels=(1, 2, 3))
    monkeypatch.setattr("scripts.host.redis.upstream.Access", SimpleNamespace(of_host=lambda layout: access))
    return Company(Layout(tmp_path), Log(io.StringIO(), "agent run"))


def test_a_leader_that_only_the_other_site_confirms_refuses_writes_until_a_sibling_does(company):
    server, other = Server3(), ("cache-1.b", 0)
    company.look(info(other, ("cache-2.a", 1)), server.ask)
    assert server.asked == []
    for _ in range(ALONE_LOOKS):
        company.look(info(other, ("cache-2.a", 11)), server.ask)
    assert server.asked == [NEVER]
    company.look(info(other, ("cache-2.a", 0)), server.ask)
    company.look(info(other, ("cache-2.a", 0)), server.ask)
    assert server.asked == [NEVER, 1]


def test_a_leader_that_asks_for_no_follower_is_left_alone(company):
    server = Server3()
    for _ in range(3 * ALONE_LOOKS):
        company.look(info(armed=False), server.ask)
    assert server.asked == []
