"""`main.rejoin.json` beside the data directory: what is under way with data that cannot follow; see `rejoin`."""

from __future__ import annotations

import json
from dataclasses import asdict

from contract.dataclass import dataclass

from ..frame.files import sync_folder, write_atomically
from .layout import PostgresLayout

EVIDENCE, RECOVERY, REWIND, CUT, COPY, EXPIRED = "evidence", "recovery", "rewind", "cut", "copy", "expired"


@dataclass(frozen=True)
class Mark:
    """What is under way. `stage` COPY: a rewind is impossible, `why` says for what reason; EXPIRED: the
    primary no longer has the WAL that these data, good in themselves, would need; CUT: a lost connection ended a rewind half way."""

    epoch: int
    stage: str
    why: str = ""

    def write(self, layout: PostgresLayout) -> None:
        with layout.acting():
            write_atomically(layout.rejoin, (json.dumps(asdict(self), sort_keys=True) + "\n").encode())


def read_mark(layout: PostgresLayout) -> Mark | None:
    """None when nothing is under way."""
    try:
        found = json.loads(layout.rejoin.read_bytes())
        return Mark(int(found["epoch"]), str(found["stage"]), str(found["why"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clear_mark(layout: PostgresLayout) -> None:
    with layout.acting():
        layout.rejoin.unlink(missing_ok=True)
        sync_folder(layout.rejoin.parent)
