"""Managed files: whole files or marked blocks, compared before they are written, written beside and moved into place."""

from __future__ import annotations

import grp
import os
import pwd
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ManagedFile:
    """A file whose whole content is ours. Owner and group are set when root runs this, and ignored otherwise."""

    path: Path
    content: str = field(repr=False)  # may be secret
    mode: int = 0o644
    owner: str = "root"
    group: str | None = None  # None: the owner's own group

    def differs(self) -> bool:
        """Whether content, mode or owner on disk is another one."""
        try:
            found = self.path.read_bytes()
            status = self.path.stat()
        except OSError:
            return True
        if found != self.content.encode() or status.st_mode & 0o7777 != self.mode:
            return True
        return os.geteuid() == 0 and (status.st_uid, status.st_gid) != self._ids()

    def write(self) -> None:
        """Write, sync and move into place; folders that lack are made (0755)."""
        make_folder(self.path.parent)
        ids = self._ids() if os.geteuid() == 0 else None
        write_atomically(self.path, self.content.encode(), self.mode, ids)

    def _ids(self) -> tuple[int, int]:
        user = pwd.getpwnam(self.owner)
        return user.pw_uid, grp.getgrnam(self.group).gr_gid if self.group else user.pw_gid


def differing(files: Sequence[ManagedFile]) -> list[str]:
    """Paths of the files that are not as wanted, in the order given."""
    return [str(file.path) for file in files if file.differs()]


def write_atomically(path: Path, content: bytes, mode: int = 0o600, ids: tuple[int, int] | None = None) -> None:
    """A reader sees the old file or the new one, also after a power cut. Raises OSError that names `path`, wherever on the way it was refused."""
    try:
        _write_beside(path, content, mode, ids)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_beside(path: Path, content: bytes, mode: int, ids: tuple[int, int] | None) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            if ids is not None:
                os.fchown(stream.fileno(), *ids)
            os.fchmod(stream.fileno(), mode)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` last through a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path, mode: int = 0o755, owner: str | None = None) -> None:
    """`mkdir -p` whatever the umask; `owner` is set when root runs this."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
    if owner is not None and os.geteuid() == 0:
        user = pwd.getpwnam(owner)
        if folder.stat().st_uid != user.pw_uid:
            os.chown(folder, user.pw_uid, user.pw_gid)


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
