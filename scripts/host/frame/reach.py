"""How root reaches what lies where somebody else may write: a symbolic link that was planted there leads nowhere.

A service's user may put anything at any name below its own folder, and another thing a moment later. So a name there is opened part by part
without following, or the work is done with the rights of that user.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_LINKS = 40  # as many as the kernel follows
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # for which it is enough that one may pass


@contextmanager
def entered(folder: Path) -> Iterator[int]:
    """A handle of `folder`, for calls with `dir_fd`. Raises OSError that names it."""
    handle = enter(folder)
    try:
        yield handle
    finally:
        os.close(handle)


def enter(folder: Path) -> int:
    """The caller closes it. Links count only where nobody but root, or this very user, could have made them."""
    left, links = list(reversed(folder.absolute().parts[1:])), 0
    here = os.open("/", _FOLDER)
    try:
        while left:
            name = left.pop()
            if name == "..":
                here = _step(here, name)
                continue
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if links > _LINKS or not _trusted(here, found):
                    raise OSError(errno.ELOOP, f"{name} is a symbolic link that user {found.st_uid} may have placed")
                target = Path(os.readlink(name, dir_fd=here))
                if target.is_absolute():
                    here = _step(here, "/")
                left += reversed([part for part in target.parts if part != "/"])
                continue
            here = _step(here, name)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        os.close(here)


def _step(here: int, name: str) -> int:
    below = os.open(name, _FOLDER, dir_fd=here)
    os.close(here)
    return below


def _trusted(folder: int, link: os.stat_result) -> bool:
    holder, own = os.fstat(folder), (0, os.geteuid())
    return holder.st_uid in own and link.st_uid in own and not holder.st_mode & 0o022


@contextmanager
def acting_as(user: str) -> Iterator[None]:
    """What this thread does to files is done with `user`'s rights and as theirs; programs that it starts are root's all the same.

    Nothing, where this is not root. Raises OSError.
    """
    if os.geteuid() != 0 or user == "root":
        yield
        return
    before = _libc().setfsuid(-1), _libc().setfsgid(-1)  # changes nothing, and says what is so
    _become(*ids_of(user))
    try:
        yield
    finally:
        _become(*before)


@cache
def _libc() -> Any:
    import ctypes  # noqa: PLC0415 - most calls act as nobody else

    return ctypes.CDLL(None)


def _become(uid: int, gid: int) -> None:
    """The kernel's rights over files, of this thread alone; with root's user they come back."""
    for change, number in ((_libc().setfsgid, gid), (_libc().setfsuid, uid)):
        change(number)
        found = change(-1)
        if found != number:
            raise OSError(errno.EPERM, f"file rights are those of {found}, wanted {number}")


def ids_of(owner: str, group: str | None = None) -> tuple[int, int]:
    """Number of a user, and of `group` or the user's own."""
    user = pwd.getpwnam(owner)
    return user.pw_uid, grp.getgrnam(group).gr_gid if group else user.pw_gid
