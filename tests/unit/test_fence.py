"""The fence on paper: a peer that is well, ill, gone, and an operator's word. Hosts, cloud and witness are played."""

import getpass
import json
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from contract import fields
from contract.accept import spelled
from contract.agreement import Record
from contract.audit import TRAIL
from contract.epoch import Epoch
from contract.errors import ExitCode, Failed, Partial, Refused
from contract.heartbeat import Heartbeat
from contract.limits import WITNESS_S
from contract.links.fence import Document
from scripts.clients import trail
from scripts.clients.hosts import CONNECT_S, Answer, Hosts, Unreachable, answer_of
from scripts.clients.openstack import ApiDown
from scripts.clients.witness import EpochTaken
from scripts.clients.witness_bucket import WitnessDown
from scripts.links import fence, planned, silence
from scripts.links.interrupts import Interrupted
from tests.unit.played_nova import Nova

PRIMARY = {"running": True, "in_recovery": False, "cluster_state": "in production", "write_lsn": "0/5000148"}
STANDBY = {
    "running": True,
    "in_recovery": True,
    "streaming": True,
    "paused": False,
    "system_identifier": "7",
    "timeline": 1,
    "receive_lsn": "0/5000148",
}
COPIED: dict[str, Any] = {"replicated_until": 1.5, "unreplicated": {"count": 2}, "ok": True}
CHECKPOINT = {"lsn": "0/3000E48", "timeline": 1}


class PlayedWitness:
    def __init__(self, *epochs):
        self.epochs, self.sites, self.seen = list(epochs), {"a": {"bastion": "203.0.113.9"}}, {"b": 1}
        self.beats = {"db-1": beat("db-1"), "cache-1": beat("cache-1")}
        self.configurations = {}
        self.ids: dict[str, dict[str, str]] = {}
        self.begun: dict[int, int] = {}
        self.nova = Nova()
        self.left = ""

    def configuration(self, site):
        return self.configurations.get(site)

    def record_configuration(self, site, digests, since=None):
        self.configurations[site] = Record(version="0.2.0", keys=digests, since=since or {})

    def newest(self):
        return self.epochs[-1] if self.epochs else None

    def trace(self):
        return self.left

    def servers(self, site):
        return self.ids.get(site, {})

    def record_servers(self, site, servers):
        self.ids[site] = dict(servers)

    def unsettled(self, newest):
        return self.begun.get(newest.epoch, 0)

    def unsettle(self, newest):
        self.begun[newest.epoch] = self.unsettled(newest) + 1

    def settle(self, newest):
        self.begun[newest.epoch] = max(self.unsettled(newest) - 1, 0)

    def followed(self, site):
        return self.seen.get(site)

    def addresses(self, site):
        return self.sites.get(site, {})

    def record_addresses(self, site, addresses):
        self.sites[site] = addresses

    def probe(self):
        pass

    def heartbeat(self, site, host):
        return self.beats.get(host) if site == "a" else None

    def claim(self, epoch):
        if any(held.epoch == epoch.epoch for held in self.epochs):
            raise EpochTaken(self.epochs[-1])
        self.epochs.append(epoch)


def beat(host, **changes):
    """A heartbeat of region a, 8 s old, of a primary that had written nothing that region b has not."""
    blocks = {
        "db-1": {
            "postgres": {
                "write_lsn": "0/5000148",
                "timeline": 1,
                "system_identifier": "7",
                "trail": [[0, "0/5000148"], [2, "0/5000060"]],
            }
        },
        "cache-1": {"redis": {"offset": 1000, "replication_id": "r1"}},
    }
    document = {
        "epoch": 1,
        "role": "primary",
        "sequence": 9,
        "lease": {"state": "held"},
        "at": "then",
        **blocks.get(host, {}),
    }
    return Heartbeat(document={**document, **changes}, age_s=8.0)


class PlayedHosts:
    """Answers by (host, command); anything not scripted is unreachable. `dead`: ways that nothing passes any more, as soon as the peer was asked to stop."""

    script: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
    dead: tuple[str, ...] = ()
    calls: list[tuple[str, str]] = []
    patience: dict[str, int] = {}  # seconds for the first word of the peer's database host, as asked first

    def __init__(self, document):
        self.document = document

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        return None

    def routes(self, host):
        return [site for site, address in self.document.bastions.items() if address]

    def call(self, host, via, command, document, limit_s, *, connect_s=CONNECT_S):
        PlayedHosts.calls.append((host, command))
        if command == "postgres status" and host == "db-1.a":
            PlayedHosts.patience.setdefault(host, connect_s)
        stopping = ("db-1.a", "postgres stop") in PlayedHosts.calls
        if (host, command) not in PlayedHosts.script or (stopping and via in PlayedHosts.dead):
            raise Unreachable(f"host {host} through the bastion of {via}: no ssh session")
        code, facts = PlayedHosts.script[host, command]
        if (host, command) == ("db-1.a", "postgres status") and stopping and code == 0:
            facts = {"running": False, "cluster_state": "shut down", "role": {"role": "fenced", "epoch": 1}}
        heard = answer_of(json.dumps({"facts": facts}).encode(), host, command) if code == 0 else {"facts": facts}
        return Answer(code, heard, "" if code == 0 else "said no")

    must: Any = Hosts.must

    def talk(self, host, via, command, limit_s):
        service, verb = command.split()
        if verb == "listen":
            return PlayedEar(lambda: self.must(host, via, f"{service} status", {"schema": 1}, limit_s).facts)
        return PlayedTalk(host, command)


class PlayedEar:
    """Of a host that is asked for its status."""

    def __init__(self, status):
        self.status = status

    def facts(self, limit_s):
        return self.status()


