"""What this host knows of epochs: never less than it did. A witness may lose some: by a rule that expires objects, by another bucket's name."""

from __future__ import annotations

from ..frame.rolefile import Role
from .lease import Newest


class Epochs:
    """`highest`: what the agent before this one knew; `bucket`: the witness's, for messages."""

    def __init__(self, bucket: str, highest: int | None) -> None:
        self._bucket, self._highest = bucket, highest

    def known(self, role: Role | None, newest: Newest | None) -> int | None:
        """The newest epoch that this host has ever known of; None when there was none."""
        found = (self._highest, role.epoch if role else None, newest.epoch if newest else None)
        self._highest = max((epoch for epoch in found if epoch is not None), default=None)
        return self._highest

    def lost(self, role: Role | None, newest: Newest | None) -> str | None:
        """That the witness, which has just named `newest`, knows less than this host; None when it does not."""
        known, named = self.known(role, newest), None if newest is None else newest.epoch
        if known is None or (named is not None and named >= known):
            return None
        found = "no epoch" if named is None else f"epoch {named} the newest"
        return (
            f"witness {self._bucket}: found {found}, wanted epoch {known}, which this host knows; it has lost epochs, "
            "and this host stays what it is; see docs/failover.md"
        )
