"""Builds of the product in which a text is another: the text must be there, and the result must be a program."""

from __future__ import annotations

import ast

import pytest

from lab.rehearsal.builds import Change, Strike
from lab.rehearsal.drills import points
from lab.rehearsal.world import PROJECT

POINTS = {name: point for name, point in vars(points).items() if isinstance(point, points.Point)}
TEXT = "def run():\n    if known:\n        stop()\n    return known\n"


def test_a_strike_comes_before_its_line_and_as_deep() -> None:
    struck = Strike("run.py", "stop()", ("raise KeyError('lsn')",)).of(TEXT)
    assert struck == TEXT.replace("        stop()", "        raise KeyError('lsn')\n        stop()")


@pytest.mark.parametrize("change", [Change("run.py", "known", "True"), Strike("run.py", "start()", ("pass",))])
def test_a_text_that_is_not_there_once_is_told_of(change: Change | Strike) -> None:
    with pytest.raises(RuntimeError, match=r"run\.py has changed: found (2|0) "):
        change.of(TEXT)


@pytest.mark.parametrize("name", POINTS)
def test_each_point_is_one_of_the_product_as_it_is(name: str) -> None:
    for change in POINTS[name].changes:
        text = (PROJECT / change.file).read_text()
        struck = change.of(text)
        ast.parse(struck)
        assert struck != text
