"""The unplanned move's count: what it would lose, by the lost site's last heartbeats and by what this site has, held against the operator's budget."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from contract.epoch import Epoch
from contract.errors import DrError, Refused
from contract.heartbeat import Heartbeat
from contract.hosts import CACHE, CONTROL, DATABASE, first
from contract.limits import QUICK_S
from contract.links.fence import Document
from contract.sites import other
from scripts.clients.hosts import Hosts
from scripts.clients.witness import Witness
from scripts.links.loss import Loss, Own, measure, over, sentence
from scripts.links.rungs import Proof


class Count:
    """Made twice: before anything is fenced, and after, because what the peer still wrote until it was fenced counts too."""

    def __init__(self, hosts: Hosts, witness: Witness, newest: Epoch, beating: Sequence[str], told: Document) -> None:
        """`beating`: names, within each site, of the hosts that tell the witness of themselves."""
        self._hosts, self._witness, self._newest = hosts, witness, newest
        self._budget, self._accepted = told.loss_budget, told.data_loss
        # A primary that reaches neither witness nor peer stops by itself; without a lease nobody knows when.
        self._unseen_s = float(told.lease.unseen_s) if told.lease else None
        self._beating, self._peer, self._site = tuple(beating), newest.active, other(newest.active)
        self._database = f"{first(DATABASE)}.{self._site}"

    @contextmanager
    def before(self, database: dict[str, Any]) -> Iterator[None]:
        """Within it, cache and assets of this site are asked what they have: for the report, and while the ladder is climbed.

        `database`: `postgres status` of this site. Raises Refused.
        """
        self._within_budget(Own(database=database), "nothing was changed")
        with ThreadPoolExecutor(2) as pool:
            self._cache = pool.submit(self._own_facts, first(CACHE), "redis")
            self._assets = pool.submit(self._own_facts, first(CONTROL), "assets")
            yield

    def after(self, proof: Proof) -> Loss:
        """Raises Refused; Failed when this site's database has gone meanwhile."""
        now = self._hosts.must(self._database, self._site, "postgres status", {"schema": 1}, QUICK_S).facts
        own = Own(database=now, offset=self._cache.result().get("offset"), assets=self._assets.result() or None)
        state = f"no epoch was claimed, but region {self._peer} is fenced by now (rung {proof.rung})"
        loss = self._within_budget(own, state)
        print(f"INFO fence: rung {proof.rung} holds; {sentence(loss)}", file=sys.stderr)
        return loss

    def _within_budget(self, own: Own, state: str) -> Loss:
        """What would be lost. Raises Refused when that is over the budget and the operator has not accepted it for this very epoch."""
        with ThreadPoolExecutor(len(self._beating)) as pool:
            beats = dict(zip(self._beating, pool.map(self._beat, self._beating), strict=True))
        loss = measure(own, beats, self._unseen_s)
        reasons, accepted = over(loss, self._budget, self._peer), self._accepted.epoch if self._accepted else None
        if not reasons or accepted == self._newest.epoch:
            return loss
        stale = f" (dr:accept.data_loss is for epoch {accepted})" if accepted is not None else ""
        raise Refused(
            f"loss of an unplanned move: {'; '.join(reasons)}{stale}; {sentence(loss)}; those orders would be gone for the customers who were told "
            f"that they are placed, so {state}; bring region {self._peer} back, or accept it: set accept.data_loss to "
            f"{{epoch: {self._newest.epoch}, reason: ...}} and run the same again"
        )

    def _beat(self, host: str) -> Heartbeat | None:
        return self._witness.heartbeat(self._peer, host)

    def _own_facts(self, host: str, service: str) -> dict[str, Any]:
        """For the report alone, so a host that does not answer is a warning."""
        try:
            return self._hosts.must(
                f"{host}.{self._site}", self._site, f"{service} status", {"schema": 1}, QUICK_S
            ).facts
        except DrError as error:
            print(f"WARNING fence: {error}", file=sys.stderr)
            return {}
