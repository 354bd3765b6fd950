"""Orders of events beside a fence that could end with two writers, or leave the shop without one: each was seen to."""

import itertools
import json
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from contract.accept import spelled
from contract.access import OpenStack
from contract.buckets import Bucket
from contract.epoch import Epoch
from contract.errors import Failed, Partial, Refused
from contract.heartbeat import Heartbeat
from contract.lease import Lease
from contract.limits import POWER_S, TALK_S
from scripts.clients import compute as client
from scripts.clients import hosts
from scripts.clients.compute import Compute
from scripts.clients.hosts import CONNECT_S, Answer
from scripts.clients.openstack import ApiDown
from scripts.clients.witness_bucket import WitnessDown
from scripts.links import fence, planned, power, preflight, silence, unplanned
from scripts.links.agreement import Side
from scripts.links.interrupts import Interrupted
from tests.unit.played_pair import Pair, Witnessed
from tests.unit.test_fence import (
    BEHIND,
    CHECKPOINT,
    LEASE,
    PRIMARY,
    STANDBY,
    PlayedHosts,
    PlayedTalk,
    beat,
    cloud,
    leased,
    told,
    well,
    world,
)

__all__ = ["leased", "world"]  # fixtures
STOPPED = {"running": False, "cluster_state": "shut down", "role": {"role": "fenced", "epoch": 1}}


def lost():
    return {"epoch": 1, "at": spelled(), "reason": "region a is gone and so is what it had"}


@pytest.fixture
def clock(monkeypatch):
    """Goes on by a second whenever it is read, and whenever somebody sleeps."""
    seconds = itertools.count()
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: float(next(seconds)), sleep=lambda _: None))


def beating(**changes):
    """`heartbeat` of a witness that hears every writer anew each time it is asked."""
    sequence = itertools.count(10)

    def heard(_, host):
        return Heartbeat(document={**beat(host).document, **changes, "sequence": next(sequence)}, age_s=1.0)

    return heard


def test_a_plain_run_of_the_old_site_beside_a_move_does_not_undo_what_the_move_stands_on(monkeypatch):
    """It sees the mark of a move that was begun, and starts the database: the move is given up, and says by whom."""
    pair = Pair().install(monkeypatch)
    really = pair.takeover

    def takeover(document):
        found = really(document)
        if "checkpoint" in document:
            pair.up("a", "a")
        return found

    monkeypatch.setattr(pair, "takeover", takeover)
    with pytest.raises(Failed, match=r"is a primary again.*no epoch was claimed"):
        pair.up("b", "b")
    assert pair.sites["a"].writes and pair.epochs[-1].epoch == 1


def test_nobody_is_promoted_in_a_planned_epoch_beside_a_database_that_beats(leased, clock):
    """The claim was carried out late, after the old primary had been started again."""
    leased.epochs.append(Epoch(epoch=2, active="b", previous="a", planned=True, checkpoint=CHECKPOINT))
    leased.heartbeat = beating()
    with pytest.raises(Partial, match=r"db-1\.a still writes as of an older epoch"):
        fence.run(told(lease=LEASE))


def started_again(monkeypatch, world, *, reached=True):
    """A run of region a has asked the witness a moment before the claim is there, and has started its database on that word."""
    really, asked, state = PlayedHosts.call, world.claim, SimpleNamespace(claimed=False, stopped=False)

    def claim(epoch):
        asked(epoch)
        state.claimed = True

    def call(self, host, via, command, document, limit_s, **patience):
        if host == "db-1.a" and state.claimed and not reached:
            raise hosts.Unreachable(f"host {host}: no ssh session")
        if (host, command) == ("db-1.a", "postgres status") and state.claimed and not state.stopped:
            said = json.dumps({"facts": {**PRIMARY, "role": {"role": "primary", "epoch": 1}}}).encode()
            return Answer(0, hosts.answer_of(said, host, command), "")
        state.stopped = state.claimed and (state.stopped or (host, command) == ("db-1.a", "postgres stop"))
        return really(self, host, via, command, document, limit_s, **patience)

    world.claim = claim
    monkeypatch.setattr(PlayedHosts, "call", call)


