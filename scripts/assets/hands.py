"""Who does the work: a copier that was begun as root becomes the user to whom its state belongs, so that no run by hand leaves files there that the
timer's own run cannot write.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def holder(folder: Path) -> int:
    """Number of the first user but root who has a part of the way to `folder`: what lies behind, and where a link there leads, is that user's word.
    0 where all of it is root's.
    """
    for way in (folder.absolute(), folder.resolve()):
        for part in (*reversed(way.parents), way):
            if not os.path.lexists(part):
                break
            if (found := part.lstat().st_uid) != 0:
                return found
    return 0


def become_holder(folder: Path) -> None:
    """For good, and nothing where this is not root's or the folder is root's own: a state folder elsewhere is for a person's single run."""
    found = holder(folder) if os.geteuid() == 0 else 0
    if found == 0:
        return
    try:
        group = pwd.getpwuid(found).pw_gid
    except KeyError:  # of a user that this machine does not know
        group = found
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(found, found, found)
