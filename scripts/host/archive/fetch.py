"""One WAL file out of the archive, for a server that replays it or for pg_rewind.

"The archive has no such segment" and "the archive cannot be read" are two answers: the first is where replay ends, the second never is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from contract.errors import Failed, OutcomeUnknown

from ..frame import rolefile
from ..frame.boots import boottime
from ..frame.commands import Done
from ..frame.rolefile import PRIMARY
from ..postgres.server import alive
from . import state as archive_state
from .desired import Memory
from .layout import ArchiveLayout
from .tool import GIVEN_UP, NO_SUCH_WAL, PgBackRest, explain, stanza

TRY_S, ASK_S, PAUSE_S = (
    20.0,
    45.0,
    0.5,
)  # one try; all that one repository may take of a server that waits; between two tries


def window(found: dict[str, Any] | None, clock: float) -> dict[str, Any] | None:
    """The take-over's drain that is under way, None when there is none: {"began", "until" (by the clock since boot), "repositories" (those that
    can be read), "fetched" (name: repository), "absent" (the last name that none of them has)}. One that was killed ends by its own limit,
    and one from before a boot counts as ended. Pure.
    """
    return found if found is not None and found["began"] <= clock <= found["until"] else None


class Fetch:
    """`data`: the data directory that the file is for, None for the cluster's own."""

    def __init__(self, layout: ArchiveLayout, memory: Memory, data: str | None = None) -> None:
        self.layout, self.memory = layout, memory
        self.data = data or str(layout.postgres.data)
        self.tool = PgBackRest(layout, memory.port, self.data)

    def file(self, name: str, target: str) -> str:
        """Fetch it to `target`; the repository it came from. Raises Failed when it is proven absent where it was looked for, OutcomeUnknown
        when a repository could not be read.
        """
        if not self._waited_for():
            raise Failed(
                f"WAL file {name}: not asked for, because this host is being promoted: what counts was fetched before"
            )
        drain = window(archive_state.load(self.layout).drain, boottime())
        failed = dict[str, Done]()
        asked = self._repositories(drain)
        place = stanza(self.layout, self.data)
        for repository in asked:
            done = self._ask(repository, place, name, target)
            if done.code == 0:
                self._note(drain, name, repository)
                return repository
            if done.code != NO_SUCH_WAL:
                failed[repository] = done
        if failed:
            raise OutcomeUnknown(
                f"WAL file {name}: found no answer ({_told(failed)}), wanted the file or that there is none; whether the archive ends here is "
                "not known; it is asked again; see `dr-host archive status`"
            )
        self._note(drain, name, None)
        raise Failed(f"WAL file {name}: not in repository {', '.join(asked)}")

    def _repositories(self, drain: dict[str, Any] | None) -> Sequence[str]:
        """A standby that follows asks its own region's alone: a promotion waits for the answer, and the other region may be dead. A drain has
        seen which of them answer; a server that does not run (pg_rewind) has time for both.
        """
        if drain is not None:
            return list(drain["repositories"])
        running = alive(self.layout.postgres) is not None
        return (self.memory.site,) if running else self.memory.repositories

    def _ask(self, repository: str, place: str, name: str, target: str) -> Done:
        deadline = time.monotonic() + ASK_S
        while True:
            limit = max(min(TRY_S, deadline - time.monotonic()), 1.0)
            command = ("archive-get", "--no-archive-async", name, target)
            done = self.tool.call_while(self._waited_for, repository, place, *command, limit_s=limit)
            over = time.monotonic() + PAUSE_S >= deadline
            if done.code in (0, NO_SUCH_WAL, GIVEN_UP) or over:
                return done
            time.sleep(PAUSE_S)

    def _waited_for(self) -> bool:
        """The role is given before the word to promote, which waits for the command that the server has under way."""
        role = rolefile.read(self.layout.postgres.base)
        return role is None or role.role != PRIMARY

    def _note(self, drain: dict[str, Any] | None, name: str, repository: str | None) -> None:
        if drain is None or len(name) != 24:
            return
        with archive_state.change(self.layout) as state:
            if state.drain is None:
                return
            if repository is None:
                state.drain["absent"] = name
            else:
                state.drain["fetched"][name] = repository


def _told(failed: dict[str, Done]) -> str:
    return "; ".join(f"repository {name}: {explain(done)}" for name, done in sorted(failed.items()))
