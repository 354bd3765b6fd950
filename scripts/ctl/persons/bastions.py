"""By which addresses the bastions are reached: as the witness says, and where it is silent as it said last to this user of this machine.

What is remembered may be old or changed by whoever has this user's files: the hosts' keys are pinned, so it leads to no other host than ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from contract.buckets import Bucket
from contract.checks import Unwanted
from contract.forms import ENTRANCE
from contract.sites import SITES
from scripts.ctl.persons import memory


def remembered(place: Bucket) -> dict[str, str]:
    """By site; empty where nothing is, or nothing that can be read."""
    try:
        found = memory.read(_file(place))
        return {site: ENTRANCE(found[site]) for site in SITES if site in found}
    except (OSError, ValueError, RuntimeError, Unwanted):  # a user may have no home
        return {}


def remember(place: Bucket, bastions: Mapping[str, str]) -> None:
    """Best effort: a machine without a place for it does without."""
    known = {**remembered(place), **bastions}
    if known != remembered(place):
        with suppress(OSError, RuntimeError):
            memory.write(_file(place), known)


def _file(place: Bucket) -> Path:
    return memory.place_of("bastions", place).with_suffix(".json")
