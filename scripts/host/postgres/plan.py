"""What is to be done on a database host, from facts alone. Pure: tests read facts from files.

Two rules carry the rest. A data directory is started as a standby only when it is an ancestor of the primary's history; and a cluster
becomes the primary only from being its standby, or because it is the primary already.
"""

from __future__ import annotations

from contract.dataclass import dataclass
from contract.epoch import InForce
from contract.errors import Failed, Refused, say
from contract.services.postgres import TESTED

from ..frame.plan import LOOK_AGAIN, Step
from ..frame.rolefile import FENCED, PRIMARY, Role
from . import standby_first
from .beginning import nothing_lost
from .diverged import COPIED, Fault, fault_of
from .facts import Cluster, Facts, Live
from .mark import COPY, CUT, EXPIRED
from .memory import ASYNC
from .peer import Peer, marker
from .sync import State, step
from .text import SHUT_DOWN, SHUT_DOWN_IN_RECOVERY
from .volume import BLANK


@dataclass(frozen=True)
class Want:
    """`role` is what this host is to be, in `epoch`."""

    role: Role
    epoch: InForce
    peer: str  # name of the peer's database host
    mode: str = ASYNC
    version: int = TESTED
    begin_empty: int | None = None  # the epoch of the operator's word for an empty database in the place of a lost one

    @property
    def active(self) -> bool:
        return self.role.role == PRIMARY


def plan(want: Want, facts: Facts) -> list[Step]:
    """The steps in order; empty when all is as wanted. Raises Refused before anything was changed."""
    _same_version(want, facts)
    if want.active:
        # The write outage ends with the promotion, so nothing goes before it.
        promotion = _promotion(want, facts)
        if promotion:
            return promotion
    _installed(facts)
    ground = _volume(facts) or _unmanaged(want, facts)
    if ground:
        return ground
    return _active(want, facts) if want.active else _standby(want, facts)


def _same_version(want: Want, facts: Facts) -> None:
    """A standby may follow a primary that somebody has upgraded; the primary itself has the shop's data where it is."""
    if not want.active or facts.other_version is None:
        return
    raise Refused(
        say(
            subject="PostgreSQL of this host",
            found=f"the shop's cluster, of version {facts.other_version}",
            wanted=f"one of version {want.version}",
            consequence="no run changes the major version of data, and without them the shop would have none, nothing was changed",
            remedy=f"set postgres.version back to {facts.other_version} and run `pulumi up` of both stacks",
        )
    )


def _installed(facts: Facts) -> None:
    """What the server would not start without, or could not answer with after a take-over, has to be on this host."""
    lacking = [*facts.libraries, *(facts.live.unavailable if facts.live else ())]
    if lacking:
        raise Refused(
            say(
                subject="libraries and extensions of this host",
                found=f"no {', no '.join(lacking)}",
                wanted="all that `preload` and `extensions` name",
                consequence="the server would not start with them, nothing was changed",
                remedy="use an image with their packages on the database hosts of both sites, or take them out of both stack files",
            )
        )


def _volume(facts: Facts) -> list[Step]:
    volume = facts.volume
    if volume.grown:
        return [Step("grow-volume"), LOOK_AGAIN]
    if not volume.wanted or volume.mounted:
        return []
    if volume.device is None:
        return [Step("wait-for-volume"), LOOK_AGAIN]
    if volume.filesystem not in (BLANK, "ext4"):
        raise Refused(
            say(
                subject=f"volume {volume.device}",
                found=volume.filesystem or "nothing that can be told",
                wanted="ext4, or a blank device",
                consequence="formatting it could destroy data, nothing was changed",
                remedy="look at it (`blkid -p`), empty it by hand if it is to be used",
            )
        )
    stop = [Step("stop")] if facts.cluster and facts.cluster.running else []
    return [*stop, *([Step("format-volume")] if volume.filesystem == BLANK else []), Step("mount-volume"), LOOK_AGAIN]


def _unmanaged(want: Want, facts: Facts) -> list[Step]:
    """A cluster that the package made, or anybody else: kept, out of the way."""
    cluster = facts.cluster
    if cluster is None or cluster.managed:
        return []
    if facts.role is not None and facts.role.epoch == want.role.epoch and facts.role.role == PRIMARY:
        raise Refused(
            say(
                subject="data directory",
                found="a cluster that was not made here, on a host that is the primary",
                wanted="the one with the shop's data",
                consequence="setting it aside could hide orders, nothing was changed",
                remedy="put the right data directory back",
            )
        )
    return [*([Step("stop")] if cluster.running else []), Step("set-aside", "unmanaged"), LOOK_AGAIN]


def _promotion(want: Want, facts: Facts) -> list[Step]:
    live = facts.live
    if live is None or not live.in_recovery:
        return []
    if facts.role is not None and facts.role.role == FENCED:
        raise Refused(
            "role of this host: found a fenced standby, wanted a standby; nothing was changed; converge the site as standby first"
        )
    if live.paused and short(facts):
        # Replay stopped by itself, and a promotion would end the server: first the values of the old primary.
        return [*_files(facts), Step("restart", ", ".join(short(facts))), LOOK_AGAIN]
    resumed = [Step("resume-replay")] if live.paused else []
    return [Step("role", _told(want.role)), *resumed, Step("promote"), *_overrides(live), Step("slot"), LOOK_AGAIN]


