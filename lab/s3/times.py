"""When a version was written, put right in what a gateway keeps.

versitygw tells of a version the time at which it ceased to be the newest, and of a delete marker that of what it hides; a store that is asked
for a bucket as of a time needs that of its writing. The version's id is a ULID, which begins with it.
"""

from __future__ import annotations

import os
from pathlib import Path

IDENTITY = "user.version-id"
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TIME_DIGITS = 10  # the first ones of a ULID: milliseconds since 1970


def written(identity: str) -> float:
    """Seconds since 1970. Raises ValueError for what is no ULID."""
    milliseconds = 0
    for digit in identity[:TIME_DIGITS]:
        milliseconds = milliseconds * 32 + DIGITS.index(digit)
    return milliseconds / 1000


def put_right(home: Path) -> int:
    """Every version below a region's folder; how many there are."""
    count = 0
    for path in home.rglob("*"):
        if path.is_file() and IDENTITY in os.listxattr(path):
            moment = written(os.getxattr(path, IDENTITY).decode())
            os.utime(path, (moment, moment))
            count += 1
    return count
