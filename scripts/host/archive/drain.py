"""What the archives of both regions hold beyond the stream, replayed on a standby before it is promoted.

A primary may have archived for hours what its standby never received: the link between the databases was cut, the way to the buckets was not.
Those are acknowledged writes, so a take-over fetches them first and counts its loss after. The server does the work itself, by its
restore_command, whose gate stands open meanwhile; nothing of it is restarted, and a stream that lives is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from contract.errors import DrError, Failed, Refused, say

from ..frame import rolefile
from ..frame.boots import boottime
from ..frame.commands import CommandFailed
from ..frame.log import Log
from ..frame.rolefile import STANDBY
from ..frame.wait import until
from ..postgres.server import TIMELINE, Server
from ..postgres.text import history, lsn, segment_name
from . import state as archive_state
from .desired import Memory
from .layout import ArchiveLayout
from .tool import PgBackRest, explain, stanza

LIMIT_S, LONGEST_S = 60, 7200  # when the caller names none, and what it may name
LIST_SHARE = 0.25  # of the limit, at most, to learn what a repository holds: a dead one takes all of it
LOOK_S = 0.1
# In both the server has replayed all that it has, and waits for more: before it tries again, and for a stream.
_AT_END = ("RecoveryRetrieveRetryInterval", "RecoveryWalStream")


@dataclass(frozen=True)
class Beyond:
    """What repositories hold from a position on. `last`: the last segment of those that follow each other without a hole, None without any.
    `missing`: the first segment that no repository has although one has a later one.
    """

    last: str | None = None
    missing: str | None = None


def beyond(names: set[str], past: Sequence[int], position: int, size: int) -> Beyond:
    """`past`: the timelines that are this cluster's own past, oldest first. `position`: what is here already. Pure."""
    ours = {name[8:]: name for timeline in past for name in sorted(names) if name.startswith(f"{timeline:08X}")}
    following, later, at = None, max(ours, default=""), position
    while (name := segment_name(0, at, size)[8:]) in ours:
        following, at = ours[name], at + size
    return Beyond(following, segment_name(past[-1], at, size) if later > name else None)


@dataclass
class Seen:
    """One look at the server, and what it says of the drain's end."""

    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def position(self) -> int:
        """How far the WAL reaches that is here."""
        return max((lsn(self.facts[name]) for name in ("receive_lsn", "replay_lsn") if self.facts.get(name)), default=0)


