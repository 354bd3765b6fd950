"""`dr:logs` on the pair's own hosts: what a region said last is read from the other one, and a dead receiver costs nobody anything."""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from contract.hosts import CONTROL, Sizes, first, host_names
from lab.rehearsal import stacks
from lab.rehearsal.drills import drill
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import wait_for

WORDS, EVERY_S, SAID = "last-words", 0.2, 25
COPIED_S, CAUGHT_UP_S, FEW_S = 60, 180, 5.0


@contextmanager
def copied(stage: Stage) -> Iterator[None]:
    """Each region keeps the other's journals. Afterwards nothing of it runs."""
    try:
        _run(stage, {"host_mb": 32})
        yield
    finally:
        stage.settle()
        _run(stage, {"enabled": False})
        _run(stage, None)


def _run(stage: Stage, keys: dict[str, Any] | None) -> None:
    for site in (stage.active, stage.standby):
        stage.world.configure(site, "logs", keys)
        stage.must(stage.pulumi.up(site), site)


def hosts_of(stage: Stage, site: str) -> list[str]:
    config = stage.world.whole(site)
    sizes = Sizes(
        app=config["dr:app"].get("hosts", Sizes.app), cache_replicas=config["dr:redis"].get("cache_replicas", 0)
    )
    return [f"{name}.{site}" for name in host_names(sizes)]


def status(stage: Stage, key: str) -> dict[str, Any]:
    """Of `logs status` there."""
    found: dict[str, Any] = json.loads(stage.line(key, "python3 /opt/dr/dr-host.pyz logs status"))["facts"]
    return found


def all_there(stage: Stage, keys: list[str]) -> bool:
    """Whether the other region has what these hosts have said until some seconds ago."""
    waits = [status(stage, key)["behind_s"] for key in keys]
    return all(it is not None and it < FEW_S for it in waits)


def read(stage: Stage, record: Record, *words: str) -> list[str]:
    """Lines that `drctl logs` shows."""
    where = ("--stack", stacks.stack_name("a"), "--config-file", str(stage.pulumi.files["a"]))
    done = stage.pulumi.typed("logs", *words, *where)
    record.expect(done.returncode == 0, f"drctl logs {' '.join(words)}: {done.returncode}: {done.stderr[-900:]}")
    record.expect(
        "from the copy on" in done.stderr, f"drctl logs {' '.join(words)} does not say where from: {done.stderr[-300:]}"
    )
    return done.stdout.splitlines()


@drill("logs-of-a-dead-region")
def logs_of_a_dead_region(stage: Stage, record: Record) -> None:
    """The active region loses its power while its hosts talk: their last lines are read from the other one, and when it is back nothing is missing there."""
    lost, left = stage.active, stage.standby
    with copied(stage):
        dying, living = hosts_of(stage, lost), hosts_of(stage, left)
        wait_for("each region has the other's journals", partial(all_there, stage, [*dying, *living]), COPIED_S, 1.0)
        for key in dying:
            loop = f"i=0; while :; do i=$((i+1)); logger -t {WORDS} word $i; sleep {EVERY_S}; done"
            stage.line(key, f"systemd-run --quiet --unit=lab-{WORDS} sh -c '{loop}'")
        time.sleep(SAID * EVERY_S)  # what they say takes time
        killed = time.time()
        stage.fault("region-hosts", "kill", lost)
        lines = read(stage, record, "--region", lost, "--since", "10m")
        for key in dying:
            ends = last_word(lines, key)
            record.expect(ends is not None, f"no last word of {key} in the copy: {lines[-3:]}")
            if ends is not None:
                record.figures[f"lost of {key} s"] = round(killed - ends, 2)
                record.expect(
                    killed - ends < FEW_S, f"the copy of {key} ends {killed - ends:.1f} s before its power went"
                )
        stamps = [line.partition(" ")[0] for line in lines]
        record.expect(stamps == sorted(stamps), "lines of several hosts are not in the order of their times")
        one = read(stage, record, f"db-1.{lost}", "--since", "10m")
        record.expect(bool(one) and all(f" db-1.{lost} " in line for line in one), f"of one host: {one[:2]}")
        stage.line(f"db-1.{left}", f"logger -t {WORDS} said while nobody listened")
        control = f"{first(CONTROL)}.{left}"
        record.figures["copies"] = {key: it["bytes"] for key, it in (status(stage, control)["copies"] or {}).items()}
        record.figures["memory_mib"] = memory(stage, control)
        failed = stage.line(
            f"db-1.{left}", "systemctl list-units --state=failed --plain --no-legend 'dr-logs*'"
        ).strip()
        record.expect(not failed, f"a receiver that is gone is a failure of db-1.{left}: {failed}")
        stage.fault("return-all")
        began = time.monotonic()
        wait_for(f"region {lost} answers", lambda: bool(stage.world.status(lost)), 120, 1.0)
        wait_for("both have the other's journals again", partial(all_there, stage, [*dying, *living]), CAUGHT_UP_S, 1.0)
        record.figures["caught_up_after_s"] = round(time.monotonic() - began, 1)
        there = stage.line(
            f"{first(CONTROL)}.{lost}", f"journalctl -q -D /var/log/dr-logs/db-1.{left} -t {WORDS} -o cat"
        )
        record.expect(there.count("said while nobody listened") == 1, f"what was said meanwhile is there: {there!r}")


def last_word(lines: list[str], key: str) -> float | None:
    """When the host spoke last, in seconds since 1970."""
    found = [line for line in lines if re.match(rf"\S+ {re.escape(key)} {WORDS}\b", line)]
    return datetime.datetime.fromisoformat(found[-1].partition(" ")[0]).timestamp() if found else None


def memory(stage: Stage, control: str) -> dict[str, float]:
    """What each unit of it takes on a control host, with what the kernel keeps of its files."""
    said = stage.line(control, "systemctl show -p Id,MemoryCurrent 'dr-logs*.service'")
    pairs = re.findall(r"Id=(\S+)\nMemoryCurrent=(\d+)|MemoryCurrent=(\d+)\nId=(\S+)", said)
    return {name or other: round(int(size or more) / 2**20, 1) for name, size, more, other in pairs}
