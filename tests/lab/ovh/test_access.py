"""Who gets in: keys, signatures, clocks; what a refusal looks like; faults on demand."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from contract.consumer_key import Rule
from lab.cloud.ovh.answers import signature
from lab.cloud.web import Server
from tests.lab.ovh.fakes import CONFIG, Api


def test_the_signature_is_the_documented_one() -> None:
    wanted = "$1$" + hashlib.sha1(b"secret+consumer+GET+http://api/1.0/x?a=b++1700000000").hexdigest()
    assert (
        signature("secret", "consumer", method="GET", url="http://api/1.0/x?a=b", body="", timestamp="1700000000")
        == wanted
    )


def test_the_time_needs_no_signature(api: Api) -> None:
    status, answer = api(
        "GET", "/auth/time", headers={"x-ovh-signature": "", "x-ovh-consumer": "", "x-ovh-application": ""}
    )
    assert status == 200
    assert abs(answer - time.time()) < 60


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"x-ovh-application": "other"}, 403, "INVALID_KEY"),
        ({"x-ovh-consumer": ""}, 401, "NOT_CREDENTIAL"),
        ({"x-ovh-consumer": "other"}, 403, "NOT_CREDENTIAL"),
        ({"x-ovh-signature": "$1$" + "0" * 40}, 400, "INVALID_SIGNATURE"),
        ({"x-ovh-timestamp": "1000000000"}, 400, "QUERY_TIME_OUT"),
        ({"x-ovh-timestamp": "soon"}, 400, "QUERY_TIME_OUT"),
    ],
)
def test_a_wrong_credential_is_refused_by_name(api: Api, changed: dict[str, str], status: int, code: str) -> None:
    found, answer = api("GET", "/auth/details", headers=changed)
    assert (found, answer["errorCode"]) == (status, code)
    assert set(answer) >= {"class", "message"}
    assert CONFIG.application_secret not in str(answer)


def test_a_body_that_was_changed_on_the_way_is_refused(api: Api) -> None:
    record = {"fieldType": "A", "target": "203.0.113.5"}
    genuine = signature(
        "lab-secret",
        "lab-consumer",
        method="POST",
        url="http://127.0.0.1:8080/1.0/domain/zone/shop.example/record",
        body="{}",
        timestamp="1",
    )
    assert api("POST", "/domain/zone/shop.example/record", record, {"x-ovh-signature": genuine})[0] == 400


def test_a_target_with_a_bare_question_mark_and_escapes_verifies_over_a_socket(api: Api) -> None:
    server = Server(api.service, "127.0.0.1").start()
    try:
        base = f"http://127.0.0.1:{server.port}"
        for target, wanted in (
            ("/1.0/domain/zone?", 200),
            ("/1.0/domain/zone/sh%6Fp.example", 200),
            ("/1.0/domain/zone/no%2Fzone", 501),
        ):
            stamp = str(int(time.time()))
            sign = signature("lab-secret", "lab-consumer", method="GET", url=base + target, body="", timestamp=stamp)
            headers = {
                "X-Ovh-Application": "lab-key",
                "X-Ovh-Consumer": "lab-consumer",
                "X-Ovh-Timestamp": stamp,
                "X-Ovh-Signature": sign,
            }
            request = urllib.request.Request(base + target, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    assert answer.status == wanted
            except urllib.error.HTTPError as error:
                assert error.code == wanted, error.read()
    finally:
        server.stop()


def test_what_nobody_wrote_is_a_501_with_the_path(api: Api) -> None:
    status, answer = api("GET", "/vrack")
    assert (status, answer["class"]) == (501, "Server::NotImplemented")
    assert "/1.0/vrack" in answer["message"]


def test_another_project_does_not_exist(api: Api) -> None:
    assert api("GET", "/cloud/project/other/role")[0] == 404


@pytest.mark.parametrize(("knob", "status"), [("too_many", 429), ("failing", 500)])
def test_a_fault_spoils_as_many_requests_as_asked_for(api: Api, knob: str, status: int) -> None:
    setattr(api.service.knobs, knob, 2)
    assert [api("GET", "/auth/details")[0] for _ in range(3)] == [status, status, 200]


def test_a_429_carries_no_retry_after(api: Api) -> None:
    from lab.cloud.web import Call

    api.service.knobs.too_many = 1
    reply = api.service.handle(Call("GET", "/1.0/auth/time", {}, {}, None, b"", "/1.0/auth/time"))
    assert reply.status == 429
    assert reply.headers == {}


def test_a_further_key_may_ask_what_it_was_granted_and_no_more(api: Api) -> None:
    rules = (Rule("GET", "/auth/details", ""), Rule("GET", "/domain/zone/*", ""))
    ovh = api.service
    ovh.config = dataclasses.replace(ovh.config, further={"second-key": rules})
    signed_by_it = dataclasses.replace(ovh.config, consumer_key="second-key")
    second = Api(SimpleNamespace(config=signed_by_it, handle=ovh.handle))  # type: ignore[arg-type]
    status, told = second("GET", "/auth/details")
    assert status == 200 and told["allowedRoutes"] == [{"method": it.method, "path": it.path} for it in rules]
    assert second("GET", "/domain/zone/shop.example")[0] == 200
    assert second("POST", "/domain/zone/shop.example/refresh")[0] == 403
    assert api("POST", "/domain/zone/shop.example/refresh")[0] == 200, "the first key is as it was"
