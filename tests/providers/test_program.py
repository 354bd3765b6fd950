"""The whole program with the real CLI and the plugins of the toolchain, against the rehearsal cloud's APIs over a backend that takes notes.

No host exists, so commands are answered by a plugin that reaches none. What only the engine decides is seen here: that a second run
changes nothing, what is replaced and what never, what is protected, and that everything else goes away without a trace.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from contract.consumer_key import Account, rules
from contract.names import BUCKETS, bucket_name
from lab.cloud import openstack
from lab.cloud.backend import RecordingBackend
from lab.cloud.config import SERVICE_TYPES, CloudConfig, User, default_region
from lab.cloud.ovh import service as ovh_service
from lab.cloud.ovh.config import OvhConfig
from lab.cloud.web import Reply, Server
from lab.pairs.loopback import free_port
from lab.toolchain.tools import Toolchain
from scripts.ctl.moves import engine
from scripts.ctl.stacks.secrets import generate
from tests.components import stack
from tests.components.stack import PROTECTED
from tests.lab.ovh.fakes import FakeDns, FakeStorage

SITES = {"GRA11": "203.0.113", "SBG5": "198.51.100"}
# What `drctl rights ovh` prints of this installation: with no more than that it is built, changed and taken down.
ACCOUNT = Account(
    service_name=stack.SERVICE_NAME,
    zone="shop.example",
    buckets={
        region: tuple(bucket_name("shop", stack.SERVICE_NAME, site, kind) for kind in BUCKETS)
        for site, region in (("a", "GRA"), ("b", "SBG"))
    },
    protect=True,
)
RUN_S = 180


class Witness(ThreadingHTTPServer):
    """The witness bucket, read only: `epochs` are the objects below `epochs/`, by key."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Reads)
        self.epochs: dict[str, dict[str, Any]] = {}


class Reads(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Witness)
        epochs = self.server.epochs
        key = urlsplit(self.path).path.removeprefix("/shop-witness/")
        if "versions" in urlsplit(self.path).query:
            self._answer(200, "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>")
        elif "list-type=2" in self.path:
            entries = "".join(f"<Contents><Key>{name}</Key></Contents>" for name in epochs)
            self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>")
        elif key in epochs:
            self._answer(200, json.dumps(epochs[key]))
        else:
            self._answer(404, "<Error><Code>NoSuchKey</Code></Error>")

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Nothing: pytest's output is not the place."""


@dataclass
class Clouds:
    """OpenStack of both regions, the OVHcloud API and an empty witness on loopback."""

    backend: RecordingBackend = field(default_factory=RecordingBackend)
    servers: list[Server] = field(default_factory=list)

    def start(self) -> None:
        secrets = stack.secrets()
        self.auth_url = f"http://127.0.0.1:{(identity := free_port())}/v3"
        ports = {(kind, name): free_port() for name in SITES for kind in SERVICE_TYPES}
        regions = tuple(
            default_region(
                name,
                {kind: f"http://127.0.0.1:{ports[(kind, name)]}" for kind in SERVICE_TYPES},
                cidr=f"{prefix}.0/24",
                gateway=f"{prefix}.1",
                pool=(f"{prefix}.10", f"{prefix}.250"),
            )
            for name, prefix in SITES.items()
        )
        user = User(name="dr", password=secrets["openstack_password"], id="f" * 32)
        config = CloudConfig(
            auth_url=self.auth_url, project_id=stack.SERVICE_NAME, project_name="shop", users=(user,), regions=regions
        )
        self.regions = {region.name: region for region in regions}
        self.openstack = openstack.build(config, self.backend)
        for (kind, region), service in self.openstack.services.items():
            self.servers.append(
                Server(service, "127.0.0.1", identity if kind == "identity" else ports[(kind, region)]).start()
            )
        keys = OvhConfig(
            **secrets["ovh"], service_name=stack.SERVICE_NAME, auth_url=self.auth_url, granted=tuple(rules(ACCOUNT))
        )
        self.ovh = ovh_service(keys, FakeStorage(), FakeDns())
        self.servers.append(Server(self.ovh, "127.0.0.1").start())
        self.ovh_url = f"http://127.0.0.1:{self.servers[-1].port}/1.0"
        self.witness = Witness()
        threading.Thread(target=self.witness.serve_forever, daemon=True).start()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
        self.openstack.close()
        self.witness.shutdown()
        self.witness.server_close()

    def all(self) -> Any:
        return {"openstack": self.openstack.cloud.all(), "ovh": self.ovh.all()}

    def configuration(self) -> dict[str, Any]:
        values = stack.configuration("a")
        for region in values["regions"].values():
            facts = self.regions[region["compute_region"]]
            ids = {flavor.name: flavor.id for flavor in facts.flavors}
            region["ext_net_id"], region["image_id"] = facts.external.id, facts.images[0].id
            region["front_mtu"] = None
            region["flavors"] = {role: ids["d2-4" if role == "db" else "d2-2"] for role in region["flavors"]}
        values["openstack"]["auth_url"], values["ovh"]["endpoint"] = self.auth_url, self.ovh_url
        values["witness"]["endpoint"] = f"http://127.0.0.1:{self.witness.server_address[1]}"
        outside = {key: values["secrets"][key] for key in ("openstack_password", "ovh", "witness")}
        values["secrets"] = generate(
            {host: [f"{host}.dr.internal"] for host in stack.HOSTS}, "www.shop.example", outside
        )
        values["secrets"]["app"] = {"MAIL_PASSWORD": "secret-mail-password"}
        return values


