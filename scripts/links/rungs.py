"""The ladder: its rungs in order, each a way of its own to prove that the site which loses the role writes no more.

Here are those that need no word with that site's hosts: OpenStack (2), the lease (3), the operator's word (4). Rung 1, the clean stop over ssh,
is `scripts.links.planned`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from contract.epoch import Epoch
from contract.errors import DrError
from contract.heartbeat import Heartbeat
from contract.installation import Word
from contract.lease import Lease, LeaseState
from contract.limits import POWER_S, QUICK_S
from contract.links.fence import Servers
from contract.sites import other
from scripts.clients.hosts import Hosts
from scripts.clients.openstack import ApiDown, Compute
from scripts.clients.witness import Witness

LOOK_S = 1.0


class RungFailed(Exception):
    """This rung proves nothing; the reasons are for the list that the operator sees."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True, kw_only=True)
class Proof:
    """That the site has stopped writing, as it is kept with the epoch."""

    rung: int
    evidence: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """For the epoch's object."""
        return asdict(self)


class Rung(ABC):
    """One way to prove it. Nothing is done to the site before `prove`."""

    number: ClassVar[int]
    name: ClassVar[str]

    @abstractmethod
    def prove(self, tried: Sequence[str]) -> Proof:
        """`tried`: a line for each rung below that does not hold. Raises RungFailed, with nothing left behind; Refused when no rung may be tried."""

    def leave(self) -> str:
        """Let go of what `prove` holds, because nothing was claimed. Returns what is so now; empty when that goes without saying."""
        return ""


def climb(rungs: Iterable[Rung], tried: list[str]) -> tuple[Rung, Proof] | None:
    """The first rung that holds; None when none does. The reasons of those that do not are added to `tried`."""
    for rung in rungs:
        try:
            return rung, rung.prove(tried)
        except RungFailed as error:
            tried += [f"rung {rung.number} ({rung.name}): {reason}" for reason in error.reasons]
    return None


@contextmanager
def held(rung: Rung) -> Iterator[None]:
    """Around what relies on a rung: when it fails, the rung is let go, and the error says what is so now."""
    try:
        yield
    except DrError as error:
        now = rung.leave()
        if not now:
            raise
        raise type(error)(f"{error}; {now}") from None


class PowerOff(Rung):
    """Rung 2: every server of the peer is SHUTOFF at its own API."""

    number, name = 2, "OpenStack stop"

    def __init__(self, openstack: Servers, peer: str) -> None:
        self._openstack, self._names, self._region = openstack, openstack.servers[peer], openstack.regions[peer]

    def prove(self, tried: Sequence[str]) -> Proof:
        """As of `Rung`. Servers that it has stopped stay so, whatever comes of the move: following starts them."""
        compute = Compute(self._openstack, self._region)
        try:
            compute.connect()
            found = compute.settle(self._names, "os-stop", "SHUTOFF", POWER_S)
        except ApiDown as error:
            raise RungFailed(str(error)) from None
        if not found:
            raise RungFailed(f"region {self._region}: has none of {', '.join(self._names)}")
        return Proof(rung=self.number, evidence={"SHUTOFF": found})


class Override(Rung):
    """Rung 4: the operator's typed word for the epoch in force."""

    number, name = 4, "override"

    def __init__(self, word: Word | None, epoch: int) -> None:
        """`epoch`: the one in force."""
        self._word, self._epoch = word, epoch

    def prove(self, tried: Sequence[str]) -> Proof:
        """As of `Rung`; kept with the word: why nothing better could be had."""
        if self._word is None:
            raise RungFailed("not given")
        if self._word.epoch != self._epoch:
            raise RungFailed(f"is for epoch {self._word.epoch}, the epoch in force is {self._epoch}")
        return Proof(rung=self.number, evidence={"override": self._word.reason, "tried": list(tried)})


