"""Who works at what, of the tests whose subject is something else: a lease that is there to be taken, or somebody else's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from contract.errors import Partial, Refused
from contract.runs import What


@dataclass
class Leases:
    """`taken`: site and what of each, in order; `now`: those that are held; `other`: who is at work, and refuses all others; `lost_at`: the question
    whether it is still its holder's at which it is not; `asked`: by which keys each was put.
    """

    taken: list[tuple[str, str]] = field(default_factory=list)
    now: list[str] = field(default_factory=list)
    other: str = ""
    lost_at: int = 0
    asked: list[str] = field(default_factory=list)

    def lease(self, _: Any, site: str, what: What, __: Any, *, tell: Any) -> _Held:
        """In the place of `RunLease`."""
        return _Held(self, site, what)


@dataclass
class _Held:
    all: Leases
    site: str
    what: str

    def __enter__(self) -> _Held:
        if self.all.other:
            raise Refused(f"both regions: {self.all.other} is at work there; nothing was changed")
        self.all.taken.append((self.site, self.what))
        self.all.now.append(self.what)
        return self

    def still(self, place: Any) -> None:
        self.all.asked.append(place.access_key)
        if len(self.all.asked) == self.all.lost_at:
            raise Partial("both regions: its lease belongs to ann at desk by now")

    def __exit__(self, *_: object) -> None:
        self.all.now.remove(self.what)
