"""A person's public key on this machine, and the certificate beside it, where ssh looks for it by itself.

The folder may be somebody else's, who changes it meanwhile: it is entered once, no link in it is followed, and what is written is new.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.checks import Unwanted
from contract.dataclass import dataclass
from contract.errors import Failed, Usage
from contract.plain import shown
from contract.ssh_keys import PUBLIC

SUFFIX, MOST = ".pub", 16_384
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class KeyFile:
    """`key`: as it was read; `path`: as it was named."""

    path: Path
    key: str
    _folder: int
    _ids: tuple[int, int]  # whose it is

    @property
    def certificate(self) -> Path:
        """By its path."""
        return self.path.with_name(f"{self.path.name.removesuffix(SUFFIX)}-cert{SUFFIX}")

    def free(self) -> None:
        """Raises Usage where something else than a file has the certificate's place."""
        with suppress(FileNotFoundError):
            about = os.stat(self.certificate.name, dir_fd=self._folder, follow_symlinks=False)
            if not stat.S_ISREG(about.st_mode):
                raise Usage(
                    f"file {self.certificate}: is a link or no file, wanted a place for the certificate; nothing was made; remove it, or name another key"
                )

    def write(self, line: str) -> None:
        """The certificate, for the key's owner alone; an older one is replaced. Raises Failed, Usage."""
        self.free()
        partial = f".{self.certificate.name}.{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(partial, flags, 0o600, dir_fd=self._folder)
            try:
                with os.fdopen(handle, "w") as stream:
                    stream.write(f"{line}\n")
                    if os.geteuid() == 0 and self._ids != (os.geteuid(), os.getegid()):
                        os.fchown(stream.fileno(), *self._ids)
                os.replace(partial, self.certificate.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(partial, dir_fd=self._folder)
                raise
        except OSError as error:
            raise Failed(
                f"file {self.certificate}: cannot be written ({error.strerror}), wanted the certificate in it; nothing was kept; make room, or copy the "
                "public key into a folder of your own"
            ) from None


@contextmanager
def opened(path: Path) -> Iterator[KeyFile]:
    """The key at `path`, and its place as long as this lasts. Raises Usage; nothing of what is no key is shown."""
    if path.name == SUFFIX or not path.name.endswith(SUFFIX):
        raise Usage(
            f"key {path}: found no name that ends in {SUFFIX}, wanted a public key; nothing was made; name {path}{SUFFIX}"
        )
    try:
        path = path.expanduser()
    except RuntimeError:  # a user that nobody knows, or one without a home
        raise Usage(
            f"key {shown(str(path))}: found no such home, wanted a public key; nothing was made; name its whole path with --key"
        ) from None
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unread(path, error) from None
    try:
        key, ids = _read(path, folder)
        yield KeyFile(path, key, folder, ids)
    finally:
        os.close(folder)


def _read(path: Path, folder: int) -> tuple[str, tuple[int, int]]:
    try:
        with os.fdopen(os.open(path.name, _READ, dir_fd=folder), "rb") as stream:
            about, found = os.fstat(stream.fileno()), stream.read(MOST) or b""  # of a pipe: nothing yet
    except OSError as error:
        raise _unread(path, error) from None
    try:
        if not stat.S_ISREG(about.st_mode):
            raise Unwanted
        return PUBLIC(found.decode().rstrip("\r\n")), (about.st_uid, about.st_gid)
    except (Unwanted, UnicodeDecodeError):
        said = "a private key" if b"PRIVATE KEY" in found else f"{len(found)} bytes that are none"
        raise Usage(
            f"key {path}: found {said}, wanted {PUBLIC.wanted}; nothing was made; `ssh-keygen -t ed25519` makes a pair"
        ) from None


def _unread(path: Path, error: OSError) -> Usage:
    why = "it is a link" if error.errno == errno.ELOOP else error.strerror
    return Usage(
        f"key {shown(str(path))}: cannot be read ({why}), wanted your own public key; nothing was made; `ssh-keygen -t ed25519` makes a pair, --key "
        "names another file"
    )
