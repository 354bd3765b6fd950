"""What monitoring is on a host: exporters on every host; Prometheus, Alertmanager and a prober on control hosts.

What it needs besides our own figures is Debian's, started with our arguments by a drop-in that is there before the package, so that none of it ever listens
elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Failed, say
from contract.hosts import CONTROL, kind_of
from contract.monitoring.packages import packages
from contract.services.monitoring import Block, Watch

from ...frame import plan
from ...frame.call import Call
from ...frame.desired import Envelope, read
from ...frame.due import Due
from ...frame.figures import COLLECTED, OWN, Figures
from ...frame.files import ManagedFile, make_folder
from ...frame.layout import Layout
from ...frame.plan import Step
from ...frame.result import Result
from ...frame.systemd import Systemd, Units, drop_in, sandbox, verified_line
from ..service import install, installed_packages
from . import blind, config
from .itself import SELF
from .page import job as status_page
from .verbs import JOB, NODE, TIMER, WATCHERS

TOOL = "/opt/dr/dr-host.pyz"
USER = "prometheus"  # Debian's, of all of them
SERVICE = "dr-figures.service"
EVERY_S = 30
START_S = 60.0
DATA = "/var/lib/prometheus"
STORE = f"{DATA}/metrics2/"
# It asks each service as that one's user, looks at their processes, and changes nothing but its own file.
_BOX = sandbox(
    ["/run/dr", f"{OWN}/{JOB}"],
    capabilities=("CAP_DAC_READ_SEARCH", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_PTRACE"),
    as_others=True,
)
# The node exporter tells of the host's own disks and clock: with a /tmp, a /home and a /dev of its own it would tell of those. It may ask the clock how
# far it is off; to set it takes a capability, which it has not.
_SEEN = ("PrivateTmp", "PrivateDevices", "ProtectHome", "ProtectClock")
_CLOCK = "SystemCallFilter=adjtimex clock_adjtime\n"


FIGURES_TIMER = f"""\
# Written by dr-host monitoring converge; changes made here are lost.
[Timer]
OnActiveSec=1
OnUnitInactiveSec={EVERY_S - 2}
RandomizedDelaySec=2
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def figures_unit(*, watches: bool) -> str:
    """The job that reads figures. `watches`: on a host whose Prometheus is to be ended when it is blind."""
    return f"""\
# Written by dr-host monitoring converge; changes made here are lost.
[Unit]
Description=Figures of this host for whoever watches it

[Service]
Type=oneshot
UMask=0077
Nice=10
MemoryMax=128M
TimeoutStartSec=25
StandardOutput=null
StandardError=journal
SyslogLevel=notice
LogLevelMax=notice
{blind.ended_when_blind(WATCHERS[0], STORE) if watches else ""}{verified_line(TOOL)}ExecStart=/usr/bin/python3 {TOOL} monitoring metrics
{_BOX}"""


@dataclass(frozen=True)
class Desired:
    """`watch`: None on hosts that only tell of themselves."""

    envelope: Envelope
    on: bool
    watch: Watch | None = field(repr=False)

    @classmethod
    def read(cls, document: dict[str, Any]) -> Desired:
        """Raises Usage that names every fault."""
        envelope, block = read(document, "monitoring", Block, with_epoch=False)
        return cls(envelope, block.enabled, block.watch)

    @property
    def place(self) -> config.Place:
        it = self.envelope
        return config.Place(it.site, it.host, it.hosts)


@dataclass(frozen=True)
class Facts:
    """`units`, `files`: those that differ or are not in force; `missing`: packages; `quiet`: units that do not run or would not after a boot;
    `unwanted`: a page for customers is written that is wished no more.
    """

    units: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()
    unwanted: bool = False
    placed: bool = True
    present: bool = False


