"""The first link of the role chain: settle which epoch is in force, and take it over when the request says so.

Nothing is claimed before the fence is proven. The rungs: (1) over ssh the peer's database is stopped and its control file says "shut down"
(`planned.py`); then side by side (2) the OpenStack API shows every server of the peer that keeps a lease to be off (`power.py`) and (3) the peer's
lease has run out (`silence.py`); (4) a typed override for this very epoch (`rungs.py`). No proof but the first is believed against a heartbeat: not before the
claim, and not between the claim and the promotion. An unplanned move counts first what it would lose, and again between the proven fence and the
claim (`unplanned.py`).
"""

from __future__ import annotations

import datetime
import getpass
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from contract import fields
from contract.accept import asked
from contract.epoch import Epoch
from contract.errors import DrError, Failed, Partial, Refused
from contract.hosts import DATABASE, first
from contract.limits import AWAIT_S, ENSURED_S, PROMOTE_S, REPLAYED_S, TALK_S, WITNESS_S
from contract.links.fence import Document
from contract.sites import other
from contract.version import VERSION
from scripts.clients.hosts import CONNECT_S, Answer, Conversation, Hosts
from scripts.clients.trail import Note
from scripts.clients.witness import EpochTaken, Witness
from scripts.clients.witness_bucket import WitnessDown
from scripts.links import certificates, witness_keys
from scripts.links.agreement import Side, agree, leave
from scripts.links.epochs import Action, decide, followed
from scripts.links.interrupts import shielded
from scripts.links.listener import Listener
from scripts.links.loss import Loss
from scripts.links.planned import CleanStop, look, words
from scripts.links.power import Glance, PowerOff
from scripts.links.rungs import Override, Proof, RungFailed, climb, held, race
from scripts.links.silence import Beats, LeaseRanOut, Silence
from scripts.links.unplanned import Count
from scripts.links.words import counting

NOTED_S, ENDED_S = 0.3, 3.0  # for an entry of the audit trail: written beside the rest; of a run that has ended
ROOM_BYTES = 64 * 2**20  # four segments of WAL: with less a promotion may not come to its end


def run(told: Document) -> dict[str, Any]:
    """Returns `contract.epoch.InForce` as an object. Raises DrError."""
    witness = Witness(told.witness)
    newest = witness.newest()
    told = counting(told, newest)
    action = decide(told.site, told.request, newest, followed(witness, told.site, newest), os.environ)
    side = Side(site=told.site, digests=told.configuration, word=told.other_configuration, since=told.since)
    if warning := agree(side, newest, action, witness):
        print(f"WARNING fence: {warning}", file=sys.stderr)
    # Before the role moves: nothing but the witness may be needed after that.
    entrance = witness.addresses(other(told.site)).get("lb")
    if action is not Action.TAKE_OVER:  # which waits for nothing that it can do without
        witness_keys.judge(told.host_keys, witness, first=action is Action.CLAIM_FIRST)
    if action is Action.CLAIM_FIRST:
        witness.probe()
        _never_claimed(told, witness)
        newest = _claim(
            witness,
            Epoch(epoch=1, active=told.site, previous=None, planned=True, reason="first", **claimer()),
            time.monotonic() + WITNESS_S,
        )
    elif action is Action.TAKE_OVER:
        assert newest is not None  # decide() takes over from somebody
        witness.probe()
        takeover = Takeover(told, newest, witness)
        try:
            newest = takeover.run()
        except BaseException:
            if takeover.claimed is not None:  # whatever ends the run behind it: who has claimed stands in the trail
                _tell(_note(told, takeover.claimed), ENDED_S)
            raise
    assert newest is not None
    # Beside what is left to do: by now the new primary writes, and no record is worth a moment of that.
    note = _note(told, newest) if action in (Action.CLAIM_FIRST, Action.TAKE_OVER) else None
    if action is Action.STAY and newest.previous == other(told.site):
        # A run before this one may have claimed it, and ended before it saw that nobody else writes. The next link promotes.
        _silence(told, witness, replace(newest, active=other(told.site)), newest).settled(newest.epoch, None)
    try:
        leave(told, witness)
        witness.record_addresses(told.site, fields.write(told.public))
        witness.record_servers(told.site, told.instances)
    except DrError as error:
        if action is not Action.TAKE_OVER:
            raise
        # The new primary is the only writer by now: a witness that dies behind it must not keep the shop from its workers.
        print(
            f"WARNING fence: {error}; the move goes on, and the witness may not have this region's configuration, addresses and servers as they are "
            "now; raise dr:repair and run the same again once it answers, which leaves them",
            file=sys.stderr,
        )
    if note is not None:
        _tell(note, NOTED_S)
    return dict(fields.write(newest.told(entrance)))


