"""Taking the primary out of service for a hand-over (`stop`), and putting it back (`resume`): each ends within its own limit, with a sentence.

Whoever stops says for which attempt, and the host keeps it: the checkpoint of the stop proves to that attempt that nobody writes, so nobody else
may undo it. Another attempt takes the stop over by stopping again. A stop that does not end is taken back: the server is killed and started, and
its recovery is short, since its checkpoint came just before.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict

from contract import limits
from contract.dataclass import dataclass
from contract.errors import Failed, OutcomeUnknown, Refused, say

from ..frame.call import Call
from ..frame.commands import TIMED_OUT, CommandFailed
from ..frame.desired import Reader
from ..frame.files import make_folder, write_atomically
from ..frame.layout import Layout
from ..frame.locks import WAIT_S
from ..frame.processes import kill_family, process
from ..frame.result import Result
from ..frame.rolefile import FENCED, PRIMARY, STANDBY, Role
from ..frame.vouch import OVERRIDE, typed, vouched
from ..frame.wait import until
from ..frame.witness import Active, Silent, Witness
from .server import SLOW_S, Server
from .text import SHUT_DOWN, ControlData

LIMIT_S = limits.STOP_S - WAIT_S - 4.0  # from the lock to the answer: its sentence comes before `timeout` ends it
BACK_S = 26.0  # of that, what taking a stop back may need: a start, its guard, a recovery
READY_S = 20.0
CLEAN_S = 5.0  # after that a server that is shut down and does not go is not waited for
KILL_S = 5.0
_TICK_S = 0.005
_ATTEMPT = re.compile(r"[0-9a-f-]{1,64}")


@dataclass(frozen=True)
class Stopped:
    """`/var/lib/dr/stop.json`: which attempt owns the stop; `attempt` is None of a stop by hand, or of an older caller."""

    epoch_next: int
    attempt: str | None

    def write(self, layout: Layout) -> None:
        make_folder(layout.var, 0o711)
        write_atomically(layout.var / "stop.json", (json.dumps(asdict(self), sort_keys=True) + "\n").encode())

    @classmethod
    def read(cls, layout: Layout, role: Role) -> Stopped | None:
        """That of the role's own epoch; None when there is none."""
        try:
            found = json.loads((layout.var / "stop.json").read_bytes())
            attempt = found["attempt"]
            stopped = cls(int(found["epoch_next"]), None if attempt is None else str(attempt))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return stopped if stopped.epoch_next == role.epoch + 1 else None

    @staticmethod
    def forget(layout: Layout) -> None:
        (layout.var / "stop.json").unlink(missing_ok=True)


@dataclass(frozen=True)
class Deadline:
    """When a call must have its answer, by `time.monotonic`."""

    at: float

    @classmethod
    def of_call(cls) -> Deadline:
        return cls(time.monotonic() + LIMIT_S)

    def left(self, at_least: float = 0.5) -> float:
        """Seconds."""
        return max(self.at - time.monotonic(), at_least)


def stop(call: Call, server: Server, role: Role) -> Result:
    """Role `fenced` first, so that no boot starts it, then a fast stop. The write outage starts with the signal, so what is slow goes before it.

    Raises Refused, nothing changed, or Failed, and then the server runs again or the message says what is so.
    """
    asked, deadline = _asked(call, role), Deadline.of_call()
    ran = server.pid() is not None
    if ran:
        _make_ready(call, server)
    changed = ran or role.role != FENCED
    asked.write(call.layout)  # before the role: from now on it is this attempt's, also when it was another's
    role.but(FENCED).write(call.layout)
    try:
        found = _down(call, server, deadline.left() - BACK_S)
    except Failed as error:
        if not ran:
            raise
        raise Failed(f"{error}; {_take_back(call, server, role, deadline)}") from None
    if found.state != SHUT_DOWN:
        raise Failed(
            say(
                subject="stopped cluster",
                found=f"control file {found.state!r}",
                wanted=f"{SHUT_DOWN!r}",
                consequence="it was a standby, so there is nothing to hand over",
                remedy="`dr-host postgres resume` undoes the stop",
            )
        )
    return Result(
        {"cluster_state": found.state, "checkpoint": {"lsn": found.checkpoint, "timeline": found.timeline}}, changed
    )


