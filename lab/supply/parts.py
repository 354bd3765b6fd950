"""Every part by what pins it: Python packages (lock files), Go modules (`go.mod` and `go.sum`), Debian packages (what the guests' image holds).

Debian packages, and the gems of the shop among them, are listed by file (`debs`) and installed as the archive has them now: an archive keeps one version
of a suite, and a pin of yesterday's would keep a security update away and break the build besides. Apt checks each file against the archive's signed
list, and the image's build checks it against ours where that has the same version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from lab.machines import image
from lab.supply import debs, lock

PYPI, GO, DEBIAN = "PyPI", "Go", "Debian:13"  # as OSV names ecosystems
PROGRAM, TOOLS, GUEST = "program", "tests and lab", "guests' image"
GO_MODULES = ("", "providers/openstack")  # folders of lab/toolchain with a go.mod each
_REQUIRE = re.compile(
    r"^\s*(?:require\s+)?([a-z0-9][^\s()]*\.[^\s()]*/\S+|[a-z0-9][\w.-]*\.[a-z]+/?\S*) (v\S+)(?:\s+//.*)?$",
    re.MULTILINE,
)
_REPLACE = re.compile(r"^\s*(?:replace\s+)?(\S+)(?: v\S+)? => (\S+) (v\S+)", re.MULTILINE)
_GEM = re.compile(r"/specifications/(?:default/)?([A-Za-z0-9_.-]+?)-([0-9][0-9A-Za-z.]*)\.gemspec$", re.MULTILINE)
_SUM = re.compile(r"^(\S+) (v\S+) (h1:\S+)$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Part:
    """One part. `digests`: SHA-256 of its files, hex; `checksum`: Go's own (`h1:...`); `source`: name and version that a Debian package is built from;
    `gems`: those that it brings."""

    ecosystem: str
    name: str
    version: str
    used_by: str
    digests: tuple[str, ...] = field(default=(), compare=False)
    checksum: str = field(default="", compare=False)
    source: tuple[str, str] | None = field(default=None, compare=False)
    gems: tuple[str, ...] = field(default=(), compare=False)

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


def debian(root: Path, lists: Path = debs.HERE) -> Iterator[Part]:
    """The packages that an image of a guest holds, from its own list, with the digests of ours. Raises LockError for one of those that is none."""
    try:
        known = debs.listed(lists)
    except debs.DebError as error:
        raise lock.LockError(str(error)) from None
    for said in debs.packages(root):
        source, _, version = said.get("Source", said["Package"]).partition(" ")
        built_from = (source, version.strip("()") or said["Version"])
        deb = known.get((said["Package"], said["Version"], said.get("Architecture", "")))
        yield Part(
            DEBIAN,
            said["Package"],
            said["Version"],
            GUEST,
            digests=(deb.digest,) if deb else (),
            source=built_from,
            gems=tuple(_gems(root, said["Package"], said.get("Architecture", ""))),
        )


def _gems(root: Path, package: str, architecture: str) -> Iterator[str]:
    """Those that a package brings, as `rails 7.2.2.2`."""
    info = root / "var/lib/dpkg/info"
    for path in (info / f"{package}.list", info / f"{package}:{architecture}.list"):
        if path.is_file():
            yield from sorted(" ".join(each) for each in _GEM.findall(path.read_text()))
