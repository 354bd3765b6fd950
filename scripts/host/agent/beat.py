"""The heartbeat as it lies at the witness; its format is in docs/interfaces.md, section 4."""

from __future__ import annotations

import datetime
from typing import Any

from contract.dataclass import dataclass

from ..frame.desired import SCHEMA
from ..frame.rolefile import Role
from .config import Config
from .lease import Memory, silent_s


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What one heartbeat says. `now`: by `boottime`; `boot`: the kernel's id of the boot; `block`: of the service."""

    role: Role | None
    memory: Memory
    now: float
    sequence: int
    boot: str | None
    witness_epoch: int | None  # the newest that this host has ever known, also when the witness knows it no more
    trouble: str | None  # with the witness's epochs
    block: dict[str, Any]

    def document(self, config: Config) -> dict[str, Any]:
        """The object at the witness."""
        role = self.role
        silent = None if role is None else silent_s(self.memory, role, self.now)
        return {
            "schema": SCHEMA,
            "site": config.site,
            "host": config.host,
            "epoch": role.epoch if role else None,
            "role": role.role if role else None,
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "sequence": self.sequence,
            "instance": config.instance,
            "boot": self.boot,
            "witness_epoch": self.witness_epoch,
            "trouble": self.trouble,
            "lease": config.terms.told(
                self.memory.state, None if silent in (None, float("inf")) else round(silent or 0.0, 1)
            ),
            config.service: self.block,
        }
