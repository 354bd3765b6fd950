"""The `ovh` plugin against the lab's OVHcloud API: it asks what the published one was recorded to ask, and keeps the same state.

Runs against the published plugin where it is installed. The recordings lie beside the checkout, in `../shared/ovh-recordings`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.cloud.ovh import OvhService, service
from lab.cloud.web import Call, Reply, Server
from lab.toolchain.tools import Toolchain
from tests.lab.ovh.fakes import CONFIG, FakeDns, FakeStorage
from tests.lab.ovh.test_recordings import lines
from tests.providers.stacks import Run, Stack, secret

SCHEMAS = Path(__file__).resolve().parents[3] / "shared" / "plugin-schemas"
PLUGIN = Path(__file__).resolve().parents[2] / "lab" / "toolchain" / "providers" / "ovh"
PROGRAM = """
import json
from pathlib import Path

import pulumi
import pulumi_ovh as ovh

given = json.loads(Path("resources.json").read_text())
provider = ovh.Provider("ovh", **given["provider"])
opts = pulumi.ResourceOptions(provider=provider)
made = {}
for name, (kind, args) in given["resources"].items():
    module, _, cls = kind.rpartition(".")
    args = {key: made[value[1:]].id if isinstance(value, str) and value.startswith("@") else value for key, value in args.items()}
    made[name] = getattr(getattr(ovh, module), cls)(name, **args, opts=opts)
"""


def policy(sid: str) -> str:
    statement = {"Sid": sid, "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::assets-a/*"]}
    return json.dumps({"Statement": [statement]})


RULE = {
    "id": "to-b",
    "status": "enabled",
    "priority": 1,
    "filter": {"prefix": ""},
    "deleteMarkerReplication": "disabled",
    "destination": {"name": "assets-b", "region": "SBG"},
}
BUCKET = {
    "service_name": "project0123",
    "versioning": {"status": "enabled"},
    "encryption": {"sseAlgorithm": "AES256"},
    "hide_objects": True,
}
RECORDED: dict[str, Any] = {
    "user": [
        "cloudproject.User",
        {"service_name": "project0123", "description": "copier", "role_names": ["objectstore_operator"]},
    ],
    "key": ["cloudproject.S3Credential", {"service_name": "project0123", "user_id": "@user"}],
    "policy": ["cloudproject.S3Policy", {"service_name": "project0123", "user_id": "@user", "policy": policy("rw1")}],
    "b": ["cloudproject.Storage", {**BUCKET, "region_name": "SBG", "name": "assets-b"}],
    "a": ["cloudproject.Storage", {**BUCKET, "region_name": "GRA", "name": "assets-a"}],
    "www": [
        "domain.ZoneRecord",
        {"zone": "shop.example", "subdomain": "www", "fieldtype": "A", "target": "203.0.113.10", "ttl": 60},
    ],
}


class Trial:
    """A stack and the API that it talks to; every request is noted with its body."""

    def __init__(self, folder: Path, toolchain: Toolchain) -> None:
        self.storage, self.dns = FakeStorage(), FakeDns()
        self.api = service(CONFIG, self.storage, self.dns)
        self.asked: list[tuple[str, str, Any]] = []
        self._answer = self.api.handle
        self.api.handle = self._noted  # type: ignore[method-assign]
        self.server = Server(self.api, "127.0.0.1").start()
        self.resources: dict[str, Any] = {}
        self.provider: dict[str, Any] = {
            "endpoint": f"http://127.0.0.1:{self.server.port}/1.0",
            "application_key": CONFIG.application_key,
            "application_secret": CONFIG.application_secret,
            "consumer_key": CONFIG.consumer_key,
        }
        self.stack = Stack(folder, toolchain, PROGRAM)

    def _noted(self, call: Call) -> Reply:
        self.asked.append((call.method, call.target, call.body))
        return self._answer(call)

    def declare(self, resources: dict[str, Any]) -> None:
        self.resources = json.loads(json.dumps(resources))
        (self.stack.folder / "resources.json").write_text(
            json.dumps({"provider": self.provider, "resources": self.resources})
        )

    def change(self, name: str, /, **args: Any) -> None:
        self.resources[name][1].update(args)
        self.declare(self.resources)

    def up(self) -> Run:
        self.asked.clear()
        return self.stack.up()

    def refresh(self) -> Run:
        self.asked.clear()
        return self.stack.call("refresh", "--yes", "--skip-preview", check=True)

    def outputs(self, name: str) -> dict[str, Any]:
        return dict(self.stack.resources()[name]["outputs"])

    def identity(self, name: str) -> str:
        return str(self.stack.resources()[name]["id"])

    def record(self) -> dict[str, Any]:
        """The API's record `www`."""
        [found] = [row for row in self.api.zones["shop.example"].records() if row["subDomain"] == "www"]
        return dict(found)


