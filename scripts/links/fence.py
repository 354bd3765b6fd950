"""The first link of the role chain: settle which epoch is in force, and take it over when the request says so.

Nothing is claimed before the fence is proven. The rungs, tried in order: (1) over ssh the peer's database is stopped and its control file says
"shut down"; (2) the OpenStack API has stopped the peer's servers, SHUTOFF was seen; (3) the peer's lease has run out; (4) a typed override for this
very epoch. An unplanned move counts first what it would lose, and again between the proven fence and the claim.
"""

from __future__ import annotations

import datetime
import getpass
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from contract.errors import DrError, Failed, Refused
from scripts.clients.hosts import Answer, Conversation, Hosts, Unreachable
from scripts.clients.openstack import ApiDown, Compute
from scripts.clients.witness import EpochTaken, Witness
from scripts.links.epochs import Action, Epoch, decide, other
from scripts.links.limits import AWAIT_S, POWER_S, PROMOTE_S, QUICK_S, REPLAYED_S, STOP_S, TALK_S
from scripts.links.loss import Budget, Heartbeat, Loss, Own, arrived, lsn, measure, over, sentence
from scripts.links.rungs import Lease, RungFailed, override, stopped

DATABASE, CACHE, CONTROL = "db-1", "cache-1", "control-1"
CLOSE_BYTES = 4 * 2**20  # a standby this close is there within a second on any link that serves replication


def run(document: dict[str, Any]) -> dict[str, Any]:
    """The document and the answer are in docs/interfaces.md, section 3. Raises DrError."""
    site, request = document["site"], document["request"]
    witness = Witness(document["witness"])
    newest, followed = witness.newest(), witness.followed(site)
    action = decide(site, request, newest, followed)
    public = {name: address for name, address in document.get("public", {}).items() if address}
    if action is Action.CLAIM_FIRST:
        witness.probe()
        newest = _claim(witness, Epoch(epoch=1, active=site, previous=None, planned=True, reason="first", **_claimer()))
    elif action is Action.TAKE_OVER:
        assert newest is not None  # decide() takes over from somebody
        witness.probe()
        newest = Takeover(document, newest, witness).run()
    elif action is Action.FOLLOW:
        _power_on(document)
    assert newest is not None
    witness.record_addresses(site, public)
    return newest.link_output(witness.addresses(newest.active).get("lb"))


