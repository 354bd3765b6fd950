"""A bucket and the keys to it, as hosts and links are told of it."""

from __future__ import annotations

from .checks import url
from .dataclass import dataclass
from .fields import key
from .forms import BUCKET, REGION, S3_KEY


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """An S3 bucket of one region."""

    endpoint: str = key(url, "URL of the S3 server")
    region: str = key(REGION, "name of the region in signatures")
    bucket: str = key(BUCKET, "name of the bucket")
    access_key: str = key(S3_KEY, "id of a user's key", secret=True)
    secret_key: str = key(S3_KEY, "the key", secret=True)