class PlayedTalk:
    """Answers as the script's entry for (host, "takeover <what is told>") says; a database that is not scripted does what it is told."""

    def __init__(self, host, command):
        assert command == "postgres takeover"
        self.host = host

    def say(self, document, limit_s):
        told = f"takeover {next(iter(document))}"
        PlayedHosts.calls.append((self.host, told))
        code, facts = PlayedHosts.script.get((self.host, told), (0, {}))
        if code:
            raise Failed(f"host {self.host}, dr-host postgres takeover: exit code {code}: said no")
        return facts


class PlayedClock:
    """Of a machine on which nothing takes time but waiting."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def world(monkeypatch):
    witness = PlayedWitness(Epoch(epoch=1, active="a", previous=None, planned=True))
    monkeypatch.setattr(fence, "Witness", lambda document: witness)
    monkeypatch.setattr(fence, "Hosts", PlayedHosts)
    monkeypatch.setattr(silence, "LOOK_S", 0.001)
    witness.nova.install(monkeypatch)
    witness.nova.down = ApiDown("OpenStack API x: answered 401", 401)
    own = {("cache-1.b", "redis status"): (0, {"offset": 900}), ("control-1.b", "assets status"): (0, COPIED)}
    PlayedHosts.script = {("db-1.b", "postgres status"): (0, STANDBY), ("db-1.b", "agent ensure"): (0, {}), **own}
    PlayedHosts.calls, PlayedHosts.dead, PlayedHosts.patience = [], (), {}
    return witness


def document(**changes):
    servers = {site: [f"shop-{site}-{host}" for host in ("db-1", "cache-1")] for site in "ab"}
    workers = {site: [f"shop-{site}-app-1"] for site in "ab"}
    keys = {"access_key": "k", "secret_key": "s"}
    signing_in = {"auth_url": "http://keystone", "user": "dr", "password": "p", "project_id": "i", "domain": "Default"}
    return {
        "site": "b",
        "peer": "a",
        "request": "b",
        "witness": {"endpoint": "http://w", "region": "de", "bucket": "w", **keys},
        "host_keys": {},
        "ssh": {"private_key": "KEY", "hosts": {}, "bastions": {"b": "198.51.100.9"}},
        "openstack": {**signing_in, "regions": {"a": "GRA11", "b": "SBG5"}, "servers": servers, "workers": workers},
        "apps": ["app-1"],
        "caches": ["cache-1"],
        "public": {"lb": "198.51.100.5", "bastion": "198.51.100.6"},
        "loss_budget": {"max_lag_bytes": 1000, "max_lag_s": 5},
        "lease": None,
    } | changes


def told(**changes):
    return fields.read(Document, document(**changes), "document of fence")


def well():
    PlayedHosts.script = {
        ("db-1.a", "postgres status"): (0, PRIMARY),
        ("db-1.b", "postgres status"): (0, STANDBY),
        ("db-1.b", "agent ensure"): (0, {}),
        ("app-1.a", "app quiesce"): (0, {}),
        ("app-1.a", "app resume"): (0, {}),
        ("db-1.a", "postgres stop"): (0, {"cluster_state": "shut down", "checkpoint": CHECKPOINT}),
        ("db-1.a", "postgres resume"): (0, {}),
    }


def cloud(world):
    """Region a's servers run, and its API answers."""
    world.nova.down = None
    stopped = document()["openstack"]
    world.ids["a"] = {name: f"id-{name}" for kind in ("servers", "workers") for name in stopped[kind]["a"]}
    for name, identity in world.ids["a"].items():
        world.nova.add(identity, name)
    return world.nova


def test_a_claim_is_noted_behind_the_promotion_with_the_reason_of_the_word(world, kept, monkeypatch):
    well()
    fence.run(told(request="a"))
    assert kept.objects == {}, "a run that claims nothing notes nothing"
    really, seen = kept.last, []

    def last():
        seen.extend(PlayedHosts.calls)
        return really()

    monkeypatch.setattr(kept, "last", last)
    fence.run(told(data_loss={"epoch": 1, "at": spelled(), "reason": "nobody can restore region a"}))
    assert kept.told() == [("claim", "b")]
    assert ("db-1.b", "takeover epoch") in seen
    (entry,) = (json.loads(body) for body in kept.objects.values())
    assert (entry["what"], entry["epoch"], entry["why"]) == ("claim", 2, "nobody can restore region a")
    assert entry["facts"] == {"rung": "1", "planned": "true", "previous": "a"}


@pytest.mark.parametrize("ends", [Interrupted, MemoryError])
def test_a_claim_is_noted_also_where_the_run_ends_before_anybody_is_promoted(world, kept, monkeypatch, ends):
    well()
    really = PlayedTalk.say

    def say(talk, document, limit_s):
        if "epoch" in document:
            raise ends
        return really(talk, document, limit_s)

    monkeypatch.setattr(PlayedTalk, "say", say)
    with pytest.raises((Interrupted, Failed)):
        fence.run(told())
    assert world.newest().epoch == 2 and kept.told() == [("claim", "b")]


def test_what_ends_before_its_claim_is_noted_as_none(world, kept):
    with pytest.raises(Refused):
        fence.run(told())
    assert kept.told() == []


def test_a_trail_that_hangs_holds_up_no_claim(world, monkeypatch, capsys):
    well()
    let = threading.Event()
    silent = SimpleNamespace(chain=TRAIL, listed=lambda: let.wait(30) and [])
    monkeypatch.setattr(trail, "TrailBucket", lambda *_, **__: silent)
    monkeypatch.setattr(fence, "NOTED_S", 0.0)
    assert fence.run(told())["epoch"] == 2
    let.set()
    assert "WARNING fence: audit trail: entry 'claim' of site b could not be written" in capsys.readouterr().err