class Monitoring:
    """`plan.Service`."""

    def __init__(
        self,
        desired: Desired,
        layout: Layout,
        units: Units | None = None,
        install: Callable[[Sequence[str]], None] = install,
    ) -> None:
        self.desired, self.layout, self.units, self._install = desired, layout, units or Systemd(), install
        self._due = Due(layout, "monitoring")
        self._figures = Figures(layout, JOB, "root")

    # --- what is wanted

    @property
    def runs(self) -> tuple[str, ...]:
        """Units in the order in which they are started."""
        watchers = (*WATCHERS, *([status_page.TIMER] if self._page() else [])) if self.desired.watch is not None else ()
        return (TIMER, NODE, *watchers)

    def _page(self) -> list[ManagedFile]:
        return status_page.wanted(self.layout, self.desired.place, self.desired.watch)

    def early(self) -> list[ManagedFile]:
        """What must be there before a package is: it starts what it brings, on every address."""
        place, watch = self.desired.place, self.desired.watch
        itself = json.dumps({"host": place.host, "site": place.site}, sort_keys=True) + "\n"
        found = [
            ManagedFile(path=self.layout.etc / SELF, content=itself),
            ManagedFile(path=self.layout.units / SERVICE, content=figures_unit(watches=watch is not None)),
            ManagedFile(path=self.layout.units / TIMER, content=FIGURES_TIMER),
            self._started(NODE, config.node_arguments(place, COLLECTED), 64),
        ]
        if watch is not None:
            prometheus, alertmanager, blackbox = WATCHERS
            found += [
                self._started(
                    prometheus,
                    config.prometheus_arguments(place, watch, STORE),
                    watch.memory_mb,
                    [STORE.rstrip("/")],
                    blind.begins_with_room(STORE) + blind.gives_up_what_it_has_given_up(),
                ),
                self._started(
                    alertmanager,
                    config.alertmanager_arguments(place, f"{DATA}/alertmanager/"),
                    128,
                    [f"{DATA}/alertmanager"],
                ),
                self._started(blackbox, config.blackbox_arguments(place), 64),
                *self._page(),
            ]
        return found

    def late(self) -> list[ManagedFile]:
        """What the packages' user reads: it comes with the first of them."""
        tls, watch, place = self.desired.envelope.tls, self.desired.watch, self.desired.place
        texts = {
            "ca.pem": tls.ca,
            "host.crt": tls.cert,
            "host.key": tls.key,
            "web.yml": config.text(config.web(place)),
        }
        if watch is not None:
            texts |= {
                "gossip.yml": config.text(config.gossip(place)),
                "rules.yml": config.text(config.alert_rules(watch)),
                "prometheus.yml": config.text(config.prometheus(place, watch)),
                "blackbox.yml": config.text(config.blackbox(place, watch)),
                "alertmanager.yml": config.text(config.alertmanager(watch)),
            }
            if watch.shop_ca is not None:
                texts["shop-ca.pem"] = watch.shop_ca
            if watch.store_secret is not None:
                texts[config.STORE_SECRET] = watch.store_secret
        folder = self.layout.at(config.FOLDER)
        return [ManagedFile(path=folder / name, content=text, mode=0o640, group=USER) for name, text in texts.items()]

    def _started(
        self, unit: str, arguments: Sequence[str], memory_mb: int, writable: Sequence[str] = (), first: str = ""
    ) -> ManagedFile:
        """A unit of Debian's with our arguments, in a box, and never without our files. `writable`: folders where it keeps something; `first`: what
        has to be so.
        """
        text = (
            f"[Unit]\nConditionPathExists={config.FOLDER}/web.yml\nStartLimitIntervalSec=0\n[Service]\n"
            # At boot the vRack's address may not be there yet.
            "Restart=always\nRestartSec=5\n"
            f"Environment=GOMEMLIMIT={memory_mb * 9 // 10}MiB GOMAXPROCS=1\nMemoryMax={memory_mb}M\nNice=5\n"
            f"{first}ExecStart=\nExecStart={' '.join(arguments)}\n"
            f"{sandbox(writable, without=_SEEN) + _CLOCK if unit == NODE else sandbox(writable)}"
        )
        return drop_in(self.layout, unit, "dr", text)

    # --- facts, plan, apply, verify

    def facts(self) -> Facts:
        if not self.desired.on:
            return Facts(present=(self.layout.etc / SELF).exists())
        installed = installed_packages(self.layout)
        wanted = packages(kind_of(self.desired.envelope.host))
        missing = tuple(name for name in wanted if name not in installed)
        early, late = tuple(self._due.stale(self.early())), tuple(self._due.stale(self.late()))
        quiet = () if missing or early else tuple(unit for unit in self.runs if not self._well(unit))
        unwanted = status_page.left(self.layout, self._page())
        return Facts(early, late, missing, quiet, unwanted, self._figures.placed(), True)

    def _well(self, unit: str) -> bool:
        return self.units.enabled(unit) and self.units.running(unit)

    def plan(self, facts: Facts) -> Sequence[Step]:
        if not self.desired.on:
            return [Step("off")] if facts.present else []
        steps = [Step("units", ", ".join(facts.units))] if facts.units else []
        if facts.missing:
            steps.append(Step("install", ", ".join(facts.missing)))
        if facts.files:
            steps.append(Step("files", ", ".join(facts.files)))
        if not facts.placed:
            steps.append(Step("place", str(self._figures.link)))
        if facts.unwanted:
            steps.append(Step("page-off"))
        if (steps and steps != [Step("page-off")]) or facts.quiet:
            steps.append(Step("start", ", ".join(self.runs)))
        return steps

    def apply(self, step: Step) -> None:
        if step.name == "units":
            self._due.put(self.early())
            self.units.daemon_reload()
        elif step.name == "install":
            self._install(step.detail.split(", "))
        elif step.name == "files":
            make_folder(self.layout.at(config.FOLDER))
            self._due.put(self.late())
        elif step.name == "place":
            self._figures.place()
        elif step.name == "page-off":
            status_page.remove(self.layout, self.units)
        elif step.name == "start":
            for unit in self.runs:
                self.units.enable(unit)
                self.units.restart(unit, START_S)
            self._due.done(self._due.names())
        else:
            self._off()

    def verify(self, facts: Facts) -> dict[str, Any]:
        """Raises Failed."""
        if not self.desired.on:
            return {"on": False}
        left = (
            *facts.units,
            *facts.files,
            *facts.missing,
            *facts.quiet,
            *([status_page.TERMS] if facts.unwanted else []),
        )
        if left:
            raise Failed(
                say(
                    subject="monitoring",
                    found=f"{', '.join(left)} not as wanted",
                    wanted="all of it at work",
                    consequence="this host is not watched, or watches nobody",
                    remedy=f"read `journalctl -u {NODE} -u 'prometheus*'`, mend it, run the same again",
                )
            )
        return {"on": True, "runs": list(self.runs)}

    def _off(self) -> None:
        """What was measured stays, and so do packages and the drop-ins, with which none of them starts while there is no file of ours."""
        units = [SERVICE, TIMER, NODE, *(WATCHERS if kind_of(self.desired.envelope.host) == CONTROL else ())]
        for unit in units:
            if unit != SERVICE and self.units.enabled(unit):  # none of a package that could not be installed
                self.units.disable(unit)
            self.units.stop(unit, START_S)
        if any(path.exists() for path in status_page.every(self.layout)):
            status_page.remove(self.layout, self.units)
        folder = self.layout.at(config.FOLDER)
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            path.unlink()
        own = [self.layout.units / SERVICE, self.layout.units / TIMER, self._figures.link, self.layout.etc / SELF]
        for path in own:  # the last one says that there is anything
            path.unlink(missing_ok=True)
        self.units.daemon_reload()


def converge(call: Call) -> Result:
    """Seconds, when nothing is installed."""
    return plan.converge(Monitoring(Desired.read(call.document), call.layout), call)
