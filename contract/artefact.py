"""An artefact is packed, looked at and unpacked: the same bytes from the same files on every machine, and nothing but what its manifest lists.

What is read may have been made by anybody: it ends within its bounds, leads to no place outside its folder, and holds plain files alone.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, cast

from . import release
from .errors import Failed
from .plain import shown
from .release import MANIFEST, MOST_MANIFEST, File, Manifest

PIECE = 1 << 20
MOST_TEXT = 1 << 20  # bytes of a file that is read as a text
SPARE = 64 * 2**20  # bytes of headers beside the files themselves, as tar and gzip make them
_EXECUTABLE = 0o100


def sha256(path: Path) -> str:
    """Of a file's contents. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def listed(files: Mapping[str, Path]) -> dict[str, File]:
    """What the manifest says of files that lie on this machine. Raises OSError."""
    found = {}
    for name in sorted(files):
        status = files[name].stat()
        found[name] = File(0o755 if status.st_mode & _EXECUTABLE else 0o644, status.st_size, sha256(files[name]))
    return found


def pack(told: Manifest, files: Mapping[str, Path], target: Path) -> Manifest:
    """Write the artefact of these files, with what is told of them. Raises OSError; Failed where a file changes meanwhile.

    Times, owners and order are fixed. The compression is zlib's: another build of zlib may give other bytes of the same files, under another digest.
    """
    made = replace(told, files=listed(files))
    text = release.text_of(made)
    release.manifest(text, f"manifest of {target.name}")  # what would not be read again is not written
    with (
        target.open("wb") as stream,
        gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0, compresslevel=6) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        archive.addfile(_entry(MANIFEST, File(0o644, len(text), "")), io.BytesIO(text))
        for name, file in made.files.items():
            with files[name].open("rb") as content:
                watched = _Watched(content)
                try:
                    archive.addfile(_entry(name, file), watched)
                except OSError:
                    watched.short = True
            if watched.short or watched.hash.hexdigest() != file.sha256:
                raise Failed(
                    f"file {shown(name)}: found other contents than a moment ago, wanted a folder that nobody writes in; nothing was kept; build it again"
                )
    return made


def _entry(name: str, file: File) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.uname, entry.gname = file.size, file.mode, "root", "root"
    return entry


class _Watched(io.RawIOBase):
    """Hashes what is read from it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.hash, self.short = stream, hashlib.sha256(), False

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self.hash.update(piece)
        return piece


class _Bounded(io.RawIOBase):
    """What comes out of the compression, and an end to it: what is longer looks like a file that was cut."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left = stream, most

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(min(PIECE if size < 0 else size, self._left))
        self._left -= len(piece)
        return piece


def peek(path: Path, most: int) -> Manifest:
    """The manifest alone. `most`: bytes that the release may unpack to. Raises Failed, OSError."""
    with _opened(path, most) as archive:
        return _head(path, archive, most)


def texts(path: Path, most: int, names: Collection[str]) -> dict[str, str]:
    """Of these files, what they say; one that is longer than `MOST_TEXT` is cut. Raises Failed, OSError."""
    found = {}
    with _opened(path, most) as archive:
        _head(path, archive, most)
        while (entry := archive.next()) is not None:
            if entry.name in names and entry.isreg():
                content = archive.extractfile(entry)
                found[entry.name] = "" if content is None else content.read(MOST_TEXT).decode(errors="replace")
    return found


def unpack(path: Path, folder: Path, most: int) -> Manifest:
    """Into a new folder, each file checked against the manifest while it is written, and all of it on the disk at the end.

    Raises Failed, OSError; what was written by then stays, and is nobody's release.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _make(folder)
    with _opened(path, most) as archive:
        told = _head(path, archive, most)
        _write(io.BytesIO(release.text_of(told)), folder / MANIFEST, 0o644)
        left, made = dict(told.files), {""}
        while (entry := archive.next()) is not None:
            file = left.pop(entry.name, None)
            content = archive.extractfile(entry) if entry.isreg() else None
            if file is None or content is None or entry.size != file.size:
                raise _broken(path, f"an entry {shown(entry.name)} that its manifest does not list so")
            for parent in release.above(entry.name):
                if parent not in made:
                    _make(folder / parent)
                    made.add(parent)
            if _write(content, folder / entry.name, file.mode) != file.sha256:
                raise _broken(path, f"other contents of {shown(entry.name)} than its manifest lists")
    if left:
        raise _broken(path, f"no {shown(min(left))}, which its manifest lists")
    os.sync()
    return told


def _make(folder: Path) -> None:
    """Whatever the umask: another user than its owner runs what is in it."""
    folder.mkdir()
    folder.chmod(0o755)


def _write(content: IO[bytes], target: Path, mode: int) -> str:
    """The digest of what was written; the file is new, and no link is followed."""
    digest = hashlib.sha256()
    with os.fdopen(
        os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode), "wb"
    ) as out:
        while piece := content.read(PIECE):
            digest.update(piece)
            out.write(piece)
        os.fchmod(out.fileno(), mode)
    return digest.hexdigest()


def differing(folder: Path) -> list[str]:
    """Names of files of an unpacked release that are not as its manifest lists them, in order; the manifest's own where that is none."""
    try:
        with (folder / MANIFEST).open("rb") as stream:
            told = release.manifest(stream.read(MOST_MANIFEST + 1), MANIFEST)
    except (OSError, Failed):
        return [MANIFEST]
    return [name for name, file in told.files.items() if not _as_listed(folder / name, file)]


def _as_listed(path: Path, file: File) -> bool:
    try:
        status = path.lstat()
        return status.st_size == file.size and not path.is_symlink() and sha256(path) == file.sha256
    except OSError:
        return False


@contextmanager
def _opened(path: Path, most: int) -> Iterator[tarfile.TarFile]:
    """Raises Failed for whatever is no artefact."""
    try:
        with (
            gzip.open(path, "rb") as compressed,
            tarfile.open(
                fileobj=cast(IO[bytes], _Bounded(cast(IO[bytes], compressed), most + SPARE)), mode="r|"
            ) as archive,
        ):
            yield archive
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, OverflowError) as error:
        raise _broken(path, f"no gzipped tar ({type(error).__name__})") from None


def _head(path: Path, archive: tarfile.TarFile, most: int) -> Manifest:
    entry = archive.next()
    if entry is None or entry.name != MANIFEST or not entry.isreg() or entry.size > MOST_MANIFEST:
        raise _broken(path, "no manifest at its head")
    content = archive.extractfile(entry)
    assert content is not None
    told = release.manifest(content.read(MOST_MANIFEST), f"artefact {path.name}, manifest")
    if told.size > most:
        raise Failed(
            f"artefact {path.name}: found {told.size // 2**20} MB unpacked, wanted {most // 2**20} MB at most (dr:app.release_max_mb); nothing was "
            "unpacked; leave out what the shop does not need, or raise that key"
        )
    return told


def _broken(path: Path, found: str) -> Failed:
    return Failed(
        f"artefact {path.name}: found {found}, wanted one as `drctl build` makes it; it is used nowhere; build it again, or take the other region's copy"
    )
