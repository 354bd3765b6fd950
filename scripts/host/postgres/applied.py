"""The managed files brought into force: written, read again by the server or started with, and what overrides them taken out.

Beside `conf.d` lies `dr.conf.proven`, a copy of our file as the server started with it last: what it does not start with (memory that the
machine has not, a library of another build) shows at a start alone, and is taken back then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from contract.errors import Failed, say

from ..frame.due import Due
from ..frame.files import ManagedFile, make_folder, read_own
from ..frame.log import Log
from ..frame.systemd import Units
from ..frame.wait import until
from . import overrides
from .config import managed_files
from .desired import Desired
from .facts import FAULTS
from .layout import PostgresLayout
from .server import Server

RELOAD_S = 5.0


class Applied:
    """Of one host."""

    def __init__(self, desired: Desired, layout: PostgresLayout, server: Server, units: Units, log: Log) -> None:
        self.desired, self.layout, self.server, self.units, self.log = desired, layout, server, units, log
        self._due = Due(layout.base, "postgres")  # files of units of which systemd has not heard yet

    def write(self, floors: Mapping[str, int]) -> None:
        """What differs. `floors`: see `config`."""
        if self.server.pid() is not None and not self._proven.exists():
            self._prove()  # of a server that was started before there was such a copy
        make_folder(self.layout.conf, 0o755, owner=self.layout.user)
        changed = [file for file in managed_files(self.desired, self.layout, floors) if file.differs()]
        self._due.add(str(file.path) for file in changed if self.layout.base.units in file.path.parents)
        for file in changed:
            file.write()
            if self.layout.conf in file.path.parents:
                make_folder(file.path.parent, owner=self.layout.user)
        if self._due.names():
            self.units.daemon_reload()
            self._due.done(self._due.names())

    def reload(self) -> None:
        """Raises Failed with what the server does not take."""
        done = self._read_again()
        faults = [
            *(self.server.ask(FAULTS) or ()),
            *(self.server.ask("select json_agg(error) from pg_hba_file_rules where error is not null") or ()),
        ]
        if faults or not done:
            raise Failed(
                say(
                    subject=f"configuration in {self.layout.conf}",
                    found=f"refused by the server: {', '.join(map(str, faults)) or 'no reload'}",
                    wanted="settings that it takes",
                    consequence="the old values stay in force",
                    remedy="correct `parameters`, run the same again",
                )
            )

    def drop_overrides(self) -> None:
        """See `overrides`."""
        names = overrides.drop(self.layout)
        self.log.warning(f"{overrides.FILE}: found {', '.join(names)} in it, left by `alter system`; taken out")
        self._read_again()

    def start(self) -> None:
        """Raises Failed; what the server started with last is in force again then, where that is another configuration."""
        log, size = self.layout.log, _size(self.layout.log)
        try:
            self.server.start()
        except Failed as error:
            why = _fatal(log, size)
            changed = self._take_back()
            if not changed:
                raise
            self.server.start()
            raise Failed(
                say(
                    subject=f"parameters {', '.join(changed)}",
                    found=f"a server that does not start with them ({why or error})",
                    wanted="values with which it starts",
                    consequence="the ones before are in force again",
                    remedy="correct `parameters` or `preload`, or the machine, and run the same again",
                )
            ) from None
        self._prove()

    def restart(self) -> None:
        """A parameter asks for it."""
        self.server.stop()
        self.start()

    @property
    def _file(self) -> Path:
        return self.layout.conf / "conf.d" / "dr.conf"

    @property
    def _proven(self) -> Path:
        return self.layout.conf / "dr.conf.proven"

    def _prove(self) -> None:
        text = _own(self._file)
        if text is not None:
            self._put(self._proven, text)

    def _take_back(self) -> list[str]:
        """The names that differ from what was proven; empty, and nothing done, where none does or nothing was."""
        bad, good = _own(self._file), _own(self._proven)
        if bad is None or good is None:
            return []
        changed = sorted({line.split(" = ")[0] for line in {*bad.splitlines()} ^ {*good.splitlines()}})
        if changed:
            self._put(self._file, good)
        return changed

    def _put(self, path: Path, text: str) -> None:
        ManagedFile(path=path, content=text, mode=0o640, owner=self.layout.user).write()

    def _read_again(self) -> bool:
        before = self.server.ask("select to_json(pg_conf_load_time())")
        self.server.sql("select pg_reload_conf()")
        return until(lambda: self.server.ask("select to_json(pg_conf_load_time())") != before, RELOAD_S)


def _own(path: Path) -> str | None:
    """None where there is no such file. Its folder is the server's user's, who gets the copy: what a link there leads to may be for root alone."""
    try:
        return read_own(path).decode()
    except (OSError, ValueError):
        return None


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


def _fatal(log: Path, since: int) -> str | None:
    """The server's own last word of why it ended. `since`: bytes of its log that are of before."""
    try:
        with log.open("rb") as stream:
            stream.seek(since)
            text = stream.read().decode(errors="replace")
    except OSError:
        return None
    said = re.findall(r"(?:FATAL|PANIC):\s+(.*)", text)
    return str(said[-1]).strip() if said else None
