"""The shop's processes as units of systemd: who is started when, by which command, with which limits. Pure but for `lying` and `placed`.

A process that works in the active site alone asks the guard before each start. That line in its file is also by what it is known later: whoever has
to stop it at once reads no document and no Procfile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import field

from contract.dataclass import dataclass
from contract.services.processes import RELEASE as RELEASE_PROCESS
from contract.services.processes import WEB as WEB_PROCESS
from contract.services.processes import Found, shell
from contract.services.schedule import calendar

from ..frame.layout import Layout
from ..frame.systemd import guard_line, sandbox
from .lock import LOCKED
from .names import CACHES_UNIT, ENV, PROCESSES, RELEASE, SPARE, SPARE_PUMA, USER, WEB

TMP = "tmp"
WRITABLE = (TMP, "log")  # folders that Rails wants beside its code; a release has none
CURRENT = "/opt/shop/current"
_GUARDED = re.compile(r"^ExecStartPre=.* guard app$", re.MULTILINE)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_OURS = re.compile(r"shop-[A-Za-z][A-Za-z0-9_.-]*\.(service|timer)")


@dataclass(frozen=True)
class Units:
    """The shop's units on this host, by when they run. `web` is among none of these lists, nor are `release` and the one beside `web`."""

    texts: dict[str, str] = field(default_factory=dict, repr=False)  # all of them, by name
    always: tuple[str, ...] = ()  # run in both sites
    active: tuple[str, ...] = ()  # run in the active one: processes and timers
    jobs: tuple[str, ...] = ()  # what timers start there
    release: bool = False  # whether the release has something to do before it runs
    calendars: tuple[str, ...] = ()  # expressions of timers that systemd has to understand

    @property
    def lasting(self) -> frozenset[str]:
        """Those that are started once and stay."""
        return frozenset((WEB, CACHES_UNIT, *self.always, *self.active))


def units(processes: Iterable[Found], release: str, release_limit_s: int, *, first: bool) -> Units:
    """`release`: folder of the wanted one; `first`: whether this is the site's first app host, which runs what runs once."""
    texts: dict[str, str] = {}
    always, active, jobs, calendars = list[str](), list[str](), list[str](), list[str]()
    migrates = False
    for it in processes:
        if it.name == WEB_PROCESS:
            texts |= {WEB: _lasting(it), SPARE: _beside(it, release)}
        elif it.name == RELEASE_PROCESS:
            texts[RELEASE], migrates = _once(it, release, release_limit_s), True
        elif it.scheduled:
            if first and it.keys.count:
                job, timer = f"shop-{it.name}.service", f"shop-{it.name}.timer"
                texts |= {job: _job(it), timer: _timer(it)}
                jobs.append(job)
                active.append(timer)
                calendars += calendar(it.keys.schedule or "")
        else:
            for name in _names(it):
                texts[name] = _lasting(it)
                (active if it.active_only else always).append(name)
    return Units(texts, tuple(always), tuple(active), tuple(jobs), migrates, tuple(calendars))


def _names(it: Found) -> list[str]:
    """Of each of several; a process's name has no dot."""
    return [f"shop-{it.name}{'' if number == 1 else f'.{number}'}.service" for number in range(1, it.keys.count + 1)]


def _lasting(it: Found) -> str:
    guard = guard_line("app") if it.active_only else ""
    # Started anew however it ends, for ever: a guard that finds nobody to ask, or a database that is away, must not be the end of it.
    restart = f"Restart=always\nRestartSec={10 if it.active_only else 2}\nTimeoutStopSec={it.stop_s}\nKillMode=mixed\n"
    where = "in the active site only" if it.active_only else "in both sites"
    return _unit(
        it,
        f"The shop's {it.name}, {where}",
        "notify" if it.keys.notify else "exec",
        _command(it.command),
        guard + restart,
    )


def _beside(it: Found, release: str) -> str:
    """`web` of the wanted release on a port of its own, whichever runs. Where it ends by itself, nothing starts it anew: whoever waits for it is told.

    Its `tmp` is its own: a server that finds the PID file of the other one there takes itself for the second.
    """
    own = SPARE.removesuffix(".service")
    extra = (
        f"TimeoutStopSec={it.stop_s}\nKillMode=mixed\nRuntimeDirectory={own}\nBindPaths=/run/{own}:{release}/{TMP}\n"
    )
    command = f"/usr/bin/env PORT={SPARE_PUMA.partition(':')[2]} {_command(it.command)}"
    return _unit(
        it,
        "The shop's web once more, while it begins anew",
        "notify" if it.keys.notify else "exec",
        command,
        extra,
        start=False,
        folder=release,
    )