def _note(told: Document, claimed: Epoch) -> Note:
    facts = {
        "rung": str(claimed.fence.get("rung")),
        "planned": str(claimed.planned).lower(),
        "previous": claimed.previous or "",
    }
    word = told.without_fence or told.data_loss or told.other_configuration or told.empty
    why = word.reason if word else claimed.reason
    return Note(told.witness, "claim", told.site, epoch=claimed.epoch, why=why, facts=facts)


def _tell(note: Note, wait_s: float) -> None:
    if lost := note.lost(wait_s):
        print(f"WARNING fence: {lost}", file=sys.stderr)


def _never_claimed(told: Document, witness: Witness) -> None:
    """A first epoch beside a shop that lives would be a second writer: no epoch is listed, but there has been one. Raises Refused."""
    trace = witness.trace()
    if trace and (told.empty is None or told.empty.epoch != 1):
        raise Refused(
            f"witness: found no epoch, and {trace}, which stands there only after one; a region may be at work in an epoch that was lost, so none was "
            "claimed; see `The witness has lost its epochs` in docs/failover.md; or, when no region of this shop runs and nothing of its data is "
            f"wanted, set {asked('empty', 1)} and run the same again"
        )


class Takeover:
    """One attempt to move the role from the active peer to this site."""

    def __init__(self, told: Document, newest: Epoch, witness: Witness) -> None:
        self.told, self.newest, self.witness = told, newest, witness
        self.site, self.peer = told.site, other(told.site)
        self.database = f"{first(DATABASE)}.{self.site}"
        self.tried: list[str] = []  # a line for each rung that did not hold
        self._claimer = claimer()  # known before anything is changed
        self._silence = _silence(told, witness, newest)
        self._heir: Conversation  # with this site's database
        self.claimed: Epoch | None = None  # by this attempt, and at the witness

    def run(self) -> Epoch:
        """Fence, then claim. Raises Refused, nothing changed, when no rung holds."""
        known = {**self.told.ssh.bastions, self.peer: self.witness.addresses(self.peer).get("bastion")}
        with Hosts(replace(self.told.ssh, bastions=known)) as hosts, ThreadPoolExecutor(3) as pool:
            beats = pool.submit(self._silence.beats)
            database = Listener(hosts, self.database, self.site, "postgres")
            status = pool.submit(database.facts)
            ensure = (self.database, self.site, "agent ensure", {"schema": 1}, ENSURED_S)
            lease = pool.submit(hosts.must, *ensure) if self.told.lease else None
            count = Count(hosts, self.witness, self._silence, self.newest, self.told, database=database)
            self._heir = hosts.talk(self.database, self.site, "postgres takeover", TALK_S)
            silent = self._missed(beats)
            glance = Glance(self.told.openstack, self.peer, lambda: self.witness.servers(self.peer))
            if silent:
                glance.begin()
                count.ask()
            seen = look(
                hosts, f"{first(DATABASE)}.{self.peer}", CONNECT_S // 2 if silent else CONNECT_S, off=glance.off
            )
            own = self._own(status)
            self._holds(lease)
            clean = CleanStop(
                hosts,
                self.witness,
                self.newest,
                seen=seen,
                own=own,
                apps=self.told.apps,
                lossy=count.accepted,
                ended=certificates.ended(self.told.certificates, self.site),
            )
            found = climb([clean], self.tried)
            if found is None:
                return self._unplanned(hosts, own, count, beats.result())
            if clean.behind:
                return self._left(clean, found[1], own, count)
            return self._planned(clean, found[1])

    def _missed(self, heard: Future[Beats]) -> bool:
        """Whether the peer's database has missed a heartbeat: then no word of its ssh server is expected either, and what a lost region calls for begins
        while it is waited for."""
        try:
            beats = heard.result()
        except DrError:
            return False
        beat = beats.get(first(DATABASE))
        return beat is None or beat.age_s > self._silence.period_s(beats)

    def _own(self, status: Future[dict[str, Any]]) -> dict[str, Any]:
        """This site's own database, which must be there to be promoted: an epoch that no link can follow would leave the shop without a writer."""
        try:
            own = status.result()
        except DrError as error:
            raise Refused(
                f"{self.database}: does not answer ({error}), wanted a standby to promote; nothing was changed; bring this site's own bastion and "
                f"database host within reach (`host_generation` of region {self.site} replaces a lost one) and run the same again"
            ) from None
        if not own.get("in_recovery"):
            raise Refused(
                f"{self.database}: is {words(own)}, wanted a running standby to promote; nothing was changed; see `dr-host postgres status` there, "
                f"and let it follow first if region {self.peer} is still well; when that one is lost and this one is down, start its unit there "
                "(`systemctl start postgresql@<version>-main`, or a reboot): a standby starts without its primary"
            )
        free = own.get("disk_free")
        if isinstance(free, int) and free < ROOM_BYTES:
            raise Refused(
                f"{self.database}: has {free} bytes of free space, wanted {ROOM_BYTES} or more: promoted, it could not write; nothing was changed; make "
                f"room there (`db_volume_gb` of region {self.site} makes its volume larger) and run the same again"
            )
        return own

    def _holds(self, ensured: Future[Answer] | None) -> None:
        """The database here must hold its lease once it leads, or it would be stopped after one, with the epoch claimed. None: there is no lease."""
        try:
            if ensured is not None:
                ensured.result()
        except DrError as error:
            raise Refused(
                f"{self.database}: would hold no lease, wanted its agent and its dead-man at work: promoted, it would be stopped by itself ({error}); "
                "nothing was changed; set `dr:repair` to another number and run the same again, which puts them there anew before it takes over"
            ) from None

    def _planned(self, clean: CleanStop, proof: Proof) -> Epoch:
        """The peer has stopped its database by itself: see its last word here, and only then claim."""
        with held(clean):
            self._heir.say({"checkpoint": clean.checkpoint, "timeout_s": AWAIT_S}, REPLAYED_S)
            clean.still()
            epoch = self._next(proof, checkpoint=clean.checkpoint)
            clean.claiming = time.monotonic() + WITNESS_S
            return self._promoted(epoch, clean.claiming, lambda: self._down(clean, epoch))

    def _left(self, clean: CleanStop, proof: Proof, own: dict[str, Any], count: Count) -> Epoch:
        """The peer was stopped cleanly, and this site has not followed it: the operator has accepted that what is missing is lost."""
        with held(clean), count.before(own):
            epoch = self._next(proof, loss=count.after(proof, clean.checkpoint))
            last = {first(DATABASE): self._silence.beats()[first(DATABASE)]}
            clean.still()
            clean.claiming = time.monotonic() + WITNESS_S
            return self._promoted(epoch, clean.claiming, lambda: self._down(clean, epoch, last))

    def _down(self, clean: CleanStop, claimed: Epoch, last: Beats | None = None) -> None:
        """The clean stop holds beyond the claim: until that was at the witness, a run of the peer's stack could start the database by its word.

        No cache is handed over in an epoch that is not planned: those have to stop, however lately they were heard. `last`: what was heard of the
        database before the claim. Raises Partial.
        """
        unknown = clean.hold()
        if unknown and self.told.lease is None:
            raise Partial(
                f"region {self.peer}: nobody can say that {first(DATABASE)}.{self.peer} is stopped ({unknown}), wanted that seen; two writers would lose "
                f"orders on both sides, so epoch {claimed.epoch} is claimed and nothing is promoted yet; see that it is, or cut its power, and run the "
                "same again"
            )
        if unknown:
            print(f"WARNING fence: {unknown}; its heartbeats decide", file=sys.stderr)
        if unknown or not claimed.planned:
            silence = _silence(self.told, self.witness, self.newest, claimed)
            silence.settled(claimed.epoch, None if unknown else last)

    def _unplanned(self, hosts: Hosts, own: dict[str, Any], count: Count, heard: Beats) -> Epoch:
        """The peer cannot stop itself: count the loss, fence, count again, claim."""
        told = self.told
        power = PowerOff(told.openstack, self.peer, self.witness.servers(self.peer))
        lease = LeaseRanOut(self._silence, hosts, self.newest, power.against_lease)
        with count.before(own):
            self._not_selling(heard, count)
            found = race([power, lease], self.tried) or climb(
                [Override(told.without_fence, self.newest.epoch)], self.tried
            )
            with held(power, lease):
                if found is None:
                    raise self._unproven(power)
                rung, proof = found
                try:
                    quiet = self._silence.quiet(proof)
                    count.unheard(proof, quiet)
                except RungFailed as error:
                    self.tried.append(f"rung {rung.number} ({rung.name}): {error}")
                    raise self._unproven(power) from None
                epoch = self._next(proof, loss=count.after(proof))
                power.claiming = lease.claiming = True
                until = time.monotonic() + WITNESS_S
                try:
                    return self._promoted(epoch, until, lambda: self._silence.settled(epoch.epoch, quiet))
                except WitnessDown as error:
                    raise self._unknown(epoch, error, power) from None

    def _not_selling(self, heard: Beats, count: Count) -> None:
        """A peer that beats on as primary is no lost one: to take over from it without its last word is the operator's to say. Raises Refused."""
        selling = self._silence.selling(heard)
        if selling and not count.accepted:
            raise Refused(
                f"region {self.peer}: {selling}, but cannot be moved away from cleanly ({'; '.join(self.tried)}); it sells, and a forced move would "
                f"lose what it sells until it is stopped; nothing was changed; mend the way to {first(DATABASE)}.{self.peer} and run the same again, or "
                f"set {asked('data_loss', self.newest.epoch)}"
            )

    def _unproven(self, power: PowerOff) -> DrError:
        """No rung holds."""
        text = (
            f"region {self.peer}: nothing proves that it has stopped writing ({'; '.join(self.tried)}); a second writer could lose orders on "
            f"both sides, so {'no epoch was claimed' if power.changed else 'nothing was changed'}; bring its OpenStack API or its hosts "
            f"within reach, or, when you know that region {self.peer} is off and stays off, set "
            f"{asked('without_fence', self.newest.epoch)} and run the same again"
        )
        return Partial(text) if power.changed else Refused(text)

    def _unknown(self, epoch: Epoch, error: WitnessDown, power: PowerOff) -> DrError:
        """Nobody has said what has become of the claim."""
        told = [
            f"region {self.site}: whether epoch {epoch.epoch} was claimed is not known ({error}), wanted the witness's word; nobody was promoted",
            power.changed,
            f"once it answers, run the same again, or `pulumi up -s region-{self.peer}` to stay there",
        ]
        return Partial("; ".join(filter(None, told)))

    def _next(self, proof: Proof, *, checkpoint: dict[str, Any] | None = None, loss: Loss | None = None) -> Epoch:
        """The epoch to be claimed: planned where the old primary could say its last word."""
        planned = f"region {self.peer} left" if proof.rung == CleanStop.number else f"region {self.peer} lost"
        return Epoch(
            epoch=self.newest.epoch + 1,
            active=self.site,
            previous=self.peer,
            planned=checkpoint is not None,
            checkpoint=checkpoint,
            fence=proof.document(),
            loss=None if loss is None else loss.document(),
            reason="planned move" if checkpoint is not None else planned,
            **self._claimer,
        )

    def _promoted(self, epoch: Epoch, until: float, settled: Callable[[], None]) -> Epoch:
        """Claim, and promote at once, with the connection that is there: every link from here on is part of the write outage.

        `until`: of a witness that is silent, for all that ask it: the shop may stand still meanwhile.
        `settled`: asked once the epoch is claimed, whether the peer's writers are as the proof has found them; raises Partial. A promotion that fails
        is done by the next link. Raises Failed when somebody else was first.
        """
        with shielded():  # from here on the only way is forward
            claimed = self.claimed = _claim(self.witness, epoch, until)
            settled()
            try:
                self._heir.say({"epoch": claimed.epoch}, PROMOTE_S)
            except DrError as error:
                print(f"WARNING fence: {error}; the next link promotes", file=sys.stderr)
        return claimed