def resume(call: Call, server: Server, role: Role) -> Result:
    """Undo `stop`: primary again in the same epoch, started through the guard, and proven to write. Raises Refused, Failed or OutcomeUnknown."""
    deadline = Deadline.of_call()
    reader = Reader(call.document, "document")
    attempt = _attempt(reader)
    reader.done()
    if role.role == STANDBY:
        raise _refused(
            f"standby in epoch {role.epoch}",
            f"{FENCED} or {PRIMARY}",
            "a standby is never resumed as primary",
            "to move the shop here, run `pulumi up` with its request",
        )
    changed = role.role != PRIMARY or server.pid() is None
    silent = _may_resume(call, role, attempt, stopped=changed)
    role.but(PRIMARY).write(call.layout)
    with _word(call, role, silent):
        _start(call, server, role, deadline)
    Stopped.forget(call.layout)
    return Result({"writable": True}, changed)


def _asked(call: Call, role: Role) -> Stopped:
    reader = Reader(call.document, "document")
    attempt = _attempt(reader)
    epoch_next = reader.number("epoch_next", role.epoch + 1)  # a person who stops it by hand means the epoch that is
    reader.done()
    if role.role == STANDBY:
        raise _refused(
            f"standby in epoch {role.epoch}",
            PRIMARY,
            "stopping a standby hands nothing over",
            "stop the primary, on the active site",
        )
    if role.epoch != epoch_next - 1:
        raise _refused(
            f"{role.role} in epoch {role.epoch}",
            f"epoch {epoch_next - 1}, the one before epoch {epoch_next} that the stop is for",
            "this stop would prove nothing about that epoch",
            "run `pulumi up` for this site, then the move again",
        )
    return Stopped(epoch_next, attempt)


def _attempt(reader: Reader) -> str | None:
    found = reader.optional_text("attempt")
    if found is not None and not _ATTEMPT.fullmatch(found):
        reader.fault("attempt", "a text of another kind", "1 to 64 characters of 0-9, a-f and -")
    return found


def _make_ready(call: Call, server: Server) -> None:
    """Raises Refused where the disk cannot take a checkpoint in time: a stop needs one more, and nobody writes meanwhile."""
    try:
        ended = server.make_ready_to_stop(READY_S)
    except CommandFailed as error:
        if error.done.code == TIMED_OUT:
            raise Refused(
                say(
                    subject=f"checkpoint of {server.layout.data}",
                    found=f"one that is not done after {READY_S:g} s",
                    wanted="one that is",
                    consequence="a stop would keep the shop from writing for longer than that, nothing was changed",
                    remedy="it goes on by itself: see its log and the disk below it, and run the same again in a minute",
                )
            ) from None
        call.log.warning(f"no checkpoint before the stop, so it may take longer: {error.done.reason}")
    else:
        if ended:
            call.log.warning(f"{ended} clients with a transaction open for more than {SLOW_S:g} s were ended")


def _down(call: Call, server: Server, limit_s: float) -> ControlData:
    """A fast stop. What has written its last record and only waits for somebody else, such as its archiver, is ended. Raises Failed."""
    pid, began = server.pid(), time.monotonic()
    if pid is None:
        return server.stop()

    def gone() -> bool:
        return server.pid() != pid

    os.kill(pid, signal.SIGINT)
    if until(gone, min(CLEAN_S, limit_s), _TICK_S):
        return server.stop()

    def clean() -> bool:
        control = server.control_data()
        return gone() or (control is not None and control.state == SHUT_DOWN)

    until(clean, limit_s - (time.monotonic() - began), 0.5)
    if not clean():
        raise Failed(
            say(
                subject=f"cluster {server.layout.data}",
                found=f"process {pid} still there after {time.monotonic() - began:.0f} s",
                wanted=f"control file {SHUT_DOWN!r}",
                consequence="the site is not proven to be out of service",
                remedy="see its log for what it waits for, and run the same again",
            )
        )
    if not gone():
        call.log.warning(f"process {pid} has shut the cluster down and does not end: ended by force")
        _kill(server, pid)
    return server.stop()


