"""Whether the set of secrets is another one than that with which a watcher goes: keys to the witness and of the program are renewed while it watches."""

from __future__ import annotations

from dataclasses import replace

from components.settings import Settings
from scripts.ctl.stacks.stack import Stack


class Renewing:
    """Of a stack. Its file is read when it is another one than at the look before: to open the set takes a part of a second."""

    def __init__(self, stack: Stack, settings: Settings) -> None:
        self._stack, self._settings = stack, settings
        self._seen = self._mark()

    def look(self) -> Settings | None:
        """The same settings with the secrets of now; None where those are the ones of before. Raises DrError; the next look is another attempt then."""
        mark = self._mark()
        if mark == self._seen:
            return None
        found = self._stack.settings().secrets
        self._seen = mark  # of before the reading: what is written meanwhile is seen by the next look
        if found == self._settings.secrets:
            return None
        self._settings = replace(self._settings, secrets=found)
        return self._settings

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            told = self._stack.path.stat()
        except OSError:
            return None
        return told.st_mtime_ns, told.st_size, told.st_ino