def test_an_old_primary_that_was_started_while_the_epoch_was_claimed_is_stopped_before_anybody_is_promoted(
    world, monkeypatch, capsys
):
    well()
    started_again(monkeypatch, world)
    assert fence.run(told())["epoch"] == 2
    calls = PlayedHosts.calls
    assert calls.count(("db-1.a", "postgres stop")) == 2
    assert calls.index(("db-1.b", "takeover epoch")) > max(
        number for number, call in enumerate(calls) if call == ("db-1.a", "postgres stop")
    )
    assert "WARNING fence: db-1.a: is a primary again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lease", "words"),
    [
        (None, r"nobody can say that db-1\.a is stopped \(host db-1\.a: no ssh session\).*nothing is promoted yet"),
        (LEASE, r"db-1\.a still writes as of an older epoch"),
    ],
)
def test_nobody_is_promoted_beside_an_old_primary_that_nobody_can_ask_and_that_may_write(
    leased, clock, monkeypatch, lease, words
):
    well()
    PlayedHosts.script["db-1.b", "agent status"] = (0, {"last_granted_s": None, "up_s": 5000.0})
    started_again(monkeypatch, leased, reached=False)
    leased.heartbeat = beating()
    with pytest.raises(Partial, match=words):
        fence.run(told(lease=lease))
    assert ("db-1.b", "takeover epoch") not in PlayedHosts.calls and leased.newest().epoch == 2


def test_an_old_primary_that_went_away_with_the_claim_is_believed_to_be_stopped_by_its_last_word(
    leased, clock, monkeypatch
):
    well()
    started_again(monkeypatch, leased, reached=False)
    leased.heartbeat = lambda site, host: beat(host, role="fenced") if host == "db-1" else beating()(site, host)
    assert fence.run(told(lease=LEASE))["epoch"] == 2
    assert ("db-1.b", "takeover epoch") in PlayedHosts.calls


def test_an_old_primary_that_follows_already_is_as_good_as_stopped(world, monkeypatch, capsys):
    """Its own stack was run with the new request at the moment of the claim."""
    well()
    really = PlayedHosts.call

    def call(self, host, via, command, document, limit_s, **patience):
        if (host, command) == ("db-1.a", "postgres status") and world.newest().epoch == 2:
            said = json.dumps({"facts": {**STANDBY, "role": {"role": "standby", "epoch": 2}}}).encode()
            return Answer(0, hosts.answer_of(said, host, command), "")
        return really(self, host, via, command, document, limit_s, **patience)

    monkeypatch.setattr(PlayedHosts, "call", call)
    assert fence.run(told())["epoch"] == 2
    assert PlayedHosts.calls.count(("db-1.a", "postgres stop")) == 1 and "db-1.a" not in capsys.readouterr().err


@pytest.mark.parametrize("late", [False, True])
def test_a_run_of_the_old_site_at_the_moment_of_the_claim_makes_no_second_writer(monkeypatch, late):
    """`late`: the witness has carried the claim out long after it was asked."""
    pair = Pair().install(monkeypatch)
    really, tries = Witnessed.claim, list[int]()

    def claim(witness, epoch):
        tries.append(epoch.epoch)
        if len(tries) == 1:
            pair.up("a", "a")
            if late:
                raise WitnessDown("no answer within 5 s")
        really(witness, epoch)

    monkeypatch.setattr(fence, "WITNESS_S", 10.0)
    monkeypatch.setattr(fence, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: None))
    monkeypatch.setattr(Witnessed, "claim", claim)
    pair.up("b", "b")
    assert pair.sites["b"].writes and not pair.sites["a"].writes
    pair.up("a", "b")
    assert pair.settled() == ""


@pytest.mark.parametrize("when", ["before the look", "after it"])
def test_a_region_that_comes_back_and_is_about_to_start_is_waited_for_until_it_knows_the_epoch(
    leased, clock, monkeypatch, when
):
    """Its agent is heard before the service runs, and may have been told by the witness, a moment before the claim, that its epoch is in force."""
    really, looks, heard = leased.claim, itertools.count(), leased.heartbeat
    back = {"lease": {"state": "stopped"}, "postgres": {"running": False}}
    returned = [Heartbeat(document={**beat("db-1").document, **back, "sequence": 10, "witness_epoch": 1}, age_s=0.5)]
    knows = Heartbeat(document={**returned[0].document, "sequence": 11, "witness_epoch": 2}, age_s=0.5)

    def claim(epoch):
        really(epoch)
        leased.heartbeat = lambda site, host: heard(site, host) if host != "db-1" else look()

    def look():
        assert ("db-1.b", "takeover epoch") not in PlayedHosts.calls
        return knows if next(looks) >= 2 else returned[0]

    if when == "before the look":
        monkeypatch.setattr(silence.Silence, "quiet", lambda *_: {**leased.beats, "db-1": returned[0]})
    leased.claim = claim
    assert fence.run(told(lease=LEASE))["epoch"] == 2
    assert next(looks) >= 3 and ("db-1.b", "takeover epoch") in PlayedHosts.calls


