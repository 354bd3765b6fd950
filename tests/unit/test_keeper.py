"""What a site's keeper lets be destroyed: never the site that is active, never what customers are sent to, nothing in doubt."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from components import config
from contract.accept import HOUR_S, Destroy, spelled
from contract.buckets import Bucket
from contract.epoch import Epoch
from contract.errors import ConfigError, ExitCode, Refused
from contract.installation import Dns
from contract.links.keeper import Document
from scripts.clients.witness_bucket import WitnessDown
from scripts.links import keeper, preflight
from scripts.links.agreement import Side
from tests.components import stack
from tests.conftest import Kept

ADDRESS, OTHER, SERVERS = "203.0.113.5", "198.51.100.5", ("192.0.2.21:53", "192.0.2.22:53")
PLACE = Bucket(endpoint="https://s3.example", region="de", bucket="witness", access_key="k", secret_key="s")
TOLD = Document(
    site="a", dns=Dns(zone="shop.example", subdomain="www", servers=SERVERS), address=ADDRESS, witness=PLACE
)


def given(age_s: float = 0.0, epoch: int = 3) -> Destroy:
    return Destroy(site="a", epoch=epoch, at=spelled(time.time() - age_s), reason="the shop is closed for good")


class Played:
    """The witness and the name servers, as a test has them."""

    active: str | None = "b"
    trace_ = ""
    down = False
    served: dict[str, set[str] | None] = {}

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def newest(self) -> Epoch | None:
        if self.down:
            raise WitnessDown("witness: does not answer")
        return Epoch(epoch=3, active=self.active, previous=None, planned=True) if self.active else None

    def trace(self) -> str:
        return self.trace_


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[Played]:
    class Now(Played):
        served = {server: {OTHER} for server in SERVERS}

    monkeypatch.setattr(keeper, "Witness", Now)
    monkeypatch.setattr(keeper, "all_answers", lambda servers, name: Now.served)
    return Now


def refused(told: Document) -> str:
    with pytest.raises(Refused) as caught:
        keeper.run(told)
    assert caught.value.code == ExitCode.REFUSED
    assert "nothing of the region was deleted" in str(caught.value)
    return str(caught.value)


def test_a_standby_goes_and_that_is_noted(played: type[Played], kept: Kept) -> None:
    assert keeper.run(TOLD) == {"schema": 1, "site": "a"}
    assert kept.told() == [("destroy", "a")]


def test_the_active_site_stays_and_its_word_is_spelled(played: type[Played]) -> None:
    played.active = "a"
    said = refused(TOLD)
    assert "it is active (epoch 3)" in said and "pulumi up -s region-b" in said
    assert "{site: a, epoch: 3, at: " in said


def test_the_active_site_goes_by_a_word_of_this_hour_for_this_epoch(played: type[Played]) -> None:
    played.active = "a"
    assert keeper.run(replace(TOLD, destroy=given()))["site"] == "a"


@pytest.mark.parametrize(("age_s", "epoch"), [(HOUR_S + 61, 3), (0.0, 2)])
def test_a_word_that_is_over_or_of_an_epoch_before_counts_for_nothing(
    age_s: float, epoch: int, played: type[Played]
) -> None:
    """Given for a standby, that has taken over since; or left in the state by the last run."""
    played.active = "a"
    said = refused(replace(TOLD, destroy=given(age_s, epoch)))
    assert "it is active" in said and "it is ignored" in said


def test_nobody_is_taken_for_a_standby_while_the_witness_is_silent(played: type[Played]) -> None:
    played.down = True
    for told in (TOLD, replace(TOLD, destroy=given())):
        assert "does not say which region is active" in refused(told)


def test_a_site_that_was_never_active_goes_and_one_whose_epochs_are_lost_stays(played: type[Played]) -> None:
    played.active = None
    assert keeper.run(TOLD)["site"] == "a"
    played.trace_ = "followed/b.json"
    assert "followed/b.json" in refused(TOLD)
    assert keeper.run(replace(TOLD, destroy=given(epoch=1)))["site"] == "a"


def test_what_customers_are_sent_to_is_not_given_back(played: type[Played]) -> None:
    played.served = {SERVERS[0]: {OTHER}, SERVERS[1]: {OTHER, ADDRESS}}
    said = refused(TOLD)
    assert f"www.shop.example still leads to {ADDRESS}, says {SERVERS[1]}" in said
    assert "scripts/drctl destroy a" in said
    played.active = "a"
    refused(replace(TOLD, destroy=given()))


def test_a_silent_name_server_is_told_and_holds_nothing_up(
    played: type[Played], capsys: pytest.CaptureFixture[str]
) -> None:
    played.served = {SERVERS[0]: None, SERVERS[1]: set()}
    assert keeper.run(TOLD)["site"] == "a"
    assert f"{SERVERS[0]} did not say" in capsys.readouterr().err


def test_a_word_names_the_stacks_own_site() -> None:
    word = {"site": "b", "epoch": 3, "at": "2026-11-29T14:05Z", "reason": "taken from the other stack file"}
    with pytest.raises(ConfigError, match=r"dr:destroy\.site is 'b'; wanted 'a', the stack's own"):
        config.parse(stack.configuration("a", destroy=word))


class Knows(Played):
    """The witness that a run asks first."""

    active = "a"

    def locked(self) -> bool | None:
        return True

    def followed(self, site: str) -> int | None:
        return None

    def unsettled(self, newest: Epoch) -> int:
        return 0

    def servers(self, site: str) -> dict[str, str]:
        return {}

    def configuration(self, site: str) -> None:
        return None

    def heartbeat(self, site: str, host: str) -> None:
        return None


@pytest.mark.parametrize(
    ("age_s", "down", "counts", "said"),
    [
        (0.0, False, True, "dr:destroy: IS ARMED for epoch 3 until"),
        (HOUR_S + 61, False, False, "it is ignored"),
        (0.0, True, False, "protection stays"),
    ],
)
def test_a_run_lifts_protection_by_a_word_that_counts_and_tells_it(
    age_s: float,
    down: bool,
    counts: bool,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Knows, "down", down)
    monkeypatch.setattr(preflight, "Witness", Knows)
    side = Side(site="a", digests={}, word=None)
    told = preflight.check(side, "a", PLACE, {}, given(age_s))
    assert (told.destroy is not None) is counts
    assert said in caplog.text
