"""What is silenced by whom, and what is silent while a step of it runs: of the tests whose subject is something else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from contract.monitoring.silences import Undertaking


@dataclass
class Quiet:
    """`asked`: undertaking, region and hosts of each, in order; `now`: the one that is open."""

    asked: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    seconds: list[float | None] = field(default_factory=list)
    whys: list[str] = field(default_factory=list)
    now: str = ""

    @contextmanager
    def quiet(
        self,
        _: Any,
        undertaking: Undertaking,
        site: str,
        *,
        hosts: Sequence[str] = (),
        seconds: float | None = None,
        why: str = "",
    ) -> Iterator[None]:
        assert not self.now, "one in another"
        self.asked.append((undertaking, site, tuple(hosts)))
        self.seconds.append(seconds)
        self.whys.append(why)
        self.now = undertaking
        try:
            yield
        finally:
            self.now = ""
