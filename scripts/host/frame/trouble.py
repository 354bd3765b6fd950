"""What the system refused, in words: which file, why, what follows. The one place where an OSError becomes a sentence."""

from __future__ import annotations

import errno
import os

from contract.errors import say

_REMEDIES = {
    errno.EROFS: "remount its file system for writing (`findmnt -T` names it, and `journalctl -k` says why it is read-only)",
    errno.ENOSPC: "free its disk (`df -h`, and `df -i` for its files)",
    errno.EDQUOT: "free its disk (`df -h`, and `df -i` for its files)",
    errno.EACCES: "see the rights along its path (`namei -l`)",
    errno.EPERM: "see its rights and attributes (`namei -l`, `lsattr`)",
    errno.EIO: "see `journalctl -k`: its disk fails",
}
_OTHER = "see that path and `journalctl -k`"


def sentence(error: OSError, consequence: str = "what was done so far stands") -> str | None:
    """Of an error that names its file; None of another, as of a connection."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    if not names or error.errno is None:
        return None
    return say(
        subject=f"file {' and '.join(names)}",
        found=os.strerror(error.errno),
        wanted="one that can be read and written",
        consequence=consequence,
        remedy=f"{_REMEDIES.get(error.errno, _OTHER)}, then run the same again",
    )


def reason(error: OSError) -> str:
    """Of any OSError: the system's word for it, which holds nothing of ours."""
    return os.strerror(error.errno) if error.errno is not None else "no reason given"
