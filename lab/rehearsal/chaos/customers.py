"""Who uses the shop while a story is played, and what they were promised. `TRADES` is the list: a further kind of customer is a class here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from contract.epoch import Epoch
from lab.client.client import Client
from lab.client.ledger import compare, longest_gap, read
from lab.rehearsal.chaos.invariants import Check, account
from lab.rehearsal.stage import Stage
from lab.rehearsal.world import wait_for

RATE, CONNECTIONS = 15.0, 4
SOME, SOME_S = 20, 90.0


class Trade(Protocol):
    """One kind of customers, from `start` to `stop`; then `checks` holds every promise against what the active site has."""

    figures: dict[str, Any]

    def start(self) -> None: ...

    def flow(self) -> None:
        """Wait until some more was acknowledged. Raises RuntimeError."""
        ...

    def stop(self) -> None: ...

    def checks(self, active: str, epochs: Sequence[Epoch], evidence: Sequence[Mapping[str, Any]]) -> list[Check]:
        """`epochs`: claimed since `start`; `evidence`: what old primaries have kept since."""
        ...


class Orders:
    """Customers who order, and insist until they are acknowledged."""

    def __init__(self, stage: Stage, ledger: Path) -> None:
        self._stage, self._ledger, self.figures = stage, ledger, dict[str, Any]()
        ledger.unlink(missing_ok=True)
        world = stage.world
        self._client = Client(
            world.shop_url, world.lab["dns"]["resolver"], world.ca_file, ledger, rate=RATE, connections=CONNECTIONS
        )

    def start(self) -> None:
        self._client.start()

    def flow(self) -> None:
        goal = self._client.acknowledged + SOME
        wait_for(f"{SOME} more orders", lambda: self._client.acknowledged >= goal, SOME_S)

    def stop(self) -> None:
        self._client.stop()

    def checks(self, active: str, epochs: Sequence[Epoch], evidence: Sequence[Mapping[str, Any]]) -> list[Check]:
        events = read(self._ledger)
        found, unplanned = (
            compare(events, self._stage.world.rows(active)),
            [each for each in epochs if not each.planned],
        )
        rows, commits = account(evidence, "orders"), sum(int(each.get("commits", 0)) for each in evidence)
        told = rows if rows is not None else commits
        self.figures = {
            "acknowledged": found.acknowledged, "lost": len(found.lost), "duplicated": len(found.duplicated), "failed_attempts": found.failed_attempts,
            "longest_gap_s": round(longest_gap(events), 1), "orders_in_evidence": rows, "commits_in_evidence": commits,
            "loss_told": [each.loss for each in unplanned],
        }  # fmt: skip
        lost = f"{len(found.lost)} of {found.acknowledged} are gone, {told} in the evidence, {len(unplanned)} unplanned moves"
        allowed = told if unplanned else 0
        return [
            Check("acknowledged orders that are gone are accounted for", len(found.lost) <= allowed, lost),
            Check("no order stands twice", not found.duplicated, ", ".join(found.duplicated[:5])),
        ]


TRADES = (Orders,)
