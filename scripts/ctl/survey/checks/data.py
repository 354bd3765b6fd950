"""Checks of what holds the shop's data: database, archive, cache, files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from contract.hosts import CACHE, CONTROL, DATABASE
from contract.sites import SITES
from contract.survey import Archive, HostSurvey, Repository
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, ago, each, judged, size, unknown

BLOCKS, WARNS = Severity.BLOCKS, Severity.WARNS
CHECKED_S = 180.0  # of the archive's check, which runs each minute
BACKUP_S = 26 * 3600.0  # one a day, and time to make it
WAITING = 16  # segments that are on their way to the archive in the normal course
FREE = 2**30  # bytes
CACHE_LAG = 2**20  # bytes
FILES_S, RUN_S = 300.0, 600.0
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


def _archive(at: Sight, holds: Any, words: Any) -> Iterator[Verdict]:
    archive, _ = at.pair(lambda it: it.archive)
    yield judged("archive", archive, holds, words)


def _checked(at: Sight) -> Iterator[Verdict]:
    age, _ = at.pair(lambda it: it.archive and it.archive.age_s)
    yield judged("archive", age, lambda it: it <= CHECKED_S, ago)


def _repositories(of: Any, holds: Any, words: Any) -> Any:
    """A judge of each repository, as the active side's last check has seen it."""

    def judge(at: Sight) -> Iterator[Verdict]:
        archive: Archive | None = at.pair(lambda it: it.archive)[0]
        for site in SITES:
            repository: Repository | None = getattr(archive, site, None)
            value = None if repository is None else of(repository)
            yield judged(f"repository {site}", value, lambda it: holds(at, it), lambda it: words(at, it))

    return judge


def _cache_role(at: Sight) -> Iterator[Verdict]:
    for name, site, word in at.heads(CACHE):
        active, it = at.is_active(site), word.value
        role = None if it is None or it.redis is None else it.redis.role
        if active is None or role is None:
            yield unknown(name, word.why)
        else:
            grouped = it is not None and it.redis is not None and bool(it.redis.leader)
            wanted = "master" if active else "replica"
            yield Verdict(subject=name, holds=role == wanted or (active and grouped), found=role)


def _cache_link(at: Sight) -> Iterator[Verdict]:
    _, link = at.pair(lambda it: it.redis and it.redis.link_up, CACHE)
    yield judged("standby's cache", link, bool, lambda it: "up" if it else "down")


def _cache_lag(at: Sight) -> Iterator[Verdict]:
    _, lag = at.pair(lambda it: it.redis and it.redis.lag_bytes, CACHE)
    yield judged("standby's cache", lag, lambda it: it <= CACHE_LAG, size)


def _leader(at: Sight) -> Iterator[Verdict]:
    """Of a group alone: without one there is nobody to name a leader."""
    if not at.settings.redis.cache_replicas:
        yield Verdict(subject="group", holds=True, found="none is configured")
        return
    for name, _, word in at.heads(CACHE):
        leader = None if word.value is None or word.value.redis is None else word.value.redis.leader
        yield judged(f"group of {name}", leader, bool)


def _memory(at: Sight) -> Iterator[Verdict]:
    for name, _, word in at.hosts(CACHE):
        it = None if word.value is None else word.value.redis
        if it is None or it.used_memory is None or it.maxmemory is None:
            yield unknown(name, word.why)
        else:
            share = it.used_memory / it.maxmemory if it.maxmemory else 0.0
            yield Verdict(subject=name, holds=share <= 0.9, found=f"{share:.0%} of {size(it.maxmemory)}")


def _files_run(at: Sight) -> Iterator[Verdict]:
    """The copier pulls on the standby."""
    _, files = at.pair(lambda it: it.assets, CONTROL)
    if files is None or files.finished is None:
        yield unknown("copier")
    else:
        age = max(at.now - files.finished, 0.0)
        well = bool(files.ok) and age <= RUN_S
        yield Verdict(
            subject="copier",
            holds=well,
            found=f"last run {ago(age)}, {'well' if files.ok else files.error or 'not well'}",
        )


def _files_lag(at: Sight) -> Iterator[Verdict]:
    _, missing = at.pair(lambda it: it.assets and it.assets.unreplicated, CONTROL)
    if missing is None or missing.count is None:
        yield unknown("files")
    else:
        late = max(at.now - missing.oldest, 0.0) if missing.count and missing.oldest is not None else 0.0
        found = f"{missing.count} missing, the oldest uploaded {ago(late)}" if missing.count else "none missing"
        yield Verdict(subject="files", holds=late <= FILES_S, found=found)


