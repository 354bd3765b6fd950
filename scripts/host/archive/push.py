"""One WAL segment to both repositories, called by PostgreSQL's archiver as its own user.

Who is not the primary stores nothing. Each repository goes on alone: one that fails keeps the server's WAL waiting, and keeps nothing from
the other. When more than `queue_max` waits, the failing one is left out and owes what it missed (`check` sends it later), so
that its failure never fills the primary's disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contract.dataclass import dataclass
from contract.errors import Failed, Refused, say

from ..frame import rolefile
from ..frame.commands import Done
from ..frame.layout import Layout
from ..frame.log import Log
from ..frame.rolefile import PRIMARY, Role
from . import state as archive_state
from .desired import Memory
from .layout import ArchiveLayout
from .state import State
from .tool import DIFFERENT_CONTENT, GIVEN_UP, Outcome, PgBackRest, explain, stanza

LIMIT_S = 300.0


@dataclass(frozen=True)
class Verdict:
    """`leave_out`: repositories from now on left out. `stored`: PostgreSQL may forget the segment."""

    leave_out: tuple[str, ...]
    stored: bool


def judge(failed: Sequence[str], waiting: int, queue_max: int) -> Verdict:
    """`waiting`: bytes of WAL that the server keeps for the archive. Pure."""
    if not failed:
        return Verdict((), True)
    if waiting <= queue_max:
        return Verdict((), False)
    return Verdict(tuple(sorted(failed)), True)


def may_write(role: Role | None, state: State) -> Role:
    """The role of a host that may write to the archive. Raises Refused for every other."""
    if role is None or role.role != PRIMARY:
        raise Refused(
            say(
                subject="role of this host",
                found=role.role if role else "none",
                wanted=PRIMARY,
                consequence="nothing was written to the archive: WAL of two writers in one archive cannot be told apart",
                remedy="the active site archives; `pulumi up` gives a role",
            )
        )
    if state.hold is not None and int(state.hold["epoch"]) > role.epoch:
        raise Refused(
            say(
                subject="epoch of this host",
                found=f"{role.epoch}, while the witness has {state.hold['epoch']} with site {state.hold['active']} active",
                wanted="the newest",
                consequence="nothing was written to the archive: this host is no longer the primary",
                remedy="run `pulumi up` for this site, so that it follows",
            )
        )
    return role


class Push:
    """`base`: where the role file is."""

    def __init__(self, layout: ArchiveLayout, memory: Memory, log: Log) -> None:
        self.layout, self.memory, self.log = layout, memory, log
        self.tool = PgBackRest(layout, memory.port)

    def segment(self, wal: str) -> None:
        """Raises Refused (nothing written) or Failed (PostgreSQL tries again)."""
        base: Layout = self.layout.postgres.base
        state = archive_state.load(self.layout)
        role = may_write(rolefile.read(base), state)
        name, path = Path(wal).name, self.layout.postgres.data / wal
        every = self.memory.repositories
        active = [repository for repository in every if repository not in state.suspended] or list(every)
        place = stanza(self.layout)
        failed = self._push(active, place, path)
        if any(done.code == GIVEN_UP for done in failed.values()):
            may_write(rolefile.read(base), state)
        for repository, done in failed.items():
            if done.code == DIFFERENT_CONTENT:
                self._alarm(repository, name, role, explain(done))
        ready = waiting(self.layout)
        if failed and ready and ready[-1] != name:
            # pgBackRest sends all that waits, but looks only when it is asked for a segment that it has not sent yet.
            self._push([it for it in active if it not in failed], place, path.with_name(ready[-1]))
        verdict = judge(list(failed), self._bytes(ready), self.memory.queue_max)
        if verdict.leave_out:
            self._leave_out(verdict.leave_out, name, failed)
            if len(failed) == len(active):
                self._drop(name)
        if not verdict.stored:
            Outcome(dict(failed)).raise_failed(
                f"WAL segment {name}",
                "the server keeps it and tries again, the other region's repository goes on",
                "see `dr-host archive status`; beyond dr:archive queue_max the failing repository is left out until it answers",
            )

    def _push(self, repositories: Sequence[str], place: str, path: Path) -> dict[str, Done]:
        def one(repository: str) -> Done:
            return self.tool.call_while(self._primary, repository, place, "archive-push", str(path), limit_s=LIMIT_S)

        with ThreadPoolExecutor(max_workers=2) as pool:
            done = dict(zip(repositories, pool.map(one, repositories), strict=True))
        return {repository: it for repository, it in done.items() if it.code != 0}

    def _primary(self) -> bool:
        role = rolefile.read(self.layout.postgres.base)
        return role is not None and role.role == PRIMARY

    def _bytes(self, ready: Sequence[str]) -> int:
        folder = self.layout.postgres.data / "pg_wal"
        sizes = (folder / name for name in ready)
        return sum(path.stat().st_size for path in sizes if path.exists())

    def _alarm(self, repository: str, name: str, role: Role, message: str) -> None:
        with archive_state.change(self.layout) as state:
            if state.alarm is None:
                state.alarm = {
                    "repository": repository,
                    "segment": name,
                    "epoch": role.epoch,
                    "message": message,
                    "at": archive_state.now(),
                }
        self.log.error(
            f"SPLIT BRAIN: WAL segment {name} is in repository {repository} with other content: another server wrote as this cluster on this "
            "timeline, or this one did before it was put back; stop one of the two before anything else, see docs/restore.md"
        )

    def _drop(self, name: str) -> None:
        with archive_state.change(self.layout) as state:
            state.dropped = {"from": state.dropped["from"] if state.dropped else name, "to": name}
            state.passed = []
        self.log.error(
            f"archive: WAL segment {name} is dropped: no repository takes it and more than {self.memory.queue_max} bytes wait; a restore cannot go "
            'past it from older backups; once a repository answers, `{"type": "full"}` for `dr-host archive backup`'
        )

    def _leave_out(self, repositories: Sequence[str], name: str, failed: Mapping[str, Done]) -> None:
        with archive_state.change(self.layout) as state:
            for repository in repositories:
                state.suspended.setdefault(
                    repository, {"from": name, "since": archive_state.now(), "why": explain(failed[repository])}
                )
        self.log.error(
            f"archive: repository {', '.join(repositories)} is left out from {name} on, because more than {self.memory.queue_max} bytes wait for it; "
            "the primary's disk comes first; a restore from there ends before this segment until `archive check` has filled it in"
        )


def waiting(layout: ArchiveLayout) -> list[str]:
    """Names of WAL files that PostgreSQL wants archived, oldest first."""
    status = layout.postgres.data / "pg_wal" / "archive_status"
    try:
        return sorted(path.stem for path in status.iterdir() if path.suffix == ".ready")
    except OSError:
        return []


def refuse_unknown(memory: Memory | None) -> Memory:
    """Raises Failed on a host that was never prepared: its WAL waits."""
    if memory is None:
        raise Failed(
            say(
                subject="archive of this host",
                found="no record of what was prepared",
                wanted="a host that was prepared",
                consequence="WAL waits on this host",
                remedy="run `pulumi up` for this site first",
            )
        )
    return memory
