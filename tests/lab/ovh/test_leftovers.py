"""Buckets, users and a site's own record that an interrupted run left: cleared when nothing hangs on them."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.clients.ovh import OvhApi
from scripts.leftovers import ovh
from scripts.leftovers.clear import Leftovers
from tests.lab.ovh.fakes import CONFIG, Api, FakeStorage

BUCKET = {"serviceName": CONFIG.service_name, "regionName": "GRA", "name": "shop-a-assets"}
BASE = f"/cloud/project/{CONFIG.service_name}"


class Signed(OvhApi):
    """`scripts.clients.ovh.OvhApi` without sockets."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.api(method, path, body)
        assert status < 300, (method, path, status, answer)
        return answer


@pytest.fixture
def signed(api: Api) -> Signed:
    return Signed(api)


def test_an_empty_bucket_goes_and_one_with_an_old_version_stays(signed: Signed, storage: FakeStorage) -> None:
    assert ovh.buckets(signed, BUCKET) == []
    signed.ask("POST", f"{BASE}/region/GRA/storage", {"name": "shop-a-assets", "versioning": {"status": "enabled"}})
    storage.add("gra", "shop-a-assets", "logo.svg", "1", latest=False)
    assert [item.held_by for item in ovh.buckets(signed, BUCKET)] == ["it is not empty"]
    storage.buckets["gra", "shop-a-assets"]["objects"].clear()
    (found,) = ovh.buckets(signed, BUCKET)
    assert found.held_by is None
    found.remove()
    assert ovh.buckets(signed, BUCKET) == []


def test_a_user_goes_until_it_has_a_key(signed: Signed) -> None:
    inputs = {"serviceName": CONFIG.service_name, "description": "shop-a buckets"}
    user = signed.ask("POST", f"{BASE}/user", {"description": "shop-a buckets", "roles": ["objectstore_operator"]})
    signed.ask("POST", f"{BASE}/user", {"description": "somebody else", "roles": ["objectstore_operator"]})
    key = signed.ask("POST", f"{BASE}/user/{user['id']}/s3Credentials")
    assert [item.held_by for item in ovh.users(signed, inputs)] == ["it has keys"]
    signed.ask("DELETE", f"{BASE}/user/{user['id']}/s3Credentials/{key['access']}")
    (found,) = ovh.users(signed, inputs)
    assert found.held_by is None
    found.remove()
    assert "somebody else" in [item["description"] for item in signed.ask("GET", f"{BASE}/user")]


def test_a_key_that_no_run_recorded_is_told_with_the_way_to_remove_it_and_is_not_taken_from_a_run_that_replaces_it(
    signed: Signed,
) -> None:
    user = signed.ask("POST", f"{BASE}/user", {"description": "shop-a buckets", "roles": ["objectstore_operator"]})
    other = signed.ask("POST", f"{BASE}/user", {"description": "shop-a copier", "roles": ["objectstore_operator"]})
    signed.ask("POST", f"{BASE}/user/{other['id']}/s3Credentials")
    inputs = {"serviceName": CONFIG.service_name, "userId": str(user["id"])}
    assert ovh.credentials(signed, inputs) == []
    access = signed.ask("POST", f"{BASE}/user/{user['id']}/s3Credentials")["access"]
    (found,) = ovh.credentials(signed, inputs)
    assert found.label == f"{access} of user {user['id']}"
    assert found.held_by is not None and "replace" in found.held_by
    assert f"DELETE {BASE}/user/{user['id']}/s3Credentials/{access}" in found.remedy
    assert "ovh:CloudProject/s3Credential:S3Credential" in Leftovers.created


def test_the_sites_own_record_goes_and_others_stay(signed: Signed) -> None:
    zone = CONFIG.zones[0]
    for name in ("a.www", "www"):
        signed.ask(
            "POST",
            f"/domain/zone/{zone}/record",
            {"fieldType": "A", "subDomain": name, "target": "203.0.113.7", "ttl": 60},
        )
    inputs = {"zone": zone, "fieldtype": "A", "subdomain": "a.www"}
    for item in ovh.records(signed, inputs):
        item.remove()
    assert ovh.records(signed, inputs) == []
    assert len(ovh.records(signed, {**inputs, "subdomain": "www"})) == 1
