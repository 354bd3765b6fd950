"""No secret in a record: what runs and others have said is told in it, and the record is there for ever."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from components.settings import Secrets
from contract import fields
from contract.reading import HIDDEN
from contract.report import Record

SHORTEST = 6  # characters: what is shorter stands in other words


def without(secrets: Secrets, made: Record) -> Record:
    """The same, each secret of the configuration in it hidden. Raises Failed where it is in no form of a record."""
    words = sorted(set(_words(secrets)), key=len, reverse=True)
    return fields.heard(Record, _told(fields.write(made), words), f"record of a {made.kind}", "it was not written")


def _words(it: Any) -> Iterator[str]:
    """What is printed nowhere: whole, and each line of it."""
    if isinstance(it, Mapping):
        for each in it.values():
            yield from _words(each)
    elif dataclasses.is_dataclass(it) and not isinstance(it, type):
        for field in dataclasses.fields(it):
            value = getattr(it, field.name)
            if field.repr:
                yield from _words(value)
            elif isinstance(value, str):
                lines = (line.strip() for line in (value, *value.splitlines()))
                yield from (line for line in lines if len(line) >= SHORTEST and not line.startswith("-----"))


def _told(it: Any, words: list[str]) -> Any:
    if isinstance(it, Mapping):
        return {_told(name, words): _told(value, words) for name, value in it.items()}
    if isinstance(it, list):
        return [_told(value, words) for value in it]
    if isinstance(it, str):
        for word in words:
            it = it.replace(word, HIDDEN)
    return it
