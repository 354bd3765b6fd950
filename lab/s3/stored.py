"""What a bucket holds, and how long it has to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Retention:
    """How long each new version of a bucket stays, whoever asks. `mode`: GOVERNANCE or COMPLIANCE."""

    mode: str
    days: int


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One version of an object, as a listing shows it; sizes in bytes, times in ISO 8601."""

    key: str
    size: int
    etag: str
    last_modified: str
    version_id: str
    is_latest: bool
    is_delete_marker: bool