def test_a_planned_move_stops_the_peer_sees_its_last_word_and_claims(world):
    well()
    answer = fence.run(told())
    assert (answer["epoch"], answer["active"], answer["planned"], answer["checkpoint"]) == (2, "b", True, CHECKPOINT)
    assert answer["fence"] == {"rung": 1}
    order = [
        call
        for call in PlayedHosts.calls
        if call[1] in ("app quiesce", "postgres stop") or call[1].startswith("takeover")
    ]
    assert order == [
        ("app-1.a", "app quiesce"),
        ("db-1.a", "postgres stop"),
        ("db-1.b", "takeover checkpoint"),
        ("db-1.b", "takeover epoch"),
    ]
    assert world.sites["b"] == {"lb": "198.51.100.5", "bastion": "198.51.100.6"}
    assert world.nova.looks == 0


def test_the_same_fence_again_says_the_same_and_touches_no_host(world):
    well()
    first = fence.run(told())
    PlayedHosts.calls, world.beats["db-1"] = [], beat("db-1", role="fenced")
    assert fence.run(told()) == first
    assert PlayedHosts.calls == []


def resumed() -> list[str]:
    """Hosts that were told to go on, in that order; what a way that nobody waits for is still asked comes in between."""
    return [host for host, command in PlayedHosts.calls if command.endswith(" resume")]


def test_a_standby_that_never_gets_the_checkpoint_restarts_the_old_primary_and_claims_nothing(world):
    well()
    PlayedHosts.script["db-1.b", "takeover checkpoint"] = (3, {})
    with pytest.raises(Failed, match=r"the old primary db-1\.a was restarted and writes; no epoch was claimed"):
        fence.run(told())
    assert world.newest().epoch == 1
    assert resumed()[-2:] == ["db-1.a", "app-1.a"]


def test_workers_whose_answer_was_lost_are_resumed_with_the_others(world):
    well()
    del PlayedHosts.script["app-1.a", "app quiesce"]
    PlayedHosts.script["db-1.b", "takeover checkpoint"] = (3, {})
    with pytest.raises(Failed, match="no epoch was claimed"):
        fence.run(told())
    assert resumed()[-1] == "app-1.a"


def test_a_way_to_the_old_primary_that_dies_with_the_stop_is_not_the_only_one_back(world):
    well()
    PlayedHosts.dead = ("b",)
    with pytest.raises(
        Failed,
        match=r"bastion of b: no ssh session; the old primary db-1\.a was restarted and writes; no epoch was claimed",
    ):
        fence.run(told())
    assert resumed()[-2:] == ["db-1.a", "app-1.a"]


def test_an_old_primary_that_no_way_leads_to_any_more_is_told_of(world):
    well()
    PlayedHosts.dead = ("a", "b")
    with pytest.raises(
        Failed,
        match=r"the old primary db-1\.a could not be restarted \(host db-1\.a through the bastion of .: no ssh session\)",
    ):
        fence.run(told())


@pytest.mark.parametrize(("age", "seconds"), [(1.0, 4), (3.5, 2), (None, 2)])
def test_a_host_that_has_missed_a_heartbeat_is_not_waited_for_as_long_as_one_that_beats(world, age, seconds):
    """Its first word is all that is waited for: what it is asked then may take as long as ever."""
    well()
    last = world.beats["db-1"]
    world.beats["db-1"] = None if age is None else replace(last, age_s=age)
    fence.run(told())
    assert PlayedHosts.patience == {"db-1.a": seconds}


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({**STANDBY, "streaming": False}, "is not streaming"),
        ({**STANDBY, "paused": True}, "replay is paused"),
        ({**PRIMARY}, "is a primary, wanted a running standby"),
        ({**STANDBY, "receive_lsn": "0/1000000"}, "67109192 bytes of WAL behind"),
    ],
)
def test_a_standby_that_is_not_ready_is_refused_before_anything_is_stopped(world, own, words):
    well()
    PlayedHosts.script["db-1.b", "postgres status"] = (0, own)
    with pytest.raises(Refused, match=words):
        fence.run(told())
    assert all(command.endswith(" status") for _, command in PlayedHosts.calls)


ENDED = {"tls.ca": "2035-01-01T00:00:00+00:00", "tls.hosts.db-1.b": "2020-01-02T00:00:00+00:00"}


def test_a_planned_move_to_hosts_whose_certificates_have_ended_is_refused_before_anything_is_stopped(world):
    well()
    with pytest.raises(
        Refused,
        match=r"region b: certificates that have ended \(dr:secrets tls\.hosts\.db-1\.b has ended on 2020-01-02\).*accept\.data_loss to \{epoch: 1,",
    ):
        fence.run(told(certificates=ENDED))
    assert all(command.endswith(" status") for _, command in PlayedHosts.calls)
    home = {"tls.hosts.db-1.a": "2020-01-02T00:00:00+00:00"}
    assert fence.run(told(certificates=home))["planned"], "to leave such hosts is no mistake"


def test_certificates_keep_nobody_from_a_take_over(world):
    cloud(world)
    assert fence.run(told(certificates=ENDED))["fence"]["rung"] == 2


def test_certificates_keep_nobody_from_a_region_that_is_stopped_already_or_given_up(world):
    well()
    PlayedHosts.script["db-1.a", "postgres status"] = (
        0,
        {"running": False, "cluster_state": "shut down", "role": {"role": "fenced"}},
    )
    assert fence.run(told(certificates=ENDED))["epoch"] == 2
    world.epochs.pop()
    well()
    assert (
        fence.run(told(certificates=ENDED, data_loss={"epoch": 1, "at": spelled(), "reason": "it has to be now"}))[
            "epoch"
        ]
        == 2
    )


