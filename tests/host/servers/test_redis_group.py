"""Three caches in each site, real servers and Sentinels on loopback: who leads, who follows, and that no old leader leads again."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from functools import partial

import pytest

from contract.errors import Failed, Refused
from contract.rotation import Stage
from lab.pairs.redis import ADDRESSES, SERVERS, Pair, conf_of, settled
from scripts.host import guard
from scripts.host.agent.redis import RedisFacts
from scripts.host.frame import rolefile
from scripts.host.frame.log import Log
from scripts.host.frame.rolefile import Role
from scripts.host.frame.wait import until
from scripts.host.redis import sentinel as redis_sentinel
from scripts.host.redis import upstream as redis_upstream
from scripts.host.redis import verbs as redis
from scripts.host.redis.config import SENTINEL, sentinel_password
from scripts.host.redis.leader import SHOP, Access, role_of, sentinel_of, word
from scripts.host.redis.look import look
from scripts.host.redis.sentinel import UNIT
from scripts.host.redis.upstream import LOOKS, Upstream
from scripts.host.redis.wire import Connection, ErrorReply, Unreachable


@pytest.fixture(params=SERVERS)
def pair(tmp_path, request):
    pair = Pair(tmp_path, request.param, caches=3).up()
    yield pair
    pair.close()


def leaders(pair, site):
    return [host.name for host in pair.of(site) if (found := host.look()) is not None and found.role == "master"]


def settings(host) -> Access:
    found = Access.of_host(host.layout)
    assert found is not None
    return found


def sentinels(host):
    return settings(host).sentinels


def agreed(pair, site):
    """All three Sentinels know each other."""

    def knows(sentinel):
        with Connection(sentinel) as connection:
            flat = connection.call("SENTINEL", "MASTER", SHOP)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return (fields["num-other-sentinels"], int(fields["num-slaves"]) >= 2) == ("2", True)

    return until(lambda: all(knows(sentinel) for sentinel in sentinels(pair.of(site)[0])), 20)


def chosen(pair, site, without):
    """Wait until another than `without` leads; its name."""
    found: list[str] = []

    def led():
        found[:] = [name for name in leaders(pair, site) if name != without]
        return bool(found)

    assert until(led, 30), "nobody was chosen"
    return found[0]


def lose(host):
    """The host: its cache and its Sentinel."""
    for unit in ("redis", UNIT):
        host.units.kill(unit)


def role(host) -> Role:
    found = rolefile.read(host.layout)
    assert found is not None
    return found


def started(host):
    """As its unit would start it: Sentinel, then the guard's word, then the server."""
    host.units.start(UNIT, 10)
    guard.led(host.layout, role(host))
    host.units.start("redis", 10)


def test_one_leads_in_the_active_site_all_others_follow_and_a_second_run_changes_nothing(pair):
    assert [leaders(pair, site) for site in "ab"] == [["cache-1.a"], []]
    assert [host.look().master for host in pair.of("a")] == [None, ADDRESSES["cache-1.a"], ADDRESSES["cache-1.a"]]
    assert [host.look().master for host in pair.of("b")] == [
        ADDRESSES["cache-1.a"],
        ADDRESSES["cache-1.b"],
        ADDRESSES["cache-1.b"],
    ]
    assert [host.role() for host in pair.hosts.values()] == ["primary"] * 3 + ["standby"] * 3
    assert [host.units.active(UNIT) for host in pair.hosts.values()] == [True] * 3 + [False] * 3
    pair.a.converge(1, "a")  # by now it has followers, and may ask for one
    assert [host.converge(1, "a").actions for host in pair.hosts.values()] == [[]] * 6


