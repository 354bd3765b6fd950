"""What a command tells: the result, the status file, the metrics, the bar on a terminal."""

from __future__ import annotations

import datetime
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from contract.errors import Failed

from .conditions import FACT
from .sync import Run

PLATFORM_S = 3600.0  # figures of the platform's own replication are kept that long beside newer ones of the copier
METRICS = (
    # name, place in the status, help
    ("objects", ("source", "objects"), "Objects at the source in the last complete listing."),
    ("bytes", ("source", "bytes"), "Bytes at the source in the last complete listing."),
    (
        "unreplicated_objects",
        ("unreplicated", "count"),
        "Objects that the target does not have, or not in this version.",
    ),
    ("unreplicated_bytes", ("unreplicated", "bytes"), "Bytes of these objects."),
    (
        "oldest_unreplicated_timestamp_seconds",
        ("unreplicated", "oldest"),
        "When the oldest of them was written, by the source's clock.",
    ),
    (
        "replicated_until_timestamp_seconds",
        ("replicated_until",),
        "All that was written at the source before this moment is at the target.",
    ),
    ("last_run_timestamp_seconds", ("finished",), "End of the last run."),
    (
        "last_complete_timestamp_seconds",
        ("complete_at",),
        "Start of the last run that read both listings to their end.",
    ),
    ("last_run_seconds", ("seconds",), "Duration of the last run."),
    ("last_run_success", ("ok",), "1 when the last run ended without an error."),
    ("epoch", ("epoch",), "Epoch of the last run."),
    (
        "platform_lag_seconds",
        ("replication", "lag_s"),
        "Age of the oldest object that the platform's own replication has still to copy; sampled.",
    ),
    ("platform_failed_objects", ("replication", "status", "failed"), "Objects that it gave up; sampled."),
    (
        "platform_uncovered_objects",
        ("replication", "status", "none"),
        "Objects that it does not cover: older than its rule; sampled.",
    ),
)


def result(run: Run, operation: str) -> dict[str, Any]:
    """One JSON object: what the run saw and did."""
    report, tally = run.report, run.tally
    seconds = max(time.time() - report.started, 1e-6)
    copied = tally.counts.get("copied", 0)
    return {
        "schema": 1,
        "op": operation,
        "ok": report.error is None,
        "error": str(report.error) if report.error else None,
        "complete": report.complete,
        "epoch": run.guard.epoch,
        "seconds": round(seconds, 3),
        "source": {"objects": report.counts.source, "bytes": report.counts.source_bytes},
        "target": {"objects": report.counts.target},
        "same": report.counts.same + tally.counts.get("same", 0),
        "planned": dict(sorted(report.planned.items())),
        "done": {name: tally.counts[name] for name in sorted(tally.counts) if name != "same"},
        "bytes": tally.copied_bytes,
        "objects_per_s": round(copied / seconds, 1),
        "lists": {name: tally.lists[name] for name in sorted(tally.lists)},
        "requests": {"source": run.source.requests, "target": run.target.requests},
        "conditional_writes": {"yes": True, "no": False}.get(run.state.fact(FACT) or ""),
        "retries": run.source.patience.retries + run.target.patience.retries,
    }


def status(run: Run, before: dict[str, Any]) -> dict[str, Any]:
    """The figure for the loss budget. `before`: the last status; what an incomplete run cannot know is taken from it."""
    report, debt = run.report, run.tally.debt()
    now = time.time()
    skew = run.source.wire.skew or 0.0
    begun = report.started + skew  # by the source's clock, like every time in here that is compared with an object's
    known = dict(before) if before.get("schema") == 1 else {}
    if report.complete:
        known["source"] = {"objects": report.counts.source, "bytes": report.counts.source_bytes}
        known["unreplicated"] = {"count": debt.count, "bytes": debt.bytes, "oldest": debt.oldest}
        known["complete_at"] = report.started
        known["replicated_until"] = begun if debt.oldest is None else min(begun, debt.oldest)
    if known.get("replication", {}).get("at", now) < now - PLATFORM_S:
        del known["replication"]  # nobody looks at it any more
    known.setdefault("source", None)
    known.setdefault("unreplicated", None)
    known.setdefault("complete_at", None)
    known.setdefault("replicated_until", None)
    return known | {
        "schema": 1,
        "epoch": run.guard.epoch,
        "started": report.started,
        "finished": now,
        "seconds": round(now - report.started, 3),
        "ok": report.error is None,
        "error": str(report.error) if report.error else None,
        "done": {name: run.tally.counts[name] for name in sorted(run.tally.counts)},
    }


def read_status(path: Path) -> dict[str, Any]:
    """Empty when there is none, or none that can be read: then nothing is known."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def write_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Whole or not at all: readers never see half of it. Raises Failed.

    The folder may be another user's, as a collector's is: the file is new under a name that nobody can have put a link at.
    """
    fresh = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            with os.fdopen(handle, "w") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Failed(
            f"file {path}: cannot be written ({error.strerror}); what was copied stays; make room or name another file"
        ) from None


def metrics(known: dict[str, Any]) -> str:
    """Prometheus' text format, for the text-file collector."""
    lines = []
    for name, place, text in METRICS:
        value: Any = known
        for part in place:
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            full = f"dr_assets_{name}"
            lines += [f"# HELP {full} {text}", f"# TYPE {full} gauge", f"{full} {float(value):.15g}"]
    lines += [
        "# HELP dr_assets_last_run_objects What the last run did, by kind.",
        "# TYPE dr_assets_last_run_objects gauge",
    ]
    lines += [
        f'dr_assets_last_run_objects{{kind="{kind}"}} {count}' for kind, count in sorted(known.get("done", {}).items())
    ]
    return "\n".join(lines) + "\n"


def moment(seconds: float | None) -> str | None:
    """For people."""
    return (
        None
        if seconds is None
        else datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
    )


class Bar:
    """One line on a terminal, rewritten; nothing elsewhere."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._shown = self._out.isatty()
        self._started = time.monotonic()

    def __call__(self, run: Run) -> None:
        if not self._shown:
            return
        counts, debt = run.tally.counts, run.tally.debt()
        elapsed = max(time.monotonic() - self._started, 1e-6)
        copied = counts.get("copied", 0)
        share = copied / max(copied + debt.count, 1)
        self._out.write(
            f"\r\033[K[{'#' * int(share * 20):<20}] {copied} copied, {run.tally.copied_bytes / 1e6:.1f} MB, {copied / elapsed:.0f}/s, "
            f"{debt.count} under way, {counts.get('failed', 0)} failed"
        )
        self._out.flush()

    def end(self) -> None:
        if self._shown:
            self._out.write("\n")
