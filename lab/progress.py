"""Work that takes minutes and says how far it is: a bar on a terminal, a plain line now and then elsewhere. Standard library only.

`work_through` does those tasks whose result is not there yet, one after the other, and tells of each what is done, how long it takes, which
step of how many it is and what roughly remains. Figures are rough on purpose and called so: a line and a machine differ by more than any sum
could tell. A part of a step is shown only where it is counted.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

LINE_EVERY_S = 15.0  # where nothing can be overwritten, as in the log of a CI job
BEAT_S = 0.5
BAR, WIDE = (10, 25), 100  # how long it is, and on how wide a terminal it is the longer one
TRUSTED_PART = 0.1  # from here on the time that a part took says more than the figure in the code
Said = tuple[
    str, float | None
]  # what is being done, and the part of the step that is done, None where nobody can count


class Report:
    """Where a task says how far it is. Nobody has to look at it."""

    def __init__(self) -> None:
        self._look: Callable[[], Said] = lambda: ("", None)
        self.trouble: OSError | None = None  # whoever tells of it cannot any more

    def __call__(self, text: str, part: float | None = None) -> None:
        self.watch(lambda: (text, part))

    def watch(self, look: Callable[[], Said]) -> None:
        """For a count that nobody announces: it is taken when it is to be told."""
        if self.trouble is not None:
            raise self.trouble
        self._look = look

    def now(self) -> Said:
        return self._look()


UNTOLD = Report()


@dataclass(frozen=True, kw_only=True)
class Task:
    """One step. `rough_s`: seconds on two cores and a good line, with nothing in any cache."""

    name: str
    rough_s: float
    there: Callable[[], bool]
    make: Callable[[Report], object]


def work_through(title: str, tasks: Sequence[Task], out: TextIO, *, say_there: bool = True) -> None:
    """Do what is due. Errors of a task pass through, after its line has ended. `say_there`: also that nothing is due."""
    progress = Progress(title, tasks, out)
    if progress.due or say_there:
        progress.begin()
    for task in progress.due:
        with progress.step(task) as report:
            task.make(report)
    progress.end()


class Progress:
    """What is told of some tasks. `bar`, `columns` and `clock` are what the stream and the machine say unless a test says it."""

    def __init__(
        self,
        title: str,
        tasks: Sequence[Task],
        out: TextIO,
        *,
        bar: bool | None = None,
        columns: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        beat_s: float | None = BEAT_S,
    ) -> None:
        self._title, self._out, self._clock, self._beat_s = title, out, clock, beat_s
        self.due = [task for task in tasks if not task.there()]
        self._there = [task.name for task in tasks if task not in self.due]
        self._bar = overwrites(out) if bar is None else bar
        self._columns = columns or (lambda: width(out))
        self._began = self._step_began = self._told = clock()
        self._number, self._report = 0, UNTOLD

    def begin(self) -> None:
        """Which steps are due, and what to expect."""
        if not self.due:
            self._line(f"{self._title}: all is there: {', '.join(self._there)}")
            return
        steps = "1 step" if len(self.due) == 1 else f"{len(self.due)} steps"
        expected = roughly(sum(task.rough_s for task in self.due))
        self._line(f"{self._title}: {steps} to do, roughly {expected} on two cores and a good line (rough figures)")
        names = max(len(task.name) for task in self.due)
        for number, task in enumerate(self.due, 1):
            self._line(f"  {number:>2}  {task.name:<{names}}  roughly {roughly(task.rough_s)}")
        if self._there:
            self._line(f"  there: {', '.join(self._there)}")

    @contextlib.contextmanager
    def step(self, task: Task) -> Iterator[Report]:
        """One of `due`: its first line, its progress while the block runs, its last line."""
        self._number, self._report = self.due.index(task) + 1, Report()
        self._step_began = self._told = self._clock()
        if self._bar:
            self.tick()
        else:
            self._line(f"{self._head}: begins, roughly {roughly(task.rough_s)}")
        try:
            with self._beating():
                yield self._report
        except BaseException:
            if self._bar:
                with contextlib.suppress(OSError):  # a reader that has gone is why we are here
                    self._line("")  # the bar stays as it was, what is said of the fault begins a line
            raise
        took = f"{self._head}: done in {lasting(self._clock() - self._step_began)}"
        rest = self.due[self._number :]
        if rest:
            steps = "1 step remains" if len(rest) == 1 else f"{len(rest)} steps remain"
            took += f"; {steps}, roughly {roughly(sum(task.rough_s for task in rest))}"
        self._line(f"\r{took}\x1b[K" if self._bar else took)

    def end(self) -> None:
        if self.due:
            self._line(f"{self._title}: done in {lasting(self._clock() - self._began)}")

    def tick(self) -> None:
        """Draw the bar anew; without one a line, when the last is long enough ago."""
        if not self._bar and self._clock() - self._told < LINE_EVERY_S:
            return
        text, part = self._report.now()
        task, elapsed = self.due[self._number - 1], self._clock() - self._step_began
        rest = roughly(sum(task.rough_s for task in self.due[self._number :]) + left(task.rough_s, elapsed, part))
        counted = "" if part is None else f"{math.floor(100 * part)} %, "
        if self._bar:
            head = f"[{self._number}/{len(self.due)}] {task.name}"
            times = f"{counted}{lasting(elapsed)}, about {rest} to go"
            self._write(f"\r{drawn(head, part, times, text, self._columns())}\x1b[K")
        else:
            self._told = self._clock()
            said = f"{counted}{text}".removesuffix(", ") or "at work"
            self._line(f"{self._head}: {said}; {lasting(elapsed)} so far, roughly {rest} to go")

    @property
    def _head(self) -> str:
        return f"step {self._number} of {len(self.due)}, {self.due[self._number - 1].name}"

    @contextlib.contextmanager
    def _beating(self) -> Iterator[None]:
        """`tick` beside the work, whatever that waits for."""
        over = threading.Event()
        report = self._report

        def beat(pause_s: float) -> None:
            while not over.wait(pause_s):
                try:
                    self.tick()
                except OSError as error:
                    report.trouble = error  # raised by the task's next word: this thread could end nothing
                    return

        thread = threading.Thread(target=beat, args=(self._beat_s,), name="progress", daemon=True)
        if self._beat_s is not None:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if self._beat_s is not None:
                thread.join()

    def _line(self, text: str) -> None:
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def overwrites(out: TextIO) -> bool:
    """Is it a terminal that goes back to a line's beginning, with somebody before it?"""
    return out.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")


