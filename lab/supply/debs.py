"""What the guests' image is made of, by file: `lab/supply/debian-<architecture>.txt` has name, version, architecture and SHA-256 of each package.

The gems of the reference shop are among them: it has no Gemfile, and takes them from Debian. An archive keeps one version of each package, so a
list of yesterday is none to install from, and it must not keep a security update away: versions that have moved on are told, and taken. What is
refused is another file under a name and a version that the list knows, for an archive never changes one. `make lock` writes the list anew from the
image that there is. Standard library alone: the image is built before anything else is installed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

HERE = Path(__file__).resolve().parent
HEAD = "# Made by `make lock` from the guests' image: do not edit. Name, version, architecture, SHA-256 of the .deb file.\n"
NAMED = 8  # packages that are told by name; the others are counted
Key = tuple[str, str, str]  # name, version, architecture
_LINE = re.compile(r"([a-z0-9][a-z0-9+.-]+) ([A-Za-z0-9.+:~-]+) ([a-z0-9-]+) ([0-9a-f]{64})")
_FIELD = re.compile(r"^(Package|Version|Architecture|SHA256): (.*)$", re.MULTILINE)
_FILE = re.compile(r"([a-z0-9][a-z0-9+.-]+)_([^_/]+)_([a-z0-9-]+)\.deb")


class DebError(Exception):
    """A list that cannot be read or made, or a file that is not the one listed. One line: subject, found, wanted, consequence, remedy."""


@dataclass(frozen=True, order=True)
class Deb:
    """One package's file. `digest`: SHA-256, 64 hex digits."""

    name: str
    version: str
    architecture: str
    digest: str

    @property
    def key(self) -> Key:
        return self.name, self.version, self.architecture

    @property
    def file(self) -> str:
        """As apt and debootstrap name it."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def read(path: Path) -> list[Deb]:
    """A list's packages. Raises DebError for a line that is none: it would be a package that is not looked at."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        told = _LINE.fullmatch(line)
        if told is None:
            raise DebError(
                f"{path.name}:{number}: found {line[:80]!r}, wanted name, version, architecture and SHA-256; nothing was compared; run `make lock`"
            )
        found.append(Deb(*told.groups()))
    return found


def listed(folder: Path = HERE) -> dict[Key, Deb]:
    """Of all architectures. Raises DebError as `read`, and where two lists have one file with two digests."""
    found: dict[Key, Deb] = {}
    for path in sorted(folder.glob("debian-*.txt")):
        for deb in read(path):
            if found.setdefault(deb.key, deb) != deb:
                raise DebError(
                    f"{path.name}: {deb.file} has another digest than in another list, wanted one; nothing was compared; run `make lock` on a machine of each"
                )
    return found


def rendered(debs: Iterable[Deb]) -> str:
    """A list's text."""
    return HEAD + "".join(f"{deb.name} {deb.version} {deb.architecture} {deb.digest}\n" for deb in sorted(debs))


def packages(root: Path) -> Iterator[dict[str, str]]:
    """What dpkg of an image says of each package that is installed there."""
    for block in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        said: dict[str, str] = dict(re.findall(r"^([A-Z][A-Za-z-]*): (.*)$", block, re.MULTILINE))
        if said.get("Status", "").endswith(" installed"):
            yield said


def archive(lists: Path) -> dict[Key, Deb]:
    """What the archive has, from the lists that apt has fetched and checked against its signature. Raises DebError where there is none."""
    found: dict[Key, Deb] = {}
    for path in lists.glob("*_Packages"):
        for block in path.read_text().split("\n\n"):
            said = dict(_FIELD.findall(block))
            if said.keys() >= {"Package", "Version", "Architecture", "SHA256"}:
                deb = Deb(said["Package"], said["Version"], said["Architecture"], said["SHA256"])
                found[deb.key] = deb
    if not found:
        raise DebError(
            f"{lists}: found no list of the archive's packages, wanted one; files kept from before could not be told from replaced ones, so none was taken;"
            " see what `apt-get update` says in the log"
        )
    return found


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed(root: Path, files: Path) -> list[Deb]:
    """Packages of an image, with the digests of the files that they came in. `files`: where apt keeps those. Raises DebError."""
    found = []
    for said in packages(root):
        deb = Deb(said["Package"], said["Version"], said["Architecture"], "")
        path = files / deb.file
        if not path.is_file():
            raise DebError(
                f"{deb.file}: found no such file in {files}, wanted the one that the image was made of; no list was written; remove the image beside it and"
                " run `make setup`"
            )
        found.append(Deb(*deb.key, digest(path)))
    return sorted(found)


def refuse_replaced(files: Path, *lists: Mapping[Key, Deb]) -> None:
    """Raises DebError where a file has a name and a version of one of the lists, and other bytes."""
    for path in sorted(files.glob("*.deb")):
        told = _FILE.fullmatch(path.name)
        key = (told[1], unquote(told[2]), told[3]) if told else None
        wanted = {known[key].digest for known in lists if key in known} if key else set()
        found = digest(path) if wanted else ""
        for other in sorted(wanted - {found}):
            raise DebError(
                f"{path}: found SHA-256 {found}, wanted {other}, which is told of this very version: somebody has replaced it, there or at the archive;"
                " the image was not built from it; remove the file, look at the mirror, and run the same again"
            )


def moved(known: Iterable[Deb], found: Iterable[Deb]) -> str:
    """What differs in versions, as a sentence for people; empty where nothing does. `known`: of the same architecture."""
    before = {(deb.name, deb.architecture): deb.version for deb in known}
    now = {(deb.name, deb.architecture): deb.version for deb in found}
    changed = [f"{name[0]} {before[name]} -> {now[name]}" for name in sorted(before.keys() & now.keys()) if before[name] != now[name]]  # fmt: skip
    changed += [f"{name[0]} {now[name]} is new" for name in sorted(now.keys() - before.keys())]
    changed += [f"{name[0]} {before[name]} is gone" for name in sorted(before.keys() - now.keys())]
    if not before or not changed:
        return ""
    rest = len(changed) - NAMED
    names = ", ".join(changed[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
    return (
        f"image: the archive has moved on since the list of packages was made: {names}; they are taken, as they may be security updates; look at them, and"
        " `make lock` lists them"
    )


def of_image(found: Sequence[Deb], folder: Path = HERE) -> Path:
    """Where the list of an image with these packages is."""
    own = next((deb.architecture for deb in found if deb.name == "dpkg"), None)
    if own is None:
        raise DebError("image: found no package dpkg in it, wanted one; no list was written; run `make setup`")
    return folder / f"debian-{own}.txt"
