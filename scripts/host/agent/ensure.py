"""`dr-host agent ensure`: a host that is about to lead must hold its lease, so its agent and its dead-man are at work, or are brought to it.

A standby's agent may be dead for weeks without anybody's notice. Promoted like that, its service would be stopped by the dead-man after one lease,
with an epoch claimed.
"""

from __future__ import annotations

import time

from contract import fields
from contract.errors import Failed, say
from contract.limits import ENSURE_S

from ..frame.boots import boottime
from ..frame.call import Call
from ..frame.layout import Layout
from ..frame.result import Result
from ..frame.systemd import Systemd, Units
from ..frame.wait import until
from .config import Config
from .files import DEADMAN, UNIT
from .memory import Note


def ensure(call: Call) -> Result:
    """Facts `started` (units) and `lease` (its terms). Raises Failed when the host would hold no lease."""
    return at_work(call.layout, Systemd(), ENSURE_S)


def at_work(layout: Layout, units: Units, limit_s: float) -> Result:
    """As `ensure`, within `limit_s`."""
    config, end = Config.of_host(layout), time.monotonic() + limit_s
    if config is None:
        raise _absent(
            "none that is installed", "raise `dr:repair` and run `pulumi up` for this site, which installs it"
        )

    def left() -> float:
        return max(1.0, end - time.monotonic())

    # The agent first: it says until when the service may go on, and the dead-man goes by that.
    started = [unit for unit in (UNIT, DEADMAN) if not units.running(unit)]
    for unit in started:
        units.start(unit, left())
    # One that hangs is begun anew by systemd's watchdog meanwhile.
    fresh_s = config.terms.heartbeat_s + 2 * config.terms.question_s
    if not until(lambda: _beats(layout, fresh_s), left()):
        raise _absent("none that beats", f"read `journalctl -u {UNIT}`, mend it, and run the same again")
    dead = [unit for unit in (UNIT, DEADMAN) if not units.running(unit)]
    if dead:
        raise _absent(
            f"{' and '.join(dead)} at an end again",
            f"read `journalctl -u {UNIT} -u {DEADMAN}`, mend it, and run the same again",
        )
    return Result({"started": started, "lease": fields.write(config.terms)}, bool(started))


def _beats(layout: Layout, fresh_s: float) -> bool:
    note = Note.read(layout)
    return note is not None and boottime() - note.beat <= fresh_s


def _absent(found: str, remedy: str) -> Failed:
    return Failed(
        say(
            subject="lease agent of this host",
            found=found,
            wanted="one at work, and its dead-man beside it",
            consequence="a service that leads here would be stopped after one lease",
            remedy=remedy,
        )
    )
