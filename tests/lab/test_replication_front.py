"""The platform's replication in a running lab: what clients of a region's S3 address are told, also beside a fault of the same region."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contract import fields
from contract.access import Ovh
from contract.links.replication import Document
from contract.names import bucket_name
from lab.assembly import PROJECT_ID, PROJECT_NAME
from lab.namespace import Places
from lab.rehearsal.world import lab, running_lab, wait_for
from lab.s3.gateway import connect
from scripts.clients.ovh import OvhApi
from scripts.links import replication

pytestmark = pytest.mark.lab
KEYS = ("endpoint", "application_key", "application_secret", "consumer_key")
# As the program names them: the API lets its key look at no others.
NAMES = {
    site: (region, bucket_name(PROJECT_NAME, PROJECT_ID, site, "assets"))
    for site, region in (("a", "GRA"), ("b", "SBG"))
}


class Running:
    """Two buckets of a running lab, and clients that connect afresh, as a copier's run does."""

    def __init__(self, where: Places) -> None:
        self.facts: dict[str, Any] = json.loads(where.description.read_text())
        keys = {name: self.facts["ovh"][name] for name in KEYS}
        api, service = OvhApi(Ovh(**keys)), self.facts["ovh"]["service_name"]
        for region, name in NAMES.values():
            api.ask(
                "POST",
                f"/cloud/project/{service}/region/{region}/storage",
                {"name": name, "versioning": {"status": "enabled"}},
            )
        self.document = {
            "mode": "both", "epoch": {"epoch": 1, "active": "a"}, "service_name": service, "ovh": keys, "site": "a",
            "buckets": {site: {"region": region, "bucket": name} for site, (region, name) in NAMES.items()},
            "witness": {**self.facts["root_s3"], "endpoint": self.facts["s3"]["de"]["endpoint"], "region": "de", "bucket": NAMES["a"][1]},
        }  # fmt: skip

    def s3(self, site: str) -> Any:
        region, keys = NAMES[site][0].lower(), self.facts["root_s3"]
        return connect(self.facts["s3"][region]["endpoint"], region, keys["access_key"], keys["secret_key"])

    def status(self, site: str) -> str | None:
        found = self.s3(site).head_object(Bucket=NAMES[site][1], Key="k").get("ReplicationStatus")
        return str(found) if found else None


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRLAB_REPLICATION_LAG_S", "1")
        with running_lab() as where:
            yield Running(where)


def test_every_object_says_how_far_it_is(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    running.s3("a").put_object(Bucket=NAMES["a"][1], Key="k", Body=b"older")
    assert running.status("a") is None
    # The lab has no witness bucket yet: that is told, and no reason to put no rule.
    assert replication.run(fields.read(Document, running.document, "document"))["rules"] == {
        "a": "enabled",
        "b": "disabled",
    }
    assert "WARNING replication: witness" in capsys.readouterr().err
    running.s3("a").put_object(Bucket=NAMES["a"][1], Key="k", Body=b"1")
    wait_for("the object came over", lambda: running.status("a") == "COMPLETED", 30, 0.3)
    assert running.status("b") == "REPLICA"
    assert running.s3("b").get_object(Bucket=NAMES["b"][1], Key="k")["Body"].read() == b"1"


def test_a_region_that_lies_does_so_before_its_front(running: Running) -> None:
    lab("fault", "storage-lies", "kill", "gra", "503")
    try:
        with pytest.raises(ClientError, match=r"SlowDown|503"):
            running.s3("a").get_object(Bucket=NAMES["a"][1], Key="k")
    finally:
        lab("fault", "storage-lies", "return", "gra")
    assert running.status("a") == "COMPLETED"
