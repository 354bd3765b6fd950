"""How a verb ends: the exit codes of docs/interfaces.md, section 2, and the one spelling of an error message."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the caller may rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3  # by a precondition; nothing was changed
    UNKNOWN = 5  # the outcome could not be learned


class HostError(Exception):
    """One line for the operator. Never a secret, never a traceback."""

    code = ExitCode.FAILED


class Failed(HostError):
    """It did not work; the same call again goes on from where it stopped."""


class Usage(HostError):
    """The document or the arguments are wrong."""

    code = ExitCode.USAGE


class Refused(HostError):
    """A precondition does not hold; nothing was changed."""

    code = ExitCode.REFUSED


class OutcomeUnknown(HostError):
    """Nobody can say whether it happened; look (`status`) before going on."""

    code = ExitCode.UNKNOWN


def say(*, subject: str, found: str, wanted: str, consequence: str, remedy: str) -> str:
    """The house's one-line error text."""
    return f"{subject}: found {found}, wanted {wanted}; {consequence}; {remedy}"