def test_a_dead_leader_is_replaced_and_comes_back_as_a_follower(pair):
    assert agreed(pair, "a")
    pair.a.shop("SET", "cart", "1")
    assert until(lambda: pair.hosts["cache-2.a"].look().offset == pair.a.look().offset, 10)
    lose(pair.a)
    heir = pair.hosts[chosen(pair, "a", "cache-1.a")]
    assert heir.shop("GET", "cart") == "1"
    assert until(lambda: _writes(heir), 15), "with a follower left it takes writes"
    assert "replicaof" not in conf_of(pair.a), "as it would start without the guard's word"
    started(pair.a)
    assert settled(pair.a) and pair.a.look().master == ADDRESSES[heir.name]
    assert leaders(pair, "a") == [heir.name]
    assert [host.converge(1, "a").facts["role"] for host in pair.of("a")] == ["primary"] * 3
    assert leaders(pair, "a") == [heir.name], "a run leaves whoever leads"
    assert [host.converge(1, "a").actions for host in pair.of("a")] == [[]] * 3


def test_the_files_stay_the_programs_own(pair):
    assert agreed(pair, "a")
    before = {host.name: conf_of(host) for host in pair.of("a")}
    lose(pair.a)
    chosen(pair, "a", "cache-1.a")
    assert {host.name: conf_of(host) for host in pair.of("a")} == before


def test_a_leader_without_followers_of_its_own_site_refuses_writes_whatever_the_other_site_confirms(pair, monkeypatch):
    assert agreed(pair, "a")
    pair.a.converge(1, "a")
    assert _writes(pair.a)
    facts = RedisFacts(pair.a.layout, Log(pair.a.err, "agent run"))
    facts.read()
    monkeypatch.setattr(redis_upstream, "NEAR_S", 1)
    others = pair.of("a")[1:]
    for host in others:
        host.units.kill("redis")

    def closed():
        facts.read()
        return not _writes(pair.a)

    assert until(closed, 20) and pair.b.look().link_up
    assert "no follower of this site" in pair.a.err.getvalue()
    others[0].units.start("redis", 10)
    assert until(lambda: not closed(), 20)
    facts = RedisFacts(pair.a.layout, Log(pair.a.err, "agent run"))  # another agent opens what this one has closed
    others[0].units.kill("redis")
    assert until(closed, 20)
    again = RedisFacts(pair.a.layout, Log(pair.a.err, "agent run"))
    others[0].units.start("redis", 10)
    assert until(lambda: again.read()["running"] and _writes(pair.a), 20)


def test_the_standby_follows_whoever_leads_by_now(pair):
    assert agreed(pair, "a")
    lose(pair.a)
    heir = chosen(pair, "a", "cache-1.a")
    upstream = Upstream(pair.b.layout, Log(pair.b.err, "agent run"))
    assert until(lambda: pair.b.look().link_up is False, 20)
    for _ in range(LOOKS):
        with Connection(pair.b.server()) as connection:
            upstream.look(
                dict(line.split(":", 1) for line in connection.call("INFO", "replication").splitlines() if ":" in line)
            )
    assert settled(pair.b) and pair.b.look().master == ADDRESSES[heir]
    assert f"replicaof {ADDRESSES[heir]} " in conf_of(pair.b)


def test_a_follower_that_may_be_chosen_counts_as_a_possible_writer(pair):
    for host, writes in ((pair.a, True), (pair.hosts["cache-2.a"], None)):
        facts = RedisFacts(host.layout, Log(host.err, "agent run"))
        assert facts.writes(facts.read()) is writes, host.name


class Shopper(threading.Thread):
    """Writes to whichever cache leads, and keeps what was acknowledged."""

    def __init__(self, pair):
        super().__init__(daemon=True)
        self._pair, self._halt, self.acknowledged = pair, threading.Event(), []

    def run(self):
        number = 0
        while not self._halt.is_set():
            for host in self._pair.hosts.values():
                try:
                    with Connection(host.server("shop")) as connection:
                        while not self._halt.is_set() and connection.call("ROLE")[0] == "master":
                            connection.call("SET", f"key:{number}", number)
                            self.acknowledged.append(number)
                            number += 1
                except (Unreachable, ErrorReply):
                    continue

    def stop(self):
        self._halt.set()
        self.join(20)


