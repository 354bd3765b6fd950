"""Object storage for real: versitygw on loopback. `DRLAB_VERSITYGW` names the program, else the toolchain's is used."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from lab.cloud.ovh import service
from lab.pairs import loopback
from lab.s3 import times
from lab.s3.gateway import Storage, StorageError, connect
from tests.lab.ovh.fakes import CONFIG, Api, FakeDns

pytestmark = pytest.mark.lab
PROJECT = "/cloud/project/project0123"


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with loopback.storage(tmp_path_factory.mktemp("run"), ("gra", "sbg", "de"), tls=("gra",)) as running:
        yield running


@pytest.fixture
def account(gateways: Storage) -> Iterator[dict[str, Any]]:
    """A user with one key, a bucket of the project's in GRA, and an S3 client of that user for each region; nothing is left afterwards."""
    user, access, secret = "1001", "AK1001", "a-long-enough-secret"
    gateways.create_bucket("gra", "assets-a", versioning=True)
    gateways.create_credential(user, access, secret)
    yield {region: connect(gateways.endpoint(region), region, access, secret) for region in ("gra", "sbg", "de")} | {
        "user": user
    }
    for region in ("gra", "sbg", "de"):
        gateways.restore(region)
        for name in gateways.list_buckets(region):
            gateways.delete_objects(
                region,
                name,
                [(item.key, item.version_id) for item in gateways.list_objects(region, name, versions=True)],
            )
            gateways.delete_bucket(region, name)
    gateways.forget_user(user)


