"""No secret in a record: what runs and others have said is told in it, and the record is there for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.settings import Secrets
from contract import fields
from contract.report import Record
from scripts.ctl.output.hiding import Words, of


def without(secrets: Secrets, made: Record) -> Record:
    """The same, each secret of the configuration in it hidden. Raises Failed where it is in no form of a record."""
    return fields.heard(
        Record, _told(fields.write(made), Words(of(secrets))), f"record of a {made.kind}", "it was not written"
    )


def _told(it: Any, words: Words) -> Any:
    if isinstance(it, Mapping):
        return {_told(name, words): _told(value, words) for name, value in it.items()}
    if isinstance(it, list):
        return [_told(value, words) for value in it]
    return words.hide(it) if isinstance(it, str) else it
