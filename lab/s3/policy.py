"""OVHcloud's user policies, as the bucket policies that make an S3 server with bucket policies behave alike.

OVHcloud hangs a policy on a user and has no bucket policies; versitygw has bucket policies whose principals are accounts. For each bucket
the statements of all users are put together, each for the account that all keys of its user sign for. The order of evaluation is OVHcloud's: explicit
deny, explicit allow, else the ACL, which gives the bucket's owner everything; the owner therefore gets an allow of everything (a bucket policy switches
ACLs off).

Imitated: Effect, Action and Resource with `*` and `?`, several users and keys, the owner's rule. Refused, because ignoring them would let a
policy seem to work: Condition, NotAction, NotResource, Principal. Without effect: `s3:ListAllMyBuckets` (everybody sees the buckets that are
theirs). Stricter than OVHcloud: bucket policies themselves are denied to everybody (OVHcloud answers that it has none).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ARN = "arn:aws:s3:::"


def _actions(names: str) -> frozenset[str]:
    return frozenset(f"s3:{name}" for name in names.split())


ACCOUNT_ACTIONS = frozenset({"s3:ListAllMyBuckets", "s3:CreateBucket"})
OBJECT_ACTIONS = _actions(
    "AbortMultipartUpload ListMultipartUploadParts PutObject GetObject GetObjectVersion DeleteObject DeleteObjectVersion GetObjectAcl "
    "GetObjectAttributes GetObjectVersionAttributes PutObjectAcl RestoreObject GetObjectTagging GetObjectVersionTagging PutObjectTagging "
    "PutObjectVersionTagging DeleteObjectTagging DeleteObjectVersionTagging GetObjectLegalHold PutObjectLegalHold GetObjectRetention "
    "PutObjectRetention BypassGovernanceRetention"
)
BUCKET_ACTIONS = _actions(
    "GetBucketAcl PutBucketAcl DeleteBucket PutBucketVersioning GetBucketVersioning ListBucketMultipartUploads GetBucketTagging "
    "PutBucketTagging ListBucketVersions ListBucket GetBucketObjectLockConfiguration PutBucketObjectLockConfiguration GetBucketCORS PutBucketCORS "
    "GetEncryptionConfiguration PutEncryptionConfiguration GetLifecycleConfiguration PutLifecycleConfiguration GetReplicationConfiguration "
    "PutReplicationConfiguration GetBucketLocation GetBucketWebsite PutBucketWebsite DeleteBucketWebsite GetBucketLogging PutBucketLogging"
)
POLICY_ACTIONS = ("s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy")


class PolicyError(ValueError):
    """The document is not a policy: which statement, what was found, what is wanted."""


class UnsupportedPolicyError(PolicyError):
    """OVHcloud may take the document; the lab cannot make it true."""


@dataclass(frozen=True)
class Statement:
    """One statement; `resources` without the ARN prefix: `bucket`, `bucket/key`, with `*` and `?`."""

    allow: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]


def parse(document: str) -> tuple[Statement, ...]:
    """The statements of a user policy. Raises `PolicyError`."""
    try:
        parsed = json.loads(document)
    except ValueError as error:
        raise PolicyError(f"policy: not JSON ({error}), wanted an object with a Statement list") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("Statement"), list):
        raise PolicyError('policy: no list "Statement" in it; an empty list takes all rules away')
    return tuple(_statement(number, item) for number, item in enumerate(parsed["Statement"]))


def _statement(number: int, item: Any) -> Statement:
    where = f"policy: statement {number}"
    if not isinstance(item, dict):
        raise PolicyError(f"{where}: found {type(item).__name__}, wanted an object")
    for name in ("Condition", "NotAction", "NotResource", "Principal"):
        if name in item:
            raise UnsupportedPolicyError(
                f"{where}: has {name}, which the lab does not imitate; leave it out in a rehearsal"
            )
    effect = item.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise PolicyError(f"{where}: Effect is {effect!r}, wanted Allow or Deny")
    actions = _strings(where, "Action", item.get("Action"))
    for action in actions:
        if not _expand(action, OBJECT_ACTIONS | BUCKET_ACTIONS | ACCOUNT_ACTIONS | set(POLICY_ACTIONS)):
            raise PolicyError(f"{where}: Action {action!r} names no S3 action that is known here")
    resources = []
    for resource in _strings(where, "Resource", item.get("Resource")):
        if resource != "*" and not resource.startswith(ARN):
            raise PolicyError(f"{where}: Resource {resource!r} wanted as {ARN}<bucket> or {ARN}<bucket>/<key>")
        resources.append(resource.removeprefix(ARN))
    return Statement(effect == "Allow", actions, tuple(resources))


def _strings(where: str, name: str, value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(entry, str) and entry for entry in values):
        raise PolicyError(f"{where}: {name} is missing or no text, wanted a text or a list of them")
    return tuple(values)


def _expand(pattern: str, names: Iterable[str]) -> list[str]:
    literal = pattern.replace("[", "[[]")
    return sorted(name for name in names if fnmatchcase(name, literal))


def _remainders(pattern: str, text: str) -> set[str]:
    """What is left of a `*`/`?` pattern after it has matched `text`: every way of matching leaves one remainder."""
    positions = {0}
    for character in text:
        following: set[int] = set()
        for position in _closure(pattern, positions):
            if position < len(pattern):
                if pattern[position] == "*":
                    following.add(position)
                elif pattern[position] in ("?", character):
                    following.add(position + 1)
        positions = following
    return {pattern[position:] for position in positions}


def _closure(pattern: str, positions: set[int]) -> set[int]:
    closed = set(positions)
    for position in positions:
        current = position
        while current < len(pattern) and pattern[current] == "*":
            current += 1
            closed.add(current)
    return closed


def _items(bucket: str, statement: Statement, keys: list[str]) -> list[dict[str, Any]]:
    """The statement as far as it concerns `bucket`: one item for the bucket, one for its objects."""
    on_bucket = any(not rest.strip("*") for pattern in statement.resources for rest in _remainders(pattern, bucket))
    objects = sorted({rest for pattern in statement.resources for rest in _remainders(pattern, f"{bucket}/") if rest})
    items = []
    for resources, known in (
        ([bucket] if on_bucket else [], BUCKET_ACTIONS),
        ([f"{bucket}/{rest}" for rest in objects], OBJECT_ACTIONS),
    ):
        actions = sorted({name for action in statement.actions for name in _expand(action, known)})
        if resources and actions:
            items.append(
                {
                    "Effect": "Allow" if statement.allow else "Deny",
                    "Principal": {"AWS": keys},
                    "Action": actions,
                    "Resource": [ARN + resource for resource in resources],
                }
            )
    return items


def bucket_policy(
    bucket: str, owner_keys: Iterable[str], users: Mapping[str, tuple[Iterable[str], tuple[Statement, ...]]]
) -> str | None:
    """The bucket policy that gives `bucket` the effect of the users' policies, or None when nobody but root may have access.

    `users`: by user, that user's accounts and statements; `owner_keys`: accounts of the bucket's owner.
    """
    items: list[dict[str, Any]] = []
    owners = sorted(set(owner_keys))
    if owners:
        full = {"Effect": "Allow", "Principal": {"AWS": owners}, "Action": ["s3:*"]}
        items.append({**full, "Resource": [f"{ARN}{bucket}", f"{ARN}{bucket}/*"]})
    for _, (keys, statements) in sorted(users.items()):
        principals = sorted(set(keys))
        if not principals:
            continue
        items += [item for statement in statements for item in _items(bucket, statement, principals)]
    if not items:
        return None
    # Root's own calls are judged by no policy.
    denied = {"Effect": "Deny", "Principal": {"AWS": ["*"]}, "Action": list(POLICY_ACTIONS)}
    items.append({**denied, "Resource": [f"{ARN}{bucket}"]})
    return json.dumps({"Version": "2012-10-17", "Statement": _grouped(items)}, sort_keys=True, separators=(",", ":"))


def _grouped(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same in few words: what several may do at one place is said once.

    The gateway keeps a policy in an attribute of the bucket's folder, which holds 4 KB on most file systems; a principal needs no word around it.
    """
    may: dict[tuple[str, str, str], set[str]] = {}  # by effect, resource and key: actions
    for item in items:
        for resource in item["Resource"]:
            for key in item["Principal"]["AWS"]:
                may.setdefault((item["Effect"], resource, key), set()).update(item["Action"])
    keys: dict[tuple[str, tuple[str, ...], str], set[str]] = {}
    for (effect, resource, key), actions in may.items():
        keys.setdefault((effect, tuple(sorted(actions)), resource), set()).add(key)
    said: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (effect, ordered, resource), whose in keys.items():
        said.setdefault((effect, ordered, tuple(sorted(whose))), []).append(resource)
    return [
        {"Effect": effect, "Principal": _one(whose), "Action": _one(ordered), "Resource": _one(resources)}
        for (effect, ordered, whose), resources in said.items()
    ]


def _one(several: Iterable[str]) -> str | list[str]:
    """A list of one is said without a list."""
    found = list(several)
    return found[0] if len(found) == 1 else found


def may_create_buckets(statements: tuple[Statement, ...]) -> bool:
    """A user may, unless a statement denies `s3:CreateBucket` on everything."""
    return not any(
        not statement.allow
        and "*" in statement.resources
        and any(_expand(action, {"s3:CreateBucket"}) for action in statement.actions)
        for statement in statements
    )
