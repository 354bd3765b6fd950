"""This host's server as a process with files: started, waited for, its data put aside."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from contract.errors import Failed, OutcomeUnknown, say

from ..frame.files import copy_own, make_folder, rename
from ..frame.layout import Layout
from ..frame.reach import entered, ids_of
from ..frame.systemd import Heard
from ..frame.wait import until
from .config import Desired
from .data import complaint, folder, free
from .engine import Engine
from .look import look
from .machine import disk_warning
from .state import REPLICA
from .wire import Connection, ErrorReply, Server, Unreachable

START_S = 90.0  # loading a full data set included
LINK_S, LINK_MOST_S = (
    120.0,
    840.0,
)  # until a replica follows; the most stays below the limit of the whole verb, and the copy goes on without us


GONE_S, LOOK_S = 20.0, 1.0  # a leader that has not answered for so long is not waited for; between two looks at it
LOCAL_S, PEER_S = 60.0, 10.0  # for an answer: of the own server, which may have to empty itself or to save; of another


class Broken(Failed):
    """It cannot start from its files. `words`: its own."""

    def __init__(self, engine: Engine, files: Path, words: str) -> None:
        super().__init__(
            say(
                subject=f"append-only files of this cache in {files}",
                found=f"some that {engine.name} cannot start from ({words})",
                wanted="whole ones",
                consequence="the cache is down, and its files are as they were",
                remedy=f"repair them with `{engine.binary.removesuffix('server')}check-aof --fix {files}/dr.aof.manifest` (it cuts off what comes after the "
                "fault), or give the keys up with dr:redis cold_cache: true, which keeps the files beside; then run the same again",
            )
        )
        self.words = words


class Process:
    """The server of this host. Nothing here decides; see `plan`."""

    def __init__(self, desired: Desired, engine: Engine, layout: Layout, units: Heard) -> None:
        self._desired, self._engine, self._units = desired, engine, units
        self._layout = layout
        self._data, self._files = layout.at(engine.data), folder(layout, engine)

    def launch(self, *, restart: bool) -> None:
        """Start it and wait until it answers. Raises Failed; Broken when its files are why."""
        make_folder(self._data, 0o750, self._engine.user)
        try:
            self._launch(restart=restart)
        except Failed as error:
            words = complaint(self._units.said(self._engine.unit))
            if words is None:
                raise Failed(f"{error}{self._disk()}") from None
            raise Broken(self._engine, self._files, words) from None

    def _launch(self, *, restart: bool) -> None:
        (self._units.restart if restart else self._units.start)(self._engine.unit, START_S)
        if not until(lambda: look(self._desired.local)[0] is not None, START_S):
            raise Failed(
                say(
                    subject=f"unit {self._engine.unit}",
                    found=str(look(self._desired.local)[1]),
                    wanted=f"an answer within {START_S:g} s of its start",
                    consequence="the cache has no place in its role",
                    remedy=f"read `journalctl -u {self._engine.unit}`, then run the same again",
                )
            )

    def await_link(self, leader: Server) -> None:
        """Wait until it has all that `leader` has, also on disk, for as long as that one is there. Raises Failed."""
        limit_s = min(max(LINK_S, 60 + 3 * self._desired.link.copy_s(self._desired.maxmemory)), LINK_MOST_S)
        heard = looked = time.monotonic()

        def done() -> bool:
            nonlocal heard, looked
            if self._follows():
                return True
            if time.monotonic() - looked >= LOOK_S:
                found, why = look(leader)
                looked = time.monotonic()
                heard = looked if found is not None else heard
                if looked - heard >= GONE_S:
                    raise Failed(
                        say(
                            subject=f"cache {leader.name}",
                            found=f"no answer for {GONE_S:g} s ({why})",
                            wanted="the one that this host follows",
                            consequence="this one waits for it no longer",
                            remedy=f"mend {leader.name}, or make this site active, then run the same again",
                        )
                    )
            return False

        if not until(done, limit_s):
            raise Failed(
                say(
                    subject="replication of the cache",
                    found="link down or its copy not yet written",
                    wanted=f"up, and the copy on disk, within {limit_s:.0f} s",
                    consequence="a failover now would lose carts",
                    remedy=f"see whether {leader.name} is reachable over the vRack, then run the same again",
                )
                + self._disk()
            )

    def _follows(self) -> bool:
        found = look(self._desired.local)[0]
        return found is not None and found.role == REPLICA and found.link_up and found.on_disk

    def _disk(self) -> str:
        """To be said of a failure, where the disk may be why."""
        warning = disk_warning(free(self._layout, self._engine), self._desired.maxmemory)
        return f"; {warning}" if warning else ""

    def keep(self, epoch: int, settings: Mapping[str, str]) -> None:
        """Copy what this host holds to `diverged-<epoch>` beside it; an earlier copy of the same epoch stays."""
        place = self._data / f"diverged-{epoch}"
        if place.exists():
            return
        if look(self._desired.local)[0] is not None:
            # A replica without its master refuses even this unless it may serve what it has; for as long as it saves nobody else is served.
            served = "CONFIG", "SET", "replica-serve-stale-data"
            ask(self._desired.local, (*served, "yes"), ("SAVE",), (*served, settings["replica-serve-stale-data"]))
        partial = place.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)
        make_folder(partial, 0o700)
        # Nobody else puts anything into it before it is whole; the folder in which it lies is the server's user's.
        with entered(self._data) as source, entered(partial) as target:
            if os.fstat(target).st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, "it was exchanged while it was made", str(partial))
            for path in (self._data / "dr.rdb", self._files):
                if os.path.lexists(path):
                    copy_own(source, target, path.name)
            os.fchmod(target, 0o750)
            if os.geteuid() == 0:
                os.fchown(target, *ids_of(self._engine.user))
        rename(partial, place)


def ask(
    server: Server, *commands: Sequence[str | int], last: Sequence[str | int] = (), limit_s: float = LOCAL_S
) -> str:
    """Commands with nothing in between, then one more whose answer is returned; their words may hold a secret and only the first two are told."""
    subject = f"cache {server.name}, {' '.join(map(str, (*commands, last)[0][:2]))}"
    try:
        with Connection(server, timeout_s=limit_s) as connection:
            connection.call_at_once(*map(tuple, commands))
            return str(connection.call(*last)) if last else ""
    except ErrorReply as error:
        raise Failed(
            f"{subject}: found error {error.code}, wanted OK; the plan stops here; run the same again once mended"
        ) from None
    except Unreachable as error:
        raise OutcomeUnknown(
            f"{subject}: connection lost ({error}), wanted OK; nobody knows whether it was done; run the same again"
        ) from None
