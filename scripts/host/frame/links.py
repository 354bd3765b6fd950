"""Links of ours, turned in one step."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .files import sync_folder
from .reach import entered


def turn(link: Path, to: str) -> None:
    """`link` leads to `to`, wherever it led before; whoever reads through it finds the one or the other. Raises OSError, nothing turned."""
    fresh = f".{link.name}.{secrets.token_hex(8)}"
    with entered(link.parent) as folder:
        os.symlink(to, fresh, dir_fd=folder)
        try:
            os.replace(fresh, link.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(fresh, dir_fd=folder)
            raise
    sync_folder(link.parent)
