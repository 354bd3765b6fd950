"""Work in a thread of its own: what the agent asks of the outside can be slow, never its decisions."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..frame import trouble
from ..frame.boots import boottime
from ..frame.log import Log


class Worker:
    """Does `work` in a daemon thread whenever it is kicked, never twice at once. What `work` raises is logged, and the thread goes on."""

    def __init__(
        self, name: str, work: Callable[[], None], abort: Callable[[], None], limit_s: float, log: Log
    ) -> None:
        self._work, self._abort, self._limit_s, self._log = work, abort, limit_s, log
        self._kicked = threading.Event()
        self._since: float | None = None
        self._aborted = False
        self.rounds = 0  # finished so far
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def kick(self) -> None:
        """Ask for one round; one that is still under way counts, unless it is over its limit: then it is aborted."""
        since = self._since
        if since is None:
            self._kicked.set()
        elif boottime() - since > self._limit_s:
            self._abort()
            self._kicked.set()

    def _run(self) -> None:
        while True:
            self._kicked.wait()
            self._kicked.clear()
            self._since = boottime()
            try:
                self._work()
            except Exception as error:  # the lease must be enforced whatever a question runs into
                refused = trouble.sentence(error, "this round is lost") if isinstance(error, OSError) else None
                self._log.error(
                    f"{self._thread.name}: {refused or f'unexpected {type(error).__name__} {place(error)}'}"
                )
            self._since = None
            self.rounds += 1


def place(error: BaseException) -> str:
    """Where an unexpected error came from, without its text, which may hold a secret."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return f"in {at.tb_frame.f_code.co_name}, line {at.tb_lineno}" if at is not None else "somewhere"
