"""What comes of an event: people are told, a plan is made, a person's word is waited for, and the shop is moved by the very `drctl failover`.

The fence decides in the end, whoever begins it: it proves that the region has stopped, counts the loss once more, and refuses above the budget. Before a
plan is carried out an attempt for its epoch is created at the witness: no epoch is left twice by watchers, however many there are, and one that has failed is
left to people.
"""

from __future__ import annotations

import datetime
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite

from components.render import documents
from components.settings import Settings
from contract.errors import DrError, ExitCode
from contract.plain import phrase
from contract.sites import other
from contract.watch import MOST_SEEN, Alarm, Attempt, Mode, Watch, Word, age_s
from scripts.clients import trail
from scripts.clients.trail import Note
from scripts.clients.watch_bucket import WatchBucket
from scripts.ctl.moves.automation import Moved, Shop
from scripts.ctl.moves.plan import Kind, Plan
from scripts.watch.judging import Event, What
from scripts.watch.pages import Page, Telling
from scripts.watch.pulse import Pulse, State

NOTED_S = 3.0
WHO = "dr-watch"


@dataclass
class Acting:
    """`say`: a line of the log. Nothing that goes wrong here ends the watcher: it is said, and told."""

    settings: Settings
    shop: Shop
    telling: Telling
    bucket: WatchBucket
    say: Callable[[str], None]
    now: Callable[[], datetime.datetime] = field(default=lambda: datetime.datetime.now(datetime.UTC))
    _open: Alarm | None = None  # one that waits for a person's word
    _told: dict[What, str] = field(default_factory=dict)  # keys of pages that are not over

    @property
    def terms(self) -> Watch:
        return self.settings.watch or Watch()

    def go_by(self, settings: Settings) -> None:
        """From now on."""
        self.settings, self.bucket = settings, WatchBucket(documents.witness(settings))

    def event(self, event: Event) -> None:
        """Once for each."""
        epoch = event.pulse.epoch
        if event.what is What.OVER:
            self._over(event)
        elif event.what is What.LOST and epoch is not None:
            self._lost(event, epoch.active, epoch.epoch)
        else:
            self._part(event)

    def look(self, pulse: Pulse) -> None:
        """With each look: whether somebody has agreed to the plan that waits."""
        alarm = self._open
        if alarm is None:
            return
        if pulse.epoch is not None and pulse.epoch.epoch != alarm.epoch:
            self._open = None
            return
        if age_s(alarm.at, self.now()) > self.terms.confirm_within_s:
            self._open = None
            self._page(
                What.LOST,
                "nobody has confirmed it in time",
                ("the plan is void; nothing was changed", self._by_hand(alarm)),
            )
            return
        try:
            word = self.bucket.word(alarm.id)
        except DrError as error:
            self.say(f"whether somebody has confirmed alarm {alarm.id} is not known: {error}")
            return
        if word is not None:
            self._open = None
            self._confirmed(alarm, word, pulse)

    def _lost(self, event: Event, site: str, epoch: int) -> None:
        plan, why = self._planned(other(site))
        alarm = Alarm(
            id=secrets.token_hex(6),
            site=site,
            epoch=epoch,
            mode=self.terms.mode,
            plan=plan.digest if plan is not None and self.terms.mode != Mode.TELL else "",
            who=trail.who(os.environ),
            place=trail.place(os.environ),
            at=self.now().isoformat(timespec="seconds"),
            loss=phrase(plan.loss if plan else "", 500),
            seen=tuple(phrase(it, 300) for it in event.pulse.lines()[:MOST_SEEN]),
        )
        self.say(f"region {site} is lost: {'; '.join(alarm.seen)}")
        kept = self._kept(alarm)
        against = self._against(alarm, plan, kept) if self.terms.mode == Mode.AUTOMATIC else ""
        lines = [
            f"for {event.for_s:.0f} s nothing of region {site} has answered, seen from {alarm.place}:",
            *(f"  {it}" for it in alarm.seen),
            f"would be lost now: {alarm.loss}" if plan is not None else f"what would be lost is not known: {why}",
            *([] if not kept else [f"not kept at the witness: {kept}"]),
        ]
        self._page(What.LOST, f"region {site} is lost", (*lines, *self._next(alarm, plan, kept, against)))
        self._note(alarm, "lost")
        if self.terms.mode == Mode.AUTOMATIC and not against:
            self._carry_out(alarm, approved_by="")
        elif self.terms.mode == Mode.ASSIST and alarm.plan and not kept:
            self._open = alarm

    def _next(self, alarm: Alarm, plan: Plan | None, kept: str, against: str) -> tuple[str, ...]:
        """The end of the page: what happens now, or what to run."""
        if self.terms.mode == Mode.AUTOMATIC and not against:
            return (f"the shop is moved to region {other(alarm.site)} now, by plan {alarm.plan}",)
        if self.terms.mode == Mode.AUTOMATIC:
            return (f"it is not moved by itself: {against}", self._by_hand(alarm))
        if self.terms.mode == Mode.ASSIST and plan is not None and not kept:
            minutes = self.terms.confirm_within_s // 60
            return (
                f"`drctl confirm {alarm.id}` moves the shop to region {other(alarm.site)}, within {minutes} min",
                self._by_hand(alarm),
            )
        return (self._by_hand(alarm),)

    def _by_hand(self, alarm: Alarm) -> str:
        return f"by hand: `drctl status`, then `drctl failover {other(alarm.site)}`"

    def _planned(self, target: str) -> tuple[Plan | None, str]:
        try:
            return self.shop.plan(Kind.FAILOVER, target), ""
        except DrError as error:
            return None, phrase(str(error), 500)

    def _kept(self, alarm: Alarm) -> str:
        """Why it does not lie at the witness; empty when it does."""
        try:
            return "" if self.bucket.put_alarm(alarm) else "another object stands in its place"
        except DrError as error:
            return phrase(str(error), 300)

    def _against(self, alarm: Alarm, plan: Plan | None, kept: str) -> str:
        """What stands against moving by itself; empty when nothing does."""
        if plan is None:
            return "there is no plan"
        if kept:
            return "the alarm could not be kept at the witness"
        if self.settings.lease is None:
            return "dr:lease is off, so a region that is cut off would not stop"
        return self._lately(alarm)

    def _lately(self, alarm: Alarm) -> str:
        """Whether, and when, it was moved by itself before, however often people have moved it since."""
        try:
            before = self.bucket.last_begun(Mode.AUTOMATIC)
        except DrError as error:
            return f"whether it was moved by itself lately is not known ({phrase(str(error), 200)})"
        if before is None:
            return ""
        if before.epoch == alarm.epoch:
            return f"this epoch was tried before, for alarm {before.alarm}"
        since, rest = age_s(before.at, self.now()), f"wanted {self.terms.rest_s / 3600:.0f} h between two"
        if not isfinite(since):
            return f"it was moved by itself out of epoch {before.epoch}, nobody knows when, {rest}"
        return f"it was moved by itself {max(since, 0) / 3600:.1f} h ago, {rest}" if since < self.terms.rest_s else ""

    def _confirmed(self, alarm: Alarm, word: Word, pulse: Pulse) -> None:
        if word.plan != alarm.plan:
            self._page(
                What.LOST,
                "what was confirmed is another plan",
                (f"{word.who} agreed to {word.plan}, this is {alarm.plan}; nothing was changed", self._by_hand(alarm)),
            )
        elif pulse.working:
            self._page(
                What.LOST,
                "confirmed, and somebody else is at work",
                (f"{pulse.working}; nothing was changed by {word.who}'s word", "see `drctl status`"),
            )
        elif pulse.state is not State.LOST:
            seen = tuple(pulse.lines())
            self._page(
                What.LOST,
                f"confirmed, and region {alarm.site} is not silent any more",
                (f"nothing was changed by {word.who}'s word:", *seen, self._by_hand(alarm)),
            )
        else:
            self._carry_out(alarm, approved_by=word.who)

    def _carry_out(self, alarm: Alarm, *, approved_by: str) -> None:
        """At most once in an epoch, whoever else watches."""
        target, at = other(alarm.site), self.now().isoformat(timespec="seconds")
        mode = Mode.ASSIST if approved_by else Mode.AUTOMATIC
        attempt = Attempt(epoch=alarm.epoch, alarm=alarm.id, mode=mode, who=alarm.who, place=alarm.place, at=at)
        try:
            first = self.bucket.begin(attempt)
        except DrError as error:
            self._page(What.LOST, "it could not be begun", (f"nothing was changed: {error}", self._by_hand(alarm)))
            return
        if not first:
            self._page(
                What.LOST,
                "another watcher was first, or this epoch was tried before",
                ("nothing was changed from here", self._by_hand(alarm)),
            )
            return
        self.say(f"alarm {alarm.id}: failover to region {target}, plan {alarm.plan}")
        moved = self.shop.failover(
            target,
            plan=alarm.plan,
            reason=f"alarm {alarm.id}: region {alarm.site} is lost",
            approved_by=approved_by,
            ticket=alarm.id,
        )
        self._moved(alarm, moved)

    def _moved(self, alarm: Alarm, moved: Moved) -> None:
        self._note(alarm, "moved" if moved.ok else "failed")
        if moved.ok:
            self._page(
                What.LOST,
                f"the shop was moved to region {other(alarm.site)}",
                (
                    "it sells there; see `drctl status`, and `drctl report list`",
                    f"once region {alarm.site} is back: `drctl rejoin {alarm.site}`",
                ),
            )
            return
        said = {
            ExitCode.REFUSED: "it was refused, and nothing was changed",
            ExitCode.UNKNOWN: "nobody can tell how it ended",
            ExitCode.PARTIAL: "it has stopped part-way",
        }.get(moved.code, "it has failed")
        self._page(
            What.LOST,
            f"the shop was not moved: {said}",
            (
                phrase(moved.error, 1500),
                "it is not tried again by itself; `drctl status`, and docs/runbook/region-lost.md",
            ),
        )

    def _part(self, event: Event) -> None:
        epoch = event.pulse.epoch
        region = f"region {epoch.active}" if epoch is not None else "the shop"
        title = {What.PART: f"{region} is not well", What.BLIND: f"whether {region} is well cannot be seen"}[event.what]
        lines = (
            f"for {event.for_s:.0f} s, seen from {trail.place(os.environ)}:",
            *event.pulse.lines(),
            "nothing is done by itself; `drctl status`",
        )
        self._page(event.what, title, lines)

    def _over(self, event: Event) -> None:
        epoch = event.pulse.epoch
        where = f"region {epoch.active} is active, epoch {epoch.epoch}" if epoch else ""
        for what, key in list(self._told.items()):
            self.telling.tell(
                Page(
                    key=key,
                    title=f"over: {what}",
                    lines=(f"after {event.for_s:.0f} s; {where}", *event.pulse.lines()),
                    urgent=False,
                    over=True,
                )
            )
        self.say(f"over, after {event.for_s:.0f} s")
        self._told, self._open = {}, None

    def _page(self, what: What, title: str, lines: tuple[str, ...]) -> None:
        shop = self.settings.shop.host
        key = self._told.setdefault(what, f"{shop} {what} {self.now():%Y-%m-%dT%H:%M:%SZ}")
        self.say(f"page: {title}: {phrase('; '.join(lines), 600)}")
        self.telling.tell(
            Page(
                key=key,
                title=f"{shop}: {title}",
                lines=tuple(phrase(it, 600) for it in lines),
                urgent=what is What.LOST,
            )
        )

    def _note(self, alarm: Alarm, step: str) -> None:
        facts = {"step": step, "alarm": alarm.id, "mode": str(alarm.mode)}
        note = Note(documents.witness(self.settings), "watch", alarm.site, epoch=alarm.epoch, facts=facts)
        if lost := note.lost(NOTED_S):
            self.say(lost)
