"""What the bastion remembers of its tries, so that no reboot and no restart makes it ask more often than a CA bears. Rules are pure.

Let's Encrypt takes 5 failed validations of a name an hour and 5 certificates of the same names a week, and says when it will take the next one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from contract import fields
from contract.checks import integer, optional, prose, text
from contract.dataclass import dataclass
from contract.errors import Usage
from contract.fields import key
from contract.forms import SECONDS
from contract.wire import document

from ...frame.files import read_own, write_atomically

FILE = "memory.json"
FIRST_S, LONGEST_S = 900.0, 86_400.0  # after a failure; doubled with each one more
LIMITED_S = 6 * 3600.0  # after a refusal for the rate that does not say for how long
MOST_S = (
    7 * 86_400.0
)  # for however long the CA wants to be left alone; what is further away was written by another clock
WEEK_S, A_WEEK = 7 * 86_400.0, 4


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Times in seconds since 1970."""

    failures: int = key(integer(0, 1000), "tries in a row that brought nothing", default=0)
    next: float = key(SECONDS, "before which nothing is asked of the CA", default=0.0)
    tried: float | None = key(optional(SECONDS), "when it was asked last", default=None)
    error: str | None = key(optional(prose), "what came of that; null: a certificate", default=None)
    issued: str = key(text(r"([0-9]+ )*", "times"), "when certificates were issued, of the last week", default="")
    ordered: str | None = key(
        optional(text(r"[0-9a-f]{64}", "a digest")), "of the newest certificate that is handed over", default=None
    )
    ends: float | None = key(optional(SECONDS), "when that one ends", default=None)
    marked: str = key(text(r"[0-9a-f]{0,64}", "a digest"), "for whom it was sealed", default="")
    state: str = key(prose, "what the last run came to", default="")

    def of_week(self, now: float) -> tuple[float, ...]:
        """Issues of the last week, the oldest first."""
        return tuple(sorted(at for at in map(float, self.issued.split()) if now - WEEK_S < at <= now))

    def waits_s(self, now: float) -> float:
        """Seconds until the CA may be asked again; zero: now."""
        week = self.of_week(now)
        full = week[-A_WEEK] + WEEK_S - now if len(week) >= A_WEEK else 0.0
        told = self.next - now
        return max(told if told <= MOST_S else 0.0, full, 0.0)

    def begun(self, now: float) -> Memory:
        """Before the CA is asked: whatever kills the run counts as a failure."""
        failures = min(self.failures + 1, 1000)
        pause = min(FIRST_S * 2 ** min(failures - 1, 20), LONGEST_S)
        return replace(self, failures=failures, next=now + pause, tried=now, error="the try was cut off in its middle")

    def failed(self, now: float, error: str, limited_s: float | None) -> Memory:
        """`limited_s`: how long the CA wants to be left alone, where it said that it was asked too often."""
        wait = 0.0 if limited_s is None else min(max(limited_s, FIRST_S), MOST_S)
        return replace(self, error=error, next=max(self.next, now + wait))

    def got(self, now: float) -> Memory:
        """A certificate was issued."""
        issued = "".join(f"{int(at)} " for at in (*self.of_week(now), now))
        return replace(self, failures=0, next=now + FIRST_S, error=None, issued=issued)


def load(folder: Path) -> Memory:
    """An empty one where there is none that can be understood, which then waits as after a first failure: nobody knows what was asked before."""
    try:
        body = read_own(folder / FILE)
    except FileNotFoundError:
        return Memory()
    except OSError:
        return Memory(failures=1)
    try:
        return fields.read(Memory, document.mapping(body), FILE)
    except (ValueError, Usage):
        return Memory(failures=1, error="what was remembered of earlier tries could not be read")


def save(folder: Path, it: Memory) -> None:
    """Raises OSError."""
    write_atomically(folder / FILE, (json.dumps(fields.write(it), sort_keys=True) + "\n").encode())