@pytest.fixture
def trial(tmp_path: Path, toolchain: Toolchain) -> Iterator[Trial]:
    started = Trial(tmp_path / "stack", toolchain)
    try:
        yield started
    finally:
        started.server.stop()


def only(*names: str) -> dict[str, Any]:
    return {name: RECORDED[name] for name in names}


def normal(method: str, path: str, body: Any, names: dict[str, str]) -> str:
    """One request as text, with generated ids under names of their own, so that two runs can be compared."""
    for name, generated in names.items():
        path = path.replace(generated, f"<{name}>")
    return f"{method} {path} {json.dumps(body, sort_keys=True)}"


def recorded(flow: str) -> set[str]:
    names = {"user": "1001", "record": "1002", "access": "access1003"}
    return {normal(line["method"], line["path"], line["request"], names) for line in lines(flow)}


def asked(trial: Trial, resources: dict[str, Any]) -> set[str]:
    names = {
        "access": str(resources["key"]["id"]),
        "user": str(resources["user"]["id"]),
        "record": str(resources["www"]["id"]),
    }
    return {normal(*request, names) for request in trial.asked}


def test_every_flow_asks_what_the_published_plugin_was_recorded_to_ask(trial: Trial) -> None:
    before = trial.api.all()
    trial.declare(RECORDED)
    assert trial.up().changed() == {"created": 8}  # six, the provider and the stack
    resources = trial.stack.resources()
    assert asked(trial, resources) == recorded("create")

    assert trial.up().changed() == {}
    assert asked(trial, resources) == recorded("noop")

    assert trial.refresh().changed() == {}
    assert asked(trial, resources) == recorded("refresh")

    trial.change("policy", policy=policy("rw2"))
    trial.change("www", target="198.51.100.20")
    trial.change("a", replication={"rules": [RULE]})
    assert trial.up().changed() == {"updated": 3}
    assert asked(trial, resources) == recorded("update")
    assert trial.up().changed() == {}
    assert trial.refresh().changed() == {}

    trial.asked.clear()
    trial.stack.destroy()
    assert asked(trial, resources) == recorded("destroy")
    assert trial.api.all() == before


def test_the_state_holds_what_the_schema_promises_and_secrets_as_such(trial: Trial) -> None:
    trial.declare(RECORDED)
    trial.up()
    schema = json.loads((SCHEMAS / "ovh.json").read_text())["resources"]
    absent = {"limit", "marker", "prefix", "replication"}  # promised by the schema, null where nobody set them
    for name, row in trial.stack.resources().items():
        if name == "ovh":
            continue
        wanted = set(schema[row["type"]]["required"]) - absent
        assert wanted <= row["outputs"].keys(), f"{name}: {wanted - row['outputs'].keys()} not in the state"
        hidden = {key for key, value in schema[row["type"]]["properties"].items() if value.get("secret")}
        assert {key for key, value in row["outputs"].items() if secret(value)} == hidden, name
    assert trial.outputs("user")["openstackRc"]["OS_TENANT_ID"] == "project0123"
    assert trial.outputs("key")["internalUserId"] == trial.identity("user")