@pytest.mark.parametrize(("running", "moved"), [(False, True), (True, False), (None, False)])
def test_a_database_that_is_down_on_a_host_that_beats_does_not_sell(leased, clock, running, moved):
    """Whoever moves away from it needs no word for what it sells until it is stopped: it sells nothing."""
    well()
    PlayedHosts.script["db-1.a", "postgres status"] = (0, {"running": False, "cluster_state": "in production"})
    PlayedHosts.script["db-1.b", "agent status"] = (0, {"last_granted_s": None, "up_s": 5000.0})
    PlayedHosts.script["cache-1.b", "redis status"] = (0, {})
    nova = cloud(leased)
    block = {**beat("db-1").block("postgres"), "running": running}
    beats = beating(postgres=block)

    def heartbeat(site, host):
        off = nova.servers["id-shop-a-db-1"]["status"] == "SHUTOFF"
        return beat(host, postgres=block) if off else beats(site, host)

    leased.heartbeat = heartbeat
    if moved:
        assert fence.run(told(lease=LEASE))["fence"] == {"rung": 2}
        return
    with pytest.raises(Refused, match="it sells, and a forced move"):
        fence.run(told(lease=LEASE))
    assert nova.all_asked() == []


@pytest.mark.parametrize("times", [2, 10_000])
def test_a_witness_that_falls_silent_behind_the_claim_is_asked_until_it_says_whether_somebody_writes(
    leased, clock, times
):
    """Nobody may write by then, and nobody may be promoted: an answer that comes late is worth waiting for."""
    asked, claimed, really, heard = itertools.count(1), list[int](), leased.claim, leased.heartbeat

    def claim(epoch):
        really(epoch)
        claimed.append(epoch.epoch)

    def heartbeat(site, host):
        if claimed and next(asked) <= times:
            raise WitnessDown("witness: no answer within 5 s")
        return heard(site, host)

    leased.claim, leased.heartbeat = claim, heartbeat
    if times == 2:
        assert fence.run(told(lease=LEASE))["epoch"] == 2
        assert ("db-1.b", "takeover epoch") in PlayedHosts.calls
        return
    with pytest.raises(Partial, match=r"epoch 2: is claimed.*no answer within 5 s.*this run promotes nobody"):
        fence.run(told(lease=LEASE))
    assert ("db-1.b", "takeover epoch") not in PlayedHosts.calls


def left():
    """A living region whose database is not followed, and a standby that lacks something."""
    well()
    PlayedHosts.script["cache-1.b", "redis status"] = (0, {})
    PlayedHosts.script["db-1.b", "agent status"] = (0, {"last_granted_s": None, "up_s": 5000.0})
    PlayedHosts.script["db-1.b", "postgres status"] = (0, {**STANDBY, "streaming": False, "receive_lsn": "0/3000000"})


def test_an_old_primary_that_was_started_again_while_the_loss_was_counted_is_no_proof_for_leaving_it(
    world, monkeypatch
):
    left()
    really = PlayedHosts.call

    def call(self, host, via, command, document, limit_s, **patience):
        if (host, command) == ("db-1.a", "postgres status") and ("db-1.a", "postgres stop") in PlayedHosts.calls:
            said = json.dumps({"facts": {**PRIMARY, "role": {"role": "primary", "epoch": 1}}}).encode()
            return Answer(0, hosts.answer_of(said, host, command), "")
        return really(self, host, via, command, document, limit_s, **patience)

    monkeypatch.setattr(PlayedHosts, "call", call)
    with pytest.raises(Failed, match=r"db-1\.a: is a primary again.*no epoch was claimed"):
        fence.run(told(data_loss=lost()))
    assert world.newest().epoch == 1


def test_a_cache_that_was_heard_a_moment_before_the_claim_has_to_stop_all_the_same(leased, clock):
    """Its next heartbeat is two seconds away: that nothing new is heard of it is no sign that it has stopped."""
    left()
    leased.heartbeat = lambda site, host: replace(beat(host, role="fenced" if host == "db-1" else "primary"), age_s=1.0)
    with pytest.raises(Partial, match=r"cache-1\.a still writes as of an older epoch"):
        fence.run(told(lease=LEASE, data_loss=lost()))
    assert ("db-1.b", "takeover epoch") not in PlayedHosts.calls


def test_a_claim_that_nobody_answered_is_made_again_until_somebody_says_what_is_so(world, monkeypatch):
    well()
    monkeypatch.setattr(fence, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: None))
    really, tries = world.claim, list[Epoch]()

    def claim(epoch):
        tries.append(epoch)
        if len(tries) == 1:
            raise WitnessDown("no answer within 5 s")
        really(epoch)

    world.claim = claim
    assert fence.run(told())["epoch"] == 2 and len(tries) == 2
    assert ("db-1.a", "postgres resume") not in PlayedHosts.calls


