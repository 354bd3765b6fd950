"""What the rehearsal found, as a table. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the story. `goal` is the figure that we hold ourselves to; missing it is shown, not failed: a slow machine is no fault."""

    name: str
    seconds: float | None = None
    goal: float | None = None
    detail: str = ""


@dataclass
class Report:
    """Steps in their order, and everything that was not as it should be."""

    steps: list[Step] = field(default_factory=list)
    orders: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def step(self, name: str, seconds: float | None = None, goal: float | None = None, detail: str = "") -> None:
        self.steps.append(Step(name=name, seconds=seconds, goal=goal, detail=detail))

    def expect(self, holds: bool, fault: str) -> None:
        """Note a fault unless `holds`. The story goes on, its end is an error."""
        if not holds:
            self.faults.append(fault)

    def text(self) -> str:
        """The table."""
        width = max([len(step.name) for step in self.steps] + [len(name) for name in self.orders] + [20])
        lines = [f"{'step':<{width}}  {'seconds':>8}  {'goal':>6}", "-" * (width + 18)]
        for step in self.steps:
            seconds = "" if step.seconds is None else f"{step.seconds:.1f}"
            goal = "" if step.goal is None else f"{step.goal:.0f}"
            missed = "  over" if step.seconds is not None and step.goal is not None and step.seconds > step.goal else ""
            lines.append(
                f"{step.name:<{width}}  {seconds:>8}  {goal:>6}{missed}{'  ' + step.detail if step.detail else ''}".rstrip()
            )
        lines += ["", f"{'orders':<{width}}", "-" * (width + 18)]
        lines += [f"{name:<{width}}  {value}" for name, value in self.orders.items()]
        lines += ["", *(f"FAULT: {fault}" for fault in self.faults)] if self.faults else ["", "all as it should be"]
        return "\n".join(lines)