def test_an_interrupted_move_goes_on_from_the_stopped_primary(world):
    well()
    stopped = {"running": False, "cluster_state": "shut down", "role": {"role": "fenced", "epoch": 2}}
    PlayedHosts.script["db-1.a", "postgres status"] = (0, stopped)
    PlayedHosts.script["db-1.b", "postgres status"] = (0, {**STANDBY, "streaming": False})
    assert fence.run(told())["planned"] is True


def test_a_promotion_that_fails_is_left_to_the_next_link(world, capsys):
    well()
    PlayedHosts.script["db-1.b", "takeover epoch"] = (1, {})
    assert fence.run(told())["epoch"] == 2
    assert "the next link promotes" in capsys.readouterr().err


def test_nobody_is_promoted_who_has_not_claimed(world):
    well()
    world.claim = lambda epoch: (_ for _ in ()).throw(
        EpochTaken(Epoch(epoch=2, active="b", previous="a", planned=True, claimed_by="else@where"))
    )
    with pytest.raises(Failed, match="was claimed by else@where"):
        fence.run(told())
    assert ("db-1.b", "takeover epoch") not in PlayedHosts.calls


def test_a_peer_that_is_gone_is_stopped_through_its_cloud(world):
    cloud(world)
    answer = fence.run(told())
    assert (answer["planned"], answer["fence"]) == (False, {"rung": 2})
    stopped = ["shop-a-app-1", "shop-a-cache-1", "shop-a-db-1"]
    assert world.nova.all_asked() == [("os-stop", name) for name in stopped]
    evidence = world.newest().fence["evidence"]
    assert sorted((each["id"], each["status"]) for each in evidence["servers"]) == [
        (f"id-{name}", "SHUTOFF") for name in stopped[1:]
    ]
    assert answer["last_seen"] == {"redis": {"offset": 1000, "replication_id": "r1", "keys": None}}
    assert answer["entrance"] is None, "the other site has left no address"
    assert world.newest().loss == {
        "bytes": 0,
        "seconds": 0.0,
        "unseen_s": None,
        "redis_bytes": 100,
        "redis": {"offset": 1000, "replication_id": "r1", "keys": None},
        "assets": {"replicated_until": 1.5, "unreplicated": {"count": 2, "bytes": None, "oldest": None}},
        "heartbeat_age_s": 8.0,
        "archive": None,
        "granted_on_s": None,
    }


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (None, "does not answer"),
        (
            {"running": False, "cluster_state": "shut down"},
            r"is down.*when that one is lost and this one is down, start its unit there",
        ),
    ],
)
def test_nothing_is_fenced_for_a_site_that_could_not_take_over(world, own, words):
    cloud(world)
    if own is None:
        del PlayedHosts.script["db-1.b", "postgres status"]
    else:
        PlayedHosts.script["db-1.b", "postgres status"] = (0, own)
    with pytest.raises(Refused, match=words):
        fence.run(told())
    assert world.nova.asked == []
    assert world.newest().epoch == 1


def test_a_disk_without_room_is_told_before_anything_is_fenced(world):
    cloud(world)
    PlayedHosts.script["db-1.b", "postgres status"] = (0, {**STANDBY, "disk_free": 4096})
    with pytest.raises(Refused, match=r"has 4096 bytes of free space.*nothing was changed"):
        fence.run(told())
    assert world.nova.asked == []


def test_who_loses_to_another_operator_is_told_that_and_not_of_a_loss(world):
    cloud(world)
    really = world.heartbeat

    def moved(site, host):
        if len(world.epochs) == 1:
            world.epochs.append(Epoch(epoch=2, active="b", previous="a", planned=False, claimed_by="other@desk"))
        return replace(really(site, host), document={"role": "standby", "epoch": 2})

    world.heartbeat = moved
    with pytest.raises(Failed, match="was claimed by other@desk for region b first"):
        fence.run(told())


def test_a_cloud_without_those_servers_proves_nothing(world):
    world.nova.down = None
    with pytest.raises(Refused, match="is not listed and no run has left its id"):
        fence.run(told())
    assert world.newest().epoch == 1


def test_a_crashed_database_on_a_living_host_is_not_taken_for_a_clean_one(world):
    well()
    PlayedHosts.script["db-1.a", "postgres status"] = (0, {"running": False, "cluster_state": "in production"})
    with pytest.raises(Refused, match="not a running primary"):
        fence.run(told())
    assert ("db-1.a", "postgres stop") not in PlayedHosts.calls


def test_without_any_rung_nothing_is_claimed_and_every_rung_is_named(world):
    with pytest.raises(Refused) as caught:
        fence.run(told())
    assert "rung 1 (ssh)" in str(caught.value)
    assert "rung 2 (OpenStack stop)" in str(caught.value)
    assert "accept.without_fence to {epoch: 1" in str(caught.value)
    assert world.newest().epoch == 1


def test_the_operators_word_is_good_for_the_epoch_in_force_and_is_recorded(world):
    fence.run(told(without_fence={"epoch": 1, "at": spelled(), "reason": "the site burned, fire brigade on the phone"}))
    assert world.newest().fence["rung"] == 4
    assert world.newest().fence["evidence"]["override"] == "the site burned, fire brigade on the phone"
    assert any("rung 2" in line for line in world.newest().fence["evidence"]["tried"])


def test_the_operators_word_for_another_epoch_is_refused(world):
    with pytest.raises(Refused, match=r"is for epoch 7, wanted epoch 1, which is in force: .*lie in wait"):
        fence.run(told(without_fence={"epoch": 7, "at": spelled(), "reason": "old news, by now"}))