def test_a_record_changed_behind_our_back_is_seen_and_put_back(trial: Trial) -> None:
    trial.declare(only("www"))
    trial.up()
    trial.api.zones["shop.example"].put({**trial.record(), "target": "192.0.2.99"})
    assert trial.refresh().changed() == {"updated": 1}
    assert trial.up().changed() == {"updated": 1}
    assert trial.record()["target"] == "203.0.113.10"
    assert trial.dns.served("www") == ["203.0.113.10"]


def test_what_was_deleted_behind_our_back_is_made_again(trial: Trial) -> None:
    trial.declare(only("www", "a"))
    trial.up()
    trial.api.zones["shop.example"].delete(str(trial.record()["id"]))
    trial.storage.buckets.clear()
    assert trial.refresh().changed() == {"deleted": 2}
    assert trial.up().changed() == {"created": 2}
    assert list(trial.storage.buckets) == [("gra", "assets-a")]


def test_a_refused_zone_refresh_does_not_fail_the_run_and_is_not_served(trial: Trial) -> None:
    trial.declare(only("www"))
    trial.up()
    trial.api.knobs.refresh = "refused"
    trial.change("www", target="198.51.100.20")
    assert trial.up().changed() == {"updated": 1}
    assert trial.record()["target"] == "198.51.100.20"
    assert trial.dns.served("www") == ["203.0.113.10"]


def test_a_record_that_is_answered_with_id_zero_is_looked_up(trial: Trial) -> None:
    trial.api.knobs.zero_ids = 1
    trial.declare(only("www"))
    trial.up()
    assert trial.identity("www") == str(trial.record()["id"])
    assert trial.record()["id"] != 0


def test_a_record_of_the_same_name_is_not_adopted(trial: Trial) -> None:
    zone = trial.api.zones["shop.example"]
    zone.put({"id": 77, "zone": "shop.example", "subDomain": "www", "fieldType": "A", "target": "192.0.2.1", "ttl": 60})
    trial.declare(only("www"))
    trial.up()
    assert sorted(trial.dns.served("www")) == ["192.0.2.1", "203.0.113.10"]


def test_a_ttl_below_a_minute_is_refused_before_anything_is_asked(trial: Trial) -> None:
    trial.declare({"www": [RECORDED["www"][0], {**RECORDED["www"][1], "ttl": 30}]})
    output = trial.stack.fail().output
    assert "ttl" in output
    assert not [request for request in trial.asked if "/domain/" in request[1]]


def test_another_type_of_record_replaces_it(trial: Trial) -> None:
    trial.declare(only("www"))
    trial.up()
    trial.change("www", fieldtype="TXT", target="hello")
    assert trial.up().changed() == {"replaced": 1}
    assert trial.record()["fieldType"] == "TXT"


def test_another_name_replaces_a_container(trial: Trial) -> None:
    trial.declare(only("a"))
    trial.up()
    trial.change("a", name="assets-c")
    assert trial.up().changed() == {"replaced": 1}
    assert list(trial.storage.buckets) == [("gra", "assets-c")]


def test_a_destroyed_container_is_emptied_with_all_versions(trial: Trial) -> None:
    trial.declare(only("a"))
    trial.up()
    for number in range(3):
        trial.storage.add("gra", "assets-a", "k", f"v{number}", latest=number == 2)
    trial.asked.clear()
    trial.stack.destroy()
    assert trial.storage.buckets == {}
    [emptied] = [body for method, path, body in trial.asked if path.endswith("/bulkDeleteObjects")]
    assert sorted(entry["versionId"] for entry in emptied["objects"]) == ["v0", "v1", "v2"]


def test_objects_stay_out_of_the_state_when_they_are_hidden(trial: Trial) -> None:
    trial.declare(
        {
            "a": [RECORDED["a"][0], RECORDED["a"][1]],
            "b": [RECORDED["b"][0], {**RECORDED["b"][1], "hide_objects": False}],
        }
    )
    trial.up()
    for region, name in (("gra", "assets-a"), ("sbg", "assets-b")):
        trial.storage.add(region, name, "k", "v1")
    assert trial.outputs("a")["objects"] == []
    trial.refresh()
    assert "objects" not in trial.outputs("a"), "the published plugin leaves them out of what it read"
    assert [item["key"] for item in trial.outputs("b")["objects"]] == ["k"]


