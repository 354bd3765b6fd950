"""What was changed on disk and is not in force yet: told before the change, for a run may end before it comes to what brings the change into force,
and the next one finds every file as wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .files import ManagedFile, differing, make_folder, write_atomically
from .layout import Layout


class Due:
    """Of one service. It goes with the machine's power, after which everything begins with what is on disk."""

    def __init__(self, layout: Layout, service: str) -> None:
        self._path = layout.run / f"{service}-due"

    def names(self) -> tuple[str, ...]:
        """Of units or of files, as the service has them."""
        try:
            return tuple(self._path.read_text().splitlines())
        except OSError:
            return ()

    def add(self, names: Iterable[str]) -> None:
        """Before they are changed. Raises OSError."""
        self._tell({*self.names(), *names})

    def done(self, names: Iterable[str]) -> None:
        """They are in force. Raises OSError."""
        self._tell({*self.names()} - {*names})

    def put(self, files: Sequence[ManagedFile]) -> None:
        """Write those that differ. Raises OSError."""
        changed = [file for file in files if file.differs()]
        self.add(str(file.path) for file in changed)
        for file in changed:
            file.write()

    def stale(self, files: Sequence[ManagedFile]) -> list[str]:
        """Paths of those that differ, and of those that are not in force."""
        due = self.names()
        return list(dict.fromkeys([*differing(files), *(path for it in files if (path := str(it.path)) in due)]))

    def _tell(self, names: set[str]) -> None:
        if names != {*self.names()}:
            make_folder(self._path.parent)
            write_atomically(self._path, "".join(f"{name}\n" for name in sorted(names)).encode())
