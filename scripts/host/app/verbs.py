"""`dr-host app converge|status|quiesce|resume|forward`: nginx, Puma and the worker of an app host.

Active: requests go to the local Puma, the worker runs. Standby: Puma runs too, warm, while nginx forwards to the active site, and no worker runs. A change of
role tells nginx by a file, without a reload, and starts or stops the worker; Puma finds the writer by itself. It copies no release and decides no role.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract.errors import Failed, say

from ..frame import rolefile, users
from ..frame.call import Call, Verb
from ..frame.commands import run
from ..frame.desired import Reader
from ..frame.due import Due
from ..frame.files import differing, make_folder, sync_folder, write_atomically
from ..frame.layout import Layout
from ..frame.log import Log
from ..frame.plan import Step, converge
from ..frame.result import Result
from ..frame.systemd import Systemd, Units, begin
from ..frame.wait import until
from .config import ENV, MIGRATE, NGINX, PUMA, RETRIES, SERVES, USER, WEB, WORKER, WRITABLE, Desired
from .files import files
from .plan import Facts, Wanted, plan
from .schema import PENDING, schema_question

UNIT_S, MIGRATE_S, HEALTHY_S = 60.0, 310.0, 60.0


class App:
    """The service, for `plan.converge`."""

    def __init__(self, desired: Desired, layout: Layout, units: Units, log: Log) -> None:
        self._desired, self._layout, self._units, self._log = desired, layout, units, log
        self._files = files(desired, layout)
        self._role = desired.envelope.role()
        self._current = layout.at("/opt/shop/current")
        self._serves = layout.at(SERVES)
        self._marker = layout.at("/var/lib/dr/app-migrated")
        self._retries = layout.at("/proc/sys/net/ipv4/tcp_retries2")
        self._due = Due(layout, "app")  # units that have to begin anew
        self.wanted = Wanted(
            active=desired.envelope.active,
            epoch=self._role.epoch,
            host=desired.envelope.host,
            release=desired.release,
            turn=desired.turn,
        )

    def facts(self) -> Facts:
        """See `plan.Service`."""
        role = rolefile.read(self._layout)
        stale = {name: tuple(differing(group)) for name, group in self._files.items()}
        return Facts(
            user=users.exists(USER),
            release_there=self._layout.at(self._desired.release).is_dir(),
            current=str(self._current.readlink()) if self._current.is_symlink() else None,
            migrated=_read(self._marker),
            stale_web=stale["web"],
            stale_shown=stale["shown"],
            stale_units=stale["units"],
            stale_nginx=stale["nginx"],
            stale_kernel=stale["kernel"],
            kernel_set=_read(self._retries) == str(RETRIES),
            unshown="\nPGSSLCERT=" not in f"\n{_read(self._layout.at(ENV)) or 'PGSSLCERT='}",
            web=self._units.active(WEB),
            worker=self._units.active(WORKER) if self.wanted.active else not self._units.down(WORKER),
            nginx=self._units.active(NGINX),
            serves=self._serves.is_file(),
            web_enabled=self._units.enabled(WEB),
            nginx_enabled=self._units.enabled(NGINX),
            worker_enabled=self._units.enabled(WORKER),
            due=self._due.names(),
            role=role.role if role else None,
            role_epoch=role.epoch if role else None,
        )

    def plan(self, facts: Facts) -> Sequence[Step]:
        """See `plan`."""
        return plan(facts, self.wanted)

    def apply(self, step: Step) -> None:
        """See `plan` for what each name means."""
        actions: dict[str, Callable[[], Any]] = {
            "user": self._make_user,
            "write": lambda: self._write(step.detail),
            "daemon-reload": self._units.daemon_reload,
            "role": lambda: self._role.write(self._layout),
            "link": self._link,
            "migrate": self._migrate,
            "enable": lambda: self._units.enable(step.detail),
            "disable": lambda: self._units.disable(step.detail),
            "stop": lambda: self._units.stop(step.detail, UNIT_S),
            "begin": lambda: self._begin(step.detail),
            "restart": lambda: self._restart(step.detail),
            "serve": lambda: write_atomically(
                self._serves, b"As dr-host app converge has it; it goes with the role.\n"
            ),
            "forward": lambda: _unserve(self._serves),
            "reload": self._reload_nginx,
            "kernel": self._set_kernel,
        }
        actions[step.name]()

    def verify(self, facts: Facts) -> dict[str, Any]:
        """See `plan.Service`."""
        if self.wanted.turn and facts.current is None:
            return {}  # nothing serves here yet; the call that follows brings it
        healthy = until(_healthy, HEALTHY_S)
        if facts.worker and self.wanted.active and not self.wanted.turn:  # begun by the call before
            until(lambda: self._units.running(WORKER) or not self._units.active(WORKER), UNIT_S)
            facts = replace(facts, worker=self._units.running(WORKER))
        missing = [unit for unit, runs in ((WEB, facts.web and healthy), (NGINX, facts.nginx)) if not runs]
        missing += [WORKER] if self.wanted.active and not (facts.worker or self.wanted.turn) else []
        if missing or (facts.worker and not self.wanted.active):
            raise Failed(
                say(
                    subject="app of this host",
                    found=f"not well: {', '.join(missing)}" if missing else "a worker in the standby site",
                    wanted="nginx and Puma answering, a worker in the active site only",
                    consequence="requests of this site fail or work is done twice",
                    remedy=f"read `journalctl -u {(missing or [WORKER])[0]}`, then run the same again",
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
        group, file = next((name, it) for name, files in self._files.items() for it in files if str(it.path) == path)
        units = {"web": (WEB, WORKER), "nginx": (NGINX,), "units": (file.path.name,)}.get(group, ())
        self._due.add({WEB, WORKER, NGINX} & {*units})
        file.write()

    def _make_user(self) -> None:
        users.make(USER)

    def _link(self) -> None:
        """The release that runs, replaced in one step. Its code stays root's; Rails writes below `tmp` and `log` alone."""
        self._due.add((WEB, WORKER))
        release = self._layout.at(self._desired.release)
        for name in WRITABLE:
            make_folder(release / name, 0o750, USER)
        fresh = self._current.with_name("current.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self._desired.release)
        fresh.replace(self._current)
        sync_folder(self._current.parent)

    def _migrate(self) -> None:
        """By the release's own command, which loads all of Rails. That takes seconds of each move, so a release that this host has brought up to date
        before asks first whether the database has it all, which it has but for what a lost region took along."""
        before = (_read(self._marker) or "").rpartition(" ")[0]
        if before != self._desired.release or not self._has_schema():
            self._units.restart(MIGRATE, MIGRATE_S)
        write_atomically(self._marker, f"{self.wanted.migration}\n".encode())

    def _has_schema(self) -> bool:
        told = json.dumps(schema_question(self._desired))
        return run(["ruby", "-e", PENDING], limit_s=UNIT_S, stdin=told, user=USER, check=False).code == 0

    def _restart(self, unit: str) -> None:
        if unit == NGINX:
            self._check_nginx()
        self._units.restart(unit, UNIT_S)
        self._due.done([unit])

    def _begin(self, unit: str) -> None:
        begin(unit)
        self._due.done([unit])

    def _reload_nginx(self) -> None:
        self._check_nginx()
        self._units.reload(NGINX, UNIT_S)
        self._due.done([NGINX])

    def _check_nginx(self) -> None:
        run(["nginx", "-t", "-q"], limit_s=UNIT_S)


def _read(path: Any) -> str | None:
    try:
        return str(path.read_text().strip())
    except OSError:
        return None


def _healthy() -> bool:
    """Whether Puma takes requests."""
    connection = http.client.HTTPConnection(PUMA, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def run_converge(call: Call) -> Result:
    """Verb `converge`."""
    return converge(App(Desired.read(call.document), call.layout, Systemd(), call.log), call)


def status(call: Call) -> Result:
    """Verb `status`: live facts; never fails."""
    units, role = Systemd(), rolefile.read(call.layout)
    current = call.layout.at("/opt/shop/current")
    return Result(
        {
            "web": units.running(WEB),
            "worker": units.running(WORKER),
            "nginx": units.running(NGINX),
            "healthy": _healthy(),
            "release": str(current.readlink()) if current.is_symlink() else None,
            "role": role.document() if role else None,
        }
    )


def quiesce(call: Call) -> Result:
    """Verb `quiesce`: no worker runs. Requests go on: they hold their breath by themselves while the writer moves."""
    units = Systemd()
    if not units.down(WORKER) and not units.stop(WORKER, UNIT_S) and not units.down(WORKER):
        raise Failed(
            say(
                subject=f"unit {WORKER}",
                found=f"still running after {UNIT_S:g} s",
                wanted="stopped",
                consequence="it may write until its database is down",
                remedy=f"`systemctl kill -s KILL {WORKER}`",
            )
        )
    return Result({"worker": False})


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
    _unserve(serves)
    quiesce(call)
    return Result({"forwards": True}, changed)


def _unserve(serves: Path) -> None:
    """nginx looks with each request."""
    serves.unlink(missing_ok=True)
    sync_folder(serves.parent)


def resume(call: Call) -> Result:
    """Verb `resume`: the worker runs again, where this host's role allows it."""
    role = rolefile.read(call.layout)
    active = role is not None and role.role == rolefile.PRIMARY
    if active:
        Systemd().start(WORKER, UNIT_S)
    return Result({"worker": active})


VERBS = {
    "converge": Verb(run_converge),
    "status": Verb(status, locked=False, reads=False),
    "quiesce": Verb(quiesce, reads=False),
    "resume": Verb(resume, reads=False),
    "forward": Verb(forward),
}
