"""What `drctl status` asks of the records: one listing, each new record once, and what goes or is written over is seen all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.render import documents
from contract.chain import digest
from contract.errors import Failed, OutcomeUnknown
from contract.report import RECORDS, SIGN_OFF, SignOff
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl.persons import memory
from scripts.ctl.reports import glance, kept
from scripts.ctl.reports.glance import Glance
from tests.unit.played_reports import Shelf, added, changed, draft, its

ITS = its()


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shelf:
    found = Shelf()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(glance, "ReportBucket", lambda *_, **__: found)
    for _ in range(3):
        added(found)
    return found


def look(shelf: Shelf, **told: Any) -> Glance:
    shelf.asked.clear()
    return glance.glance(its(**told) if told else ITS)


def test_a_second_look_asks_for_one_listing_and_no_more(shelf: Shelf) -> None:
    first = look(shelf)
    assert sorted(shelf.asked) == ["read 1", "read 2", "read 3", "versions"] and first.breaks == ()
    assert look(shelf) == first and shelf.asked == ["versions"]
    added(shelf)
    assert len(look(shelf).records) == 4 and sorted(shelf.asked) == ["read 4", "versions"]


def test_who_has_signed_off_which_and_what_waits_is_told(shelf: Shelf) -> None:
    about = SignOff(of=2, digest=digest(shelf.objects[RECORDS.name_of(2)][-1]))
    added(shelf, draft(SIGN_OFF, "bob", signoff=about), "bob")
    kept.keep(documents.witness(ITS), draft())
    found = look(shelf)
    assert found.signed == {2: ("bob",)} and found.waiting == 1


def test_what_is_written_over_removed_or_cut_off_is_seen_without_reading_it(shelf: Shelf) -> None:
    look(shelf)
    shelf.put(2, changed(shelf.objects[RECORDS.name_of(2)][-1], outcome="failed"))
    assert "00000002.json: was written over" in "".join(look(shelf).breaks) and shelf.asked == ["versions"]
    shelf.objects[RECORDS.name_of(2)].pop()
    last = shelf.objects.pop(RECORDS.name_of(3))
    assert "00000003.json: found none, wanted it: it was removed" in "".join(look(shelf).breaks), (
        "this machine has seen it"
    )
    shelf.objects[RECORDS.name_of(3)] = last
    del shelf.objects[RECORDS.name_of(1)]
    assert "00000001.json: found none" in "".join(look(shelf).breaks)


def test_what_does_not_hold_is_told_each_time_and_never_remembered(shelf: Shelf) -> None:
    shelf.put(4, changed(shelf.objects[RECORDS.name_of(3)][-1], outcome="failed"))
    for _ in range(2):
        found = look(shelf)
        assert len(found.records) == 3 and "00000004.json: found a signature" in "".join(found.breaks)
    assert sorted(shelf.asked) == ["read 4", "versions"]


def test_with_other_keys_nothing_is_known_any_more(shelf: Shelf) -> None:
    look(shelf)
    assert look(shelf, signers={}).breaks == () and "read 1" in shelf.asked


def test_a_number_far_ahead_is_told_and_costs_nothing(shelf: Shelf) -> None:
    shelf.put(99_999_999, b"{}")
    found = look(shelf)
    assert "reports/00000004.json: found none" in "".join(found.breaks) and len(found.records) == 3


def test_more_than_anybody_reads_are_not_all_read(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "MOST_READ", 2)
    found = look(shelf)
    assert [it.number for it in found.records] == [2, 3]
    assert [it.number for it in look(shelf).records] == [1, 2, 3], "the next look reads on"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"reports/00000001.json": 1}', '{"reports/00000001.json": {"number": 1, "kind": "x"}}']
)
def test_a_memory_that_somebody_has_spoiled_is_no_memory(shelf: Shelf, tmp_path: Path, text: str) -> None:
    look(shelf)
    (file,) = (tmp_path / "drctl").glob("records-*.json")
    file.write_text(text)
    assert len(look(shelf).records) == 3 and "read 1" in shelf.asked


def test_a_silent_witness_is_nothing_known_and_a_machine_without_a_place_does_without(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    assert len(look(shelf).records) == 3
    shelf.down = True
    with pytest.raises(Failed, match="does not answer"):
        look(shelf)


def test_what_nobody_can_tell_is_no_word_against_a_record(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: int) -> bytes:
        raise WitnessDown("witness: does not answer")

    with monkeypatch.context() as now:
        now.setattr(shelf, "stored", silent)
        with pytest.raises(WitnessDown):
            look(shelf)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(OutcomeUnknown, match="ssh-keygen"):
        look(shelf)
