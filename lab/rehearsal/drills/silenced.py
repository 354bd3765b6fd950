"""All that is done on purpose while both regions watch, a watcher may move the shop by itself, and customers order: nobody is told of it, and what is wrong
for real is told all the same.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from contract import artefact
from contract.errors import ExitCode
from contract.hosts import first
from contract.monitoring.silences import AFTERMATH_S, CAUSES, Undertaking
from contract.sites import SITES, other
from lab.namespace import LabError
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.deploys import release
from lab.rehearsal.drills.monitored import asked, monitoring, settles, silenced
from lab.rehearsal.drills.planned import nothing_lost
from lab.rehearsal.drills.watched import watcher
from lab.rehearsal.receivers import MAIL, WATCHER, WAYS, Message, Receivers
from lab.rehearsal.stacks import stack_name
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import wait_for

WATCH_S = "DRLAB_WATCH_S"  # how long there is to be load, all in all; by default as long as the story takes
LOOK_S = 3.0  # between two looks at what is silenced
SLACK_S = 20.0  # a look takes its time, and so does the word of the end
CALM_S, TOLD_S, OVER_S, HANGS_S = 90, 180, 420, 420
FIT_S = 180.0  # until a region that follows since a moment ago may lead
FIRES = 'ALERTS{alertstate="firing",severity=~"page|warn"}'
AWAY = "DatabaseHostDown"
# Hosts of the lab have its machine's processors and memory in common, and see all of it.
OF_THE_MACHINE = ("ProcessorBusy", "MemoryShort")
BLIND = ("cannot be seen", "is not well", "over: part", "over: blind")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What was done to the pair for real, at `at` by the monotonic clock; `told`: alerts and their regions by which it may be told. A watcher may say that it
    does not see well.
    """

    at: float
    told: Collection[tuple[str, str]]

    @classmethod
    def of_a_host(cls, at: float, lost: str, *more: str) -> Fault:
        """A host of the standby's region is away; `more`: alerts of either region."""
        causes = CAUSES[Undertaking.STANDBY]
        own = [(name, lost) for name in (*causes.hosts, *causes.site)]
        others = [(name, other(lost)) for name in causes.other]
        return cls(at=at, told={*own, *others, *((name, site) for name in more for site in SITES)})

    def explains(self, message: Message) -> bool:
        if message.at < self.at:
            return False
        watchers = message.name.startswith(WATCHER) and any(it in message.name for it in BLIND)
        return (message.name, message.site) in self.told or watchers


def false_alarms(messages: Sequence[Message], since: float, faults: Sequence[Fault]) -> list[Message]:
    """Messages that came since then of which no fault is the reason, whether they say that something is wrong or that it is over. Pure."""
    return [it for it in messages if it.at >= since and not any(fault.explains(it) for fault in faults)]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that was done on purpose, by the words that its silences say why in; `ended`: by the monotonic clock."""

    words: str
    began: float
    ended: float


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a region says is silenced, asked at `began` and answered at `at`."""

    site: str
    began: float
    at: float
    said: Sequence[str]


def unsilenced(looks: Sequence[Look], steps: Sequence[Step]) -> list[str]:
    """What is wrong with the silences of these steps, in either region: none while it ran, or one that outlives it. Pure."""
    found = []
    for step in steps:
        for site in SITES:
            own = [look for look in looks if look.site == site]
            there = [look for look in own if any(step.words in it for it in look.said)]
            if not any(step.began <= look.began and look.at <= step.ended for look in there):
                found.append(f"{step.words}: region {site} was not quiet about it while it ran")
            bound = step.ended + AFTERMATH_S + SLACK_S
            if late := [look for look in there if look.began > bound]:
                found.append(f"{step.words}: region {site} is quiet {late[-1].began - step.ended:.0f} s after its end")
            if not any(look.began > bound for look in own):
                found.append(f"{step.words}: region {site} has not been looked at after its silence")
    return found


