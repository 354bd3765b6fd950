"""What `logs watch` does each minute: how far the other region and the store are behind this host's journal, an upload that hangs, copies that are too
old.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contract import fields
from contract.dataclass import dataclass
from contract.errors import Failed, say
from contract.plain import phrase
from contract.services.logs import COPIES, Kept

from ...frame.boots import boottime
from ...frame.call import Call
from ...frame.figures import Figures
from ...frame.files import make_folder, read_own, write_atomically
from ...frame.layout import Layout
from ...frame.systemd import Units
from ..journal import journalctl
from . import config, store

SELF, JOB = "logs.json", "dr_logs"
PATIENCE_S, MOST_PATIENCE_S = 180, 6 * 3600
DAY_S = 86_400
STOP_S = 15.0
_CURSOR = re.compile(r"^LAST_CURSOR=([0-9A-Za-z=;_-]{1,400})$", re.MULTILINE)
Rows = Callable[[Sequence[str]], Any]


@dataclass(frozen=True)
class Way:
    """Where a journal goes. `state`: where its upload remembers how far it is; `seen`: what the last look saw; `behind`: its name in what is told."""

    unit: str
    state: str
    seen: str
    metric: str
    help: str
    behind: str


COPY = Way(
    config.UPLOAD,
    config.STATE,
    "logs-seen.json",
    "dr_logs_behind_seconds",
    "For how long the oldest line of the journal waits that the other region has not taken.",
    "behind_s",
)
STORE = Way(
    store.UPLOAD,
    store.STATE,
    "logs-store-seen.json",
    "dr_logs_store_behind_seconds",
    "For how long the oldest line of the journal waits that the store has not taken.",
    "store_behind_s",
)


def ways(told: dict[str, Any]) -> tuple[Way, ...]:
    """Of a host, by what `logs converge` has left there."""
    return (COPY, STORE) if told.get("stored") is True else (COPY,)


def itself(layout: Layout) -> dict[str, Any] | None:
    """What `logs converge` has left: None where it was never put here."""
    try:
        found = json.loads(read_own(layout.etc / SELF))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def cursor(layout: Layout, way: Way = COPY) -> str | None:
    """Of the last entry that was taken there; None before the first."""
    try:
        found = _CURSOR.search(read_own(layout.at(way.state)).decode(errors="replace"))
    except OSError:
        return None
    return found[1] if found else None


def behind(layout: Layout, rows: Rows = journalctl, now: float | None = None, way: Way = COPY) -> float | None:
    """For how long the oldest entry waits that was not taken there, in seconds; 0 where all was. None where the journal does not say.

    A cursor whose entry is there no more counts from the entry behind it: what was vacuumed is not waited for.
    """
    at = cursor(layout, way)
    words = ["--quiet", "--no-pager", "--output=json", "--output-fields=_BOOT_ID"]
    try:
        row = next(iter(rows([*words, *([f"--after-cursor={at}"] if at else [])])), None)
        written = None if row is None else int(json.loads(row)["__REALTIME_TIMESTAMP"]) / 1e6
    except (Failed, ValueError, KeyError, TypeError):
        return None
    return 0.0 if written is None else round(max((time.time() if now is None else now) - written, 0.0), 1)


@dataclass(frozen=True)
class Seen:
    """What the last look saw. `since`: when the cursor last moved, or the upload was begun anew, on the clock that boots begin; `patience`: in seconds."""

    cursor: str | None = None
    since: float = 0.0
    patience: float = PATIENCE_S

    def next(self, now: float, cursor: str | None, behind_s: float | None) -> tuple[Seen, bool]:
        """What to remember, and whether the upload is to be begun anew. Pure.

        One that has much to send says nothing of it until all of it is there: so each time it is given twice as long as before.
        """
        if not self.since or cursor != self.cursor or not behind_s:
            return Seen(cursor, now), False
        if now - self.since < self.patience or behind_s < self.patience:
            return self, False
        return Seen(cursor, now, min(2 * self.patience, MOST_PATIENCE_S)), True


def watch(call: Call, units: Units) -> dict[str, Any]:
    """What was found and done. Raises Failed where logs were never put here."""
    told, layout = itself(call.layout), call.layout
    if told is None:
        raise Failed(
            say(
                subject=f"file {layout.etc / SELF}",
                found="none that says which host this is",
                wanted="the one that `logs converge` writes",
                consequence="nobody knows how far the other region is behind this host's journal",
                remedy="set dr:logs and run pulumi up for this region",
            )
        )
    waits = {way: behind(layout, way=way) for way in ways(told)}
    anew = [way.unit for way, it in waits.items() if _moved(call, units, way, it)]
    figure(layout, waits)
    kept = told.get("kept")
    gone = tidy(layout, fields.read(Kept, kept, "what is kept"), units) if kept is not None else 0
    return {**{way.behind: it for way, it in waits.items()}, "begun_anew": anew, "taken_away": gone}


def _moved(call: Call, units: Units, way: Way, waits: float | None) -> bool:
    """Whether its upload was begun anew, since it hangs."""
    layout = call.layout
    seen, stuck = _remembered(layout, way).next(boottime(), cursor(layout, way), waits)
    if stuck := stuck and units.running(way.unit):  # one that waits for its next try is not held up
        call.log.warning(f"{way.unit} has sent nothing for {waits:g} s; it is begun anew")
        units.restart(way.unit, STOP_S)
    write_atomically(_memory(layout, way), json.dumps(vars(seen)).encode())
    return stuck


def figure(layout: Layout, waits: Mapping[Way, float | None]) -> None:
    """For the node exporter, whole. What is unknown has no sample."""
    path = Figures(layout, JOB, "root").path
    make_folder(path.parent)
    known = {way: it for way, it in waits.items() if it is not None}
    text = "".join(
        f"# HELP {way.metric} {way.help}\n# TYPE {way.metric} gauge\n{way.metric} {it:.15g}\n"
        for way, it in known.items()
    )
    write_atomically(path, text.encode(), 0o644)


def tidy(layout: Layout, kept: Kept, units: Units, now: float | None = None) -> int:
    """How many files were taken away: nothing was written to them for too long, or they are the oldest of a copy that is too large. A copy begins a new
    file each day, so that its first lines go in time where few come. `now`: in seconds since 1970.
    """
    at, gone, copies = time.time() if now is None else now, 0, layout.at(COPIES)
    for folder in sorted(copies.iterdir()) if copies.is_dir() else ():
        if folder.is_symlink() or not folder.is_dir():
            continue
        # Root's own note, and not in a folder where a server writes that takes what comes.
        active, begun = folder / config.ACTIVE, Figures(layout, JOB, "root").folder / f"{folder.name}.begun"
        if active.exists() and not begun.exists():
            begun.touch()
        elif active.exists() and at - begun.stat().st_mtime > DAY_S:
            units.stop(config.service_of(folder.name), STOP_S)
            active.rename(folder / _closed(at))
            begun.touch()
        for path in _surplus(folder, kept, at):
            path.unlink(missing_ok=True)
            gone += 1
    return gone


def _closed(now: float) -> str:
    """What a file is called that is not written any more, as systemd calls its own: it counts those, and takes the oldest of them away."""
    return f"journal@{0:032x}-{int(now * 1e6):016x}-{int(now * 1e6):016x}.journal"


def _surplus(folder: Path, kept: Kept, now: float) -> list[Path]:
    """Files of a copy that are to go, of those that are not written any more. systemd itself looks only when it begins a new file because one is full."""
    found = sorted((it.lstat().st_mtime, it.lstat().st_blocks * 512, it) for it in folder.glob("journal@*"))
    most = kept.host_mb * 2**20 * (config.PARTS - 1) // config.PARTS  # one part is for the file that is written
    left, keep = most, set[Path]()
    for written_at, size, path in reversed(found):
        left -= size
        if left >= 0 and now - written_at <= kept.days * DAY_S:
            keep.add(path)
    return [path for _, _, path in found if path not in keep]


def copies(layout: Layout) -> dict[str, Any] | None:
    """Bytes and age of each copy here; None where none is kept."""
    folder = layout.at(COPIES)
    if not folder.is_dir():
        return None
    now, found = time.time(), {}
    for each in sorted(folder.iterdir()):
        files = [it.stat() for it in each.glob("journal*") if it.is_file()]
        if files:
            age = now - max(it.st_mtime for it in files)
            found[phrase(each.name, 40)] = {"bytes": sum(it.st_blocks * 512 for it in files), "age_s": round(age, 1)}
    return found


def _memory(layout: Layout, way: Way) -> Path:
    """It goes with the machine's power, as the clock does that it counts by."""
    return layout.run / way.seen


def _remembered(layout: Layout, way: Way) -> Seen:
    try:
        found = json.loads(read_own(_memory(layout, way)))
        return Seen(found["cursor"], float(found["since"]), float(found["patience"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Seen()