def _silence(told: Document, witness: Witness, newest: Epoch, claimed: Epoch | None = None) -> Silence:
    """Of the hosts that hold a lease on the site that is active in `newest`; of those that have to be silent in `claimed`.

    In a planned epoch the old primary has said its last word, and its cache beats on until it is handed over.
    """
    caches = () if claimed is not None and claimed.planned else told.caches
    return Silence(witness, newest, (first(DATABASE), *caches), told.lease)


def _claim(witness: Witness, epoch: Epoch, until: float) -> Epoch:
    try:
        while not _tried(witness, epoch, until):
            time.sleep(1.0)
    except EpochTaken as taken:
        raise Failed(
            f"epoch {epoch.epoch}: was claimed by {taken.epoch.claimed_by} for region {taken.epoch.active} first; this run has lost and claims nothing"
        ) from None
    return epoch


def _tried(witness: Witness, epoch: Epoch, until: float) -> bool:
    """A create that nobody answered may still be done by the store: only an answer, to this one or to the same again, tells what is so."""
    try:
        witness.claim(epoch)
    except WitnessDown:
        if time.monotonic() > until:
            raise
        return False
    return True


def claimer() -> dict[str, Any]:
    """Who claims an epoch, and when. A container's user may have no name, which is no reason to fail."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid {os.getuid()}"
    return {
        "claimed_at": now,
        "claimed_by": f"{user}@{socket.gethostname()}",
        "version": VERSION,
        "token": uuid.uuid4().hex,
    }
