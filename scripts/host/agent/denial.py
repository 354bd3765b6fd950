"""`agent deny|allow`: a host's word, for a time, that it grants its counterpart no lease."""

from __future__ import annotations

from contract.errors import Failed, say

from ..frame.boots import boottime
from ..frame.call import Call
from ..frame.desired import Reader
from ..frame.result import Result
from .grants import HOLD_S, Grants
from .memory import Note
from .status import rounded, running


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
    return Result({"last_granted_s": rounded(last), "agent_up_s": rounded(boottime() - note.started)}, True)


def allow(call: Call) -> Result:
    """Undo `deny`."""
    return Result({"allowed": True}, Grants(call.layout).allow())
