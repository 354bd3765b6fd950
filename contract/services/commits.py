"""What a commit waits for."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """Whether commits wait for the other region."""

    ASYNC = "async"
    SYNC = "sync"
    DEGRADE = "degrade"
