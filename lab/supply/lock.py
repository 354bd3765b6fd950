"""Pin every Python package, with the digests of the files that may be installed: `python -m lab.supply.lock`, which is `make lock`.

`requirements.in` and `requirements-dev.in` are what people write: the program's own dependencies, and on top of them those of tests and lab. Made from them
are `requirements.txt` and `requirements-dev.txt`, which pip (and Pulumi, which calls it) installs from: a file whose digest is not in them is refused.
Wheels alone, for Linux: a package that would be built from source runs its author's code with tools that nobody has pinned.
No index is named: digests say what a file is, wherever it comes from.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from contract import pipes
from lab.machines import image
from lab.supply import debs

PROJECT = Path(__file__).resolve().parents[2]
HERE = PROJECT / "lab" / "toolchain"
PROGRAM, TESTS = "requirements", "requirements-dev"
GO_INPUT, GO_LOCK = "go-wheel.in", "go-wheel.txt"
PYTHONS = ("3.11", "3.12", "3.13")  # Debian 12, what lies between, Debian 13
MACHINES = ("x86_64", "aarch64")
GLIBC = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014", "linux")
HEAD = "# Made by `make lock` from {source}: do not edit. Digests of wheels for Linux, Python {pythons}, {machines}.\n"
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)
_DIGEST = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


class LockError(Exception):
    """The packages cannot be pinned. One line: subject, found, wanted, remedy."""


@dataclass(frozen=True)
class Pin:
    """One package of a lock file: its name as PyPI compares names, its version, the SHA-256 digests of its files (64 hex digits each)."""

    name: str
    version: str
    digests: frozenset[str]

    def line(self) -> str:
        digests = " \\\n".join(f"    --hash=sha256:{digest}" for digest in sorted(self.digests))
        return f"{self.name}=={self.version} \\\n{digests}\n"


def canonical(name: str) -> str:
    """As PyPI compares names: `PyYAML` is `pyyaml`, `pulumi_ovh` is `pulumi-ovh`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(text: str) -> dict[str, str]:
    """Versions of a list that people write, by canonical name. Raises LockError for a line that pins nothing."""
    lines = [line.strip() for line in text.splitlines()]
    for line in lines:
        if line and not line.startswith(("#", "-r ")) and not _PIN.match(line):
            raise LockError(
                f"requirements: found {line!r}, wanted `<name>==<version>`; nothing was pinned; write a version"
            )
    return {canonical(name): version for name, version in _PIN.findall(text)}


def read(text: str) -> dict[str, Pin]:
    """A lock file's packages by canonical name. Raises LockError for one without a digest."""
    found = {}
    for block in re.split(
        r"^(?=[A-Za-z0-9])", re.sub(r"^(#|-r ).*$", "", text, flags=re.MULTILINE), flags=re.MULTILINE
    ):
        head = _PIN.match(block)
        if head is None:
            continue
        pin = Pin(canonical(head[1]), head[2].rstrip("\\").strip(), frozenset(_DIGEST.findall(block)))
        if not pin.digests:
            raise LockError(
                f"{pin.name}=={pin.version}: found no digest, wanted one for each file; it could be replaced unseen; run `make lock`"
            )
        found[pin.name] = pin
    return found


