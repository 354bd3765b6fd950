"""The Go sources: their own tests, the compiler's checks, their form, and modules that are what go.sum says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.toolchain import go

MODULES = [".", "providers/openstack"]


def run(module: str, *arguments: str, program: str = "go") -> str:
    environment = {
        **os.environ,
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -trimpath",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
    command = [str(go.compiler().with_name(program)), *arguments]
    done = subprocess.run(command, cwd=go.HERE / module, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_go_tests_pass() -> None:
    assert "ok  \tdrlab/toolchain/internal/plugin" in run(".", "test", "./...")


def test_go_vet_finds_nothing() -> None:
    assert run(".", "vet", "./...") == ""


def test_sources_are_formatted() -> None:
    assert run(".", "-l", ".", program="gofmt") == ""


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_those_that_were_recorded(module: str) -> None:
    assert run(module, "mod", "verify").strip() == "all modules verified"


@pytest.mark.parametrize("module", MODULES)
def test_modules_name_no_toolchain_and_no_folder_of_one_machine(module: str) -> None:
    directives = {
        line
        for line in (Path(go.HERE) / module / "go.mod").read_text().splitlines()
        if line.startswith(("toolchain ", "replace "))
    }
    assert not any(line.startswith("toolchain ") for line in directives)
    assert not any(line.split("=>")[-1].strip().startswith((".", "/")) for line in directives)
