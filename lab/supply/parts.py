"""Every part by what pins it: Python packages (lock files), Go modules (`go.mod` and `go.sum`), Debian packages (what the guests' image holds).

Debian packages, and the gems of the shop among them, are pinned by no version: an archive keeps one version of a suite, and a pin of yesterday's would
keep a security update away and break the build besides. Each file is checked by apt against the archive's signed list; what an image got stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from lab.machines import image
from lab.supply import lock

PYPI, GO, DEBIAN = "PyPI", "Go", "Debian:13"  # as OSV names ecosystems
PROGRAM, TOOLS, GUEST = "program", "tests and lab", "guests' image"
GO_MODULES = ("", "providers/openstack")  # folders of lab/toolchain with a go.mod each
_REQUIRE = re.compile(
    r"^\s*(?:require\s+)?([a-z0-9][^\s()]*\.[^\s()]*/\S+|[a-z0-9][\w.-]*\.[a-z]+/?\S*) (v\S+)(?:\s+//.*)?$",
    re.MULTILINE,
)
_REPLACE = re.compile(r"^\s*(?:replace\s+)?(\S+)(?: v\S+)? => (\S+) (v\S+)", re.MULTILINE)
_SUM = re.compile(r"^(\S+) (v\S+) (h1:\S+)$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Part:
    """One part. `digests`: SHA-256 of its files, hex; `checksum`: Go's own (`h1:...`); `source`: name and version that a Debian package is built from."""

    ecosystem: str
    name: str
    version: str
    used_by: str
    digests: tuple[str, ...] = field(default=(), compare=False)
    checksum: str = field(default="", compare=False)
    source: tuple[str, str] | None = field(default=None, compare=False)

    @property
    def purl(self) -> str:
        """Its package URL, which is its name in the list."""
        if self.ecosystem == PYPI:
            return f"pkg:pypi/{self.name}@{quote(self.version)}"
        if self.ecosystem == GO:
            return f"pkg:golang/{quote(self.name)}@{quote(self.version)}"
        return f"pkg:deb/debian/{quote(self.name)}@{quote(self.version, safe='')}?distro=trixie"

    @property
    def known_as(self) -> tuple[str, str]:
        """Name and version under which vulnerabilities are told: of a Debian package those of its source, of a Go module without the v."""
        if self.source is not None:
            return self.source
        return self.name, self.version.removeprefix("v") if self.ecosystem == GO else self.version


def every(project: Path = lock.PROJECT, root: Path | None = None) -> list[Part]:
    """All parts, sorted, each once. `root`: the guests' image (None: the one in the cache, none where there is none). Raises LockError."""
    guest = root if root is not None else image.root()
    found = {*python(project), *go(project / "lab" / "toolchain"), *(debian(guest) if guest.is_dir() else ())}
    return sorted(found)


def python(project: Path) -> Iterator[Part]:
    """The packages of the three lock files."""
    places = ((project / f"{lock.PROGRAM}.txt", PROGRAM), (project / f"{lock.TESTS}.txt", TOOLS))
    for path, used_by in (*places, (project / "lab" / "toolchain" / lock.GO_LOCK, TOOLS)):
        for pin in lock.read(path.read_text()).values():
            yield Part(PYPI, pin.name, pin.version, used_by, digests=tuple(sorted(pin.digests)))


def go(toolchain: Path) -> Iterator[Part]:
    """The modules that the lab's tools are built from. Raises LockError for one without a checksum: it would be taken as it comes."""
    for folder in GO_MODULES:
        path = toolchain / folder / "go.mod"
        text = path.read_text()
        sums = {
            (name, version): checksum for name, version, checksum in _SUM.findall((path.parent / "go.sum").read_text())
        }
        replaced = {old: (new, version) for old, new, version in _REPLACE.findall(text)}
        for each in _REQUIRE.findall("\n".join(line for line in text.splitlines() if "=>" not in line)):
            name, version = replaced.get(each[0], each)
            checksum = sums.get((name, version), "")
            if not checksum and (name, f"{version}/go.mod") not in sums:
                raise lock.LockError(
                    f"{path}: {name} {version} has no checksum in go.sum, wanted one; run `go mod tidy` in {path.parent}"
                )
            yield Part(GO, name, version, TOOLS, checksum=checksum)


def debian(root: Path) -> Iterator[Part]:
    """The packages that an image of a guest holds, from its own list."""
    for block in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        said: dict[str, str] = dict(re.findall(r"^([A-Z][A-Za-z-]*): (.*)$", block, re.MULTILINE))
        if said.get("Status", "").endswith(" installed"):
            source, _, version = said.get("Source", said["Package"]).partition(" ")
            built_from = (source, version.strip("()") or said["Version"])
            yield Part(DEBIAN, said["Package"], said["Version"], GUEST, source=built_from)
