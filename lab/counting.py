"""Tools that take minutes, and what they print, as counts. Standard library only.

Each counter takes a tool's lines and says to a report how far it is. Where a tool does not say how much there will be, none is invented: then
only what has been done is told.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lab.progress import Report, Said

_APT_TOTAL = re.compile(r"(\d+) upgraded, (\d+) newly installed")
_APT_FETCHED = re.compile(r"Get:\d+ \S+ \S+ \S+ (\S+)")
_APT_DONE = re.compile(r"(Unpacking|Setting up) ([^\s:]+)")
# With a name and nothing else: "Unpacking required packages..." is a heading.
_BASE_FETCHED = re.compile(r"I: Validating (\S+) \S+$")
_BASE_DONE = re.compile(r"I: (Unpacking|Configuring) ([^\s:]+?)(?::\S+)?\.\.\.$")
_PIP_FOUND = re.compile(r"Collecting ([A-Za-z0-9._-]+)")
_PIP_INSTALLS = re.compile(r"Installing collected packages: (.+)")
_GO_FETCHED = re.compile(r"go: downloading (\S+)")


def follow(command: Sequence[str], each: Callable[[str], object], *, to_the_end: bool = False, **options: Any) -> int:
    """Run a tool, hand over each line of its output and errors as it comes, return its status.

    Whatever ends this early ends the tool too, by force; `to_the_end`: it is waited for instead, as it must not be cut in the middle.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        **options,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            for line in process.stdout:
                each(line.rstrip("\n"))
        except BaseException:
            if to_the_end:
                process.stdout.read()
            else:
                process.kill()
            raise
    return process.returncode


class Apt:
    """`apt-get install`: every package is fetched unless it is there, unpacked and set up."""

    def __init__(self, report: Report) -> None:
        self._report, self._total, self._stages = report, 0, 3
        self._done = {"fetching": 0, "unpacking": 0, "setting up": 0}

    def __call__(self, line: str) -> None:
        total = _APT_TOTAL.match(line)
        if total:
            self._total = int(total[1]) + int(total[2])
        elif line.startswith("Need to get 0 B"):
            self._stages = 2
        elif self._total:
            fetched, done = _APT_FETCHED.match(line), _APT_DONE.match(line)
            if fetched:
                self._count("fetching", fetched[1])
            elif done:
                # Those that were there are announced by nobody.
                self._done["fetching"] = self._total if self._stages == 3 else 0
                self._count(done[1].lower(), done[2])

    def _count(self, stage: str, name: str) -> None:
        self._done[stage] = min(self._done[stage] + 1, self._total)
        part = sum(self._done.values()) / (self._stages * self._total)
        self._report(f"{stage} {self._done[stage]} of {self._total} packages: {name}", min(part, 1.0))


class Debootstrap:
    """The base system: how many packages it has is known when the last is fetched."""

    def __init__(self, report: Report) -> None:
        self._report, self._fetched = report, 0
        self._done = {"unpacking": 0, "configuring": 0}

    def __call__(self, line: str) -> None:
        fetched, done = _BASE_FETCHED.match(line), _BASE_DONE.match(line)
        if fetched:
            self._fetched += 1
            self._report(f"base system: fetched {self._fetched} packages")
        elif done and self._fetched:
            stage = done[1].lower()
            self._done[stage] = min(self._done[stage] + 1, self._fetched)
            part = sum(self._done.values()) / (2 * self._fetched)
            self._report(
                f"base system: {stage} {self._done[stage]} of {self._fetched} packages: {done[2]}", min(part, 1.0)
            )


class Pip:
    """`pip install`: it finds out what it needs while it fetches, then installs without a word; what is in `site` by then is counted."""

    def __init__(self, report: Report, site: Callable[[], Iterable[Path]]) -> None:
        self._report, self._site, self._found = report, site, 0
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        found, installs = _PIP_FOUND.match(line.strip()), _PIP_INSTALLS.match(line)
        if found:
            self._found += 1
            self._report(f"fetching, {self._found} packages so far: {found[1]}")
        elif installs:
            total, before = len(installs[1].split(", ")), self._installed()
            self._report.watch(lambda: self._installing(total, before))

    def _installing(self, total: int, before: int) -> Said:
        done = min(max(self._installed() - before, 0), total)
        return f"installing {done} of {total} packages", done / total

    def _installed(self) -> int:
        return sum(path.name.endswith(".dist-info") for path in self._site())


class Go:
    """`go build -v`: it names each package that it compiles, none that its cache has. `rest` are the lines that count nothing: its errors."""

    def __init__(self, report: Report) -> None:
        self._report, self._fetched, self._total = report, 0, 0
        self._wanted: set[str] = set()
        self.rest: list[str] = []

    def expect(self, packages: Iterable[str]) -> None:
        """These it will compile."""
        self._wanted = set(packages)
        self._total = len(self._wanted)
        self._say()

    def __call__(self, line: str) -> None:
        fetched = _GO_FETCHED.match(line)
        if fetched:
            self._fetched += 1
            self._report(f"fetched {self._fetched} modules: {fetched[1]}")
        elif line in self._wanted:
            self._wanted.discard(line)
            self._say()
        else:
            self.rest.append(line)

    def _say(self) -> None:
        done = self._total - len(self._wanted)
        if done == self._total:
            self._report("linking", 1.0 if self._total else None)
        else:
            self._report(f"compiling {done} of {self._total} packages", done / self._total)
