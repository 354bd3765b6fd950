"""Every call that must be refused, made against the running pair: from whom, to what, and the very refusal that is wanted.

All of them are made side by side before the first test asks what became of its own: most wait for a packet that nobody answers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.refused.ground import Ground
from tests.refused.openings import CANNOT_BE_OPENED, OPENINGS
from tests.refused.row import Allowed, Row
from tests.refused.table import ALLOWED, ROWS, THEMES

AT_ONCE = 8
LEAST = 400  # rows: a table that shrinks is noticed


@pytest.fixture(scope="module")
def answers(ground: Ground) -> Mapping[str, str]:
    """What became of each call."""

    def ask(row: Row | Allowed) -> str:
        try:
            return row.call(ground)
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:300]

    every = [*ALLOWED.values(), *ROWS.values()]
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip((row.name for row in every), pool.map(ask, every), strict=True))
    print(f"{len(every)} calls in {time.monotonic() - began:.0f} s")
    return found


@pytest.mark.parametrize("name", ALLOWED)
def test_what_must_go_through_does(answers: Mapping[str, str], name: str) -> None:
    """Else the refusals below would be those of a pair that is down."""
    assert answers[name] == ALLOWED[name].answer


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.open])
def test_it_is_refused(answers: Mapping[str, str], name: str) -> None:
    assert answers[name] in ROWS[name].wanted


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.open])
def test_it_is_accepted_so_far(answers: Mapping[str, str], name: str) -> None:
    """A row that is closed meanwhile loses its `open` in the table; it must not stay there as an excuse."""
    row = ROWS[name]
    assert answers[name] not in row.wanted, f"{name} is refused now ({answers[name]}): take `open` out of its row"
    assert answers[name].split()[0] in ("ok", "open", "http", "s3"), (
        f"{name} is neither accepted nor refused: {answers[name]}"
    )


def test_the_table_is_whole() -> None:
    assert len(ROWS) >= LEAST
    assert len(ROWS) == sum(len(theme.ROWS) for theme in THEMES), "two rows of one name"
    assert {row.closed_by for row in ROWS.values()} == set(OPENINGS)
    never = {row.closed_by for row in ROWS.values() if isinstance(OPENINGS[row.closed_by], str) and not row.open}
    assert never == CANNOT_BE_OPENED, "a refusal that nobody has seen fail: open its mechanism in openings.py"