def test_a_server_that_the_list_shows_is_not_gone_whatever_is_said_of_its_id(world):
    nova = cloud(world)
    for name in ("cache-1", "app-1"):
        nova.servers[f"id-shop-a-{name}"].update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})
    really = nova.ask

    def ask(asking, method, service, path, body=None):
        if path == "/servers/id-shop-a-db-1":
            raise ApiDown("answered 404 Not Found", 404)
        return really(asking, method, service, path, body)

    nova.ask = ask
    nova.dead.add("id-shop-a-db-1")
    with pytest.raises(Refused, match="is UNKNOWN"):
        fence.run(told())


def test_the_operators_word_is_not_believed_against_a_primary_that_asks_this_side_for_its_lease(leased):
    block = {**BEHIND, "trail": [[0, "0/5000148"]], "write_lsn": "0/5000148"}
    asked = {"last_granted_s": 1.0, "up_s": 9000.0, "peer": {"epoch": 1, "age_s": 1.0, "block": block}}
    PlayedHosts.script["db-1.b", "agent status"] = (0, asked)
    del PlayedHosts.script["cache-1.b", "agent deny"]
    leased.beats = {name: replace(found, age_s=3600.0) for name, found in leased.beats.items()}
    with pytest.raises(Refused, match=r"rung 4 .*has asked db-1\.b for its lease 1 s ago.*it is not off"):
        fence.run(
            told(
                lease=LEASE,
                without_fence={"epoch": 1, "at": spelled(), "reason": "nobody answers there, it must be off"},
            )
        )
    assert leased.newest().epoch == 1


