"""What the lab and its tests run: Pulumi's CLI, its plugins and language host, and the S3 server. Installed ones where they serve, built ones else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.progress import Task
from lab.toolchain import cache, go
from lab.toolchain.go import HERE, GoTool, ToolchainError

OLDEST_CLI = (3, 272, 0)
REQUIREMENTS = HERE.parent.parent / "requirements.txt"
# The order is that of building: the CLI takes longest and everything needs it.
PLUGINS = {
    "command": GoTool(
        "pulumi-resource-command", "./providers/command", sources=("internal/plugin", "providers/command")
    ),
    "ovh": GoTool("pulumi-resource-ovh", "./providers/ovh", sources=("internal/plugin", "providers/ovh")),
    "openstack": GoTool(
        "pulumi-resource-openstack", ".", module="providers/openstack", sources=("providers/openstack",)
    ),
}
OPENSTACK_SCHEMA = GoTool(
    "openstack-schema", "./schema", module="providers/openstack", sources=("providers/openstack",)
)
VERSITYGW = GoTool("versitygw", "github.com/versity/versitygw/cmd/versitygw")
LANGUAGE_HOST = "pulumi-language-python"
# A tool's name for people, and its seconds on two cores with nothing in Go's own cache but what the tools before left there.
STEPS = {
    "pulumi": ("pulumi", 200),
    "pulumi-resource-command": ("plugin command", 10),
    "pulumi-resource-ovh": ("plugin ovh", 10),
    "pulumi-resource-openstack": ("plugin openstack", 50),
    "versitygw": ("S3 server", 20),
}
ROUGH_GO_S = 30


@dataclass(frozen=True)
class Toolchain:
    """Where everything is. `home` serves as PULUMI_HOME: it holds the plugins, and `bin/` with the language host."""

    pulumi: Path
    home: Path
    versitygw: Path

    def environment(self) -> dict[str, str]:
        """Variables for a process that runs pulumi, to be laid over its environment."""
        folders = [str(self.home / "bin"), str(self.pulumi.parent)]
        rest = [entry for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry not in folders]
        return {
            "PATH": os.pathsep.join([*dict.fromkeys(folders), *rest]),
            "PULUMI_HOME": str(self.home),
            # The plugins are here or nowhere: the lab has no way out, and a run must not wait for one.
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }


def pins() -> dict[str, str]:
    """The published plugins' versions: those of the SDKs in requirements.txt."""
    found = dict(re.findall(r"^pulumi-(\w+)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE))
    missing = PLUGINS.keys() - found.keys()
    if missing:
        raise ToolchainError(
            f"{REQUIREMENTS}: no pin for pulumi-{', pulumi-'.join(sorted(missing))}; add `pulumi-<name>==<version>` to requirements.in and run `make lock`"
        )
    return {name: found[name] for name in PLUGINS}


def installed(program: str) -> str | None:
    """A program on PATH that is not of our making: a process inside the lab's environment finds built tools there."""
    folders = [
        folder
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        if not Path(folder).is_relative_to(cache.home())
    ]
    return shutil.which(program, path=os.pathsep.join(folders))


def installed_cli() -> Path | None:
    """A pulumi on PATH that is new enough for the SDK."""
    path = installed("pulumi")
    if path is None:
        return None
    try:
        said = subprocess.run([path, "version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said.strip())
    return Path(path) if found and tuple(map(int, found.groups())) >= OLDEST_CLI else None


def installed_plugin(name: str, version: str) -> Path | None:
    """The published plugin of exactly this version, as `pulumi plugin install` leaves it."""
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    if home.is_relative_to(cache.home()):
        home = Path.home() / ".pulumi"
    path = home / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"
    return path if path.is_file() and os.access(path, os.X_OK) else None


def cli_tool() -> GoTool:
    """Pulumi's CLI; its version is not in its sources, and without one it refuses to compare itself with the SDK."""
    found = re.search(r"^\s*github\.com/pulumi/pulumi/pkg/v3 (v\S+)", (HERE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise ToolchainError(f"{HERE / 'go.mod'}: github.com/pulumi/pulumi/pkg/v3 is not required; restore the file")
    variable = ("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version", found[1])
    return GoTool("pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", variables=(variable,))


def tasks(python: Callable[[], str]) -> list[Task]:
    """What `ensure` would build, as steps, Go itself before them. `python`: an interpreter with pip, asked for when it is needed."""
    cli = [cli_tool()] if installed_cli() is None else []
    plugins = [PLUGINS[name] for name, version in pins().items() if installed_plugin(name, version) is None]
    needed = [*cli, *plugins, VERSITYGW]
    compiler = Task(
        name="Go",
        rough_s=ROUGH_GO_S,
        there=lambda: all(tool.there() for tool in needed) or go.found() is not None or go.fetched(),
        make=lambda report: go.compiler(python()),
    )
    programs = []
    for tool in needed:
        name, rough_s = STEPS[tool.name]
        programs.append(Task(name=name, rough_s=rough_s, there=tool.there, make=tool.build))
    return [compiler, *programs]


def ensure(python: str | None = None) -> Toolchain:
    """Find or build everything. Minutes the first time on a machine; well under a second afterwards.

    `python`: the interpreter that has the SDK, which the language host is started with; None: this one.
    """
    cli = installed_cli()
    built = cli_tool().build() if cli is None else None
    plugins = {name: installed_plugin(name, version) or PLUGINS[name].build() for name, version in pins().items()}
    home = _home(built, plugins, python or sys.executable)
    return Toolchain(pulumi=cli or home / "bin" / "pulumi", home=home, versitygw=VERSITYGW.build())


def _home(cli: Path | None, plugins: dict[str, Path], python: str) -> Path:
    """The folder for PULUMI_HOME. Pulumi keeps small files of its own in it too (its version cache, locks), which does no harm."""
    sources = [HERE / "language" / name for name in ("host.py", "program.py")]
    host = None if installed(LANGUAGE_HOST) else _launcher(python)
    recipe = json.dumps(
        {
            "cli": str(cli),
            "plugins": {name: str(path) for name, path in plugins.items()},
            "versions": pins(),
            "host": host,
            "sources": [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources],
        }
    )

    def make(folder: Path) -> None:
        binaries = folder / "bin"
        binaries.mkdir()
        if cli is not None:
            # The CLI takes the language host beside its own file for a part of itself, links resolved: hence no symbolic one.
            os.link(cli, binaries / "pulumi")
        if host is not None:
            for path in sources:
                shutil.copy(path, binaries / path.name)
            launcher = binaries / LANGUAGE_HOST
            launcher.write_text(host)
            launcher.chmod(0o755)
        for name, path in plugins.items():
            place = folder / "plugins" / f"resource-{name}-v{pins()[name]}"
            place.mkdir(parents=True)
            (place / path.name).symlink_to(path)

    return cache.build("pulumi-home", recipe, make)


def _launcher(python: str) -> str:
    """The language host's start."""
    return f"#!{python}\nimport sys\n\nfrom host import main\n\nmain(sys.argv[1:])\n"