def _reconciled(at: Sight) -> Iterator[Verdict]:
    if at.epoch is not None and at.epoch.previous is None:
        yield Verdict(subject="files", holds=True, found="there was no move")
        return
    done, _ = at.pair(lambda it: it.assets and it.assets.reconciled, CONTROL)
    yield judged(
        "files of the region that was left", done, bool, lambda it: "brought over" if it else "not all brought over"
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
    Row(
        id="archive.checked",
        severity=WARNS,
        about="somebody looks after the archive",
        judge=_checked,
        wanted="within three minutes",
        next="systemctl status dr-archive-check on db-1 of the active region",
    ),
    Row(
        id="archive.alarm",
        severity=BLOCKS,
        about="one writer in the archive",
        judge=lambda at: _archive(
            at,
            lambda it: it.alarm is False,
            lambda it: "no second" if it.alarm is False else "TWO WRITERS" if it.alarm else "nobody knows",
        ),
        wanted="no second writer",
        next="docs/restore.md, split brain",
    ),
    Row(
        id="archive.repository",
        severity=WARNS,
        about="both repositories answer",
        judge=_repositories(lambda it: it.reachable, lambda at, it: it, lambda at, it: "answers" if it else "silent"),
        wanted="an answer",
        next="dr-host archive status",
    ),
    Row(
        id="archive.waiting",
        severity=WARNS,
        about="WAL leaves the database for the archive",
        judge=lambda at: _archive(
            at, lambda it: it.waiting is not None and it.waiting <= WAITING, lambda it: f"{it.waiting} segments wait"
        ),
        wanted=f"{WAITING} segments at most",
        next="dr-host archive status on db-1 of the active region",
    ),
    Row(
        id="archive.age",
        severity=WARNS,
        about="how old the newest archived WAL is",
        judge=lambda at: _archive(
            at,
            lambda it: it.archived_s is not None and it.archived_s <= 3600,
            lambda it: "nothing archived" if it.archived_s is None else ago(it.archived_s),
        ),
        wanted="within an hour",
        next="dr-host archive status on db-1 of the active region",
    ),
    Row(
        id="archive.gap",
        severity=WARNS,
        about="no repository lacks WAL",
        judge=_repositories(
            lambda it: None if it.gap is None else it.gap or bool(it.left_out),
            lambda at, it: not it,
            lambda at, it: "lacks WAL" if it else "whole",
        ),
        wanted="whole",
        next="it is filled in by itself each minute; dr-host archive status says what is owed",
    ),
    Row(
        id="archive.dropped",
        severity=WARNS,
        about="no WAL was given up",
        judge=lambda at: _archive(
            at, lambda it: it.dropped is False, lambda it: "none" if it.dropped is False else "some that nobody has"
        ),
        wanted="none",
        next="a full backup: systemctl start dr-archive-full",
    ),
    Row(
        id="backup.age",
        severity=WARNS,
        about="how old the newest backup is",
        judge=_repositories(
            lambda it: it.newest_backup or (0 if it.backups == 0 else None),
            lambda at, it: at.now - it <= BACKUP_S,
            lambda at, it: ago(at.now - it) if it else "none",
        ),
        wanted="within 26 h, in each repository",
        next="systemctl start dr-archive-full on db-1 of the active region",
    ),
    Row(
        id="backup.damage",
        severity=WARNS,
        about="backups are whole",
        judge=_repositories(
            lambda it: None if it.failed_backup is None else (it.damaged_backups or 0) + it.failed_backup,
            lambda at, it: it == 0,
            lambda at, it: "whole" if it == 0 else "the last one failed, or pages are damaged",
        ),
        wanted="whole",
        next="dr-host archive status; docs/restore.md, damaged pages",
    ),
    Row(
        id="redis.role",
        severity=WARNS,
        about="the cache leads where the shop is",
        judge=_cache_role,
        wanted="a master in the active region, a replica in the other",
        next="pulumi up for the region whose cache is wrong",
    ),
    Row(
        id="redis.link",
        severity=WARNS,
        about="the standby's cache follows",
        judge=_cache_link,
        wanted="up",
        next="dr-host redis status on cache-1 of the standby",
    ),
    Row(
        id="redis.lag",
        severity=WARNS,
        about="how far the standby's cache is behind",
        judge=_cache_lag,
        wanted="1 MiB at most",
        next="dr-host redis status on cache-1 of the standby",
    ),
    Row(
        id="redis.leader",
        severity=WARNS,
        about="Sentinels agree on a leader",
        judge=_leader,
        wanted="a leader by majority",
        next="dr-host redis status on each cache host",
    ),
    Row(
        id="redis.memory",
        severity=WARNS,
        about="room in the caches",
        judge=_memory,
        wanted="90 % at most",
        next="a larger dr:redis.maxmemory_mb or flavor",
    ),
    Row(
        id="assets.run",
        severity=WARNS,
        about="the copier runs",
        judge=_files_run,
        wanted="a good run within ten minutes",
        next="journalctl -u dr-assets on control-1 of the standby",
    ),
    Row(
        id="assets.lag",
        severity=WARNS,
        about="files that the other region lacks",
        judge=_files_lag,
        wanted="none older than five minutes",
        next="journalctl -u dr-assets on control-1 of the standby",
    ),
    Row(
        id="assets.reconciled",
        severity=WARNS,
        about="nothing stayed behind in the region that was left",
        judge=_reconciled,
        wanted="all of it",
        next="pulumi up for the active region; systemctl start dr-assets-reconcile",
    ),
)
