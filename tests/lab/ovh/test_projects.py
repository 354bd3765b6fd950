"""Users, S3 credentials, policies and containers, with object storage faked."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lab.s3.stored import Retention
from tests.lab.ovh.fakes import Api, FakeStorage

PROJECT = "/cloud/project/project0123"
RULE = {
    "id": "to-b",
    "status": "enabled",
    "priority": 1,
    "filter": {"prefix": ""},
    "deleteMarkerReplication": "disabled",
    "destination": {"name": "assets-b", "region": "SBG"},
}


def user(api: Api) -> str:
    return str(api("POST", f"{PROJECT}/user", {"description": "copier", "roles": ["objectstore_operator"]})[1]["id"])


def bucket(api: Api, region: str, name: str, **fields: Any) -> tuple[int, Any]:
    return api(
        "POST", f"{PROJECT}/region/{region}/storage", {"name": name, "versioning": {"status": "enabled"}} | fields
    )


def test_a_password_is_shown_once(api: Api) -> None:
    status, created = api("POST", f"{PROJECT}/user", {"roles": []})
    assert status == 200
    assert created["password"]
    assert "password" not in api("GET", f"{PROJECT}/user/{created['id']}")[1]
    assert api("POST", f"{PROJECT}/user/{created['id']}/regeneratePassword")[1]["password"] != created["password"]


def test_an_unknown_role_is_refused(api: Api) -> None:
    assert api("POST", f"{PROJECT}/user", {"roles": ["root"]})[0] == 400
    assert api.service.all()["users"] == []


@pytest.mark.parametrize(("region", "offered"), [("GRA11", "instance"), ("DE", "storage-s3-standard")])
def test_a_region_says_what_it_offers(api: Api, region: str, offered: str) -> None:
    status, told = api("GET", f"{PROJECT}/region/{region}")
    assert status == 200 and told["name"] == region and told["status"] == "UP"
    assert {"name": offered, "status": "UP"} in told["services"]


def test_a_region_that_the_project_has_not_is_not_there(api: Api) -> None:
    assert api("GET", f"{PROJECT}/region/BHS5")[0] == 404


def test_a_project_has_one_vrack_or_none(api: Api) -> None:
    assert api("GET", f"{PROJECT}/vrack")[1]["name"] == "pn-1000001"
    api.service.config = dataclasses.replace(api.service.config, vrack="")
    assert api("GET", f"{PROJECT}/vrack")[0] == 404


def test_roles_change_in_place(api: Api) -> None:
    number = user(api)
    wanted = next(role["id"] for role in api("GET", f"{PROJECT}/role")[1]["roles"] if role["name"] == "administrator")
    api("PUT", f"{PROJECT}/user/{number}/role", {"rolesIds": [wanted]})
    assert [role["name"] for role in api("GET", f"{PROJECT}/user/{number}")[1]["roles"]] == ["administrator"]


def test_deleting_a_user_takes_keys_and_policy_along(api: Api, storage: FakeStorage) -> None:
    number = user(api)
    api("POST", f"{PROJECT}/user/{number}/s3Credentials")
    api("POST", f"{PROJECT}/user/{number}/policy", {"policy": '{"Statement":[]}'})
    assert list(storage.keys.values()) == [number]
    assert api("DELETE", f"{PROJECT}/user/{number}") == (200, None)
    assert (storage.keys, storage.policies) == ({}, {})
    assert api.service.all()["credentials"] == []


def test_the_secret_comes_from_its_own_call_alone(api: Api) -> None:
    number = user(api)
    base = f"{PROJECT}/user/{number}/s3Credentials"
    created = api("POST", base)[1]
    assert api("POST", f"{base}/{created['access']}/secret")[1] == created
    assert "secret" not in api("GET", f"{base}/{created['access']}")[1]
    assert all("secret" not in entry for entry in api("GET", base)[1])


def test_the_secret_of_a_deleted_credential_is_a_404(api: Api) -> None:
    number = user(api)
    base = f"{PROJECT}/user/{number}/s3Credentials"
    access = api("POST", base)[1]["access"]
    assert api("DELETE", f"{base}/{access}") == (200, None)
    assert api("POST", f"{base}/{access}/secret")[0] == 404


def test_a_credential_of_another_user_is_not_there(api: Api) -> None:
    first, second = user(api), user(api)
    access = api("POST", f"{PROJECT}/user/{first}/s3Credentials")[1]["access"]
    assert api("POST", f"{PROJECT}/user/{second}/s3Credentials/{access}/secret")[0] == 404


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("no json", 400),
        ('{"Statement":[{"Effect":"Maybe","Action":"s3:*","Resource":"*"}]}', 400),
        ('{"Statement":[{"Effect":"Allow","Action":"s3:GetObjekt","Resource":"*"}]}', 400),
        ('{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{}}]}', 501),
    ],
)
def test_a_policy_that_cannot_take_effect_is_refused_and_the_old_one_stays(api: Api, text: str, status: int) -> None:
    number = user(api)
    good = '{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
    api("POST", f"{PROJECT}/user/{number}/policy", {"policy": good})
    assert api("POST", f"{PROJECT}/user/{number}/policy", {"policy": text})[0] == status
    assert api("GET", f"{PROJECT}/user/{number}/policy")[1] == {"policy": good}


def test_a_bucket_name_is_unique_over_regions(api: Api) -> None:
    assert bucket(api, "GRA", "assets-a")[0] == 200
    assert bucket(api, "SBG", "assets-a")[0] == 409


@pytest.mark.parametrize(
    ("region", "name", "fields", "status"),
    [
        ("GRA11", "assets-a", {}, 404),
        ("GRA", "ab", {}, 400),
        ("GRA", "Assets", {}, 400),
        ("GRA", "assets-a", {"versioning": {"status": "on"}}, 400),
        ("GRA", "assets-a", {"encryption": {"sseAlgorithm": "rot13"}}, 400),
        ("GRA", "assets-a", {"ownerId": 4711}, 404),
        ("GRA", "assets-a", {"objectLock": {"status": "enabled", "rule": {"mode": "forever", "period": "P14D"}}}, 400),
        ("GRA", "assets-a", {"objectLock": {"status": "enabled", "rule": {"mode": "compliance", "period": "14"}}}, 400),
        ("GRA", "assets-a", {"objectLock": {"status": "enabled", "rule": {"mode": "compliance"}}}, 400),
        ("GRA", "assets-a", {"objectLock": {"rule": {"mode": "compliance", "period": "P14D"}}}, 400),
    ],
)
def test_a_wrong_container_is_refused(api: Api, region: str, name: str, fields: dict[str, Any], status: int) -> None:
    assert bucket(api, region, name, **fields)[0] == status
    assert api.service.all()["containers"] == []


LOCKED = {"status": "enabled", "rule": {"mode": "compliance", "period": "P14D"}}


def test_a_lock_is_there_from_the_creation_on_or_never(api: Api, storage: FakeStorage) -> None:
    """Its rule may change; the platform shows whole weeks as weeks."""
    assert bucket(api, "GRA", "wal-a", objectLock=LOCKED)[1]["objectLock"]["rule"]["period"] == "P2W"
    assert storage.buckets["gra", "wal-a"]["retention"] == Retention("COMPLIANCE", 14)
    place = f"{PROJECT}/region/GRA/storage/wal-a"
    longer = {**LOCKED, "rule": {"mode": "compliance", "period": "P30D"}}
    assert api("PUT", place, {"objectLock": longer}) == (200, None)
    assert storage.buckets["gra", "wal-a"]["retention"] == Retention("COMPLIANCE", 30)
    assert api("PUT", place, {"objectLock": {"status": "disabled"}})[0] == 400
    bucket(api, "GRA", "plain-a")
    assert api("PUT", f"{PROJECT}/region/GRA/storage/plain-a", {"objectLock": LOCKED})[0] == 400
    assert storage.buckets["gra", "plain-a"]["retention"] is None


def test_a_container_of_a_dead_region_is_a_503(api: Api, storage: FakeStorage) -> None:
    bucket(api, "GRA", "assets-a")
    storage.down.add("gra")
    assert api("GET", f"{PROJECT}/region/GRA/storage/assets-a?")[0] == 503
    assert bucket(api, "SBG", "assets-b")[0] == 200


def test_replication_wants_a_versioned_destination_that_exists(api: Api) -> None:
    bucket(api, "GRA", "assets-a")
    place = f"{PROJECT}/region/GRA/storage/assets-a"
    assert api("PUT", place, {"replication": {"rules": [RULE]}})[0] == 400
    bucket(api, "SBG", "assets-b", versioning={"status": "disabled"})
    assert api("PUT", place, {"replication": {"rules": [RULE]}})[0] == 400
    api("PUT", f"{PROJECT}/region/SBG/storage/assets-b", {"versioning": {"status": "enabled"}})
    assert api("PUT", place, {"replication": {"rules": [RULE]}}) == (200, None)
    assert api("GET", f"{place}?")[1]["replication"] == {"rules": [RULE]}


def test_delete_markers_and_tags_exclude_each_other(api: Api) -> None:
    bucket(api, "GRA", "assets-a")
    bucket(api, "SBG", "assets-b")
    rule = {**RULE, "filter": {"prefix": "", "tags": {"a": "b"}}, "deleteMarkerReplication": "enabled"}
    status, answer = api("PUT", f"{PROJECT}/region/GRA/storage/assets-a", {"replication": {"rules": [rule]}})
    assert status == 400
    assert "tags" in answer["message"]


def test_versions_are_listed_and_a_bucket_goes_when_all_are_gone(api: Api, storage: FakeStorage) -> None:
    bucket(api, "GRA", "assets-a")
    storage.add("gra", "assets-a", "k", "v1", latest=False)
    storage.add("gra", "assets-a", "k", "v2")
    place = f"{PROJECT}/region/GRA/storage/assets-a"
    assert [item["key"] for item in api("GET", f"{place}/object")[1]] == ["k"]
    versions = api("GET", f"{place}/object?withVersions=true")[1]
    assert sorted(item["versionId"] for item in versions) == ["v1", "v2"]
    assert api("GET", place)[1]["objectsCount"] == 1
    assert api("DELETE", place)[0] == 409
    objects = [{"key": item["key"], "versionId": item["versionId"]} for item in versions]
    assert api("POST", f"{place}/bulkDeleteObjects", {"objects": objects}) == (200, None)
    assert api("DELETE", place) == (200, None)
    assert api("GET", place)[0] == 404