def test_tls_serves_the_same_objects_and_dies_with_its_region(
    gateways: Storage, account: dict[str, Any], tmp_path: Path
) -> None:
    gateways.client("gra").put_object(Bucket="assets-a", Key="one", Body=b"1")
    trusted = tmp_path / "ca.pem"
    trusted.write_text(gateways.ca)
    address = gateways.tls["gra"]

    def served() -> bytes:
        with (
            socket.create_connection(address, timeout=5) as plain,
            ssl.create_default_context(cafile=str(trusted)).wrap_socket(plain, server_hostname=address[0]) as wire,
        ):
            wire.sendall(b"GET /assets-a/one HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return wire.recv(4096)

    assert served().startswith(b"HTTP/1.1 403"), "signatures are asked for there, too"
    gateways.cut("gra")
    with pytest.raises(OSError):
        served()
    gateways.restore("gra")
    client = boto3.client(
        "s3", endpoint_url=f"https://{address[0]}:{address[1]}", region_name="gra", aws_access_key_id=gateways.root_access_key,
        aws_secret_access_key=gateways.root_secret_key, verify=str(trusted), config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip
    assert client.get_object(Bucket="assets-a", Key="one")["Body"].read() == b"1"


def policy(*statements: tuple[str, str | list[str], str | list[str]]) -> str:
    return json.dumps(
        {
            "Statement": [
                {"Effect": effect, "Action": action, "Resource": resource} for effect, action, resource in statements
            ]
        }
    )


def refused(function: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        function(**arguments)
    return str(caught.value.response["Error"]["Code"])


OBJECTS = "arn:aws:s3:::assets-a/*"


def test_without_a_policy_a_user_gets_into_no_bucket_of_the_project(account: dict[str, Any]) -> None:
    assert refused(account["gra"].put_object, Bucket="assets-a", Key="k", Body=b"x") == "AccessDenied"


def test_a_policy_allows_what_it_names_and_nothing_else(gateways: Storage, account: dict[str, Any]) -> None:
    gateways.set_policy(account["user"], policy(("Allow", ["s3:GetObject", "s3:PutObject"], OBJECTS)))
    s3 = account["gra"]
    s3.put_object(Bucket="assets-a", Key="k", Body=b"x")
    assert s3.get_object(Bucket="assets-a", Key="k")["Body"].read() == b"x"
    assert refused(s3.delete_object, Bucket="assets-a", Key="k") == "AccessDenied"
    assert refused(s3.list_objects_v2, Bucket="assets-a") == "AccessDenied"


def test_a_deny_wins_over_an_allow(gateways: Storage, account: dict[str, Any]) -> None:
    gateways.set_policy(
        account["user"], policy(("Allow", "s3:*", "*"), ("Deny", "s3:PutObject", "arn:aws:s3:::assets-?/epochs/*"))
    )
    account["gra"].put_object(Bucket="assets-a", Key="k", Body=b"x")
    assert refused(account["gra"].put_object, Bucket="assets-a", Key="epochs/1", Body=b"x") == "AccessDenied"


def test_a_new_policy_replaces_the_old_one(gateways: Storage, account: dict[str, Any]) -> None:
    gateways.set_policy(account["user"], policy(("Allow", "s3:PutObject", OBJECTS)))
    account["gra"].put_object(Bucket="assets-a", Key="k", Body=b"x")
    gateways.set_policy(account["user"], policy())
    assert refused(account["gra"].put_object, Bucket="assets-a", Key="k", Body=b"x") == "AccessDenied"


def test_an_owner_has_full_control_until_something_is_denied(gateways: Storage, account: dict[str, Any]) -> None:
    gateways.create_bucket("gra", "owned", owner=account["user"])
    account["gra"].put_object(Bucket="owned", Key="k", Body=b"x")
    gateways.set_policy(account["user"], policy(("Allow", "s3:GetObject", "arn:aws:s3:::owned/*")))
    account["gra"].delete_object(Bucket="owned", Key="k")
    gateways.set_policy(account["user"], policy(("Deny", "s3:PutObject", "arn:aws:s3:::owned/*")))
    assert refused(account["gra"].put_object, Bucket="owned", Key="k", Body=b"x") == "AccessDenied"


def test_a_policy_covers_buckets_made_later_and_every_region(gateways: Storage, account: dict[str, Any]) -> None:
    gateways.set_policy(account["user"], policy(("Allow", "s3:*", ["arn:aws:s3:::late", "arn:aws:s3:::late/*"])))
    gateways.create_bucket("sbg", "late")
    account["sbg"].put_object(Bucket="late", Key="k", Body=b"x")
    assert [item.key for item in gateways.list_objects("sbg", "late")] == ["k"]


def test_a_user_cannot_write_bucket_policies(gateways: Storage, account: dict[str, Any]) -> None:
    gateways.set_policy(account["user"], policy(("Allow", "s3:*", "*")))
    assert refused(account["gra"].delete_bucket_policy, Bucket="assets-a") == "AccessDenied"


def test_the_conditional_write_of_the_witness_is_honoured(gateways: Storage, account: dict[str, Any]) -> None:
    gateways.set_policy(account["user"], policy(("Allow", "s3:*", "*")))
    account["gra"].put_object(Bucket="assets-a", Key="epochs/1", Body=b"a", IfNoneMatch="*")
    assert (
        refused(account["gra"].put_object, Bucket="assets-a", Key="epochs/1", Body=b"b", IfNoneMatch="*")
        == "PreconditionFailed"
    )
    assert account["gra"].get_object(Bucket="assets-a", Key="epochs/1")["Body"].read() == b"a"


def test_old_versions_and_delete_markers_are_kept_and_listed(gateways: Storage, account: dict[str, Any]) -> None:
    root = gateways.client("gra")
    for body in (b"1", b"22"):
        root.put_object(Bucket="assets-a", Key="k", Body=body)
    root.delete_object(Bucket="assets-a", Key="k")
    found = gateways.list_objects("gra", "assets-a", versions=True)
    assert sorted((item.size, item.is_latest, item.is_delete_marker) for item in found) == [
        (0, True, True),
        (1, False, False),
        (2, False, False),
    ]
    assert gateways.list_objects("gra", "assets-a") == []
    with pytest.raises(StorageError) as caught:
        gateways.delete_bucket("gra", "assets-a")
    assert caught.value.reason == "not empty"


def test_a_cut_region_refuses_connections_and_comes_back_with_data_and_todays_policy(
    gateways: Storage, account: dict[str, Any]
) -> None:
    gateways.set_policy(account["user"], policy(("Allow", "s3:*", "*")))
    account["gra"].put_object(Bucket="assets-a", Key="k", Body=b"x")
    gateways.cut("gra")
    with pytest.raises(EndpointConnectionError):
        account["gra"].get_object(Bucket="assets-a", Key="k")
    with pytest.raises(StorageError) as caught:
        gateways.list_buckets("gra")
    assert caught.value.reason == "down"
    gateways.set_policy(account["user"], policy(("Allow", "s3:GetObject", "*")))
    account["sbg"].list_buckets()
    gateways.restore("gra")
    assert account["gra"].get_object(Bucket="assets-a", Key="k")["Body"].read() == b"x"
    assert refused(account["gra"].put_object, Bucket="assets-a", Key="k", Body=b"y") == "AccessDenied"


def test_a_deleted_key_is_dead_at_once_everywhere(gateways: Storage, account: dict[str, Any]) -> None:
    account["sbg"].list_buckets()
    gateways.delete_credential("AK1001")
    assert {refused(account[region].list_buckets) for region in ("gra", "sbg", "de")} == {"InvalidAccessKeyId"}


def test_keys_of_one_user_open_the_same_and_the_second_stays_when_the_first_has_gone(
    gateways: Storage, account: dict[str, Any]
) -> None:
    gateways.set_policy(account["user"], policy(("Allow", ["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::assets-a/*")))
    gateways.create_credential(account["user"], "AK1002", "another-long-secret")
    second = connect(gateways.endpoint("gra"), "gra", "AK1002", "another-long-secret")
    account["gra"].put_object(Bucket="assets-a", Key="k", Body=b"x")
    assert second.get_object(Bucket="assets-a", Key="k")["Body"].read() == b"x"
    account["sbg"].create_bucket(Bucket="its-own")
    gateways.delete_credential("AK1001")
    assert second.get_object(Bucket="assets-a", Key="k")["Body"].read() == b"x"
    assert refused(account["gra"].get_object, Bucket="assets-a", Key="k") == "InvalidAccessKeyId"
    assert refused(second.list_objects_v2, Bucket="assets-a") == "AccessDenied", "it may what the first one might"
    owner = connect(gateways.endpoint("sbg"), "sbg", "AK1002", "another-long-secret")
    owner.put_object(Bucket="its-own", Key="k", Body=b"x")


def test_nobody_signs_as_the_account_that_policies_name(gateways: Storage, account: dict[str, Any]) -> None:
    stranger = connect(gateways.endpoint("gra"), "gra", f"u{account['user']}", "a-long-enough-secret")
    assert refused(stranger.list_buckets) == "SignatureDoesNotMatch"


def test_secrets_are_in_no_command_line(gateways: Storage, account: dict[str, Any]) -> None:
    for child in gateways._children.values():
        argv = " ".join(child.argv)
        assert gateways.root_secret_key not in argv
    assert (gateways._home / "iam" / "users.json").stat().st_mode & 0o077 == 0


def test_the_api_and_the_gateways_together(gateways: Storage, account: dict[str, Any]) -> None:
    api = Api(service(CONFIG, gateways, FakeDns()))
    user = api("POST", f"{PROJECT}/user", {"roles": ["objectstore_operator"]})[1]["id"]
    keys = api("POST", f"{PROJECT}/user/{user}/s3Credentials")[1]
    assert (
        api("POST", f"{PROJECT}/region/SBG/storage", {"name": "assets-b", "versioning": {"status": "enabled"}})[0]
        == 200
    )
    text = policy(("Allow", "s3:*", ["arn:aws:s3:::assets-b", "arn:aws:s3:::assets-b/*"]))
    assert api("POST", f"{PROJECT}/user/{user}/policy", {"policy": text})[0] == 200
    s3 = connect(gateways.endpoint("sbg"), "sbg", keys["access"], keys["secret"])
    s3.put_object(Bucket="assets-b", Key="a/b", Body=b"x")
    place = f"{PROJECT}/region/SBG/storage/assets-b"
    assert api("GET", place)[1]["objectsCount"] == 1
    assert api("DELETE", place)[0] == 409
    found = [
        {"key": item["key"], "versionId": item["versionId"]}
        for item in api("GET", f"{place}/object?withVersions=true")[1]
    ]
    assert api("POST", f"{place}/bulkDeleteObjects", {"objects": found})[0] == 200
    assert api("DELETE", place)[0] == 200
    assert api("DELETE", f"{PROJECT}/user/{user}")[0] == 200
    assert refused(s3.list_buckets) == "InvalidAccessKeyId"


def test_a_locked_version_outlives_every_key(tmp_path: Path) -> None:
    """As on the platform: markers and new versions come on top, and what was stored stays, also for the project's own key."""
    locked = {"status": "enabled", "rule": {"mode": "compliance", "period": "P1D"}}
    with loopback.storage(tmp_path, ("gra",)) as storage:
        api = Api(service(CONFIG, storage, FakeDns()))
        assert api("POST", f"{PROJECT}/region/GRA/storage", {"name": "wal-a", "objectLock": locked})[0] == 200
        s3 = storage.client("gra")
        stored = s3.put_object(Bucket="wal-a", Key="k", Body=b"good")["VersionId"]
        s3.put_object(Bucket="wal-a", Key="k", Body=b"bad")
        s3.delete_object(Bucket="wal-a", Key="k")
        assert refused(s3.delete_object, Bucket="wal-a", Key="k", VersionId=stored) == "AccessDenied"
        off = {"Status": "Suspended"}
        assert refused(s3.put_bucket_versioning, Bucket="wal-a", VersioningConfiguration=off) == "InvalidBucketState"
        assert s3.get_object(Bucket="wal-a", Key="k", VersionId=stored)["Body"].read() == b"good"


def test_a_version_tells_when_it_was_written(tmp_path: Path) -> None:
    """Not when another one came on top of it, which is what the gateway says by itself."""
    with loopback.storage(tmp_path, ("gra",)) as storage:
        storage.create_bucket("gra", "wal-a", versioning=True)
        s3 = storage.client("gra")
        made = [s3.put_object(Bucket="wal-a", Key="a/k", Body=body) for body in (b"1", b"2")]
        made.append(s3.delete_object(Bucket="wal-a", Key="a/k"))
        for path in (tmp_path / "s3/gra").rglob("*"):
            os.utime(path, (1, 1))
        assert times.put_right(tmp_path / "s3/gra") == 3
        found = s3.list_object_versions(Bucket="wal-a")
        told = {it["VersionId"]: it["LastModified"].timestamp() for it in found["Versions"] + found["DeleteMarkers"]}
        assert len(told) == 3
        for it in made:
            # A version's is told in whole seconds.
            assert int(told[it["VersionId"]]) == int(times.written(it["VersionId"]))
