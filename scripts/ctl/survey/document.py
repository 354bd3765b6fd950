"""A survey as JSON, for whoever reads it by program: `{"value", "age_s", "why"}` for everything that was asked."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.ctl.survey.checks.row import Finding
from scripts.ctl.survey.known import Known
from scripts.ctl.survey.seen import Survey


def document(survey: Survey, findings: Sequence[Finding]) -> dict[str, Any]:
    """`schema` 1. `why` is not empty where nothing is known, and `value` is null then."""
    return {"schema": 1, **_plain(survey), "checks": [_plain(it) for it in findings]}


def _plain(it: Any) -> Any:
    if isinstance(it, Known):
        return {"value": _plain(it.value), "age_s": it.age_s, "why": it.why}
    if dataclasses.is_dataclass(it) and not isinstance(it, type):
        return {field.name: _plain(getattr(it, field.name)) for field in dataclasses.fields(it)}
    if isinstance(it, Mapping):
        return {str(name): _plain(value) for name, value in it.items()}
    if isinstance(it, frozenset | set):
        return sorted(map(_plain, it))
    if isinstance(it, list | tuple):
        return [_plain(value) for value in it]
    return it.isoformat() if isinstance(it, datetime.datetime) else it