def test_the_operators_word_of_this_morning_is_no_proof(world, capsys):
    with pytest.raises(Refused, match=r"rung 4 \(override\): not given"):
        fence.run(told(without_fence={"epoch": 1, "at": "2026-11-01T08:00Z", "reason": "it burned, this morning"}))
    assert "dr:accept.without_fence: is of 2026-11-01T08:00Z, more than an hour ago" in capsys.readouterr().err


def test_of_two_operators_one_loses_and_the_peer_stays_down(world):
    well()
    really = world.claim

    def somebody_was_faster(epoch):
        really(Epoch(epoch=2, active="b", previous="a", planned=True, claimed_by="other@desk"))
        really(epoch)

    world.claim = somebody_was_faster
    with pytest.raises(Failed, match="claimed by other@desk"):
        fence.run(told())
    assert ("db-1.a", "postgres resume") not in PlayedHosts.calls


def test_an_error_is_an_exit_code_and_one_line(world, monkeypatch, capsys, kept):
    import io

    from scripts.links import __main__ as link

    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(document())))
    assert link.main(["fence"]) == ExitCode.REFUSED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ERROR fence: region a: nothing proves")
    assert captured.err.count("\n") == 1
    assert kept.told() == [("refused", "b")]


BEHIND = {
    "write_lsn": "0/5000948",
    "timeline": 1,
    "system_identifier": "7",
    "trail": [[0, "0/5000948"], [2, "0/5000800"], [4, "0/5000148"]],
}


@pytest.mark.parametrize(
    ("beats", "words"),
    [
        ({}, "how much region a had written that is not here is unknown: it has no heartbeat"),
        ({"db-1": beat("db-1", role="standby")}, r"its last heartbeat \(8 s ago\) does not fit this site"),
        ({"db-1": beat("db-1", postgres=BEHIND)}, "2048 bytes of WAL are not here, wanted at most 1000"),
    ],
)
def test_a_loss_over_the_budget_is_refused_before_anything_is_fenced(world, beats, words):
    cloud(world)
    world.beats = beats
    with pytest.raises(Refused, match=words) as caught:
        fence.run(told())
    assert "nothing was changed" in str(caught.value)
    assert "accept.data_loss to {epoch: 1" in str(caught.value)
    assert world.nova.asked == []
    assert world.newest().epoch == 1


def test_a_loss_that_grew_while_the_peer_was_fenced_claims_nothing(world):
    nova = cloud(world)
    really = nova.on_stop

    def wrote_on(server):
        world.beats["db-1"] = beat("db-1", postgres=BEHIND)
        really(server)

    nova.on_stop = wrote_on
    with pytest.raises(Refused, match=r"no epoch was claimed, but region a is fenced by now \(rung 2\)"):
        fence.run(told())
    assert world.newest().epoch == 1


def test_what_the_archives_hold_is_replayed_before_a_loss_is_counted(world):
    """The stream was cut hours ago, the way to the buckets was not."""
    cloud(world)
    world.beats = {"db-1": beat("db-1", postgres=BEHIND)}
    drained = {"prepared": True, "complete": True, "why": [], "replayed_bytes": 2048}
    PlayedHosts.script["db-1.b", "archive drain"] = (0, drained)
    script = PlayedHosts.script

    class Replayed(dict[tuple[str, str], Any]):
        def __getitem__(self, key):
            if key == ("db-1.b", "postgres status") and ("db-1.b", "archive drain") in PlayedHosts.calls:
                return 0, {**STANDBY, "replay_lsn": "0/5000948"}
            return super().__getitem__(key)

    PlayedHosts.script = Replayed(script)
    fence.run(told())
    assert world.newest().loss["bytes"] == 0


def test_archives_that_cannot_be_read_are_told_with_the_loss(world):
    cloud(world)
    world.beats = {"db-1": beat("db-1", postgres=BEHIND)}
    left = {
        "prepared": True,
        "complete": False,
        "why": ["repository a could not be read: no route"],
        "replayed_bytes": 0,
    }
    PlayedHosts.script["db-1.b", "archive drain"] = (0, left)
    with pytest.raises(Refused, match=r"2048 bytes of WAL are not here.*repository a could not be read: no route"):
        fence.run(told())
    assert world.nova.asked == []


def test_an_accepted_loss_is_good_for_its_epoch_only_and_is_kept(world):
    cloud(world)
    world.beats = {"db-1": beat("db-1", postgres=BEHIND)}
    with pytest.raises(Refused, match=r"dr:accept\.data_loss: is for epoch 7"):
        fence.run(told(data_loss={"epoch": 7, "at": spelled(), "reason": "nobody can restore it"}))
    with pytest.raises(Refused, match="loss of an unplanned move"):
        fence.run(told(data_loss={"epoch": 1, "at": "2026-11-01T08:00Z", "reason": "nobody can restore it"}))
    fence.run(told(data_loss={"epoch": 1, "at": spelled(), "reason": "nobody can restore it"}))
    assert (world.newest().loss["bytes"], world.newest().loss["seconds"]) == (2048, 2.0)
    assert world.newest().loss["redis_bytes"] is None


LEASE = {"lease_s": 6, "stop_s": 1, "margin_s": 1, "heartbeat_s": 2}


