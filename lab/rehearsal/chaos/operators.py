"""What people type in a story: a request, `pulumi up`, the same again, the word that a refusal asks for. Every run of pulumi is written down."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from contract.accept import spelled
from lab.rehearsal.chaos.story import Move
from lab.rehearsal.engine import Pulumi, Run
from lab.rehearsal.stage import Stage

RUN_S = 900.0  # no run of pulumi may take longer, whatever is broken
WORDS = (
    "configuration",
    "data_loss",
)  # what an operator may say who only reads the message; that a region is off he would have to know
_ASKED = re.compile(r"set accept\.(\w+)\s+to\s+\{epoch:\s*(\d+)")
LOCKED = "the stack is currently locked"


@dataclass
class Typed:
    """A run of pulumi, as it is kept."""

    who: str
    site: str
    code: int | None  # None: killed
    seconds: float
    said: str = ""


@dataclass
class Journal:
    """What was typed in a story, and which words were asked for and given."""

    typed: list[Typed] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)
    hung: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, entry: Typed) -> None:
        with self.lock:
            self.typed.append(entry)


def asked_word(output: str) -> tuple[str, int] | None:
    """The operator's word that a refusal names, and its epoch; pulumi may have folded the line."""
    found = _ASKED.search(" ".join(output.split()))
    return (found[1], int(found[2])) if found and found[1] in WORDS else None


class Operators:
    """All who type in one story."""

    def __init__(self, stage: Stage, journal: Journal) -> None:
        self._stage, self.journal = stage, journal

    def up(self, site: str, who: str = "operator", pulumi: Pulumi | None = None) -> Run:
        """`pulumi up`, with an end: a run that has none is killed and told of."""
        pulumi = pulumi or self._stage.pulumi
        offset, began = pulumi.log.stat().st_size if pulumi.log.exists() else 0, time.monotonic()
        process = pulumi.start(site)
        code: int | None
        try:
            code = process.wait(RUN_S)
        except subprocess.TimeoutExpired:
            pulumi.kill(process)
            code = None
            self.journal.hung.append(f"pulumi up -s region-{site} ({who}): not done after {RUN_S:.0f} s")
        with pulumi.log.open(errors="replace") as log:
            log.seek(offset)
            output = log.read()
        done = Run(-1 if code is None else code, time.monotonic() - began, output)
        self.journal.note(Typed(who, site, code, round(done.seconds, 1), "" if done.ok else done.diagnostics))
        return done

    def move(self, target: str, plan: Move) -> None:
        """As the story has it, whatever comes of it."""
        self._stage.ask(target)
        if plan.killed_after is not None:
            self._killed(target, plan.killed_after)
        elif plan.operators > 1:
            self._both(target)
        else:
            done = self.up(target)
            if plan.insists:
                self.insist(target, done)

    def insist(self, site: str, done: Run, who: str = "operator") -> Run:
        """Give the words that refusals ask for, one after the other, and run the same again. They are taken out at the end."""
        before: Any = None
        given: dict[str, dict[str, Any]] = {}
        while not done.ok and (word := asked_word(done.output)) is not None and word[0] not in given:
            given[word[0]] = {"epoch": word[1], "at": spelled(), "reason": "the message of the run before asks for it"}
            self.journal.words[word[0]] += 1
            found = self._stage.world.configure(site, "accept", {**(before or {}), **given})
            before = found if len(given) == 1 else before
            done = self.up(site, f"{who}, with accept.{word[0]}")
        if given:
            self._stage.world.configure(site, "accept", before)
        return done

    def unlocked(self, site: str, done: Run) -> bool:
        """`pulumi cancel`, where a run that was killed has left its lock."""
        if done.ok or LOCKED not in done.output:
            return False
        return self._stage.pulumi.cancel(site).ok

    def _killed(self, site: str, after_s: float) -> None:
        """The one process, by its id: what it has started may outlive it, as on a real machine."""
        began = time.monotonic()
        process = self._stage.pulumi.start(site)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
        ended = process.poll()
        if ended is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        self.journal.note(Typed("operator, killed", site, ended, round(time.monotonic() - began, 1)))

    def _both(self, site: str) -> None:
        second = Pulumi.of_another(self._stage.pulumi, self._stage.world.places.run / "second-operator")
        shutil.copytree(self._stage.pulumi.state, second.state, dirs_exist_ok=True)
        other = threading.Thread(target=self.up, args=(site, "second operator", second))
        other.start()
        self.up(site, "first operator")
        other.join()
        shutil.rmtree(second.state)