class Program:
    """One stack of the program, in a folder of its own."""

    def __init__(self, folder: Path, toolchain: Toolchain, values: dict[str, Any]) -> None:
        self.values = values
        self.file = folder / "configuration.yaml"
        backend = folder / "state"
        backend.mkdir()
        self._environment = {
            **os.environ,
            **toolchain.environment(),
            "PULUMI_HOME": str(self._home(folder / "home", toolchain)),
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": "only for this test",
        }
        self._pulumi = str(toolchain.pulumi)
        # `stack init` writes a stack file beside the project file: not into the checkout.
        (folder / "Pulumi.yaml").write_text((stack.ROOT / "Pulumi.yaml").read_text())
        self.must("stack", "init", "region-a", folder=folder)
        secret = json.dumps(values.pop("secrets"))
        self.must(
            "config", "set", "--stack", "region-a", "--config-file", str(self.file), "--secret", "dr:secrets", secret
        )
        self.configure()

    def _home(self, home: Path, toolchain: Toolchain) -> Path:
        """The toolchain's PULUMI_HOME with another command plugin."""
        (home / "plugins").mkdir(parents=True)
        for plugin in (toolchain.home / "plugins").glob("resource-*/pulumi-resource-*"):
            if plugin.name != "pulumi-resource-command":
                (home / "plugins" / plugin.parent.name).mkdir()
                (home / "plugins" / plugin.parent.name / plugin.name).symlink_to(plugin.resolve())
        quiet = home / "plugins" / "resource-command-v1.2.1" / "pulumi-resource-command"
        quiet.parent.mkdir()
        quiet.write_text(f"#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name('quiet_command.py')}\n")
        quiet.chmod(0o755)
        return home

    def configure(self, **changes: Any) -> None:
        """Writes the stack file: the fixture's values with these instead; what was encrypted stays."""
        document = yaml.safe_load(self.file.read_text())
        encrypted = document["config"]["dr:secrets"]
        document["config"] = {
            **{f"dr:{key}": value for key, value in {**self.values, **changes}.items()},
            "dr:secrets": encrypted,
        }
        self.file.write_text(yaml.safe_dump(document))

    def regions(self, **changes: Any) -> dict[str, Any]:
        """`regions` with changed keys of site a."""
        regions: dict[str, Any] = json.loads(json.dumps(self.values["regions"]))
        regions["a"].update(changes)
        return regions

    def run(self, *arguments: str, folder: Path = stack.ROOT) -> subprocess.CompletedProcess[str]:
        command = [self._pulumi, *arguments, "--cwd", str(folder), "--non-interactive"]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=RUN_S, check=False
        )

    def must(self, *arguments: str, folder: Path = stack.ROOT) -> str:
        done = self.run(*arguments, folder=folder)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def up(self) -> subprocess.CompletedProcess[str]:
        return self.run("up", *self.on, "--yes", "--skip-preview")

    def preview(self) -> dict[str, str]:
        """What a run would do, by resource; unchanged ones are left out."""
        said = json.loads(self.must("preview", *self.on, "--json"))
        return {
            step["urn"].rsplit("::", 1)[1]: step["op"]
            for step in said["steps"]
            if step["op"] not in ("same", "delete-replaced")
        }

    def destroy(self) -> subprocess.CompletedProcess[str]:
        return self.run("destroy", *self.on, "--yes", "--skip-preview")

    def state(self) -> list[dict[str, Any]]:
        exported = json.loads(self.must("stack", "export", "--stack", "region-a"))
        return list(exported["deployment"]["resources"])

    @property
    def on(self) -> list[str]:
        return ["--stack", "region-a", "--config-file", str(self.file)]


