"""How a run ends: one tree of errors, one table of exit codes."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """What a caller may rely on; the same numbers as of the other commands."""

    DONE = 0
    FAILED = 1  # what was copied stays; the same command again goes on from there
    BAD_INPUT = 2
    REFUSED = 3  # by a precondition; nothing was changed


class AssetsError(Exception):
    """One line for the operator: subject, value found, value wanted, consequence, remedy. Never a secret."""

    code = ExitCode.FAILED


class Failed(AssetsError):
    """It did not work; nothing is lost, and the same command again goes on."""


class BadInput(AssetsError):
    """The document or the arguments are wrong."""

    code = ExitCode.BAD_INPUT


class Refused(AssetsError):
    """A precondition does not hold; nothing was changed."""

    code = ExitCode.REFUSED


class EpochMoved(Failed):
    """Another epoch is in force than the one this run was started for: it must not write any more."""


class Kind(StrEnum):
    """What a store's refusal means to the copier."""

    ABSENT = "absent"  # no such key
    NO_BUCKET = "no bucket"
    DENIED = "denied"
    EXPIRED = "expired"  # the credentials, not the object
    SKEW = "skew"
    REGION = "region"
    CONDITION = "condition"  # 412, or 409 of two conditional writes at once
    SLOW = "slow"  # 503, 429, or an answer that does not come
    NETWORK = "network"
    FULL = "full"
    LYING = "lying"  # the answer contradicts itself or the protocol
    UNSUPPORTED = "unsupported"
    OTHER = "other"


RETRYABLE = frozenset({Kind.SLOW, Kind.NETWORK})
# After one of these no further request of the run can succeed.
FATAL = frozenset({Kind.NO_BUCKET, Kind.EXPIRED, Kind.SKEW, Kind.REGION, Kind.FULL})


class StoreError(AssetsError):
    """A store refused or did not answer. `kind` decides what follows, the text is for the operator."""

    def __init__(self, kind: Kind, text: str, status: int = 0, retry_after: float = 0.0, side: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.side = side  # "source" or "target"
        self.status = status
        self.retry_after = retry_after  # seconds the store asked for
