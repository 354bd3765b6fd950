"""Samples of what customers met: one form, a bound, and figures that say nothing where nothing was seen."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Usage
from contract.report import MOST_POINTS
from scripts.ctl.reports import samples

BEGAN = 1_796_000_000.0


def taken(folder: Path, *told: tuple[float, bool], what: str = "order") -> samples.Taken:
    file = folder / "samples"
    file.write_text("".join(json.dumps({"at": BEGAN + at, "what": what, "ok": ok}) + "\n" for at, ok in told))
    return samples.take(file)


def test_the_outage_is_the_longest_time_without_an_order_that_was_taken(tmp_path: Path) -> None:
    found = taken(
        tmp_path, (-900, True), (-1, True), (2, False), (3, False), (8.5, True), (9, True), (200, True), (9000, True)
    )
    figure = samples.outage(found, BEGAN, BEGAN + 20)
    assert figure.measured_s == 191 and "6 samples of good orders" in figure.method, (
        "the one that ends behind it was not over by then"
    )
    assert samples.outage(found, BEGAN, BEGAN + 8).measured_s == 9.5, "those before and behind it are not its own"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([(1, True), (30, True)], "no order was taken before it"),
        ([(-1, True), (1, False)], "the last order in the samples was taken"),
        ([(-1, False), (30, False)], "no order was taken before it"),
    ],
)
def test_an_outage_of_which_an_end_is_not_seen_is_not_known(tmp_path: Path, told: Any, why: str) -> None:
    figure = samples.outage(taken(tmp_path, *told), BEGAN, BEGAN + 20)
    assert figure.measured_s is None and why in figure.method


def test_probes_are_no_orders_and_no_samples_are_no_outage(tmp_path: Path) -> None:
    probes = taken(tmp_path, (-1, True), (30, True), what="probe")
    assert samples.outage(probes, BEGAN, BEGAN + 20).measured_s is None
    assert "no samples were given" in samples.outage(None, BEGAN, BEGAN + 20).method


def test_pieces_of_time_hold_every_sample_whatever_their_order(tmp_path: Path) -> None:
    (found,) = samples.told(taken(tmp_path, (3.2, False), (0.1, True), (0.9, True), (3.9, True)), BEGAN)
    assert [(it.at_s, it.done, it.failed) for it in found.points] == [(0.0, 2, 0), (3.0, 1, 1)]
    assert (found.count, found.failed, found.every_s) == (4, 1, 1)


def test_many_hours_of_samples_become_longer_pieces(tmp_path: Path) -> None:
    (found,) = samples.told(taken(tmp_path, *((float(at), True) for at in range(0, 10_000, 2))), BEGAN)
    assert len(found.points) <= MOST_POINTS and found.every_s == math.ceil(9_999 / MOST_POINTS)
    assert sum(it.done for it in found.points) == found.count == 5000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"at": 1, "what": "order", "ok": true}\n<html>', "line 2"),
        ('{"at": 1, "what": "order", "ok": 1}', "line 1:ok: found 1, wanted true or false"),
        ('{"at": 1, "what": "cart\\u001b[2J", "ok": true}', "line 1:what: found"),
        ('{"at": -1, "what": "order", "ok": true}', "line 1:at"),
        ('{"at": NaN, "what": "order", "ok": true}', "line 1"),
        ('{"at": 1, "what": "order", "ok": true, "x": "' + "a" * 1000 + '"}', "at most 1000 bytes in line 1"),
        ("[" * 900, "line 1"),
    ],
)
def test_a_line_in_another_form_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "samples").write_text(text)
    with pytest.raises(Usage, match=sentence) as caught:
        samples.take(tmp_path / "samples")
    assert "\x1b" not in str(caught.value)


def test_a_file_that_is_not_there_or_has_no_end_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Usage, match=r"cannot be read .*wanted samples"):
        samples.take(tmp_path / "none")
    monkeypatch.setattr(samples, "MOST_FILE", 10)
    with pytest.raises(Usage, match="more than 10 bytes"):
        samples.take(Path("/dev/zero"))
