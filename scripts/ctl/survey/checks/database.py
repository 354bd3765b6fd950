"""Checks of the databases: roles, the stream between them, and whether one could take the other's place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from contract.hosts import DATABASE
from contract.survey import HostSurvey
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, each, judged, size, unknown

BLOCKS, WARNS = Severity.BLOCKS, Severity.WARNS
FREE = 2**30  # bytes
STATUS = "dr-host postgres status"


def _role(at: Sight) -> Iterator[Verdict]:
    """One primary, and it is the active region's."""
    for name, site, word in at.heads(DATABASE):
        active, it = at.is_active(site), word.value
        if active is None or it is None or it.postgres is None:
            yield unknown(name, word.why or at.survey.newest.why)
            continue
        follows = it.postgres.in_recovery
        if not it.postgres.running:
            yield Verdict(subject=name, holds=False, found="down")
        elif follows is None:
            yield unknown(name, "runs, and does not say what it is")
        else:
            yield Verdict(subject=name, holds=follows is not active, found="a standby" if follows else "a primary")


def _lag(at: Sight) -> Iterator[Verdict]:
    lag, _ = at.pair(lambda it: it.postgres and it.postgres.lag_bytes)
    yield judged("standby", lag, lambda it: it <= at.settings.loss_budget.max_lag_bytes, size)


def _streams(at: Sight) -> Iterator[Verdict]:
    _, streaming = at.pair(lambda it: it.postgres and it.postgres.streaming)
    yield judged("standby", streaming, bool, lambda it: "streams" if it else "does not stream")


def _slot(at: Sight) -> Iterator[Verdict]:
    slot, _ = at.pair(lambda it: it.postgres and it.postgres.slot)
    yield judged(
        "the standby's slot",
        slot,
        lambda it: bool(it.active) and it.wal_status in ("reserved", "extended"),
        lambda it: f"{'in use' if it.active else 'unused'}, its WAL is {it.wal_status}",
    )


def _alike(of: Any, words: Any = str) -> Any:
    """Whether the two databases say the same."""

    def judge(at: Sight) -> Iterator[Verdict]:
        active, standby = at.pair(of)
        if active is None or standby is None:
            yield unknown("both databases")
        else:
            found = words(active) if active == standby else f"{words(active)} active, {words(standby)} standby"
            yield Verdict(subject="both databases", holds=active == standby, found=found)

    return judge


def _differing(of: Any, *, lower: bool = False) -> Any:
    """Whether two tables agree; with `lower`, whether the standby's numbers are at least the active's."""

    def judge(at: Sight) -> Iterator[Verdict]:
        active, standby = at.pair(of)
        if active is None or standby is None:
            yield unknown("both databases")
            return
        wrong = [name for name in sorted(active) if _worse(active[name], standby.get(name), lower)]
        told = ", ".join(f"{name} {active[name]} active, {standby.get(name, 'none')} standby" for name in wrong[:5])
        yield Verdict(subject="both databases", holds=not wrong, found=told or f"{len(active)} alike")

    return judge


def _worse(active: str, standby: str | None, lower: bool) -> bool:
    if lower:
        return standby is None or int(standby) < int(active)
    return standby != active


def _sync(at: Sight) -> Iterator[Verdict]:
    database, _ = at.pair(lambda it: it.postgres)
    if database is None or database.mode is None or database.sync is None:
        yield unknown("commits")
    else:
        wanted = "off" if database.mode == "async" else "on"
        yield Verdict(
            subject="commits", holds=database.sync == wanted, found=f"mode {database.mode}, waiting is {database.sync}"
        )


def _free(of: Any, *kinds: str) -> Any:
    def judge(at: Sight) -> Iterable[Verdict]:
        return each(at.hosts(*kinds), of, lambda it: it >= FREE, lambda it: f"{size(it)} free")

    return judge


def _version(it: HostSurvey) -> Any:
    return it.parity and it.parity.version


