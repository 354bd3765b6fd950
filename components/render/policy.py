"""S3 policies of the shop's bucket users, and of the keys to the witness."""

from __future__ import annotations

import json
from collections.abc import Sequence

from contract import witness
from contract.monitoring import status_page
from contract.release import FOLDER

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


_READ = (
    "s3:GetBucketLocation",
    "s3:GetBucketVersioning",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:GetBucketAcl",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:GetObjectAcl",
    "s3:GetObjectTagging",
    "s3:GetObjectVersionTagging",
)
_COPY = ("s3:PutObjectAcl", "s3:PutObjectTagging", "s3:PutObjectVersionTagging")
# What control-1 puts with the copier's key, because the platform's API knows neither.
_LIFECYCLE = ("s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration")
# Looked at, to be told: it comes with the bucket's creation.
_LOCK = ("s3:GetBucketObjectLockConfiguration",)
_CORS = ("s3:GetBucketCORS", "s3:PutBucketCORS")


def site_policy(buckets: Sequence[str]) -> str:
    """Read and write on a site's own buckets and on nothing else."""
    return _document(_allow("OwnBuckets", _ACTIONS, buckets))


def shop_policy(assets: str, releases: Sequence[str]) -> str:
    """Read and write on the site's assets; of the releases of both sites, read what is there."""
    read = _statement("Releases", ("s3:GetObject",), [f"{bucket}/{FOLDER}*" for bucket in releases])
    return _document(_allow("OwnBuckets", _ACTIONS, [assets]), read)


def copier_policy(source: str, target: str, beside: Sequence[str]) -> str:
    """Read there; read, write, and the bucket's lifecycle and CORS here; of the buckets `beside` it the lifecycle, and to see the lock."""
    return _document(
        _allow("Source", _READ, [source]),
        _allow("Target", sorted({*_READ, *_ACTIONS, *_COPY, *_LIFECYCLE, *_CORS}), [target]),
        _allow("Beside", (*_LIFECYCLE, *_LOCK), beside),
    )


def witness_policy(bucket: str, user: str) -> str:
    """Of one of `contract.witness.USERS`, in the witness bucket: what its table says, and the names of all objects."""
    may = witness.rights(user)
    # Whoever may not list is told "denied" of an object that is not there, which is no answer to "is there a newer epoch?".
    operators = ["s3:ListBucketVersions", "s3:GetBucketObjectLockConfiguration"]
    listing = ["s3:ListBucket", *(operators if user == witness.OPERATOR else [])]
    statements = [_statement("Names", listing, [bucket])]
    for name, actions, keys in (
        ("Read", ["s3:GetObject"], may.read),
        ("Put", ["s3:PutObject"], may.put),
        ("Remove", ["s3:DeleteObject"], may.remove),
        ("Keep", ["s3:PutObjectRetention"], may.keep),
    ):
        if keys:
            statements.append(_statement(name, actions, [f"{bucket}/{key}" for key in keys]))
    return _document(*statements)


def page_policy(bucket: str, *, public: bool) -> str:
    """To read and put the two objects of the page for customers, and to see whether they are there. `public`: and to open the page to anybody."""
    objects = [f"{bucket}/{name}" for name in (status_page.DOCUMENT, status_page.PAGE)]
    statements = [
        _statement("Names", ("s3:ListBucket",), [bucket]),  # see `witness_policy`
        _statement("Page", ("s3:GetObject", "s3:PutObject"), objects),
    ]
    if public:
        statements.append(_statement("Open", ("s3:PutObjectAcl",), [f"{bucket}/{status_page.PAGE}"]))
    return _document(*statements)


def rules_policy(buckets: Sequence[str]) -> str:
    """To put the rules of these buckets' lifecycles, and nothing else: of a user that `drctl init` makes and removes."""
    return _document(_allow("Rules", ("s3:ListBucket", *_LIFECYCLE), buckets))


def reader_policy(buckets: Sequence[str]) -> str:
    """Read all versions there, and nothing else."""
    return _document(_allow("Reader", _READ, buckets))


def _allow(name: str, actions: Sequence[str], buckets: Sequence[str]) -> dict[str, object]:
    return _statement(name, actions, [f"{bucket}{tail}" for bucket in buckets for tail in ("", "/*")])


def _statement(name: str, actions: Sequence[str], places: Sequence[str]) -> dict[str, object]:
    resources = [f"arn:aws:s3:::{place}" for place in places]
    return {"Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": resources}


def _document(*statements: dict[str, object]) -> str:
    """Listing all buckets is denied, because it is allowed by default."""
    denied = {"Sid": "NoListing", "Effect": "Deny", "Action": ["s3:ListAllMyBuckets"], "Resource": ["*"]}
    return json.dumps({"Statement": [*statements, denied]}, sort_keys=True, separators=(",", ":"))
