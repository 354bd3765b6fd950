"""Two lease agents on loopback, with real certificates, threads and HTTP: a witness that can hang or die, a link that can be cut.

Time is invented: it moves when a test moves it, and a step ends when every agent has beaten in it. So a busy machine changes nothing.
"""

from __future__ import annotations

import datetime
import email.utils
import errno
import io
import itertools
import json
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contract import sites
from contract.heartbeat import Heartbeat
from contract.lease import Lease
from contract.wire.channel import Channel, NoAnswer
from lab.pairs.loopback import free_port, refuses
from lab.pairs.postgres import certificates
from scripts.ctl.stacks.secrets import Authority, generate
from scripts.host.__main__ import main
from scripts.host.agent import channel as agent_channel
from scripts.host.agent import grants as agent_grants
from scripts.host.agent import holding as agent_holding
from scripts.host.agent import loop as agent_loop
from scripts.host.agent import memory as agent_memory
from scripts.host.agent import notify as agent_notify
from scripts.host.agent import peer as agent_peer
from scripts.host.agent import status as agent
from scripts.host.agent import witness as agent_witness
from scripts.host.agent.channel import Worker
from scripts.host.agent.config import Address, Config
from scripts.host.agent.grants import Grants, grants
from scripts.host.agent.holding import HELD_UNTIL
from scripts.host.agent.lease import HELD, STOPPED, Newest
from scripts.host.agent.loop import RESTARTING, Agent, Parts
from scripts.host.agent.memory import Note
from scripts.host.agent.peer import Asker
from scripts.host.agent.witness import WitnessChannel
from scripts.host.frame import rolefile
from scripts.host.frame.layout import Layout
from scripts.host.frame.locks import hold
from scripts.host.frame.log import Log
from scripts.host.frame.rolefile import FENCED, PRIMARY, STANDBY, Role
from scripts.host.frame.wait import until
from scripts.host.frame.witness import Silent, Witness

TERMS = Lease(lease_s=30, stop_s=5, margin_s=5, heartbeat_s=2)
TIMED = (agent, agent_channel, agent_grants, agent_loop, agent_memory, agent_peer, agent_witness)
LIMIT_S = 20.0
ABSENT = b"<Error><Code>NoSuchKey</Code></Error>"


class Bucket:
    """What the witness holds, and how it behaves."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.stored: dict[str, str] = {}  # when, as HTTP says it
        self.requests: list[tuple[str, str]] = []
        self.mode = "well"  # well | error | hang | trickle
        self.over = threading.Event()
        self.ahead_s = 0.0  # its clock, before ours

    def claim(self, epoch: int, site: str, **more: Any) -> None:
        self.objects[f"epochs/{epoch:08d}.json"] = json.dumps({"epoch": epoch, "active": site, **more}).encode()

    def heartbeat(self, site: str) -> dict[str, Any]:
        return dict(json.loads(self.objects.get(f"heartbeats/{site}/db-1.json", b"{}")))


class Handler(BaseHTTPRequestHandler):
    """Answers as the bucket would, as far as hosts ask it; see `handler`."""

    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._usual():
            self.bucket.objects[self._key], self.bucket.stored[self._key] = body, self.date_time_string()
            self._reply(200, b"")

    def do_GET(self) -> None:
        if not self._usual():
            return
        if self._key:
            found = self.bucket.objects.get(self._key)
            self._reply(*((404, ABSENT) if found is None else (200, found)))
            return
        after = self.path.split("start-after=")[1].replace("%2F", "/")
        names = [name for name in sorted(self.bucket.objects) if name.startswith("epochs/") and name > after]
        items = "".join(f"<Contents><Key>{name}</Key></Contents>" for name in names)
        self._reply(
            200,
            f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{items}</ListBucketResult>'.encode(),
        )

    @property
    def _key(self) -> str:
        return self.path.partition("?")[0].removeprefix("/witness").lstrip("/")

    def _usual(self) -> bool:
        self.bucket.requests.append((self.command, self._key))
        if refuses(self.headers["X-amz-date"], self.bucket.ahead_s):
            self._reply(403, b"")
            return False
        if self.bucket.mode == "well":
            return True
        if self.bucket.mode == "error":
            self._reply(503, b"")
        elif self.bucket.mode == "hang":
            self.bucket.over.wait(LIMIT_S)
        while self.bucket.mode == "trickle" and not self.bucket.over.wait(0.2):
            try:
                self.wfile.write(b"H")
            except OSError:
                break
        self.close_connection = True
        return False

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"etag"')
        if self.command == "GET" and self._key in self.bucket.stored:
            self.send_header("Last-Modified", self.bucket.stored[self._key])
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.bucket.ahead_s if timestamp is None else timestamp)

    def log_message(self, *_: object) -> None:
        return None


def handler(bucket: Bucket) -> type[Handler]:
    return type("Handler", (Handler,), {"bucket": bucket})


class Clock:
    """Stands in for `boottime`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Service:
    """A service that is stopped and started by word; a guard may refuse its start."""

    def __init__(self) -> None:
        self.up, self.stops, self.starts, self.may_start = True, 0, 0, True
        self.stray = False

    def running(self) -> bool:
        return self.up

    def writers(self) -> bool:
        return self.stray

    def stop(self, stop_s: float, alive: Callable[[], None]) -> bool:
        alive()
        self.stops += 1
        self.up = False
        return True

    def start(self) -> None:
        self.starts += 1
        self.up = self.may_start


