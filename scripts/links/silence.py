"""What the witness hears of the peer's writers: rung 3 stands on their silence, and no other proof is believed against their word.

Ages are by the witness's own clock. The terms of a lease are those of whoever keeps it: where a heartbeat names longer ones than this stack's,
those count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from contract.epoch import Epoch
from contract.errors import DrError, Partial
from contract.heartbeat import Heartbeat
from contract.hosts import DATABASE, first
from contract.lease import Lease, LeaseState
from contract.limits import QUICK_S
from contract.sites import Role, other
from scripts.clients.hosts import Hosts
from scripts.clients.witness import Witness
from scripts.clients.witness_bucket import WitnessDown
from scripts.links.rungs import Proof, Rung, RungFailed

LOOK_S = 1.0
SLACK_S = 1.0  # the store tells times in whole seconds

Beats = Mapping[str, Heartbeat | None]


class Silence:
    """The heartbeats of the site that is active in `newest`, by host."""

    def __init__(self, witness: Witness, newest: Epoch, writers: Sequence[str], lease: Lease | None) -> None:
        """`writers`: names, within each site, of the hosts that hold a lease; `lease`: this stack's terms, None when it is off."""
        self._witness, self._newest, self.lease = witness, newest, lease
        self._least = lease or Lease()  # off here, and a heartbeat of an older agent names no terms: as they come
        self.peer, self.writers = newest.active, tuple(writers)

    def beats(self) -> Beats:
        """Asked at once. Raises WitnessDown; Failed for one that is no heartbeat."""
        with ThreadPoolExecutor(len(self.writers)) as pool:
            found = list(pool.map(lambda host: self._witness.heartbeat(self.peer, host), self.writers))
        return dict(zip(self.writers, found, strict=True))

    def period_s(self, beats: Beats) -> float:
        """After how long a writer that lives must have been heard again."""
        own = [float(self._least.heartbeat_s)]
        return max(own + [_term(beat, "heartbeat_s") for beat in beats.values()]) + SLACK_S

    def silence_s(self, beats: Beats) -> float:
        """After how long it has been stopped by its agent."""
        own = [float(self._least.silence_s)]
        terms = ("lease_s", "stop_s", "margin_s")
        return max(own + [sum(_term(beat, name) for name in terms) for beat in beats.values()])

    def selling(self, before: Beats) -> str:
        """Whether the peer's database still beats as the primary in force; a phrase, or nothing. Watched for as long as one beat may take.

        One that two beats say to be down sells nothing: its host is alive. `before`: what was heard when the run began. Raises WitnessDown.
        """
        host = first(DATABASE)
        began, earlier = time.monotonic(), before.get(host)
        while True:
            beats = self.beats()
            beat = beats[host]
            if beat is None or not self._holds(beat):
                return ""
            if earlier is not None and _sequence(beat) != _sequence(earlier):
                if all(each.block("postgres").get("running") is False for each in (earlier, beat)):
                    return ""
                return f"{host}.{self.peer} beats as the primary of epoch {self._newest.epoch} (the last {beat.age_s:.0f} s ago)"
            earlier, period = earlier or beat, self.period_s(beats)
            if beat.age_s > period or time.monotonic() - began > period:
                return ""
            time.sleep(LOOK_S / 4)

    def quiet(self, proof: Proof) -> Beats:
        """What was heard last, once every writer has missed a beat. Raises RungFailed when one beats on: what the proof names is not what writes."""
        began, first_heard = time.monotonic(), self.beats()
        beats, period = first_heard, self.period_s(first_heard)
        while True:
            holding = {name: beat for name, beat in beats.items() if beat is not None and self._holds(beat)}
            loud = [name for name, beat in holding.items() if beat.age_s <= period]
            if not loud:
                return beats
            if time.monotonic() - began > 2 * period:
                raise RungFailed(
                    f"holds, but {' and '.join(f'{name}.{self.peer}' for name in loud)} still writes heartbeats: what was stopped (rung {proof.rung}) "
                    "is not what writes"
                )
            time.sleep(LOOK_S / 4)
            beats = self.beats()

    def settled(self, epoch: int, heard: Beats | None) -> None:
        """After `epoch` was claimed and before anybody is promoted in it: the peer's writers are as silent as they were, or have stopped since.

        `heard`: what the proof stands on; None when a run before this one has claimed it. One that was heard in between has learned of the new
        epoch, or lives on what it was granted: its lease is waited out. A witness that is silent is waited for as long. Raises Partial when one writes
        on, or nobody can tell; nobody is promoted then.
        """
        began, silent = time.monotonic(), ""
        beats: Beats = {}
        while True:
            try:
                beats, silent = self.beats(), ""
            except WitnessDown as error:
                silent = str(error)
            awake = [
                name for name, beat in beats.items() if self._awake(epoch, beat, heard.get(name) if heard else None)
            ]
            if not awake and not silent:
                return
            limit_s = self.silence_s(beats) + 2 * LOOK_S
            if time.monotonic() - began > limit_s and silent:
                raise Partial(
                    f"epoch {epoch}: is claimed, and whether the writers of region {self.peer} have stopped is not known ({silent}), wanted their last words; "
                    "two writers would lose orders on both sides, so this run promotes nobody; run the same again once the witness answers"
                )
            if time.monotonic() - began > limit_s:
                raise Partial(
                    f"region {self.peer}: {' and '.join(f'{name}.{self.peer}' for name in awake)} still writes as of an older epoch, {limit_s:.0f} s after "
                    f"epoch {epoch} was claimed, wanted it stopped; two writers would lose orders on both sides, so nothing is promoted yet; stop it "
                    "(`systemctl stop dr-agent` there stops the service too, or cut its power) and run the same again"
                )
            time.sleep(LOOK_S)

    def _holds(self, beat: Heartbeat) -> bool:
        """It says that it is the primary of the epoch in force, or of none that we know, and may write."""
        return beat.document.get("role") == Role.PRIMARY and beat.lease_state == LeaseState.HELD

    def _awake(self, epoch: int, beat: Heartbeat | None, heard: Heartbeat | None) -> bool:
        """It has been heard since, and may still write."""
        if beat is None or beat.document.get("role") != Role.PRIMARY or beat.lease_state == LeaseState.OFF:
            return False
        learned = beat.document.get("witness_epoch")
        if isinstance(learned, int) and learned >= epoch and beat.block("redis").get("role") == "replica":
            return False  # a replica, whose agent would stop it as soon as it led
        known = beat.document.get("epoch")
        if isinstance(known, int) and known >= epoch:
            return False
        if beat.lease_state == LeaseState.STOPPED:
            down = not any(beat.block(service).get("running") for service in ("postgres", "redis"))
            # Down, and heard: its agent starts it as soon as the witness names its epoch, and may have asked a moment before the claim.
            starts = isinstance(learned, int) and learned < epoch
            asleep = down and not starts
        else:
            asleep = heard is not None and _sequence(beat) == _sequence(heard)
        return not asleep and beat.age_s < self.silence_s({"": beat})


