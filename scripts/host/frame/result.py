"""What a verb hands back, and how it is printed: one JSON object with sorted keys."""

from __future__ import annotations

import json
from dataclasses import field
from typing import Any

from contract.dataclass import dataclass
from contract.version import SCHEMA


@dataclass(frozen=True)
class Result:
    """`facts` of a converge change slowly and hold no secret, time or position; `actions` are the steps done (or, with --check, due)."""

    facts: dict[str, Any]
    changed: bool = False
    actions: list[str] = field(default_factory=list)

    def document(self, op: str, *, report: bool) -> dict[str, Any]:
        """`report`: with `changed` and `actions`, which differ between two runs."""
        document: dict[str, Any] = {"schema": SCHEMA, "op": op, "facts": self.facts}
        if report:
            document |= {"changed": self.changed, "actions": self.actions}
        return document


def dump(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True)
