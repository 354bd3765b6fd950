"""The unplanned move's count: what it would lose, by the lost site's last heartbeats and by what this site has, held against the operator's budget.

What the archives hold beyond the stream is replayed first, wherever something seems to be missing: those writes are not lost.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from contract.accept import asked
from contract.epoch import Epoch
from contract.errors import DrError, Failed, Refused
from contract.hosts import CACHE, CONTROL, DATABASE, first
from contract.limits import DRAIN_S, DRAINED_S, QUICK_S
from contract.links.fence import Document
from contract.sites import other
from scripts.clients.hosts import Hosts
from scripts.clients.witness import Witness
from scripts.links.listener import Listener
from scripts.links.loss import Granted, Loss, Own, measure, over, sentence, stopped
from scripts.links.power import PowerOff
from scripts.links.rungs import Override, Proof, RungFailed
from scripts.links.silence import Beats, Silence

ASK_S = 0.5  # between two looks at what this side grants
STAYS = (1, 2)  # rungs after which the peer does not go on by itself: its database, or its servers, are off


class Count:
    """Made twice: before anything is fenced, and after, because what the peer still wrote until it was fenced counts too."""

    def __init__(
        self, hosts: Hosts, witness: Witness, silence: Silence, newest: Epoch, told: Document, *, database: Listener
    ) -> None:
        """`database`: with this site's, which is asked each time anew, as its agent is."""
        self._hosts, self._witness, self._silence, self._newest = hosts, witness, silence, newest
        self._budget, self._accepted = told.loss_budget, told.data_loss
        # A primary that reaches neither witness nor peer stops by itself; without a lease nobody knows when.
        self._unseen_s = float(told.lease.unseen_s) if told.lease else None
        self._peer, self._site = newest.active, other(newest.active)
        self._database, self._standby = f"{first(DATABASE)}.{self._site}", database
        self._grants: Listener | None = None
        self._pool = ThreadPoolExecutor(5)
        self._asked: dict[str, Future[dict[str, Any]]] = {}
        self._now: dict[str, Future[dict[str, Any]]] = {}  # what changes until the end: asked when the peer is fenced

    @property
    def accepted(self) -> bool:
        """Whether the operator has accepted a loss for this very epoch."""
        return self._accepted is not None and self._accepted.epoch == self._newest.epoch

    def ask(self) -> None:
        """Have this site's agent, cache and assets say what they have; once, and not waited for."""
        if not self._asked:
            hosts = {"redis": first(CACHE), "assets": first(CONTROL)}
            if self._unseen_s:
                self._grants = Listener(self._hosts, self._database, self._site, "agent")
                self._asked = {"agent": self._pool.submit(self._grants_now)}
            self._asked |= {
                service: self._pool.submit(self._own_facts, host, service) for service, host in hosts.items()
            }

    @contextmanager
    def before(self, database: dict[str, Any]) -> Iterator[None]:
        """Within it, cache and assets of this site are asked what they have: for the report, and while the ladder is climbed.

        `database`: `postgres status` of this site. Raises Refused.
        """
        self.ask()
        with self._pool:
            self._granted = Granted.read(self._asked["agent"].result()) if self._unseen_s else None
            self._within_budget(Own(database=database), "nothing was changed")
            yield

    def unheard(self, proof: Proof, beats: Beats) -> None:
        """Whoever is said to be off is not believed to be against its own word: it asks this side for its lease, which the witness does not hear.

        What an API has stopped may have asked a moment before: that is waited for. Raises RungFailed.
        """
        self._look()  # what is counted next is asked with it: each question is a part of the outage
        if proof.rung not in (PowerOff.number, Override.number) or not self._unseen_s:
            return
        stopped, began = proof.rung == PowerOff.number, time.monotonic()
        wanted_s = self._silence.period_s(beats) if stopped else self._unseen_s
        while (heard_s := self._asked_s()) is not None and heard_s < wanted_s:
            if not stopped or time.monotonic() - began > 2 * wanted_s:
                raise RungFailed(
                    f"{'holds' if stopped else 'given'}, but {first(DATABASE)}.{self._peer} has asked {self._database} for its lease {heard_s:.0f} s ago, "
                    f"wanted silence for {wanted_s:.0f} s: it is not {'what was stopped' if stopped else 'off'}"
                )
            time.sleep(ASK_S)
            self._look()

    def _look(self) -> None:
        """Ask this site's database what it has and its agent whom it grants what, side by side."""
        self._now = {"postgres": self._pool.submit(self._standby.facts)}
        if self._unseen_s:
            self._now["agent"] = self._pool.submit(self._grants_now)

    def _asked_s(self) -> float | None:
        """Since when the peer's database has asked for nothing here; None when nobody can tell."""
        found = Granted.read(self._now["agent"].result())
        asked = [] if found is None else [found.last_s, found.age_s if found.block is not None else None]
        return min((each for each in asked if each is not None), default=None)

    def after(self, proof: Proof, checkpoint: dict[str, Any] | None = None) -> Loss:
        """`checkpoint`: where the old primary has ended, when it was stopped cleanly. Raises Refused; Failed when this site's database has gone."""
        if not self._now:
            self._look()
        own = Own(
            database=self._now["postgres"].result(),
            offset=self._asked["redis"].result().get("offset"),
            assets=self._asked["assets"].result() or None,
        )
        self._granted = Granted.read(self._now["agent"].result()) if self._unseen_s else None
        fenced = f", but region {self._peer} is fenced by now (rung {proof.rung})" if proof.rung in STAYS else ""
        state = f"no epoch was claimed{fenced}"
        loss = self._within_budget(own, state, checkpoint)
        print(f"INFO fence: rung {proof.rung} holds; {sentence(loss)}", file=sys.stderr)
        return loss

    def _within_budget(self, own: Own, state: str, checkpoint: dict[str, Any] | None = None) -> Loss:
        """What would be lost. Raises Refused when that is over the budget and the operator has not accepted it for this very epoch."""
        loss = self._loss(own, checkpoint)
        if (
            loss.bytes != 0
        ):  # by the last word of a stream that lived, nothing is: there is no more in the archives than in it
            archive = self._drained()
            loss = replace(self._loss(replace(own, database=self._standby.facts()), checkpoint), archive=archive)
        reasons, accepted = over(loss, self._budget, self._peer), self._accepted.epoch if self._accepted else None
        if not reasons or self.accepted:
            return loss
        self._still_in_force()
        stale = f" (dr:accept.data_loss is for epoch {accepted})" if accepted is not None else ""
        archive_says = "; ".join(["", *(loss.archive or {}).get("why", ())])
        raise Refused(
            f"loss of an unplanned move: {'; '.join(reasons)}{stale}; {sentence(loss)}{archive_says}; those orders would be gone for the customers who "
            f"were told that they are placed, so {state}; bring region {self._peer} back, or accept it: set "
            f"{asked('data_loss', self._newest.epoch)} and run the same again"
        )

    def _still_in_force(self) -> None:
        """Another operator may have moved the shop meanwhile: then what fits nothing is this run. Raises Failed."""
        newest = self._witness.newest()
        if newest is not None and newest.epoch > self._newest.epoch:
            raise Failed(
                f"epoch {newest.epoch}: was claimed by {newest.claimed_by} for region {newest.active} first; this run has lost and claims nothing"
            )

    def _loss(self, own: Own, checkpoint: dict[str, Any] | None) -> Loss:
        loss = measure(own, dict(self._silence.beats()), self._unseen_s, self._granted)
        return loss if checkpoint is None else stopped(loss, own.database, checkpoint)

    def _drained(self) -> dict[str, Any]:
        """Replay what the archives hold beyond the stream. Best effort: what could not be had is told with the loss."""
        told = {"schema": 1, "limit_s": DRAIN_S}
        try:
            facts = self._hosts.must(self._database, self._site, "archive drain", told, DRAINED_S).facts
        except DrError as error:
            return {"replayed_bytes": 0, "complete": False, "why": [f"the archives were not replayed ({error})"]}
        return {name: facts.get(name) for name in ("replayed_bytes", "complete")} | {
            "why": list(facts.get("why") or ())
        }

    def _own_facts(self, host: str, service: str) -> dict[str, Any]:
        told = (f"{host}.{self._site}", self._site, f"{service} status", {"schema": 1}, QUICK_S)
        return _or_none(lambda: self._hosts.must(*told).facts)

    def _grants_now(self) -> dict[str, Any]:
        assert self._grants is not None
        return _or_none(self._grants.facts)


def _or_none(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A host that does not answer is a warning, and what it has is unknown."""
    try:
        return ask()
    except DrError as error:
        print(f"WARNING fence: {error}", file=sys.stderr)
        return {}
