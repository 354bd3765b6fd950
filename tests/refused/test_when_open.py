"""Each mechanism opened once in the running pair: every row that it closes turns red, and is refused again behind it.

Behind the table by its name: the last ones end the services that they open, and nothing is asked of those afterwards.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.rehearsal.world import wait_for
from tests.refused.ground import Ground
from tests.refused.openings import LAST, OPENINGS
from tests.refused.row import Row
from tests.refused.table import ROWS

pytestmark = pytest.mark.proof
AT_ONCE = 6


@pytest.mark.parametrize("mechanism", [name for name, opening in OPENINGS.items() if not isinstance(opening, str)])
def test_without_it_its_rows_are_red(ground: Ground, mechanism: str) -> None:
    opening = OPENINGS[mechanism]
    assert not isinstance(opening, str)
    rows = [row for row in ROWS.values() if row.closed_by == mechanism and not row.open]
    assert rows

    def ask(row: Row) -> tuple[Row, str]:
        return row, row.call(ground)

    with ThreadPoolExecutor(1 if mechanism in LAST else AT_ONCE) as pool:

        def closed() -> bool:
            return all(answer in row.wanted for row, answer in pool.map(ask, rows))

        with opening(ground):
            answers = {row.name: answer for row, answer in pool.map(ask, rows)}
        print(answers)
        assert not {row.name: answers[row.name] for row in rows if answers[row.name] in row.wanted}
        if mechanism not in LAST:
            wait_for(f"{mechanism} closes again", closed, 30, 0.5)