def test_the_shop_moves_from_a_chosen_leader_to_the_other_site_and_back_without_a_lost_write(pair):
    assert agreed(pair, "a")
    lose(pair.a)
    chosen(pair, "a", "cache-1.a")
    started(pair.a)
    assert settled(pair.a)
    pair.b.converge(1, "a")
    assert settled(pair.b)
    shopper = Shopper(pair)
    shopper.start()

    def bought(count):
        return len(shopper.acknowledged) > count

    for epoch, active, standby in ((2, "b", "a"), (3, "a", "b")):
        had = len(shopper.acknowledged)
        assert until(partial(bought, had + 100), 20)
        for host in (*pair.of(active), *pair.of(standby)):
            host.converge(epoch, active, planned=True)
        assert leaders(pair, active) == [f"cache-1.{active}"] and leaders(pair, standby) == []
        assert [host.units.active(UNIT) for host in (*pair.of(active), *pair.of(standby))] == [True] * 3 + [False] * 3
        assert agreed(pair, active)
    shopper.stop()
    with Connection(pair.a.server("shop")) as connection:
        missing = [number for number in shopper.acknowledged if connection.call("GET", f"key:{number}") != str(number)]
    assert missing == []


def test_after_a_handover_the_left_sites_sentinels_choose_nobody(pair):
    assert agreed(pair, "a")
    pair.b.converge(2, "b", planned=True)
    assert [host.units.active(UNIT) for host in pair.of("a")] == [True] * 3, "it has not followed yet"
    with pytest.raises(ErrorReply, match="No such master"), Connection(sentinels(pair.a)[0]) as connection:
        connection.call("SENTINEL", "FAILOVER", SHOP)
    assert word(sentinels(pair.a)) is None
    assert leaders(pair, "a") == [] and leaders(pair, "b") == ["cache-1.b"]


def test_sentinels_that_watch_on_keep_the_cache_where_it_is(pair, monkeypatch):
    assert agreed(pair, "a")
    monkeypatch.setattr(redis_sentinel, "LET_GO_S", 0.5)
    monkeypatch.setattr(redis_sentinel, "forget", lambda sentinels: None)
    with pytest.raises(Failed, match="3 that cannot be told to let go"):
        pair.b.converge(2, "b", planned=True)
    assert leaders(pair, "a") == ["cache-1.a"] and leaders(pair, "b") == []


def test_the_shop_moves_away_from_a_leader_that_is_the_last_of_its_site(pair):
    assert agreed(pair, "a")
    for host in pair.of("a")[1:]:
        lose(host)
    pair.b.converge(2, "b", planned=True)
    assert leaders(pair, "a") == [] and leaders(pair, "b") == ["cache-1.b"]


def test_a_head_that_hangs_on_a_former_leader_turns_to_the_present_one_before_it_takes_over(pair):
    assert agreed(pair, "a")
    lose(pair.a)
    heir = pair.hosts[chosen(pair, "a", "cache-1.a")]
    started(pair.a)
    assert settled(pair.a) and settled(pair.b)
    assert pair.b.look().master == ADDRESSES["cache-1.a"], "a follower of a follower"
    heir.shop("SET", "late", "1")
    actions = pair.b.converge(2, "b", planned=True).actions
    assert f"follow {heir.name}.dr.internal" in actions and f"handover {heir.name}.dr.internal" in actions
    assert pair.b.shop("GET", "late") == "1"


def test_a_run_does_not_promote_the_head_beside_a_leader_that_it_cannot_see(pair, monkeypatch):
    assert agreed(pair, "a")
    lose(pair.a)
    heir = chosen(pair, "a", "cache-1.a")
    started(pair.a)
    assert settled(pair.a)
    monkeypatch.setattr(
        redis, "look", lambda server: (None, "frozen") if server.name.startswith(heir) else look(server)
    )
    pair.a.converge(1, "a")
    monkeypatch.undo()
    assert pair.a.look().master == ADDRESSES[heir], "it follows a leader whom the run could not see"
    monkeypatch.setattr(
        redis, "look", lambda server: (None, "frozen") if server.name.startswith(heir) else look(server)
    )
    pair.a.operator("REPLICAOF", ADDRESSES["cache-1.b"], pair.port)
    with pytest.raises(Refused, match="nobody answers"):
        pair.a.converge(1, "a")  # Sentinel says who leads
    assert pair.a.look().role == "replica"


