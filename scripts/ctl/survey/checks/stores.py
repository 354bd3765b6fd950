"""Checks of caches and files."""

from __future__ import annotations

from collections.abc import Iterator

from contract.hosts import CACHE, CONTROL
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, ago, judged, size, unknown

WARNS = Severity.WARNS
FILES_S, RUN_S = 300.0, 600.0
VERIFIED_S = 35 * 86_400.0  # once a month, and some days to find the time
CACHE_LAG = 2**20  # bytes


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


def _verified(at: Sight) -> Iterator[Verdict]:
    """By either region's copier: it was the standby's then, and may be the active one's now."""
    files = [None if word.value is None else word.value.assets for _, _, word in at.heads(CONTROL)]
    newest = max((it.verified for it in files if it is not None and it.verified), default=None)
    if newest is not None:
        age_s = max(at.now - newest, 0.0)
        yield Verdict(subject="files", holds=age_s <= VERIFIED_S, found=ago(age_s))
    elif None in files:
        yield unknown("files")
    else:
        yield Verdict(subject="files", holds=False, found="never")


ROWS = (
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
        next="journalctl -u dr-assets-sync on control-1 of the standby",
    ),
    Row(
        id="assets.lag",
        severity=WARNS,
        about="files that the other region lacks",
        judge=_files_lag,
        wanted="none older than five minutes",
        next="journalctl -u dr-assets-sync on control-1 of the standby",
    ),
    Row(
        id="assets.reconciled",
        severity=WARNS,
        about="nothing stayed behind in the region that was left",
        judge=_reconciled,
        wanted="all of it",
        next="pulumi up for the active region; systemctl start dr-assets-reconcile",
    ),
    Row(
        id="assets.verify-age",
        severity=WARNS,
        about="when files of both regions were last held against each other, byte by byte, and found alike",
        judge=_verified,
        wanted="within 35 days",
        next="dr-assets verify on control-1 of the standby (docs/assets.md)",
        deep=True,
    ),
)
