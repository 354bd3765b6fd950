"""What `dr-host monitoring board` is asked and answers: one board's figures of a time, from the Prometheus of a control host."""

from __future__ import annotations

from collections.abc import Mapping

from ..checks import integer, mapping, text
from ..dataclass import dataclass
from ..fields import key
from ..forms import ID, PHRASE

LEAST_S, MOST_S = 300, 30 * 86_400  # how long a time may be shown
POINTS = 180  # of a series, at most
STEP_S = 15  # between two of them, at least
MOST_SERIES = 40  # of a query: a site has 13 hosts at most
# Of values: numbers in order, with a comma between two; nothing where there is no figure at that time.
_LINE = r"[0-9]{1,2}\.[0-9]\.[0-9]{1,2}"
_VALUES = text(r"[0-9.eE+,-]{0,8000}", "numbers with commas between them")


@dataclass(frozen=True, kw_only=True)
class BoardFigures:
    """`monitoring board`. A line is named by its panel, its query there and its own number: `3.0.2`."""

    board: str = key(ID, "which")
    site: str = key(ID, "whose Prometheus says so")
    start: int = key(integer(0, 2**40), "of the first time, in seconds since 1970")
    step: int = key(integer(1, MOST_S), "between two times", unit="s")
    points: int = key(integer(0, POINTS + 1), "how many times")
    epochs: str = key(_VALUES, "the epoch at each time: where it grows the shop has moved")
    legends: Mapping[str, str] = key(mapping(_LINE, PHRASE), "what each line is called")
    lines: Mapping[str, str] = key(mapping(_LINE, _VALUES), "its numbers, one for each time")


def times(now: float, seconds: int) -> tuple[int, int, int]:
    """Start, step and count of the times that are shown of the last `seconds`; the same for some seconds, so that lines do not tremble."""
    step = max(STEP_S, -(-seconds // POINTS))
    end = int(now) // step * step
    count = seconds // step
    return end - count * step, step, count + 1
