"""User policies as bucket policies: what each statement turns into, bucket by bucket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.render.policy import witness_policy
from contract.witness import USERS
from lab.rehearsal.stacks import WITNESS_BUCKET
from lab.s3 import policy


def statements(*items: dict[str, Any]) -> tuple[policy.Statement, ...]:
    return policy.parse(json.dumps({"Statement": list(items)}))


def read(text: str | None) -> list[dict[str, Any]]:
    """Statements, each part of them as a list."""
    found = json.loads(text)["Statement"] if text else []
    return [
        {name: [it] if isinstance(it, str) and name != "Effect" else it for name, it in item.items()} for item in found
    ]


def rendered(bucket: str, *items: dict[str, Any], owner: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    found = read(policy.bucket_policy(bucket, owner, {"1001": (["AK"], statements(*items))}))
    return [item for item in found if item["Action"] != list(policy.POLICY_ACTIONS)]


def allow(action: str | list[str], resource: str | list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def test_object_and_bucket_actions_go_to_the_resources_they_apply_to() -> None:
    [on_bucket, on_objects] = rendered(
        "assets", allow(["s3:GetObject", "s3:ListBucket"], ["arn:aws:s3:::assets", "arn:aws:s3:::assets/*"])
    )
    assert (on_bucket["Action"], on_bucket["Resource"]) == (["s3:ListBucket"], ["arn:aws:s3:::assets"])
    assert (on_objects["Action"], on_objects["Resource"]) == (["s3:GetObject"], ["arn:aws:s3:::assets/*"])


@pytest.mark.parametrize(
    ("pattern", "bucket", "wanted"),
    [
        ("assets/*", "assets", ["assets/*"]),
        ("assets/img/*", "assets", ["assets/img/*"]),
        ("as*/img/*", "assets", ["assets/*/img/*", "assets/img/*"]),
        ("asset?/k", "assets", ["assets/k"]),
        ("*", "assets", ["assets/*"]),
        ("assets*", "assets", ["assets/*"]),
        ("assets", "assets", []),
        ("assets/*", "assets-b", []),
        ("other*/x", "assets", []),
        ("a*/x", "assets", ["assets/*/x", "assets/x"]),
    ],
)
def test_a_resource_pattern_is_cut_to_the_bucket(pattern: str, bucket: str, wanted: list[str]) -> None:
    resource = "*" if pattern == "*" else policy.ARN + pattern
    found = [entry for item in rendered(bucket, allow("s3:GetObject", resource)) for entry in item["Resource"]]
    assert found == [policy.ARN + entry for entry in wanted]


def test_what_several_users_may_alike_is_said_once_for_all_of_them() -> None:
    """The gateway has room for 4 KB of a bucket's policy, and the witness has a user for each kind of host."""
    reads, writes = allow("s3:GetObject", "arn:aws:s3:::assets/*"), allow("s3:PutObject", "arn:aws:s3:::assets/x")
    users = {"1001": (["AK"], statements(reads, writes)), "1002": (["BK"], statements(reads))}
    text = policy.bucket_policy("assets", (), users)
    found = {item["Action"][0]: item["Principal"] for item in read(text)[:-1]}
    assert found == {"s3:GetObject": ["AK", "BK"], "s3:PutObject": ["AK"]}


def test_the_policies_of_all_keys_to_the_witness_fit_into_a_gateway() -> None:
    users = {str(n): ([f"{n:08x}"], policy.parse(witness_policy(WITNESS_BUCKET, user))) for n, user in enumerate(USERS)}
    assert len(policy.bucket_policy(WITNESS_BUCKET, (), users) or "") < 3800


def test_wildcard_actions_are_spelled_out() -> None:
    [item] = rendered("assets", allow("s3:GetObjectA*", "arn:aws:s3:::assets/*"))
    assert item["Action"] == ["s3:GetObjectAcl", "s3:GetObjectAttributes"]


def test_the_owner_has_full_control_and_a_deny_stays_beside_it() -> None:
    deny = {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::assets/*"}
    [full, denied] = rendered("assets", deny, owner=("AK",))
    assert (full["Effect"], full["Action"]) == ("Allow", ["s3:*"])
    assert (denied["Effect"], denied["Action"], denied["Principal"]) == ("Deny", ["s3:DeleteObject"], ["AK"])


def test_without_a_rule_nobody_is_named() -> None:
    assert policy.bucket_policy("assets", (), {"1001": (["AK"], ())}) is None
    assert policy.bucket_policy("assets", (), {"1001": ([], statements(allow("s3:*", "*")))}) is None


def test_nobody_may_touch_the_bucket_policies_themselves() -> None:
    text = policy.bucket_policy("assets", ("OWN",), {"1001": (["AK"], statements(allow("s3:*", "*")))})
    last = read(text)[-1]
    assert (last["Effect"], last["Action"], last["Principal"]) == ("Deny", list(policy.POLICY_ACTIONS), ["*"])


@pytest.mark.parametrize("name", ["Condition", "NotAction", "NotResource", "Principal"])
def test_elements_that_would_silently_do_nothing_are_refused(name: str) -> None:
    with pytest.raises(policy.UnsupportedPolicyError, match=name):
        statements({**allow("s3:*", "*"), name: {}})


def test_denied_bucket_creation_is_seen() -> None:
    assert policy.may_create_buckets(statements(allow("s3:*", "*")))
    assert not policy.may_create_buckets(statements({"Effect": "Deny", "Action": "s3:Create*", "Resource": "*"}))