def _active(want: Want, facts: Facts) -> list[Step]:
    cluster, live = facts.cluster, facts.live
    if cluster is None:
        return _first(want, facts)
    _may_lead(want, facts, cluster)
    standby_first.raised(want, facts)
    standby_first.restarted(want, facts)
    steps = _files(facts)
    if facts.role is None:  # it has never led here: made by a run that ended early, or restored
        steps += _recorded(facts)
    if facts.role != want.role:
        steps.append(Step("role", _told(want.role)))
    if not facts.enabled:
        steps.append(Step("enable"))
    if live is None:
        return [*steps, Step("start"), LOOK_AGAIN]
    if facts.files or live.reload_due or live.faults:
        return [*steps, Step("reload"), LOOK_AGAIN]
    steps += _overrides(live)
    # Clients have just come back to a primary of this epoch, whoever promoted it: what needs a restart waits for the next run.
    fresh = facts.promoted or live.marker != marker(want.role.epoch, want.role.site)
    if live.restart_due and not fresh:
        # How many sessions the shop may hold goes by what is in force then.
        return [*steps, Step("restart", ", ".join(live.restart_due)), LOOK_AGAIN]
    steps += [Step("slot")] if live.slot not in ("good", "active") else []
    steps += [Step("role-in-database", name) for name in live.roles]
    # One with sessions is somebody's who has not heard of the new one: it stays until they have gone.
    steps += [Step("shut-out", name) for name, sessions in live.left.items() if not sessions]
    steps += _sync(want, live)
    steps += [Step("extension", name) for name in live.extensions]
    steps += [Step("marker")] if live.marker != marker(want.role.epoch, want.role.site) else []
    steps += [] if fresh or facts.role is None else _recorded(facts)
    return steps if live.database else [*steps, Step("database")]


def _first(want: Want, facts: Facts) -> list[Step]:
    if want.begin_empty != want.epoch.epoch:
        nothing_lost(want, facts)
    # The role comes after the data: a host with the role and without the data has lost them. And the record comes before the first order.
    return [
        *_files(facts),
        Step("initialise"),
        Step("record-cluster"),
        Step("role", _told(want.role)),
        Step("enable"),
        Step("start"),
        LOOK_AGAIN,
    ]


def _may_lead(want: Want, facts: Facts, cluster: Cluster) -> None:
    """Refuse a cluster that led in an older epoch and has not followed since: it lacks what the peer wrote."""
    role = facts.role
    same = role is None or role.epoch >= want.role.epoch or want.epoch.previous in (None, want.role.site)
    if same or cluster.standby_signal or (facts.live is not None and facts.live.in_recovery):
        return
    raise Refused(
        say(
            subject="cluster on this host",
            found=f"a primary of epoch {role.epoch if role else 'unknown'} that has not followed since",
            wanted=f"a standby of epoch {want.role.epoch - 1}",
            consequence="it lacks the other site's orders, nothing was changed",
            remedy="converge this site as standby first, then move the shop",
        )
    )


def _sync(want: Want, live: Live) -> list[Step]:
    """What the watch of the agent would do by itself, but for what takes time to decide."""
    move = None if live.sync is None else step(want.mode, State(), live.sync, 0.0, 1.0)[1]
    return [Step("sync", "on" if move.on else "off")] if move else []


def short(facts: Facts) -> list[str]:
    """Limits that a running standby has less of than its primary had when it replayed last."""
    if facts.cluster is None or facts.live is None or not facts.live.in_recovery:
        return []
    return [name for name, value in facts.cluster.limits.items() if facts.live.limits.get(name, value) < value]


def _standby(want: Want, facts: Facts) -> list[Step]:
    cluster, live = facts.cluster, facts.live
    steps = _files(facts)
    role = [Step("role", _told(want.role))] if facts.role != want.role else []
    if cluster and cluster.running and not (live and live.in_recovery):
        if live is None:
            # It is starting or stopping; a standby in that state is waited for, anything else is stopped.
            return [Step("start"), LOOK_AGAIN] if cluster.standby_signal else [*role, Step("stop"), LOOK_AGAIN]
        return [*role, Step("stop"), LOOK_AGAIN]
    fault = None if cluster is None else fault_of(want.peer, cluster, _peer(want, facts))
    if fault is None and _marked(want, facts, EXPIRED):
        fault = Fault(facts.mark.why if facts.mark else "", COPIED)
    if cluster is None or fault is not None:
        return [*steps, *role, *_rejoined(want, facts, fault)]
    steps += role + _enabled(facts)
    if live is None:
        signal = [] if cluster.standby_signal else [Step("standby-signal")]
        return [*steps, *signal, Step("start"), LOOK_AGAIN]
    return _following(want, facts, steps, live)


