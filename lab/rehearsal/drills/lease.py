"""A writer that nobody hears stops in time, whatever has become of its agent: halted, killed, without its files or a disk, without its turn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lab.rehearsal.drills import drill
from lab.rehearsal.drills.planned import nothing_lost
from lab.rehearsal.stage import CACHE_HOST, DATABASE_HOST, SAMPLES, Record, Shop, Stage
from lab.rehearsal.world import lab, wait_for
from lab.rehearsal.writers import silence

WRITERS = {"database": DATABASE_HOST, "cache": CACHE_HOST}
STILL_ROWS = 20  # samples, two seconds of them
FRESH_S = 10.0
PATIENCE_S = 30.0  # beyond the limit: a writer that is late is told with its figure
RESUMES_S = 120.0
HARM_S = 150  # a harm that nobody ends is over after that
LATE_S = 2.0
HARM = "systemd-run -q --collect --unit=drill-harm -p RuntimeMaxSec={limit} sh -c '{text}'"
# Every 0.2 s, since systemd begins the agent anew.
HUNT = "while :; do systemctl kill --kill-whom=main -s {signal} dr-agent; sleep 0.2; done"
ENDED = "systemctl stop drill-harm 2>&- || true"  # it may be over by itself
HALF = "cp -p {file} {file}.drill && truncate -s $(($(stat -c %s {file}) / 2)) {file}"
WHOLE = "test ! -e {file}.drill || mv {file}.drill {file}"
KILL = "systemctl kill -s KILL dr-agent"
SETTINGS, WITNESS, PROGRAM = "/etc/dr/agent.json", "/etc/dr/witness.json", "/opt/dr/dr-host.pyz"
# What the agent would write to on the host's own disk: this software's folder, and the one for what is temporary.
FULL = """set -e; cp -a /var/lib/dr /run/drill-dr
mount -t tmpfs -o size=1m,mode=711 drill /var/lib/dr; cp -a /run/drill-dr/. /var/lib/dr
mount -t tmpfs -o size=64k,mode=1777 drill /tmp
for folder in /var/lib/dr /tmp; do cat /dev/zero > $folder/drill-full 2>&- || true; done"""
EMPTY = "umount /var/lib/dr; umount /tmp; rm -rf /run/drill-dr"
# Read, and not written: a full `/run` has room again now and then. In the agent's own view of the files: its sandbox has one.
_AGENTS = "nsenter -m -t $(systemctl show -p MainPID --value dr-agent) sh -c '{}'"
UNTOLD = _AGENTS.format("mount --bind /run/dr /run/dr && mount -o remount,bind,ro /run/dr")
NOT_WRITTEN, TOLD = _AGENTS.format("! touch /run/dr/drill"), _AGENTS.format("umount /run/dr")
# A session for each: the kernel shares the processor between sessions first.
BUSY = 'for n in $(seq 50); do setsid sh -c "while :; do :; done" & done; wait'
LOADED, LOAD_S = "test $(wc -l < /sys/fs/cgroup/system.slice/drill-harm.service/cgroup.procs) -ge 50", 75
GONE = "! systemctl -q is-active dr-agent"


@dataclass(frozen=True)
class Harm:
    """Shell lines for each host of a writer, by what it serves: when the harm begins, and when it ends. `late`: shortly before the lease is over.

    `there`: succeeds on the database's host while the harm is in force.
    """

    begin: Callable[[str], str]
    end: Callable[[str], str]
    there: str = GONE
    late: str = ""
    volume: bool = False  # the database's volume is full, too


def _meanwhile(text: str, limit_s: int = HARM_S) -> str:
    """A shell line that begins it, and returns."""
    return HARM.format(text=text, limit=limit_s)


def _truncated(files: dict[str, str]) -> Harm:
    return Harm(
        lambda serves: f"{HALF.format(file=files[serves])} && {KILL}", lambda serves: WHOLE.format(file=files[serves])
    )


HALTED = _meanwhile(HUNT.format(signal="STOP"))
AS_IT_WAS = f"{ENDED}; systemctl kill -s CONT dr-agent 2>&- || true"
HARMS = {
    "halted": Harm(lambda _: HALTED, lambda _: AS_IT_WAS),
    "killed": Harm(lambda _: _meanwhile(HUNT.format(signal="KILL")), lambda _: ENDED),
    "settings_truncated": _truncated({"database": SETTINGS, "cache": WITNESS}),
    "witness_truncated": _truncated({"database": WITNESS, "cache": SETTINGS}),
    "program_truncated": _truncated(dict.fromkeys(WRITERS, PROGRAM)),
    "disk_full": Harm(
        lambda _: FULL, lambda _: EMPTY, there="! head -c 64k /dev/zero > /var/lib/dr/drill-more", volume=True
    ),
    "load_50": Harm(
        lambda serves: _meanwhile(BUSY if serves == "database" else "true", LOAD_S), lambda _: ENDED, there=LOADED
    ),
    "both_halted": Harm(
        lambda _: HALTED, lambda _: AS_IT_WAS, late="systemctl kill --kill-whom=main -s STOP dr-deadman"
    ),
}


@drill("lease-agent-halted")
def lease_agent_halted(stage: Stage, record: Record) -> None:
    """The active region is cut off while the agents of its database and its cache are halted again and again: both stop in time all the same."""
    _outlived(stage, record, ("halted",))


@drill("lease-agent-lost")
def lease_agent_lost(stage: Stage, record: Record) -> None:
    """The same with agents that are killed each time they start, and with half of their settings, of the witness's or of their program."""
    _outlived(stage, record, ("killed", "settings_truncated", "witness_truncated", "program_truncated"))


