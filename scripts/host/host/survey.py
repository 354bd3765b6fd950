"""`dr-host host survey`: what this host says of itself in one answer (`contract/survey.py`), for whoever looks at both regions at once.

It asks nobody but this host's own servers: the archive is told as its last check has left it, because a repository in a region that is lost would
take a minute to be silent.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from contract.version import VERSION

from ..archive.layout import ArchiveLayout
from ..frame import rolefile
from ..frame.beside import beside
from ..frame.boots import boot, boottime
from ..frame.call import Call, Verb
from ..frame.commands import run
from ..frame.files import read_own
from ..frame.layout import Layout
from ..frame.result import Result
from ..postgres.layout import PostgresLayout
from ..services import SERVICES
from . import packages

Question = Callable[[Call], Any]
# What a host has that serves the shop, or stands between it and the world; the rest is Debian's.
_PACKAGES = re.compile(
    r"(postgresql-\d+|redis-server|valkey-server|pgbackrest|haproxy|nginx|ruby[\d.]*|openssl|openssh-server|linux-image-[\w.+-]+|libc6|libicu\d+)"
)
UNITS_S = 5.0
WATCHING = "monitoring"
# What no figure is made of (`contract/monitoring/metrics.py`): parity asks for a lot, and the list of packages is long.
UNFIGURED = ("packages", "parity", WATCHING)
# For figures alone: what is answered later is unknown, and the rest is written before systemd ends the job.
FIGURED_S = 15.0


def survey(call: Call) -> Result:
    """Never fails; unknown is null, and `silent` names the services that could not be asked."""
    return Result({**_all(call, _questions(call)), "packages": _asked(_packages, call)})


def figured(call: Call, more: Mapping[str, Question]) -> dict[str, Any]:
    """The same without `UNFIGURED`, and with `more`, or that in a service's place: for figures, which are read twice a minute and wait for nobody longer
    than `FIGURED_S`.
    """
    asked = {name: more.get(name, ask) for name, ask in _questions(call).items() if name not in UNFIGURED}
    if "redis" in asked:
        asked["redis"] = _figured_cache
    return _all(call, asked, {name: ask for name, ask in more.items() if name not in asked}, FIGURED_S)


def _questions(call: Call) -> dict[str, Question]:
    return {"host": _host, **_services(call.layout)}


def _all(
    call: Call,
    services: Mapping[str, Question],
    more: Mapping[str, Question] | None = None,
    limit_s: float | None = None,
) -> dict[str, Any]:
    """`more`: what may be unknown, and then is no service that is silent."""
    asked = {**services, **(more or {})}
    answered = beside({name: partial(_asked, ask, call) for name, ask in asked.items()}, limit_s)
    found = {name: answered.get(name) for name in asked}
    own, beyond = found.pop("host") or {}, {name: found.pop(name) for name in more or {}}
    # Who watches serves nobody: that it does not say stands against no move.
    silent = sorted(name for name, it in found.items() if it is None and name != WATCHING)
    return {**own, **found, **beyond, "silent": silent}


def _asked(ask: Question, call: Call) -> Any:
    try:
        return ask(call)
    except Exception as error:
        call.log.warning(f"could not be asked: {type(error).__name__}")
        return None


def _services(layout: Layout) -> dict[str, Question]:
    """The questions to the services that were converged on this host."""
    etc = layout.etc
    found: dict[str, Question] = {}
    if PostgresLayout(layout).memory.exists():
        found |= {"postgres": _told("postgres"), "parity": _told("postgres", "parity"), "archive": _archive}
    if (etc / "redis.json").exists():
        found["redis"] = _cache
    if (etc / "assets.json").exists():
        found["assets"] = _told("assets")
    if layout.at("/opt/shop/current").is_symlink():
        found["app"] = _told("app")
    if (etc / "certificate.json").exists():
        found["certificate"] = _told("certificate")
    if (etc / "agent.json").exists():
        found["agent"] = _told("agent")
    if (etc / "monitoring/alertmanager.yml").exists():
        found[WATCHING] = _told("monitoring", "silenced")
    return found


def _told(service: str, verb: str = "status") -> Callable[[Call], dict[str, Any]]:
    """The facts of a service's own verb."""

    def ask(call: Call) -> dict[str, Any]:
        found: Verb = importlib.import_module(SERVICES[service]).VERBS[verb]
        return found.run(Call(service, verb, {}, call.layout, call.log)).facts

    return ask


def _host(call: Call) -> dict[str, Any]:
    role, disk = rolefile.read(call.layout), os.statvfs(call.layout.at("/"))
    return {
        "at": time.time(),
        "up_s": round(boottime(), 1),
        "boot": boot(),
        "version": VERSION,
        "reboot_due": any(call.layout.at(it).exists() for it in ("/run/reboot-required", "/var/run/reboot-required")),
        "failed": _failed_units(),
        "disk_free": disk.f_bavail * disk.f_frsize,
        "disk_size": disk.f_blocks * disk.f_frsize,
        "role": None if role is None else role.document(),
    }


def _failed_units() -> list[str]:
    done = run(
        ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"],
        limit_s=UNITS_S,
        check=False,
    )
    return [line.split()[0] for line in done.out.splitlines() if line.strip()] if done.code == 0 else []


def _packages(call: Call) -> dict[str, str] | None:
    found = packages.versions(call.layout)
    return None if found is None else {name: it for name, it in found.items() if _PACKAGES.fullmatch(name)}


def _archive(call: Call) -> dict[str, Any] | None:
    """As `archive check` has left it; None before the first one."""
    layout = ArchiveLayout(PostgresLayout(call.layout))
    try:
        found = json.loads(read_own(layout.seen))
    except (OSError, ValueError):
        return None
    return {**archive_facts(found, time.time()), "rehearsed": _rehearsed(layout)} if isinstance(found, dict) else None


def _rehearsed(layout: ArchiveLayout) -> float | None:
    try:
        found = json.loads(read_own(layout.rehearsed))
    except (OSError, ValueError):
        return None
    at = found.get("at") if isinstance(found, dict) else None
    return at if isinstance(at, int | float) and not isinstance(at, bool) else None


def archive_facts(found: Mapping[str, Any], now: float) -> dict[str, Any]:
    """What is looked at of a check's document; `now` in seconds since 1970. Pure."""
    at, archiver = found.get("at"), found.get("archiver") or {}
    flags = {name: None if name not in found else found[name] is not None for name in ("alarm", "hold", "dropped")}
    return {
        "age_s": max(now - at, 0.0) if isinstance(at, int | float) else None,
        **flags,
        "waiting": found.get("waiting"),
        "archived_s": archiver.get("age_s"),
        "follows": found.get("follows_archive"),
        **{name: _repository(it) for name, it in (found.get("repositories") or {}).items()},
    }


def _repository(it: Mapping[str, Any]) -> dict[str, Any]:
    plain = ("reachable", "backups", "newest_backup", "wal_last", "damaged_backups")
    flags = ("left_out", "gap", "failed_backup")
    return {name: it.get(name) for name in plain} | {name: it.get(name) is not None for name in flags}


def _figured_cache(call: Call) -> dict[str, Any]:
    from ..redis.status import figured as of_cache  # noqa: PLC0415 - on cache hosts alone

    return of_cache(call).facts


def _cache(call: Call) -> dict[str, Any]:
    found = _told("redis")(call)
    return {**found, "leader": (found.get("sentinel") or {}).get("leader")}
