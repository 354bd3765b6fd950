"""What stands in the witness bucket, as the operator's side reads it: the records alone. What follows from them is the links' (`scripts.links`).

Formats: docs/interfaces.md, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from contract.errors import Usage

SITES = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One term of one active site. Whoever created its object at the witness owns it; nobody overwrites it."""

    epoch: int
    active: str
    previous: str | None
    planned: bool
    checkpoint: dict[str, Any] | None = None  # {"lsn", "timeline"} of the clean shutdown, planned moves only
    fence: dict[str, Any] = field(default_factory=dict)  # {"rung": n, "evidence": {...}}
    loss: dict[str, Any] | None = (
        None  # what an unplanned move has left behind, as far as anybody knows: `scripts.links.loss.Loss`
    )
    claimed_at: str = ""  # RFC 3339, the claimer's clock: for reports only
    claimed_by: str = ""
    reason: str = ""

    def link_output(self, entrance: str | None) -> dict[str, Any]:
        """What the chain's later links are told: the same on every run within the epoch. `entrance`: public address of the active site's shop."""
        return {
            "schema": 1,
            "epoch": self.epoch,
            "active": self.active,
            "previous": self.previous,
            "planned": self.planned,
            "checkpoint": self.checkpoint,
            "fence": {"rung": self.fence.get("rung")},
            "last_seen": {"redis": self.loss["redis"]} if self.loss else None,
            "entrance": entrance,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any], name: str) -> Epoch:
        """From the object at the witness; `name` is its key, for the message."""
        try:
            known = {key: document[key] for key in cls.__dataclass_fields__ if key in document}
            epoch = cls(**known)
        except TypeError as error:
            raise Usage(
                f"witness object {name}: is not an epoch ({error}); nobody can tell which region is active; "
                "look at the bucket's older versions of that object and restore the one that was created first"
            ) from None
        if epoch.active not in SITES:
            raise Usage(
                f"witness object {name}: active is {epoch.active!r}, wanted a or b; restore the object's first version"
            )
        return epoch


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """The newest word of one host. `age_s` is by the witness's own clock."""

    document: dict[str, Any]
    age_s: float

    def block(self, service: str) -> dict[str, Any]:
        """The service's part; empty when there is none."""
        found = self.document.get(service)
        return found if isinstance(found, dict) else {}