ROWS = (
    Row(
        id="pg.role",
        severity=BLOCKS,
        about="one database writes, in the region that is active",
        judge=_role,
        wanted="a primary in the active region and a standby in the other",
        next="pulumi up, for the region whose database is wrong",
    ),
    Row(
        id="pg.replication.streaming",
        severity=BLOCKS,
        about="the standby streams",
        judge=_streams,
        wanted="streaming",
        next=f"{STATUS} on db-1 of the standby, then pulumi up for it",
    ),
    Row(
        id="pg.replication.lag",
        severity=BLOCKS,
        about="how far the standby is behind",
        judge=_lag,
        wanted="within dr:loss_budget.max_lag_bytes",
        next=f"{STATUS} on db-1 of the standby; see its disk and the network between the regions",
    ),
    Row(
        id="pg.slot",
        severity=BLOCKS,
        about="the standby's slot keeps what it needs",
        judge=_slot,
        wanted="in use, reserved or extended",
        next="pulumi up for the standby",
    ),
    Row(
        id="pg.replay",
        severity=BLOCKS,
        about="replay on the standby goes on",
        judge=lambda at: [
            judged(
                "standby",
                at.pair(lambda it: it.postgres and it.postgres.paused)[1],
                lambda it: not it,
                lambda it: "stands still" if it else "goes on",
            )
        ],
        wanted="going on",
        next="select pg_wal_replay_resume() on db-1 of the standby",
    ),
    Row(
        id="pg.timeline",
        severity=BLOCKS,
        about="both databases are on one timeline",
        judge=_alike(lambda it: it.postgres and it.postgres.timeline),
        wanted="the same",
        next="pulumi up for the standby, which makes it follow",
    ),
    Row(
        id="pg.identity",
        severity=BLOCKS,
        about="both databases are one cluster",
        judge=_alike(lambda it: it.postgres and it.postgres.system_identifier),
        wanted="the same system identifier",
        next="pulumi up for the standby, which copies it anew",
    ),
    Row(
        id="pg.parity.version",
        severity=WARNS,
        about="one version of PostgreSQL",
        judge=_alike(_version),
        wanted="the same",
        next="upgrade the standby's packages, then the active's after a move",
    ),
    Row(
        id="pg.parity.collation",
        severity=WARNS,
        about="texts sort alike",
        judge=_differing(lambda it: it.parity and it.parity.collations),
        wanted="the same version of each collation",
        next="the same libc and ICU on both; else indexes on texts are wrong after a move: REINDEX",
    ),
    Row(
        id="pg.parity.parameters",
        severity=BLOCKS,
        about="the standby can hold what the active one can",
        judge=_differing(lambda it: it.parity and it.parity.parameters, lower=True),
        wanted="none lower on the standby",
        next="pulumi up for the standby first",
    ),
    Row(
        id="pg.parity.extensions",
        severity=WARNS,
        about="the same extensions can be had",
        judge=_differing(lambda it: it.parity and it.parity.extensions),
        wanted="the same versions",
        next="install the missing packages on the standby",
    ),
    Row(
        id="pg.checksums",
        severity=WARNS,
        about="pages have checksums",
        judge=lambda at: [
            judged(
                "cluster",
                at.pair(lambda it: it.parity and it.parity.checksums)[0],
                bool,
                lambda it: "on" if it else "off",
            )
        ],
        wanted="on",
        next="pg_checksums --enable, with the database stopped",
    ),
    Row(
        id="pg.sync",
        severity=WARNS,
        about="commits wait as configured",
        judge=_sync,
        wanted="waiting where dr:postgres.mode wants it",
        next=f"{STATUS} on both; it waits again once the standby is back",
    ),
    Row(
        id="pg.disk",
        severity=BLOCKS,
        about="room on the databases' volumes",
        judge=_free(lambda it: it.postgres and it.postgres.disk_free, DATABASE),
        wanted="1 GiB or more",
        next="a larger volume; see archive.waiting and pg.slot for what fills it",
    ),
)
