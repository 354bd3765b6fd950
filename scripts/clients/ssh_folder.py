"""The private folder of a run's ssh, and the operator's key, which is never in it: a run that is killed leaves no key behind.

The key is in a file of the kernel's memory that ends with this process, however that ends, and which ssh reads by its place below /proc. Where a
system has none, the key is a file in the folder, removed when the run ends. What a killed run has left of its folder the next one clears.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from contract.errors import Refused

PREFIX = "dr-ssh-"
LONGEST_SOCKET, ADDED = 107, 17  # characters of a socket's path; what ssh adds to one while it makes it
_LOCK, DAY_S = "lock", 86_400


def make(longest: int, cleanup: ExitStack) -> Path:
    """A private folder for ssh's files, and for a socket a way; removed by `cleanup`. `longest`: characters of a way's name.

    The kernel takes no longer path of a socket, and ssh reads blanks, quotes and % in one its own way: the operator's TMPDIR is taken where it fits.
    Raises Refused.
    """
    tried = []
    for above in dict.fromkeys((os.environ.get("TMPDIR") or "/tmp", "/tmp", "/var/tmp")):  # noqa: S108 - private below it
        if not re.fullmatch(r"/[A-Za-z0-9/._+-]*", above):
            tried.append(f"{above!r} holds characters that ssh reads as its own")
        elif len(above) + len(f"/{PREFIX}12345678/") + longest + ADDED > LONGEST_SOCKET:
            tried.append(f"{above} is too long for a socket")
        else:
            _clear(Path(above))
            try:
                folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))
            except OSError as error:
                tried.append(f"{above}: {error.strerror}")
                continue
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
            # Ours for as long as this process lives: who finds it free knows that it was killed.
            handle = os.open(folder / "made", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            cleanup.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
            (folder / "made").rename(folder / _LOCK)  # held before anybody can find it free
            return folder
    raise Refused(
        f"folder for the connections to hosts: none can be made ({'; '.join(tried)}), wanted one; no host can be reached, so nothing was changed; "
        "set TMPDIR to a short path of letters and digits in which this user may write"
    )


def keep(key: str, folder: Path, cleanup: ExitStack) -> str:
    """The path by which ssh reads the key until `cleanup`, or until this process ends."""
    content = (key.rstrip("\n") + "\n").encode()
    if hasattr(os, "memfd_create"):
        with suppress(OSError):
            handle = os.memfd_create("key", os.MFD_CLOEXEC)
            cleanup.callback(os.close, handle)
            os.fchmod(handle, 0o600)  # ssh refuses a key that others could read
            os.write(handle, content)
            path = f"/proc/{os.getpid()}/fd/{handle}"
            if Path(path).read_bytes() == content:
                return path
    file = folder / "key"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:  # noqa: PTH123 - private from its first moment
        made.write(content)
    return str(file)


def _clear(above: Path) -> None:
    """Folders of this user whose run was killed. One without a lock is being made, or is of an older version: it goes when it is a day old."""
    for folder in above.glob(f"{PREFIX}*"):
        with suppress(OSError):
            about = folder.lstat()
            if about.st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink() and _left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _left(folder: Path) -> bool:
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return time.time() - folder.lstat().st_mtime > DAY_S
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