def _job(it: Found) -> str:
    limits = f"TimeoutStartSec={it.keys.limit_s}\nTimeoutStopSec={it.stop_s}\n"
    return _unit(
        it,
        f"The shop's {it.name}, at its times",
        "oneshot",
        _command(it.command),
        guard_line("app") + limits,
        start=False,
    )


def _timer(it: Found) -> str:
    lines = "".join(f"OnCalendar={when}\n" for when in calendar(it.keys.schedule or ""))
    return f"""[Unit]
Description=Times of the shop's {it.name}, in the active site only

[Timer]
{lines}AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def _once(it: Found, release: str, limit_s: int) -> str:
    """Of the wanted release, while the one of before still runs."""
    command = f"/usr/bin/ruby {LOCKED} {_quoted(shell(it.command))}"
    limits = f"TimeoutStartSec={limit_s}\nTimeoutStopSec={it.stop_s}\n"
    return _unit(
        it, "What the shop's release wants done before it runs", "oneshot", command, limits, start=False, folder=release
    )


def _unit(
    it: Found,
    description: str,
    kind: str,
    command: str,
    extra: str,
    *,
    start: bool = True,
    folder: str = CURRENT,
) -> str:
    """The environment stands in files of root, which systemd reads before it becomes the shop's user, and says more than the home here.

    The user itself has no home, and what looks for one there (Bundler, caches of many a gem) ends, or lives in a folder that it cannot remove again: Ruby
    makes what it removes its own first, so a process may ask for that. The kernel gives nobody else's to who has no capability.
    """
    memory = f"MemoryMax={it.keys.memory_mb}M\n" if it.keys.memory_mb else ""
    install = "\n[Install]\nWantedBy=multi-user.target\n" if start else ""
    return f"""[Unit]
Description={description}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type={kind}
User={USER}
Group={USER}
WorkingDirectory={folder}
Environment=HOME={folder}/{TMP}
EnvironmentFile={ENV}
EnvironmentFile={PROCESSES}/{it.name}.env
ExecStart={command}
UMask=0027
PrivateUsers=yes
{memory}{sandbox([f"{folder}/{name}" for name in WRITABLE])}SystemCallFilter=@chown
{extra}{install}"""


def _command(command: str) -> str:
    return f"/bin/sh -c {_quoted(shell(command))}"


def _quoted(text: str) -> str:
    """One argument of `ExecStart=`, in which systemd fills in nothing: what is to be filled in, the shell does."""
    for mark, spelled in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        text = text.replace(mark, spelled)
    return f'"{text}"'


def lying(layout: Layout) -> dict[str, str]:
    """Texts of the shop's units that lie on this host, by name."""
    found = {}
    for path in sorted(layout.units.glob("shop-*")):
        if _OURS.fullmatch(path.name):
            try:
                found[path.name] = path.read_text(errors="replace")
            except OSError:
                continue
    return found


def of_active_site(texts: dict[str, str]) -> list[str]:
    """Which of these work in the active site alone: timers, and what asks the guard."""
    return [name for name, text in texts.items() if name.endswith(".timer") or _GUARDED.search(text)]


def startable(texts: dict[str, str]) -> list[str]:
    """Of those the ones that are started: not what a timer starts."""
    return [name for name in of_active_site(texts) if not _has_timer(name, texts)]


def _has_timer(name: str, among: dict[str, str] | Sequence[str]) -> bool:
    return name.endswith(".service") and f"{name.removesuffix('.service')}.timer" in among


def placed(layout: Layout) -> list[str]:
    """Digests of releases that are unpacked here, in order; none where that cannot be seen."""
    from contract.release import RELEASES  # noqa: PLC0415 - a move must not wait for it

    try:
        return sorted(it.name for it in layout.at(RELEASES).iterdir() if it.is_dir() and _DIGEST.fullmatch(it.name))
    except OSError:
        return []