def test_a_heartbeat_that_names_no_terms_is_heard_where_this_side_keeps_no_lease(world, monkeypatch):
    cloud(world)
    now = [0.5]

    def slept(seconds):
        now[0] += max(seconds, 0.1)

    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=slept))
    world.heartbeat = lambda _, host: replace(beat(host, sequence=int(now[0] // 2)), age_s=now[0] % 2)
    with pytest.raises(Partial, match="still writes heartbeats"):
        fence.run(told(lease=None, data_loss=lost()))


def test_the_time_of_a_replay_is_none_of_the_powers(world, monkeypatch):
    """Before the rung begins the archives are replayed, for up to a minute."""
    nova, now = cloud(world), [0.0]
    world.beats = {"db-1": beat("db-1", postgres=BEHIND), "cache-1": beat("cache-1")}
    monkeypatch.setattr(power, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for name in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S"):
        monkeypatch.setattr(power, name, 0.001)

    class Slow(dict[tuple[str, str], Any]):
        def __getitem__(self, key):
            now[0] += 80.0 if key == ("db-1.b", "archive drain") and now[0] < 1 else 0.0
            return super().__getitem__(key)

    drained = (0, {"complete": True, "replayed_bytes": 0})
    PlayedHosts.script = Slow({**PlayedHosts.script, ("db-1.b", "archive drain"): drained})
    nova.on_stop = lambda server: server.update({"OS-EXT-STS:task_state": "powering-off", "until": now[0] + 30})

    def look():
        now[0] += 0.5
        for server in nova.servers.values():
            if server.get("until", 1e9) <= now[0]:
                server.update({"status": "SHUTOFF", "OS-EXT-STS:task_state": None, "OS-EXT-STS:power_state": 4})

    nova.on_look = look
    assert fence.run(told(data_loss=lost()))["fence"] == {"rung": 2}


def test_a_list_that_goes_in_circles_ends_in_time(monkeypatch):
    now, number = [0.0], itertools.count()
    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Compute, "url", lambda _, service, path: f"http://nova{path}")

    def ask(*_):
        now[0] += 4.9
        at = next(number)
        link = {"rel": "next", "href": f"http://nova/servers/detail?marker=x{at % 2}"}
        return {"servers": [{"id": f"x{at}", "name": f"y{at}", "status": "ACTIVE"}], "servers_links": [link]}

    monkeypatch.setattr(Compute, "ask", ask)
    place = cast("OpenStack", SimpleNamespace(auth_url="http://k"))
    with pytest.raises(ApiDown, match="a list of servers that does not end"):
        Compute(place, "GRA11").look(["a"], {})
    assert now[0] < POWER_S / 2


def test_leaving_a_primary_that_is_not_followed_is_gone_on_with_by_the_same_command(world):
    well()
    world.beats["cache-1"] = replace(beat("cache-1"), age_s=60.0)
    PlayedHosts.script["cache-1.b", "redis status"] = (0, {})
    PlayedHosts.script["db-1.a", "postgres status"] = (0, STOPPED)
    PlayedHosts.script["db-1.b", "postgres status"] = (0, {**STANDBY, "streaming": False, "receive_lsn": "0/3000000"})
    PlayedHosts.script["db-1.b", "takeover checkpoint"] = (3, {})  # it is never received
    assert fence.run(told(data_loss=lost()))["planned"] is False


def test_a_cache_of_a_region_that_is_left_is_no_writer_when_somebody_is_promoted(leased, clock):
    well()
    PlayedHosts.script["cache-1.b", "redis status"] = (0, {})
    PlayedHosts.script["db-1.b", "agent status"] = (0, {"last_granted_s": None, "up_s": 5000.0})
    PlayedHosts.script["db-1.b", "postgres status"] = (0, {**STANDBY, "streaming": False, "receive_lsn": "0/3000000"})
    heard = beating()
    leased.heartbeat = lambda site, host: beat(host, role="fenced") if host == "db-1" else heard(site, host)
    with pytest.raises(Partial, match=r"cache-1\.a still writes as of an older epoch"):
        fence.run(told(lease=LEASE, data_loss=lost()))
    assert ("db-1.b", "takeover epoch") not in PlayedHosts.calls


def test_a_cache_that_was_handed_over_is_no_writer(leased, clock):
    leased.epochs.append(Epoch(epoch=2, active="b", previous="a", planned=False))
    replica = beating(witness_epoch=2, redis={"running": True, "role": "replica"})
    leased.heartbeat = lambda site, host: beat(host, role="fenced") if host == "db-1" else replica(site, host)
    assert fence.run(told(lease=LEASE))["epoch"] == 2


def test_counterparts_grant_no_epoch_that_has_a_successor(leased, clock):
    really = leased.claim

    def claim(epoch):
        really(epoch)
        PlayedHosts.calls.clear()
        leased.heartbeat = beating()

    leased.claim = claim
    with pytest.raises(Partial):
        fence.run(told(lease=LEASE))
    assert ("db-1.b", "agent allow") not in PlayedHosts.calls


def test_a_lease_that_a_run_could_not_wait_for_is_no_lease():
    assert [each.key for each in Lease(lease_s=TALK_S).contradictions()] == ["lease_s"]
    assert list(Lease(lease_s=120).contradictions()) == []


def test_what_was_stopped_before_this_attempt_is_not_said_to_write(world, monkeypatch, capsys):
    well()
    PlayedHosts.script["db-1.a", "postgres status"] = (0, STOPPED)

    def interrupted(_, __, command):
        if command == "app quiesce":
            raise Interrupted
        return True

    monkeypatch.setattr(planned.CleanStop, "_each", interrupted)
    with pytest.raises(Interrupted):
        fence.run(told())
    assert "is stopped, as an attempt before this one has left it" in capsys.readouterr().err


class Knows:
    """What a run of region a is told at its edge, of an epoch in which that is active."""

    def __init__(self, _):
        pass

    def newest(self):
        return Epoch(epoch=1, active="a", previous=None, planned=True)

    def heartbeat(self, site, host):
        raise Failed("witness object heartbeats/a/db-1.json: is no heartbeat")

    def followed(self, _):
        return None

    configuration = followed

    def locked(self) -> None:
        return None

    def unsettled(self, _):
        return 0

    def servers(self, _) -> dict[str, str]:
        return {}


def test_an_object_that_is_no_heartbeat_is_no_reason_to_refuse_a_run(monkeypatch):
    monkeypatch.setattr(preflight, "Witness", Knows)
    assert preflight.check(Side(site="a", digests={}, word=None), "a", cast("Bucket", None)).mends == 0


@pytest.mark.parametrize("answers", [True, False])
def test_a_run_goes_by_what_was_begun_and_a_preview_only_looks(monkeypatch, answers):
    """Also where the witness takes no note of it: what a move has stopped is started."""
    asked = []

    class Witness(Knows):
        def unsettled(self, _):
            asked.append("look")
            return 2

        def mend(self, _):
            asked.append("note")
            if not answers:
                raise WitnessDown("no answer")
            return 2

    monkeypatch.setattr(preflight, "Witness", Witness)
    side, place = Side(site="a", digests={}, word=None), cast("Bucket", None)
    assert preflight.check(side, "a", place).mends == 2
    assert asked == ["look"]
    assert preflight.check(side, "a", place, runs=True).mends == 2
    assert asked == ["look", "note", *([] if answers else ["look"])]


@pytest.fixture
def asking(leased):
    """Region a's database is heard by this side alone, and an API that is half dead says that all of its servers are off."""
    for server in cloud(leased).servers.values():
        server.update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})
    block = {**BEHIND, "trail": [[0, "0/5000148"]], "write_lsn": "0/5000148"}
    asked = {"last_granted_s": 1.0, "up_s": 9000.0, "peer": {"epoch": 1, "age_s": 1.0, "block": block}}
    PlayedHosts.script["db-1.b", "agent status"] = (0, asked)
    del PlayedHosts.script["cache-1.b", "agent deny"]
    leased.beats = {name: replace(found, age_s=3600.0) for name, found in leased.beats.items()}
    return asked


def watched(monkeypatch, slept):
    seconds = itertools.count()
    monkeypatch.setattr(unplanned, "time", SimpleNamespace(monotonic=lambda: float(next(seconds)), sleep=slept))


def test_servers_that_are_said_to_be_off_are_not_while_one_asks_this_side_for_its_lease(leased, asking, monkeypatch):
    watched(monkeypatch, lambda _: None)
    with pytest.raises(Refused, match=r"rung 2 .*has asked db-1\.b for its lease 1 s ago.*not what was stopped"):
        fence.run(told(lease=LEASE))
    assert leased.newest().epoch == 1


def test_what_was_asked_before_the_power_went_off_is_waited_for(leased, asking, monkeypatch):
    def slept(seconds):
        asking["last_granted_s"] += seconds
        asking["peer"]["age_s"] += seconds

    watched(monkeypatch, slept)
    assert fence.run(told(lease=LEASE))["fence"] == {"rung": 2}
    assert asking["last_granted_s"] >= 3.0


def test_an_old_primary_that_has_written_since_it_was_stopped_proves_nothing(world, monkeypatch):
    """It is stopped again, and fenced: its last word is another one than the standby has seen."""
    well()
    really = PlayedHosts.call

    def call(self, host, via, command, document, limit_s, **patience):
        found = really(self, host, via, command, document, limit_s, **patience)
        if (host, command) == ("db-1.a", "postgres status"):
            said = json.dumps({"facts": {**found.facts, "checkpoint_lsn": "0/4000028"}}).encode()
            return Answer(
                0, hosts.answer_of(said, host, command), ""
            )  # as it is heard: a fact without a form reaches nobody
        return found

    monkeypatch.setattr(PlayedHosts, "call", call)
    with pytest.raises(Failed, match=r"shut down at 0/4000028.*wanted it stopped.*at 0/3000E48"):
        fence.run(told())
    assert world.newest().epoch == 1 and ("db-1.a", "postgres resume") in PlayedHosts.calls


@pytest.mark.parametrize("dies", ["record_servers", "record_addresses", "record_configuration", "addresses"])
def test_a_witness_that_dies_behind_the_promotion_holds_up_no_take_over(world, monkeypatch, capsys, dies):
    """Nothing writes but the new primary by then, and the links behind need no more of the witness than this link has read."""
    well()
    world.sites["a"] = {"lb": "198.51.100.4"}
    really = world.claim

    def claim(epoch):
        really(epoch)

        def silent(*_):
            raise WitnessDown("witness w: cannot be asked (no answer within 5 s); see the third region")

        monkeypatch.setattr(world, dies, silent)

    world.claim = claim
    answer = fence.run(told(instances={"db-1": "4711"}, configuration={"dns": "0123456789abcdef"}))
    assert (answer["epoch"], answer["active"], answer["entrance"]) == (2, "b", "198.51.100.4")
    if dies != "addresses":
        assert "the move goes on" in capsys.readouterr().err


def test_a_witness_that_dies_where_nothing_moves_ends_the_run(world, monkeypatch):
    world.epochs[:] = [Epoch(epoch=2, active="b", previous=None, planned=True)]

    def silent(*_):
        raise WitnessDown("no answer within 5 s")

    monkeypatch.setattr(world, "record_addresses", silent)
    with pytest.raises(WitnessDown):
        fence.run(told())


def test_a_control_file_that_cannot_be_read_has_not_moved(world, monkeypatch):
    well()
    really = PlayedHosts.call

    def call(self, host, via, command, document, limit_s, **patience):
        found = really(self, host, via, command, document, limit_s, **patience)
        if (host, command) == ("db-1.a", "postgres status"):
            found.document["facts"]["checkpoint_lsn"] = None
        return found

    monkeypatch.setattr(PlayedHosts, "call", call)
    assert fence.run(told())["epoch"] == 2


def test_an_old_primary_that_refused_to_stop_is_not_said_to_have_been_restarted(world, monkeypatch):
    well()
    PlayedHosts.script["db-1.a", "postgres stop"] = (3, {})
    really = PlayedHosts.call

    def call(self, host, via, command, document, limit_s, **patience):
        found = really(self, host, via, command, document, limit_s, **patience)
        if command == "postgres resume":
            found.document["changed"] = False
        return found

    monkeypatch.setattr(PlayedHosts, "call", call)
    with pytest.raises(Failed, match=r"the old primary db-1\.a was not stopped and writes on; no epoch was claimed"):
        fence.run(told())


def test_a_witness_that_dies_at_the_claim_of_a_lost_region_leaves_nobody_in_doubt_either(leased, monkeypatch):
    cloud(leased)
    monkeypatch.setattr(fence, "time", SimpleNamespace(monotonic=itertools.count(0, 20).__next__, sleep=lambda _: None))
    leased.claim = Mock(side_effect=WitnessDown("witness: cannot write epochs/00000002.json (no answer)"))
    with pytest.raises(
        Partial,
        match=r"whether epoch 2 was claimed is not known \(witness: cannot write.*nobody was promoted; shop-a-db-1.* were asked to stop.*run the same again",
    ):
        fence.run(told(lease=LEASE))
    assert ("db-1.b", "takeover epoch") not in PlayedHosts.calls


def test_a_witness_that_dies_behind_the_power_leaves_nobody_in_doubt_about_what_was_stopped(world, monkeypatch):
    cloud(world)

    def after(*_):
        raise WitnessDown("witness w: cannot read heartbeats/a/db-1.json (no answer within 5 s)")

    monkeypatch.setattr(unplanned.Count, "after", after)
    with pytest.raises(
        WitnessDown, match=r"no answer within 5 s\); shop-a-.* were asked to stop.*`pulumi up` of their own"
    ):
        fence.run(told(data_loss=lost()))
    assert world.newest().epoch == 1


def test_a_standby_that_lacks_the_last_record_alone_is_behind(world):
    """It has all up to the shutdown checkpoint, and not that: the link was cut in between. Replay would wait for it in vain."""
    well()
    world.beats["cache-1"] = replace(beat("cache-1"), age_s=60.0)
    PlayedHosts.script["db-1.a", "postgres status"] = (0, STOPPED)
    own = {**STANDBY, "streaming": False, "receive_lsn": CHECKPOINT["lsn"], "replay_lsn": CHECKPOINT["lsn"]}
    PlayedHosts.script["db-1.b", "postgres status"] = (0, own)
    PlayedHosts.script["db-1.b", "takeover checkpoint"] = (3, {})
    answer = fence.run(told(data_loss=lost()))
    assert (answer["epoch"], world.newest().planned, world.newest().loss["bytes"]) == (2, False, 0)


class Mute(PlayedHosts):
    """The peer's database host says nothing for as long as somebody waits."""

    let, heard = threading.Event(), threading.Event()

    def call(self, host, via, command, document, limit_s, *, connect_s=CONNECT_S):
        if host == "db-1.a" and command == "postgres status":
            PlayedHosts.patience.setdefault(host, connect_s)
            let, heard = self.let, self.heard  # those of the test that has asked
            let.wait(20)
            heard.set()
        return super().call(host, via, command, document, limit_s, connect_s=connect_s)


@pytest.fixture
def mute(world, monkeypatch):
    monkeypatch.setattr(Mute, "let", threading.Event())
    monkeypatch.setattr(Mute, "heard", threading.Event())
    monkeypatch.setattr(fence, "Hosts", Mute)
    world.beats = {host: beat(host) for host in ("db-1", "cache-1")}
    yield world
    Mute.let.set()


@pytest.mark.parametrize("heard", ["just now", "long ago"])
def test_no_word_is_waited_for_of_a_host_that_is_off_at_its_own_api(mute, monkeypatch, heard):
    if heard == "just now":
        monkeypatch.setattr(power, "PATIENCE_S", 0.1)
        ages = {host: itertools.chain([0.5], itertools.repeat(30.0)) for host in ("db-1", "cache-1")}
        mute.heartbeat = lambda _, host: replace(beat(host), age_s=next(ages[host]))
    cloud(mute).servers["id-shop-a-db-1"].update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})
    assert fence.run(told(data_loss=lost()))["fence"] == {"rung": 2}
    assert not Mute.heard.is_set(), "the move was not made before its time to answer was over"
    assert mute.nova.all_asked() == [("os-stop", "shop-a-app-1"), ("os-stop", "shop-a-cache-1")]


