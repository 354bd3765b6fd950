"""Dates as HTTP has them (RFC 9110, 5.6.7): the one form that servers send, and the two old ones that a client must read."""

from __future__ import annotations

import time

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
SKEW_S = 60.0  # a signature may be off by 15 minutes; well before that the server's clock is used to sign
_EPOCH = 2440588  # the Julian day of 1970-01-01


def clock_ahead(date: str | None) -> float | None:
    """How many seconds a server's clock is ahead of this host's, by the `Date` of its answer: zero when they are close, None when it does not say."""
    theirs = seconds(date)
    if theirs is None:
        return None
    ahead = theirs - time.time()
    return ahead if abs(ahead) > SKEW_S else 0.0


def seconds(text: str | None) -> float | None:
    """Seconds since 1970; None for no date, for half of one and for a day that no calendar has. The weekday is not looked at."""
    match (text or "").split():
        case [_, day, month, year, clock, "GMT"]:  # Sun, 06 Nov 1994 08:49:37 GMT
            return _seconds(year, month, day, clock)
        case [_, date, clock, "GMT"] if date.count("-") == 2:  # Sunday, 06-Nov-94 08:49:37 GMT
            day, month, year = date.split("-")
            return _seconds(("19" if year > "68" else "20") + year, month, day, clock)
        case [_, month, day, clock, year]:  # Sun Nov  6 08:49:37 1994
            return _seconds(year, month, day, clock)
    return None


def _seconds(year: str, month: str, day: str, clock: str) -> float | None:
    parts = [year, day, *clock.split(":")]
    if month not in _MONTHS or len(parts) != 5 or len(year) != 4:
        return None
    if not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in parts):
        return None
    years, days, hours, minutes, rest = map(int, parts)
    # 60: the second that is put in now and then.
    if hours > 23 or minutes > 59 or rest > 60:
        return None
    midnight = (_julian_day(years, _MONTHS[month], days) - _EPOCH) * 86400
    if time.gmtime(midnight)[:3] != (years, _MONTHS[month], days):
        return None
    return float(midnight + hours * 3600 + minutes * 60 + rest)


def _julian_day(year: int, month: int, day: int) -> int:
    """With years that begin in March, so that a leap day is the last one."""
    early = month < 3
    years, months = year + 4800 - early, month - 3 + 12 * early
    return day + (153 * months + 2) // 5 + 365 * years + years // 4 - years // 100 + years // 400 - 32045
