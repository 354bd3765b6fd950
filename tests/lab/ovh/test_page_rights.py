"""The key of the page for customers at a real S3 server: it writes the page's two objects, and nothing else there or anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from components.render.policy import page_policy
from contract.monitoring.status_page import DOCUMENT, PAGE
from lab.cloud.ovh import service
from lab.pairs import loopback
from lab.s3.gateway import Storage, connect
from tests.lab.ovh.fakes import CONFIG, Api, FakeDns

pytestmark = pytest.mark.lab
BUCKET, WITNESS = "shop-status", "shop-wit"
OTHERS = ("index.htm", "index.html/x", "status.jsonx", "x/index.html", "epochs/00000001.json")


def made(storage: Storage, bucket: str, *, public: bool) -> dict[str, str]:
    """Key of a user that is made as docs/status-page.md says."""
    api, users = Api(service(CONFIG, storage, FakeDns())), f"/cloud/project/{CONFIG.service_name}/user"
    user = api("POST", users, {"description": f"{bucket} page", "roles": ["objectstore_operator"]})[1]
    api("POST", f"{users}/{user['id']}/policy", {"policy": page_policy(bucket, public=public)})
    pair = api("POST", f"{users}/{user['id']}/s3Credentials", None)[1]
    return {"access_key": pair["access"], "secret_key": pair["secret"]}


@pytest.fixture(scope="module", params=[True, False])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """A client with the page's key, and one that may all."""
    with loopback.storage(tmp_path_factory.mktemp("run"), ("de",)) as storage:
        for bucket in (BUCKET, WITNESS):
            storage.create_bucket("de", bucket, versioning=bucket == WITNESS)
        keys = made(storage, BUCKET, public=request.param)
        yield connect(storage.endpoint("de"), "de", *keys.values()), storage.client("de")


def refused(function: Any, **arguments: Any) -> bool:
    try:
        function(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"]) == "AccessDenied"
    return False


@pytest.mark.parametrize("key", [DOCUMENT, PAGE])
def test_it_reads_and_writes_the_page_and_its_document(bench: tuple[Any, Any], key: str) -> None:
    client, _ = bench
    with pytest.raises(ClientError, match="NoSuchKey"):
        client.get_object(Bucket=BUCKET, Key=key)
    etag = client.put_object(Bucket=BUCKET, Key=key, Body=b"1", IfNoneMatch="*")["ETag"].strip('"')
    client.put_object(Bucket=BUCKET, Key=key, Body=b"2", IfMatch=etag)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"3", IfMatch=etag)
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"2"


def test_it_may_nothing_else(bench: tuple[Any, Any]) -> None:
    client, root = bench
    for bucket, keys in ((BUCKET, OTHERS), (WITNESS, (*OTHERS, DOCUMENT, PAGE))):
        for key in keys:
            if not key.endswith("/x"):
                root.put_object(Bucket=bucket, Key=key, Body=b"kept")
                assert refused(client.get_object, Bucket=bucket, Key=key), (bucket, key)
            assert refused(client.put_object, Bucket=bucket, Key=key, Body=b"x"), (bucket, key)
            assert refused(client.delete_object, Bucket=bucket, Key=key), (bucket, key)
    for key in (DOCUMENT, PAGE):
        root.put_object(Bucket=BUCKET, Key=key, Body=b"kept")
        assert refused(client.delete_object, Bucket=BUCKET, Key=key)
    assert refused(client.list_objects_v2, Bucket=WITNESS)
    assert refused(client.put_bucket_versioning, Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    assert refused(client.delete_bucket, Bucket=BUCKET)
    assert client.list_buckets()["Buckets"] == []