@pytest.mark.parametrize("why", ["running", "twice", "half-dead", "dead", "no witness"])
def test_where_nobody_shows_it_to_be_off_its_word_is_waited_for(mute, monkeypatch, why):
    well()
    nova, looked = cloud(mute), power.Glance._look
    nova.servers["id-shop-a-db-1"].update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})
    if why == "running":
        nova.servers["id-shop-a-db-1"].update({"status": "ACTIVE", "OS-EXT-STS:power_state": 1})
    elif why == "twice":
        nova.add("another", "shop-a-db-1")
    elif why == "half-dead":
        nova.dead.add("id-shop-a-db-1")
    elif why == "dead":
        nova.down = ApiDown("OpenStack API x: answered 503", 503)
    else:
        monkeypatch.setattr(mute, "servers", Mock(side_effect=WitnessDown("no answer")))

    def look(glance):
        looked(glance)
        assert glance.off() == ""
        Mute.let.set()

    monkeypatch.setattr(power.Glance, "_look", look)
    assert fence.run(told())["fence"] == {"rung": 1}
    assert Mute.let.is_set() and nova.asked == []


def test_a_peer_that_is_heard_is_asked_and_its_api_is_not(world):
    well()
    nova = cloud(world)
    world.heartbeat = lambda _, host: replace(beat(host), age_s=0.5)
    assert fence.run(told())["fence"] == {"rung": 1}
    assert nova.looks == 0


