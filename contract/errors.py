"""How anything of the product ends: one table of exit codes, one tree of errors, one spelling of a message.

Every message is for the operator: subject, value found, value wanted, consequence, remedy. Never a secret value, and no traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from .dataclass import dataclass
from .plain import printable


class ExitCode(IntEnum):
    """What a caller may rely on: the same numbers for hosts, links, copier and `drctl`."""

    DONE = 0
    FAILED = 1  # nothing half-done; the same command again goes on from there
    USAGE = 2  # the document or the arguments are wrong
    REFUSED = 3  # by a precondition; nothing was changed
    PARTIAL = 4  # stopped part-way; the message names the way on
    UNKNOWN = 5  # the outcome could not be learned


class DrError(Exception):
    """Root of every error that is raised on purpose. What others said in its text is spelled out where it would order a terminal about."""

    code = ExitCode.FAILED

    def __init__(self, text: str = "") -> None:
        super().__init__(printable(text))


class Failed(DrError):
    """It did not work; nothing is half-done, and the same again goes on from where it stopped."""


class Usage(DrError):
    """The document or the arguments are wrong; nothing was changed."""

    code = ExitCode.USAGE


class Refused(DrError):
    """A precondition does not hold; nothing was changed."""

    code = ExitCode.REFUSED


class Partial(DrError):
    """Stopped part-way; the same command again finishes the job."""

    code = ExitCode.PARTIAL


class OutcomeUnknown(DrError):
    """Nobody can say whether it happened; look (`status`) before going on."""

    code = ExitCode.UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong with a configuration or a document."""

    subject: str  # full key, as `pulumi config` prints it
    found: str  # the value as the operator wrote it; "(hidden)" for secrets
    wanted: str
    consequence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject} is {self.found}; wanted {self.wanted}. {_sentence(self.consequence)} {_sentence(self.remedy)}"


class ConfigError(Usage, ValueError):
    """A configuration that cannot be used. `faults` holds all that was found, not the first alone."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        head = "the configuration has a fault" if count == 1 else f"the configuration has {count} faults"
        super().__init__("\n".join([f"{head}; nothing was changed:", *(f"  - {fault}" for fault in self.faults)]))


def say(*, subject: str, found: str, wanted: str, consequence: str, remedy: str) -> str:
    """The house's one-line error text."""
    return f"{subject}: found {found}, wanted {wanted}; {consequence}; {remedy}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")
