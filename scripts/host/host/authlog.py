"""Putting the job that keeps sign-ins at the witness on a host, and taking it away: steps of `host converge`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Failed, say

from ..frame.due import Due
from ..frame.files import ManagedFile
from ..frame.layout import Layout
from ..frame.plan import Step
from ..frame.systemd import Units, sandbox, verified_line

UNIT, TIMER, SELF = "dr-authlog.service", "dr-authlog.timer", "authlog.json"
TOOL = "/opt/dr/dr-host.pyz"
CHANGE_S = 20.0
# A user that is there while it runs and owns its state alone. systemd hands it a copy of the key; the file itself stays root's.
SERVICE = f"""\
# Written by dr-host host converge; changes made here are lost.
[Unit]
Description=Keep at the witness who has signed in here

[Service]
Type=oneshot
DynamicUser=yes
SupplementaryGroups=systemd-journal
StateDirectory=dr-authlog
StateDirectoryMode=0700
LoadCredential=witness:/etc/dr/witness.json
UMask=0077
Nice=10
MemoryMax=128M
TimeoutStartSec=120
StandardOutput=null
StandardError=journal
SyslogLevel=notice
LogLevelMax=notice
{verified_line(TOOL)}ExecStart=/usr/bin/python3 {TOOL} host authlog
{sandbox([])}"""
# Each minute, and not in all hosts at once. Not at the very start: nothing that a role needs waits for it.
EACH_MINUTE = """\
# Written by dr-host host converge; changes made here are lost.
[Timer]
OnActiveSec=15
OnUnitInactiveSec=55
RandomizedDelaySec=10
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True)
class Facts:
    """`files`: those that differ; `present`: some of it is there; `ticking`: the timer runs, and starts with the machine."""

    files: tuple[str, ...] = ()
    present: bool = False
    ticking: bool = False


@dataclass(frozen=True)
class Installation:
    """`wanted`: false where there is no key to the witness, or none that is asked for it."""

    wanted: bool
    site: str
    host: str
    layout: Layout
    units: Units

    def files(self) -> list[ManagedFile]:
        """In the order in which they are written."""
        told = json.dumps({"host": self.host, "site": self.site}, sort_keys=True) + "\n"
        return [
            ManagedFile(path=self.layout.etc / SELF, content=told),
            ManagedFile(path=self.layout.units / UNIT, content=SERVICE),
            ManagedFile(path=self.layout.units / TIMER, content=EACH_MINUTE),
        ]

    def facts(self) -> Facts:
        """Cheap where nothing of it is wanted or there."""
        present = any(file.path.exists() for file in self.files())
        if not self.wanted:
            return Facts(present=present)
        ticking = present and self.units.enabled(TIMER) and self.units.active(TIMER)
        return Facts(tuple(self._due.stale(self.files())), present, ticking)

    def plan(self, facts: Facts) -> Sequence[Step]:
        """Pure."""
        if not self.wanted:
            return [Step("authlog-off")] if facts.present else []
        steps = [Step("authlog-files", ", ".join(facts.files))] if facts.files else []
        return [*steps, Step("authlog-start")] if facts.files or not facts.ticking else steps

    def apply(self, step: Step) -> None:
        """See `plan`."""
        {"authlog-files": self._write, "authlog-start": self._start, "authlog-off": self._off}[step.name]()

    def verify(self, facts: Facts) -> dict[str, Any]:
        """Raises Failed."""
        if not self.wanted:
            return {}
        if facts.files or not facts.ticking:
            raise Failed(
                say(
                    subject=f"unit {TIMER}",
                    found="none that runs as it should",
                    wanted="one",
                    consequence="who signs in here is known to this host alone",
                    remedy=f"read `journalctl -u {TIMER} -u {UNIT}`, then run the same again",
                )
            )
        return {"signed_in": "kept at the witness"}

    def _write(self) -> None:
        self._due.put(self.files())
        self.units.daemon_reload()
        self._due.done(self._due.names())

    @property
    def _due(self) -> Due:
        return Due(self.layout, "authlog")

    def _start(self) -> None:
        self.units.enable(TIMER)
        self.units.restart(TIMER, CHANGE_S)

    def _off(self) -> None:
        """Its state stays: a chain goes on where it was left."""
        self.units.disable(TIMER)
        for unit in (TIMER, UNIT):
            self.units.stop(unit, CHANGE_S)
        for path in (Path(file.path) for file in self.files()):
            path.unlink(missing_ok=True)
        self.units.daemon_reload()