class Block:
    """Facts that say what they are told to say."""

    def __init__(self) -> None:
        self.writer: bool | None = True
        self.more: dict[str, Any] = {}
        self.recalled: list[tuple[dict[str, Any], float]] = []

    def read(self) -> dict[str, Any]:
        known = {"recalled": self.recalled[0][0]["running"]} if self.recalled else {}
        return {"running": True, "in_recovery": None if self.writer is None else not self.writer, **known, **self.more}

    def writes(self, block: dict[str, Any]) -> bool | None:
        return None if block.get("in_recovery") is None else not block["in_recovery"]

    def told(self, block: dict[str, Any]) -> None:
        return None

    def recall(self, block: dict[str, Any], age_s: float) -> None:
        self.recalled.append((block, age_s))

    def abort(self) -> None:
        return None


class Host:
    """One site's database host with its agent."""

    def __init__(
        self, site: str, root: Path, tls: dict[str, str], ports: dict[str, int], witness: Witness, clock: Clock
    ) -> None:
        peer = "b" if site == "a" else "a"
        self.clock = clock
        self.site, self.layout, self.witness = site, Layout(root), witness
        self.log, self.service, self.block = io.StringIO(), Service(), Block()
        addresses = {each: Address(f"db-1.{each}.dr.internal", "127.0.0.1", ports[each]) for each in "ab"}
        self.config = Config(
            site, peer, "db-1", "postgres", addresses[site], addresses[peer], TERMS, instance=f"4711-{site}"
        )
        self.layout.etc.mkdir(parents=True)
        self.layout.run.mkdir(parents=True)
        for name, key in (("ca.pem", "ca"), ("host.crt", "cert"), ("host.key", "key")):
            (self.layout.etc / name).write_text(tls[key])
        (self.layout.etc / "agent.json").write_text(self.config.text())
        self.agent: Agent | None = None
        self.thread: threading.Thread | None = None

    def role(self, role: sites.Role, epoch: int) -> None:
        Role(self.site, self.config.peer, role, epoch).write(self.layout)
        self.block.writer = role == PRIMARY

    def start(self) -> None:
        limit = TERMS.question_s
        other = self.config.counterpart
        self.agent = Agent(
            Parts(
                self.config,
                self.layout,
                Log(self.log, "agent run"),
                self.block,
                self.service,
                WitnessChannel(self.witness, limit),
                Asker(self.layout, other.name, other.address, other.port, limit),
            )
        )
        self.thread = threading.Thread(target=self.agent.run)
        self.thread.start()

    def stop(self, *, restarting: bool = True) -> None:
        if self.agent is None or self.thread is None:
            return
        if restarting:
            (self.layout.run / RESTARTING).write_text(str(self.clock.now))
        self.agent.stop()
        self.thread.join()
        self.agent = None

    def rounds(self) -> dict[str, int]:
        """Of each kind of question, how many were asked so far."""
        return {name: worker.rounds for name, worker in self.agent._workers.items()} if self.agent else {}

    @property
    def note(self) -> Note:
        note = Note.read(self.layout)
        assert note is not None
        return note

    def call(self, verb: str, document: Any = None) -> tuple[int, dict[str, Any], str]:
        out, err = io.StringIO(), io.StringIO()
        code = main(
            ["agent", verb], stdin=io.StringIO(json.dumps(document or {})), stdout=out, stderr=err, layout=self.layout
        )
        return code, json.loads(out.getvalue() or "{}").get("facts", {}), err.getvalue()


