"""The newest word of one host's agent, an object at the witness. Format: docs/interfaces.md, section 4."""

from __future__ import annotations

from typing import Any

from .dataclass import dataclass
from .lease import Lease


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """`age_s` is by the witness's own clock."""

    document: dict[str, Any]
    age_s: float

    @property
    def terms(self) -> Lease | None:
        """The lease that this very host keeps; None from an agent that does not say."""
        return Lease.heard(self.document.get("lease"))

    @property
    def instance(self) -> str | None:
        """The server's id; None when unknown."""
        found = self.document.get("instance")
        return found if isinstance(found, str) else None

    @property
    def boot(self) -> str | None:
        """The kernel's id of the boot in which it beats; None when unknown."""
        found = self.document.get("boot")
        return found if isinstance(found, str) else None

    def block(self, service: str) -> dict[str, Any]:
        """The service's part; empty when there is none."""
        found = self.document.get(service)
        return found if isinstance(found, dict) else {}

    @property
    def lease_state(self) -> object:
        """`LeaseState`, or whatever else stands there."""
        return self.block("lease").get("state")

    @property
    def evidence(self) -> dict[str, Any]:
        """For an epoch: what was heard last, and when."""
        told = {name: self.document.get(name) for name in ("sequence", "at", "role", "epoch", "instance")}
        return {"age_s": round(self.age_s, 1), **told, "state": self.lease_state}
