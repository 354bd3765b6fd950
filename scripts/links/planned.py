"""The planned move's rung: the peer is well, and its database is stopped cleanly over ssh, after everything that speaks against a move was asked.

What it changes it can take back (`CleanStop.leave`): until the next epoch is claimed, the old primary is the only one that may write.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from contract.epoch import Epoch
from contract.errors import DrError, Refused
from contract.hosts import DATABASE, first
from contract.limits import QUICK_S, STOP_S
from contract.sites import other
from scripts.clients.hosts import Answer, Hosts, Unreachable
from scripts.clients.witness import Witness
from scripts.links.loss import arrived, lsn
from scripts.links.rungs import Proof, Rung, RungFailed, held

CLOSE_BYTES = 4 * 2**20  # a standby this close is there within a second on any link that serves replication


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How the peer's database host answered, and by the bastion of which site; `via` is None when no way leads there."""

    via: str | None
    answer: Answer | None
    silent: tuple[str, ...]  # why the ways before do not lead there


def look(hosts: Hosts, database: str) -> Seen:
    """Ask the peer's database host how it is, by every way at once; the first way that leads there is taken."""
    ways, silent = hosts.routes(database), list[str]()
    with ThreadPoolExecutor(len(ways) or 1) as pool:
        asked = [
            (way, pool.submit(hosts.call, database, way, "postgres status", {"schema": 1}, QUICK_S)) for way in ways
        ]
        for way, future in asked:
            try:
                return Seen(via=way, answer=future.result(), silent=tuple(silent))
            except Unreachable as error:
                silent.append(str(error))
    return Seen(via=None, answer=None, silent=tuple(silent))


def words(facts: dict[str, Any]) -> str:
    """What a database is, by its `postgres status`."""
    if not facts.get("running"):
        return f"down, control file: {facts.get('cluster_state')}"
    return "in recovery" if facts.get("in_recovery") else "a primary"


class CleanStop(Rung):
    """Rung 1: over ssh the peer's workers are quiesced and its database is stopped; its control file says "shut down"."""

    number, name = 1, "ssh"

    def __init__(
        self, hosts: Hosts, witness: Witness, newest: Epoch, *, seen: Seen, own: dict[str, Any], apps: Sequence[str]
    ) -> None:
        """`own`: `postgres status` of the standby that shall be promoted; `apps`: names, within each site, of the hosts with workers."""
        self._hosts, self._witness, self._newest, self._seen, self._own = hosts, witness, newest, seen, own
        self._site, self._database = other(newest.active), f"{first(DATABASE)}.{newest.active}"
        self._apps = [f"{app}.{newest.active}" for app in apps]
        self._via = ""
        self.checkpoint: dict[str, Any] = {}  # {"lsn", "timeline"} of the shutdown, once it is proven

    def prove(self, tried: Sequence[str]) -> Proof:
        """As of `Rung`. Raises Refused, nothing changed, when the peer is well and the standby is not; a failure on the way is taken back."""
        self._via, theirs = self._well()
        self._ready(theirs)
        self._each(self._via, "app quiesce")
        with held(self):
            told = {"schema": 1, "epoch_next": self._newest.epoch + 1}
            stopped = self._hosts.must(self._database, self._via, "postgres stop", told, STOP_S)
            self.checkpoint = stopped.facts["checkpoint"]
        return Proof(rung=self.number, evidence={"cluster_state": "shut down", **self.checkpoint})

    def leave(self) -> str:
        """The old primary writes again, and workers work, also where the answer to `quiesce` was lost. Says what is so now."""
        newest = self._witness.newest()
        if newest is not None and newest.epoch > self._newest.epoch:
            return f"epoch {newest.epoch} belongs to {newest.active} by now, so {self._database} was left stopped; run the same again"
        try:
            way = self._resume()
        except DrError as error:
            return f"and the old primary could not be restarted ({error}): the shop cannot write; run the same again"
        self._each(way, "app resume")
        return f"the old primary {self._database} was restarted and writes; no epoch was claimed"

    def _well(self) -> tuple[str, dict[str, Any]]:
        """The way to the peer's database host and its status: a running primary, or one that an interrupted attempt has shut down cleanly."""
        via, answer = self._seen.via, self._seen.answer
        if via is None or answer is None:
            raise RungFailed(*self._seen.silent)
        if not _can_hand_over(answer.facts):
            raise RungFailed(
                *self._seen.silent, f"{self._database} answers, but {_state(answer)}, not a running primary"
            )
        return via, answer.facts

    def _ready(self, theirs: dict[str, Any]) -> None:
        """What speaks against stopping it. When an interrupted attempt has stopped it already, there is nothing left to stream from."""
        resumed, here = not theirs["running"], f"{first(DATABASE)}.{self._site}"
        if not (self._own.get("streaming") or resumed):
            raise Refused(
                f"{here}: is not streaming from {self._database} ({words(self._own)}), wanted a streaming standby: a move now could lose "
                f"orders; nothing was changed; see `dr-host postgres status` there, and run `pulumi up -s region-{self._site}` once it streams"
            )
        if self._own.get("paused"):
            raise Refused(
                f"{here}: replay is paused, wanted a replaying standby: it would refuse to be promoted; nothing was changed; run "
                "`SELECT pg_wal_replay_resume()` there, or mend what paused it (a parameter that is lower than the primary's)"
            )
        # A primary that stops waits until its standby has everything: one that is far behind would hold up the shop for as long as that takes.
        written, reached = theirs.get("write_lsn"), arrived(self._own)
        if written and reached is not None and lsn(written) - reached > CLOSE_BYTES:
            raise Refused(
                f"{here}: is {lsn(written) - reached} bytes of WAL behind {self._database}, wanted at most {CLOSE_BYTES}: the shop could not "
                f"write until they had arrived; nothing was changed; wait until it has caught up (`dr-host postgres status` there), or see what slows "
                "the link"
            )

    def _resume(self) -> str:
        """By the way that led to the old primary, or by another where that one is dead by now: it may be what the move failed by. Returns the way."""
        *others, last = dict.fromkeys((self._via, *self._hosts.routes(self._database)))
        for way in others:
            try:
                self._hosts.must(self._database, way, "postgres resume", {"schema": 1}, STOP_S)
            except Unreachable as error:
                print(f"WARNING fence: {error}", file=sys.stderr)
            else:
                return way
        self._hosts.must(self._database, last, "postgres resume", {"schema": 1}, STOP_S)
        return last

    def _each(self, via: str, command: str) -> None:
        """Best effort on all app hosts at once: a worker that cannot be stopped cannot write either once its database is down."""

        def one(name: str) -> None:
            try:
                self._hosts.must(name, via, command, {"schema": 1}, QUICK_S)
            except DrError as error:
                print(f"WARNING fence: {error}", file=sys.stderr)

        with ThreadPoolExecutor(len(self._apps) or 1) as pool:
            list(pool.map(one, self._apps))


def _can_hand_over(facts: dict[str, Any]) -> bool:
    if facts.get("running"):
        return facts.get("in_recovery") is False
    fenced = (facts.get("role") or {}).get("role") == "fenced"
    return facts.get("cluster_state") == "shut down" and fenced


def _state(answer: Answer) -> str:
    if answer.document is None:
        return f"dr-host said nothing (exit code {answer.code}: {answer.message})"
    return f"its database is {words(answer.facts)}"
