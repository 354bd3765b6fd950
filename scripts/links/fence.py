"""The first link of the role chain: settle which epoch is in force, and take it over when the request says so.

Nothing is claimed before the fence is proven. The rungs, tried in order: (1) over ssh the peer's database is stopped and its control file says
"shut down" (`planned.py`); (2) the OpenStack API has stopped the peer's servers, SHUTOFF was seen; (3) the peer's lease has run out; (4) a typed
override for this very epoch (`rungs.py`). An unplanned move counts first what it would lose, and again between the proven fence and the claim
(`unplanned.py`).
"""

from __future__ import annotations

import datetime
import getpass
import socket
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from contract import fields
from contract.epoch import Epoch
from contract.errors import DrError, Failed, Refused
from contract.hosts import DATABASE, first
from contract.limits import AWAIT_S, POWER_S, PROMOTE_S, QUICK_S, REPLAYED_S, TALK_S
from contract.links.fence import Document
from contract.sites import other
from contract.version import VERSION
from scripts.clients.hosts import Answer, Conversation, Hosts
from scripts.clients.openstack import ApiDown, Compute
from scripts.clients.witness import EpochTaken, Witness
from scripts.links.agreement import Side, agree, leave
from scripts.links.epochs import Action, decide
from scripts.links.loss import Loss
from scripts.links.planned import CleanStop, look, words
from scripts.links.rungs import LeaseRanOut, Override, PowerOff, Proof, climb, held
from scripts.links.unplanned import Count


def run(told: Document) -> dict[str, Any]:
    """Returns `contract.epoch.InForce` as an object. Raises DrError."""
    witness = Witness(told.witness)
    newest, followed = witness.newest(), witness.followed(told.site)
    action = decide(told.site, told.request, newest, followed)
    side = Side(site=told.site, digests=told.configuration, word=told.other_configuration)
    warning = agree(side, newest, action, witness)
    if warning:
        print(f"WARNING fence: {warning}", file=sys.stderr)
    if action is Action.CLAIM_FIRST:
        witness.probe()
        newest = _claim(
            witness, Epoch(epoch=1, active=told.site, previous=None, planned=True, reason="first", **_claimer())
        )
    elif action is Action.TAKE_OVER:
        assert newest is not None  # decide() takes over from somebody
        witness.probe()
        newest = Takeover(told, newest, witness).run()
    elif action is Action.FOLLOW:
        _power_on(told)
    assert newest is not None
    leave(told, witness)
    witness.record_addresses(told.site, fields.write(told.public))
    return dict(fields.write(newest.told(witness.addresses(newest.active).get("lb"))))


class Takeover:
    """One attempt to move the role from the active peer to this site."""

    def __init__(self, told: Document, newest: Epoch, witness: Witness) -> None:
        self.told, self.newest, self.witness = told, newest, witness
        self.site, self.peer = told.site, other(told.site)
        self.database = f"{first(DATABASE)}.{self.site}"
        self.tried: list[str] = []  # a line for each rung that did not hold
        self._heir: Conversation  # with this site's database

    def run(self) -> Epoch:
        """Fence, then claim. Raises Refused, nothing changed, when no rung holds."""
        known = {**self.told.ssh.bastions, self.peer: self.witness.addresses(self.peer).get("bastion")}
        ssh = replace(self.told.ssh, bastions=known)
        with Hosts(ssh) as hosts, ThreadPoolExecutor(1) as pool:
            asked = pool.submit(hosts.must, self.database, self.site, "postgres status", {"schema": 1}, QUICK_S)
            seen = look(hosts, f"{first(DATABASE)}.{self.peer}")
            own = self._own(asked)
            self._heir = hosts.talk(self.database, self.site, "postgres takeover", TALK_S)
            clean = CleanStop(hosts, self.witness, self.newest, seen=seen, own=own, apps=self.told.apps)
            found = climb([clean], self.tried)
            if found is not None:
                return self._planned(clean, found[1])
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
                f"{self.database}: is {words(own)}, wanted a running standby to promote; nothing was changed; see `dr-host postgres status` there, "
                f"and let it follow first if region {self.peer} is still well"
            )
        return own

    def _planned(self, clean: CleanStop, proof: Proof) -> Epoch:
        """The peer has stopped its database by itself: see its last word here, and only then claim."""
        with held(clean):
            self._heir.say({"checkpoint": clean.checkpoint, "timeout_s": AWAIT_S}, REPLAYED_S)
            return self._promoted(self._next(proof, checkpoint=clean.checkpoint))

    def _unplanned(self, hosts: Hosts, own: dict[str, Any]) -> Epoch:
        """The peer cannot stop itself: count the loss, fence, count again, claim."""
        told, writers = self.told, (first(DATABASE), *self.told.caches)
        count = Count(hosts, self.witness, self.newest, writers, told)
        ladder = [
            PowerOff(told.openstack, self.peer),
            LeaseRanOut(told.lease, hosts, self.witness, self.newest, writers),
            Override(told.without_fence, self.newest.epoch),
        ]
        with count.before(own):
            found = climb(ladder, self.tried)
            if found is None:
                raise Refused(
                    f"region {self.peer}: nothing proves that it has stopped writing ({'; '.join(self.tried)}); a second writer could lose orders on "
                    f"both sides, so nothing was changed; bring its OpenStack API or its hosts within reach, or, when you know that region {self.peer} "
                    f"is off and stays off, set accept.without_fence to {{epoch: {self.newest.epoch}, reason: ...}} and run the same again"
                )
            rung, proof = found
            with held(rung):
                return self._promoted(self._next(proof, loss=count.after(proof)))

    def _next(self, proof: Proof, *, checkpoint: dict[str, Any] | None = None, loss: Loss | None = None) -> Epoch:
        """The epoch to be claimed: planned where the old primary could say its last word."""
        return Epoch(
            epoch=self.newest.epoch + 1,
            active=self.site,
            previous=self.peer,
            planned=checkpoint is not None,
            checkpoint=checkpoint,
            fence=proof.document(),
            loss=None if loss is None else loss.document(),
            reason="planned move" if checkpoint is not None else f"region {self.peer} lost",
            **_claimer(),
        )

    def _promoted(self, epoch: Epoch) -> Epoch:
        """Claim, and promote at once, with the connection that is there: every link from here on is part of the write outage.

        A promotion that fails is done by the next link. Raises Failed when somebody else was first.
        """
        claimed = _claim(self.witness, epoch)
        try:
            self._heir.say({"epoch": claimed.epoch}, PROMOTE_S)
        except DrError as error:
            print(f"WARNING fence: {error}; the next link promotes", file=sys.stderr)
        return claimed


def _power_on(told: Document) -> None:
    """A fence may have stopped this site's own servers: start them; their guards keep the database from coming up as a writer.

    The run that only follows must not need the API (it may be down while all hosts run), so a dead API is a warning here.
    """
    names = told.openstack.servers[told.site]
    compute = Compute(told.openstack, told.openstack.regions[told.site])
    try:
        compute.connect()
        stopped = [name for name, server in compute.servers(names).items() if server["status"] == "SHUTOFF"]
        compute.settle(stopped, "os-start", "ACTIVE", POWER_S)
    except ApiDown as error:
        print(f"WARNING fence: could not see whether the servers of {told.site} are on: {error}", file=sys.stderr)


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
    return {"claimed_at": now, "claimed_by": f"{getpass.getuser()}@{socket.gethostname()}", "version": VERSION}