class Drain:
    """One call. Whatever ends it, the gate shuts by itself at the limit (`fetch.window`), and the same call again goes on."""

    def __init__(self, layout: ArchiveLayout, memory: Memory, server: Server, log: Log) -> None:
        self.layout, self.memory, self.server, self.log = layout, memory, server, log
        self.tool = PgBackRest(layout, memory.port)
        self.unread: dict[str, str] = {}  # why a repository could not be read
        self.why: list[str] = []

    def run(self, limit_s: float) -> dict[str, Any]:
        """Facts, see docs/interfaces.md. Raises Refused, with nothing changed, where there is no standby to drain into."""
        over = time.monotonic() + limit_s
        first = self._standby()
        control = self.server.control_data()
        size, place = control.segment if control else 16 << 20, stanza(self.layout)
        held = self._ask(place, segment_name(0, first.position, size)[8:], limit_s * LIST_SHARE)
        names = set[str]().union(*held.values())
        past = self._past(place, held, first)
        found = beyond(names, past, first.position, size)
        fetched, last = dict[str, str](), first
        if found.last is not None or past[-1] > first.facts["timeline"]:
            fetched, last = self._replay(list(held), found, over)
        if found.missing is not None:
            self.why.append(
                f"no repository has segment {found.missing}, although later ones are there: replay ends before it"
            )
        self.why += [f"repository {name} could not be read: {why}" for name, why in self.unread.items()]
        for reason in self.why:
            self.log.warning(reason)
        return {
            "prepared": True,
            "complete": not self.why,
            "why": self.why,
            "timeline": last.facts["timeline"],
            "receive_lsn": last.facts["receive_lsn"],
            "replay_lsn": last.facts["replay_lsn"],
            "replayed_bytes": max(last.position - first.position, 0),
            "last": found.last,
            "missing": found.missing,
            "fetched": {name: _summary(fetched, name) for name in self.memory.repositories},
            "unread": self.unread,
        }

    def _standby(self) -> Seen:
        role, seen = rolefile.read(self.layout.postgres.base), self._look()
        if role is None or role.role != STANDBY or not seen.facts.get("in_recovery"):
            state = (
                "no answer" if not seen.facts else "in recovery" if seen.facts["in_recovery"] else "open for writing"
            )
            raise Refused(
                say(
                    subject="database of this host",
                    found=f"role {role.role if role else 'none'}, server {state}",
                    wanted=f"role {STANDBY}, server in recovery",
                    consequence="there is nothing to replay the archive into, nothing was changed",
                    remedy="see `dr-host postgres status`",
                )
            )
        return seen

    def _look(self) -> Seen:
        return Seen(self.server.ask(_LOOK) or {})

    # --- what the archives hold

    def _ask(self, place: str, first: str, limit_s: float) -> dict[str, set[str]]:
        """By repository that can be read: names from segment `first` on. Both at the same time, because one may be dead."""

        def one(repository: str) -> set[str] | str:
            try:
                return self.tool.held(repository, place, first, limit_s)
            except (Failed, ValueError, TypeError, KeyError) as error:
                return str(error)

        with ThreadPoolExecutor(max_workers=2) as pool:
            found = dict(zip(self.memory.repositories, pool.map(one, self.memory.repositories), strict=True))
        self.unread = {name: it for name, it in found.items() if isinstance(it, str)}
        return {name: it for name, it in found.items() if not isinstance(it, str)}

    def _past(self, place: str, held: dict[str, set[str]], seen: Seen) -> list[int]:
        """The timelines that the server will follow, oldest first: its own, and a newer one that begins beyond what it has replayed."""
        own = int(seen.facts["timeline"])
        newest = max((name for names in held.values() for name in names if len(name) == 16), default="")
        if not newest or int(newest[:8], 16) <= own:
            return [own]
        path = self.layout.repair / newest
        source = next(name for name, names in held.items() if newest in names)
        try:
            done = self.tool.call(source, place, "archive-get", "--no-archive-async", newest, str(path))
            ancestors = history(path.read_text()) if done.code == 0 else []
            said = explain(done)
        except OSError as error:
            ancestors, said = [], str(error.strerror)
        finally:
            self.layout.leave(path)
        if not ancestors:
            self.unread[source] = f"{newest}: {said}"
            return [own]
        replayed = lsn(seen.facts["replay_lsn"] or "0/0")
        left = {timeline: lsn(position) for timeline, position in ancestors}
        if left.get(own, -1) < replayed:
            self.why.append(
                f"{newest} is in repository {source}, and this cluster is not of its past: somebody else wrote"
            )
            return [own]
        return [it for it in left if it >= own] + [int(newest[:8], 16)]

    # --- the server's part

    def _replay(self, readable: Sequence[str], found: Beyond, over: float) -> tuple[dict[str, str], Seen]:
        """Open the gate until the server has asked for more than there is, and has replayed what there was."""
        looks: list[Seen] = []
        resumed = False

        def ended() -> bool:
            nonlocal resumed
            looks.append(self._look())
            drain = archive_state.load(self.layout).drain or {}
            now, before = looks[-1].facts, looks[-2].facts if len(looks) > 1 else {}
            if now.get("paused") and not resumed:
                resumed = self._resume()
            asked = (drain.get("absent") or "")[8:] > (found.last or "")[8:]
            still = now.get("replay_lsn") is not None and now.get("replay_lsn") == before.get("replay_lsn")
            return _delivered(looks[-1], found) or (asked and still and now.get("startup") in _AT_END)

        try:
            self._open(readable, over)
            if not until(ended, max(over - time.monotonic(), 0), LOOK_S):
                self.why.append(_unfinished(looks[-1], found))
        finally:
            fetched = self._shut()
        return fetched, looks[-1] if looks[-1].facts.get("timeline") else self._standby()

    def _resume(self) -> bool:
        try:
            return self.server.resume_replay()
        except (CommandFailed, DrError) as error:
            self.log.warning(str(error))
            return True

    def _open(self, readable: Sequence[str], over: float) -> None:
        clock = boottime()
        limit = max(over - time.monotonic(), 0)
        with archive_state.change(self.layout) as state:
            state.drain = {
                "began": clock,
                "until": clock + limit,
                "repositories": list(readable),
                "fetched": {},
                "absent": None,
            }
        self.layout.open()

    def _shut(self) -> dict[str, str]:
        """The promotion that comes next asks nobody. Where none comes, `check` opens it again for a standby that does not stream."""
        self.layout.leave(self.layout.follow)
        with archive_state.change(self.layout) as state:
            fetched = dict((state.drain or {}).get("fetched", {}))
            state.drain = None
        return fetched


def _delivered(seen: Seen, found: Beyond) -> bool:
    """The stream came back and brought it: then the server asks the archive for nothing."""
    if not seen.facts.get("streaming") or found.last is None:
        return False
    size = int(seen.facts["segment"])
    return segment_name(0, max(seen.position, 1), size)[8:] > found.last[8:]


def _summary(fetched: dict[str, str], repository: str) -> dict[str, Any]:
    own = sorted(name for name, source in fetched.items() if source == repository)
    return {"segments": len(own), "first": own[0] if own else None, "last": own[-1] if own else None}


def _unfinished(seen: Seen, found: Beyond) -> str:
    replay = seen.facts.get("replay_lsn")
    how = "stands at" if seen.facts.get("paused") else "has come to"
    return f"replay {how} {replay} within the limit, and the archive holds WAL up to the end of {found.last}"


_LOOK = f"""select json_build_object(
  'in_recovery', pg_is_in_recovery(), 'timeline', {TIMELINE}, 'receive_lsn', pg_last_wal_receive_lsn(), 'replay_lsn', pg_last_wal_replay_lsn(),
  'paused', case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() <> 'not paused' else false end,
  'streaming', exists (select from pg_stat_wal_receiver where status = 'streaming'),
  'segment', (select setting::bigint from pg_settings where name = 'wal_segment_size'),
  'startup', (select wait_event from pg_stat_activity where backend_type = 'startup'))"""  # noqa: S608
