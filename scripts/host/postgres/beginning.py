"""Whether a host without data may begin with an empty database. Pure.

Only the very first one may: whatever tells that the shop had a database tells that this one would hide a loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.accept import asked
from contract.errors import Failed, Refused, say

from ..frame.rolefile import STANDBY

if TYPE_CHECKING:
    from .facts import Facts
    from .plan import Want


def nothing_lost(want: Want, facts: Facts) -> None:
    """Refuse while anything tells that this shop had a database, or nobody can say."""
    empty = f"or, when the shop is to begin empty, set {asked('empty', want.epoch.epoch)}"
    if want.epoch.epoch != 1:
        raise Refused(
            say(
                subject="data directory",
                found=f"none, in epoch {want.epoch.epoch}",
                wanted="the cluster that the site took over with",
                consequence="an empty database in its place would look healthy, nothing was changed",
                remedy=f"if the data volume is lost, move the shop to the other site and let this one follow; if both are, docs/restore.md, {empty}",
            )
        )
    if facts.role is not None and facts.role.role != STANDBY:
        raise Refused(
            say(
                subject="data directory",
                found=f"none, on a host that is {facts.role.role} in epoch {facts.role.epoch}",
                wanted="the shop's data",
                consequence="an empty database in its place would look healthy, nothing was changed",
                remedy="bring the data volume back, or move the shop to the other site and let this one follow; if both are lost, docs/restore.md, "
                + empty,
            )
        )
    if facts.known:
        raise Refused(
            say(
                subject="data directory",
                found=f"none, while there is or was a database of this shop ({', '.join(facts.known)})",
                wanted="that one, or none that anybody knows of",
                consequence="an empty database in its place would look healthy, nothing was changed",
                remedy="bring the data volume back, or move the shop to the other site and let this one follow; if both are lost, docs/restore.md, "
                + empty,
            )
        )
    if facts.known is None:
        raise Failed(
            say(
                subject="data directory",
                found="none, and the witness does not say whether there was a database of this shop",
                wanted="its word",
                consequence="an empty database in the place of a lost one would look healthy, nothing was changed",
                remedy="run the same again once the witness answers",
            )
        )