class World:
    """Both hosts and the witness between them."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.bucket, self.clock = Bucket(), clock
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self.bucket))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        witness = Witness(f"http://127.0.0.1:{self.server.server_port}", "de", "witness", "key", "secret")
        tls, ports = certificates(), {site: free_port() for site in "ab"}
        self.a, self.b = (Host(site, folder / f"host-{site}", tls[site], ports, witness, clock) for site in "ab")
        self.bucket.claim(1, "a")
        self.a.role(PRIMARY, 1)
        self.b.role(STANDBY, 1)

    def start(self) -> None:
        self.a.start()
        self.b.start()
        must(lambda: all(Note.read(host.layout) is not None for host in (self.a, self.b)), "both leave notes")
        must(lambda: all(min(host.rounds().values()) > 0 for host in (self.a, self.b)), "both have asked")
        self.step()

    def step(self) -> None:
        """One heartbeat's time: it is over when every agent has beaten and has its answers, but for questions that hang."""
        before = {host: host.rounds() for host in (self.a, self.b) if host.agent}
        self.clock.now += TERMS.heartbeat_s

        def beaten() -> bool:
            return all(
                host.note.beat >= self.clock.now
                and all(
                    count > before[host][name]
                    for name, count in host.rounds().items()
                    if name != "witness" or self.bucket.mode in ("well", "error")
                )
                for host in before
            )

        for host in before:
            assert host.agent is not None
            host.agent._wake.set()
        must(beaten, f"everybody beats at {self.clock.now:g}")

    def leases(self, count: float) -> None:
        """So many leases' time."""
        for _ in range(int(count * TERMS.lease_s / TERMS.heartbeat_s)):
            self.step()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Step until it holds; five leases at most."""
        for _ in range(int(5 * TERMS.lease_s / TERMS.heartbeat_s)):
            if until(condition, 0.1, 0.01):
                return
            self.step()
        must(condition, what)

    def close(self) -> None:
        self.bucket.over.set()
        for host in (self.a, self.b):
            host.stop()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    clock = Clock()
    for module in TIMED:
        monkeypatch.setattr(module, "boottime", clock)
    with tempfile.TemporaryDirectory(prefix="dragent") as folder:
        made = World(Path(folder), clock)
        try:
            yield made
        finally:
            made.close()


def must(condition: Callable[[], bool], what: str) -> None:
    assert until(condition, LIMIT_S, 0.02), f"not within {LIMIT_S:g} s: {what}"


def test_a_heartbeat_says_on_what_terms_and_on_which_machine_it_beats(world: World) -> None:
    world.start()
    beat = Heartbeat(document=world.bucket.heartbeat("a"), age_s=0.0)
    assert beat.terms == TERMS and set(beat.document["lease"]) == {*asdict(TERMS), "state", "silent_s"}
    assert beat.instance == "4711-a", "as the envelope said it"
    assert beat.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_the_counterpart_knows_the_newest_position_also_while_the_witness_is_silent(world: World) -> None:
    world.start()
    world.bucket.mode = "error"
    world.a.block.more = {
        "write_lsn": "0/5000148",
        "timeline": 1,
        "system_identifier": "7",
        "trail": [[0.0, "0/5000148"]],
    }
    for _ in range(2):  # it is read in one beat and sent at the latest in the next
        world.step()
    peer = world.b.call("status")[1]["peer"]
    assert peer["block"] == world.a.block.read() and peer["epoch"] == 1
    assert peer["age_s"] == pytest.approx(0.0)
    world.b.call("deny", {"schema": 1, "epoch_next": 2})
    world.a.block.more["write_lsn"] = "0/5000200"
    for _ in range(2):
        world.step()
    assert world.b.call("status")[1]["peer"]["block"]["write_lsn"] == "0/5000200", "also what is not granted is known"
    world.a.stop()
    world.clock.now += 60
    assert world.b.call("status")[1]["peer"]["age_s"] == pytest.approx(60.0)
    assert world.a.call("status")[1]["peer"] is None, "nobody asks a primary"


def test_agents_of_two_versions_understand_each_other(world: World) -> None:
    """An older one sends no block, and passes over that of a newer one, whose request is no longer than it reads."""
    world.start()
    assert client(world, tls_of(world.a)).request("GET", "/lease?site=a&epoch=1", {}).status == 200
    block = {"write_lsn": "0/5000148", "trail": [[float(n), "FFFFFFFF/FFFFFFFF"] for n in range(4000)]}
    text = agent_peer.header(block)
    sent = json.loads(text)
    assert len(text) + 512 < 4096 and sent["write_lsn"] == "0/5000148"
    assert sent["trail"] and sent["trail"] == block["trail"][: len(sent["trail"])], "the newest"
    for other in ("x", "[]", "{" * 3000):
        answer = client(world, tls_of(world.a)).request("GET", "/lease?site=a&epoch=1", {agent_peer.BLOCK: other})
        assert answer.status == 200, "what cannot be read is passed over, and the answer is the same"


def held_until(host: Host) -> float:
    return float((host.layout.run / HELD_UNTIL).read_text().split()[0])


def test_the_dead_man_is_told_until_when_and_no_later_by_an_agent_that_nobody_hears(world: World) -> None:
    world.start()
    for host in (world.a, world.b):
        assert world.clock.now < held_until(host) <= world.clock.now + TERMS.lease_s
        assert (host.layout.run / HELD_UNTIL).read_text().split()[1] == str(TERMS.stop_s)
    world.bucket.mode = "error"
    world.b.stop()
    world.leases(0.5)
    contact = world.a.note.memory.contact_at(1)
    assert contact is not None and held_until(world.a) == contact + TERMS.lease_s
    before = held_until(world.a)
    world.a.stop()
    world.a.start()
    must(lambda: world.a.rounds() != {} and min(world.a.rounds().values()) > 0, "the next one has asked")
    assert held_until(world.a) == before, "the next agent goes on with the same lease"
    world.leases(1)
    assert held_until(world.a) <= world.clock.now and not world.a.service.up
    world.bucket.mode = "well"
    world.until(lambda: world.a.service.up, "a starts again")
    assert held_until(world.a) > world.clock.now


def test_what_the_dead_man_stops_because_it_cannot_be_told_starts_again_once_it_can(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(agent_holding, "write_atomically", full)
        world.leases(1)
        assert world.a.service.up and held_until(world.a) <= world.clock.now, (
            "nobody but the dead-man has a reason to stop it"
        )
        world.a.service.up = False  # what a dead-man does then
        world.until(lambda: world.a.note.memory.state == STOPPED, "it is seen to be down")
        world.leases(1)
        assert world.a.service.starts == 0, "it would be stopped again at once"
    world.until(lambda: world.a.service.up and world.a.note.memory.state == HELD, "it runs again by itself")
    assert held_until(world.a) > world.clock.now and "dead-man" in world.a.log.getvalue()


def test_the_dead_man_is_told_at_once_that_the_other_site_is_active(world: World) -> None:
    world.start()
    world.bucket.claim(2, "b")
    world.until(lambda: not world.a.service.up, "a stops")
    assert held_until(world.a) == 0.0


@pytest.mark.parametrize("role", [STANDBY, FENCED])
@pytest.mark.parametrize("past_the_unit", [False, True])
def test_a_writer_is_stopped_in_every_role_but_that_of_the_primary(
    world: World, role: sites.Role, past_the_unit: bool
) -> None:
    world.b.role(role, 1)
    world.start()
    world.leases(1)
    assert world.b.service.stops == 0
    if past_the_unit:
        world.b.service.stray = True
    else:
        world.b.block.writer = True
    with hold(world.b.layout, "postgres"):  # a converge, a stop, a promotion: whoever is at work knows what it does
        world.leases(1)
        assert world.b.service.stops == 0
    world.until(lambda: world.b.service.stops > 0, "b's writer is stopped")
    assert f"it takes writes, and this host is {role} in epoch 1" in world.b.log.getvalue()
    assert world.a.service.stops == 0 and world.b.service.starts == 0


def test_what_was_known_before_the_role_changed_stops_nothing(world: World) -> None:
    world.start()
    for _ in range(3):
        world.step()
        world.a.role(STANDBY if world.a.block.writer else PRIMARY, 1)  # its block is of the role before, each time
        world.a.block.writer = not world.a.block.writer
    world.a.role(STANDBY, 1)
    world.leases(1)
    assert world.a.service.stops == 0


def test_an_unknown_position_is_no_writer(world: World) -> None:
    world.b.block.writer = None
    world.start()
    world.leases(1)
    assert world.b.service.stops == 0


def test_a_witness_that_has_lost_its_epochs_is_seen_and_stops_no_primary_that_is_well(world: World) -> None:
    for epoch in range(2, 8):
        world.bucket.claim(epoch, "a")
    world.a.role(PRIMARY, 7)
    world.b.role(STANDBY, 7)
    world.start()
    assert (world.bucket.heartbeat("a")["witness_epoch"], world.bucket.heartbeat("a")["trouble"]) == (7, None)
    for epoch in range(4, 8):
        del world.bucket.objects[f"epochs/{epoch:08d}.json"]
    world.leases(3)
    for host in (world.a, world.b):
        beat = world.bucket.heartbeat(host.site)
        assert beat["witness_epoch"] == 7 and beat["epoch"] == 7
        assert "found epoch 3 the newest, wanted epoch 7" in beat["trouble"]
        assert host.log.getvalue().count("has lost epochs") == 1 and host.service.stops == 0
    world.b.stop()
    world.b.start()
    world.leases(1)
    assert world.b.call("status")[1]["epoch"] == 7 and world.a.note.counterpart is None, (
        "it grants 7, and nothing before"
    )
    for name in [name for name in world.bucket.objects if name.startswith("epochs/")]:
        del world.bucket.objects[name]
    world.until(lambda: "found no epoch" in str(world.bucket.heartbeat("a")["trouble"]), "all are gone")
    assert world.a.service.stops == 0
    world.bucket.claim(7, "a")
    world.until(lambda: world.bucket.heartbeat("a")["trouble"] is None, "they were put back")
    assert "names the newest epoch again" in world.a.log.getvalue()


def test_a_restarted_agent_knows_the_newest_epoch_that_the_one_before_has_heard_of(world: World) -> None:
    world.start()
    world.bucket.claim(2, "a")
    world.until(lambda: world.b.note.epoch == 2, "b hears of it")
    del world.bucket.objects["epochs/00000002.json"]
    world.b.stop()
    world.b.start()
    world.until(lambda: "does not grant epoch 1, it knows 2" in str(world.a.note.counterpart), "b does not go back")
    assert world.b.note.epoch == 2


def test_no_denial_ends_on_the_word_of_a_witness_that_has_lost_its_epochs(world: World) -> None:
    world.bucket.claim(2, "a")
    world.a.role(PRIMARY, 2)
    world.b.role(STANDBY, 2)
    world.start()
    world.b.call("deny", {"schema": 1, "epoch_next": 3, "hold_s": 45})
    del world.bucket.objects["epochs/00000002.json"]
    world.leases(5)
    assert world.b.call("status")[1]["denied_below"] == 3


def test_a_machine_that_resumes_after_a_pause_stops_its_primary_before_it_asks(world: World) -> None:
    """A hypervisor's pause: this host's clock has not moved, the witness's has."""
    world.start()
    world.b.stop()
    world.leases(0.5)
    assert world.a.service.stops == 0
    world.bucket.ahead_s += 120
    world.until(lambda: world.a.service.stops == 1, "a stops")
    assert "stood still for" in world.a.log.getvalue() and "is asked first" in world.a.log.getvalue()
    world.until(
        lambda: world.a.service.up and world.a.note.memory.state == "held", "it is still a's epoch, a starts again"
    )
    world.leases(2)
    assert world.a.service.stops == 1


