"""Records against a witness that is in memory: keys that are made for the tests, and what an attacker puts beside them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.settings import Settings, SshKey
from contract import fields
from contract.errors import Failed
from contract.objectives import Reports
from contract.report import RECORDS, Event, Figure, Loss, Record, Sealed, Stage, text_of
from scripts.clients import ssh_signature
from scripts.clients.chain_bucket import strange
from scripts.ctl.reports import book
from tests.unit.played_survey import settings

BEGAN = "2026-11-29T10:00:00.000Z"


@cache
def pair(name: str) -> SshKey:
    """A key of ssh: the program's, a person's, or somebody's."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)], check=True)
        public = " ".join((Path(folder) / f"{name}.pub").read_text().split()[:2])
        return SshKey(private=file.read_text(), public=public)


def its(**told: Any) -> Settings:
    """A configuration with a key that signs, and two persons who sign off; `told`: of `dr:reports`."""
    known = settings()
    reports = Reports(
        **{"signers": {name: pair(name).public for name in ("alice", "bob")}, "rto_s": 120, "rpo_s": 30, **told}
    )
    return replace(known, secrets=replace(known.secrets, operator=pair("program")), reports=reports)


class Shelf:
    """The witness's records, as `ReportBucket` gives them: the bodies of each name, the newest last."""

    chain = RECORDS

    def __init__(self) -> None:
        self.objects: dict[str, list[bytes]] = {}
        self.down = False
        self.asked: list[str] = []
        self.hidden: set[str] = set()  # removed, with older versions left

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise Failed("witness: does not answer")

    def listed(self) -> list[str]:
        self._ask("list")
        return sorted(set(self.objects) - self.hidden)

    def last(self) -> int:
        return max(filter(None, map(RECORDS.number_of, self.listed())), default=0)

    def versions(self, prefix: str) -> list[str]:
        self._ask("versions")
        return [name for name, bodies in sorted(self.objects.items()) for _ in bodies if name.startswith(prefix)]

    def stored(self, number: int) -> bytes | None:
        self._ask(f"read {number}")
        name = RECORDS.name_of(number)
        return self.objects[name][-1] if name in self.objects and name not in self.hidden else None

    def record(self, number: int, body: bytes) -> bool:
        self._ask(f"write {number}")
        return self.objects.setdefault(RECORDS.name_of(number), [body])[0] is body

    def whole(self) -> tuple[list[tuple[str, bytes]], list[str]]:
        listed = self.listed()
        return [(name, self.objects[name][-1]) for name in listed], strange(listed, self.versions(RECORDS.folder))

    def put(self, number: int, body: bytes) -> None:
        """By somebody who may: a new version of what is there."""
        self.objects.setdefault(RECORDS.name_of(number), []).append(body)

    def replaced(self, number: int, body: bytes) -> None:
        """By somebody who removes older versions, too."""
        self.objects[RECORDS.name_of(number)] = [body]


def event(**told: Any) -> Event:
    """A failover that was proven, with a loss that is known."""
    good: dict[str, Any] = {
        "scenario": "failover", "outcome": "done", "exit_code": 0, "began": BEGAN, "seconds": 40.0, "ran_by": "alice", "source": "a", "target": "b",
        "epoch_before": 3, "epoch": 4, "rto": Figure(declared_s=120, measured_s=31.5, method="by the clock"),
        "rpo": Figure(declared_s=30, measured_s=2.0, method="by the last heartbeats"), "loss": Loss(bytes=4096, seconds=2.0),
        "timeline": (Stage(site="b", link="fence", begun_s=1.0, ended_s=9.0, state="done"),),
    }  # fmt: skip
    return Event(**good | told)


def draft(kind: str = "move", signer: str = "drctl", **parts: Any) -> Record:
    """A record that alice's machine has made."""
    made = replace(book.draft(kind, signer), who="alice (root@desk)", place="desk")
    return replace(made, **(parts or {"event": event()}))


def sealed(made: Record, key: str = "program", namespace: str = "report@shop-dr") -> bytes:
    """Signed by that key, whatever it says."""
    payload = text_of(made)
    signature = ssh_signature.sign(payload, namespace, pair(key).private)
    return json.dumps(fields.write(Sealed(payload=payload, signature=signature)), sort_keys=True).encode()


def added(shelf: Shelf, made: Record | None = None, key: str = "program") -> int:
    """As the program does it."""
    bucket: Any = shelf
    return book.append(
        bucket, made or draft(), lambda text: ssh_signature.sign(text, "report@shop-dr", pair(key).private)
    )


def changed(body: bytes, **told: Any) -> bytes:
    """The same object with another payload: what is told of the event, with the signature of before."""
    found: dict[str, Any] = json.loads(body)
    payload = json.loads(found["payload"])
    payload["event"] |= told
    return json.dumps({**found, "payload": json.dumps(payload, sort_keys=True)}, sort_keys=True).encode()
