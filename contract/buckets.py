"""A bucket and the keys to it, as hosts and links are told of it."""

from __future__ import annotations

from dataclasses import dataclass

from .checks import line, password
from .fields import key


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """An S3 bucket of one region."""

    endpoint: str = key(line, "URL of the S3 server")
    region: str = key(line, "name of the region in signatures")
    bucket: str = key(line, "name of the bucket")
    access_key: str = key(password, "id of a user's key", secret=True)
    secret_key: str = key(password, "the key", secret=True)