def test_a_host_whose_process_has_gone_is_asked_by_another(world, monkeypatch):
    well()
    really = PlayedHosts.talk

    def talk(self, host, via, command, limit_s):
        made = really(self, host, via, command, limit_s)
        if command == "postgres listen":

            def facts(limit_s):
                PlayedHosts.calls.append((host, command))
                raise Failed(f"{host}: no answer")

            made.facts = facts
        return made

    monkeypatch.setattr(PlayedHosts, "talk", talk)
    assert fence.run(told())["epoch"] == 2
    calls = PlayedHosts.calls
    heard = calls.index(("db-1.a", "postgres listen"))
    assert calls.count(("db-1.a", "postgres listen")) == 1, "one that has not answered is not asked again"
    asked = [at for at, call in enumerate(calls) if call == ("db-1.a", "postgres status") and at > heard]
    # Before it and behind the claim; the first look's other way may come late, beside these.
    assert len(asked) in (2, 3) and asked[1] < calls.index(("db-1.b", "takeover epoch"))


@pytest.mark.parametrize("gone", [False, True])
def test_of_a_lost_region_no_process_is_started_between_its_proof_and_the_promotion(leased, monkeypatch, gone):
    """This site's database and agent are asked again then, and answer by what was started before; where that has gone, by another."""
    cloud(leased)
    order: list[tuple[str, str]] = []
    asked, act = PlayedHosts.call, Compute.act

    def call(self, host, via, command, document, limit_s, **patience):
        order.append((host, command))
        return asked(self, host, via, command, document, limit_s, **patience)

    def talk(self, host, via, command, limit_s):
        service, verb = command.split()
        if verb != "listen":
            return PlayedTalk(host, command)

        def facts(limit_s):
            order.append((host, command))
            if gone and order.count((host, command)) == 2:
                raise Failed(f"{host}: no answer")
            return asked(self, host, via, f"{service} status", {"schema": 1}, limit_s).facts

        return SimpleNamespace(facts=facts)

    def stop(self, server, action):
        order.append((server.name, action))
        return act(self, server, action)

    monkeypatch.setattr(PlayedHosts, "call", call)
    monkeypatch.setattr(PlayedHosts, "talk", talk)
    monkeypatch.setattr(Compute, "act", stop)
    assert fence.run(told(lease=LEASE))["fence"] == {"rung": 2}
    last = max(at for at, (_, what) in enumerate(order) if what == "os-stop")
    before, after = order[:last], order[last + 1 :]
    own = [("db-1.b", f"{service} listen") for service in ("agent", "postgres")]
    assert set(own) <= set(before), "each was asked before anything was stopped"
    assert sorted(set(after) & set(own)) == own, "and once more when it was"
    started = [
        each for each in after if each[1].endswith(" status")
    ]  # beside it the rung of the lease ends, for which nothing waits
    assert sorted(started) == ([("db-1.b", f"{service} status") for service in ("agent", "postgres")] if gone else [])
    for each in own:
        assert order.count(each) >= 2


def test_no_process_is_started_at_the_old_primary_between_its_stop_and_the_promotion(world, monkeypatch):
    well()
    really, started = PlayedHosts.call, []

    def call(self, host, via, command, document, limit_s, **patience):
        started.append((host, command))
        return really(self, host, via, command, document, limit_s, **patience)

    def talk(self, host, via, command, limit_s):
        if command == "postgres listen":
            return SimpleNamespace(
                facts=lambda limit_s: (
                    really(self, host, via, "postgres status", {}, 1).facts | {"checkpoint_lsn": CHECKPOINT["lsn"]}
                )
            )
        return PlayedTalk(host, command)

    monkeypatch.setattr(PlayedHosts, "call", call)
    monkeypatch.setattr(PlayedHosts, "talk", talk)
    assert fence.run(told())["epoch"] == 2
    assert started[started.index(("db-1.a", "postgres stop")) + 1 :] == []
