"""Figures of a board, from the Prometheus of whichever region answers, through the bastion that leads there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from components.settings import Settings
from contract.errors import DrError, Failed
from contract.hosts import CONTROL, first
from contract.sites import SITES, other
from scripts.ctl.persons.reach import Way, way

ANSWER_S = 15
KEPT_S = 5.0  # several pages that look at the same cost one question


class Source:
    """Asks one region, and the other one where that does not answer. A context manager; safe to call from several threads."""

    def __init__(
        self, settings: Settings, person: str, sites: tuple[str, ...] = SITES, open_way: Callable[..., Any] = way
    ) -> None:
        """`sites`: the first is asked first. `open_way`: as `persons.reach.way`."""
        self._settings, self._person, self._sites, self._open = settings, person, sites, open_way
        self._lock, self._ways = threading.Lock(), ExitStack()
        self._way: Way | None = None
        self._kept: dict[tuple[str, int], tuple[float, dict[str, Any]]] = {}

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._ways.close()

    def figures(self, board: str, seconds: int) -> dict[str, Any]:
        """As `BoardFigures`. Raises Failed where neither region says, with both reasons."""
        with self._lock:
            at, found = self._kept.get((board, seconds), (0.0, {}))
            if not found or time.monotonic() - at > KEPT_S:
                found = self._asked(board, seconds)
                self._kept = {key: it for key, it in self._kept.items() if time.monotonic() - it[0] < KEPT_S}
                self._kept[board, seconds] = (time.monotonic(), found)
            return found

    def _asked(self, board: str, seconds: int) -> dict[str, Any]:
        reasons = []
        for site in self._sites:
            try:
                found = self._of(site).hosts.must(
                    self._host(site),
                    self._of(site).via,
                    "monitoring board",
                    {"board": board, "seconds": seconds},
                    ANSWER_S,
                )
            except DrError as error:
                reasons.append(str(error))
                self._hang_up(other(site))
            else:
                return found.facts
        raise Failed("; ".join(reasons))

    def _of(self, site: str) -> Way:
        """The way to that region's control host, kept while it leads there."""
        if self._way is None or self._way.host != self._host(site):
            self._hang_up(site)
            self._way = self._ways.enter_context(self._open(self._settings, self._host(site), self._person))
        return self._way

    def _hang_up(self, next_one: str) -> None:
        """Whoever did not answer is asked last from now on."""
        self._ways.close()
        self._ways, self._way = ExitStack(), None
        self._sites = (next_one, *(site for site in self._sites if site != next_one))

    @staticmethod
    def _host(site: str) -> str:
        return f"{first(CONTROL)}.{site}"
