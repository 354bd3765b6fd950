"""A row of the table: from whom, to what, the refusal that is wanted, and the one mechanism that refuses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.refused.ground import Ground

Call = Callable[[Ground], str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """`wanted`: words of `probes`, any of which is the refusal. `closed_by`: the mechanism, a key of `openings.OPENINGS`.

    `open`: why the call is still accepted; such a row must be turned once it is refused, so the test wants it accepted.
    """

    who: str
    what: str
    wanted: tuple[str, ...]
    call: Call
    closed_by: str
    open: str = ""

    @property
    def name(self) -> str:
        """As the test is called."""
        return f"{self.who} -> {self.what}"


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """A call that must go through, so that the refusals beside it mean something."""

    who: str
    what: str
    answer: str
    call: Call

    @property
    def name(self) -> str:
        """As the test is called."""
        return f"{self.who} -> {self.what}"