@dataclass
class Story:
    """One of them, under way."""

    stage: Stage
    record: Record
    people: Receivers
    began: float = 0.0
    steps: list[Step] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def calm(self) -> None:
        """Nothing fires, and what was told of the begin is told to be over; from now on messages count. What stays for longer is a figure, and counts not."""
        for what, holds in (
            ("nothing fires", lambda: not any(asked(self.stage, site, FIRES) for site in SITES)),
            ("what was told is over", lambda: not self.people.open),
        ):
            try:
                wait_for(what, holds, CALM_S, 1.0)
            except RuntimeError:
                continue
        labels = [it["metric"] for site in SITES for it in asked(self.stage, site, FIRES)]
        left = {(it["alertname"], it.get("site", "")) for it in labels} | {it[1:] for it in self.people.open}
        self.record.figures["fired_before"] = sorted({name for name, _ in left})
        self.faults.append(Fault(at=0.0, told={*left, *((name, site) for name in OF_THE_MACHINE for site in SITES)}))
        self.began = time.monotonic()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """At silences, all the while. A region that does not answer has not been looked at."""
        end = threading.Event()

        def look() -> None:
            while not end.wait(LOOK_S):
                for site in SITES:
                    began = time.monotonic()
                    try:
                        said = silenced(self.stage, site)
                    except (RuntimeError, OSError, ValueError, KeyError):
                        continue
                    self.looks.append(Look(site=site, began=began, at=time.monotonic(), said=said))

        looker = threading.Thread(target=look, daemon=True)
        looker.start()
        try:
            yield
        finally:
            end.set()
            looker.join(120)

    def step(self, *typed: str) -> None:
        """`drctl` as an operator types it: where it is refused, because the region does not follow well yet, the same again."""
        words = f"step {len(self.steps) + 1} of a drill, {typed[0]}"
        stacks = (
            ("--stack", stack_name("a"), "--config-file", str(self.stage.pulumi.files["a"]))
            if typed[0] == "reboot"
            else ("--config-dir", str(self.stage.pulumi.files["a"].parent))
        )
        end = time.monotonic() + FIT_S
        while True:
            began = time.monotonic()
            done = self.stage.pulumi.typed(*typed, "--yes", "--reason", words, *stacks)
            if done.returncode != ExitCode.REFUSED or time.monotonic() > end:
                break
            time.sleep(LOOK_S)
        ended = time.monotonic()
        self.steps.append(Step(words=words, began=began, ended=ended))
        self.say(f"drctl {typed[0]} has ended with {done.returncode} after {ended - began:.0f} s")
        self.record.figures[f"{len(self.steps)} {typed[0]}_s"] = round(ended - began, 1)
        self.record.expect(
            done.returncode == 0,
            f"drctl {' '.join(typed[:2])} ended with {done.returncode}: {done.stdout[-600:]}{done.stderr[-1500:]}",
        )
        for wrong in ("may be told as a fault", "end by themselves"):
            self.record.expect(wrong not in done.stderr, f"drctl {typed[0]} was not heard: {done.stderr[-900:]}")

    def told(self, name: str, site: str, since: float, ways: Collection[str], *, firing: bool = True) -> None:
        """Wait until all of these ways have."""
        what = f"{name} is told{'' if firing else ' to be over'} by {', '.join(ways)}"
        wait_for(
            what,
            lambda: self.people.told_by(name, site, since=since, firing=firing) >= {*ways},
            TOLD_S if firing else OVER_S,
            0.2,
        )

    def say(self, what: str) -> None:
        """A line as soon as it is so: a story may take hours, and whoever ends it has what came of it so far."""
        wrong = false_alarms([*self.people.messages], self.began, self.faults)
        names = ", ".join(sorted({f"{it.name} {it.site}" for it in wrong})) or "none"
        print(
            f"{time.monotonic() - self.began:7.0f} s  {what}; false alarms so far: {len(wrong)} ({names})", flush=True
        )

    def quiet_after(self) -> None:
        """Until the last step's silences must have gone, and both regions have been looked at after that."""
        bound = self.steps[-1].ended + AFTERMATH_S + SLACK_S
        wait_for(
            "both regions have been looked at",
            lambda: {look.site for look in [*self.looks] if look.began > bound} == set(SITES),
            AFTERMATH_S + SLACK_S + 120,
            1.0,
        )

    def watched(self, wanted_s: float) -> None:
        """There is load for so long, all in all."""
        left = self.began + wanted_s - time.monotonic()
        if left > 0:
            wait_for("its time is over", lambda: time.monotonic() - self.began >= wanted_s, left + 60, 1.0)
            self.say("its time is over")

    def judged(self) -> None:
        """What came of it, as figures and faults."""
        seconds, wrong = time.monotonic() - self.began, false_alarms(self.people.messages, self.began, self.faults)
        own = [it for it in self.people.messages if it.at >= self.began]
        self.record.figures |= {
            "watched_s": round(seconds),
            "false_alarms": len(wrong),
            "messages": dict(Counter(f"{it.name}{'' if it.firing else ' (over)'}" for it in own)),
            "watchdog": sum(at >= self.began for at in self.people.alive),
        }
        at = ", ".join(
            f"{it.at - self.began:.0f} s {it.way} {it.name} {it.site}{'' if it.firing else ' over'}" for it in wrong
        )
        self.record.expect(not wrong, f"{len(wrong)} false alarms in {seconds / 60:.0f} minutes of load: {at}")
        self.record.expect(self.record.figures["watchdog"] > 0, "nobody has heard that alerting is alive")
        for fault in unsilenced(self.looks, self.steps):
            self.record.expect(False, fault)


def wanted_s() -> float:
    """Raises LabError on what is no number."""
    told = os.environ.get(WATCH_S, "0")
    try:
        return float(told)
    except ValueError:
        raise LabError(f"{WATCH_S}: found {told!r}, wanted seconds, like 7200; nothing was played") from None


