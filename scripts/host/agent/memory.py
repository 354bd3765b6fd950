"""What the agent leaves in `/run/dr/lease.json` at every beat: for itself after a restart, for the guard, for `agent status` and for people."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from contract.dataclass import dataclass
from contract.errors import DrError

from ..frame.boots import boottime
from ..frame.files import write_atomically
from ..frame.layout import Layout
from ..frame.rolefile import Role
from .config import Config
from .lease import HELD, Memory

OVERRIDE = "lease-override"  # in /run/dr: the epoch in which the operator started a primary although nobody answers; left by the guard


@dataclass(frozen=True)
class Note:
    """`started`, `beat`: seconds of `boottime`; `fingerprint`: of the software and settings that the agent runs with."""

    memory: Memory
    started: float
    beat: float
    fingerprint: str
    epoch: int | None = None  # the newest that it has heard of
    witness: str | None = None  # why the witness does not answer
    counterpart: str | None = None  # the same of the counterpart, or why it does not grant

    def write(self, layout: Layout) -> None:
        write_atomically(_path(layout), (json.dumps(asdict(self), sort_keys=True) + "\n").encode())

    @classmethod
    def read(cls, layout: Layout) -> Note | None:
        """None when no agent has run since the boot."""
        try:
            found: dict[str, Any] = json.loads(_path(layout).read_bytes())
            note = cls(**{**found, "memory": Memory(**found["memory"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # From an earlier boot, on a machine whose /run outlived it.
        return note if note.beat <= boottime() else None


def lapsed(layout: Layout, role: Role) -> str | None:
    """Why a primary in `role` may not start: its lease is not held. None when it is, or when there is none to hold (`lease: off`)."""
    try:
        config = Config.of_host(layout)
    except DrError as error:
        return str(error)
    if config is None:
        return None
    note = Note.read(layout)
    contact = None if note is None else note.memory.contact_at(role.epoch)
    if contact is None:
        return "this host's lease agent was heard by nobody since the boot"
    silent = boottime() - contact
    return (
        None
        if silent < config.terms.lease_s
        else f"the lease of {config.terms.lease_s:g} s ran out: nobody outside has heard this host for {silent:.0f} s"
    )


def granted(layout: Layout, role: Role) -> bool:
    """Whether the counterpart granted this epoch within the lease."""
    try:
        config, note = Config.of_host(layout), Note.read(layout)
    except DrError:
        return False
    if config is None or note is None or note.memory.granted_at is None or note.memory.granted_epoch != role.epoch:
        return False
    return boottime() - note.memory.granted_at < config.terms.lease_s


def described(memory: Memory) -> str:
    """For people."""
    return "held" if memory.state == HELD else f"stopped: {memory.why}"


def _path(layout: Layout) -> Any:
    return layout.run / "lease.json"