def merged(reports: Iterable[Mapping[str, Any]]) -> dict[str, Pin]:
    """What pip's reports (`--report`) of several machines would install, by name. Raises LockError where they disagree, and for a source archive."""
    found: dict[str, Pin] = {}
    for report in reports:
        for each in report["install"]:
            name, version = canonical(each["metadata"]["name"]), each["metadata"]["version"]
            digest = each["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
            if digest is None or not each["download_info"]["url"].endswith(".whl"):
                raise LockError(
                    f"{name}=={version}: found no wheel with a digest, wanted one; nothing was pinned; name another version"
                )
            before = found.setdefault(name, Pin(name, version, frozenset()))
            if before.version != version:
                raise LockError(
                    f"{name}: found {before.version} for one Python and {version} for another, wanted one version; nothing was pinned; add it to"
                    " requirements-dev.in"
                )
            found[name] = Pin(name, version, before.digests | {digest})
    return found


def needed(roots: Iterable[Requirement], reports: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names of all that `roots` need, directly or not, on any of the machines of the reports."""
    found: set[str] = set()
    for report in reports:
        packages = {canonical(each["metadata"]["name"]): each["metadata"] for each in report["install"]}
        seen: set[tuple[str, frozenset[str]]] = set()
        queue = [(canonical(root.name), frozenset(root.extras)) for root in roots]
        while queue:
            name, extras = step = queue.pop()
            if step in seen or name not in packages:
                continue
            seen.add(step)
            for text in packages[name].get("requires_dist", []):
                need = Requirement(text)
                wanted = [{**report["environment"], "extra": extra} for extra in (*extras, "")]
                if need.marker is None or any(need.marker.evaluate(environment) for environment in wanted):
                    queue.append((canonical(need.name), frozenset(need.extras)))
        found |= {name for name, _ in seen}
    return found


def rendered(source: str, pins: Mapping[str, Pin], beside: str = "") -> str:
    """A lock file's text. `beside`: another lock file that it stands on."""
    head = HEAD.format(source=source, pythons=", ".join(PYTHONS), machines=" and ".join(MACHINES))
    return head + (f"-r {beside}\n" if beside else "") + "".join(pins[name].line() for name in sorted(pins))


def asked(requirements: Path, python: str, machine: str, more: Sequence[str] = ()) -> dict[str, Any]:
    """What pip would install on such a machine; nothing is installed. Asks the index that pip is set up with. Raises LockError."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [
            *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--dry-run", "--ignore-installed"),
            *("--report", str(report), "--target", folder, "--only-binary=:all:", "--python-version", python),
            *(word for libc in GLIBC for word in ("--platform", f"{libc}_{machine}")),
            *more,
            *("-r", str(requirements)),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise LockError(
                f"pip for Python {python} on {machine}: {last}; nothing was pinned; mend {requirements.name}"
            )
        found: dict[str, Any] = json.loads(report.read_text())
    # pip tells of the interpreter that it runs on, not of the one that it was asked about.
    found["environment"] |= {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
    }
    return found


def main() -> int:
    machines = [(python, machine) for python in PYTHONS for machine in MACHINES]
    try:
        for name in (PROGRAM, TESTS):
            named((PROJECT / f"{name}.in").read_text())
        reports = [asked(PROJECT / f"{TESTS}.in", *each) for each in machines]
        pins = merged(reports)
        go = merged(asked(HERE / GO_INPUT, PYTHONS[0], machine, ["--no-deps"]) for machine in MACHINES)
        text = (PROJECT / f"{PROGRAM}.in").read_text()
        roots = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
        program = needed(roots, reports)
        files = {
            PROJECT / f"{PROGRAM}.txt": rendered(f"{PROGRAM}.in", {name: pins[name] for name in program}),
            PROJECT / f"{TESTS}.txt": rendered(
                f"{TESTS}.in", {name: pin for name, pin in pins.items() if name not in program}, f"{PROGRAM}.txt"
            ),
            HERE / GO_LOCK: rendered(GO_INPUT, go),
        }
        files |= debian()
    except (LockError, debs.DebError) as error:
        print(error, file=sys.stderr)
        return 1
    for path, made in files.items():
        path.write_text(made)
        print(f"{path.relative_to(PROJECT)}: {len(read(made)) or len(debs.read(path))} packages")
    return 0


def debian(root: Path | None = None, kept: Path | None = None, folder: Path = debs.HERE) -> dict[Path, str]:
    """The list of the guests' image's packages, by its place; none, and said so, where there is no image. Raises DebError for a file that the list that
    there is knows with other bytes: only a person takes its line out.
    """
    guest, files = root or image.root(), kept or image.files()
    if not guest.is_dir():
        print(
            "lock: the guests' image is not in the cache, so its list of Debian packages stays as it is; run `make setup` first",
            file=sys.stderr,
        )
        return {}
    debs.refuse_replaced(files, debs.listed(folder))
    found = debs.installed(guest, files)
    return {debs.of_image(found, folder): debs.rendered(found)}


if __name__ == "__main__":
    sys.exit(pipes.status(main))
