"""Who may start: the guard's decision, and what it hears from the witness."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from contract import sites
from contract.errors import Refused
from contract.lease import Lease
from contract.wire.channel import Answer, Channel
from lab.pairs.loopback import refuses
from scripts.host.__main__ import main
from scripts.host.agent import memory as agent_memory
from scripts.host.agent.config import Address, Config
from scripts.host.agent.lease import Memory
from scripts.host.agent.memory import Note
from scripts.host.frame.boots import boottime
from scripts.host.frame.layout import Layout
from scripts.host.frame.rolefile import Role
from scripts.host.frame.vouch import vouched
from scripts.host.frame.witness import Active, Silent, Talk, Witness
from scripts.host.guard import Found, decide, unarmed_app, unarmed_redis

PRIMARY, STANDBY, FENCED = (Role("a", "b", role, 3) for role in sites.Role)


@pytest.mark.parametrize(
    "found",
    [
        Found(STANDBY),
        Found(PRIMARY, active=Active(3, "a")),
        Found(PRIMARY, silence="timed out", override=3),
        Found(PRIMARY, silence="timed out", granted=True),
        Found(PRIMARY, silence="timed out", resumed=3),
        Found(PRIMARY, resumed=3),
        Found(PRIMARY, active=Active(3, "a"), lapsed="the lease ran out", override=3),
    ],
)
def test_these_may_start(found: Found) -> None:
    assert "epoch 3" in decide("postgres", found)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Found(None), "no role"),
        (Found(FENCED, active=Active(3, "a")), "fenced"),
        (Found(STANDBY, unarmed="without standby.signal"), "without standby.signal"),
        (Found(PRIMARY, active=Active(4, "b")), "epoch 4 with b active"),
        (Found(PRIMARY, active=Active(4, "a")), "epoch 4 with a active"),
        (Found(PRIMARY, active=Active(4, "b"), override=3), "epoch 4 with b active"),
        (Found(PRIMARY, active=Active(4, "b"), resumed=3), "epoch 4 with b active"),
        (Found(PRIMARY, silence="timed out", resumed=2), "nobody to confirm it"),
        (Found(PRIMARY, silence="timed out", resumed=3, lapsed="the lease ran out"), "nobody to confirm it"),
        (Found(FENCED, silence="timed out", resumed=3), "fenced"),
        (Found(PRIMARY, silence="timed out"), "override-start"),
        (Found(PRIMARY, silence="timed out", override=2), "override-start"),
        (Found(PRIMARY), "lists no such epoch"),
        (
            Found(PRIMARY, granted=True),
            "lists no such epoch",
        ),  # a witness that speaks is not overruled by the counterpart
        (Found(PRIMARY, active=Active(3, "a"), lapsed="the lease ran out"), "the lease ran out"),
        (Found(PRIMARY, silence="timed out", granted=True, lapsed="the lease ran out"), "override-start"),
        (Found(PRIMARY, active=Active(4, "b"), granted=True), "epoch 4 with b active"),
    ],
)
def test_these_may_not_start(found: Found, says: str) -> None:
    with pytest.raises(Refused, match=says):
        decide("postgres", found)


def test_workers_start_in_the_active_site_alone() -> None:
    assert "the witness agrees" in decide("app", Found(PRIMARY, unarmed=unarmed_app(Layout()), active=Active(3, "a")))
    for role, active in ((STANDBY, None), (PRIMARY, Active(4, "b")), (PRIMARY, None)):
        with pytest.raises(Refused, match="the same work twice"):
            decide(
                "app",
                Found(role, unarmed=unarmed_app(Layout()), active=active, silence=None if active else "timed out"),
            )


class Bucket(BaseHTTPRequestHandler):
    """A witness with two epochs a page."""

    epochs: dict[str, bytes] = {}
    broken = False
    ahead_s = 0.0  # its clock, before ours

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        key = path.removeprefix("/witness").lstrip("/")
        if self.broken:
            self.send_error(503)
            return
        if refuses(self.headers["X-amz-date"], self.ahead_s):
            self.send_error(403)
            return
        if key:
            body = self.epochs[key]
        else:
            asked = {name: value.replace("%2F", "/") for name, value in (part.split("=") for part in query.split("&"))}
            after, prefix = asked.get("start-after", ""), asked["prefix"]
            names = sorted(name for name in self.epochs if name > after and name.startswith(prefix))[:2]
            items = "".join(f"<Contents><Key>{name}</Key></Contents>" for name in names)
            body = (
                f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{items}</ListBucketResult>'.encode()
            )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.ahead_s if timestamp is None else timestamp)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def witness() -> Iterator[Witness]:
    server = HTTPServer(("127.0.0.1", 0), Bucket)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Bucket.epochs, Bucket.broken, Bucket.ahead_s = {}, False, 0.0
    yield Witness(f"http://127.0.0.1:{server.server_port}", "de", "witness", "key", "secret")
    server.shutdown()
    thread.join()
    server.server_close()


def add(*epochs: tuple[int, str]) -> None:
    for number, site in epochs:
        Bucket.epochs[f"epochs/{number:08d}.json"] = json.dumps({"epoch": number, "active": site}).encode()


def test_the_newest_epoch_is_found_over_several_pages(witness: Witness) -> None:
    add(*((number, "ab"[number % 2]) for number in range(1, 8)))
    assert witness.newest(1) == Active(7, "b")
    assert witness.newest(7) == Active(7, "b")
    assert witness.newest(8) is None


def test_an_object_among_the_epochs_whose_name_is_none_is_to_be_removed(witness: Witness) -> None:
    add((1, "a"))
    Bucket.epochs["epochs/2.json"] = json.dumps({"epoch": 2, "active": "a"}).encode()
    with pytest.raises(Silent, match=r"epochs/2\.json: .*wanted epochs/<eight digits>\.json.*remove it"):
        witness.newest(1)


def test_whether_an_object_is_there_is_known_by_its_whole_name(witness: Witness) -> None:
    Bucket.epochs["followed/b.json.old"] = b"{}"
    assert witness.has("followed/b.json") is False
    Bucket.epochs["followed/b.json"] = b"{}"
    assert witness.has("followed/b.json") is True
    Bucket.broken = True
    with pytest.raises(Silent, match="503"):
        witness.has("followed/b.json")


def test_an_error_and_an_odd_object_are_silence_not_an_answer(witness: Witness) -> None:
    Bucket.epochs["epochs/00000001.json"] = b"[]"
    with pytest.raises(Silent, match="no epoch in it"):
        witness.newest(1)
    Bucket.broken = True
    with pytest.raises(Silent, match="503"):
        witness.newest(1)


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_a_host_whose_clock_is_far_off_is_answered_all_the_same(witness: Witness, ahead_s: float) -> None:
    Bucket.epochs, Bucket.ahead_s = {"epochs/00000001.json": b'{"epoch": 1, "active": "a"}'}, ahead_s
    assert witness.newest(1) == Active(1, "a")


def test_a_refusal_for_another_reason_is_not_asked_for_twice(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def refuse(date: str, _: float) -> bool:
        asked.append(date)
        return True

    monkeypatch.setattr("tests.host.test_guard.refuses", refuse)
    with pytest.raises(Silent, match="403"):
        witness.newest(1)
    assert len(asked) == 1


def test_the_signature_is_the_one_that_others_make(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = list[tuple[str, str, dict[str, str], bytes | None]]()

    def request(
        _: Channel, method: str, path: str, headers: dict[str, str], body: bytes | None, *more: object
    ) -> Answer:
        sent.append((method, path, headers, body))
        return Answer(200, {}, b"{}")

    monkeypatch.setattr(Channel, "request", request)
    witness = Witness("https://s3.de.io.cloud.ovh.net", "de", "my-witness", "AKID", "s/ecr+et")
    for method, key, query, body in (
        ("GET", "epochs/00000001.json", {}, b""),
        ("GET", "", {"list-type": "2", "prefix": "epochs/", "start-after": "epochs/00000000.json"}, b""),
        ("PUT", "heartbeats/a/db-1.json", {}, b'{"epoch": 1}'),
    ):
        Talk(witness, 1.0).ask(method, key, query, body)
        kind, target, headers, content = sent.pop()
        assert (kind, headers["host"], content or b"") == (method, "s3.de.io.cloud.ovh.net", body)
        signed = dict(headers)
        authorization = signed.pop("authorization")
        theirs = AWSRequest(method, witness.endpoint + target, headers=signed, data=body)
        auth = S3SigV4Auth(Credentials("AKID", "s/ecr+et"), "s3", "de")
        theirs.context.update(timestamp=headers["x-amz-date"], payload_signing_enabled=True)
        signature = auth.signature(auth.string_to_sign(theirs, auth.canonical_request(theirs)), theirs)
        assert authorization.endswith(f"Signature={signature}")
        assert signed["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
        # A bucket that locks what it gets asks for it.
        assert signed.get("content-md5") == (base64.b64encode(hashlib.md5(body).digest()).decode() if body else None)


def guard(root: Path, service: str = "postgres") -> tuple[int, str]:
    log = io.StringIO()
    return main(
        ["guard", service], stdin=io.StringIO(), stdout=io.StringIO(), stderr=log, layout=Layout(root)
    ), log.getvalue()


def test_a_primary_starts_when_the_witness_agrees_and_an_override_counts_once(tmp_path: Path, witness: Witness) -> None:
    layout = Layout(tmp_path)
    PRIMARY.write(layout)
    layout.etc.mkdir(parents=True)
    (layout.etc / "witness.json").write_text(json.dumps(witness.__dict__))
    add((1, "a"), (2, "b"), (3, "a"))
    assert guard(tmp_path)[0] == 0
    Bucket.broken = True
    (layout.var / "override-start").write_text("3\n")
    first, second = guard(tmp_path), guard(tmp_path)
    assert (first[0], second[0]) == (0, 3)
    assert (layout.run / "lease-override").read_text() == "3", "the lease agent is told"
    assert "override for epoch 3 used up" in first[1] and "override-start" in second[1]
    Bucket.broken = False
    add((4, "b"))
    (layout.var / "override-start").write_text("3\n")
    assert guard(tmp_path)[0] == 3, "no override against the witness's word"


def test_where_there_is_a_lease_a_primary_starts_only_while_it_is_held(tmp_path: Path, witness: Witness) -> None:
    layout = Layout(tmp_path)
    PRIMARY.write(layout)
    layout.etc.mkdir(parents=True)
    layout.run.mkdir(parents=True, exist_ok=True)
    (layout.etc / "witness.json").write_text(json.dumps(witness.__dict__))
    own, other = Address("db-1.a.dr.internal", "127.0.0.1"), Address("db-1.b.dr.internal", "127.0.0.1")
    (layout.etc / "agent.json").write_text(Config("a", "b", "db-1", "postgres", own, other, Lease()).text())
    add((3, "a"))
    code, text = guard(tmp_path)
    assert code == 3 and "by nobody since the boot" in text and "dr-agent" in text
    now = boottime()
    for memory, may in ((Memory(witness_at=now - 31), False), (Memory(witness_at=now), True)):
        Note(memory, started=now, beat=now, fingerprint="x").write(layout)
        assert (guard(tmp_path)[0] == 0) is may
    Bucket.broken = True
    for memory, may in (
        (Memory(witness_at=now), False),
        (Memory(granted_at=now, granted_epoch=3), True),
        (Memory(granted_at=now, granted_epoch=2), False),
    ):
        Note(memory, started=now, beat=now, fingerprint="x").write(layout)
        assert (guard(tmp_path)[0] == 0) is may


def test_who_starts_again_what_it_has_stopped_is_given_the_time_to_be_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it was fenced its agent asked nobody for it: the lease comes back a beat after the role does."""
    layout = Layout(tmp_path)
    PRIMARY.write(layout)
    heard: list[str | None] = ["nobody has heard this host"] * 3 + [None] * 9
    monkeypatch.setattr(agent_memory, "lapsed", lambda *_: heard.pop(0))
    with vouched(layout, 3):
        code, text = guard(tmp_path)
    assert code == 0 and "nobody else can have taken over" in text
    heard[:] = ["nobody has heard this host", None]
    assert guard(tmp_path)[0] == 3, "without that word it is not waited for"
    assert heard == [None]


