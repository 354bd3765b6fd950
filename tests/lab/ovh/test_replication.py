"""The platform's replication from end to end: the link, the lab's API and its replicator, two real gateways, and the copier's eyes on it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract import fields
from contract.links.replication import Document
from lab.cloud.ovh import service
from lab.cloud.ovh.containers import enabled_rules, end_job
from lab.pairs import loopback
from lab.s3.gateway import Storage, _answers
from lab.s3.liar import Liar
from lab.s3.replication import Replicator, front
from scripts.assets import cli
from scripts.clients.ovh import Answered
from scripts.links import replication
from tests.lab.ovh.fakes import CONFIG, Api, FakeDns

pytestmark = pytest.mark.lab
REGIONS = {"a": "GRA", "b": "SBG"}
LAG_S = 900.0


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with loopback.storage(tmp_path_factory.mktemp("run"), ("gra", "sbg")) as running:
        yield running


def next_second() -> None:
    """Listings tell whole seconds: what comes now is seen to be younger than what was there."""
    now, deadline = int(time.time()), time.monotonic() + 3
    while int(time.time()) == now:
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Pair:
    """Two sites' buckets, a replicator whose clock the test turns, and fronts that tell what it says."""

    def __init__(self, storage: Storage, name: str, folder: Path) -> None:
        self.storage, self.folder, self.ahead = storage, folder, 0.0
        self.ovh = service(CONFIG, storage, FakeDns())
        self.api = Api(self.ovh)
        self.names = {site: f"{name}-{site}" for site in "ab"}
        self.replicator = Replicator(
            storage,
            lambda: enabled_rules(self.ovh),
            LAG_S,
            ended=lambda place: end_job(self.ovh, place),
            clock=lambda: time.time() + self.ahead,
        )
        self.fronts = {site: self._front(region.lower()) for site, region in REGIONS.items()}
        for site, region in REGIONS.items():
            body = {"name": self.names[site], "versioning": {"status": "enabled"}}
            assert self.api("POST", f"/cloud/project/{CONFIG.service_name}/region/{region}/storage", body)[0] == 200

    def _front(self, region: str) -> Liar:
        def status(bucket: str, key: str, version: str) -> str | None:
            return self.replicator.status((region, bucket), key, version)

        made = front(self.storage.addresses[region], ("127.0.0.1", 0), status, None)
        made.start()
        return made

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.api(method, path, body)
        if status >= 400:
            raise Answered(f"{status} {answer['message']}", status)
        return answer

    def link(self, active: str, mode: str = "both") -> dict[str, Any]:
        buckets = {site: {"region": REGIONS[site], "bucket": name} for site, name in self.names.items()}
        keys = dict.fromkeys(("application_key", "application_secret", "consumer_key"), "k")
        document = {
            "site": "a",
            "mode": mode,
            "epoch": {"epoch": 1, "active": active},
            "service_name": CONFIG.service_name,
            "buckets": buckets,
            "witness": {"endpoint": "http://w", "region": "de", "bucket": "w", "access_key": "k", "secret_key": "s"},
            "ovh": {"endpoint": "ovh-eu", **keys},
        }
        return replication.run(fields.read(Document, document, "document of replication"))

    def newest(self) -> None:
        """The witness's word: nothing was ever claimed."""

    def s3(self, site: str) -> Any:
        return self.storage.client(REGIONS[site].lower())

    def put(self, site: str, key: str, body: bytes, **more: Any) -> None:
        self.s3(site).put_object(Bucket=self.names[site], Key=key, Body=body, **more)

    def bodies(self, site: str) -> dict[str, bytes]:
        found = self.s3(site).list_objects_v2(Bucket=self.names[site]).get("Contents", [])
        return {
            item["Key"]: self.s3(site).get_object(Bucket=self.names[site], Key=item["Key"])["Body"].read()
            for item in found
        }

    def pass_lag(self) -> int:
        self.ahead += LAG_S + 2
        return self.replicator.step()

    def copier(
        self, capsys: pytest.CaptureFixture[str], command: str, *arguments: str, source: str = "a", **options: Any
    ) -> dict[str, Any]:
        """`dr-assets <command>` of the other site, through the fronts."""
        ends = {
            side: {
                "endpoint": f"http://127.0.0.1:{self.fronts[site].port}", "region": REGIONS[site].lower(), "bucket": self.names[site],
                "access_key": self.storage.root_access_key, "secret_key": self.storage.root_secret_key,
            }
            for side, site in (("source", source), ("target", "b" if source == "a" else "a"))
        }  # fmt: skip
        document = {"schema": 1, **ends, "state_dir": str(self.folder / f"from-{source}"), "options": options}
        path = self.folder / "job.json"
        path.write_text(json.dumps(document))
        code = cli.main([command, *arguments, "--config", str(path)])
        out, err = capsys.readouterr()
        assert code == 0, err
        answer: dict[str, Any] = json.loads(out)
        return answer


