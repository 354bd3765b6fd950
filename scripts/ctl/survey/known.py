"""What was asked, and what is known of it: a value with its age, or why there is none. Unknown is never a value."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from contract.dataclass import dataclass
from contract.errors import DrError
from contract.plain import phrase

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Known(Generic[T]):
    """`age_s`: how long ago it was so, at least. `why`: nothing is known, and for what reason; empty where something is.

    `unasked`: nobody was asked, by a fault of this program or this machine: nothing is to be concluded from it about anybody else.
    """

    value: T | None = None
    age_s: float = 0.0
    why: str = ""
    unasked: bool = False

    @property
    def known(self) -> bool:
        return not self.why

    def part(self, of: Callable[[T], Any]) -> Any:
        """A part of the value; None where there is none, or nobody knows."""
        return None if self.value is None else of(self.value)


class Questions:
    """Asked side by side, each in a thread of its own that nobody waits for beyond the one limit of all."""

    def __init__(self, limit_s: float) -> None:
        self.until = time.monotonic() + limit_s
        self._limit_s = limit_s
        self._answers: dict[str, Known[Any]] = {}
        self._threads: dict[str, threading.Thread] = {}

    def ask(self, name: str, question: Callable[[], Any], age: Callable[[Any], float] = lambda _: 0.0) -> None:
        """`age`: of what comes back, in seconds."""

        def answer() -> None:
            try:
                value = question()
                self._answers[name] = Known(value=value, age_s=max(age(value), 0.0) if value is not None else 0.0)
            except DrError as error:
                self._answers[name] = Known(why=phrase(str(error), 400))
            except Exception as error:
                self._answers[name] = Known(why=f"could not be asked ({type(error).__name__})", unasked=True)

        self._threads[name] = threading.Thread(target=answer, name=name, daemon=True)
        self._threads[name].start()

    def known(self, name: str) -> Known[Any]:
        """Waits for it, until the limit at most."""
        thread = self._threads.get(name)
        if thread is None:
            return Known(why="was not asked", unasked=True)
        thread.join(max(self.until - time.monotonic(), 0.0))
        return self._answers.get(name) or Known(why=f"no answer within {self._limit_s:g} s")
