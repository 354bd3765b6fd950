"""Somebody else's text in a message of ours: nothing in it moves a cursor, sets a title or turns the direction in which a line is read."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

MOST_SHOWN = 60  # characters of a value in a message
# Control characters, those that order others about (direction, joining), halves of characters, and what is nobody's.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, stay: str = "\n\t") -> str:
    """The text for a terminal or a log: line ends and tabs `stay`, what else cannot be seen is spelled as in `\\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each if each in stay or unicodedata.category(each) not in _UNSEEN else _spelled(each) for each in text
    )


def phrase(text: str, most: int = 2000) -> str:
    """The same as one line, `most` characters of it."""
    return _cut(printable(text[: 4 * most].replace("\n", " ").replace("\t", " ")).strip(), most)


def shown(value: object) -> str:
    """A value in a message: quoted, escaped, shortened; of a structure its kind and size alone."""
    if isinstance(value, Mapping):
        return f"an object of {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, str | bytes):
        said = repr(value[: MOST_SHOWN + 1])
        return (
            f"{_cut(printable(said), MOST_SHOWN)} ({len(value)} long)" if len(value) > MOST_SHOWN else printable(said)
        )
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    return "null" if value is None else repr(value)


def _spelled(each: str) -> str:
    code = ord(each)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
