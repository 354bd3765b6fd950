"""Putting the job of the shop's certificate on a host, and taking it away: steps of `host converge`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Failed, say
from contract.services.certificate import Certificate

from ...app.names import SHOP
from ...frame.desired import Envelope
from ...frame.due import Due
from ...frame.files import ManagedFile, make_folder
from ...frame.layout import Layout
from ...frame.plan import Step
from ...frame.systemd import Units, sandbox, verified_line
from .job import CAS, FILE, KEYS, Job
from .lego import ORDER_S

UNIT, TIMER = "dr-certificate.service", "dr-certificate.timer"
TOOL = "/opt/dr/dr-host.pyz"
CHANGE_S, STOP_S = 20.0, 30.0
KEY_FILE = "certificate-{name}"  # in /etc/dr
_HEAD = "# Written by dr-host host converge; changes made here are lost.\n"
# Its temporary files hold keys: they lie in memory, and go with the run.
_OWN = """\
StateDirectory=dr-certificate
StateDirectoryMode=0700
RuntimeDirectory=dr-certificate
RuntimeDirectoryMode=0700
Environment=TMPDIR=/run/dr-certificate
UMask=0077
Nice=10
StandardOutput=null
StandardError=journal
"""
TICKS = f"""\
{_HEAD}[Timer]
OnActiveSec=10
OnUnitInactiveSec=240
RandomizedDelaySec=30
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def _credentials() -> str:
    names = {"witness.json": "witness.json", "host.key": "host.key"} | {it: KEY_FILE.format(name=it) for it in KEYS}
    return "".join(f"LoadCredential={name}:/etc/dr/{file}\n" for name, file in names.items())


# A user that is there while it runs and owns its state alone: account and memory. systemd hands it copies of the keys, the files themselves stay root's.
ORDERS = f"""\
{_HEAD}[Unit]
Description=Order the shop's certificate, in the active site only
After=network-online.target
Wants=network-online.target

[Service]
Type=oneshot
DynamicUser=yes
{_OWN}{_credentials()}MemoryMax=256M
TimeoutStartSec={ORDER_S + 120:.0f}
{verified_line(TOOL)}ExecStart=/usr/bin/python3 {TOOL} certificate order
{sandbox([])}"""
# Root without its rights: it reads what is root's, writes below /etc/shop, and asks systemd to reload nginx.
TAKES = f"""\
{_HEAD}[Unit]
Description=Take the shop's certificate from the witness and show it
After=network-online.target
Wants=network-online.target

[Service]
Type=oneshot
{_OWN}MemoryMax=128M
TimeoutStartSec=180
{verified_line(TOOL)}ExecStart=/usr/bin/python3 {TOOL} certificate take
{sandbox([SHOP])}"""


@dataclass(frozen=True)
class Facts:
    """`files`: those that differ; `present`: some of it is there; `left`: files of other wishes; `ticking`: the timer runs, and starts with the machine."""

    files: tuple[str, ...] = ()
    present: bool = False
    ticking: bool = False
    left: tuple[str, ...] = ()


class Installation:
    """`it`: None where an ACME CA issues nothing, or on a host that has no part in it."""

    def __init__(self, envelope: Envelope, it: Certificate | None, layout: Layout, units: Units) -> None:
        self._told, self._layout, self._units = it, layout, units
        self._job = Job.wanted(envelope, it)
        self._due = Due(layout, "certificate")

    def files(self) -> list[ManagedFile]:
        """In the order in which they are written."""
        if self._job is None or self._told is None:
            return []
        etc, order = self._layout.etc, self._told.order
        files = [ManagedFile(path=etc / FILE, content=self._job.text)]
        if order is not None:
            files += [
                ManagedFile(path=etc / KEY_FILE.format(name=name), content=getattr(order.keys, name), mode=0o600)
                for name in KEYS
            ]
            files += [ManagedFile(path=etc / CAS, content=self._job.ca)] if self._job.ca else []
        return [
            *files,
            ManagedFile(path=self._layout.units / UNIT, content=TAKES if order is None else ORDERS),
            ManagedFile(path=self._layout.units / TIMER, content=TICKS),
        ]

    def facts(self) -> Facts:
        """Cheap where nothing of it is wanted or there."""
        wanted = {file.path for file in self.files()}
        there = [path for path in self._every() if path.exists()]
        left = tuple(str(path) for path in there if path not in wanted)
        if self._job is None:
            return Facts(present=bool(there))
        ticking = bool(there) and self._units.enabled(TIMER) and self._units.active(TIMER)
        return Facts(tuple(self._due.stale(self.files())), bool(there), ticking, left)

    def plan(self, facts: Facts) -> Sequence[Step]:
        """Pure."""
        if self._job is None:
            return [Step("certificate-off")] if facts.present else []
        changed = ", ".join((*facts.files, *facts.left))
        steps = [Step("certificate-files", changed)] if changed else []
        return [*steps, Step("certificate-start")] if changed or not facts.ticking else steps

    def apply(self, step: Step) -> None:
        """See `plan`."""
        {"certificate-files": self._write, "certificate-start": self._start, "certificate-off": self._off}[step.name]()

    def verify(self, facts: Facts) -> dict[str, Any]:
        """Raises Failed."""
        if self._job is None:
            return {}
        if facts.files or facts.left or not facts.ticking:
            raise Failed(
                say(
                    subject=f"unit {TIMER}",
                    found="none that runs as it should",
                    wanted="one",
                    consequence="the shop's certificate ends here without another one",
                    remedy=f"read `journalctl -u {TIMER} -u {UNIT}`, then run the same again",
                )
            )
        return {"certificate": "taken" if self._job.order is None else "ordered"}

    def _every(self) -> list[Any]:
        etc, units = self._layout.etc, self._layout.units
        names = [FILE, CAS, *(KEY_FILE.format(name=name) for name in KEYS)]
        return [*(etc / name for name in names), units / UNIT, units / TIMER]

    def _write(self) -> None:
        if self._told is not None and self._told.order is None:
            make_folder(self._layout.at(SHOP))
        self._due.put(self.files())
        wanted = {file.path for file in self.files()}
        for path in self._every():
            if path not in wanted:
                path.unlink(missing_ok=True)
        self._units.daemon_reload()
        self._due.done(self._due.names())

    def _start(self) -> None:
        self._units.enable(TIMER)
        self._units.restart(TIMER, CHANGE_S)

    def _off(self) -> None:
        """What was taken stays, for nginx shows it until the app's own run says otherwise; so do the account and the memory of what was asked."""
        self._units.disable(TIMER)
        for unit in (TIMER, UNIT):
            self._units.stop(unit, STOP_S)
        for path in self._every():
            path.unlink(missing_ok=True)
        self._units.daemon_reload()
