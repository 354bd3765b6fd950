"""Errors of the program: one tree, each message a sentence for the operator.

Text of every error: subject, value found, value wanted, consequence, remedy. Never a secret value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong with a configuration."""

    subject: str  # full key, as `pulumi config` prints it
    found: str  # the value as the operator wrote it; "(hidden)" for secrets
    wanted: str
    consequence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject} is {self.found}; wanted {self.wanted}. {_sentence(self.consequence)} {_sentence(self.remedy)}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


class DrError(Exception):
    """Root of every error that the program raises on purpose."""


class ConfigError(DrError, ValueError):
    """A configuration that cannot be used. `faults` holds all that was found, not the first alone."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        head = "the configuration has a fault" if count == 1 else f"the configuration has {count} faults"
        super().__init__("\n".join([f"{head}; nothing was changed:", *(f"  - {fault}" for fault in self.faults)]))
