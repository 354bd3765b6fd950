"""The platform's replication rules by the epoch, against the lab's own API: both buckets, either site's run, regions that do not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract import fields
from contract.epoch import Epoch
from contract.errors import Failed, Refused
from contract.links.replication import Document
from lab.cloud.ovh import service
from scripts.clients.ovh import Answered
from scripts.clients.witness_bucket import WitnessDown
from scripts.links import replication
from tests.lab.ovh.fakes import CONFIG, Api, FakeDns, FakeStorage

SERVICE = CONFIG.service_name
REGIONS = {"a": "GRA", "b": "SBG"}
BUCKETS = {site: {"region": region, "bucket": f"shop-{site}-assets"} for site, region in REGIONS.items()}


class Platform:
    """The lab's API behind the client that the link uses. `asked` holds every change, `refuse` says which call fails and how."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.storage = FakeStorage()
        self.api = Api(service(CONFIG, self.storage, FakeDns()))
        self.asked: list[tuple[str, str]] = []
        self.refuse: Callable[[str, str], bool] = lambda method, path: False
        self.epoch: int | None = 3
        monkeypatch.setattr(replication, "OvhApi", lambda document, attempts: self)
        monkeypatch.setattr(replication, "Witness", lambda document: self)

    def newest(self) -> Epoch:
        """The witness's word."""
        if self.epoch is None:
            raise WitnessDown("witness w: no answer")
        return Epoch(epoch=self.epoch, active="b", previous="a", planned=True)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        if method != "GET":
            self.asked.append((method, path.partition("/storage/")[2]))
        if self.refuse(method, path):
            raise Failed("OVHcloud API x: no usable answer within 10 s")
        status, answer = self.api(method, path, body)
        if status >= 400:
            raise Answered(f"OVHcloud API x: answered {status} {answer['message']}", status)
        return answer

    def make(self, *sites: str) -> None:
        for site in sites:
            body = {
                "name": BUCKETS[site]["bucket"],
                "versioning": {"status": "enabled"},
                "encryption": {"sseAlgorithm": "AES256"},
            }
            assert self.api("POST", f"/cloud/project/{SERVICE}/region/{REGIONS[site]}/storage", body)[0] == 200

    def bucket(self, site: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.api(
            "GET", f"/cloud/project/{SERVICE}/region/{REGIONS[site]}/storage/{BUCKETS[site]['bucket']}"
        )[1]
        return answer

    def states(self) -> dict[str, list[str]]:
        return {
            site: [rule["status"] for rule in (self.bucket(site)["replication"] or {}).get("rules", [])]
            for site in "ab"
        }


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    return Platform(monkeypatch)


def link(active: str, mode: str = "native") -> dict[str, Any]:
    facts = {
        "schema": 1,
        "mode": mode,
        "epoch": {"epoch": 3, "active": active},
        "service_name": SERVICE,
        "buckets": BUCKETS,
    }
    keys = dict.fromkeys(("application_key", "application_secret", "consumer_key"), "k")
    witness = {"endpoint": "http://w", "region": "de", "bucket": "w", "access_key": "k", "secret_key": "s"}
    document = {**facts, "site": "a", "witness": witness, "ovh": {"endpoint": "ovh-eu", **keys}}
    return replication.run(fields.read(Document, document, "document of replication"))


def test_no_rule_is_put_before_both_buckets_are_there(platform: Platform) -> None:
    platform.make("a")
    assert link("a")["rules"] == {"a": "waits for the other bucket", "b": "no bucket"}
    assert platform.asked == []


def test_whichever_site_runs_last_puts_both_rules_and_one_is_enabled(platform: Platform) -> None:
    platform.make("a", "b")
    assert link("a") == {
        "schema": 1,
        "mode": "native",
        "active": "a",
        "backfill": "begun",
        "rules": {"a": "enabled", "b": "disabled"},
    }
    assert platform.states() == {"a": ["enabled"], "b": ["disabled"]}
    (rule,) = platform.bucket("a")["replication"]["rules"]
    assert rule["destination"]["name"] == "shop-b-assets" and rule["destination"]["region"] == "SBG"
    assert (rule["priority"], rule["filter"]["prefix"], rule["deleteMarkerReplication"]) == (1, "", "disabled")


def test_a_second_run_asks_and_changes_nothing(platform: Platform) -> None:
    platform.make("a", "b")
    link("a")
    platform.asked.clear()
    assert link("a")["backfill"] is None
    assert platform.asked == []


def test_a_move_disables_the_old_direction_before_it_enables_the_new_one(platform: Platform) -> None:
    platform.make("a", "b")
    link("a", "both")
    platform.asked.clear()
    assert link("b", "both")["rules"] == {"a": "disabled", "b": "enabled"}
    assert platform.asked == [("PUT", "shop-a-assets"), ("PUT", "shop-b-assets")]
    assert platform.states() == {"a": ["disabled"], "b": ["enabled"]}


def test_a_dead_region_keeps_nothing_up_and_is_told(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    platform.make("a", "b")
    link("a")
    platform.refuse = lambda method, path: "/region/GRA/" in path
    assert link("b")["rules"] == {"a": "unknown", "b": "enabled"}
    assert "rule dr-a-to-b of bucket shop-a-assets disabled" in capsys.readouterr().err
    platform.refuse = lambda method, path: False
    assert link("b")["rules"] == {"a": "disabled", "b": "enabled"}


def test_a_dead_api_of_the_active_site_is_an_error(platform: Platform) -> None:
    platform.make("a", "b")
    platform.refuse = lambda method, path: "/region/SBG/" in path
    with pytest.raises(Failed, match="no usable answer"):
        link("b")


def test_older_objects_are_the_copiers_in_mode_both_and_a_refused_job_is_told(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.make("a", "b")
    assert link("a", "both")["backfill"] is None
    assert not [path for method, path in platform.asked if method == "POST"]
    platform.refuse = lambda method, path: method == "POST"
    assert link("b")["backfill"] == "refused"
    assert "older than the rule" in capsys.readouterr().err


def test_rules_and_settings_of_others_stay(platform: Platform) -> None:
    platform.make("a", "b")
    theirs = {
        **replication.rule(
            replication.Place("a", "GRA", "x"), replication.Place("b", "SBG", "shop-b-assets"), enabled=True
        ),
        "id": "theirs",
    }
    path = f"/cloud/project/{SERVICE}/region/GRA/storage/shop-a-assets"
    assert platform.api("PUT", path, {"replication": {"rules": [theirs]}})[0] == 200
    link("a")
    bucket = platform.bucket("a")
    assert [rule["id"] for rule in bucket["replication"]["rules"]] == ["theirs", "dr-a-to-b"]
    assert bucket["encryption"] == {"sseAlgorithm": "AES256"} and bucket["versioning"] == {"status": "enabled"}


def test_back_to_copy_disables_what_is_left_and_makes_nothing(platform: Platform) -> None:
    platform.make("a", "b")
    assert link("a", "copy")["rules"] == {"a": "none", "b": "none"} and platform.asked == []
    link("a")
    assert link("a", "copy")["rules"] == {"a": "disabled", "b": "disabled"}
    assert platform.states() == {"a": ["disabled"], "b": ["disabled"]}


def test_a_rule_that_somebody_changed_is_put_again(platform: Platform) -> None:
    platform.make("a", "b")
    link("a")
    (rule,) = platform.bucket("a")["replication"]["rules"]
    changed = {**rule, "deleteMarkerReplication": "enabled"}
    platform.api(
        "PUT", f"/cloud/project/{SERVICE}/region/GRA/storage/shop-a-assets", {"replication": {"rules": [changed]}}
    )
    link("a")
    assert platform.bucket("a")["replication"]["rules"][0]["deleteMarkerReplication"] == "disabled"


def test_a_run_of_a_past_epoch_puts_nothing(platform: Platform) -> None:
    platform.make("a", "b")
    platform.epoch = 4
    with pytest.raises(Refused, match="epoch 4 is in force, wanted this run's 3"):
        link("a")
    assert platform.asked == []


def test_without_the_witness_nobody_can_have_moved(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    platform.make("a", "b")
    platform.epoch = None
    assert link("a")["rules"] == {"a": "enabled", "b": "disabled"}
    assert "no answer" in capsys.readouterr().err


NO_BUCKETS: list[Any] = [
    None,
    [],
    "up",
    {"replication": [7]},
    {"replication": {"rules": {"a": 1}}},
    {"replication": {"rules": [7]}},
]


def answered(platform: Platform, monkeypatch: pytest.MonkeyPatch, region: str, answer: Any) -> None:
    """A region whose buckets are answered like that."""
    really = platform.ask
    monkeypatch.setattr(
        platform,
        "ask",
        lambda method, path, body=None: answer if f"/region/{region}/" in path else really(method, path, body),
    )


@pytest.mark.parametrize("answer", NO_BUCKETS)
def test_the_active_sites_answer_that_is_no_bucket_changes_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    platform.make("a", "b")
    answered(platform, monkeypatch, "SBG", answer)
    with pytest.raises(Failed, match="answered no bucket with its rules, so none was changed"):
        link("b")


@pytest.mark.parametrize("answer", NO_BUCKETS)
def test_the_other_sites_answer_that_is_no_bucket_keeps_nothing_up_and_is_told(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: Any
) -> None:
    platform.make("a", "b")
    answered(platform, monkeypatch, "GRA", answer)
    assert link("b")["rules"] == {"a": "unknown", "b": "enabled"}
    assert "answered no bucket with its rules" in capsys.readouterr().err
