"""What a store's refusal means to the copier, and its own two errors beside those of `contract.errors`."""

from __future__ import annotations

from enum import StrEnum

from contract.errors import DrError, Failed


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
    DOUBTED = "doubted"  # one of the four above, by a store that has served this run
    CONDITION = "condition"  # 412, or 409 of two conditional writes at once
    SLOW = "slow"  # 503, 429, or an answer that does not come
    NETWORK = "network"
    FULL = "full"
    LYING = "lying"  # the answer contradicts itself or the protocol
    UNSUPPORTED = "unsupported"
    OTHER = "other"


RETRYABLE = frozenset({Kind.SLOW, Kind.NETWORK})
# About who asks and whom, not about an object.
STANDING = frozenset({Kind.NO_BUCKET, Kind.EXPIRED, Kind.SKEW, Kind.REGION})
# After one of these no further request of the run can succeed.
FATAL = STANDING | {Kind.FULL}


class StoreError(DrError):
    """A store refused or did not answer. `kind` decides what follows, the text is for the operator."""

    def __init__(self, kind: Kind, text: str, status: int = 0, retry_after: float = 0.0, side: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.side = side  # "source" or "target"
        self.status = status
        self.retry_after = retry_after  # seconds the store asked for
