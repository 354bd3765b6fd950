"""When a scheduled process runs: five fields as in a crontab, or what systemd calls a calendar expression. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..checks import Check, Unwanted

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_WANTED = (
    "five fields of a crontab, like 30 4 * * 1, or a calendar expression of systemd, like Mon 04:30 (times are UTC)"
)
# What systemd reads; whether it is one, systemd says on the host.
_CALENDAR = re.compile(r"[A-Za-z0-9*.,:/~-][A-Za-z0-9*.,:/~ -]{0,98}")


def calendar(words: str) -> tuple[str, ...]:
    """Expressions for `OnCalendar=`, of which each is a time. Raises `Unwanted` for what is neither.

    Two where a crontab restricts both days: there it is either of them, with systemd both.
    """
    fields = _NAMED.get(words, words).split()
    if len(fields) != 5:
        if not _CALENDAR.fullmatch(words) or words.startswith("@"):
            raise Unwanted(_WANTED)
        return (words if re.search(r"\bUTC$", words) else f"{words} UTC",)
    minutes, hours = _values(fields[0], 0, 59), _values(fields[1], 0, 23)
    dates, months = _values(fields[2], 1, 31), _values(fields[3], 1, 12, _names(_MONTHS, 1))
    days = sorted({day % 7 for day in _values(fields[4], 0, 7, _names(_DAYS, 0))})
    month = _list(months, 12)
    time = f"{_list(hours, 24)}:{_list(minutes, 60)}:00 UTC"
    by_date = f"*-{month}-{_list(dates, 31)} {time}"
    by_day = f"{','.join(_DAYS[day].capitalize() for day in days)} *-{month}-* {time}"
    if len(days) == 7:
        return (by_date,)
    return (by_day,) if len(dates) == 31 else (by_date, by_day)


def _names(words: tuple[str, ...], first: int) -> Mapping[str, int]:
    return {word: number for number, word in enumerate(words, first)}


def _values(field: str, low: int, high: int, names: Mapping[str, int] | None = None) -> list[int]:
    """The numbers that a field stands for: `*`, `5`, `1-5`, `*/10`, `1-10/2`, and lists of these."""
    found: set[int] = set()
    for entry in field.split(","):
        span, slash, step = entry.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first, names)
            end = _number(last, names) if dash else (high if slash else start)
        stride = _number(step, None) if slash else 1
        if not (low <= start <= end <= high and 1 <= stride <= high):
            raise Unwanted(_WANTED)
        found.update(range(start, end + 1, stride))
    return sorted(found)


def _number(word: str, names: Mapping[str, int] | None) -> int:
    if names and word.lower() in names:
        return names[word.lower()]
    if not re.fullmatch(r"[0-9]{1,2}", word):
        raise Unwanted(_WANTED)
    return int(word)


def _list(values: list[int], all_of_them: int) -> str:
    return "*" if len(values) == all_of_them else ",".join(f"{value:02d}" for value in values)


def _schedule(value: object) -> str:
    if not isinstance(value, str):
        raise Unwanted(_WANTED)
    calendar(value)
    return value


SCHEDULE = Check(_WANTED, _schedule)