class LeaseRanOut(Rung):
    """Rung 3: the peer's writers have had no contact for so long that their own agents have stopped them.

    Contact is of two kinds, and both must have ended: with the witness (their heartbeats' age by the witness's clock) and with their
    counterparts here (who are told to grant nothing more, and say when they last did).
    """

    number, name = 3, "lease"

    def __init__(
        self, lease: Lease | None, hosts: Hosts, witness: Witness, newest: Epoch, writers: Sequence[str]
    ) -> None:
        """`lease`: None when it is off; `writers`: names, within each site, of the hosts that hold one."""
        self._lease, self._hosts, self._witness, self._epoch = lease, hosts, witness, newest.epoch
        self._site, self._peer, self._writers = other(newest.active), newest.active, tuple(writers)

    def prove(self, tried: Sequence[str]) -> Proof:
        """As of `Rung`; where it fails the counterparts grant again."""
        if self._lease is None:
            raise RungFailed("is off (dr:lease)")
        epoch = self._epoch
        try:
            granted = self._deny(epoch + 1)
            silent = self._await(epoch, self._silence_s - min(granted.values()))
        except (DrError, RungFailed) as error:
            self.leave()
            raise RungFailed(str(error)) from None
        return Proof(rung=self.number, evidence={"heartbeats": silent, "granted_s": granted})

    def leave(self) -> str:
        """Best effort: a counterpart that cannot be reached denies on, which only ever stops a peer that has lost the witness too."""
        for name in self._writers:
            try:
                self._hosts.must(f"{name}.{self._site}", self._site, "agent allow", {"schema": 1}, QUICK_S)
            except DrError:
                continue
        return ""

    @property
    def _silence_s(self) -> float:
        assert self._lease is not None
        return self._lease.silence_s

    def _deny(self, epoch_next: int) -> dict[str, float]:
        """Seconds since the last grant of each counterpart; one that was up for less counts from its start."""
        since = {}
        for name in self._writers:
            facts = self._hosts.must(
                f"{name}.{self._site}", self._site, "agent deny", {"schema": 1, "epoch_next": epoch_next}, QUICK_S
            ).facts
            last = facts.get("last_granted_s")
            since[name] = float(facts["agent_up_s"] if last is None else last)
        return since

    def _await(self, epoch: int, ungranted_s: float) -> dict[str, Any]:
        """Wait until the peer has been silent for long enough on both ways; `ungranted_s` is what is left of the one, from now."""
        began = time.monotonic()
        beats = {name: self._beat(name, epoch) for name in self._writers}
        first = {name: beat.document.get("sequence") for name, beat in beats.items()}
        while not (
            all(beat.age_s >= self._silence_s for beat in beats.values()) and time.monotonic() - began >= ungranted_s
        ):
            if time.monotonic() - began > self._silence_s + 2 * LOOK_S:
                ages = ", ".join(f"{name}.{self._peer} {beat.age_s:.0f} s" for name, beat in beats.items())
                raise RungFailed(f"heartbeats are too young ({ages}), wanted {self._silence_s:g} s")
            time.sleep(LOOK_S)
            beats = {name: self._beat(name, epoch) for name in self._writers}
            for name, beat in beats.items():
                if beat.document.get("sequence") != first[name]:
                    raise RungFailed(
                        f"{name}.{self._peer} still writes heartbeats (the last {beat.age_s:.0f} s ago): it is cut off from here, not dead"
                    )
        return {
            name: {
                "age_s": round(beat.age_s, 1),
                "sequence": beat.document.get("sequence"),
                "at": beat.document.get("at"),
            }
            for name, beat in beats.items()
        }

    def _beat(self, name: str, epoch: int) -> Heartbeat:
        beat = self._witness.heartbeat(self._peer, name)
        if beat is None:
            raise RungFailed(f"{name}.{self._peer} has never written a heartbeat, so nobody knows of its lease")
        if beat.document.get("lease", {}).get("state") == LeaseState.OFF:
            raise RungFailed(f"{name}.{self._peer} holds no lease (dr:lease was off there)")
        if beat.document.get("epoch") != epoch:
            raise RungFailed(
                f"{name}.{self._peer}'s heartbeat is of epoch {beat.document.get('epoch')}, the epoch in force is {epoch}"
            )
        return beat