def test_an_unknown_role_is_refused(trial: Trial) -> None:
    trial.declare({"user": [RECORDED["user"][0], {"service_name": "project0123", "role_names": ["root"]}]})
    assert 'role "root" does not exist' in trial.stack.fail().output
    assert trial.api.all()["users"] == []


def test_a_missing_project_names_the_setting(trial: Trial) -> None:
    trial.declare({"user": [RECORDED["user"][0], {}]})
    output = trial.stack.fail().output
    assert "serviceName" in output or "service_name" in output


def test_a_429_fails_the_run_at_once(trial: Trial) -> None:
    trial.provider["ignore_init_error"] = True
    trial.declare(only("www"))
    trial.up()
    trial.api.knobs.too_many = 1000
    trial.change("www", target="198.51.100.20")
    assert "429" in trial.stack.fail().output
    assert trial.record()["target"] == "203.0.113.10"


def test_without_the_api_an_unchanged_stack_runs_only_with_ignore_init_error(trial: Trial) -> None:
    trial.declare(only("www"))
    trial.up()
    trial.api.knobs.failing = 1000
    assert trial.stack.fail().code != 0
    trial.provider["ignore_init_error"] = True
    trial.declare(trial.resources)
    trial.api.knobs.failing = 0
    trial.up()
    trial.api.knobs.failing = 1000
    assert trial.up().changed() == {}
    assert trial.asked == []


def test_wrong_keys_are_refused_with_the_apis_words_and_not_printed(trial: Trial) -> None:
    trial.api.config = replace(CONFIG, consumer_key="another")
    trial.declare(only("www"))
    output = trial.stack.fail().output
    assert "This credential does not exist" in output
    assert CONFIG.application_secret not in output


def test_the_cut_of_the_schema_is_the_published_one() -> None:
    """But for what the published cut leaves out (`description`, `tags`, headers) and the replacements that only its plan knows."""
    ours, published = json.loads((PLUGIN / "schema.json").read_text()), json.loads((SCHEMAS / "ovh.json").read_text())
    added = {"description", "tags", "httpHeaders"}
    for token, resource in ours["resources"].items():
        for part in ("inputProperties", "properties"):
            found = {name: rest(value) for name, value in resource[part].items() if name not in added}
            assert found == {name: rest(value) for name, value in published["resources"][token][part].items()}, (
                f"{token} {part}"
            )
        for part in ("required", "requiredInputs"):
            assert resource.get(part) == published["resources"][token].get(part), f"{token} {part}"
        replaced = {name for name, value in resource["inputProperties"].items() if value.get("willReplaceOnChanges")}
        known = {
            name
            for name, value in published["resources"][token]["inputProperties"].items()
            if value.get("willReplaceOnChanges")
        }
        assert replaced - known <= {"description", "name", "regionName", "serviceName"}, token
        assert known <= replaced, token


def rest(value: dict[str, Any]) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key != "willReplaceOnChanges"}


def test_a_user_gets_other_roles_in_place_and_a_new_password_when_asked(trial: Trial) -> None:
    trial.declare(only("user"))
    trial.up()
    identity = trial.identity("user")
    trial.change("user", role_names=["administrator"])
    assert trial.up().changed() == {"updated": 1}
    assert [role["name"] for role in trial.outputs("user")["roles"]] == ["administrator"]
    assert trial.identity("user") == identity
    trial.asked.clear()
    trial.change("user", password_reset="again")
    assert trial.up().changed() == {"updated": 1}
    assert [path for method, path, _ in trial.asked if path.endswith("/regeneratePassword")]


def test_the_api_serves_every_path_that_the_plugin_asks_for(trial: Trial) -> None:
    trial.declare(RECORDED)
    trial.up()
    trial.stack.destroy()
    api: OvhService = trial.api
    assert [entry for entry in api.requests if entry[2] == 501] == []
