"""Which of the configured parameters wait for a restart, by what a server says that it runs with. Pure.

A server may not start with what it is told, and only a start shows that: so a standby starts with it first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .text import LIMITS

Running = tuple[str, str | None, str]  # value, unit and type, as pg_settings has them

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_BYTES = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_MICROSECONDS = {"us": 1, "ms": 1000, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_TRUE, _FALSE = ("on", "true", "yes", "1", "t", "y"), ("off", "false", "no", "0", "f", "n")
# What a server takes at its start alone. What a standby may not have less of than its primary has rules of its own.
STARTS = """(select json_object_agg(name, json_build_array(setting, unit, vartype)) from pg_settings where context = 'postmaster')"""


def due(asked: Mapping[str, str], starts: Mapping[str, Running]) -> dict[str, str]:
    """What of `asked` a server with `starts` in force takes at its next start only, and does not run with yet."""
    waits = {name: value for name, value in asked.items() if name in starts and name not in LIMITS}
    return {name: value for name, value in waits.items() if not same(value, starts[name])}


def same(asked: str, running: Running) -> bool:
    """Whether a value of postgresql.conf is the one that runs. What cannot be read is another one."""
    value, unit, kind = running
    if kind == "bool":
        return _truth(asked) is not None and _truth(asked) == _truth(value)
    if kind in ("integer", "real"):
        wanted, found = _size(asked, unit), _size(value, unit)
        # The server rounds to its unit, half to even, as Python does.
        return wanted is not None and found is not None and round(wanted / _one(unit)) == round(found / _one(unit))
    return asked.strip().lower() == value.strip().lower()


def shown(running: Running) -> str:
    """For people: `2048 x 8kB`."""
    return running[0] if running[1] is None else f"{running[0]} x {running[1]}"


def _truth(text: str) -> bool | None:
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _size(text: str, unit: str | None) -> float | None:
    """In bytes, in microseconds, or as it is where the parameter has no unit."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    number, own = float(match[1]), match[2]
    if not own:
        return number * _one(unit) if number >= 0 else number
    factor = _BYTES.get(own, _MICROSECONDS.get(own))
    return None if factor is None or unit is None else number * factor


def _one(unit: str | None) -> float:
    """A unit such as `8kB`."""
    if unit is None:
        return 1.0
    match = re.fullmatch(r"(\d*)([A-Za-z]+)", unit)
    if match is None:
        return 1.0
    return float(match[1] or 1) * _BYTES.get(match[2], _MICROSECONDS.get(match[2], 1))