def test_nobody_is_promoted_while_sentinel_chooses(pair):
    assert agreed(pair, "a")
    pair.a.units.kill("redis")
    assert until(
        lambda: (said := word(sentinels(pair.a), ADDRESSES["cache-1.a"])) is not None and said.leader is None, 10
    )
    with pytest.raises(Refused, match="Sentinel has another one chosen"):
        pair.a.converge(1, "a")


def test_two_leaders_of_a_site_are_taken_over_from_by_nobody(pair):
    for host in pair.of("a"):
        host.units.kill(UNIT)
    pair.hosts["cache-3.a"].operator("REPLICAOF", "NO", "ONE")
    with pytest.raises(Refused, match=r"cache-1\.a\.dr\.internal and cache-3\.a\.dr\.internal say that they lead"):
        pair.b.converge(2, "b", planned=True)


@pytest.mark.parametrize("what", ["operator", "certificates"])
def test_what_is_rotated_reaches_caches_and_sentinels_of_a_running_site(pair, what):
    assert agreed(pair, "a")
    if what == "operator":
        pair.passwords["operator"] = "another one, just as long"
    else:
        pair.certificates = {name: pair.authority.issue([f"{name}.dr.internal", at]) for name, at in ADDRESSES.items()}
    for host in (*pair.of("a"), *pair.of("b")):
        actions = host.converge(1, "a").actions
        assert any(action.startswith("sentinel-start") for action in actions) is (host.site == "a"), host.name
    assert [leaders(pair, site) for site in "ab"] == [["cache-1.a"], []]
    assert agreed(pair, "a")
    assert [host.converge(1, "a").actions for host in pair.hosts.values()] == [[]] * 6


def test_the_operators_word_is_rotated_and_caches_and_sentinels_are_reached_at_each_step(pair):
    """Each host asks those that have turned, and those that have not. In the middle a region that has turned takes over from one that has not."""
    old, new = pair.passwords["operator"], "the one after that, as long"

    def told(host, which, epoch, active):
        pair.passwords["operator"], other = (old, new) if which == Stage.BESIDE else (new, old)
        beside = None if which == Stage.ENDED else other
        host.converge(epoch, active, planned=epoch > 1, passwords={**pair.passwords, "operator_beside": beside})
        if beside:
            access = settings(host)
            assert all(role_of(it) for it in (*access.members, *access.peers)), (which, host.name)

    for site in "ba":
        for host in pair.of(site):
            told(host, Stage.BESIDE, 1, "a")
    for host in pair.of("b"):
        told(host, Stage.TURNED, 1, "a")
    assert agreed(pair, "a")
    for site in "ba":
        for host in pair.of(site):
            told(host, Stage.TURNED, 2, "b")
    assert agreed(pair, "b")
    for site in "ab":
        for host in pair.of(site):
            told(host, Stage.ENDED, 2, "b")
    assert agreed(pair, "b")
    for host in pair.hosts.values():
        with pytest.raises(ErrorReply, match="WRONGPASS"):
            Connection(replace(host.server(), password=old))
        with pytest.raises(ErrorReply, match="WRONGPASS"):
            Connection(replace(host.server(), user=SENTINEL, password=sentinel_password(old, host.site)))
    for host in pair.of("b"):
        with pytest.raises(ErrorReply, match="WRONGPASS"):
            Connection(sentinel_of(host.server(), sentinel_password(old, "b")))


def test_the_settings_file_of_a_host_from_before_is_still_read(pair):
    pair.a.operator("CONFIG", "SET", "tls-auth-clients", "optional")  # as it was then, too
    path = pair.a.layout.etc / "redis.json"
    found = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            {"local": found["local"], "peer": found["peers"][0], "ca": found["ca"], "password": found["password"]}
        )
    )
    access = settings(pair.a)
    assert (access.local.name, [it.name for it in access.members], access.sentinels) == (
        "cache-1.a.dr.internal",
        ["cache-1.a.dr.internal"],
        (),
    )
    assert RedisFacts(pair.a.layout, Log(pair.a.err, "agent run")).read()["role"] == "master"


