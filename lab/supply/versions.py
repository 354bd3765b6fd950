"""Which of two versions is the newer one, as each ecosystem has it: a key to sort by. Raises ValueError for what is no version."""

from __future__ import annotations

import re
from functools import cmp_to_key
from typing import Any

from packaging.version import InvalidVersion, Version

_SEMVER = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+\S+)?")


def python(text: str) -> Any:
    try:
        return Version(text)
    except InvalidVersion as error:
        raise ValueError(str(error)) from None


def semver(text: str) -> Any:
    """Go's and SEMVER's: a version with a part behind the dash is older than the one without."""
    found = _SEMVER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no version like 1.2.3")
    before = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in (found[4] or "").split(".") if part]
    return tuple(int(part or 0) for part in found.groups()[:3]), not before, before


def debian(text: str) -> Any:
    """As dpkg compares: epoch, upstream version, revision."""
    epoch, colon, rest = text.partition(":")
    if not colon:
        epoch, rest = "0", text
    upstream, _, revision = rest.rpartition("-")
    return int(epoch), _pieces(upstream or revision), _pieces(revision if upstream else "")


def _pieces(text: str) -> Any:
    """Text and numbers in turn; in text the tilde comes before the end, and the end before all else; letters come before other signs."""
    return _Debian(re.findall(r"(\D*)(\d*)", text))


def _order(sign: str) -> int:
    return -1 if sign == "~" else 0 if not sign else ord(sign) if sign.isalpha() else ord(sign) + 256


def _compare(one: list[tuple[str, str]], two: list[tuple[str, str]]) -> int:
    for step in range(max(len(one), len(two))):
        (text, number), (text_2, number_2) = (each[step] if step < len(each) else ("", "") for each in (one, two))
        for at in range(max(len(text), len(text_2))):
            difference = _order(text[at : at + 1]) - _order(text_2[at : at + 1])
            if difference:
                return difference
        if int(number or 0) != int(number_2 or 0):
            return int(number or 0) - int(number_2 or 0)
    return 0


_Debian = cmp_to_key(_compare)
