"""A pair that an earlier version brought up is taken over by this one: commands may run once, nothing of the platform is replaced or removed.

The recorded state of each version is previewed with the program of now, by the real CLI and the real providers, in a network namespace in which
nobody answers: a preview asks no cloud, and a witness that is silent is a warning.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.witness import HOST_USERS
from lab.toolchain.tools import Toolchain
from scripts.ctl.stacks.configuration import shared_values, stack_file, write
from scripts.ctl.stacks.secrets import certificates, host_names
from tests.components.stack import ROOT

STATES = ROOT / "tests/fixtures/state"
VERSIONS = sorted(path.name for path in STATES.iterdir() if path.is_dir())
LIMIT_S = 120
APART = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
# What may run again with other words: it asks hosts and links, and replaces nothing.
COMMANDS = ("command:remote:Command", "command:remote:CopyToRemote", "command:local:Command")

RULE = "openstack:networking/secGroupRule:SecGroupRule"
# Each host is in the group of all as well.
PORT = "openstack:networking/port:Port"
EVERY = "region-network-every"
# What the copier may: it looks whether the archive is locked, since there is a lock. What the shop may: its hosts read releases.
RIGHTS = "ovh:CloudProject/s3Policy:S3Policy"
# What there was not before releases had a bucket.
SINCE = {"assets-releases", "assets-publisher", "assets-publisher-credential", "assets-publisher-policy"}
# Everything outward, the whole front network where the balancer was meant, and bastions where they ask nothing.
CLOSED = re.compile(
    r"region-network-(\w+-(out|icmp-front|(https|health)-front|(postgres|redis|forward)-control-1-(own|peer))|control-ssh-(front|control-1-own))"
)
# What each kind of host had, and all of them have together since.
TOGETHER = re.compile(r"region-network-(?:control|db|cache|app)-(icmp-vrack|ssh-control-1-peer)")
# Port 80 of the entrance, and how long a connection may say nothing: the listener that there is is told so where it stands.
ENTRANCE = "$openstack:loadbalancer/"
PLAIN = re.compile(r"::region-balancer-http(-(pool|monitor|app-[1-9]))?$")


class Recorded:
    """One recorded stack in a backend of its own."""

    def __init__(self, folder: Path, toolchain: Toolchain, version: str, site: str) -> None:
        source, self.stack, self._toolchain = STATES / version, f"region-{site}", toolchain
        self.file = folder / f"Pulumi.{self.stack}.yaml"
        shutil.copy(stack_file(source, site), self.file)
        (folder / "state").mkdir()
        project = folder / "project"
        project.mkdir()
        shutil.copy(ROOT / "Pulumi.yaml", project)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PULUMI_", "SSH_", "OS_", "OVH_", "AWS_"))
        }
        self._environment = {
            **kept,
            **toolchain.environment(),
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE": (source / "passphrase").read_text().strip(),
        }
        exported = folder / "state.json"
        exported.write_bytes(gzip.decompress((source / f"{self.stack}.json.gz").read_bytes()))
        self._must("stack", "init", self.stack, folder=project)
        self._must("stack", "import", "-s", self.stack, "--file", str(exported), folder=project)
        self._renew(project)

    def _renew(self, project: Path) -> None:
        """What docs/failover.md asks for where a set is of before each purpose had a CA, the part `tls` of a new one; and docs/security.md of whoever
        comes from a version that had one key to the witness for all.
        """
        at = ("-s", self.stack, "--config-file", str(self.file))
        secrets = json.loads(self._must("config", "get", "dr:secrets", *at, folder=project))
        config = {**shared_values(ROOT), **yaml.safe_load(self.file.read_text())["config"]}
        secrets["tls"] = certificates(host_names(config), config["dr:shop"]["host"])
        if "hosts" not in secrets["witness"]:
            secrets["witness"] |= {"access_key": "operator", "hosts": {}}
            for user in HOST_USERS:
                secrets["witness"]["hosts"][user] = {"access_key": user, "secret_key": f"of-{user}"}
        self._must("config", "set", "--secret", "dr:secrets", *at, folder=project, told=json.dumps(secrets))

    def preview(self) -> list[dict[str, Any]]:
        """Every step of a preview that is one."""
        said = self._must("preview", "-s", self.stack, "--config-file", str(self.file), "--json", folder=ROOT)
        found = json.loads(said)
        told = found["changeSummary"]
        assert told["same"] + told["update"] > 100, "the preview saw the whole region"
        return [step for step in found["steps"] if step["op"] != "same"]

    def _must(self, *arguments: str, folder: Path, told: str | None = None) -> str:
        command = [*APART, str(self._toolchain.pulumi), *arguments, "--non-interactive", "--color", "never"]
        done = subprocess.run(
            command,
            cwd=folder,
            env=self._environment,
            input=told,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout


@pytest.fixture(params=[(version, site) for version in VERSIONS for site in "ab"], ids="-".join)
def recorded(request: pytest.FixtureRequest, tmp_path: Path, toolchain: Toolchain) -> Recorded:
    return Recorded(tmp_path, toolchain, *request.param)


def kind(step: dict[str, Any]) -> str:
    return str(step["urn"]).split("::")[2].rsplit("$", 1)[-1]


def regrouped(step: dict[str, Any]) -> bool:
    """Whether it is a port that is told its security groups, and nothing else."""
    return kind(step) == PORT and {str(path).partition("[")[0] for path in step.get("detailedDiff") or ()} == {
        "securityGroupIds"
    }


def said(steps: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((str(step["op"]), str(step["urn"])) for step in steps)


def test_nothing_that_an_earlier_version_made_is_replaced_or_removed(recorded: Recorded) -> None:
    steps = [step for step in recorded.preview() if kind(step) != RULE]
    assert {step["op"] for step in steps} <= {"update", "create"}, said(steps)
    # A component is a name in the state, and nothing at any platform.
    named = [step["urn"] for step in steps if step["op"] == "create" and kind(step).startswith("dr:index:")]
    rights = [step["urn"] for step in steps if step["op"] == "update" and kind(step) == RIGHTS]
    assert {str(urn).rpartition("::")[2] for urn in rights} <= {"assets-copier-policy", "assets-user-policy"}
    entrance = [step for step in steps if ENTRANCE in str(step["urn"])]
    assert {(str(step["op"]), bool(PLAIN.search(str(step["urn"])))) for step in entrance} == {
        ("update", False),
        ("create", True),
    }
    more = [
        step["urn"]
        for step in steps
        if step["op"] == "create" and str(step["urn"]).rpartition("::")[2] in {*SINCE, EVERY}
    ]
    grouped = [step["urn"] for step in steps if step["op"] == "update" and regrouped(step)]
    assert len(grouped) == 10, "both ports of five hosts"
    others = {*named, *rights, *more, *grouped, *(step["urn"] for step in entrance)}
    platform = [step["urn"] for step in steps if kind(step) not in COMMANDS and step["urn"] not in others]
    assert not platform, f"only commands may run again, found {platform}"


def test_of_the_firewall_an_earlier_version_loses_what_was_closed_since_and_nothing_else(recorded: Recorded) -> None:
    """A rule holds nothing; the engine makes the new ones before it removes the old, so no connection that is allowed in both is cut."""
    steps = [step for step in recorded.preview() if kind(step) == RULE]
    assert {step["op"] for step in steps} <= {"create", "delete"}, said(steps)
    gone = {str(step["urn"]).rpartition("::")[2] for step in steps if step["op"] == "delete"}
    made = {str(step["urn"]).rpartition("::")[2] for step in steps if step["op"] == "create"}
    together = {name for name in gone if (own := TOGETHER.fullmatch(name)) and f"{EVERY}-{own[1]}" in made}
    assert len(together) == 8, "two of each kind"
    assert [name for name in gone - together if not CLOSED.fullmatch(name)] == []


def test_its_stack_file_may_be_in_the_older_layout_or_in_the_one_of_now(recorded: Recorded, tmp_path: Path) -> None:
    """Which file a key stands in makes no difference to what is made."""
    old = recorded.preview()
    document = yaml.safe_load(recorded.file.read_text())
    shared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    same = [key for key, entry in shared.items() if document["config"].get(key) == entry["value"]]
    assert "dr:dns" in same or "dr:redis" in same, "some keys of the recording are those of the project"
    document["config"] = {key: value for key, value in document["config"].items() if key not in same}
    write({recorded.file: yaml.safe_dump(document)})
    assert said(recorded.preview()) == said(old)