@pytest.mark.parametrize("peer_is_well", [True, False])
def test_a_standby_that_would_hold_no_lease_is_not_promoted(world, peer_is_well):
    """Its dead-man would stop it after one, with the epoch claimed and region a stopped."""
    if peer_is_well:
        well()
    else:
        cloud(world)
    PlayedHosts.script["db-1.b", "agent ensure"] = (1, {})
    with pytest.raises(Refused, match=r"db-1\.b: would hold no lease.*said no.*nothing was changed.*dr:repair"):
        fence.run(told(lease=LEASE))
    assert all(command.endswith((" status", " ensure")) for _, command in PlayedHosts.calls)
    assert world.nova.asked == [] and world.newest().epoch == 1


def test_without_a_lease_nobody_asks_for_an_agent(world):
    well()
    del PlayedHosts.script["db-1.b", "agent ensure"]
    assert fence.run(told())["epoch"] == 2


@pytest.fixture
def leased(world, monkeypatch):
    """Both writers of region a were last heard 8 s ago, and their counterparts have granted nothing for as long."""
    for host in ("db-1.b", "cache-1.b"):
        PlayedHosts.script[host, "agent deny"] = (0, {"last_granted_s": 30.0, "agent_up_s": 500.0})
        PlayedHosts.script[host, "agent allow"] = (0, {})
    PlayedHosts.script["db-1.b", "agent status"] = (0, {"last_granted_s": None, "up_s": 5000.0})
    return world


def test_a_lease_that_ran_out_on_both_ways_is_a_fence(leased):
    answer = fence.run(told(lease=LEASE))
    assert (answer["epoch"], answer["fence"]) == (2, {"rung": 3})
    evidence = leased.newest().fence["evidence"]
    said = {"age_s": 8.0, "sequence": 9, "at": "then", "role": "primary", "epoch": 1, "instance": None, "state": "held"}
    assert evidence["heartbeats"]["db-1"] == said
    assert evidence["granted_s"] == {"db-1": 30.0, "cache-1": 30.0}
    assert ("db-1.b", "agent allow") not in PlayedHosts.calls
    assert leased.newest().loss["unseen_s"] == 7.0


@pytest.mark.parametrize(
    ("beats", "words"),
    [
        ({"db-1": beat("db-1")}, r"cache-1\.a has never written a heartbeat"),
        ({"db-1": beat("db-1", lease={"state": "off"}), "cache-1": beat("cache-1")}, r"db-1\.a holds no lease"),
        ({"db-1": beat("db-1", epoch=7), "cache-1": beat("cache-1")}, r"db-1\.a's heartbeat is of epoch 7"),
    ],
)
def test_a_lease_that_nobody_can_vouch_for_proves_nothing(leased, beats, words):
    leased.beats = beats
    with pytest.raises(Refused, match=words):
        fence.run(told(lease=LEASE))
    assert leased.newest().epoch == 1
    assert {("db-1.b", "agent allow"), ("cache-1.b", "agent allow")} <= set(PlayedHosts.calls), (
        "the counterparts grant again"
    )


def test_a_peer_that_is_cut_off_but_beats_on_is_not_taken_over(leased):
    beats = iter(range(10, 1000))
    leased.heartbeat = lambda site, host: Heartbeat(
        document={**beat(host).document, "sequence": next(beats)}, age_s=1.0
    )
    with pytest.raises(Refused, match="it sells, and a forced move would lose what it sells"):
        fence.run(told(lease=LEASE))
    accepted = {"epoch": 1, "at": spelled(), "reason": "what it sells until then is nothing"}
    with pytest.raises(Refused, match="still writes heartbeats"):
        fence.run(told(lease=LEASE, data_loss=accepted))
    assert leased.newest().epoch == 1


def test_an_agent_that_granted_lately_is_waited_for(leased, monkeypatch):
    """The peer may be alive by its contact with this side alone: what counts is the last grant, or the agent's start when it knows of none."""
    PlayedHosts.script["cache-1.b", "agent deny"] = (0, {"last_granted_s": None, "agent_up_s": 3.0})
    clock = iter(range(0, 10_000))
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda _: None))
    assert fence.run(told(lease=LEASE))["fence"] == {"rung": 3}
    assert next(clock) >= 5, "8 s of silence wanted, 3 s seen at the start"


def test_counterparts_that_cannot_be_told_to_deny_prove_nothing(leased):
    del PlayedHosts.script["cache-1.b", "agent deny"]
    with pytest.raises(Refused, match=r"rung 3 \(lease\): host cache-1\.b"):
        fence.run(told(lease=LEASE))


def test_a_refused_budget_after_the_lease_lets_the_counterparts_grant_again(leased):
    leased.beats["db-1"] = beat("db-1")
    original, count = leased.heartbeat, iter(range(100))

    def behind_later(site, host):
        return beat("db-1", postgres=BEHIND) if host == "db-1" and next(count) > 1 else original(site, host)

    leased.heartbeat = behind_later
    with pytest.raises(Refused, match="so no epoch was claimed; bring region a back"):
        fence.run(told(lease=LEASE))
    assert ("db-1.b", "agent allow") in PlayedHosts.calls


def test_what_this_side_heard_counts_where_the_witness_heard_nothing(leased):
    """Region a could not reach the witness, and sold on for an hour with what region b granted."""
    PlayedHosts.script["db-1.b", "agent status"] = (0, {"last_granted_s": 60.0, "up_s": 9000.0})
    leased.beats = {name: replace(found, age_s=3600.0) for name, found in leased.beats.items()}
    with pytest.raises(Refused, match="may have written on for 3540 s after it"):
        fence.run(told(lease=LEASE))
    newer = {**BEHIND, "trail": [[0, "0/5000148"]], "write_lsn": "0/5000148"}
    peer = {"epoch": 1, "age_s": 60.0, "block": newer}
    PlayedHosts.script["db-1.b", "agent status"] = (0, {"last_granted_s": 60.0, "up_s": 9000.0, "peer": peer})
    fence.run(told(lease=LEASE))
    assert (leased.newest().loss["bytes"], leased.newest().loss["heartbeat_age_s"]) == (0, 60.0)