@drill("lease-host-harmed")
def lease_host_harmed(stage: Stage, record: Record) -> None:
    """The same on hosts whose disks are full, at load 50, and with halted agents whose dead-men are halted, too, just before the lease is over."""
    _outlived(stage, record, ("disk_full", "load_50", "both_halted"))


@drill("lease-untold")
def lease_untold(stage: Stage, record: Record) -> None:
    """The active region is heard, and `/run/dr` of its writers' hosts cannot be written, so nobody tells their dead-men: both stop, and go on after that."""
    record.isolates = True
    with stage.shopping(record) as shop:
        hosts, since = _writers(stage), time.time()
        try:
            for host in hosts.values():
                _shell(host, UNTOLD)
            _stop_in_time(stage, record, "untold", since, NOT_WRITTEN)
        finally:
            for host in hosts.values():
                _shell(host, TOLD)
        _go_on(shop, "untold", hosts)
    nothing_lost(record)


def _outlived(stage: Stage, record: Record, harms: Iterable[str]) -> None:
    """One after the other on one pair; each ends with both services running again by themselves."""
    record.isolates = True
    with stage.shopping(record) as shop:
        for name in harms:
            _cut_off(stage, record, name)
            _go_on(shop, name, _writers(stage))
    nothing_lost(record)


def _cut_off(stage: Stage, record: Record, name: str) -> None:
    harm, site, hosts, lease_s = HARMS[name], stage.active, _writers(stage), stage.world.config["dr:lease"]["lease_s"]
    stage.fault("uplink", "kill", site)
    stage.fault("link", "kill", "both")
    cut = time.time()  # nobody can have heard them later than this
    try:
        for serves, host in hosts.items():
            _shell(host, harm.begin(serves))
        if harm.volume:
            stage.fault("disk-full", "kill", f"{site}-{DATABASE_HOST}")
        if harm.late:
            wait_for("the lease is nearly over", lambda: time.time() >= cut + lease_s - LATE_S, lease_s)
            for host in hosts.values():
                _shell(host, harm.late)
        _stop_in_time(stage, record, name, cut, harm.there)
    finally:
        for serves, host in hosts.items():
            _shell(host, harm.end(serves))
        if harm.volume:
            stage.fault("disk-full", "return", f"{site}-{DATABASE_HOST}")
        stage.fault("link", "return", "both")
        stage.fault("uplink", "return", site)


def _stop_in_time(stage: Stage, record: Record, name: str, since: float, there: str) -> None:
    """Both writers, with their figures. `since` (wall clock): nobody can have held their leases up later; `there`: as in `Harm`."""
    hosts, lease = _writers(stage), stage.world.config["dr:lease"]
    limit = lease["lease_s"] + lease["stop_s"]
    deadline = since + limit + PATIENCE_S
    wait_for("the writers stop", lambda: time.time() > deadline or all(map(_still, hosts.values())), 300, 0.5)
    harmed = lab("ssh", hosts["database"], "--", "sh", "-c", there, check=False).returncode == 0
    record.expect(harmed, f"{name}: the harm was not in force until the writers had stopped")
    figures = {}
    for serves, host in hosts.items():
        stopped = silence(_samples(host, 3000), since)
        figures[f"{serves}_s"] = None if stopped is None else round(stopped, 1)
        record.expect(
            stopped is not None and stopped <= limit,
            f"{name}: the {serves} took writes for {stopped} s, wanted at most {limit}",
        )
    record.figures.setdefault("stopped_after", {})[name] = figures


def _go_on(shop: Shop, name: str, hosts: dict[str, str]) -> None:
    shop.flow(f"{name}: orders flow again by themselves", RESUMES_S)
    wait_for(f"{name}: the cache takes writes again", lambda: _writes(hosts["cache"]), RESUMES_S, 0.5)


def _writers(stage: Stage) -> dict[str, str]:
    """Hosts of the active writers, by what they serve."""
    return {serves: f"{host}.{stage.active}" for serves, host in WRITERS.items()}


def _shell(host: str, text: str) -> str:
    """Through the host's namespaces: nothing else leads to it."""
    return lab("ssh", host, "--", "sh", "-c", text).stdout


def _samples(host: str, rows: int) -> list[dict[str, Any]]:
    lines = _shell(host, f"tail -n {rows} {SAMPLES}").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def _still(host: str) -> bool:
    """Whether somebody has looked just now, and the host's server has taken no write lately."""
    rows = _samples(host, STILL_ROWS)
    return bool(rows) and time.time() - rows[-1]["t"] < FRESH_S and not any(row["writer"] for row in rows)


def _writes(host: str) -> bool:
    rows = _samples(host, 2)
    return bool(rows) and bool(rows[-1]["writer"])
