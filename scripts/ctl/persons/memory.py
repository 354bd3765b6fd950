"""Where this machine remembers things for its user: one place for each witness, below the user's state folder.

What lies there may be old, or changed by whoever has this user's files: nothing is believed for being there.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from contract.buckets import Bucket
from contract.forms import MOST_BYTES
from contract.wire import document


def place_of(what: str, witness: Bucket) -> Path:
    """A file or folder for what is remembered of one witness. Raises RuntimeError: a user may have no home."""
    home = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    name = hashlib.sha256(f"{witness.endpoint}/{witness.bucket}".encode()).hexdigest()[:16]
    return Path(home) / "drctl" / f"{what}-{name}"


def read(file: Path) -> dict[str, Any]:
    """An object of JSON. Raises OSError, ValueError."""
    with file.open("rb") as stream:
        return document.mapping(stream.read(MOST_BYTES))


def write(file: Path, content: Any) -> None:
    """As JSON, for this user alone, and whole or not at all. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(dir=file.parent, prefix=".")
    try:
        with os.fdopen(handle, "w") as made:
            json.dump(content, made, sort_keys=True)
            made.flush()
            os.fsync(made.fileno())
        Path(fresh).replace(file)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