def test_a_sentinel_of_the_lost_site_has_no_say_over_the_new_leader(pair):
    assert agreed(pair, "a")
    for host in pair.of("a"):
        host.units.kill("redis")
    pair.b.converge(2, "b")
    with pytest.raises(ErrorReply, match="WRONGPASS"), Connection(_as_sentinel(pair, pair.b, "a")):
        pass
    with Connection(_as_sentinel(pair, pair.b, "b")) as connection, pytest.raises(ErrorReply, match="NOPERM"):
        connection.call("CONFIG", "REWRITE")


def test_a_host_that_was_away_does_not_start_without_sentinels_word(pair, monkeypatch):
    assert agreed(pair, "a")
    monkeypatch.setattr(guard, "WORD_S", 0.1)
    third = pair.hosts["cache-3.a"]
    for host in pair.of("a"):
        lose(host)
    pair.a.units.start(UNIT, 10)
    with pytest.raises(Refused, match="2 or more that name one"):
        guard.led(pair.a.layout, role(pair.a))
    third.units.start(UNIT, 10)
    assert until(
        lambda: (said := word(sentinels(pair.a), ADDRESSES["cache-1.a"])) is not None and said.leader is None, 20
    ), "they have missed it"
    with pytest.raises(Refused, match="no leader that they name"):
        guard.led(pair.a.layout, role(pair.a))
    started(third)
    assert f"replicaof {ADDRESSES['cache-1.a']} " in conf_of(third), "it never led"
    monkeypatch.undo()
    assert until(lambda: (seen := third.look()) is not None and seen.role == "master", 60), (
        "the one that is there is chosen"
    )
    started(pair.a)
    assert f"replicaof {ADDRESSES['cache-3.a']} " in conf_of(pair.a) and settled(pair.a)


def test_a_rebuilt_head_fetches_the_keys_from_a_sibling_although_nobody_was_chosen(pair):
    pair.a.shop("SET", "cart", "1")
    assert until(lambda: pair.hosts["cache-2.a"].look().offset == pair.a.look().offset, 10)
    for host in pair.of("a"):
        host.units.kill(UNIT)
    pair.a.units.kill("redis")
    for folder in ("var/lib/redis", "var/lib/dr", "etc/redis"):
        for path in sorted((pair.a.layout.root / folder).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    pair.a.converge(1, "a")
    assert pair.a.look().keys == 1 and len(leaders(pair, "a")) == 1


def test_back_to_one_cache_a_host_does_not_leave_a_leader_that_no_stack_file_names(pair):
    assert agreed(pair, "a")
    lose(pair.a)
    heir = chosen(pair, "a", "cache-1.a")
    started(pair.a)
    assert settled(pair.a)
    pair.caches = 1
    with pytest.raises(Refused, match="which is in no stack file"):
        pair.a.converge(1, "a")
    assert pair.a.look().master == ADDRESSES[heir]
    pair.caches = 3


def test_back_to_one_cache_sentinel_goes_and_those_of_hosts_that_are_still_there_choose_nobody(pair):
    assert agreed(pair, "a")
    pair.caches = 1
    left = sentinels(pair.a)
    pair.a.converge(1, "a")
    assert word(left) is None
    assert (pair.a.units.active(UNIT), pair.a.units.enabled(UNIT), pair.a.look().role) == (False, False, "master")
    pair.caches = 3


def _writes(host):
    try:
        host.shop("SET", "try", "1")
    except (Unreachable, ErrorReply):
        return False
    return True


def _as_sentinel(pair, host, site):
    """A cache as a Sentinel of `site` signs in to it."""
    return replace(host.server(), user=SENTINEL, password=sentinel_password(pair.passwords["operator"], site))
