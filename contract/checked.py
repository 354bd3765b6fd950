"""What the last recorded `drctl check` has found, as it lies at the witness: `checks/last.json`. Counts and ids, and nothing of what was found."""

from __future__ import annotations

from .checks import integer, listing, text
from .dataclass import dataclass
from .fields import key
from .forms import COUNT, PHRASE

LAST = "checks/last.json"
MOST_IDS = 200


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How many findings there were of each state."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    who: str = key(PHRASE, "the ssh certificate's name, `DR_WHO`, or user@host")
    place: str = key(PHRASE, "from where")
    version: str = key(PHRASE, "of the program", default="")
    ok: int = key(COUNT, "that were good")
    warn: int = key(COUNT, "that were not, of checks that warn")
    fail: int = key(COUNT, "that were not, of checks that block a planned move")
    unknown: int = key(COUNT, "of which nobody knew")
    wrong: tuple[str, ...] = key(
        listing(text(r"[a-z][a-z0-9.-]{1,60}", "the id of a check")), "ids that were not good, each once", default=()
    )