class Takeover:
    """One attempt to move the role from the active peer to this site."""

    def __init__(self, document: dict[str, Any], newest: Epoch, witness: Witness) -> None:
        self.document, self.newest, self.witness = document, newest, witness
        self.site, self.peer = document["site"], other(document["site"])
        self.database, self.peer_database = f"{DATABASE}.{self.site}", f"{DATABASE}.{self.peer}"
        self.tried: list[str] = []  # a line for each rung that did not hold
        self._heir: Conversation  # with this site's database

    def run(self) -> Epoch:
        """Fence, then claim. Raises Refused, nothing changed, when no rung holds."""
        ssh = dict(self.document["ssh"])
        ssh["bastions"] = {**ssh["bastions"], self.peer: self.witness.addresses(self.peer).get("bastion")}
        with Hosts(ssh) as hosts, ThreadPoolExecutor(1) as pool:
            asked = pool.submit(hosts.must, self.database, self.site, "postgres status", {"schema": 1}, QUICK_S)
            via, status = self._look(hosts)
            own = self._own(asked)
            self._heir = hosts.talk(self.database, self.site, "postgres takeover", TALK_S)
            if via is not None and status is not None and _can_hand_over(status.facts):
                return self._planned(hosts, via, own, status.facts)
            if via is not None and status is not None:
                self.tried.append(
                    f"rung 1 (ssh): {self.peer_database} answers, but {_state(status)}, not a running primary"
                )
            return self._unplanned(hosts, own)

    def _own(self, asked: Future[Answer]) -> dict[str, Any]:
        """This site's own database, which must be there to be promoted: an epoch that no link can follow would leave the shop without a writer."""
        try:
            own = asked.result().facts
        except DrError as error:
            raise Refused(
                f"{self.database}: does not answer ({error}), wanted a standby to promote; nothing was changed; bring this site's own bastion and "
                f"database host within reach (`host_generation` of region {self.site} replaces a lost one) and run the same again"
            ) from None
        if not own.get("in_recovery"):
            raise Refused(
                f"{self.database}: is {_words(own)}, wanted a running standby to promote; nothing was changed; see `dr-host postgres status` there, "
                f"and let it follow first if region {self.peer} is still well"
            )
        return own

    def _look(self, hosts: Hosts) -> tuple[str | None, Answer | None]:
        """Ask the peer's database host how it is, by every way at once; the first way that leads there is taken."""
        ways = hosts.routes(self.peer_database)
        with ThreadPoolExecutor(len(ways) or 1) as pool:
            asked = [
                (way, pool.submit(hosts.call, self.peer_database, way, "postgres status", {"schema": 1}, QUICK_S))
                for way in ways
            ]
            for way, future in asked:
                try:
                    return way, future.result()
                except Unreachable as error:
                    self.tried.append(f"rung 1 (ssh): {error}")
        return None, None

    def _planned(self, hosts: Hosts, via: str, own: dict[str, Any], theirs: dict[str, Any]) -> Epoch:
        """The peer is well: stop its writers, stop its database cleanly, see its last word here, and only then claim.

        `theirs`: its database's status. When an interrupted attempt has stopped it already, there is nothing left to stream from.
        """
        resumed = not theirs["running"]
        if not (own.get("streaming") or resumed):
            raise Refused(
                f"{self.database}: is not streaming from {self.peer_database} ({_words(own)}), wanted a streaming standby: a move now could lose "
                f"orders; nothing was changed; see `dr-host postgres status` there, and run `pulumi up -s region-{self.site}` once it streams"
            )
        if own.get("paused"):
            raise Refused(
                f"{self.database}: replay is paused, wanted a replaying standby: it would refuse to be promoted; nothing was changed; run "
                "`SELECT pg_wal_replay_resume()` there, or mend what paused it (a parameter that is lower than the primary's)"
            )
        self._close_behind(theirs, own)
        apps = [f"{app}.{self.peer}" for app in self.document.get("apps", ())]
        self._each(hosts, via, apps, "app quiesce")
        try:
            stopped = hosts.must(
                self.peer_database, via, "postgres stop", {"schema": 1, "epoch_next": self.newest.epoch + 1}, STOP_S
            )
            checkpoint = stopped.facts["checkpoint"]
            self._heir.say({"checkpoint": checkpoint, "timeout_s": AWAIT_S}, REPLAYED_S)
            return self._claim(
                planned=True,
                checkpoint=checkpoint,
                fence={"rung": 1, "evidence": {"cluster_state": "shut down", **checkpoint}},
            )
        except DrError as error:
            undone = self._undo(hosts, via, apps)
            raise type(error)(f"{error}; {undone}") from None

    def _close_behind(self, theirs: dict[str, Any], own: dict[str, Any]) -> None:
        """A primary that stops waits until its standby has everything: one that is far behind would hold up the shop for as long as that takes."""
        written, here = theirs.get("write_lsn"), arrived(own)
        if not written or here is None or lsn(written) - here <= CLOSE_BYTES:
            return
        raise Refused(
            f"{self.database}: is {lsn(written) - here} bytes of WAL behind {self.peer_database}, wanted at most {CLOSE_BYTES}: the shop could not "
            f"write until they had arrived; nothing was changed; wait until it has caught up (`dr-host postgres status` there), or see what slows the link"
        )

    def _undo(self, hosts: Hosts, via: str, apps: list[str]) -> str:
        """The old primary writes again, and workers work, also where the answer to `quiesce` was lost. Says what is so now."""
        newest = self.witness.newest()
        if newest is not None and newest.epoch > self.newest.epoch:
            return f"epoch {newest.epoch} belongs to {newest.active} by now, so {self.peer_database} was left stopped; run the same again"
        try:
            way = self._resume(hosts, via)
        except DrError as error:
            return f"and the old primary could not be restarted ({error}): the shop cannot write; run the same again"
        self._each(hosts, way, apps, "app resume")
        return f"the old primary {self.peer_database} was restarted and writes; no epoch was claimed"

    def _resume(self, hosts: Hosts, via: str) -> str:
        """By the way that led to the old primary, or by another where that one is dead by now: it may be what the move failed by. Returns the way."""
        *others, last = dict.fromkeys((via, *hosts.routes(self.peer_database)))
        for way in others:
            try:
                hosts.must(self.peer_database, way, "postgres resume", {"schema": 1}, STOP_S)
            except Unreachable as error:
                print(f"WARNING fence: {error}", file=sys.stderr)
            else:
                return way
        hosts.must(self.peer_database, last, "postgres resume", {"schema": 1}, STOP_S)
        return last

    def _unplanned(self, hosts: Hosts, own: dict[str, Any]) -> Epoch:
        """The peer cannot stop itself. Count the loss, fence, count again: what the peer still wrote until it was fenced counts too."""
        self._within_budget(Own(database=own), "nothing was changed")
        with ThreadPoolExecutor(2) as pool:
            cache, control = (
                pool.submit(self._own_facts, hosts, host, service)
                for host, service in ((CACHE, "redis"), (CONTROL, "assets"))
            )
            fence, leave = self._ladder(hosts)
            try:
                state = f"no epoch was claimed, but region {self.peer} is fenced by now (rung {fence['rung']})"
                now = hosts.must(self.database, self.site, "postgres status", {"schema": 1}, QUICK_S).facts
                loss = self._within_budget(
                    Own(database=now, offset=cache.result().get("offset"), assets=control.result() or None), state
                )
                print(f"INFO fence: rung {fence['rung']} holds; {sentence(loss)}", file=sys.stderr)
                return self._claim(planned=False, checkpoint=None, fence=fence, loss=loss.document())
            except DrError:
                leave()
                raise

    def _ladder(self, hosts: Hosts) -> tuple[dict[str, Any], Callable[[], None]]:
        """The first rung that holds, and how to let go of it. Raises Refused with every rung's reason."""
        lease = Lease(self.document, hosts, self.witness, self._beating)
        rungs: list[tuple[Callable[[], dict[str, Any]], Callable[[], None]]] = [
            (lambda: stopped(self.document["openstack"], self.peer), lambda: None),
            (lambda: lease.run(self.newest.epoch), lease.allow),
            (lambda: override(self.document, self.newest.epoch, self.tried), lambda: None),
        ]
        for rung, leave in rungs:
            try:
                return rung(), leave
            except RungFailed as error:
                self.tried.append(str(error))
        raise Refused(
            f"region {self.peer}: nothing proves that it has stopped writing ({'; '.join(self.tried)}); a second writer could lose orders on both "
            f"sides, so nothing was changed; bring its OpenStack API or its hosts within reach, or, when you know that region {self.peer} is off and "
            f"stays off, set accept.without_fence to {{epoch: {self.newest.epoch}, reason: ...}} and run the same again"
        )

    def _within_budget(self, own: Own, state: str) -> Loss:
        """What would be lost. Raises Refused when that is over the budget and the operator has not accepted it for this very epoch."""
        with ThreadPoolExecutor(len(self._beating)) as pool:
            beats = dict(zip(self._beating, pool.map(self._beat, self._beating), strict=True))
        loss = measure(own, beats, self._unseen_s)
        limits = self.document["loss_budget"]
        reasons = over(loss, Budget(max_lag_bytes=limits["max_lag_bytes"], max_lag_s=limits["max_lag_s"]), self.peer)
        accepted = self.document.get("accept_loss")
        if not reasons or accepted == self.newest.epoch:
            return loss
        stale = f" (dr:accept.data_loss is for epoch {accepted})" if accepted is not None else ""
        raise Refused(
            f"loss of an unplanned move: {'; '.join(reasons)}{stale}; {sentence(loss)}; those orders would be gone for the customers who were told "
            f"that they are placed, so {state}; bring region {self.peer} back, or accept it: set accept.data_loss to "
            f"{{epoch: {self.newest.epoch}, reason: ...}} and run the same again"
        )

    @property
    def _beating(self) -> list[str]:
        """Names of the hosts of either site that tell the witness of themselves."""
        return [DATABASE, *self.document["caches"]]

    @property
    def _unseen_s(self) -> float | None:
        """A primary that reaches neither witness nor peer stops by itself; without a lease nobody knows."""
        lease = self.document.get("lease")
        return float(lease["lease_s"] + lease["stop_s"]) if lease else None

    def _own_facts(self, hosts: Hosts, host: str, service: str) -> dict[str, Any]:
        """For the report alone, so a host that does not answer is a warning."""
        try:
            return hosts.must(f"{host}.{self.site}", self.site, f"{service} status", {"schema": 1}, QUICK_S).facts
        except DrError as error:
            print(f"WARNING fence: {error}", file=sys.stderr)
            return {}

    def _beat(self, host: str) -> Heartbeat | None:
        return self.witness.heartbeat(self.peer, host)

    def _claim(
        self,
        *,
        planned: bool,
        checkpoint: dict[str, Any] | None,
        fence: dict[str, Any],
        loss: dict[str, Any] | None = None,
    ) -> Epoch:
        epoch = Epoch(
            epoch=self.newest.epoch + 1,
            active=self.site,
            previous=self.peer,
            planned=planned,
            checkpoint=checkpoint,
            fence=fence,
            loss=loss,
            reason="planned move" if planned else f"region {self.peer} lost",
            **_claimer(),
        )
        claimed = _claim(self.witness, epoch)
        self._promote(claimed)
        return claimed

    def _promote(self, epoch: Epoch) -> None:
        """At once, with the connection that is there: every link from here on is part of the write outage. What fails is done by the next link."""
        try:
            self._heir.say({"epoch": epoch.epoch}, PROMOTE_S)
        except DrError as error:
            print(f"WARNING fence: {error}; the next link promotes", file=sys.stderr)

    def _each(self, hosts: Hosts, via: str, names: list[str], command: str) -> None:
        """Best effort on several hosts at once: a worker that cannot be stopped cannot write either once its database is down."""

        def one(name: str) -> None:
            try:
                hosts.must(name, via, command, {"schema": 1}, QUICK_S)
            except DrError as error:
                print(f"WARNING fence: {error}", file=sys.stderr)

        with ThreadPoolExecutor(len(names) or 1) as pool:
            list(pool.map(one, names))


