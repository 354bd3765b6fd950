"""How the operator's commands and links end: one tree of errors, one table of exit codes."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a caller may rely on; the same numbers as on the hosts."""

    DONE = 0
    FAILED = 1  # nothing half-done
    USAGE = 2
    REFUSED = 3  # by a precondition; nothing was changed
    PARTIAL = 4  # stopped part-way; the message names the way on
    UNKNOWN = 5  # the outcome could not be learned


class OperatorError(Exception):
    """One line for the operator: subject, value found, value wanted, consequence, remedy. Never a secret."""

    code = ExitCode.FAILED


class Failed(OperatorError):
    """It did not work; nothing is half-done."""


class Usage(OperatorError):
    """The document or the arguments are wrong."""

    code = ExitCode.USAGE


class Refused(OperatorError):
    """A precondition does not hold; nothing was changed."""

    code = ExitCode.REFUSED


class Partial(OperatorError):
    """Stopped part-way; the same command again finishes the job."""

    code = ExitCode.PARTIAL
