"""A web process that begins anew: who takes requests meanwhile, whatever becomes of it."""

import io
from typing import Any

import pytest

from contract.errors import Failed
from scripts.host.app import spare, well
from scripts.host.app.names import PUMA, SPARE, SPARE_LEADS, SPARE_PUMA, WEB
from scripts.host.app.spare import Spare
from scripts.host.frame.commands import Done
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.systemd import Look

RELEASE = "/opt/shop/releases/abcabcabcabcabc"


class Played:
    """A manager, a health path and the kernel's connections; `happened`: in order, with who took requests then."""

    def __init__(self, tmp_path, monkeypatch):
        self.layout, self.text = Layout(tmp_path), io.StringIO()
        self.well, self.fails, self.ended, self.connections = {PUMA, SPARE_PUMA}, None, False, []
        self.stops, self.happened = True, []
        monkeypatch.setattr(spare, "HEALTHY_S", 0.0)
        monkeypatch.setattr(spare, "DRAIN_S", 0.0)
        monkeypatch.setattr(well, "healthy", lambda layout, at=PUMA: at in self.well)
        monkeypatch.setattr(spare, "run", self._ask)
        manager: Any = self
        self.spare = Spare(self.layout, manager, Log(self.text, "app converge"))

    def each(self, verb, units, limit_s):
        self._note(verb, units)
        if units == [self.fails]:
            raise Failed(f"unit {self.fails}: failed")

    def halt(self, units, limit_s):
        self._note("stop", units)
        return self.stops

    def look(self, units):
        return {unit: Look("failed" if self.ended else "active") for unit in units}

    def _ask(self, argv, **_):
        assert argv[-4:-1] == ["and", "not", "src"], "websockets last: nobody waits for them"
        at = argv[argv.index("dst") + 1]
        self._note("drain", [at])
        return Done(0, "ESTAB 0 0\n" if at in self.connections else "", "")

    def _note(self, what, about):
        leads = self.layout.at(SPARE_LEADS).is_file()
        self.happened.append((what, *about, "beside" if leads else "web"))


@pytest.fixture
def played(tmp_path, monkeypatch):
    return Played(tmp_path, monkeypatch)


def test_requests_are_with_one_that_is_well_and_drained_from_the_one_that_ends(played):
    assert played.spare.at == PUMA
    played.spare.begin(RELEASE)
    assert played.spare.at == SPARE_PUMA
    played.spare.hand_back()
    assert played.happened == [
        ("restart", SPARE, "web"),
        ("drain", PUMA, "beside"),
        ("restart", WEB, "beside"),
        ("drain", SPARE_PUMA, "web"),
        ("stop", SPARE, "web"),
    ]
    assert played.spare.at == PUMA and not played.text.getvalue()


@pytest.mark.parametrize("ended", [False, True])
def test_one_that_does_not_get_well_has_taken_no_request_and_is_gone(played, ended):
    played.well, played.ended = {PUMA}, ended
    found = "ended by itself" if ended else "not well after 0 s"
    with pytest.raises(
        Failed, match=f"web process of release abcabcabcabc: found {found}.*what runs on this host goes on"
    ):
        played.spare.begin(RELEASE)
    assert played.happened == [("restart", SPARE, "web"), ("stop", SPARE, "web")]
    assert not played.spare.leads


def test_one_that_has_ended_takes_no_request_whoever_answers_on_its_port(played):
    played.ended = True
    with pytest.raises(Failed, match="ended by itself"):
        played.spare.begin(RELEASE)
    assert not played.spare.leads and played.happened[-1] == ("stop", SPARE, "web")


def test_one_that_cannot_be_started_is_no_reason_to_touch_the_other(played):
    played.fails = SPARE
    with pytest.raises(Failed):
        played.spare.begin(RELEASE)
    assert played.happened == [("restart", SPARE, "web"), ("stop", SPARE, "web")]


@pytest.mark.parametrize("fails", [WEB, None])
def test_where_the_web_process_does_not_come_again_the_one_beside_goes_on(played, fails):
    played.spare.begin(RELEASE)
    played.well, played.fails = {SPARE_PUMA}, fails
    with pytest.raises(Failed):
        played.spare.hand_back()
    assert played.spare.leads and ("stop", SPARE, "beside") not in played.happened


def test_requests_that_take_too_long_are_told_and_hold_nothing_up(played):
    played.connections = [PUMA]
    played.spare.begin(RELEASE)
    played.spare.hand_back()
    assert "requests to 127.0.0.1:9292: some are not answered" in played.text.getvalue()
    assert not played.spare.leads


def test_one_that_does_not_stop_is_told(played):
    played.spare.begin(RELEASE)
    played.stops = False
    played.spare.hand_back()
    assert f"{SPARE}: not stopped" in played.text.getvalue()
