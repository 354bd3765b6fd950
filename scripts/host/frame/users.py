"""Users that own one job and nothing else, and how a process that began as root becomes one of them."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from .commands import run

MAKE_S = 30.0


def exists(user: str) -> bool:
    """Whether this machine knows it."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def holds(user: str, folder: Path) -> bool:
    """Whether `folder` is there and this user's; whoever is not root can make nobody its holder, and is content with any."""
    try:
        found = folder.stat()
        return os.geteuid() != 0 or found.st_uid == pwd.getpwnam(user).pw_uid
    except (OSError, KeyError):
        return False


def make(user: str) -> None:
    """A system user with a group of its own, without a home and without a shell. Raises CommandFailed."""
    nothing = ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    run(["useradd", "--system", "--user-group", *nothing, user], limit_s=MAKE_S)


def become(user: str) -> None:
    """From here on this process is `user`'s, and cannot go back: what it leaves behind, the job's next run can write.

    Nothing, where it is not root's. Raises OSError.
    """
    if os.geteuid() != 0 or user == "root":
        return
    found = pwd.getpwnam(user)
    os.setgroups([])
    os.setresgid(found.pw_gid, found.pw_gid, found.pw_gid)
    os.setresuid(found.pw_uid, found.pw_uid, found.pw_uid)