@pytest.fixture
def pair(
    gateways: Storage, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pair]:
    made = Pair(gateways, f"r{abs(hash(request.node.name)) % 10**9}", tmp_path)
    monkeypatch.setattr(replication, "OvhApi", lambda document, attempts: made)
    monkeypatch.setattr(replication, "Witness", lambda document: made)
    yield made
    for one in made.fronts.values():
        one.stop()


def test_an_object_comes_over_after_the_lag_with_all_it_carries(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.link("a")
    pair.put(
        "a", "k", b"1", ContentType="image/png", CacheControl="max-age=5", Metadata={"owner": "shop"}, Tagging="t=1"
    )
    assert pair.replicator.step() == 0 and pair.bodies("b") == {}
    seen = pair.copier(capsys, "replication")
    assert seen["status"]["pending"] == 1 and seen["unreplicated"]["count"] == 1
    assert pair.pass_lag() == 1
    found = pair.s3("b").head_object(Bucket=pair.names["b"], Key="k")
    assert (found["ContentType"], found["CacheControl"], found["Metadata"]) == (
        "image/png",
        "max-age=5",
        {"owner": "shop"},
    )
    assert pair.s3("b").get_object_tagging(Bucket=pair.names["b"], Key="k")["TagSet"] == [{"Key": "t", "Value": "1"}]
    seen = pair.copier(capsys, "replication")
    assert seen["status"]["completed"] == 1 and seen["unreplicated"]["count"] == 0 and seen["lag_s"] == 0
    assert pair.copier(capsys, "replication", source="b")["status"]["replica"] == 1


def test_replicas_go_no_further_and_nothing_comes_twice(pair: Pair) -> None:
    pair.link("a")
    pair.put("a", "k", b"1")
    assert pair.pass_lag() == 1
    pair.link("b")
    pair.put("b", "new", b"2")
    assert [pair.pass_lag(), pair.pass_lag()] == [1, 0]
    assert pair.bodies("a") == pair.bodies("b") == {"k": b"1", "new": b"2"}
    assert len(pair.s3("a").list_object_versions(Bucket=pair.names["a"])["Versions"]) == 2


def test_after_a_move_nothing_goes_the_old_way(pair: Pair) -> None:
    pair.link("a")
    pair.put("a", "k", b"old")
    pair.link("b")
    pair.put("b", "k", b"new")
    pair.pass_lag()
    assert pair.bodies("a")["k"] == b"new" and pair.bodies("b")["k"] == b"new"


def test_the_copier_fills_the_gaps_of_the_platform(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("older", "kept"):
        pair.put("a", key, key.encode())
    next_second()
    pair.link("a")
    pair.put("a", "fresh", b"fresh")
    assert pair.pass_lag() == 1 and set(pair.bodies("b")) == {"fresh"}
    seen = pair.copier(capsys, "replication")
    assert (seen["status"]["completed"], seen["status"]["none"]) == (1, 2)
    result = pair.copier(capsys, "sync", grace_s=0)
    assert result["done"].get("copied") == 2, "the copier copies what the platform does not cover, and that alone"
    assert pair.bodies("b") == pair.bodies("a")
    pair.s3("a").delete_object(Bucket=pair.names["a"], Key="fresh")
    pair.s3("a").delete_object(Bucket=pair.names["a"], Key="older")
    assert pair.pass_lag() == 0 and set(pair.bodies("b")) == {"fresh", "kept", "older"}
    for _ in range(2):
        pair.copier(capsys, "sync", grace_s=0)
    assert set(pair.bodies("b")) == {"kept"}


def test_older_objects_come_by_a_job_of_mode_native(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.put("a", "older", b"1")
    next_second()
    assert pair.link("a", "native")["backfill"] == "begun"
    with pytest.raises(Answered, match="under way"):
        pair.ask("POST", f"/cloud/project/{CONFIG.service_name}/region/GRA/storage/{pair.names['a']}/job/replication")
    assert pair.pass_lag() == 1 and pair.bodies("b") == {"older": b"1"} and pair.ovh.jobs
    assert pair.replicator.step() == 0 and not pair.ovh.jobs
    assert pair.copier(capsys, "replication")["status"]["completed"] == 1


def test_what_a_dead_region_cannot_take_stays_pending_and_comes_later(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.link("a")
    pair.put("a", "k", b"1")
    pair.storage.cut("sbg")
    try:
        assert pair.pass_lag() == 0
        assert pair.copier(capsys, "replication")["status"]["pending"] == 1
    finally:
        pair.storage.restore("sbg")
    assert pair.replicator.step() == 1 and pair.bodies("b") == {"k": b"1"}


def test_a_replica_comes_over_a_newer_object_which_stays_as_a_version(pair: Pair) -> None:
    pair.link("a")
    pair.put("a", "k", b"old")
    pair.put("b", "k", b"new")
    pair.pass_lag()
    assert pair.bodies("b")["k"] == b"old"
    assert len(pair.s3("b").list_object_versions(Bucket=pair.names["b"], Prefix="k")["Versions"]) == 2


def test_delete_markers_come_where_a_rule_says_so(pair: Pair) -> None:
    pair.link("a")
    path = f"/cloud/project/{CONFIG.service_name}/region/GRA/storage/{pair.names['a']}"
    (rule,) = pair.ask("GET", path)["replication"]["rules"]
    pair.ask("PUT", path, {"replication": {"rules": [{**rule, "deleteMarkerReplication": "enabled"}]}})
    pair.put("a", "k", b"1")
    pair.pass_lag()
    pair.s3("a").delete_object(Bucket=pair.names["a"], Key="k")
    assert pair.pass_lag() == 1 and pair.bodies("b") == {}


def test_after_a_take_over_the_copier_brings_what_the_platform_still_owed_and_leaves_what_is_newer(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.link("a", "native")
    for key in ("same", "changed"):
        pair.put("a", key, b"1")
    pair.pass_lag()
    pair.put("a", "late", b"late")
    pair.link("b", "native")
    next_second()
    pair.put("b", "changed", b"2")
    result = pair.copier(capsys, "reconcile")
    assert pair.bodies("b") == {"same": b"1", "changed": b"2", "late": b"late"}
    assert [item["key"] for item in result["lists"]["restored"]] == ["late"]
    # Without a record of what the platform had copied, a change on one side cannot be told from a change on both.
    assert [item["key"] for item in result["lists"]["conflict"]] == ["changed"]


def test_a_front_before_a_dead_gateway_is_no_answer(pair: Pair) -> None:
    address = ("127.0.0.1", pair.fronts["a"].port)
    assert _answers(address)
    pair.storage.cut("gra")
    try:
        assert not _answers(address)
    finally:
        pair.storage.restore("gra")
    assert _answers(address)
