"""`dr-host app converge|status|quiesce|resume|forward`: nginx and the shop's processes on an app host.

Active: requests go to the local process `web`, workers and timers run. Standby: `web` runs too, warm, while nginx forwards to the active site, and what
works in the active site alone does not run. A change of role tells nginx by a file, without a reload, and starts or stops the workers; `web` finds the
writer by itself. Which processes there are says the release's Procfile, as it lies on this host. It copies no release and decides no role.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contract.errors import Failed, Fault, Refused, say
from contract.services.processes import Found, processes, procfile

from ..frame import rolefile, users
from ..frame.call import Call
from ..frame.commands import run
from ..frame.desired import Reader
from ..frame.due import Due
from ..frame.files import differing, make_folder, sync_folder, write_atomically
from ..frame.layout import Layout
from ..frame.links import turn
from ..frame.log import Log
from ..frame.plan import Step, converge
from ..frame.result import Result
from ..frame.systemd import Many, Systemd
from ..frame.wait import until
from . import well
from .config import FIRST_APP, Desired
from .files import groups
from .lock import held
from .names import (
    CACHES_UNIT,
    HAPROXY,
    NGINX,
    PROCESSES,
    RELEASE,
    RETRIES,
    SERVES,
    SHOP,
    SHOWN,
    SPARE,
    TAKEN,
    USER,
    WEB,
)
from .plan import Facts, Wanted, plan
from .schema import has_schema
from .spare import Spare
from .units import WRITABLE, lying, of_active_site, startable
from .units import units as units_of
from .web import cable

UNIT_S, HEALTHY_S = 60.0, 60.0
MORE_S = 10  # than its own limit is waited for a release, which systemd ends by then


class App:
    """The service, for `plan.converge`."""

    def __init__(self, desired: Desired, layout: Layout, units: Many, log: Log) -> None:
        self._desired, self._layout, self._manager, self._log = desired, layout, units, log
        self._role = desired.envelope.role()
        self._current = layout.at("/opt/shop/current")
        self._serves = layout.at(SERVES)
        self._marker = layout.at("/var/lib/dr/app-migrated")
        self._retries = layout.at("/proc/sys/net/ipv4/tcp_retries2")
        self._due = Due(layout, "app")  # units that have to begin anew
        self._spare = Spare(layout, units, log)
        release, found, faults = layout.at(desired.release), list[Found](), list[Fault]()
        if release.is_dir():
            found, faults = processes(procfile(release), desired.processes)
        self._processes = [] if faults else found
        first = desired.envelope.host == FIRST_APP
        self._units = units_of(self._processes, desired.release, desired.release_limit_s, first=first)
        self._groups = groups(desired, self._processes, self._units, layout)
        self.wanted = Wanted(
            active=desired.envelope.active,
            epoch=self._role.epoch,
            host=desired.envelope.host,
            release=desired.release,
            acme=desired.acme,
            turn=desired.turn,
            others=self._units.always,
            workers=self._units.active,
            migrates=self._units.release,
            faults=tuple(str(fault) for fault in faults),
        )

    def facts(self) -> Facts:
        """See `plan.Service`."""
        role = rolefile.read(self._layout)
        stale = {name: [(it, differing(it.files)) for it in its] for name, its in self._groups.items()}
        paths = {name: tuple(path for _, found in rows for path in found) for name, rows in stale.items()}
        texts = lying(self._layout)
        workers, guarded = startable(texts), of_active_site(texts)
        asked = (WEB, SPARE, NGINX, CACHES_UNIT, HAPROXY, *self._units.always, *self._units.active, *guarded)
        seen = self._manager.look(list(dict.fromkeys(asked)))
        return Facts(
            user=users.exists(USER),
            release_there=self._layout.at(self._desired.release).is_dir(),
            current=str(self._current.readlink()) if self._current.is_symlink() else None,
            migrated=_read(self._marker),
            **{f"stale_{name}": found for name, found in paths.items()},
            changed=frozenset(unit for rows in stale.values() for it, found in rows if found for unit in it.units),
            kernel_set=_read(self._retries) == str(RETRIES),
            at_work=frozenset(unit for unit, at in seen.items() if at.active),
            workers=tuple(workers),
            left=tuple(unit for unit in guarded if not seen[unit].down),
            enabled=frozenset(unit for unit, at in seen.items() if at.enabled),
            surplus=tuple(unit for unit in texts if self._processes and unit not in self._units.texts),
            serves=self._serves.is_file(),
            spare_leads=self._spare.leads,
            shown=(self._layout.at(SHOWN) / "tls.crt").is_file(),
            due=self._due.names(),
            role=role.role if role else None,
            role_epoch=role.epoch if role else None,
        )

    def refuse_calendars(self) -> None:
        """Raises Refused for times that systemd does not understand: its timer would never be there."""
        for words in () if self.wanted.turn else self._units.calendars:
            done = run(["systemd-analyze", "calendar", words], limit_s=UNIT_S, check=False)
            if done.code:
                raise Refused(
                    say(
                        subject="dr:app.processes, a schedule",
                        found=repr(words),
                        wanted="a calendar expression that systemd understands",
                        consequence="its process would never run, nothing was changed",
                        remedy="correct it; `systemd-analyze calendar` tells what one means",
                    )
                )

    def plan(self, facts: Facts) -> Sequence[Step]:
        """See `plan`."""
        return plan(facts, self.wanted)

    def apply(self, step: Step) -> None:
        """See `plan` for what each name means."""
        actions: dict[str, Callable[[], Any]] = {
            "user": lambda: users.make(USER),
            "write": lambda: self._write(step.detail),
            "daemon-reload": self._manager.daemon_reload,
            "role": lambda: self._role.write(self._layout),
            "ready": self._ready,
            "spare": self._begin_spare,
            "unspare": self._spare.end,
            "link": self._link,
            "release": self._migrate,
            "remove": lambda: self._remove(step.detail.split()),
            "enable": lambda: self._manager.set_all("enable", step.detail.split()),
            "disable": lambda: self._manager.set_all("disable", step.detail.split()),
            "stop": lambda: self._manager.halt(step.detail.split(), UNIT_S),
            "begin": lambda: self._begin(step.detail.split()),
            "restart": lambda: self._restart(step.detail.split()),
            "serve": lambda: write_atomically(
                self._serves, b"As dr-host app converge has it; it goes with the role.\n"
            ),
            "forward": lambda: _unserve(self._serves, self._log),
            "reload": self._reload_nginx,
            "show": self._show,
            "unshow": self._unshow,
            "kernel": self._set_kernel,
        }
        actions[step.name]()

    def verify(self, facts: Facts) -> dict[str, Any]:
        """See `plan.Service`."""
        if self.wanted.turn and facts.current is None:
            return {}  # nothing serves here yet; the call that follows brings it
        healthy = until(lambda: well.healthy(self._layout), HEALTHY_S)
        workers = self.wanted.workers if self.wanted.active else ()
        wanted = [] if self.wanted.turn else [CACHES_UNIT, *self.wanted.others, *workers]
        if wanted:  # some were begun by the call before
            until(lambda: not any(it.state == "activating" for it in self._manager.look(wanted).values()), UNIT_S)
        running = [unit for unit, it in self._manager.look(wanted).items() if it.running] if wanted else []
        missing = [unit for unit in (WEB, NGINX) if unit not in facts.at_work or (unit == WEB and not healthy)]
        missing += [unit for unit in wanted if unit not in running]
        left = () if self.wanted.active else facts.left
        if missing or left:
            raise Failed(
                say(
                    subject="app of this host",
                    found=f"not well: {', '.join(missing)}" if missing else f"{', '.join(left)} in the standby site",
                    wanted="nginx and the process web answering, other processes running, workers in the active site only",
                    consequence="requests of this site fail or work is done twice",
                    remedy=f"read `journalctl -u {(missing or [*left])[0]}`, then run the same again",
                )
            )
        return {"role": self._role.role, "epoch": self._role.epoch, "release": self.wanted.release}

    def _set_kernel(self) -> None:
        """A kernel that takes no such setting must not keep the shop from moving."""
        try:
            self._retries.write_text(f"{RETRIES}\n")
        except OSError as error:
            self._log.warning(
                f"{self._retries}: cannot be set to {RETRIES} ({error.strerror}); requests that are on the link when it is cut are held for minutes; "
                "set net.ipv4.tcp_retries2 where this host's kernel is set up"
            )

    def _write(self, path: str) -> None:
        group, file = next(
            (it, file)
            for groups in self._groups.values()
            for it in groups
            for file in it.files
            if str(file.path) == path
        )
        self._due.add(group.units)
        file.write()

    def _remove(self, units: list[str]) -> None:
        """Units that the configuration names no more, and what their processes were told."""
        if not self._manager.halt(units, UNIT_S):
            self._log.warning(f"{', '.join(units)}: not stopped within {UNIT_S:g} s; they go with the next boot")
        self._manager.set_all("disable", units)
        names = {it.name for it in self._processes}
        for unit in units:
            self._layout.units.joinpath(unit).unlink(missing_ok=True)
            name = unit.removeprefix("shop-").split(".")[0]
            if name not in names:
                self._layout.at(f"{PROCESSES}/{name}.env").unlink(missing_ok=True)
        self._due.done(units)

    def _link(self) -> None:
        """The release that runs, replaced in one step."""
        self._due.add(self._units.lasting - {CACHES_UNIT})
        turn(self._current, self._desired.release)

    def _begin_spare(self) -> None:
        self._due.add([WEB])  # whatever becomes of this run, the next one goes on with it
        self._spare.begin(self._desired.release)

    def _ready(self) -> None:
        """What is about to run is as it was built. Its code stays root's; Rails writes below `tmp` and `log` alone."""
        release = self._layout.at(self._desired.release)
        from .release import check_placed  # noqa: PLC0415 - a move must not wait for code that unpacks

        check_placed(release)
        for name in WRITABLE:
            make_folder(release / name, 0o750, USER)

    def _migrate(self) -> None:
        """What the release wants done, by its own command, which loads all of Rails. That takes seconds of each move, so a release that this host has
        brought up to date before asks first whether the database has it all, which it has but for what a lost region took along."""
        if (_read(self._marker) or "").rpartition(" ")[0] != self._desired.release or not has_schema(
            self._desired, UNIT_S
        ):
            limit_s = self._desired.release_limit_s + MORE_S
            held(lambda: self._manager.restart(RELEASE, limit_s), self._desired.release)
        write_atomically(self._marker, f"{self.wanted.migration}\n".encode())

    def _restart(self, units: list[str]) -> None:
        if units == [NGINX]:
            self._check_nginx()
        if units == [WEB] and self._spare.leads:
            self._spare.hand_back()
        else:
            self._manager.each("restart", units, UNIT_S)
        self._due.done(units)

    def _begin(self, units: list[str]) -> None:
        self._manager.begin(units)
        self._due.done(units)

    def _reload_nginx(self) -> None:
        self._check_nginx()
        self._manager.reload(NGINX, UNIT_S)
        self._due.done([NGINX])

    def _show(self) -> None:
        """That of the secrets, until this host has taken one: the files that nginx would read without the link."""
        if not self._layout.at(f"{SHOP}/tls.crt").is_file():
            for file in (file for it in self._groups["nginx"] for file in it.files):
                if file.path.parent == self._layout.at(SHOP):
                    file.write()
        turn(self._layout.at(SHOWN), ".")

    def _unshow(self) -> None:
        """No key stays that is of no use."""
        self._layout.at(SHOWN).unlink(missing_ok=True)
        for folder in self._layout.at(SHOP).glob(f"{TAKEN}*"):
            shutil.rmtree(folder)

    def _check_nginx(self) -> None:
        run(["nginx", "-t", "-q"], limit_s=UNIT_S)


