"""What the witness says of who is active, for jobs that are not root's: its key opens heartbeats too, so it is for none of PostgreSQL's user's programs.

`dr-archive-epoch.service` asks with the key, as a user that has nothing else and for as long as it asks (`archive ask`); systemd puts what it prints
into a file of root's, and each job that needs the word has it asked for anew before it starts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..frame import rolefile
from ..frame.boots import boottime
from ..frame.layout import Layout
from ..frame.wait import until
from ..frame.witness import Active, Silent, Witness

TOLD = "/run/dr-epoch.json"
KEY = "witness.json"  # as a credential of the unit, and in /etc/dr
LASTS_S = 120.0  # systemd asks right before a job; what is older was left by one that was not asked for anew

# While another job has it asked anew the file is empty: as long as the question takes, and the start of who asks.
ASKS_S = 20.0

Word = Callable[[], Active | None]  # raises Silent


def ask(layout: Layout, folder: str | None) -> dict[str, Any]:
    """Facts for `hear`: the newest epoch from the role's on, or why there is none. `folder`: of the unit's credentials."""
    role = rolefile.read(layout)
    found: dict[str, Any] = {"epoch": None, "active": None, "silent": None}
    try:
        witness = Witness.of_host(layout) if folder is None else Witness.of_file(Path(folder) / KEY)
        newest = witness.newest(role.epoch if role else 0)
        if newest is not None:
            found |= {"epoch": newest.epoch, "active": newest.site}
    except Silent as error:
        found["silent"] = str(error)
    return found | {"asked": boottime()}


def hear(layout: Layout, known: int) -> Word:
    """The word, got now with whatever rights this process has: who may read the key asks, who may not takes what was told."""
    try:
        newest = _ask(layout, known) if os.access(layout.etc / KEY, os.R_OK) else _told(layout)
    except Silent as error:
        silent = error

        def nothing() -> Active | None:
            raise silent

        return nothing
    return lambda: newest


def _ask(layout: Layout, known: int) -> Active | None:
    return Witness.of_host(layout).newest(known)


def _told(layout: Layout) -> Active | None:
    path, text = layout.at(TOLD), b""

    def written() -> bool:
        nonlocal text
        try:
            text = path.read_bytes()
        except OSError:
            return True  # nothing was ever told
        return bool(text)

    until(written, ASKS_S)
    try:
        found = json.loads(text)["facts"]
        age = boottime() - float(found["asked"])
        silent, epoch = found["silent"], found["epoch"]
        newest = None if epoch is None else Active(int(epoch), str(found["active"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise Silent(
            f"file {path}: found no word of the witness in it, wanted that of dr-archive-epoch.service; see `journalctl -u dr-archive-epoch`"
        ) from None
    if silent is not None:
        raise Silent(str(silent))
    if not 0 <= age < LASTS_S:
        raise Silent(
            f"file {path}: found a word of the witness that is {age:.0f} s old, wanted one of the last {LASTS_S:g} s; see `journalctl -u dr-archive-epoch`"
        )
    return newest
