"""The proof that drills can fail takes guards out by their text: a text that has changed would take nothing out, and be noticed an hour later."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lab.rehearsal.drill import chosen
from tests.drills.guards import GUARDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("guard", GUARDS)
def test_each_guard_stands_where_the_proof_takes_it_out(guard: str) -> None:
    file, old, new, drill, words = GUARDS[guard]
    text = (ROOT / file).read_text()
    assert text.count(old) == 1, f"{file}: found {text.count(old)} places like {old!r}, wanted one"
    ast.parse(text.replace(old, new))
    assert words and [it.name for it in chosen([drill])] == [drill]