def test_a_machine_that_stands_still_is_never_taken_for_stopped(leased):
    cloud(leased).servers["id-shop-a-db-1"].update({"status": "PAUSED", "OS-EXT-STS:power_state": 3})
    with pytest.raises(Refused, match=r"rung 3 \(lease\): silence proves nothing while shop-a-db-1 is PAUSED"):
        fence.run(told(lease=LEASE))
    assert leased.newest().epoch == 1


def test_longer_terms_of_the_peer_count(leased, monkeypatch):
    terms = {"state": "held", "lease_s": 120, "stop_s": 5, "margin_s": 5, "heartbeat_s": 2}
    leased.beats = {name: beat(name, lease=terms) for name in ("db-1", "cache-1")}
    clock = iter(range(0, 10_000))
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda _: None))
    with pytest.raises(Refused, match=r"heartbeats are too young .*wanted 130 s"):
        fence.run(told(lease=LEASE))


def test_servers_that_are_off_do_not_make_a_heartbeat_go_away(leased, monkeypatch):
    """What was stopped is not what writes: of the wrong project, say."""
    cloud(leased)
    beats = iter(range(10, 100_000))
    clock = iter(range(0, 100_000))
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda _: None))
    leased.heartbeat = lambda site, host: Heartbeat(
        document={**beat(host).document, "sequence": next(beats)}, age_s=1.0
    )
    with pytest.raises(Partial, match=r"still writes heartbeats.*is not what writes.*were asked to stop"):
        fence.run(told(lease=LEASE, data_loss={"epoch": 1, "at": spelled(), "reason": "it is known to be off"}))
    assert leased.newest().epoch == 1


def test_a_peer_that_comes_back_between_proof_and_claim_is_waited_out_before_anybody_is_promoted(leased, monkeypatch):
    really, told_of = leased.claim, []

    def claim(epoch):
        really(epoch)
        back = beat("db-1", sequence=10, at="now")
        leased.beats["db-1"] = replace(back, age_s=0.5)

    def slept(_):
        told_of.append([call for call in PlayedHosts.calls if call[1] == "takeover epoch"])
        aged = leased.beats["db-1"]
        leased.beats["db-1"] = replace(aged, age_s=aged.age_s + 1.0)

    leased.claim = claim
    clock = iter(range(0, 100_000))
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: next(clock) / 100, sleep=slept))
    assert fence.run(told(lease=LEASE))["epoch"] == 2
    assert len(told_of) >= 7 and not any(told_of), "its lease is waited out first"
    assert ("db-1.b", "takeover epoch") in PlayedHosts.calls


def test_nobody_is_promoted_beside_a_peer_that_writes_on_and_the_next_run_looks_again(leased, monkeypatch):
    really, beats = leased.claim, iter(range(10, 100_000))
    clock = iter(range(0, 100_000))
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda _: None))

    def claim(epoch):
        really(epoch)
        leased.heartbeat = lambda site, host: Heartbeat(
            document={**beat(host).document, "sequence": next(beats)}, age_s=1.0
        )

    leased.claim = claim
    for _ in range(2):
        with pytest.raises(Partial, match="still writes as of an older epoch"):
            fence.run(told(lease=LEASE))
    assert leased.newest().epoch == 2
    assert ("db-1.b", "takeover epoch") not in PlayedHosts.calls
    leased.heartbeat = lambda site, host: beat(host, role="fenced")
    assert fence.run(told(lease=LEASE))["epoch"] == 2


def test_a_planned_move_that_ended_after_its_claim_waits_for_no_cache_that_is_still_to_be_handed_over(
    leased, monkeypatch
):
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: pytest.fail("it waits"))
    monkeypatch.setattr(silence, "time", clock)
    leased.epochs.append(Epoch(epoch=2, active="b", previous="a", planned=True))
    beats = iter(range(10, 1000))
    leased.heartbeat = lambda site, host: Heartbeat(
        document={
            **beat(host).document,
            "sequence": next(beats),
            "role": "fenced" if host == "db-1" else "primary",
        },
        age_s=1.0,
    )
    assert fence.run(told(lease=LEASE))["epoch"] == 2


def test_a_standby_that_does_not_follow_is_left_by_the_operators_word_with_what_is_missing_counted(world):
    well()
    world.beats["cache-1"] = replace(beat("cache-1"), age_s=60.0)
    PlayedHosts.script |= {("cache-1.b", "redis status"): (0, {}), ("control-1.b", "assets status"): (0, COPIED)}
    PlayedHosts.script["db-1.b", "postgres status"] = (0, {**STANDBY, "streaming": False, "receive_lsn": "0/3000000"})
    with pytest.raises(Refused, match=r"set accept\.data_loss to \{epoch: 1"):
        fence.run(told())
    assert (
        fence.run(told(data_loss={"epoch": 1, "at": spelled(), "reason": "the link is cut for good"}))["planned"]
        is False
    )
    newest = world.newest()
    assert (newest.fence["rung"], newest.loss["bytes"], newest.loss["unseen_s"]) == (1, 0xE48, 0.0)


def test_whatever_is_raised_after_the_stop_takes_it_back(world, monkeypatch):
    well()
    for raised in (KeyError("uid 4242"), OSError("no space"), RuntimeError("a fault of ours")):
        PlayedHosts.calls = []
        monkeypatch.setattr(PlayedTalk, "say", lambda *_, error=raised: (_ for _ in ()).throw(error))
        with pytest.raises(Failed, match=r"was restarted and writes; no epoch was claimed"):
            fence.run(told())
        assert resumed()[-2:] == ["db-1.a", "app-1.a"]
        assert world.unsettled(world.newest()) == 0


