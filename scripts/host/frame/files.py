"""Managed files: whole files or marked blocks, compared before they are written, written beside and moved into place."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path

from contract.dataclass import dataclass

from .reach import entered, ids_of

_IS_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_IS_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class ManagedFile:
    """A file whose whole content is ours. Owner and group are set when root runs this, and ignored otherwise."""

    path: Path
    content: str = field(repr=False)  # may be secret
    encoding: str = "utf-8"  # latin-1: what is no text, a character a byte
    mode: int = 0o644
    owner: str = "root"
    group: str | None = None  # None: the owner's own group

    def differs(self) -> bool:
        """Whether content, mode or owner on disk is another one."""
        try:
            found, status = _own(self.path)
        except OSError:
            return True
        if found != self.content.encode(self.encoding) or status.st_mode & 0o7777 != self.mode:
            return True
        try:
            return os.geteuid() == 0 and (status.st_uid, status.st_gid) != self._ids()
        except KeyError:  # nobody of that name yet, or no more
            return True

    def write(self) -> None:
        """Write, sync and move into place; folders that lack are made (0755)."""
        make_folder(self.path.parent)
        ids = self._ids() if os.geteuid() == 0 else None
        write_atomically(self.path, self.content.encode(self.encoding), self.mode, ids)

    def _ids(self) -> tuple[int, int]:
        return ids_of(self.owner, self.group)


def read_own(path: Path) -> bytes:
    """What is in the file itself; a link in its place or on the way that somebody else has planted, or what is no file, is as good as none.

    So root reads it where another user may write, and may hand on what it has read. Raises OSError.
    """
    return _own(path)[0]


def _own(path: Path) -> tuple[bytes, os.stat_result]:
    with entered(path.parent) as folder, os.fdopen(os.open(path.name, _IS_FILE, dir_fd=folder), "rb") as stream:
        return stream.read(), os.fstat(stream.fileno())


def differing(files: Sequence[ManagedFile]) -> list[str]:
    """Paths of the files that are not as wanted, in the order given."""
    return [str(file.path) for file in files if file.differs()]


def write_atomically(path: Path, content: bytes, mode: int = 0o600, ids: tuple[int, int] | None = None) -> None:
    """A reader sees the old file or the new one, also after a power cut. Raises OSError that names `path`, wherever on the way it was refused.

    Whoever may write in its folder leads it nowhere else: the file is new, and no link is followed.
    """
    try:
        _write_beside(path, content, mode, ids)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_beside(path: Path, content: bytes, mode: int, ids: tuple[int, int] | None) -> None:
    partial = f".{path.name}.{os.urandom(8).hex()}"
    with entered(path.parent) as folder:
        handle = os.open(partial, _NEW, 0o600, dir_fd=folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                if ids is not None and ids != (os.fstat(stream.fileno()).st_uid, os.fstat(stream.fileno()).st_gid):
                    os.fchown(stream.fileno(), *ids)
                os.fchmod(stream.fileno(), mode)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=folder)
            raise
        os.fsync(folder)


def copy_own(source: int, target: int, name: str) -> None:
    """A file, or a folder with all that is in it, from one folder's handle to another's. What it makes is new, and this process's own.

    Whoever may write in either leads it nowhere else: a link is no file, and is left out. Raises OSError.
    """
    kind = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
    if stat.S_ISDIR(kind):
        os.mkdir(name, 0o700, dir_fd=target)
        here, there = (os.open(name, _IS_FOLDER, dir_fd=folder) for folder in (source, target))
        try:
            with os.scandir(here) as found:
                names = [each.name for each in found]
            for each in names:
                copy_own(here, there, each)
        finally:
            os.close(here)
            os.close(there)
    elif stat.S_ISREG(kind):
        with (
            os.fdopen(os.open(name, _IS_FILE, dir_fd=source), "rb") as found,
            os.fdopen(os.open(name, _NEW, 0o600, dir_fd=target), "wb") as made,
        ):
            while piece := found.read(1 << 20):
                made.write(piece)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` last through a power cut."""
    with entered(folder) as handle:
        os.fsync(handle)


def rename(source: Path, target: Path) -> None:
    """As rename(2), and no link on the way is followed that somebody else has planted."""
    with entered(source.parent) as here, entered(target.parent) as there:
        os.rename(source.name, target.name, src_dir_fd=here, dst_dir_fd=there)


def make_folder(folder: Path, mode: int = 0o755, owner: str | None = None) -> None:
    """`mkdir -p` whatever the umask; `owner` is set when root runs this. Raises OSError, also where somebody else's link is in the way.

    What is there already and is neither root's nor `owner`'s is left to whose it is, and refused.
    """
    if not os.path.lexists(folder):
        make_folder(folder.parent)
        with entered(folder.parent) as parent:
            try:
                os.mkdir(folder.name, 0o700, dir_fd=parent)
            except FileExistsError:  # by another run
                pass
            else:
                with _below(parent, folder) as made:
                    os.fchmod(made, mode)
    if owner is None or os.geteuid() != 0:
        return
    ids = ids_of(owner)
    with entered(folder) as found:
        holder = os.fstat(found).st_uid
        if holder not in (0, ids[0]):
            raise PermissionError(errno.EPERM, f"it is of user {holder}, wanted {owner}", str(folder))
        if holder != ids[0]:
            os.fchown(found, *ids)


def hand_over(folder: Path, owner: str) -> None:
    """What root has in `folder`, and the folder itself last, becomes `owner`'s, where root runs this: a job that was root's goes on as that user.

    While a folder is root's nobody else can exchange a name in it, and one that is not any more is passed by: so no link leads out of it. What has
    further names elsewhere stays root's. Raises OSError.
    """
    if os.geteuid() != 0:
        return
    ids = ids_of(owner)
    with entered(folder) as top:
        for _, _, names, here in os.fwalk(".", topdown=False, dir_fd=top):
            if os.fstat(here).st_uid != 0:
                continue
            for name in names:
                found = os.stat(name, dir_fd=here, follow_symlinks=False)
                if found.st_uid == 0 and found.st_nlink == 1:
                    os.chown(name, *ids, dir_fd=here, follow_symlinks=False)
            os.fchown(here, *ids)


@contextlib.contextmanager
def _below(parent: int, folder: Path) -> Iterator[int]:
    """A handle of what was just made, or of what the holder of its folder has put in its place."""
    made = os.open(folder.name, _IS_FOLDER, dir_fd=parent)
    try:
        if os.fstat(made).st_uid not in (os.geteuid(), os.fstat(parent).st_uid):
            raise PermissionError(errno.EPERM, "it was exchanged while it was made", str(folder))
        yield made
    finally:
        os.close(made)


def with_block(text: str, name: str, lines: Sequence[str]) -> str:
    """`text` with the block `name` holding `lines`: replaced where it is, added at the end where it is not, once in any case."""
    begin, end = f"# begin {name}", f"# end {name}"
    kept: list[str] = []
    inside, place = False, None
    for line in text.splitlines():
        if line == begin:
            inside = True
            place = len(kept) if place is None else place
        elif line == end and inside:
            inside = False
        elif not inside:
            kept.append(line)
    at = len(kept) if place is None else place
    return "\n".join([*kept[:at], begin, *lines, end, *kept[at:]]) + "\n"