def width(out: TextIO) -> int:
    """Columns of the terminal, as wide as it is now."""
    try:
        return os.get_terminal_size(out.fileno()).columns or 80
    except OSError:
        return 80


def left(rough_s: float, elapsed_s: float, part: float | None) -> float:
    """What a step still takes: by its figure, or longer when its part says so. Never less than the figure: a step's parts are not alike."""
    by_figure = max(rough_s - elapsed_s, 0.0)
    if part is None or part < TRUSTED_PART:
        return by_figure
    return max(by_figure, elapsed_s * (1 - part) / part)


def lasting(seconds: float) -> str:
    """A time that has passed: "45 s", "3 min 05 s"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def roughly(seconds: float) -> str:
    """A time to come, with no more digits than it deserves: "a moment", "40 s", "4 min"."""
    if seconds < 1:
        return "a moment"
    return f"{math.ceil(seconds / 10) * 10} s" if seconds <= 50 else f"{math.ceil(seconds / 60)} min"


def drawn(head: str, part: float | None, times: str, text: str, columns: int) -> str:
    """One line that fits: the end of the text goes first, then the bar."""
    size = BAR[columns >= WIDE]
    if part is not None and len(head) + size + len(times) + 4 < columns:
        full = math.floor(size * part)
        head += f" [{'#' * full}{'.' * (size - full)}]"
    return f"{head} {times}{': ' if text else ''}{text}"[: max(columns - 1, 0)]