def test_a_standby_needs_no_witness_but_its_signal(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    STANDBY.write(layout)
    assert guard(tmp_path)[0] == 3
    (layout.var / "postgres.json").write_text(json.dumps({"version": 17, "port": 5432, "site": "a", "peer": "b"}))
    data = layout.at("/var/lib/postgresql/17/main")
    data.mkdir(parents=True)
    assert guard(tmp_path)[0] == 3
    (data / "standby.signal").touch()
    assert guard(tmp_path)[0] == 0


@pytest.mark.parametrize("path", ["etc/redis/dr.conf", "etc/valkey/dr.conf"])
def test_a_standby_cache_starts_only_with_somebody_to_follow(tmp_path: Path, path: str) -> None:
    assert unarmed_redis(Layout(tmp_path)) is not None
    (tmp_path / path).parent.mkdir(parents=True)
    binary = tmp_path / f"usr/bin/{path.split('/')[1]}-server"
    binary.parent.mkdir(parents=True)
    binary.touch()
    for line, armed in (
        ("port 6379\n", False),
        ("# replicaof x 1\n", False),
        ("replicaof no one\n", False),
        ("replicaof 10.0.0.1 6379\n", True),
    ):
        (tmp_path / path).write_text(line)
        assert (unarmed_redis(Layout(tmp_path)) is None) is armed


def test_sentinel_works_for_the_active_site_alone_and_a_silent_witness_does_not_stop_it(
    tmp_path: Path, witness: Witness
) -> None:
    layout = Layout(tmp_path)
    layout.etc.mkdir(parents=True)
    (layout.etc / "witness.json").write_text(json.dumps(witness.__dict__))
    assert guard(tmp_path, "sentinel")[0] == 3
    STANDBY.write(layout)
    assert guard(tmp_path, "sentinel")[0] == 3
    PRIMARY.write(layout)
    add((3, "a"))
    assert guard(tmp_path, "sentinel")[0] == 0
    Bucket.broken = True
    assert guard(tmp_path, "sentinel")[0] == 0, "each cache has its own guard"
    Bucket.broken = False
    add((4, "b"))
    code, text = guard(tmp_path, "sentinel")
    assert code == 3 and "a newer epoch at the witness" in text
