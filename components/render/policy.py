"""S3 policies of the shop's bucket users."""

from __future__ import annotations

import json
from collections.abc import Sequence

# No deletion of versions: a version is what undoes a mistake, and a stolen key must not be able to remove it.
_ACTIONS = (
    "s3:GetBucketLocation",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)


def site_policy(buckets: Sequence[str]) -> str:
    """Read and write on a site's own buckets and on nothing else; listing all buckets is denied, because it is allowed by default."""
    resources = [f"arn:aws:s3:::{bucket}{tail}" for bucket in buckets for tail in ("", "/*")]
    statements = [
        {"Sid": "OwnBuckets", "Effect": "Allow", "Action": list(_ACTIONS), "Resource": resources},
        {"Sid": "NoListing", "Effect": "Deny", "Action": ["s3:ListAllMyBuckets"], "Resource": ["*"]},
    ]
    return json.dumps({"Statement": statements}, sort_keys=True, separators=(",", ":"))
