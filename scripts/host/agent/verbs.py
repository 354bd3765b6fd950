"""`dr-host agent run|status|ensure|deny|allow`: heartbeats to the witness, the lease of a primary, grants to the counterpart.

`run` is the unit `dr-agent.service`; the others are short and work without it, but for `deny`, which needs to know that it runs.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract import fields
from contract.errors import Failed, Refused, say
from contract.lease import LeaseState

from ..frame import rolefile
from ..frame.boots import boottime
from ..frame.call import Call, Verb
from ..frame.desired import Reader
from ..frame.files import make_folder
from ..frame.layout import Layout
from ..frame.result import Result
from ..frame.witness import Witness
from .config import Config
from .deadman import KINDS
from .ensure import ensure
from .facts import facts_of, servers_of
from .grants import HOLD_S, Grants
from .lease import silent_s
from .loop import Agent, Parts
from .memory import Note
from .peer import Asker
from .unit import Unit, unit_name
from .witness import WitnessChannel


def run(call: Call) -> Result:
    """Until SIGTERM. Exit 3 when another agent runs already."""
    make_folder(call.layout.run)
    with _alone(call.layout):
        agent = Agent(_parts(call, Config.read(call.layout)))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: agent.stop())
        call.log.info(
            f"started for {agent.config.service} of site {agent.config.site}, lease {agent.config.terms.lease_s:g} s"
        )
        agent.run()
    return Result({"ended": True})


def _parts(call: Call, config: Config) -> Parts:
    limit = config.terms.question_s
    return Parts(
        config=config,
        layout=call.layout,
        log=call.log,
        facts=facts_of(config.service, call.layout, call.log),
        control=Unit(
            call.layout,
            lambda: unit_name(call.layout, config.service),
            call.log,
            servers_of(config.service, call.layout),
            KINDS[config.service].polite,
        ),
        witness=WitnessChannel(Witness.of_host(call.layout), limit),
        asker=Asker(call.layout, config.counterpart.name, config.counterpart.address, config.counterpart.port, limit),
    )


def status(call: Call) -> Result:
    """Live facts; null for what cannot be learned. Never fails."""
    config, note, role = Config.of_host(call.layout), Note.read(call.layout), rolefile.read(call.layout)
    grants, now = Grants(call.layout), boottime()
    facts: dict[str, Any] = {
        "running": running(call.layout),
        "role": None if role is None else role.document(),
        "denied_below": grants.denied_below(),
        "last_granted_s": _rounded(grants.last_granted_s()),
        "peer": grants.peer(),
        "up_s": _rounded(_up_s()),
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
            "silent_s": None if silent == float("inf") else _rounded(silent),
            "beat_s": _rounded(now - note.beat),
            "epoch": note.epoch,
            "witness": note.witness or "answers",
            "counterpart": note.counterpart or "grants",
        }
    return Result(facts)


def deny(call: Call) -> Result:
    """From now on grant nothing for epochs below `epoch_next`; it ends by itself, `hold_s` or more from now (`grants.Grants.end`).

    Exit 1 when no agent runs: nobody knows then what was granted last.
    """
    reader = Reader(call.document, "document")
    epoch, hold = reader.number("epoch_next"), reader.number("hold_s", int(HOLD_S))
    if hold < 1:
        reader.fault("hold_s", str(hold), "seconds, 1 or more")
    reader.done()
    last = Grants(call.layout).deny(epoch, float(hold))
    note = Note.read(call.layout)
    if note is None or not running(call.layout):
        raise Failed(
            say(
                subject="lease agent of this host",
                found="none that runs",
                wanted="one that has watched its grants",
                consequence="it grants nothing now, and nobody knows when it last did",
                remedy="see `journalctl -u dr-agent`, or use another rung of the fence",
            )
        )
    return Result({"last_granted_s": _rounded(last), "agent_up_s": _rounded(boottime() - note.started)}, True)


def allow(call: Call) -> Result:
    """Undo `deny`."""
    return Result({"allowed": True}, Grants(call.layout).allow())


def running(layout: Layout) -> bool:
    """Whether an agent holds the lock of agents."""
    try:
        with _alone(layout):
            return False
    except Refused:
        return True
    except OSError:
        return False


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
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


def _up_s() -> float | None:
    """Since when this host's files in /run have been kept: since its first process started. None when that cannot be read."""
    try:
        started = int(
            Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
        )  # field 22, the 20th after the name
    except (OSError, ValueError, IndexError):
        return None
    return max(boottime() - started / os.sysconf("SC_CLK_TCK"), 0.0)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


VERBS = {
    "run": Verb(run, locked=False, reads=False),
    "status": Verb(status, locked=False, reads=False),
    "ensure": Verb(ensure, locked=False, reads=False),
    "deny": Verb(deny, locked=False),
    "allow": Verb(allow, locked=False, reads=False),
}
