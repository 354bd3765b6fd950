"""The `postgres` service: `converge`, and what the operator's side asks in a hand-over: `status`, `listen`, `stop`, `resume`, `takeover`."""

from __future__ import annotations

from typing import Any

from contract import fields
from contract.epoch import Checkpoint
from contract.errors import Refused, say

from ..frame import plan, rolefile
from ..frame.call import Call, Verb
from ..frame.desired import Reader
from ..frame.lines import answer, listening, told
from ..frame.locks import hold
from ..frame.result import Result
from ..frame.rolefile import PRIMARY, STANDBY, Role
from ..frame.systemd import Systemd
from . import halt, roles
from .desired import Desired
from .known import WitnessClusters
from .layout import PostgresLayout
from .memory import Memory
from .parity import parity
from .server import Server, UnitControl
from .service import Postgres
from .status import live_status

AWAIT_S = 10


def converge(call: Call) -> Result:
    """Exit 3 when the data here may not take the role that the document gives."""
    desired = Desired.read(call.document)
    layout, units = PostgresLayout(call.layout, desired.version), Systemd()
    server = Server(layout, desired.port, UnitControl(units, layout.unit))
    return plan.converge(
        Postgres(desired, layout, server, units, call.log, clusters=WitnessClusters(call.layout)), call
    )


def status(call: Call) -> Result:
    """Live facts; null for what cannot be learned. Never fails."""
    memory = Memory.read(PostgresLayout(call.layout))
    return Result(
        live_status(call.layout, None)
        if memory is None
        else live_status(call.layout, _server(call, memory), memory.mode)
    )


def alike(call: Call) -> Result:
    """Verb `parity`: what has to be alike on both sides; null where the server does not answer. Never fails."""
    memory = Memory.read(PostgresLayout(call.layout))
    nothing = dict.fromkeys(("version", "checksums", "parameters", "collations", "extensions"))
    return Result((memory and parity(_server(call, memory))) or nothing)


def logins(call: Call) -> Result:
    """The shop's logins that are let in, each with its sessions; null where the server does not answer. Never fails."""
    memory = Memory.read(PostgresLayout(call.layout))
    if memory is None:
        return Result({"in_recovery": None, "logins": None})
    return Result(open_logins(_server(call, memory)))


def open_logins(server: Server) -> dict[str, Any]:
    """As `logins`."""
    found = server.ask(roles.OPEN, {"logins": roles.array(roles.known())})
    return {"in_recovery": server.ask("select to_json(pg_is_in_recovery())"), "logins": found}


def takeover(call: Call) -> Result:
    """What a standby is told on its way to the top, one JSON object a line, each answered by one: started before the write outage, so that
    nothing of the outage is spent on starting.

    `{"checkpoint", "timeout_s"}`: wait until the stopped primary's checkpoint is received and replayed (exit 3 with the positions else).
    `{"epoch"}`: promote, now that the epoch is claimed. What else belongs to a primary is `converge`'s, which comes next.
    """
    return takeover_server(call, _server(call, _memory(call)))


def takeover_server(call: Call, server: Server) -> Result:
    """As `takeover`."""
    promoted = False
    for document in told(call):
        reader = Reader(document, "line")
        if "checkpoint" in document:
            checkpoint = fields.read(Checkpoint, reader.mapping("checkpoint"), "line.checkpoint")
            limit = reader.number("timeout_s", AWAIT_S)
            reader.done()
            server.wait_replayed(checkpoint.lsn, checkpoint.timeline, limit)
            answer({"replayed": True})
        else:
            epoch = reader.number("epoch")
            reader.done()
            answer({"timeline": _promote(call, server, epoch)})
            promoted = True
    return Result({"promoted": promoted}, promoted)


def _promote(call: Call, server: Server, epoch: int) -> int:
    """The role first, so that no boot makes a standby of it again. Returns the new timeline. Raises Refused on what is no standby of an older epoch."""
    with hold(call.layout, "postgres"):
        role = _role(call)
        if role.role != STANDBY or role.epoch >= epoch:
            raise Refused(
                say(
                    subject="role of this host",
                    found=f"{role.role} in epoch {role.epoch}",
                    wanted=f"{STANDBY} in an epoch before {epoch}",
                    consequence="nothing was promoted",
                    remedy="run `pulumi up` for this site, which sees what is to be done",
                )
            )
        Role(role.site, role.peer, PRIMARY, epoch).write(call.layout)
        try:
            return server.promote()
        except Refused:
            role.write(call.layout, undo=True)
            raise


def stop(call: Call) -> Result:
    """Take the primary out of service for a hand-over. `{"epoch_next", "attempt"}`, both optional by hand: see `halt`."""
    return stop_server(call, _server(call, _memory(call)))


def stop_server(call: Call, server: Server) -> Result:
    """As `stop`."""
    return halt.stop(call, server, _role(call))


def resume(call: Call) -> Result:
    """Undo `stop`: primary again in the same epoch, started through the guard, and proven to write. `{"attempt"}`: see `halt`."""
    return resume_server(call, _server(call, _memory(call)))


def resume_server(call: Call, server: Server) -> Result:
    """As `resume`."""
    return halt.resume(call, server, _role(call))


def _server(call: Call, memory: Memory) -> Server:
    layout = PostgresLayout(call.layout, memory.version)
    return Server(layout, memory.port, UnitControl(Systemd(), layout.unit))


def _memory(call: Call) -> Memory:
    memory = Memory.read(PostgresLayout(call.layout))
    if memory is None:
        raise _unknown("what was converged")
    return memory


def _role(call: Call) -> Role:
    role = rolefile.read(call.layout)
    if role is None:
        raise _unknown("its role")
    return role


def _unknown(what: str) -> Refused:
    return Refused(
        say(
            subject="database of this host",
            found=f"no record of {what}",
            wanted="a host that was converged",
            consequence="nothing was changed",
            remedy="run `pulumi up` for this site first",
        )
    )


VERBS = {
    "converge": Verb(converge),
    "status": Verb(status, locked=False, reads=False),
    "parity": Verb(alike, locked=False, reads=False),
    "listen": Verb(listening(status), locked=False, reads=False),
    "logins": Verb(logins, locked=False, reads=False),
    "stop": Verb(stop),
    "resume": Verb(resume),
    "takeover": Verb(takeover, locked=False, reads=False),
}
