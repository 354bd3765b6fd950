"""What a story is: who is hurt, when, for how long, and what people do meanwhile. Data alone: printed, kept as JSON, played again.

Sites go by their part at the beginning, so that a story can be played whichever site is active: `here` is the active one, `there` the other.
The story's clock is in seconds, and shows 0 when the move is asked for; without a move it starts there all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

HERE, THERE, WITNESS = "here", "there", "witness"
SIDES = (HERE, THERE)
_SIDE = re.compile(rf"\b({HERE}|{THERE})\b")


class Touch(StrEnum):
    """What a fault may do to the primary of a side: its two contacts, or the service itself."""

    WITNESS = "witness"
    PEER = "peer"
    SERVICE = "service"


@dataclass(frozen=True, kw_only=True)
class Harm:
    """One fault. `lasts`: seconds; None until the end of the story."""

    kind: str
    target: str = ""
    detail: str = ""
    begins: float
    lasts: float | None = None

    @property
    def ends(self) -> float | None:
        return None if self.lasts is None else round(self.begins + self.lasts, 1)

    @property
    def what(self) -> str:
        """Without the times."""
        return " ".join(word for word in (self.kind, self.target, self.detail) if word)

    def text(self) -> str:
        until = "the end" if self.ends is None else f"{self.ends:+.1f}"
        return f"{self.what} {self.begins:+.1f}..{until}"


@dataclass(frozen=True, kw_only=True)
class Move:
    """`pulumi config set failover_region` and `pulumi up` of the other side, by so many at once."""

    operators: int = 1
    killed_after: float | None = None  # `kill -9` of pulumi, in seconds after its start
    insists: bool = False  # a refusal that names a word of the operator (accept.*) is answered with it

    def text(self) -> str:
        parts = ["move"]
        parts += ["by two at once"] if self.operators > 1 else []
        parts += [f"killed after {self.killed_after:.1f}"] if self.killed_after is not None else []
        parts += ["insisting"] if self.insists else []
        return " ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Story:
    """`changed`: a key of the configuration that only the other side has otherwise. `home`: at the end the shop moves once more, with all well."""

    seed: int
    harms: tuple[Harm, ...]
    move: Move | None = None
    changed: str = ""
    home: bool = False

    def text(self) -> str:
        """One line."""
        parts = [harm.text() for harm in sorted(self.harms, key=lambda harm: harm.begins)]
        parts += [f"dr:{self.changed} of {THERE} changed"] if self.changed else []
        parts += [self.move.text() if self.move else "no move"]
        parts += ["home"] if self.home else []
        return "; ".join(parts)

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def begins(self) -> float:
        """By the story's clock."""
        return min([0.0, *(harm.begins for harm in self.harms)])

    @property
    def horizon(self) -> float:
        """When the last thing of it that has a time of its own has happened."""
        return max([0.0, *(harm.ends if harm.ends is not None else harm.begins for harm in self.harms)])


def resolved(text: str, sites: Mapping[str, str]) -> str:
    """`db-1.here` as `db-1.a`. `sites`: {"here": "a", "there": "b"}."""
    return _SIDE.sub(lambda found: sites[found[1]], text)
