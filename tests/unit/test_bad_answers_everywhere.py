"""Every client of the product against every bad answer: its own error with a sentence in it, in time, and none of the keys. Never a traceback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contract.access import Ovh
from contract.buckets import Bucket
from contract.epoch import Epoch
from contract.errors import DrError
from scripts.assets import cold as assets_cold
from scripts.assets import wire as assets_wire
from scripts.assets.bucket import Setting, Settings
from scripts.assets.config import Endpoint, Options
from scripts.assets.store import Bucket as Store
from scripts.assets.wire import Limits
from scripts.clients import http
from scripts.clients import ovh as clients_ovh
from scripts.clients import witness_bucket as clients_witness
from scripts.clients.witness import Witness
from scripts.host.agent.witness import WitnessChannel
from scripts.host.frame import witness as frame_witness
from scripts.host.frame.witness import Witness as HostWitness
from scripts.leftovers import clear as leftovers_clear
from scripts.leftovers.boots import Boots
from scripts.leftovers.clear import Leftovers
from scripts.links import preflight
from scripts.links.agreement import Side
from tests.unit.bad_answers import PAGES, QUICK, SECRET, SLOW, Play, Played
from tests.unit.test_bad_answers import openstack

SHORT_S, LONG_S, WATCH_S = 0.1, 10.0, 60.0  # for what takes for ever, for all else, for what goes on
PLAYS: dict[str, Play] = {name: play for name, (play, _) in (QUICK | SLOW).items()} | PAGES
Ask = Callable[[], Any]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    monkeypatch.setattr(http, "MOST_BYTES", 8192)
    monkeypatch.setattr(clients_witness, "PAUSE_S", 0.0)
    monkeypatch.setattr(clients_ovh, "LONGEST_PAUSE_S", 0.0)
    monkeypatch.setattr(assets_wire, "SLOW_AFTER_S", SHORT_S)
    monkeypatch.setattr(assets_cold, "FINISH", Limits(8192, 1.0, trickles=True))
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Played()
    yield made
    made.close()


def operators(server: Played, limit_s: float) -> dict[str, tuple[str, Ask]]:
    """Questions of the operator's side, by name, and which path they lead to."""
    place = Bucket(endpoint=server.url, region="de", bucket="bucket", access_key="key", secret_key=SECRET)
    witness = Witness(place, answer_s=limit_s)
    keys = dict.fromkeys(("application_key", "application_secret", "consumer_key"), SECRET)
    wanted = Boots(site="a", image_id="image", flavors={})
    left = Leftovers(openstack(server), "GRA11", Ovh(endpoint=server.url, **keys), lambda: None, wanted)
    epoch = Epoch(epoch=1, active="b", previous=None, planned=True)
    first = "/epochs/00000001.json"
    return {
        "newest": ("/bucket", witness.newest),
        "epoch": (first, witness.newest),
        "claim": (first, lambda: witness.claim(epoch)),
        "versions": ("/bucket", lambda: witness.versions("epochs/")),
        "heartbeat": ("/heartbeats/a/db-1.json", lambda: witness.heartbeat("a", "db-1")),
        "followed": ("/followed/a.json", lambda: witness.followed("a")),
        "record": ("/followed/a.json", lambda: witness.record_followed("a", 1)),
        "addresses": ("/sites/a.json", lambda: witness.addresses("a")),
        "preflight": ("/bucket", lambda: preflight.check(Side(site="a", digests={}, word=None), "a", place)),
        "left records": ("/record", lambda: left.clear("ovh:Domain/zoneRecord:ZoneRecord", RECORD)),
        "left users": ("/user", lambda: left.clear("ovh:CloudProject/user:User", USER)),
    }


def hosts(server: Played, limit_s: float) -> dict[str, tuple[str, Ask]]:
    """Those of guard and agent."""
    place = HostWitness(server.url, "de", "bucket", "key", SECRET)
    first = "/epochs/00000001.json"
    return {
        "guard's newest": ("/bucket", lambda: place.newest(1)),
        "guard's epoch": (first, lambda: place.newest(1)),
        "guard's look": ("/bucket", lambda: place.has("followed/a.json")),
        "agent's newest": ("/bucket", lambda: WitnessChannel(place, limit_s).newest(sure=True)),
        "agent's epoch": (first, lambda: WitnessChannel(place, limit_s).newest(sure=True)),
        "agent's look": ("/followed/a.json", lambda: WitnessChannel(place, limit_s).get("followed/a.json")),
        "agent's heartbeat": ("/followed/a.json", lambda: WitnessChannel(place, limit_s).put("followed/a.json", {})),
    }