def _power_on(document: dict[str, Any]) -> None:
    """A fence may have stopped this site's own servers: start them; their guards keep the database from coming up as a writer.

    The run that only follows must not need the API (it may be down while all hosts run), so a dead API is a warning here.
    """
    names = document["openstack"]["servers"][document["site"]]
    compute = Compute(document["openstack"], document["openstack"]["regions"][document["site"]])
    try:
        compute.connect()
        compute.settle(
            [name for name, server in compute.servers(names).items() if server["status"] == "SHUTOFF"],
            "os-start",
            "ACTIVE",
            POWER_S,
        )
    except ApiDown as error:
        print(
            f"WARNING fence: could not see whether the servers of {document['site']} are on: {error}", file=sys.stderr
        )


def _claim(witness: Witness, epoch: Epoch) -> Epoch:
    try:
        witness.claim(epoch)
    except EpochTaken as taken:
        raise Failed(
            f"epoch {epoch.epoch}: was claimed by {taken.epoch.claimed_by} for region {taken.epoch.active} first; this run has lost and claims nothing"
        ) from None
    return epoch


def _claimer() -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return {"claimed_at": now, "claimed_by": f"{getpass.getuser()}@{socket.gethostname()}"}


def _can_hand_over(facts: dict[str, Any]) -> bool:
    """A running primary, or one that an interrupted earlier attempt has already shut down cleanly."""
    if facts.get("running"):
        return facts.get("in_recovery") is False
    fenced = (facts.get("role") or {}).get("role") == "fenced"
    return facts.get("cluster_state") == "shut down" and fenced


def _state(answer: Answer) -> str:
    if answer.document is None:
        return f"dr-host said nothing (exit code {answer.code}: {answer.message})"
    return f"its database is {_words(answer.facts)}"


def _words(facts: dict[str, Any]) -> str:
    if not facts.get("running"):
        return f"down, control file: {facts.get('cluster_state')}"
    return "in recovery" if facts.get("in_recovery") else "a primary"
