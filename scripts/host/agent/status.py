"""`agent status`: what a host says of its agent and its lease. Read twice a minute for figures, so it imports no more than that takes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract import fields
from contract.errors import Refused, say
from contract.lease import LeaseState

from ..frame import rolefile
from ..frame.boots import boottime
from ..frame.call import Call
from ..frame.layout import Layout
from ..frame.result import Result
from .config import Config
from .grants import Grants
from .lease import silent_s
from .memory import Note


def status(call: Call) -> Result:
    """Live facts; null for what cannot be learned. Never fails."""
    config, note, role = Config.of_host(call.layout), Note.read(call.layout), rolefile.read(call.layout)
    grants, now = Grants(call.layout), boottime()
    facts: dict[str, Any] = {
        "running": running(call.layout),
        "role": None if role is None else role.document(),
        "denied_below": grants.denied_below(),
        "last_granted_s": rounded(grants.last_granted_s()),
        "peer": grants.peer(),
        "up_s": rounded(up_s()),
        "lease": LeaseState.OFF if config is None else fields.write(config.terms),
        "state": None,
        "why": None,
        "silent_s": None,
        "beat_s": None,
        "epoch": None,
        "witness": None,
        "counterpart": None,
    }
    if note is not None:
        silent = None if role is None else silent_s(note.memory, role, now)
        facts |= {
            "state": note.memory.state,
            "why": note.memory.why,
            "silent_s": None if silent == float("inf") else rounded(silent),
            "beat_s": rounded(now - note.beat),
            "epoch": note.epoch,
            "witness": note.witness or "answers",
            "counterpart": note.counterpart or "grants",
        }
    return Result(facts)


def running(layout: Layout) -> bool:
    """Whether an agent holds the lock of agents."""
    try:
        with alone(layout):
            return False
    except Refused:
        return True
    except OSError:
        return False


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Raises Refused where another one is."""
    handle = os.open(layout.run / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                say(
                    subject="lease agent of this host",
                    found="one that runs already",
                    wanted="none",
                    consequence="this one ends at once",
                    remedy="`systemctl restart dr-agent` to start it anew",
                )
            ) from None
        yield
    finally:
        os.close(handle)


def up_s() -> float | None:
    """Since when this host's files in /run have been kept: since its first process started. None when that cannot be read."""
    try:
        started = int(
            Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
        )  # field 22, the 20th after the name
    except (OSError, ValueError, IndexError):
        return None
    return max(boottime() - started / os.sysconf("SC_CLK_TCK"), 0.0)


def rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