@contextmanager
def story(stage: Stage, record: Record) -> Iterator[Story]:
    """Both regions watch and tell by every way; all is calm."""
    with Receivers() as people:
        it = Story(stage, record, people)
        with monitoring(stage, {"retention_days": 1, **people.keys()}, people.secrets()):
            settles(stage)
            it.calm()
            yield it


@drill("monitored-moves")
def monitored_moves(stage: Stage, record: Record) -> None:
    """There and home, two releases and one back, a host's reboot, by drctl, under load, with a watcher in mode automatic: not one message; then a host dies,
    within the silence that is left of its reboot, and everybody is told.
    """
    load_s, home, away = wanted_s(), stage.active, stage.standby
    host = f"db-1.{away}"
    before = dict(stage.world.whole("a")["dr:shop"])
    one, two = (release(stage, f"quiet-{it}", {"VERSION": f"{it}\n"}) for it in (1, 2))
    for each in (one, two):
        pushed = stage.pulumi.typed("releases", "push", str(each), "--config-file", str(stage.pulumi.files["a"]))
        record.expect(pushed.returncode == 0, f"drctl releases push: {pushed.stderr[-900:]}")
    with story(stage, record) as it:
        for site in SITES:
            stage.world.configure(site, "shop", dict(before))
        with watcher(stage, "automatic") as log, stage.shopping(record) as shop:
            it.began = time.monotonic()
            with it.looking():
                it.step("switchover", away)
                it.step("switchover", home)
                it.step("deploy", artefact.sha256(one))
                it.step("deploy", artefact.sha256(two))
                it.step("rollback", artefact.sha256(one))
                it.watched(load_s)
                it.step("reboot", away, "--host", first("db"))
                dies = time.monotonic()
                stage.fault("host", "kill", host)
                it.faults.append(Fault.of_a_host(dies, away))
                it.told(AWAY, away, dies, WAYS)
                record.figures["fault_told_after_s"] = {
                    way: round(it.people.told(AWAY, away, since=dies, ways=(way,))[0] - dies, 1) for way in WAYS
                }
                it.say("everybody is told of a dead host")
                back = time.monotonic()
                stage.fault("host", "return", host)
                it.told(AWAY, away, back, WAYS, firing=False)
                it.quiet_after()
            it.judged()
            shop.flow("orders flow at the end")
            record.expect(" is lost" not in log.read_text(), f"the watcher: {log.read_text()[-900:]}")
        for site in SITES:
            stage.world.configure(site, "shop", None)
    nothing_lost(record)
    record.expect(stage.active == home, f"region {stage.active} is active, wanted {home}: nobody was to move it")


@drill("monitored-mail-hangs")
def monitored_mail_hangs(stage: Stage, record: Record) -> None:
    """The mail server lets everybody in and says nothing while a host dies: every other way tells of the host, and of the mail; and that it is over, once the
    server answers.
    """
    lost = stage.standby
    host, others = f"db-1.{lost}", [way for way in WAYS if way != MAIL]
    with story(stage, record) as it, stage.shopping(record) as shop:
        hangs = time.monotonic()
        it.people.mail_hangs()
        stage.fault("host", "kill", host)
        it.faults.append(Fault.of_a_host(hangs, lost, "MailHangs"))
        it.told(AWAY, lost, hangs, others)
        record.figures["fault_told_after_s"] = round(it.people.told(AWAY, lost, since=hangs)[-1] - hangs, 1)
        stage.fault("host", "return", host)
        warned = [way for way in others if way != "pager"]  # whom a warning does not wake
        wait_for("MailHangs is told", partial(_hangs, it, hangs, warned), HANGS_S, 0.5)
        record.figures["hang_told_after_s"] = round(time.monotonic() - hangs, 1)
        early = it.people.told_by(AWAY, lost, since=hangs) - {*others}
        record.expect(not early, "mail has come from a server that hangs")
        answers = time.monotonic()
        it.people.mail_answers()
        it.told(AWAY, lost, answers, [MAIL])
        record.figures["mail_after_s"] = round(time.monotonic() - answers, 1)
        wait_for("MailHangs is over", partial(_over, it, answers, warned), OVER_S, 0.5)
        record.figures["hang_over_after_s"] = round(time.monotonic() - answers, 1)
        it.told(AWAY, lost, hangs, WAYS, firing=False)
        it.judged()
        shop.flow("orders flow at the end")
    nothing_lost(record)


def _hangs(it: Story, since: float, ways: Collection[str]) -> bool:
    """In either region: of the two Alertmanagers the first to come sends, and waits."""
    return any(it.people.told_by("MailHangs", site, since=since) >= {*ways} for site in SITES)


def _over(it: Story, since: float, ways: Collection[str]) -> bool:
    """Wherever it was told."""
    hung = [site for site in SITES if it.people.told("MailHangs", site, since=0.0, ways=ways)]
    return all(it.people.told_by("MailHangs", site, since=since, firing=False) >= {*ways} for site in hung)
