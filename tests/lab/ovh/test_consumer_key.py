"""The access rules of the consumer key: whatever was recorded to be asked is among them, and what would end a shop is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contract.consumer_key import Account, rules
from contract.names import BUCKETS, bucket_name
from lab import assembly
from lab.cloud.ovh import service
from tests.components import stack
from tests.lab.ovh.fakes import CONFIG, Api, FakeDns, FakeStorage
from tests.lab.ovh.test_recordings import FLOWS, lines

RECORDED = Account(
    service_name="project0123",
    zone="shop.example",
    buckets={"GRA": ("assets-a",), "SBG": ("assets-b",)},
    protect=True,
)


def allowed(method: str, path: str, account: Account = RECORDED) -> bool:
    return any(rule.fits(method, path) for rule in rules(account))


@pytest.mark.parametrize("flow", FLOWS)
def test_what_the_published_plugin_was_recorded_to_ask_is_allowed(flow: str) -> None:
    asked = {(line["method"], line["path"].removeprefix("/1.0").partition("?")[0]) for line in lines(flow)}
    assert asked
    signed = {row for row in asked if row[1] != "/auth/time"}  # which needs no key
    assert [row for row in sorted(signed) if not allowed(*row)] == []


PROJECT = "/cloud/project/project0123"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{PROJECT}/terminate"),
        ("POST", f"{PROJECT}/confirmTermination"),
        ("DELETE", f"{PROJECT}/instance/1"),
        ("POST", f"{PROJECT}/instance"),
        ("GET", f"{PROJECT}/sshkey"),
        ("POST", f"{PROJECT}/user/1001/regeneratePassword"),
        ("PUT", f"{PROJECT}/user/1001/role"),
        ("POST", f"{PROJECT}/user/1001/token"),
        ("DELETE", f"{PROJECT}/region/GRA/storage/shop-witness"),
        ("PUT", f"{PROJECT}/region/DE/storage/pulumi-state"),
        ("POST", f"{PROJECT}/region/DE/storage"),
        ("POST", f"{PROJECT}/region/GRA/storage/assets-a/bulkDeleteObjects"),
        ("DELETE", f"{PROJECT}/region/GRA/storage/assets-a/object/x"),
        ("GET", "/cloud/project/another0123/user"),
        ("POST", "/cloud/project/another0123/user"),
        ("POST", "/domain/zone/shop.example/terminate"),
        ("POST", "/domain/zone/shop.example/reset"),
        ("POST", "/domain/zone/shop.example/import"),
        ("DELETE", "/domain/zone/shop.example/dnssec"),
        ("POST", "/domain/zone/another.example/record"),
        ("PUT", "/domain/zone/shopXexample/record/1"),
        ("POST", "/auth/credential"),
        ("GET", "/me"),
        ("POST", "/me/accessRestriction/ip"),
    ],
)
def test_what_the_program_never_asks_is_not_allowed(method: str, path: str) -> None:
    assert not allowed(method, path)


def test_what_empties_a_bucket_is_allowed_where_buckets_may_go_alone() -> None:
    unprotected = Account(
        service_name="project0123", zone="shop.example", buckets={"GRA": ("assets-a",)}, protect=False
    )
    call = ("POST", f"{PROJECT}/region/GRA/storage/assets-a/bulkDeleteObjects")
    assert allowed(*call, unprotected) and not allowed(*call)


def test_no_rule_is_a_whole_project_or_a_whole_zone() -> None:
    for rule in rules(RECORDED):
        assert rule.path not in ("*", "/*") and not rule.path.startswith("/*")
        before = rule.path.partition("*")[0]
        assert before.endswith(("/record/", "/user/")) or "*" not in rule.path, rule


@pytest.fixture
def granted() -> Api:
    """The API with a consumer key of these rules."""
    return Api(service(replace(CONFIG, granted=tuple(rules(RECORDED))), FakeStorage(), FakeDns()))


def test_the_labs_api_refuses_a_call_that_the_key_was_not_granted(granted: Api) -> None:
    """In the API's own words, and before it looks whether there is such a user or zone."""
    ends = (f"{PROJECT}/terminate", "/domain/zone/shop.example/terminate")
    for path in (f"{PROJECT}/user/1001/regeneratePassword", "/domain/zone/another.example/record", *ends):
        status, answer = granted("POST", path, {})
        assert (status, answer["errorCode"], answer["message"]) == (
            403,
            "NOT_GRANTED_CALL",
            "This call has not been granted",
        )
    assert granted.service.all()["users"] == []


def test_the_labs_api_does_what_the_key_was_granted(granted: Api) -> None:
    status, _ = granted("GET", "/domain/zone/shop.example/record?fieldType=A&subDomain=www")
    assert status == 200
    status, made = granted("POST", f"{PROJECT}/user", {"description": "x", "roles": ["objectstore_operator"]})
    assert status == 200
    assert granted("POST", f"{PROJECT}/user/{made['id']}/s3Credentials")[0] == 200
    routes = granted("GET", "/auth/details")[1]["allowedRoutes"]
    assert {"method": "POST", "path": "/domain/zone/shop.example/refresh"} in routes
    assert len(routes) == len(rules(RECORDED))


def test_every_rehearsal_runs_with_a_key_of_these_rules() -> None:
    """So that a call which is not among them fails a rehearsal, and not the first run on an account."""
    found = assembly.ovh_config(assembly.Credentials()).granted
    buckets = {
        plan.storage.upper(): tuple(
            bucket_name(stack.configuration()["project"], assembly.PROJECT_ID, plan.site, kind) for kind in BUCKETS
        )
        for plan in assembly.REGIONS
    }
    account = Account(service_name=assembly.PROJECT_ID, zone="shop.example", buckets=buckets, protect=False)
    assert found == tuple(rules(account))