def _following(want: Want, facts: Facts, steps: list[Step], live: Live) -> list[Step]:
    """What is left to do on a standby that runs; `steps` go before it."""
    if facts.files or live.reload_due or live.faults:
        return [*steps, Step("reload"), LOOK_AGAIN]
    if live.overrides:
        return [*steps, *_overrides(live), LOOK_AGAIN]
    if live.restart_due:
        # What it waits for may be a recovery target that an override has brought: resumed there, it would promote itself.
        return [*steps, Step("restart", ", ".join(live.restart_due)), LOOK_AGAIN]
    steps += [Step("resume-replay")] if live.paused and not short(facts) else []
    steps += [
        *_sync(want, live),
        *([Step("drop-logical-slots", ", ".join(live.stray_slots))] if live.stray_slots else []),
    ]
    steps += [Step("drop-slot")] if live.slot not in (None, "active") else []
    if not (live.streaming and _peer(want, facts).sees == "streaming"):
        return [*steps, Step("follow"), LOOK_AGAIN]
    return [*steps, *_settled(facts), *_recorded(facts)]


def _recorded(facts: Facts) -> list[Step]:
    """Of a cluster that is older than the record, or whose primary could not reach the witness."""
    return [] if facts.recorded else [Step("record-cluster")]


def _rejoined(want: Want, facts: Facts, fault: Fault | None) -> list[Step]:
    """Data that follow the primary, made of those that cannot, or made anew. What they alone hold is kept first."""
    cluster = facts.cluster
    ready = [*_enabled(facts), Step("start"), Step("follow")]
    if cluster is None or fault is None:
        _peer(want, facts)
        if facts.rewound == "complete":
            return [Step("swap", "rewound"), *ready, Step("settle")]
        if facts.rewound is not None and _marked(want, facts, CUT):
            return [Step("peer-slot"), Step("rewind"), LOOK_AGAIN]
        return [*_copied(want, facts), Step("swap"), *ready, *_settled(facts)]
    steps = [Step("say", fault.why), *_stop(cluster)]
    if fault.fork is not None:
        steps.append(Step("evidence", f"in evidence/{want.role.epoch}"))
    if fault.repair == COPIED or _marked(want, facts, COPY):
        return [
            *steps,
            *_copied(want, facts),
            Step("set-aside", "diverged"),
            Step("swap"),
            *ready,
            *_settled(facts, fault),
        ]
    clean = cluster.running or cluster.state in (SHUT_DOWN, SHUT_DOWN_IN_RECOVERY)
    return [*steps, *([] if clean else [Step("recover")]), Step("peer-slot"), Step("rewind"), LOOK_AGAIN]


def _marked(want: Want, facts: Facts, stage: str) -> bool:
    """Whether an earlier run of this epoch left this mark."""
    return facts.mark is not None and (facts.mark.epoch, facts.mark.stage) == (want.role.epoch, stage)


def _settled(facts: Facts, fault: Fault | None = None) -> list[Step]:
    left = facts.mark is not None or facts.rewound is not None or (fault is not None and fault.fork is not None)
    return [Step("settle")] if left else []


def _copied(want: Want, facts: Facts) -> list[Step]:
    _peer(want, facts)
    if facts.copy == "complete":
        return []
    return [*([Step("discard-copy")] if facts.copy else []), Step("peer-slot"), Step("copy")]


def _peer(want: Want, facts: Facts) -> Peer:
    """The primary to follow. Raises Failed while it cannot be asked: whether these data fit is unknown without it."""
    peer = facts.peer or Peer(error="not asked")
    if peer.error is not None:
        raise Failed(
            say(
                subject=f"database of the active site, {want.peer}",
                found=peer.error,
                wanted="an answer over TLS",
                consequence="whether the data here can follow it is unknown, they were left as they are",
                remedy="see whether that host and the link between the sites are up, run the same again",
            )
        )
    if peer.in_recovery:
        raise Refused(
            say(
                subject=f"database of the active site, {want.peer}",
                found="a standby",
                wanted="the primary",
                consequence="there is nothing to follow, nothing was changed",
                remedy=f"run `pulumi up -s region-{want.role.peer}` first",
            )
        )
    if peer.version and peer.version // 10000 != want.version:
        raise Refused(
            say(
                subject=f"PostgreSQL of the active site, {want.peer}",
                found=f"version {peer.version // 10000}",
                wanted=f"{want.version} as here",
                consequence="a physical standby needs the same major version, nothing was changed",
                remedy="give `postgres.version` the value of the active site in both stack files",
            )
        )
    return peer


def _files(facts: Facts) -> list[Step]:
    """Everything on disk that the next start or reload reads."""
    stray = facts.cluster is not None and facts.cluster.recovery_signal
    steps = [Step("files", ", ".join(facts.files))] if facts.files else []
    return [*steps, Step("drop-recovery-signal")] if stray else steps


def _enabled(facts: Facts) -> list[Step]:
    return [] if facts.enabled else [Step("enable")]


def _overrides(live: Live) -> list[Step]:
    return [Step("reset-overrides", ", ".join(live.overrides))] if live.overrides else []


def _stop(cluster: Cluster | None) -> list[Step]:
    return [Step("stop")] if cluster and cluster.running else []


def _told(role: Role) -> str:
    return f"{role.role} in epoch {role.epoch}"