def test_one_that_resumes_after_it_lost_the_role_does_not_start_again(world: World) -> None:
    world.start()
    world.b.stop()
    world.bucket.claim(2, "b")
    world.bucket.ahead_s += 120
    world.until(lambda: world.a.service.stops == 1, "a stops")
    world.leases(2)
    assert world.a.service.starts == 0 and not world.a.service.up


def test_a_witness_whose_clock_is_set_stops_nothing_while_the_counterpart_has_seen_no_pause(world: World) -> None:
    world.start()
    for ahead in (120, -300, 600):
        world.bucket.ahead_s = ahead
        world.leases(1)
    assert world.a.service.stops == 0 and "stood still" not in world.a.log.getvalue()


def test_the_counterparts_clock_alone_shows_a_pause(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start()
    world.bucket.mode = "error"
    world.leases(2)
    assert world.a.service.stops == 0
    assert world.b.agent is not None
    grant = world.b.agent._grant

    def later(*asked: Any) -> dict[str, Any]:
        answer = grant(*asked)
        return {**answer, "clock": answer["clock"] + 120}

    monkeypatch.setattr(world.b.agent.endpoint, "_grant", later)
    world.until(lambda: world.a.service.stops == 1, "a stops")
    world.until(lambda: world.a.service.up, "b grants, a starts again")
    world.leases(2)
    assert world.a.service.stops == 1


def test_a_counterpart_whose_clock_jumps_stops_nothing_while_the_witness_has_seen_no_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a live migration, say, or by somebody who owns the standby's host."""
    world.start()
    assert world.b.agent is not None
    grant, jumps = world.b.agent._grant, itertools.count(1)

    def ahead(*asked: Any) -> dict[str, Any]:
        answer = grant(*asked)
        return {**answer, "clock": answer["clock"] + 120 * next(jumps)}

    monkeypatch.setattr(world.b.agent.endpoint, "_grant", ahead)
    world.leases(1)
    assert world.a.service.stops == 0 and "stood still" not in world.a.log.getvalue()


def test_a_denial_ends_once_its_time_is_over_and_the_witness_knows_of_no_newer_epoch(world: World) -> None:
    world.start()
    world.b.call("deny", {"schema": 1, "epoch_next": 2, "hold_s": 45})
    world.leases(1)
    assert world.b.call("status")[1]["denied_below"] == 2
    world.bucket.mode = "error"
    world.leases(3)
    assert world.b.call("status")[1]["denied_below"] == 2, "nobody knows whether somebody has claimed it"
    world.bucket.mode = "well"
    world.until(lambda: world.b.call("status")[1]["denied_below"] is None, "the denial ends")
    assert "denial of epochs below 2 has ended" in world.b.log.getvalue()
    world.until(lambda: world.a.note.counterpart is None, "b grants again")


def test_a_denial_that_was_followed_by_a_claim_stays(world: World) -> None:
    world.start()
    world.b.call("deny", {"schema": 1, "epoch_next": 2, "hold_s": 45})
    world.bucket.claim(2, "b")
    world.leases(3)
    assert world.b.call("status")[1]["denied_below"] == 2 and "has ended" not in world.b.log.getvalue()


@pytest.mark.parametrize("left", [{"epoch_next": 2}, None])
def test_a_denial_of_an_older_agent_or_one_that_cannot_be_read_ends_as_well(world: World, left: object) -> None:
    world.b.layout.var.mkdir(parents=True, exist_ok=True)
    (world.b.layout.var / "deny.json").write_text(json.dumps(left) if left else "{")
    world.start()
    world.clock.now += agent_grants.HOLD_S - 4 * TERMS.heartbeat_s
    world.step()
    assert (world.b.layout.var / "deny.json").exists()
    world.until(lambda: world.b.call("status")[1]["denied_below"] is None, "the denial ends")


def test_a_boot_makes_a_denial_longer_and_never_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, files = Clock(), Grants(Layout(tmp_path))
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(agent_grants, "boottime", clock)

    def newest() -> Newest:
        return Newest(1, "a", False, clock.now, clock.now)

    files.deny(2, 600)
    clock.now = 90000.0  # the machine is up for long, then it boots: this clock begins at nought
    monkeypatch.setattr(agent_grants, "boot", lambda: "another")
    clock.now = 5.0
    assert files.denied_below() == 2 and files.end(newest()) is None
    clock.now = 604.0
    assert files.end(newest()) is None, "how long it was off nobody knows"
    clock.now = 606.0
    assert files.end(replace(newest(), asked_at=604.0)) is None, "what the witness said before its end says nothing"
    assert files.end(None) is None
    assert files.end(newest()) is not None and files.denied_below() is None


def test_of_two_denials_the_stricter_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, files = Clock(), Grants(Layout(tmp_path))
    monkeypatch.setattr(agent_grants, "boottime", clock)
    files.deny(3, 600)
    clock.now += 100
    files.deny(2, 10)
    clock.now += 400
    assert files.denied_below() == 3 and files.end(Newest(1, "a", False, clock.now, clock.now)) is None


def test_heartbeats_say_who_is_what_and_cost_two_requests_each(world: World) -> None:
    world.start()
    world.until(lambda: world.bucket.heartbeat("b") != {}, "b beats")
    a, b = world.bucket.heartbeat("a"), world.bucket.heartbeat("b")
    assert (a["schema"], a["site"], a["host"], a["epoch"], a["role"]) == (1, "a", "db-1", 1, "primary")
    assert a["lease"]["state"] == "held" and a["lease"]["silent_s"] < TERMS.lease_s
    assert a["postgres"] == {"running": True, "in_recovery": False}
    assert b["role"] == "standby"
    before = len(world.bucket.requests)
    for _ in range(10):
        world.step()
    kinds = world.bucket.requests[before:]
    assert not [key for method, key in kinds if method == "GET" and not key], "no listing in between"
    gets, puts = (sum(1 for method, _ in kinds if method == kind) for kind in ("GET", "PUT"))
    assert puts == 20 and gets in (13, 14), "a primary looks at every beat, a standby at every third"


@pytest.mark.parametrize("mode", ["error", "hang", "trickle"])
def test_a_dead_witness_alone_stops_nothing(world: World, mode: str) -> None:
    world.start()
    world.bucket.mode = mode
    world.leases(1.5)
    assert (world.a.service.stops, world.a.note.memory.state) == (0, "held")


def test_a_cut_link_alone_stops_nothing(world: World) -> None:
    world.start()
    world.b.stop()
    world.leases(2)
    assert world.a.service.stops == 0 and "no answer" in str(world.a.note.counterpart)


@pytest.mark.parametrize("mode", ["error", "hang", "trickle"])
def test_heard_by_nobody_it_stops_and_heard_again_it_starts(world: World, mode: str) -> None:
    world.start()
    world.bucket.mode = mode
    world.b.stop()
    world.until(lambda: world.a.note.memory.state == "stopped" and not world.a.service.up, "a stops")
    assert rolefile.read(world.a.layout) == Role("a", "b", PRIMARY, 1), "the guard decides by it later"
    assert world.a.call("status")[1]["state"] == "stopped"
    world.leases(2)
    assert (world.a.service.stops, world.a.service.starts) == (1, 0)
    world.bucket.mode = "well"
    world.bucket.over.set()
    world.until(lambda: world.a.service.up, "a starts again")
    world.until(lambda: world.a.note.memory.state == "held", "and holds its lease")
    assert world.a.log.getvalue().count("stopping postgres") == 1


def test_it_stays_down_when_the_other_side_is_active_by_now(world: World) -> None:
    world.start()
    world.bucket.mode = "error"
    world.b.stop()
    world.until(lambda: not world.a.service.up, "a stops")
    world.bucket.claim(2, "b")
    world.bucket.mode = "well"
    world.until(lambda: "stays down" in world.a.log.getvalue(), "a says so")
    world.leases(2)
    assert world.a.service.starts == 0 and world.a.log.getvalue().count("stays down") == 1
    world.a.role(STANDBY, 2)
    world.until(lambda: world.a.note.memory.state == "held", "a standby has nothing to hold")
    assert world.a.service.starts == 0, "who gave the role starts the service"


def test_a_contact_that_comes_while_the_rule_is_asked_is_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start()
    world.leases(2)  # since the agent's start
    agent, read = world.a.agent, rolefile.read
    assert agent is not None

    def meanwhile(layout: Layout) -> Role | None:
        if threading.current_thread() is threading.main_thread():
            world.clock.now += 0.001
            agent._put = world.clock.now, None
        return read(layout)

    monkeypatch.setattr(rolefile, "read", meanwhile)
    agent._enforce()
    assert (world.a.service.up, world.a.service.stops) == (True, 0), world.a.log.getvalue()


def test_a_newer_epoch_stops_a_primary_that_is_heard(world: World) -> None:
    world.start()
    world.bucket.claim(2, "b")
    world.until(lambda: world.a.note.memory.state == "stopped" and not world.a.service.up, "a stops")
    assert "epoch 2" in str(world.a.note.memory.why)
    assert world.b.service.stops == 0


def test_the_counterpart_grants_no_epoch_that_it_knows_to_be_over(world: World) -> None:
    world.start()
    world.b.role(PRIMARY, 2)
    world.until(lambda: "does not grant epoch 1" in str(world.a.note.counterpart), "b refuses")
    world.bucket.mode = "error"
    world.until(lambda: not world.a.service.up, "a stops: the refusal is no contact")
    assert world.b.service.stops == 0


def test_deny_tells_the_last_grant_and_how_long_the_agent_has_watched(world: World) -> None:
    world.start()
    with agent.alone(world.b.layout):  # as `agent run` holds it
        code, facts, _ = world.b.call("deny", {"schema": 1, "epoch_next": 2})
        assert (code, set(facts)) == (0, {"last_granted_s", "agent_up_s"})
        assert 0 <= facts["last_granted_s"] <= facts["agent_up_s"]
        world.leases(2)
        assert (
            world.b.call("deny", {"schema": 1, "epoch_next": 2})[1]["last_granted_s"]
            > facts["last_granted_s"] + TERMS.lease_s
        )
        never = world.a.call("status")[1]["last_granted_s"]
    assert never is None and world.b.call("deny", {})[0] == 2


def test_deny_outlives_a_restart_and_allow_undoes_it(world: World) -> None:
    world.start()
    code, _, text = world.b.call("deny", {"schema": 1, "epoch_next": 2})
    assert code == 1 and "none that runs" in text, "the lock of the agent's own process is what counts as running"
    world.until(lambda: "does not grant" in str(world.a.note.counterpart), "b refuses")
    last = Grants(world.b.layout).last_granted_s()
    world.b.stop()
    world.b.start()
    world.leases(2)
    assert world.b.call("status")[1]["denied_below"] == 2
    later = Grants(world.b.layout).last_granted_s()
    assert last is not None and later is not None and later > last + TERMS.lease_s
    assert world.b.call("allow")[0] == 0
    world.until(lambda: world.a.note.counterpart is None, "b grants again")


@pytest.mark.parametrize(
    ("asked", "role", "known", "denied", "granted"),
    [
        (3, Role("b", "a", STANDBY, 3), 3, None, True),
        (3, Role("b", "a", FENCED, 3), None, None, True),
        (3, None, None, None, True),
        (3, Role("b", "a", STANDBY, 2), 2, None, True),
        (3, Role("b", "a", STANDBY, 3), 4, None, False),
        (3, Role("b", "a", STANDBY, 4), 3, None, False),
        (3, Role("b", "a", PRIMARY, 3), 3, None, False),
        (3, Role("b", "a", PRIMARY, 2), 3, None, True),  # left in a planned move, not yet a follower
        (3, Role("b", "a", STANDBY, 3), 3, 4, False),
        (4, Role("b", "a", STANDBY, 3), 4, 4, True),
    ],
)
def test_grants(asked: int, role: Role | None, known: int | None, denied: int | None, granted: bool) -> None:
    assert grants(asked, role=role, known=known, denied_below=denied) is granted


def test_a_restarted_agent_goes_on_with_its_lease_and_does_not_renew_it(world: World) -> None:
    world.start()
    world.bucket.mode = "error"
    world.b.stop()
    world.until(lambda: not world.a.service.up, "a stops")
    contact = world.a.note.memory.witness_at
    world.a.service.up = True
    for _ in range(3):
        world.a.stop()
        world.a.start()
        world.until(lambda: not world.a.service.up, "what somebody started is stopped again")
        assert world.a.note.memory.witness_at == contact
        world.a.service.up = True


def test_a_new_agents_first_heartbeat_holds_what_the_one_before_knew(world: World) -> None:
    world.start()
    world.a.stop()
    before = world.bucket.heartbeat("a")
    world.a.start()
    world.until(lambda: world.bucket.heartbeat("a")["at"] != before["at"], "a beats")
    ((block, age),) = world.a.block.recalled
    assert block == before["postgres"] and age >= 0
    assert world.bucket.heartbeat("a")["postgres"]["recalled"] is True
    world.a.stop()
    world.a.role(PRIMARY, 2)
    world.a.start()
    world.until(lambda: world.bucket.heartbeat("a")["epoch"] == 2, "a beats in its new epoch")
    assert len(world.a.block.recalled) == 1, "what was known of another epoch is no position of this one"


def test_how_old_the_last_heartbeat_is_says_the_witness_whatever_became_of_the_hosts_own_clock(world: World) -> None:
    world.start()
    world.a.stop()
    before, hour = world.bucket.heartbeat("a"), datetime.timedelta(hours=1)
    key = "heartbeats/a/db-1.json"
    told = datetime.datetime.fromisoformat(before["at"])
    world.bucket.objects[key] = json.dumps(
        {**before, "at": (told - hour).isoformat()}
    ).encode()  # the clock was set since, an hour ahead
    world.bucket.stored[key] = email.utils.format_datetime(told - datetime.timedelta(minutes=2), usegmt=True)
    world.a.start()
    world.until(lambda: world.a.block.recalled != [], "the last heartbeat is read")
    ((_, age),) = world.a.block.recalled
    assert 120 <= age < 120 + LIMIT_S


def test_an_agent_that_is_stopped_takes_its_primary_along_and_one_that_is_renewed_does_not(world: World) -> None:
    world.start()
    world.a.stop()
    assert world.a.service.up
    world.a.start()
    assert not (world.a.layout.run / RESTARTING).exists(), "the mark was for the one before"
    world.a.stop(restarting=False)
    assert not world.a.service.up and world.a.note.memory.state == STOPPED


def test_a_primary_that_is_down_at_boot_is_started_once_it_is_heard(world: World) -> None:
    world.a.service.up = False
    world.start()
    world.until(lambda: world.a.service.up, "a is started")
    assert (world.a.service.starts, world.a.service.stops) == (1, 0)


def test_a_start_that_the_guard_refuses_is_tried_again_but_not_at_every_beat(world: World) -> None:
    world.a.service.up = world.a.service.may_start = False
    world.start()
    world.leases(2)
    assert world.a.service.starts == 4, "after 0, 5, 15 and 35 s, in steps of 2"


def tls_of(host: Host) -> tuple[Path, Path]:
    return host.layout.etc / "host.crt", host.layout.etc / "host.key"


def client(world: World, tls: tuple[Path, Path] | None) -> Channel:
    context = ssl.create_default_context(cafile=str(world.b.layout.etc / "ca.pem"))
    if tls:
        context.load_cert_chain(*tls)
    own = world.b.config.own
    return Channel(own.name, own.address, own.port, context, 2.0)


def test_only_the_counterpart_is_answered(world: World) -> None:
    world.start()
    a, b = world.a.layout.etc, world.b.layout.etc
    assert client(world, (a / "host.crt", a / "host.key")).request("GET", "/lease?site=a&epoch=1", {}).status == 200
    for tls in (None, (b / "host.crt", b / "host.key")):
        with pytest.raises(NoAnswer):
            client(world, tls).request("GET", "/lease?site=a&epoch=1", {})
    for path, status in (("/", 404), ("/lease", 400), ("/lease?epoch=-1", 400), ("/lease?epoch=9999999999", 400)):
        assert client(world, (a / "host.crt", a / "host.key")).request("GET", path, {}).status == status
    assert "does not name db-1.a" in world.b.log.getvalue()


def test_nobody_of_another_ca_is_answered_by_whatever_name(world: World, tmp_path: Path) -> None:
    world.start()
    made = generate({"db-1.a": ["db-1.a.dr.internal"], "cache-1.a": ["db-1.a.dr.internal"]}, "db-1.a.dr.internal", {})[
        "tls"
    ]
    others = {
        "the hosts of another set": made["hosts"]["db-1.a"],
        "its caches": made["cache"]["hosts"]["cache-1.a"],
        "what customers see": made["shop"],
        "a root that machines trust": Authority("a public root").issue(["db-1.a.dr.internal"]),
    }
    for pair in others.values():
        paths = tmp_path / "crt", tmp_path / "key"
        for path, name in zip(paths, ("cert", "key"), strict=True):
            path.write_text(pair[name])
        with pytest.raises(NoAnswer):
            client(world, paths).request("GET", "/lease?site=a&epoch=1", {})
    assert client(world, tls_of(world.a)).request("GET", "/lease?site=a&epoch=1", {}).status == 200


def test_silent_clients_do_not_keep_the_counterpart_out(world: World) -> None:
    world.start()
    own = world.b.config.own
    silent = [socket.create_connection((own.address, own.port)) for _ in range(4)]
    try:
        world.leases(2)
        assert world.a.note.counterpart is None
    finally:
        for each in silent:
            each.close()


def test_a_listener_that_fails_once_is_another_one_soon(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the kernel is short of files or memory: until somebody restarted the agent, its counterpart would get no grant."""
    monkeypatch.setattr(agent_peer, "BIND_AGAIN_S", 0.05)
    world.start()
    assert world.b.agent is not None
    endpoint = world.b.agent.endpoint
    for each in (endpoint._listener, *endpoint._streams):
        assert each is not None
        socket.socket.shutdown(each, socket.SHUT_RDWR)
    cut = world.clock.now
    world.until(lambda: (world.a.note.memory.granted_at or 0) > cut + 3 * TERMS.heartbeat_s, "b grants again")
    assert "cannot accept" in world.b.log.getvalue() and world.a.service.stops == 0


def test_an_override_keeps_an_isolated_primary_until_somebody_answers(world: World) -> None:
    world.start()
    world.bucket.mode = "error"
    world.b.stop()
    world.until(lambda: not world.a.service.up, "a stops")
    override = world.a.layout.run / agent_memory.OVERRIDE
    override.write_text("1")
    world.a.service.up = True
    world.leases(2)
    assert world.a.service.up
    world.bucket.mode = "well"
    world.until(lambda: not override.exists(), "the override ends with the silence")
    assert world.a.service.up


def test_a_clock_far_off_is_signed_with_the_witnesss_time(world: World) -> None:
    channel = WitnessChannel(world.a.witness, 2.0)
    world.bucket.ahead_s = -3600
    with pytest.raises(Silent, match="403"):
        channel.put("heartbeats/a/x.json", {})
    channel.put("heartbeats/a/x.json", {})
    world.bucket.ahead_s = 0
    with pytest.raises(Silent, match="403"):
        channel.put("heartbeats/a/x.json", {})
    channel.put("heartbeats/a/x.json", {})
    world.bucket.mode = "error"
    with pytest.raises(Silent, match="503"):
        channel.put("heartbeats/a/x.json", {})


@pytest.mark.parametrize("mode", ["hang", "trickle"])
def test_a_question_over_its_limit_is_cut_off(world: World, mode: str) -> None:
    world.bucket.mode, answers = mode, list[str]()
    channel = WitnessChannel(world.a.witness, 100 * LIMIT_S)  # no limit of the socket's own comes first

    def work() -> None:
        try:
            channel.put("heartbeats/a/x.json", {})
        except Silent as error:
            answers.append(str(error))

    worker = Worker("x", work, channel.abort, 5.0, Log(io.StringIO(), "agent run"))
    worker.start()
    worker.kick()
    must(lambda: len(world.bucket.requests) == 1, "the witness is asked")
    worker.kick()
    assert not answers, "within its limit it may take its time"
    world.clock.now += 6
    worker.kick()
    must(lambda: len(answers) == 1 and "no answer" in answers[0], "it is cut off")


def test_a_worker_outlives_what_its_work_raises() -> None:
    rounds, log = [], io.StringIO()

    def work() -> None:
        rounds.append(1)
        raise ValueError("SECRET")

    worker = Worker("x", work, lambda: None, 1.0, Log(log, "agent run"))
    worker.start()
    for number in (1, 2):
        worker.kick()
        must(lambda number=number: worker.rounds == number, "a round")  # type: ignore[misc]
    assert log.getvalue().count("unexpected ValueError") == 2 and "SECRET" not in log.getvalue()


def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert agent_notify.notify("READY=1") is False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert agent_notify.notify("READY=1") is True
        assert manager.recv(64) == b"READY=1"


def test_a_short_lease_asks_no_longer_than_it_lasts() -> None:
    assert replace(TERMS, lease_s=8).question_s == 2 and replace(TERMS, lease_s=600).question_s == 10


@pytest.mark.parametrize("left", [b"\0" * 80, b"", None])
def test_a_primary_whose_role_file_cannot_be_read_is_one_still(world: World, left: bytes | None) -> None:
    """A disk that fails must not take the lease away together with the file."""
    world.start()
    path = world.a.layout.var / "role.json"
    path.unlink() if left is None else path.write_bytes(left)
    world.leases(0.5)
    assert world.bucket.heartbeat("a")["role"] == "primary" and world.a.service.stops == 0
    world.bucket.mode = "error"
    world.b.stop()
    world.until(lambda: world.a.service.stops == 1, "a stops")
    assert "role.json: cannot be read" in world.a.log.getvalue()