class LeaseRanOut(Rung):
    """Rung 3: the peer's writers have had no contact for so long that their own hosts have stopped them.

    Contact is of two kinds, and both must have ended: with the witness (their heartbeats' age by the witness's clock) and with their
    counterparts here (who are told to grant nothing more, and say when they last did).
    """

    number, name = 3, "lease"

    def __init__(self, silence: Silence, hosts: Hosts, newest: Epoch, against: Callable[[], str] = lambda: "") -> None:
        """`against`: asked once the silence is long enough, says why it proves nothing all the same."""
        super().__init__()
        self._silence, self._hosts, self._epoch, self._against = silence, hosts, newest.epoch, against
        self._site, self._peer, self._writers = other(newest.active), newest.active, silence.writers
        self._denied = False
        self.claiming = (
            False  # from the moment in which the epoch may be at the witness: what ends a denial is its word then
        )

    def prove(self, tried: Sequence[str]) -> Proof:
        """As of `Rung`; where it fails the counterparts grant again."""
        if self._silence.lease is None:
            raise RungFailed("is off (dr:lease)")
        try:
            granted = self._deny()
            silent = self._await(min(granted.values()))
            against = self._against()
            if against:
                raise RungFailed(f"silence proves nothing while {against}: it is no sign that its lease has run out")
        except (DrError, RungFailed) as error:
            self.leave()
            raise RungFailed(str(error)) from None
        return Proof(rung=self.number, evidence={"heartbeats": silent, "granted_s": granted})

    def leave(self) -> str:
        """Best effort: where a counterpart cannot be reached, its denial ends by itself."""
        if self._denied and not self.claiming:
            self._each("agent allow", {"schema": 1}, DrError)
        return ""

    def _deny(self) -> dict[str, float]:
        """Seconds since the last grant of each counterpart; one that was up for less counts from its start."""
        self._denied = True
        told = {"schema": 1, "epoch_next": self._epoch + 1}
        return {
            name: float(facts["agent_up_s"] if facts.get("last_granted_s") is None else facts["last_granted_s"])
            for name, facts in self._each("agent deny", told).items()
        }

    def _each(
        self, command: str, told: dict[str, Any], ignored: type[DrError] | tuple[()] = ()
    ) -> dict[str, dict[str, Any]]:
        """Facts of every counterpart, asked at once. Raises DrError, but for those that are ignored."""

        def one(name: str) -> dict[str, Any]:
            try:
                return self._hosts.must(f"{name}.{self._site}", self._site, command, told, QUICK_S).facts
            except ignored:
                return {}

        with ThreadPoolExecutor(len(self._writers)) as pool:
            return dict(zip(self._writers, pool.map(one, self._writers), strict=True))

    def _await(self, granted_s: float) -> dict[str, Any]:
        """Wait until the peer has been silent for long enough on both ways; `granted_s`: since the last grant, now."""
        began = time.monotonic()
        beats = self._vouched(self._silence.beats())
        first_heard = {name: _sequence(beat) for name, beat in beats.items()}
        while True:
            silence_s, waited = self._silence.silence_s(beats), time.monotonic() - began
            if all(beat.age_s >= silence_s for beat in beats.values()) and granted_s + waited >= silence_s:
                return {name: beat.evidence for name, beat in beats.items()}
            if waited > silence_s + 2 * LOOK_S:
                ages = ", ".join(f"{name}.{self._peer} {beat.age_s:.0f} s" for name, beat in beats.items())
                raise RungFailed(f"heartbeats are too young ({ages}), wanted {silence_s:g} s")
            if self.over.wait(LOOK_S):
                raise RungFailed("was not needed any more")
            beats = self._vouched(self._silence.beats())
            for name, beat in beats.items():
                if _sequence(beat) != first_heard[name]:
                    raise RungFailed(
                        f"{name}.{self._peer} still writes heartbeats (the last {beat.age_s:.0f} s ago): it is cut off from here, not dead"
                    )

    def _vouched(self, beats: Beats) -> dict[str, Heartbeat]:
        """Those of hosts that keep a lease in the epoch in force. Raises RungFailed when one does not."""
        found = {}
        for name, beat in beats.items():
            if beat is None:
                raise RungFailed(f"{name}.{self._peer} has never written a heartbeat, so nobody knows of its lease")
            if beat.lease_state == LeaseState.OFF:
                raise RungFailed(f"{name}.{self._peer} holds no lease (dr:lease was off there)")
            if beat.document.get("epoch") != self._epoch:
                raise RungFailed(
                    f"{name}.{self._peer}'s heartbeat is of epoch {beat.document.get('epoch')}, the epoch in force is {self._epoch}"
                )
            found[name] = beat
        return found


def _sequence(beat: Heartbeat) -> tuple[object, object]:
    """Another one is another word: an agent that was started anew counts from the beginning."""
    return beat.document.get("sequence"), beat.document.get("at")


def _term(beat: Heartbeat | None, name: str) -> float:
    """One of the terms that a heartbeat names; 0 where it names none that can be."""
    block = beat.document.get("lease") if beat else None
    value = block.get(name) if isinstance(block, dict) else None
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 3600
    return float(value) if usable and value is not None else 0.0
