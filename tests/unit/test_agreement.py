"""Both regions run with one configuration: what differs is told, and stops a move and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components import config
from contract.accept import Word, spelled
from contract.agreement import Record, differing, digests
from contract.epoch import Epoch
from contract.errors import DrError, Failed, Refused
from scripts.clients.witness_bucket import WitnessDown
from scripts.links.agreement import Side, agree
from scripts.links.epochs import Action
from tests.components import stack

NEWEST = Epoch(epoch=4, active="a", previous="b", planned=True)
REASON = "region a is lost, and the change was a comment"


class PlayedWitness:
    """Knows what the peer ran with."""

    def __init__(self, keys: dict[str, str] | None, own: Record | DrError | None = None) -> None:
        self.keys, self.own = keys, own

    def configuration(self, site: str) -> Record | None:
        if site == "b":
            if isinstance(self.own, DrError):
                raise self.own
            return self.own
        return None if self.keys is None else Record(version="0.2.0", keys=self.keys)


def told(theirs: dict[str, str] | None, action: Action, word: Word | None = None) -> str:
    side = Side(site="b", digests=digests(config.parse(stack.configuration("b"))), word=word)
    return agree(side, NEWEST, action, PlayedWitness(theirs))  # type: ignore[arg-type]


def test_the_two_sites_of_one_configuration_have_one_digest_for_each_key() -> None:
    a, b = (digests(config.parse(stack.configuration(site, failover_region="b"))) for site in "ab")
    assert a == b and {"postgres.mode", "regions.a.front_cidr", "lease.lease_s", "dns.ttl", "operator_cidrs"} <= set(a)
    secret = {"site", "failover_region", "repair", "accept", "secrets"}
    assert not any(name.split(".")[0] in secret for name in a), "what is a stack's own is compared with nobody's"


def test_each_region_may_sign_in_to_the_project_as_a_user_of_its_own() -> None:
    """The project is one: a fence stops the servers of the other region in it."""
    ours, theirs, elsewhere = (stack.configuration("b") for _ in range(3))
    theirs["openstack"]["user"] = "user-of-region-a"
    elsewhere["openstack"]["project_id"] = "f" * 32
    own = digests(config.parse(ours))
    assert differing(own, digests(config.parse(theirs))) == []
    assert differing(own, digests(config.parse(elsewhere))) == ["openstack.project_id"]


def test_a_key_that_differs_is_named_and_one_that_only_one_side_knows_is_not() -> None:
    values = stack.configuration("b")
    own = digests(config.parse(values))
    values["postgres"]["mode"] = "sync"
    other = digests(config.parse(values))
    del other["app.threads"]
    assert differing(own, other) == ["postgres.mode"] == differing(other, own)


@pytest.mark.parametrize(("section", "less"), [("lease", "off"), ("archive", None)])
def test_a_section_that_one_side_has_switched_off_differs_whichever_side_looks(section: str, less: Any) -> None:
    whole, without = (
        digests(config.parse(stack.configuration("b", **changes))) for changes in (dict[str, Any](), {section: less})
    )
    assert differing(whole, without) == [section] == differing(without, whole)


def test_the_generations_of_servers_and_the_loss_budget_may_differ() -> None:
    values = stack.configuration("b", loss_budget={"max_lag_s": 1})
    values["regions"]["a"]["host_generation"] = {"app-1": 2}
    assert digests(config.parse(values)) == digests(config.parse(stack.configuration("b")))


@pytest.mark.parametrize("action", list(Action))
def test_where_both_agree_or_nobody_knows_nothing_is_said(action: Action) -> None:
    own = digests(config.parse(stack.configuration("a")))
    assert told(own, action) == "" == told(None, action)


@pytest.mark.parametrize("action", list(Action))
def test_a_release_that_has_come_to_one_region_alone_is_told_and_stops_no_move(action: Action) -> None:
    values = stack.configuration("a")
    values["shop"]["release"] = "0" * 64
    said = told(digests(config.parse(values)), action)
    assert said.startswith("release of region b: is another than region a ran with last") and "drctl rollback" in said
    values["redis"]["maxmemory"] = "1gb"
    if action is Action.TAKE_OVER:
        with pytest.raises(Refused, match=r"dr:redis\.maxmemory, dr:shop\.release"):
            told(digests(config.parse(values)), action)


def changed() -> dict[str, str]:
    values = stack.configuration("a")
    values["redis"]["maxmemory"] = "1gb"
    return digests(config.parse(values))


@pytest.mark.parametrize("action", [Action.STAY, Action.FOLLOW, Action.CLAIM_FIRST])
def test_a_run_that_moves_nothing_goes_on_with_a_warning(action: Action) -> None:
    said = told(changed(), action)
    assert "differs in dr:redis.maxmemory from what region a ran with last" in said
    assert "pulumi up -s region-a" in said


def test_a_move_is_refused_with_the_keys_the_epoch_and_what_to_do() -> None:
    with pytest.raises(
        Refused, match=r"dr:redis\.maxmemory(.*)nothing was changed(.*)accept\.configuration to \{epoch: 4"
    ):
        told(changed(), Action.TAKE_OVER)


def test_the_operators_word_is_good_for_the_epoch_in_force_and_no_other() -> None:
    assert REASON in told(changed(), Action.TAKE_OVER, Word(epoch=4, at=spelled(), reason=REASON))
    with pytest.raises(Refused, match="is for epoch 3"):
        told(changed(), Action.TAKE_OVER, Word(epoch=3, at=spelled(), reason=REASON))


def test_a_configuration_that_shares_nothing_is_told_in_one_line() -> None:
    own = digests(config.parse(stack.configuration("b")))
    with pytest.raises(Refused, match=r"and \d+ more") as refused:
        told(dict.fromkeys(own, "0" * 16), Action.TAKE_OVER)
    assert len(str(refused.value)) < 1000 and "\n" not in str(refused.value)


def test_the_record_holds_no_value() -> None:
    settings = replace(config.parse(stack.configuration("a")), project="a-name-that-nobody-else-has")
    assert "a-name-that" not in str(digests(settings))


def with_secrets(last: Record | DrError | None, day: str | None, action: Action, word: Word | None = None) -> str:
    own = digests(config.parse(stack.configuration("b")))
    since = {} if day is None else {"host-certificates": day, "witness": "2025-01-01"}
    return agree(Side(site="b", digests=own, word=word, since=since), NEWEST, action, PlayedWitness(own, last))  # type: ignore[arg-type]


RENEWED = Record(
    version="0.2.0", keys={}, since={"host-certificates": "2026-11-30", "of-a-later-version": "2026-12-01"}
)


@pytest.mark.parametrize("action", list(Action))
def test_a_set_of_before_a_rotation_is_not_brought_back_by_another_checkout(action: Action) -> None:
    """Its run would tell hosts certificates that the other region trusts no more, and let in whoever has the old ones."""
    with pytest.raises(
        Refused, match=r"host-certificates of 2026-11-29 where the last run had that of 2026-11-30.*accept"
    ) as caught:
        with_secrets(RENEWED, "2026-11-29", action)
    assert "witness of" not in str(caught.value)
    assert REASON in with_secrets(RENEWED, "2026-11-29", action, Word(epoch=4, at=spelled(), reason=REASON))
    with pytest.raises(Refused):
        with_secrets(RENEWED, "2026-11-29", action, Word(epoch=3, at=spelled(), reason=REASON))


@pytest.mark.parametrize("day", ["2026-11-30", "2026-12-01", None])
def test_the_same_set_a_newer_one_and_one_that_does_not_say_go_on(day: str | None) -> None:
    assert with_secrets(RENEWED, day, Action.STAY) == ""


@pytest.mark.parametrize("last", [None, Record(version="0.2.0", keys={}), Failed("witness object x: is no record")])
def test_where_nobody_knows_with_which_set_the_region_ran_nothing_is_barred(last: Record | DrError | None) -> None:
    assert with_secrets(last, "2020-01-01", Action.TAKE_OVER) == ""


def test_a_witness_that_dies_is_asked_once() -> None:
    with pytest.raises(WitnessDown):
        with_secrets(WitnessDown("witness: x"), "2020-01-01", Action.STAY)
