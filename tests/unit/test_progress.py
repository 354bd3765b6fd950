"""What is told of work that takes minutes: which steps, how far, how long, what remains. Time and terminal are the test's."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest

from lab import progress
from lab.progress import Progress, Report, Task, drawn, lasting, left, roughly


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def task(
    name: str, rough_s: float = 60, there: bool = False, make: Callable[[Report], object] = lambda report: None
) -> Task:
    return Task(name=name, rough_s=rough_s, there=lambda: there, make=make)


TASKS = [task("packages", 30, there=True), task("compiler", 60), task("tools", 200), task("image", 90)]


def telling(
    clock: Clock, out: io.StringIO, *, bar: bool = False, columns: int = 80, tasks: list[Task] = TASKS
) -> Progress:
    return Progress("set-up", tasks, out, bar=bar, columns=lambda: columns, clock=clock, beat_s=None)


def test_it_begins_with_what_is_due_and_what_to_expect() -> None:
    out = io.StringIO()
    telling(Clock(), out).begin()
    assert out.getvalue().splitlines() == [
        "set-up: 3 steps to do, roughly 6 min on two cores and a good line (rough figures)",
        "   1  compiler  roughly 1 min",
        "   2  tools     roughly 4 min",
        "   3  image     roughly 2 min",
        "  there: packages",
    ]


def test_nothing_due_is_one_line_or_none() -> None:
    there = [task("packages", there=True), task("image", there=True)]
    out = io.StringIO()
    progress.work_through("set-up", there, out)
    assert out.getvalue() == "set-up: all is there: packages, image\n"
    progress.work_through("image", there, out, say_there=False)
    assert out.getvalue().count("\n") == 1


def test_without_a_terminal_a_step_has_a_first_line_one_now_and_then_and_a_last() -> None:
    clock, out = Clock(), io.StringIO()
    told = telling(clock, out)
    with told.step(told.due[1]) as report:
        for second in range(40):
            clock.now = 1000.0 + second
            report(f"compiling {10 * second} of 400 packages", second / 40)
            told.tick()
        clock.now = 1200.0
    assert out.getvalue().splitlines() == [
        "step 2 of 3, tools: begins, roughly 4 min",
        "step 2 of 3, tools: 37 %, compiling 150 of 400 packages; 15 s so far, roughly 5 min to go",
        "step 2 of 3, tools: 75 %, compiling 300 of 400 packages; 30 s so far, roughly 5 min to go",
        "step 2 of 3, tools: done in 3 min 20 s; 1 step remains, roughly 2 min",
    ]


def test_a_part_that_nobody_counts_is_not_made_up() -> None:
    clock, out = Clock(), io.StringIO()
    told = telling(clock, out)
    with told.step(told.due[0]) as report:
        clock.now += 20
        told.tick()
        report("fetched 41 modules")
        clock.now += 20
        told.tick()
    lines = out.getvalue().splitlines()
    assert lines[1] == "step 1 of 3, compiler: at work; 20 s so far, roughly 6 min to go"
    assert lines[2] == "step 1 of 3, compiler: fetched 41 modules; 40 s so far, roughly 6 min to go"
    assert "%" not in out.getvalue()


def test_on_a_terminal_one_line_is_drawn_over_and_the_last_one_stays() -> None:
    clock, out = Clock(), io.StringIO()
    told = telling(clock, out, bar=True, columns=120)
    with told.step(told.due[2]) as report:
        report("unpacking 50 of 100 packages", 0.5)
        clock.now += 45
        told.tick()
        clock.now += 45
    frames = out.getvalue().split("\r")
    assert frames[2] == (
        "[3/3] image [############.............] 50 %, 45 s, about 50 s to go: unpacking 50 of 100 packages\x1b[K"
    )
    assert frames[-1] == "step 3 of 3, image: done in 1 min 30 s\x1b[K\n"
    assert out.getvalue().count("\n") == 1


def test_a_terminal_is_never_wider_than_it_is() -> None:
    for columns in range(1, 160):
        line = drawn(
            "[3/9] tools", 0.42, "42 %, 3 min 05 s, about 4 min to go", "compiling 728 of 1733 packages", columns
        )
        assert len(line) < columns
    assert "[####......] 42 %" in drawn("[3/9] tools", 0.42, "42 %, 5 s", "x" * 100, 80)
    assert "[" not in drawn("3/9 tools", 0.42, "42 %, 3 min 05 s, about 4 min to go", "", 50)
    assert "[" not in drawn("3/9 tools", None, "5 s, about 4 min to go", "fetching", 200)


def test_a_count_that_nobody_announces_is_taken_when_it_is_told() -> None:
    clock, out, installed = Clock(), io.StringIO(), [0]
    told = telling(clock, out)
    with told.step(told.due[0]) as report:
        report.watch(lambda: (f"installing {installed[0]} of 51 packages", installed[0] / 51))
        installed[0] = 17
        clock.now += 16
        told.tick()
    assert "33 %, installing 17 of 51 packages" in out.getvalue()


def test_a_fault_begins_a_line_of_its_own_and_passes_through() -> None:
    def fails(report: Report) -> None:
        raise ValueError("no line")

    out = io.StringIO()
    told = telling(Clock(), out, bar=True, tasks=[task("tools", make=fails)])
    with pytest.raises(ValueError, match="no line"), told.step(told.due[0]) as report:
        told.due[0].make(report)
    assert out.getvalue().endswith("\x1b[K\n")
    assert "done" not in out.getvalue()


def test_tasks_are_done_in_their_order_and_those_that_are_there_are_not() -> None:
    done: list[str] = []

    def making(name: str) -> Callable[[Report], object]:
        return lambda report: done.append(name)

    tasks = [task(name, there=name == "b", make=making(name)) for name in ("a", "b", "c")]
    out = io.StringIO()
    progress.work_through("set-up", tasks, out)
    assert done == ["a", "c"]
    assert out.getvalue().splitlines()[-1].startswith("set-up: done in ")


def test_a_reader_that_has_gone_ends_the_work_at_its_next_word() -> None:
    """The thread that tells of it can end nothing; without this the work would go on for nobody."""

    class Pipe(io.StringIO):
        gone = False

        def write(self, text: str) -> int:
            if self.gone:
                raise BrokenPipeError
            return super().write(text)

    out = Pipe()
    told = Progress("set-up", [task("tools")], out, bar=True, columns=lambda: 80, beat_s=0.001)
    with pytest.raises(BrokenPipeError), told.step(told.due[0]) as report:
        out.gone = True
        for _ in range(10_000):
            report("compiling")
            time.sleep(0.001)
        pytest.fail("the work went on")


def test_a_log_is_no_terminal_and_neither_is_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    assert progress.overwrites(Terminal())
    assert not progress.overwrites(io.StringIO())
    monkeypatch.setenv("CI", "true")
    assert not progress.overwrites(Terminal())
    monkeypatch.delenv("CI")
    monkeypatch.setenv("TERM", "dumb")
    assert not progress.overwrites(Terminal())


@pytest.mark.parametrize(
    ("rough", "elapsed", "part", "remains"),
    [
        (100, 30, None, 70),
        (100, 130, None, 0),
        (100, 30, 0.05, 70),  # too early to say
        (100, 90, 0.5, 90),  # slower than the figure
        (100, 10, 0.5, 90),  # not faster than the figure: what comes may take longer
        (100, 10, 1.0, 90),
    ],
)
def test_what_a_step_still_takes(rough: float, elapsed: float, part: float | None, remains: float) -> None:
    assert left(rough, elapsed, part) == pytest.approx(remains)


def test_times_for_people() -> None:
    assert [lasting(seconds) for seconds in (0.2, 59.4, 59.6, 185)] == ["0 s", "59 s", "1 min 00 s", "3 min 05 s"]
    assert [roughly(seconds) for seconds in (0, 3, 41, 51, 61, 400)] == [
        "a moment",
        "10 s",
        "50 s",
        "1 min",
        "2 min",
        "7 min",
    ]
