"""What is there, what will be made, and what stands against it. Each step is a look that was made and an act that may be made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field

from contract.dataclass import dataclass
from contract.plain import phrase

SHOWN = 900


@dataclass(frozen=True, kw_only=True)
class Step:
    """`what`: in words, without a secret; `there`: nothing is to be done; `act`: does it, and again does no harm."""

    what: str
    there: bool
    act: Callable[[], None] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """In the order in which it is done."""

    steps: tuple[Step, ...]
    against: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def pending(self) -> tuple[Step, ...]:
        """What is left."""
        return tuple(step for step in self.steps if not step.there)

    def lines(self) -> Iterator[str]:
        """For people, each fit for a terminal."""
        for step in self.steps:
            yield f"  {'is there' if step.there else 'to do   '}  {phrase(step.what, SHOWN)}"
        for text in self.warnings:
            yield f"  warning:  {phrase(text, SHOWN)}"
        for text in self.against:
            yield f"  against:  {phrase(text, SHOWN)}"
