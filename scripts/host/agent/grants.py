"""What this host grants to its counterpart on the other site, and the word to grant nothing more.

Both the agent and `dr-host agent deny` work under one lock on files: after `deny` has answered, no grant follows, also not from an agent
that is started later. `/var/lib/dr/deny.json` outlives a boot. A denial is for one attempt to take over, and whoever made it may be gone: it
ends by itself once its time is over and the witness has said after that, that no newer epoch came of it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from contract.dataclass import dataclass
from contract.limits import LINKS_S

from ..frame.boots import boot, boottime
from ..frame.files import make_folder, write_atomically
from ..frame.layout import Layout
from ..frame.rolefile import PRIMARY, Role
from .lease import Newest

HOLD_S = float(LINKS_S["fence"])  # whoever denies is killed by then
ALL = 1 << 62  # epochs; of a denial that cannot be read


@dataclass(frozen=True)
class Denial:
    """Epochs below `epoch_next` are not granted, for `hold_s` from `since`, which is a time of the boot `boot`."""

    epoch_next: int
    hold_s: float = HOLD_S
    since: float | None = None
    boot: str | None = None

    def now(self, boot: str | None, now: float) -> Denial:
        """The same in this boot. How long the machine was off nobody here can tell, so after a boot its time begins anew: never too short."""
        known = self.since is not None and self.since <= now and self.boot is not None and self.boot == boot
        return self if known else replace(self, since=now, boot=boot)

    @property
    def until(self) -> float:
        """When its time is over."""
        return (self.since or 0.0) + self.hold_s

    @classmethod
    def of(cls, found: Any) -> Denial:
        """From the file. One that cannot be read was meant as a denial."""
        try:
            since = found.get("since")
            return cls(
                int(found["epoch_next"]),
                float(found.get("hold_s", HOLD_S)),
                None if since is None else float(since),
                found.get("boot"),
            )
        except (AttributeError, ValueError, KeyError, TypeError):
            return cls(ALL)


def grants(asked: int, *, role: Role | None, known: int | None, denied_below: int | None) -> bool:
    """Pure: whether a primary of epoch `asked` on the other site may go on. `known`: the newest epoch that this host has heard of."""
    if denied_below is not None and asked < denied_below:
        return False
    if role is not None and (role.epoch > asked or (role.role == PRIMARY and role.epoch == asked)):
        return False
    return known is None or known <= asked


class Grants:
    """The files of one host."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._deny = layout.var / "deny.json"
        self._granted, self._peer = layout.run / "granted.json", layout.run / "peer.json"

    def answer(self, asked: int, role: Role | None, known: int | None, block: dict[str, Any] | None = None) -> bool:
        """Decide, and keep when it was granted. `block`: what the counterpart says of its service, kept unless its epoch is over."""
        with self._locked():
            denial, now = self._denied(), boottime()
            granted = grants(asked, role=role, known=known, denied_below=denial.epoch_next if denial else None)
            if granted:
                write_atomically(self._granted, json.dumps({"at": now, "epoch": asked}).encode())
            if block is not None and grants(asked, role=role, known=known, denied_below=None):
                write_atomically(self._peer, json.dumps({"at": now, "epoch": asked, "block": block}).encode())
        return granted

    def deny(self, epoch_next: int, hold_s: float = HOLD_S) -> float | None:
        """From now on grant nothing for epochs below `epoch_next`. Returns the seconds since the last grant, None when there was none.

        Of two denials the stricter holds: another attempt may rely on the first.
        """
        make_folder(self._layout.var, 0o700)
        with self._locked():
            before, now = self._denied(), boottime()
            if before is not None and before.epoch_next != ALL:
                epoch_next, hold_s = max(epoch_next, before.epoch_next), max(hold_s, before.until - now)
            self._keep(Denial(epoch_next, hold_s, now, boot()))
            return self.last_granted_s()

    @property
    def denies(self) -> bool:
        """Whether there is a denial, over or not."""
        return self._deny.exists()

    def allow(self) -> bool:
        """Undo `deny`; whether there was one."""
        with self._locked():
            found = self._deny.exists()
            self._deny.unlink(missing_ok=True)
        return found

    def end(self, newest: Newest | None) -> Denial | None:
        """End a denial that is over; returns it when it ended just now. `newest`: what the witness has said, and when it was asked."""
        if not self.denies:
            return None
        with self._locked():
            denial = self._denied()
            if denial is None or newest is None or newest.asked_at < denial.until:
                return None
            if denial.epoch_next != ALL and newest.epoch >= denial.epoch_next:
                return None  # the take-over has come; older epochs are not granted anyway
            self._deny.unlink(missing_ok=True)
            return denial

    def last_granted_s(self) -> float | None:
        """Seconds since the last grant since the boot."""
        at = _number(_json(self._granted), "at")
        return None if at is None else max(boottime() - at, 0.0)

    def peer(self) -> dict[str, Any] | None:
        """What the counterpart said last of its service: `{"epoch", "age_s", "block"}`, the age since it was received; None when nothing since the boot."""
        found = _json(self._peer)
        at, epoch = _number(found, "at"), _number(found, "epoch")
        block, now = found.get("block"), boottime()
        if at is None or epoch is None or not isinstance(block, dict) or at > now:
            return None
        return {"epoch": int(epoch), "age_s": round(now - at, 1), "block": block}

    def denied_below(self) -> int | None:
        """As given to `deny`; None when all is allowed."""
        with self._locked():
            denial = self._denied()
            return denial.epoch_next if denial else None

    def _denied(self) -> Denial | None:
        """The denial of the file, in the time of this boot."""
        if not self._deny.exists():
            return None
        found = Denial.of(_json(self._deny))
        now = found.now(boot(), boottime())
        if now != found:
            with suppress(OSError):  # a full disk: it denies on, and its time begins once it can be kept
                self._keep(now)
        return now

    def _keep(self, denial: Denial) -> None:
        write_atomically(self._deny, json.dumps(asdict(denial)).encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_folder(self._layout.run)
        handle = os.open(self._layout.run / "grants.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(found: dict[str, Any], key: str) -> float | None:
    try:
        return float(found[key])
    except (ValueError, KeyError, TypeError):
        return None