def test_a_key_of_the_operators_takes_it_back_too(world, monkeypatch, capsys):
    well()
    monkeypatch.setattr(PlayedTalk, "say", lambda *_: (_ for _ in ()).throw(Interrupted()))
    with pytest.raises(Interrupted):
        fence.run(told())
    assert ("db-1.a", "postgres resume") in PlayedHosts.calls
    assert "was restarted and writes; no epoch was claimed" in capsys.readouterr().err


def test_a_move_that_was_taken_back_in_part_leaves_its_mark(world):
    well()
    PlayedHosts.script["db-1.b", "takeover checkpoint"] = (3, {})
    del PlayedHosts.script["app-1.a", "app resume"]
    with pytest.raises(Failed, match="was restarted and writes"):
        fence.run(told())
    assert world.unsettled(world.newest()) == 1, "the peer's next run starts its workers"


def test_a_witness_that_dies_at_the_claim_leaves_the_old_primary_stopped_and_says_so(world, monkeypatch):
    well()
    monkeypatch.setattr(fence, "WITNESS_S", -1.0)
    known = world.newest

    def claim(_):
        world.newest = dead
        raise WitnessDown("witness bucket w: cannot create epochs/00000002.json (ReadTimeoutError)")

    def dead():
        raise WitnessDown("witness bucket w: cannot list the epochs (ReadTimeoutError)")

    world.claim = claim
    with pytest.raises(Failed, match=r"whether epoch 2 was claimed is not known.*db-1\.a was left stopped"):
        fence.run(told())
    assert ("db-1.a", "postgres resume") not in PlayedHosts.calls
    world.newest = known
    assert world.unsettled(world.newest()) == 1


def test_a_dead_witness_is_waited_for_once_however_many_ask_it(world, monkeypatch):
    """The shop cannot write all that time."""
    well()
    clock = PlayedClock()
    for module in (fence, planned):
        monkeypatch.setattr(module, "time", clock)

    def dead(*_):
        clock.now += 1.0
        raise WitnessDown("witness bucket w: no answer")

    def claim(_):
        world.newest = dead
        dead()

    world.claim, began = claim, clock.now
    with pytest.raises(Failed, match=r"whether epoch 2 was claimed is not known"):
        fence.run(told())
    assert WITNESS_S <= clock.now - began <= WITNESS_S + 3, "one question more than its time, and a last one"


def test_a_witness_that_comes_back_for_the_last_question_has_the_old_primary_write_again(world, monkeypatch):
    well()
    clock = PlayedClock()
    for module in (fence, planned):
        monkeypatch.setattr(module, "time", clock)

    def dead(_):
        clock.now += 1.0
        raise WitnessDown("witness bucket w: no answer")

    world.claim = dead
    with pytest.raises(Failed, match=r"was restarted and writes; no epoch was claimed"):
        fence.run(told())


def test_who_has_no_name_here_claims_by_his_number(world, monkeypatch):
    well()
    monkeypatch.setattr(getpass, "getuser", lambda: (_ for _ in ()).throw(KeyError("getpwuid(): uid not found")))
    fence.run(told())
    assert world.newest().claimed_by.startswith("uid ")


@pytest.mark.parametrize("left", ["epochs/00000007.json", "clusters/77.json", "followed/b.json"])
def test_a_witness_that_has_lost_its_epochs_is_no_new_one(world, left):
    world.epochs, world.left = [], left
    with pytest.raises(Refused, match=rf"found no epoch, and {left}.*none was claimed"):
        fence.run(told())
    assert world.newest() is None
    assert (
        fence.run(told(empty={"epoch": 1, "at": spelled(), "reason": "a rehearsal, nothing is wanted"}))["epoch"] == 1
    )


def test_a_new_witness_takes_the_first_epoch(world):
    world.epochs = []
    assert fence.run(told())["epoch"] == 1


def test_each_run_leaves_the_ids_of_its_servers(world):
    fence.run(told(request="a", instances={"shop-b-db-1": "id-7"}))
    assert world.ids["b"] == {"shop-b-db-1": "id-7"}


ONE, TWO = {"postgres.mode": "1" * 16}, {"postgres.mode": "2" * 16}


def test_a_region_that_ran_with_another_configuration_is_not_taken_over_from(world):
    well()
    world.record_configuration("a", ONE)
    with pytest.raises(Refused, match=r"dr:postgres\.mode.*nothing was changed"):
        fence.run(told(configuration=TWO))
    assert world.newest().epoch == 1 and "b" not in world.configurations
    assert not any(call[1] in ("app quiesce", "postgres stop") for call in PlayedHosts.calls)
    word = {"epoch": 1, "at": spelled(), "reason": "the difference is known and harmless"}
    assert fence.run(told(configuration=TWO, other_configuration=word))["epoch"] == 2


def test_a_run_of_a_deploy_stops_nobody_though_the_shop_was_moved_away_since_its_request(world, monkeypatch):
    well()
    monkeypatch.setenv("DR_STAYS", "1")
    with pytest.raises(Refused, match=r"somebody has moved the shop since.*nothing was changed"):
        fence.run(told())
    assert world.newest().epoch == 1 and PlayedHosts.calls == []
    monkeypatch.delenv("DR_STAYS")
    assert fence.run(told())["epoch"] == 2


def test_each_run_leaves_what_it_was_configured_with(world):
    world.record_configuration("a", ONE)
    assert fence.run(told(request="a", configuration=TWO))["active"] == "a", "a run that only follows goes on"
    assert world.configurations["b"].keys == TWO
