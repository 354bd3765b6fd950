"""The rungs of the fence ladder that need no word with the lost site's hosts: OpenStack (2), the lease (3), the operator's word (4).

Each returns the fence as it is kept with the epoch, {"rung", "evidence"}, or raises RungFailed with its reason. Rung 1 is part of the
planned move (`scripts.links.fence`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from contract.errors import DrError
from scripts.clients.hosts import Hosts
from scripts.clients.openstack import ApiDown, Compute
from scripts.clients.witness import Witness
from scripts.links.epochs import other
from scripts.links.limits import POWER_S, QUICK_S
from scripts.links.loss import Heartbeat

LOOK_S = 1.0


class RungFailed(Exception):
    """This rung proves nothing; the text is for the list that the operator sees."""


def stopped(document: dict[str, Any], peer: str) -> dict[str, Any]:
    """Rung 2: every server of the peer is SHUTOFF at its own API."""
    names, region = document["servers"][peer], document["regions"][peer]
    compute = Compute(document, region)
    try:
        compute.connect()
        found = compute.settle(names, "os-stop", "SHUTOFF", POWER_S)
    except ApiDown as error:
        raise RungFailed(f"rung 2 (OpenStack stop): {error}") from None
    if not found:
        raise RungFailed(f"rung 2 (OpenStack stop): region {region}: has none of {', '.join(names)}")
    return {"rung": 2, "evidence": {"SHUTOFF": found}}


def override(document: dict[str, Any], epoch: int, tried: list[str]) -> dict[str, Any]:
    """Rung 4: the operator's typed word for the epoch in force."""
    word, for_epoch = document.get("override"), document.get("override_epoch")
    if not word:
        raise RungFailed("rung 4 (override): not given")
    if for_epoch != epoch:
        raise RungFailed(f"rung 4 (override): is for epoch {for_epoch}, the epoch in force is {epoch}")
    return {"rung": 4, "evidence": {"override": word, "tried": list(tried)}}


class Lease:
    """Rung 3: the peer's writers have had no contact for so long that their own agents have stopped them.

    Contact is of two kinds, and both must have ended: with the witness (their heartbeats' age by the witness's clock) and with their
    counterparts here (who are told to grant nothing more, and say when they last did).
    """

    def __init__(self, document: dict[str, Any], hosts: Hosts, witness: Witness, writers: Sequence[str]) -> None:
        """`document`: of the link; `writers`: names, within each site, of the hosts that hold a lease."""
        self._lease: dict[str, float] | None = document.get("lease")
        self._hosts, self._witness, self._site, self._peer = hosts, witness, document["site"], other(document["site"])
        self._writers = tuple(writers)

    def run(self, epoch: int) -> dict[str, Any]:
        """`epoch` is the one in force. Raises RungFailed; then the counterparts grant again."""
        if self._lease is None:
            raise RungFailed("rung 3 (lease): is off (dr:lease)")
        try:
            granted = self._deny(epoch + 1)
            silent = self._await(epoch, self._silence_s - min(granted.values()))
        except (DrError, RungFailed) as error:
            self.allow()
            raise RungFailed(f"rung 3 (lease): {error}") from None
        return {"rung": 3, "evidence": {"heartbeats": silent, "granted_s": granted}}

    def allow(self) -> None:
        """Best effort: a counterpart that cannot be reached denies on, which only ever stops a peer that has lost the witness too."""
        for name in self._writers:
            try:
                self._hosts.must(f"{name}.{self._site}", self._site, "agent allow", {"schema": 1}, QUICK_S)
            except DrError:
                continue

    @property
    def _silence_s(self) -> float:
        assert self._lease is not None
        return self._lease["lease_s"] + self._lease["stop_s"] + self._lease["margin_s"]

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
        if beat.document.get("lease", {}).get("state") == "off":
            raise RungFailed(f"{name}.{self._peer} holds no lease (dr:lease was off there)")
        if beat.document.get("epoch") != epoch:
            raise RungFailed(
                f"{name}.{self._peer}'s heartbeat is of epoch {beat.document.get('epoch')}, the epoch in force is {epoch}"
            )
        return beat
