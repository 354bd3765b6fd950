"""What a check is and what it finds. A row has a stable id, by which it is known to people and monitoring; a judge only reads a survey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Any

from components.settings import Settings
from contract.dataclass import dataclass
from contract.epoch import Epoch
from contract.hosts import DATABASE, first, kind_of
from contract.sites import SITES
from contract.survey import HostSurvey
from scripts.ctl.survey.known import Known
from scripts.ctl.survey.seen import Region, Survey


class State(StrEnum):
    """Of a finding. Unknown is never good."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """What a check counts for when it does not hold, or nobody knows whether it does."""

    BLOCKS = "blocks"  # no planned move: it would lose something, or not come to its end
    WARNS = "warns"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`subject`: what it is about, "db-1.b"; `next`: what to run or to read."""

    id: str
    state: State
    severity: Severity
    subject: str
    found: str
    wanted: str = ""
    next: str = ""

    @property
    def blocks(self) -> bool:
        return self.severity is Severity.BLOCKS and self.state in (State.FAIL, State.UNKNOWN)

    def sentence(self, aside: str = "") -> str:
        """For people: what is wrong, what is wanted, the next command. `aside`: behind what is wanted."""
        return f"{self.id}  {self.subject}: {self.found}, wanted {self.wanted}{aside}; {self.next}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Of a judge on one subject; None of `holds`: nobody knows."""

    subject: str
    holds: bool | None
    found: str


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a judge reads: the survey, and what is wanted by the configuration."""

    survey: Survey
    settings: Settings

    @property
    def epoch(self) -> Epoch | None:
        return self.survey.newest.value

    @property
    def now(self) -> float:
        return self.survey.at

    def regions(self) -> Iterator[Region]:
        for site in SITES:
            yield self.survey.regions[site]

    def is_active(self, site: str) -> bool | None:
        """None where nobody knows."""
        return None if self.epoch is None else self.epoch.active == site

    def hosts(self, *kinds: str) -> Iterator[tuple[str, str, Known[HostSurvey]]]:
        """Name, site and word of every host of these kinds; of all without any."""
        for region in self.regions():
            for name, word in region.hosts.items():
                if not kinds or kind_of(name) in kinds:
                    yield f"{name}.{region.site}", region.site, word

    def heads(self, kind: str) -> Iterator[tuple[str, str, Known[HostSurvey]]]:
        """The first host of a kind in each region."""
        for region in self.regions():
            name = first(kind)
            yield f"{name}.{region.site}", region.site, region.hosts.get(name, Known(why="there is no such host"))

    def pair(self, of: Callable[[HostSurvey], Any], kind: str = DATABASE) -> tuple[Any, Any]:
        """A part of what the active side's first host of a kind says, and of the standby's; None where nobody knows."""
        found = [
            None if it is None else it.hosts.get(first(kind), Known(why="-"))
            for it in (self.survey.active, self.survey.standby)
        ]
        return (
            None if found[0] is None else found[0].part(of),
            None if found[1] is None else found[1].part(of),
        )


Judge = Callable[[Sight], Iterable[Verdict]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A check. `about`: one line of what it looks at; `wanted` and `next`: of a finding that is not good.

    `deep`: of `drctl check` alone: nobody else asks for what it judges, or it is no matter of this hour.
    """

    id: str
    severity: Severity
    about: str
    wanted: str
    next: str
    judge: Judge
    deep: bool = False

    def findings(self, sight: Sight) -> Iterator[Finding]:
        """One for each subject. A judge that raises is one that knows nothing."""
        try:
            verdicts = list(self.judge(sight))
        except Exception as error:
            verdicts = [Verdict(subject="-", holds=None, found=f"could not be judged ({type(error).__name__})")]
        bad = State.FAIL if self.severity is Severity.BLOCKS else State.WARN
        for it in verdicts or [Verdict(subject="-", holds=None, found="nothing of it is known")]:
            state = State.UNKNOWN if it.holds is None else State.OK if it.holds else bad
            good = state is State.OK
            yield Finding(
                id=self.id,
                state=state,
                severity=self.severity,
                subject=it.subject,
                found=it.found,
                wanted="" if good else self.wanted,
                next="" if good else self.next,
            )


def unknown(subject: str, why: str = "") -> Verdict:
    return Verdict(subject=subject, holds=None, found=why or "nobody knows")


def judged(subject: str, value: Any, holds: Callable[[Any], bool], words: Callable[[Any], str] = str) -> Verdict:
    """Of a value that is unknown where it is None."""
    if value is None:
        return unknown(subject)
    return Verdict(subject=subject, holds=holds(value), found=words(value))


def each(
    hosts: Iterable[tuple[str, str, Known[HostSurvey]]],
    of: Callable[[HostSurvey], Any],
    holds: Callable[[Any], bool],
    words: Callable[[Any], str] = str,
) -> Iterator[Verdict]:
    """Of a part of what each host says; with its reason where the host is silent."""
    for name, _, word in hosts:
        if word.value is None:
            yield unknown(name, word.why)
        else:
            yield judged(name, of(word.value), holds, words)


def counted(findings: Iterable[Finding]) -> str:
    """How many of which state."""
    found = Counter(it.state for it in findings)
    return ", ".join(f"{found[state]} {state}" for state in State if found[state])


def ago(seconds: float) -> str:
    """An age in words, `90 s` or `3 h`."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def size(count: float) -> str:
    """Bytes in words."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 2**power:
            return f"{count / 2**power:.1f} {unit}"
    return f"{count:.0f} bytes"
