"""`drctl init` against the running lab, into a fresh project folder: it makes all of it, again makes nothing, and the real engine takes what it has made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.buckets import Bucket
from contract.errors import ExitCode
from lab.rehearsal import answers
from lab.rehearsal.world import PROJECT, running_lab
from lab.s3.gateway import connect
from lab.toolchain import tools
from scripts.clients.witness import Witness
from scripts.ctl.stacks.configuration import merged, stack_file
from scripts.ctl.stacks.stack import Stack

pytestmark = pytest.mark.lab
PASSPHRASE = "of a rehearsal, thirty characters"
LEFT = shutil.ignore_patterns(".git", ".venv", ".build", "__pycache__", "*_cache", "init.yaml", "state.env")


@dataclass(frozen=True)
class Bench:
    """A lab, and a copy of the project that knows nothing of it."""

    folder: Path
    lab: Mapping[str, Any]
    environment: Mapping[str, str]

    def init(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """As an operator types it, without a terminal."""
        return subprocess.run(
            ["scripts/drctl", "init", "--answers", str(self.folder / "answers.yaml"), *words],
            cwd=self.folder,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def state(self) -> dict[str, str]:
        """The environment behind `. ./state.env`."""
        line = f"set -a; . {self.folder}/state.env; exec env -0"
        done = subprocess.run(
            ["sh", "-ec", line], env=dict(self.environment), capture_output=True, text=True, check=True
        )
        return dict(it.split("=", 1) for it in done.stdout.split("\0") if it)

    def files(self) -> dict[str, str]:
        return {it.name: it.read_text() for it in self.folder.iterdir() if it.is_file()}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running_lab() as where:
        folder = tmp_path_factory.mktemp("beginning") / "project"
        shutil.copytree(PROJECT, folder, ignore=LEFT)
        (folder / ".venv").symlink_to((PROJECT / ".venv").resolve())
        for name in ("Pulumi.region-a.yaml", "Pulumi.region-b.yaml"):
            (folder / name).unlink()
        told = json.loads(where.description.read_text())
        (folder / "answers.yaml").write_text(yaml.safe_dump(answers.answers(told)))
        home = {"PULUMI_CONFIG_PASSPHRASE": PASSPHRASE, "NO_COLOR": "1"}
        environment = {**os.environ, **tools.ensure().environment(), **home, **answers.credentials(told)}
        environment.pop("PULUMI_BACKEND_URL", None)
        yield Bench(folder, told, environment)


def test_the_plan_is_shown_and_nothing_is_made(bench: Bench) -> None:
    before = bench.files()
    done = bench.init("--dry-run")
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert "27 of 27 steps would be made; nothing was changed" in done.stdout
    assert bench.files() == before


def test_all_of_it_is_made(bench: Bench) -> None:
    done = bench.init("--yes")
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    for secret in ("password", "application_secret", "consumer_key"):
        value = {**bench.lab["openstack"], **bench.lab["ovh"]}[secret]
        assert value not in done.stdout + done.stderr
    assert (bench.folder / "state.env").stat().st_mode & 0o777 == 0o600


def test_the_witness_takes_what_a_run_asks_of_it(bench: Bench) -> None:
    config = merged(stack_file(bench.folder, "a"))
    stack = Stack(name="region-a", folder=bench.folder, environment=bench.state())
    secrets = stack.secrets()
    keys = {name: secrets["witness"][name] for name in ("access_key", "secret_key")}
    witness = Witness(Bucket(**config["dr:witness"], **keys))
    assert witness.newest() is None and witness.locked() is True
    for user, pair in secrets["witness"]["hosts"].items():
        assert witness.fault_of(Bucket(**config["dr:witness"], **pair)) == "", user
    root = bench.lab["root_s3"]
    owner = connect(config["dr:witness"]["endpoint"], "de", root["access_key"], root["secret_key"])
    assert owner.get_bucket_versioning(Bucket=config["dr:witness"]["bucket"])["Status"] == "Enabled"


def test_again_makes_nothing(bench: Bench) -> None:
    before = bench.files()
    done = bench.init("--yes")
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert "all of it is there; nothing was changed" in done.stdout, [
        it for it in done.stdout.splitlines() if "to do" in it
    ]
    assert bench.files() == before


@pytest.mark.parametrize("site", ["a"])
def test_the_real_engine_takes_what_was_made(bench: Bench, site: str) -> None:
    """Of region b there is nothing to preview before region a has been up."""
    done = subprocess.run(
        ["pulumi", "preview", "--stack", f"region-{site}", "--json", "--non-interactive"],
        cwd=bench.folder,
        env=bench.state(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert json.loads(done.stdout)["changeSummary"]["create"] > 100


def test_the_other_regions_run_knows_its_configuration_too(bench: Bench) -> None:
    """It is refused for what is so, not for what is written: region a has not been brought up."""
    done = subprocess.run(
        ["pulumi", "preview", "--stack", "region-b", "--non-interactive", "--color", "never"],
        cwd=bench.folder,
        env=bench.state(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0 and "region a has not been brought up" in done.stdout + done.stderr
    assert "the configuration has" not in done.stdout + done.stderr


def test_a_key_that_may_less_is_refused_with_the_call_it_may_not_make(bench: Bench) -> None:
    done = bench.init("--yes", OVH_INIT_CONSUMER_KEY=bench.lab["ovh"]["consumer_key"])
    assert done.returncode == ExitCode.REFUSED
    assert "may not ask GET /domain/zone/shop.example, GET /cloud/project/" in done.stdout