@dataclass
class Story:
    """A program that stands, and how it came to stand: its load balancer ended in ERROR at first."""

    clouds: Clouds
    program: Program
    empty: Any
    crowded: subprocess.CompletedProcess[str]
    left: dict[str, Any]  # in the region after that
    first: subprocess.CompletedProcess[str]
    again: subprocess.CompletedProcess[str]
    raised: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def story(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    clouds = Clouds()
    clouds.start()
    try:
        program = Program(tmp_path_factory.mktemp("program"), toolchain, clouds.configuration())
        empty = clouds.all()
        quotas = clouds.openstack.cloud.region("GRA11").quotas
        plenty, quotas["security_group_rule"] = quotas["security_group_rule"], 20
        crowded, left = program.up(), clouds.all()["openstack"]["GRA11"]
        quotas["security_group_rule"] = plenty
        clouds.backend.fail_next["ensure_balancer"] = "no machine for it"
        first, again = program.up(), program.up()
        program.values["regions"] = program.regions(balancer_generation=2)
        program.configure()
        yield Story(clouds, program, empty, crowded, left, first, again, program.up())
    finally:
        clouds.stop()


def test_a_region_without_room_for_the_whole_site_is_not_begun(story: Story) -> None:
    said = story.crowded.stdout + story.crowded.stderr
    assert story.crowded.returncode != 0
    assert "quota of security group rules is 20" in said and "Traceback" not in said
    assert story.left == story.empty["openstack"]["GRA11"]


def test_a_balancer_in_error_is_passed_by_raising_its_generation(story: Story) -> None:
    assert story.first.returncode != 0 and "ERROR" in story.first.stdout
    assert story.again.returncode != 0 and "PortNotFound" in story.again.stdout, "the trap that the generation is for"
    assert story.raised.returncode == 0, story.raised.stdout[-2000:]
    balancers = story.clouds.all()["openstack"]["GRA11"]["load_balancers"]
    assert [it["provisioning_status"] for it in balancers.values()] == ["ACTIVE"]


def test_a_balancer_with_members_that_comes_to_error_is_passed_too(story: Story) -> None:
    """Octavia refuses the removal of every part of it, for as long as anybody asks; the whole goes at once, before its parts are asked for."""
    cloud = story.clouds.openstack.cloud
    state = cloud.region("GRA11")
    (broken,) = state.load_balancers.values()
    address = [
        it["floating_ip_address"] for it in state.floating_ips.values() if it["port_id"] == broken["vip_port_id"]
    ]
    broken["provisioning_status"] = "ERROR"
    story.program.values["regions"] = story.program.regions(balancer_generation=3)
    story.program.configure()
    raised = story.program.up()
    assert raised.returncode == 0, raised.stdout[-2000:]
    assert f"({broken['id']}): was in ERROR" in raised.stdout + raised.stderr
    (balancer,) = state.load_balancers.values()
    assert (balancer["provisioning_status"], balancer["id"] == broken["id"]) == ("ACTIVE", False)
    assert sorted(it["name"] for it in state.members.values()) == ["app-1", "app-1", "app-2", "app-2"], (
        "of https and of http"
    )
    assert [len(kind) for kind in (state.listeners, state.pools, state.monitors)] == [2, 2, 2], "the same"
    assert [
        it["floating_ip_address"] for it in state.floating_ips.values() if it["port_id"] == balancer["vip_port_id"]
    ] == address


def servers(story: Story) -> dict[str, dict[str, Any]]:
    return {it["name"]: it for it in story.clouds.openstack.cloud.region("GRA11").servers.values()}


def test_a_wrong_image_or_flavor_deletes_no_server_that_is_to_be_replaced(story: Story) -> None:
    before = {name: it["id"] for name, it in servers(story).items()}
    flavors = story.program.values["regions"]["a"]["flavors"]
    nowhere = "00000000-0000-4000-8000-000000000000"
    for wrong in ({"image_id": nowhere}, {"flavors": {**flavors, "cache": nowhere}}):
        story.program.configure(regions=story.program.regions(host_generation={"cache-1": 2}, **wrong))
        refused = story.program.up()
        said = refused.stdout + refused.stderr
        assert refused.returncode != 0
        assert nowhere in said and f"correct dr:regions.a.{next(iter(wrong))}" in said, said[-2000:]
        assert "Traceback" not in said
        assert {name: it["id"] for name, it in servers(story).items()} == before


def test_a_wrong_flavor_of_a_standing_server_is_corrected_in_the_file_alone(story: Story) -> None:
    flavors = story.program.values["regions"]["a"]["flavors"]
    wrong = {**flavors, "cache": "00000000-0000-4000-8000-000000000000"}
    story.program.configure(regions=story.program.regions(flavors=wrong))
    refused = story.program.up()
    assert refused.returncode != 0
    assert "correct dr:regions.a.flavors" in refused.stdout + refused.stderr
    story.program.configure()
    corrected = story.program.up()
    assert corrected.returncode == 0, corrected.stdout[-2000:]
    assert servers(story)["shop-a-cache-1"]["flavor_id"] == flavors["cache"]


def test_a_server_that_ends_in_error_is_told_with_the_reason_and_never_taken_for_standing(story: Story) -> None:
    story.clouds.backend.fail_next["boot_server"] = "no space left for the disk"
    story.program.configure(regions=story.program.regions(host_generation={"app-2": 2}))
    for _ in range(2):
        failed = story.program.up()
        said = failed.stdout + failed.stderr
        assert failed.returncode != 0, "taken for standing"
        assert "is in ERROR (no space left for the disk)" in said, said[-2000:]
    assert "dr:regions.a.host_generation" in said
    story.program.values["regions"] = story.program.regions(host_generation={"app-2": 3})
    story.program.configure()
    replaced = story.program.up()
    assert replaced.returncode == 0, replaced.stdout[-2000:]
    assert servers(story)["shop-a-app-2"]["vm_state"] == "active"


def test_a_second_run_changes_nothing(story: Story) -> None:
    story.program.configure()
    assert story.program.preview() == {}


def test_a_request_that_the_witness_does_not_bear_out_stops_before_anything(story: Story) -> None:
    story.program.configure(failover_region="b")
    refused = story.program.run("preview", *story.program.on)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "region-b" in said and "Traceback" not in said and "to update" not in said


def test_following_the_other_site_updates_links_and_nothing_else(story: Story) -> None:
    epochs = story.clouds.witness.epochs
    epochs["epochs/00000002.json"] = {"epoch": 2, "active": "b", "previous": "a", "planned": True}
    story.program.configure(failover_region="b")
    planned = story.program.preview()
    epochs.clear()
    assert {"fence-claim", "postgres-converge", "redis-turn", "app-turn", "app-app-1-converge"} <= set(planned)
    assert_links_alone(planned)


def assert_links_alone(planned: dict[str, str]) -> None:
    """Nothing but links of the chain runs again, and nothing is replaced."""
    assert set(planned.values()) == {"update"}
    assert all(
        name.endswith(("-converge", "-turn", "-claim", "-order", "-pointer")) and not name.startswith("region-")
        for name in planned
    )


def test_new_images_and_secrets_replace_no_server(story: Story) -> None:
    image = story.program.values["regions"]["b"]["image_id"]
    story.program.configure(regions=story.program.regions(image_id=image))
    planned = story.program.preview()
    # The fence leaves at the witness what this region runs with; what it answers is known when it has run, and asks nothing else then.
    assert planned["fence-claim"] == "update"
    assert_links_alone(planned)


def test_a_raised_host_generation_replaces_one_server_and_keeps_its_volume(story: Story) -> None:
    story.program.configure(regions=story.program.regions(host_generation={"app-2": 3, "db-1": 2}))
    planned = story.program.preview()
    assert planned["region-db-1-server"] in ("replace", "create-replacement")
    assert not {name for name in planned if "data" in name} - {"region-db-1-data-attached"}
    told = {"region-db-1", "region-db-1-converge", "postgres-converge", "archive-place-prepare", "archive-converge"}
    told.add("monitoring-db-1")
    told.add("fence-claim")  # which leaves the new servers' ids at the witness
    assert {name for name, step in planned.items() if step == "update"} == told
    assert set(planned) == {"region-db-1-server", "region-db-1-data-attached", "region-db-1-tool", *told}


def test_a_move_by_drctl_changes_nothing_of_the_platform_whatever_else_is_pending(story: Story) -> None:
    """Servers that are to be replaced, and a balancer: links are run, and the rest is pending as before."""
    epochs = story.clouds.witness.epochs
    before, platform = servers(story), json.dumps(story.clouds.all(), sort_keys=True, default=str)
    epochs["epochs/00000002.json"] = {"epoch": 2, "active": "b", "previous": "a", "planned": True}
    pending = story.program.regions(host_generation={"app-2": 3, "db-1": 2}, balancer_generation=9)
    story.program.configure(failover_region="b", regions=pending)
    planned = story.program.preview()
    assert {"region-db-1-server", "region-balancer-octavia"} <= set(planned), "something else is pending"
    moved = story.program.run("up", *story.program.on, "--yes", "--skip-preview", *engine.LIMITED)
    said = moved.stdout + moved.stderr
    assert moved.returncode == 0, said[-3000:]
    assert servers(story) == before
    assert json.dumps(story.clouds.all(), sort_keys=True, default=str) == platform, "nothing of it was touched"
    left = story.program.preview()
    assert (left["region-db-1-server"], left["region-balancer-octavia"]) == ("replace", "replace"), "pending as before"
    assert "app-turn" not in left and "dns-pointer" not in left, "the chain has run"
    epochs.clear()
    story.program.configure()


def test_a_change_of_roles_needs_no_cloud_api(story: Story) -> None:
    """It looks whether its own servers are off, for a moment; an API that says nothing holds up nothing."""
    clouds = story.clouds
    clouds.witness.epochs["epochs/00000002.json"] = {"epoch": 2, "active": "b", "previous": "a", "planned": True}
    story.program.configure(failover_region="b")
    services = [*clouds.openstack.services.values(), clouds.ovh]
    before = [len(service.requests) for service in services]
    for service in services:
        service.fault = lambda _: Reply(503, {"message": "the region is gone"})
    followed = story.program.up()
    for service in services:
        service.fault = None
    clouds.witness.epochs.clear()
    assert followed.returncode == 0, followed.stdout[-2000:]
    asked = [path for service, count in zip(services, before, strict=True) for _, path, _ in service.requests[count:]]
    assert {path for path in asked if not path.startswith("/1.0/auth/")} <= {"/v3/auth/tokens"}


def test_the_state_holds_no_secret_and_no_path_of_this_machine(story: Story) -> None:
    state = json.dumps(story.program.state())
    for marker in ("PRIVATE KEY", "secret-", str(stack.ROOT)):
        assert marker not in state
    assert "ciphertext" in state


def test_data_cannot_be_destroyed_until_protection_is_lifted_and_then_nothing_is_left(story: Story) -> None:
    story.program.configure()
    refused = story.program.destroy()
    assert refused.returncode != 0
    left = {it["urn"].rsplit("::", 1)[1] for it in story.program.state() if it.get("protect")}
    assert left == PROTECTED
    story.program.configure(protect=False)
    lifted = story.program.up()
    assert lifted.returncode == 0, lifted.stdout[-2000:]
    destroyed = story.program.destroy()
    assert destroyed.returncode == 0, destroyed.stdout[-2000:]
    assert story.clouds.all() == story.empty