def _read(path: Any) -> str | None:
    try:
        return str(path.read_text().strip())
    except OSError:
        return None


def run_converge(call: Call) -> Result:
    """Verb `converge`."""
    app = App(Desired.read(call.document), call.layout, Systemd(), call.log)
    app.refuse_calendars()
    return converge(app, call)


def quiesce(call: Call) -> Result:
    """Verb `quiesce`: nothing runs that works in the active site alone. Requests go on: they hold their breath by themselves while the writer moves."""
    units, guarded = Systemd(), of_active_site(lying(call.layout))
    at_work = _left(units, guarded)
    if at_work and not units.halt(at_work, UNIT_S) and (at_work := _left(units, guarded)):
        raise Failed(
            say(
                subject=f"unit {', '.join(at_work)}",
                found=f"still running after {UNIT_S:g} s",
                wanted="stopped",
                consequence="it may write until its database is down",
                remedy=f"`systemctl kill -s KILL {' '.join(at_work)}`",
            )
        )
    return Result({"worker": False})


def _left(units: Many, among: list[str]) -> list[str]:
    return [unit for unit, it in units.look(among).items() if not it.down] if among else []


def forward(call: Call) -> Result:
    """Verb `forward`: epoch `epoch` belongs to the other site, so requests go there and no worker runs, before this host's own run says the same.

    Changes nothing on a host that was told its role in that epoch or a later one: there the word is old.
    """
    reader = Reader(call.document, "document")
    epoch = reader.number("epoch")
    if epoch < 1:
        reader.fault("epoch", str(epoch), "an epoch, 1 or more")
    reader.done()
    role, serves = rolefile.read(call.layout), call.layout.at(SERVES)
    if role is not None and role.epoch >= epoch:
        return Result({"forwards": not serves.exists()})
    changed = serves.exists()
    _unserve(serves, call.log)
    quiesce(call)
    return Result({"forwards": True}, changed)


def place(call: Call) -> Result:
    """Verb `place`: see `release`."""
    from .release import place  # noqa: PLC0415 - as above

    return place(call)


def _unserve(serves: Path, log: Log) -> None:
    """nginx looks with each request, and what is none any more is ended."""
    serves.unlink(missing_ok=True)
    sync_folder(serves.parent)
    cable.end(log)


def resume(call: Call) -> Result:
    """Verb `resume`: workers run again, all of them side by side, where this host's role allows it."""
    role = rolefile.read(call.layout)
    active = role is not None and role.role == rolefile.PRIMARY
    workers = startable(lying(call.layout))
    if active and workers:
        Systemd().each("start", workers, UNIT_S)
    return Result({"worker": active})