def copiers(server: Played, limit_s: float) -> dict[str, tuple[str, Ask]]:
    """Those of the copier, the hot ones and the rare ones."""
    end = Endpoint(
        name="source", endpoint=server.url, region="de", bucket="bucket", access_key="key", secret_key=SECRET
    )
    options = Options(attempts=1, backoff_s=0.0, timeout_s=limit_s)
    store = Store(end, options, threading.Event())
    key = b"an/object"
    return {
        "list": ("/bucket/", lambda: list(store.entries())),
        "head": ("/an/object", lambda: store.head(key)),
        "get": ("/an/object", lambda: store.get(key, "1")),
        "put": ("/an/object", lambda: store.put(key, b"x", {})),
        "delete": ("/an/object", lambda: store.delete(key)),
        "begin": ("/an/object", lambda: store.begin_upload(key, {})),
        "ownership": ("/bucket/", store.acls_in_use),
        "settings": ("/bucket/", lambda: Settings(store.endpoint, options).converge(Setting("cors", None))),
        "tags": ("/an/object", lambda: store.tags(key)),
        "acl": ("/an/object", lambda: store.canned_acl(key)),
        "versioned": ("/bucket/", store.versioned),
        "old versions": ("/bucket/", lambda: store.versions(key)),
        "parts": ("/an/object", lambda: store.parts(key, "id")),
        "finish": ("/an/object", lambda: store.finish_upload(key, "id", [], {})),
        "abort": ("/an/object", lambda: store.abort_upload(key, "id")),
        "unfinished": ("/bucket/", lambda: store.unfinished(key)),
    }


RECORD = {"zone": "shop.example", "fieldtype": "A", "subdomain": "www"}
USER = {"serviceName": "p", "description": "shop"}
# Where every bad answer must be an error, because any result of it would be acted upon.
ANSWERED = {"newest", "epoch", "versions", "heartbeat", "followed", "addresses", "list"}
ANSWERED |= {"guard's newest", "guard's epoch", "guard's look", "agent's newest", "agent's epoch"}
ANSWERED |= {"old versions", "unfinished", "parts", "tags", "versioned", "finish"}
SIDES = {"operator": operators, "host": hosts, "copier": copiers}
ASKERS = {
    "operator": "newest|epoch|claim|versions|heartbeat|followed|record|addresses|preflight|left records|left users",
    "host": "guard's newest|guard's epoch|guard's look|agent's newest|agent's epoch|agent's look|agent's heartbeat",
    "copier": "list|head|get|put|delete|begin|ownership|settings|tags|acl|versioned|old versions|parts|finish|abort|unfinished",
}


def outcome(attempt: Ask) -> object:
    """What it returns or raises. In a thread, so that what goes on for ever is a failure of this test and not its hanging."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(attempt())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WATCH_S)
    return found[0] if found else TimeoutError("it goes on")


def wrong(found: object, must: bool) -> str:
    """Why that is no way to end; empty where it is one."""
    if isinstance(found, BaseException) and not isinstance(found, DrError):
        return f"a traceback: {found!r}"
    text = str(found)
    if SECRET in text:
        return "tells a key"
    if isinstance(found, DrError) and not (text.isprintable() and text.strip()):
        return f"no sentence: {text!r}"
    if must and not isinstance(found, DrError):
        return f"believed: {found!r}"
    return ""


@pytest.mark.parametrize(
    ("side", "asker"), [(side, asker) for side, names in ASKERS.items() for asker in names.split("|")]
)
def test_no_bad_answer_ends_in_anything_but_a_sentence(
    server: Played, monkeypatch: pytest.MonkeyPatch, side: str, asker: str
) -> None:
    found = {}
    for names, limit_s in ((PLAYS.keys() - SLOW, LONG_S), (SLOW.keys(), SHORT_S)):
        monkeypatch.setattr(frame_witness, "WAIT_S", limit_s)
        monkeypatch.setattr(frame_witness, "QUESTION_S", limit_s)
        monkeypatch.setattr(clients_witness, "ANSWER_S", limit_s)
        monkeypatch.setattr(leftovers_clear, "LOOK_S", limit_s)
        path, attempt = SIDES[side](server, limit_s)[asker]
        for name in names:
            server.bad = (path, PLAYS[name])
            found[name] = wrong(outcome(attempt), asker in ANSWERED)
        removed = [head.partition(b"\r")[0] for head in server.asked if head.startswith(b"DELETE")]
        assert removed == [] or asker in ("delete", "abort", "settings")
    assert {name: why for name, why in found.items() if why} == {}
