"""By which addresses the bastions are reached: as the witness says, and where it is silent as it said last to this user of this machine.

What is remembered may be old or changed by whoever has this user's files: the hosts' keys are pinned, so it leads to no other host than ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from contract.buckets import Bucket
from contract.checks import Unwanted
from contract.forms import ENTRANCE
from contract.sites import SITES


def remembered(place: Bucket) -> dict[str, str]:
    """By site; empty where nothing is, or nothing that can be read."""
    try:
        found = json.loads(_file(place).read_text())
        return {site: ENTRANCE(found[site]) for site in SITES if site in found}
    except (OSError, ValueError, TypeError, RuntimeError, Unwanted):  # a user may have no home
        return {}


def remember(place: Bucket, bastions: Mapping[str, str]) -> None:
    """Best effort: a machine without a place for it does without."""
    known = {**remembered(place), **bastions}
    if known == remembered(place):
        return
    with suppress(OSError, RuntimeError):
        file = _file(place)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(handle, "w") as made:
            json.dump(known, made, sort_keys=True)
        Path(fresh).replace(file)


def _file(place: Bucket) -> Path:
    """One for each witness."""
    home = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    name = hashlib.sha256(f"{place.endpoint}/{place.bucket}".encode()).hexdigest()[:16]
    return Path(home) / "drctl" / f"bastions-{name}.json"
