"""What the keys to the witness may: the table, the policies made of it, and that neither is wider than what the code asks for."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from components.render import policy
from contract import hosts, witness
from scripts.host import guard
from tests.unit.test_structure import ROOT

BUCKET = "shop-witness"
EVERY = (
    "epochs/00000001.json",
    "sites/a.json",
    "servers/a.json",
    "followed/a.json",
    "unsettled/a.json",
    "configurations/a.json",
    "audit/00000001.json",
    "reports/00000001.json",
    "certificates/a/shop.json",
    "certificates/b/shop.json",
    "clusters/7.json",
    "probe/x",
    *(f"heartbeats/{site}/{host}.json" for site in "ab" for host in ("db-1", "cache-1", "cache-3", "app-1")),
    *(f"logs/{site}/{host}-1/x.jsonl" for site in "ab" for host in ("control", "db", "cache", "app")),
    "evidence/x",
    "anything",
)
CERTIFICATES = ("certificates/a/shop.json", "certificates/b/shop.json")


def allowed(user: str, action: str, place: str) -> bool:
    """Whether a policy says yes, as the platform evaluates it: what is denied anywhere is denied, what nothing allows is too."""
    found: list[Any] = json.loads(policy.witness_policy(BUCKET, user))["Statement"]
    hits = {
        it["Effect"]
        for it in found
        if action in it["Action"]
        and any(it_is == "*" or fnmatchcase(f"arn:aws:s3:::{place}", it_is) for it_is in it["Resource"])
    }
    return hits == {"Allow"}


def may(user: str, action: str) -> set[str]:
    return {key for key in EVERY if allowed(user, action, f"{BUCKET}/{key}")}


@pytest.mark.parametrize("site", ["a", "b"])
def test_a_database_puts_its_own_heartbeat_and_the_record_of_its_cluster(site: str) -> None:
    user = f"db.{site}"
    assert may(user, "s3:PutObject") == {f"heartbeats/{site}/db-1.json", "clusters/7.json", f"logs/{site}/db-1/x.jsonl"}
    assert may(user, "s3:GetObject") == {"epochs/00000001.json", f"heartbeats/{site}/db-1.json"}


@pytest.mark.parametrize("site", ["a", "b"])
def test_a_cache_puts_the_heartbeats_of_its_sites_caches(site: str) -> None:
    user, own = f"cache.{site}", {f"heartbeats/{site}/cache-{number}.json" for number in (1, 3)}
    assert may(user, "s3:PutObject") == {*own, f"logs/{site}/cache-1/x.jsonl"}
    assert may(user, "s3:GetObject") == {"epochs/00000001.json", *own}


@pytest.mark.parametrize("site", ["a", "b"])
def test_an_app_host_reads_epochs_and_certificates_and_puts_who_has_signed_in(site: str) -> None:
    """Its workers begin and end with the former, and it shows the latter, of whichever site ordered it."""
    assert may(f"app.{site}", "s3:PutObject") == {f"logs/{site}/app-1/x.jsonl"}
    assert may(f"app.{site}", "s3:GetObject") == {"epochs/00000001.json", *CERTIFICATES}


@pytest.mark.parametrize("site", ["a", "b"])
def test_a_bastion_puts_who_has_signed_in_and_its_own_sites_certificate(site: str) -> None:
    """It orders in the active site alone, so it reads epochs; and not what the other has ordered already."""
    assert may(f"control.{site}", "s3:PutObject") == {
        f"logs/{site}/control-1/x.jsonl",
        f"certificates/{site}/shop.json",
    }
    assert may(f"control.{site}", "s3:GetObject") == {"epochs/00000001.json", *CERTIFICATES}


@pytest.mark.parametrize("user", witness.HOST_USERS)
def test_what_a_host_has_told_of_sign_ins_it_locks_and_reads_no_more(user: str) -> None:
    kind, _, site = user.partition(".")
    assert may(user, "s3:PutObjectRetention") == {f"logs/{site}/{kind}-1/x.jsonl"}
    assert not any(key.startswith("logs/") for key in may(user, "s3:GetObject") | may(user, "s3:DeleteObject"))


def test_the_operator_says_what_nobody_else_may_and_beats_for_no_host() -> None:
    put = may(witness.OPERATOR, "s3:PutObject")
    assert put == {
        key
        for key in EVERY
        if key.split("/")[0] not in ("heartbeats", "clusters", "logs", "certificates", "evidence", "anything")
    }
    for user in witness.HOST_USERS:
        assert not put & may(user, "s3:PutObject"), user
    assert may(witness.OPERATOR, "s3:GetObject") == set(EVERY)


@pytest.mark.parametrize("user", witness.USERS)
def test_nobody_removes_what_says_anything(user: str) -> None:
    assert may(user, "s3:DeleteObject") == ({"probe/x", "sites/a.json"} if user == witness.OPERATOR else set())
    if user == witness.OPERATOR:
        assert may(user, "s3:PutObjectRetention") == {
            "audit/00000001.json",
            "reports/00000001.json",
        }, "trail and records are locked by who writes them"
    for action in ("s3:DeleteObjectVersion", "s3:PutObjectAcl", "s3:BypassGovernanceRetention"):
        assert not may(user, action)
    for action in ("s3:DeleteBucket", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration", "s3:ListAllMyBuckets"):
        assert not allowed(user, action, BUCKET) and not allowed(user, action, "*")


@pytest.mark.parametrize("user", witness.USERS)
def test_everybody_may_list_this_bucket_and_no_other(user: str) -> None:
    """Without it S3 says of an epoch that is not there that it is forbidden, and no agent would know that there is no newer one."""
    assert allowed(user, "s3:ListBucket", BUCKET) and not allowed(user, "s3:ListBucket", "another")
    assert allowed(user, "s3:ListBucketVersions", BUCKET) == (user == witness.OPERATOR)


@pytest.mark.parametrize("user", witness.USERS)
def test_a_policy_is_no_pattern_of_buckets(user: str) -> None:
    """The name of the witness with something behind it is somebody else's."""
    assert not allowed(user, "s3:PutObject", f"{BUCKET}-2/epochs/00000001.json")


def test_the_kinds_that_hold_a_key_are_those_whose_start_is_guarded() -> None:
    """With a lease their agents ask as well; a worker is guarded and keeps none."""
    guarded = {"postgres": "db", "redis": "cache", "sentinel": "cache", "app": "app"}
    assert guarded.keys() == guard.VERBS.keys()
    assert set(witness.KINDS) == set(guarded.values())
    assert {name for name, kind in hosts.KINDS.items() if kind.leased} < set(witness.KINDS)


def test_every_prefix_that_the_code_names_is_in_the_table() -> None:
    """Who puts a new kind of object says in the table whose key may."""
    described = (ROOT / "scripts/clients/witness.py").read_text().partition('"""\n')[0]
    named = {word.split("/")[0] for word in described.replace("`", " ").split() if word.count("/") and ".json" in word}
    assert named | {"probe", "clusters", "certificates", "watch"} == {row.keys.split("/")[0] for row in witness.TABLE}