def _take_back(call: Call, server: Server, role: Role, deadline: Deadline) -> str:
    """Have the server run again, whatever its stop has come to. Returns what is so now."""
    pid = server.pid()
    role.but(PRIMARY).write(call.layout)
    try:
        if pid is not None:
            _kill(server, pid)
        with _word(call, role, True):
            _start(call, server, role, deadline)
    except (Failed, OutcomeUnknown) as error:
        return f"it could not be taken back ({error}); the shop cannot write; `dr-host postgres resume` tries it again"
    Stopped.forget(call.layout)
    return "the server was killed and started again, and writes: nothing was handed over"


def _kill(server: Server, pid: int) -> None:
    """Raises Failed when it outlives that."""
    kill_family(pid)
    if not until(lambda: server.pid() != pid, KILL_S, _TICK_S):
        found = process(pid)
        raise Failed(
            say(
                subject=f"process {pid} of {server.layout.data}",
                found=f"one that outlives a kill (state {found.state if found else 'unknown'})",
                wanted="none",
                consequence="nobody can say whether it writes",
                remedy="see the disk below it, or cut this host's power",
            )
        )


def _start(call: Call, server: Server, role: Role, deadline: Deadline) -> None:
    """Through the guard, and until it writes. Where it does not come up it is fenced again; where it is on its way nobody stops it."""
    try:
        server.start(deadline.left() - 1)
        # A message in the WAL, committed: the smallest write that a standby or a full disk refuses.
        server.sql("select pg_logical_emit_message(true, 'dr', 'resume')", limit_s=deadline.left())
    except Failed as error:
        if server.pid() is not None:
            raise OutcomeUnknown(
                say(
                    subject=f"cluster {server.layout.data}",
                    found=f"a server that does not write yet ({error})",
                    wanted=f"a write within {LIMIT_S:g} s",
                    consequence=f"this host is primary of epoch {role.epoch} again, and its server goes on starting",
                    remedy="see `dr-host postgres status` and its log; the same again waits for it",
                )
            ) from None
        role.but(FENCED).write(call.layout)
        raise


def _may_resume(call: Call, role: Role, attempt: str | None, *, stopped: bool) -> bool:
    """Whether the guard needs this attempt's word, since the witness gives none, and no operator has typed it. Raises Refused.

    One that was not stopped (any more) writes on by nobody's leave, so long as no newer epoch is known.
    """
    owner = Stopped.read(call.layout, role)
    if stopped and owner is not None and attempt is not None and owner.attempt != attempt:
        raise _refused(
            f"{role.role} in epoch {role.epoch}, stopped by {_named(owner.attempt)}",
            f"a stop of {_named(attempt)}",
            "whoever stopped it last may have taken over on the proof of that",
            "run `pulumi up` for either site, which sees what is to be done",
        )
    try:
        active, why = Witness.of_host(call.layout).newest(role.epoch), "it names no such epoch"
    except Silent as error:
        active, why = None, str(error)
    if active is not None and active != Active(role.epoch, role.site):
        raise _refused(
            f"{role.role} in epoch {role.epoch}, and at the witness epoch {active.epoch} with {active.site} active",
            "the same epoch at both",
            "a second primary would split the shop's data",
            f"run `pulumi up -s region-{role.site}`, so that this site follows",
        )
    if active is None and (not stopped or typed(call.layout) == role.epoch):
        return False
    if active is None and not (owner is not None and attempt is not None):
        raise _refused(
            f"{role.role} in epoch {role.epoch}, and nobody to confirm it ({why})",
            "the witness's word, or the attempt that stopped it",
            "another site may have taken over",
            "wait for the witness and run the same again; if the other site is certainly not active and the witness is gone for good: "
            f"`echo {role.epoch} > /var/lib/dr/{OVERRIDE}`, then the same again",
        )
    return active is None


def _word(call: Call, role: Role, needed: bool) -> AbstractContextManager[None]:
    """To the guard: the stop that is undone was this caller's own."""
    return vouched(call.layout, role.epoch) if needed else nullcontext()


def _named(attempt: str | None) -> str:
    return "somebody who gave no attempt" if attempt is None else f"attempt {attempt}"


def _refused(found: str, wanted: str, consequence: str, remedy: str) -> Refused:
    return Refused(
        say(
            subject="role of this host",
            found=found,
            wanted=wanted,
            consequence=f"{consequence}, nothing was changed",
            remedy=remedy,
        )
    )
