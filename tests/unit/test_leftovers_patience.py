"""Looks are in no hurry: they ask again where an answer may only be late, and with longer and longer rests."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from contract.access import OpenStack, Ovh
from contract.errors import Failed
from scripts.clients.openstack import ApiDown, Cloud
from scripts.leftovers import found, patience
from scripts.leftovers.boots import Boots
from scripts.leftovers.clear import Leftovers
from scripts.leftovers.patience import patiently

PROJECT = OpenStack(auth_url="http://127.0.0.1:9/v3", user="u", password="p", project_id="p", domain="Default")


@pytest.fixture(autouse=True)
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every rest that is taken, none of which lasts."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


class Late:
    """Refuses `refusals` in their order, then answers."""

    def __init__(self, *refusals: int | None) -> None:
        self.refusals, self.asked = list(refusals), 0

    def __call__(self) -> str:
        self.asked += 1
        if self.refusals:
            raise ApiDown("not now", self.refusals.pop(0))
        return "seen"


@pytest.mark.parametrize("status", [None, 429, 500, 503])
def test_what_may_pass_is_asked_again(status: int | None, rests: list[float]) -> None:
    late = Late(status, status)
    assert patiently(late) == "seen"
    assert late.asked == 3
    assert all(rests), "it rests in between"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_taken_at_its_word(status: int) -> None:
    late = Late(status)
    with pytest.raises(ApiDown):
        patiently(late)
    assert late.asked == 1


def test_it_does_not_go_on_for_ever() -> None:
    late = Late(*[None] * 100)
    with pytest.raises(ApiDown):
        patiently(late)
    assert late.asked == patience.TRIES


def test_a_wait_survives_an_answer_that_does_not_come(rests: list[float]) -> None:
    answers: Iterator[bool | ApiDown] = iter([True, ApiDown("slow"), ApiDown("busy", 503), False])

    def lasts() -> bool:
        answer = next(answers)
        if isinstance(answer, ApiDown):
            raise answer
        return answer

    found.await_end("server x", lasts, "still there", "its removal")
    assert rests == sorted(set(rests)) and len(rests) == 3


def test_a_wait_ends_with_a_refusal() -> None:
    def forbidden() -> bool:
        raise ApiDown("forbidden", 403)

    with pytest.raises(ApiDown, match="forbidden"):
        found.await_end("server x", forbidden, "still there", "its removal")


def test_two_minutes_of_looking_are_a_few_dozen_questions() -> None:
    rests, asked = found.pauses(), 0
    seconds = 0.0
    while seconds < found.GONE_S:
        seconds += next(rests)
        asked += 1
    assert asked < 40
    assert next(found.pauses()) < 1, "most ends come soon"


def test_a_platform_that_cannot_be_reached_is_tried_for_one_resource_and_not_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def connect(self: Cloud) -> None:
        tried.append(self.region)
        raise ApiDown("OpenStack API: no answer")

    monkeypatch.setattr(Cloud, "connect", connect)
    account = Ovh(endpoint="http://127.0.0.1:9/1.0", application_key="k", application_secret="s", consumer_key="c")
    looks = Leftovers(PROJECT, "GRA11", account, lambda: None, Boots(site="a", image_id="i", flavors={}))
    for _ in range(5):
        (told,) = looks.clear("openstack:networking/network:Network", {"name": "front"})
        assert "no answer" in told
    assert len(tried) == patience.TRIES


def test_a_look_has_the_time_that_a_loaded_platform_takes() -> None:
    assert 30 <= patience.ANSWER_S <= 60


def test_a_failed_look_before_a_change_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(_: Cloud) -> None:
        raise Failed("unreadable")

    monkeypatch.setattr(Cloud, "connect", connect)
    account = Ovh(endpoint="http://127.0.0.1:9/1.0", application_key="k", application_secret="s", consumer_key="c")
    looks = Leftovers(PROJECT, "GRA11", account, lambda: None, Boots(site="a", image_id="i", flavors={}))
    inputs = {"name": "shop-a-shop", "description": "shop, site a, generation 2"}
    assert looks.check("dr:index:Balancer", "", {}, inputs) == [
        "could not look at a Balancer before it is changed: unreadable"
    ]
