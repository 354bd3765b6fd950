"""The table of requests and facts: what each stack does, and with which words it refuses."""

from typing import cast

import pytest

from contract import fields
from contract.buckets import Bucket
from contract.epoch import Epoch
from contract.errors import DrError, ExitCode, Refused
from contract.heartbeat import Heartbeat
from scripts.clients.witness import Witness
from scripts.links import preflight
from scripts.links.agreement import Side
from scripts.links.epochs import Action, decide, followed


def epoch(number: int, active: str) -> Epoch:
    return Epoch(epoch=number, active=active, previous=None, planned=True)


@pytest.mark.parametrize(
    ("newest", "site", "request_", "followed", "wanted"),
    [
        (None, "a", "a", None, Action.CLAIM_FIRST),
        (epoch(1, "a"), "a", "a", None, Action.STAY),
        (epoch(1, "a"), "b", "a", None, Action.FOLLOW),
        (epoch(1, "a"), "b", "a", 1, Action.FOLLOW),
        (epoch(1, "a"), "b", "b", 1, Action.TAKE_OVER),
        (epoch(2, "b"), "b", "b", 1, Action.STAY),
        (epoch(2, "b"), "a", "b", None, Action.FOLLOW),
        (epoch(2, "b"), "a", "a", 2, Action.TAKE_OVER),
        (epoch(3, "a"), "b", "b", 3, Action.TAKE_OVER),
    ],
)
def test_each_row_of_the_table(newest, site, request_, followed, wanted):
    assert decide(site, request_, newest, followed) is wanted


def test_the_program_refuses_it_before_it_declares_anything(monkeypatch):
    class Played:
        def __init__(self, _):
            pass

        def newest(self):
            return epoch(2, "b")

        def followed(self, _):
            return 2

        def __getattr__(self, _):
            return lambda *_: None

    monkeypatch.setattr(preflight, "Witness", Played)
    side = Side(site="a", digests={}, word=None)
    assert preflight.check(side, "a", cast("Bucket", None)).takes_over
    monkeypatch.setenv("DR_STAYS", "1")
    with pytest.raises(Refused, match="somebody has moved the shop since"):
        preflight.check(side, "a", cast("Bucket", None))


def test_a_run_that_moves_nothing_takes_over_from_nobody():
    """Its request was written while its own region was active; it may have been suspended since."""
    with pytest.raises(Refused, match=r"somebody has moved the shop since.*nothing was changed"):
        decide("a", "a", epoch(2, "b"), 2, {"DR_STAYS": "1"})
    assert decide("a", "a", epoch(3, "a"), 2, {"DR_STAYS": "1"}) is Action.STAY
    assert decide("b", "a", epoch(3, "a"), 2, {"DR_STAYS": "1"}) is Action.FOLLOW


@pytest.mark.parametrize(
    ("newest", "site", "request_", "followed", "sentence"),
    [
        (epoch(1, "a"), "a", "b", None, "region b has not taken over"),
        (epoch(1, "a"), "a", "b", None, "run `pulumi up -s region-b`"),
        (epoch(2, "b"), "a", "a", None, "config is stale, follow first"),
        (
            epoch(2, "b"),
            "a",
            "a",
            1,
            "when region b is lost and cannot be followed any more, see `Lost before it was followed`",
        ),
        (epoch(1, "a"), "b", "b", None, "follow first"),
        (None, "b", "a", None, "run `pulumi up -s region-a` first"),
        (None, "a", "b", None, "run `pulumi up -s region-b` first"),
        (epoch(1, "a"), "a", "c", None, "wanted a or b"),
    ],
)
def test_each_refusal_says_so_and_that_nothing_was_changed(newest, site, request_, followed, sentence):
    with pytest.raises(Refused) as caught:
        decide(site, request_, newest, followed)
    assert sentence in str(caught.value)
    assert "nothing was changed" in str(caught.value)
    assert caught.value.code == ExitCode.REFUSED


def test_a_failback_from_an_epoch_that_was_followed_long_ago_is_refused():
    with pytest.raises(Refused, match="has followed epoch 2"):
        decide("a", "a", epoch(4, "b"), 2)


def test_what_the_links_are_told_holds_no_time_and_no_evidence():
    first = Epoch(
        epoch=2,
        active="b",
        previous="a",
        planned=False,
        fence={"rung": 2, "evidence": {"x": "y"}},
        claimed_at="2026-01-01",
        claimed_by="me",
    )
    again = Epoch(
        epoch=2, active="b", previous="a", planned=False, fence={"rung": 2}, claimed_at="2026-02-02", claimed_by="you"
    )
    told = fields.write(first.told("203.0.113.7"))
    assert told == fields.write(again.told("203.0.113.7"))
    assert (told["fence"], told["entrance"]) == ({"rung": 2}, "203.0.113.7")


@pytest.mark.parametrize("document", [{"epoch": 1}, {"epoch": 1, "active": "c", "previous": None, "planned": True}])
def test_a_spoilt_epoch_is_an_error_with_a_remedy(document):
    with pytest.raises(DrError, match="restore"):
        Epoch.from_document(document, "epochs/00000001.json")


FOLLOWS = {"epoch": 3, "role": "standby", "postgres": {"in_recovery": True, "streaming": True}}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, 3),
        ({"epoch": 2}, 1),
        ({"role": "primary"}, 1),
        ({"postgres": {"in_recovery": True, "streaming": False}}, 1),
        ({"postgres": {"in_recovery": None, "streaming": True}}, 1),
        ({"postgres": "none"}, 1),
    ],
)
def test_a_database_that_follows_counts_also_where_the_run_did_not_get_to_its_proof(changes, wanted):
    class Played:
        def followed(self, site):
            return 1

        def heartbeat(self, site, host):
            assert (site, host) == ("a", "db-1")
            return Heartbeat(document=FOLLOWS | changes, age_s=3.0)

    assert followed(cast("Witness", Played()), "a", epoch(3, "b")) == wanted
