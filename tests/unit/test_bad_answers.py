"""Whatever OpenStack, OVHcloud or something in between answers: one sentence for the operator, in time, and without a key in it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from contract.access import OpenStack, Ovh
from contract.errors import DrError, Failed
from scripts.clients import http, ovh
from scripts.clients.compute import Compute
from scripts.clients.openstack import ApiDown, Cloud
from scripts.clients.ovh import Answered, OvhApi
from scripts.clients.ovh_zone import OvhZone
from scripts.leftovers.boots import Boots
from scripts.leftovers.clear import Leftovers
from tests.unit.bad_answers import QUICK, RECORD, SECRET, SERVER, SLOW, Played, good, reply, say

FOUND = {"id": 7, "kind": "A", "target": "203.0.113.5", "ttl": 60}
LONG_S, SHORT_S, WATCH_S = 60.0, 0.2, 60.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    monkeypatch.setattr(http, "MOST_BYTES", 8192)
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Played()
    yield made
    made.close()


def openstack(server: Played) -> OpenStack:
    return OpenStack(auth_url=f"{server.url}/v3", user="dr", password=SECRET, project_id="p", domain="Default")


def api(server: Played, limit_s: float, attempts: int = 1) -> OvhApi:
    keys = dict.fromkeys(("application_key", "application_secret", "consumer_key"), SECRET)
    return OvhApi(Ovh(endpoint=server.url, **keys), attempts, answer_s=limit_s, pause_s=0.0)


def zone(server: Played, limit_s: float) -> OvhZone:
    return OvhZone(api(server, limit_s), "shop.example", "www")


def servers(server: Played, limit_s: float) -> None:
    compute = Compute(openstack(server), "GRA11", limit_s)
    compute.connect()
    compute.look(["shop-a-db-1"], {})


# Who asks, and which of its questions is answered badly.
ASKERS: dict[str, tuple[str, Callable[[Played, float], Any]]] = {
    "log-in": ("/auth/tokens", lambda server, limit_s: Cloud(openstack(server), "GRA11", limit_s).connect()),
    "servers": ("/servers/detail", servers),
    "signing": ("/auth/time", lambda server, limit_s: api(server, limit_s).ask("GET", "/me")),
    "records": ("/record", lambda server, limit_s: zone(server, limit_s).records()),
    "record": ("/record/7", lambda server, limit_s: zone(server, limit_s).records()),
}


def ended(attempt: Callable[[], Any]) -> DrError:
    """How it ends. It must: a thread, so that what goes on for ever is a failure of this test and not its hanging."""
    found: list[BaseException | None] = []

    def run() -> None:
        try:
            attempt()
            found.append(None)
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WATCH_S)
    assert found, "it goes on"
    (error,) = found
    assert isinstance(error, DrError), f"wanted a sentence, found {error!r}"
    return error


def test_what_is_played_is_fine_until_it_is_played_badly(server: Played) -> None:
    servers(server, LONG_S)
    assert zone(server, LONG_S).records() == [FOUND]


@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize("case", [*QUICK, *SLOW])
def test_a_bad_answer_is_one_sentence(server: Played, case: str, asker: str) -> None:
    play, words = (QUICK | SLOW)[case]
    path, attempt = ASKERS[asker]
    server.bad = (path, play)
    error = ended(lambda: attempt(server, SHORT_S if case in SLOW else LONG_S))
    with pytest.raises(DrError, match=words):
        raise error
    text = str(error)
    assert isinstance(error, ApiDown if asker in ("log-in", "servers") else Failed)
    assert text.startswith(("OpenStack API 127.0.0.1:", "OVHcloud API"))
    assert SECRET not in text and text.isprintable()


@pytest.mark.parametrize("asker", ASKERS)
def test_a_port_that_nobody_listens_on_is_one_sentence(server: Played, asker: str) -> None:
    server.close()
    assert "no connection (Connection refused)" in str(ended(lambda: ASKERS[asker][1](server, LONG_S)))


@pytest.mark.parametrize(
    "address", ["ftp://x", "x", "", "http://", "http://[::1", "http://x:port", "http://x:99999", "http://" + "x" * 70]
)
def test_an_address_that_is_none_is_one_sentence(server: Played, address: str) -> None:
    error = ended(Cloud(replace(openstack(server), auth_url=address), "GRA11", LONG_S).connect)
    assert isinstance(error, ApiDown) and "cannot be asked" in str(error)


@pytest.mark.parametrize("key", [f"{SECRET}\n", f"{SECRET}\r\nX: y", f"{SECRET}\u2028"])
def test_a_key_that_cannot_be_sent_is_not_told(server: Played, key: str) -> None:
    keys = {"application_key": "a", "application_secret": "s", "consumer_key": key}
    error = ended(lambda: OvhApi(Ovh(endpoint=server.url, **keys), 1, answer_s=LONG_S).ask("GET", "/me"))
    assert "cannot be asked" in str(error) and SECRET not in str(error)


TOKEN = f"X-Subject-Token: {SECRET}"
POINT = {"interface": "public", "region_id": "GRA11", "url": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (good({"token": {}}, TOKEN), "without a token or a catalog"),
        (good({"token": {"catalog": {}}}, TOKEN), "without a token or a catalog"),
        (good({"token": {"catalog": []}}), "without a token or a catalog"),
        (good({"token": {"catalog": []}}, TOKEN), "has no compute endpoint for region GRA11"),
        (good({"token": {"catalog": [5, None, {"type": "compute"}]}}, TOKEN), "has no compute endpoint"),
        (good({"token": {"catalog": [{"type": "compute", "endpoints": 5}]}}, TOKEN), "has no compute endpoint"),
        (good({"token": {"catalog": [{"endpoints": [POINT]}]}}, TOKEN), "has no compute endpoint"),
        (good({"token": {"catalog": [{"type": "compute", "endpoints": [7, {}]}]}}, TOKEN), "has no compute endpoint"),
        (
            good({"token": {"catalog": [{"type": "compute", "endpoints": [POINT | {"url": None}]}]}}, TOKEN),
            "has no compute",
        ),
    ],
)
def test_a_catalog_is_read_as_far_as_it_is_one(server: Played, answer: bytes, words: str) -> None:
    server.bad = ("/auth/tokens", say(answer))
    with pytest.raises(ApiDown, match=words):
        servers(server, LONG_S)


@pytest.mark.parametrize(
    "listed", [None, {}, [7], [{}], [SERVER, {"name": "shop-a-app-1"}], [SERVER | {"status": None}]]
)
def test_a_list_with_an_unreadable_server_is_no_list_for_it_would_count_as_stopped(server: Played, listed: Any) -> None:
    server.bad = ("/servers/detail", say(good({"servers": listed})))
    compute = Compute(openstack(server), "GRA11", LONG_S)
    compute.connect()
    with pytest.raises(ApiDown, match="no list of servers"):
        compute.look(["shop-a-app-1"], {})


@pytest.mark.parametrize("answer", [{}, {"servers": None}, {"servers": [7]}, {"servers": [{"status": "ACTIVE"}]}])
def test_a_listing_of_another_shape_removes_nothing_and_ends_in_a_sentence(server: Played, answer: Any) -> None:
    server.bad = ("/servers/detail", say(good(answer)))
    keys = dict.fromkeys(("application_key", "application_secret", "consumer_key"), SECRET)
    seen = Leftovers(
        openstack(server),
        "GRA11",
        Ovh(endpoint=server.url, **keys),
        lambda: None,
        Boots(site="a", image_id="i", flavors={}),
    )
    (told,) = seen.clear("openstack:compute/instance:Instance", {"name": SERVER["name"]})
    assert "could not see whether an interrupted run left a Instance" in told and "nothing was removed" in told
    assert not any(head.startswith(b"DELETE") for head in server.asked)


@pytest.mark.parametrize(
    "record", [[], {"id": 7}, RECORD | {"ttl": "60"}, RECORD | {"target": None}, RECORD | {"fieldType": 1}]
)
def test_a_record_that_cannot_be_read_is_named(server: Played, record: Any) -> None:
    server.bad = ("/record/7", say(good(record)))
    with pytest.raises(Failed, match=r"name 'www': record 7 cannot be read.*no record was changed"):
        zone(server, LONG_S).records()


def test_what_a_server_sends_elsewhere_stays_here(server: Played) -> None:
    other = Played()
    server.bad = ("/servers/detail", say(reply("302 Found", b"", f"Location: {other.url}/servers/detail")))
    with pytest.raises(ApiDown, match="nothing was sent there"):
        servers(server, LONG_S)
    other.close()
    assert any(SECRET.encode() in head for head in server.asked) and other.asked == []


@pytest.mark.parametrize(
    ("told", "waits"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("86400", 10.0),
        ("9" * 400, 10.0),
        ("-5", 0.5),
        ("soon", 0.5),
        ("", 0.5),
        ("nan", 0.5),
        ("\u00b2", 0.5),
        ("1e3", 0.5),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 10.0),
        ("Fri, 99 Jan 2100 99:00:00 GMT", 0.5),
        ("Fri, 31 Dec 9999 23:59:59 -9999", 0.5),
    ],
)
def test_what_the_api_asks_to_wait_is_kept_within_reason(
    server: Played, monkeypatch: pytest.MonkeyPatch, told: str, waits: float
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(ovh, "time", type("Clock", (), {"sleep": waited.append, "monotonic": time.monotonic}))
    server.bad = ("/me", say(reply("503 Busy", b'{"message": "later"}', f"Retry-After: {told}")))
    keys = dict.fromkeys(("application_key", "application_secret", "consumer_key"), SECRET)
    with pytest.raises(Answered, match=r"GET /me: answered 503 Busy: later$"):
        OvhApi(Ovh(endpoint=server.url, **keys), 2, answer_s=LONG_S).ask("GET", "/me")
    assert waited == [waits]


def test_what_fails_once_is_asked_again_and_a_refusal_is_not(server: Played) -> None:
    server.bad = ("/record", say(b""))
    with pytest.raises(Failed, match="closed before"):
        api(server, LONG_S, 3).ask("GET", "/record")
    server.bad = ("/record", say(reply("403 Forbidden")))
    with pytest.raises(Answered, match="403"):
        api(server, LONG_S, 3).ask("GET", "/record")
    assert len([head for head in server.asked if b"/record" in head]) == 3 + 1


def test_the_time_is_asked_for_once(server: Played) -> None:
    assert zone(server, LONG_S).records() == [FOUND]
    assert len([head for head in server.asked if b"/auth/time" in head]) == 1


@pytest.mark.parametrize("play", ["silence", "too many requests", "a body that drips"])
def test_all_calls_of_a_run_end_together(server: Played, play: str) -> None:
    keys = dict.fromkeys(("application_key", "application_secret", "consumer_key"), SECRET)
    made = OvhApi(Ovh(endpoint=server.url, **keys), 1000, answer_s=LONG_S, pause_s=0.1, all_s=0.5)
    server.bad = ("/record", (QUICK | SLOW)[play][0])
    assert "GET /record" in str(ended(lambda: made.ask("GET", "/record")))
    text = str(ended(lambda: made.ask("GET", "/record/7")))
    assert "was not asked any more, because all calls together took 0.5 s" in text
    assert not any(b"/record/7" in head for head in server.asked)


def test_names_that_nobody_looks_up_end_on_time(server: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any, flags: int = 0, **__: Any) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        return [server.over.wait()]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    assert "no answer within 0.2 s" in str(ended(Cloud(openstack(server), "GRA11", SHORT_S).connect))


def test_the_time_of_the_last_look_is_not_what_counts(server: Played) -> None:
    """A date in the answer is compared with this machine's clock, which may be behind: never a negative wait."""
    server.bad = (
        "/me",
        say(reply("503 Busy", b"", "Retry-After: " + time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(0)))),
    )
    found = http.ask("GET", f"{server.url}/me", headers={}, limit_s=LONG_S)
    assert found.retry_after_s() == 0.0
