"""The managed files brought into force: written, read again by the server, and what overrides them taken out."""

from __future__ import annotations

from collections.abc import Mapping

from contract.errors import Failed, say

from ..frame.files import make_folder
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

    def write(self, floors: Mapping[str, int]) -> None:
        """What differs. `floors`: see `config`."""
        make_folder(self.layout.conf, 0o755, owner=self.layout.user)
        changed = [file for file in managed_files(self.desired, self.layout, floors) if file.differs()]
        for file in changed:
            file.write()
            if self.layout.conf in file.path.parents:
                make_folder(file.path.parent, owner=self.layout.user)
        if any(self.layout.base.units in file.path.parents for file in changed):
            self.units.daemon_reload()

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

    def _read_again(self) -> bool:
        before = self.server.ask("select to_json(pg_conf_load_time())")
        self.server.sql("select pg_reload_conf()")
        return until(lambda: self.server.ask("select to_json(pg_conf_load_time())") != before, RELOAD_S)
