"""A survey as one screen: what each region is, side by side, and what is not as it should be. Pure: texts in, texts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.settings import Settings
from contract.dataclass import dataclass
from contract.hosts import APP, CACHE, CONTROL, DATABASE, first, kind_of
from contract.plain import phrase
from contract.sites import SITES
from contract.survey import HostSurvey
from scripts.clients.check_bucket import LastCheck
from scripts.clients.compute import Sight
from scripts.clients.run_bucket import Word
from scripts.clients.run_lease import over, told
from scripts.ctl.survey.checks.row import Finding, State, ago, counted, size
from scripts.ctl.survey.known import Known
from scripts.ctl.survey.seen import Entrance, Region, Survey

WHY = 60  # characters of a reason in a cell


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of the table: a cell for each region."""

    name: str
    cells: tuple[str, ...]


def head(survey: Survey, settings: Settings) -> list[str]:
    """What is true of the shop as a whole."""
    newest, lines = survey.newest, list[str]()
    if not newest.known:
        lines.append(f"{settings.shop.host}: which region is active is not known ({newest.why})")
    elif newest.value is None:
        lines.append(f"{settings.shop.host}: nothing was brought up yet")
    else:
        it = newest.value
        how = "planned" if it.planned else f"unplanned, fence rung {it.fence.get('rung')}"
        since = f" since {it.claimed_at} ({how}, by {it.claimed_by})" if it.claimed_at else ""
        lines.append(f"{settings.shop.host}: region {it.active} is active, epoch {it.epoch}{since}")
    last = survey.last.value
    lines.append(
        f"last in the audit trail: {last.what} in region {last.site} at {last.at}, {last.who}"
        if last
        else f"audit trail: {survey.last.why or 'empty'}"
    )
    lines.append(_last_check(survey.checked))
    if survey.pair.value is not None and not over(survey.pair.value):
        lines.append(f"at work in both regions: {told(survey.pair.value)}")
    lines += [f"silenced: {it}" for it in _silences(survey)]
    return [phrase(line, 300) for line in lines]


def _silences(survey: Survey) -> list[str]:
    """Those of either region's Alertmanager, each once: they tell each other."""
    told = [it.part(lambda host: host.monitoring) for region in survey.regions.values() for it in region.hosts.values()]
    return sorted({line for it in told if it is not None for line in it.silences})


def _last_check(word: Known[LastCheck]) -> str:
    if word.value is None:
        return f"last check: {word.why or 'none was recorded (`drctl check --record`)'}"
    it = word.value.checked
    bad = it.warn + it.fail + it.unknown
    more = f", {it.fail} fail, {it.warn} warn, {it.unknown} unknown ({', '.join(it.wrong)})" if bad else ""
    return f"last check: {ago(word.value.age_s)} by {it.who}: {it.ok} ok{more}"


def table(survey: Survey, settings: Settings) -> list[Line]:
    """Region a and region b, in the order of the chain."""
    rows: tuple[tuple[str, Callable[[Region], str]], ...] = (
        ("", lambda it: _title(survey, settings, it)),
        ("database", lambda it: _of(it, DATABASE, _database)),
        ("standby's slot", lambda it: _of(it, DATABASE, _slot)),
        ("archive", lambda it: _of(it, DATABASE, lambda host: _archive(host, survey.at))),
        ("cache", lambda it: _of(it, CACHE, _cache)),
        ("files", lambda it: _of(it, CONTROL, lambda host: _files(host, survey.at))),
        ("app hosts", _apps),
        ("entrance", lambda it: _word(it.entrance, _entrance)),
        ("balancer", lambda it: _word(it.members, _members)),
        ("servers", lambda it: _word(it.servers, _servers)),
        ("leases", _leases),
        ("hosts", _hosts),
        ("at work", lambda it: _word(it.run, _run)),
    )
    return [Line(name=name, cells=tuple(cell(survey.regions[site]) for site in SITES)) for name, cell in rows]


def names(survey: Survey) -> list[str]:
    """Who says which address."""
    told = [
        f"{server}: {_word(word, lambda it: f'{_joined(it.addresses)}, TTL {it.ttl} s, serial {it.serial}')}"
        for server, word in survey.names.servers.items()
    ]
    return [*told, f"resolver: {_word(survey.names.resolver, lambda it: _joined(it.addresses))}"]


def troubles(findings: Sequence[Finding]) -> Iterator[tuple[State, str]]:
    """Everything that is not good, with the next command; the worst first. What nobody knows is told together: one dead region is behind most of it."""
    for state in (State.FAIL, State.WARN):
        for it in findings:
            if it.state is state:
                yield state, phrase(it.sentence(), 400)
    dark = [it for it in findings if it.state is State.UNKNOWN]
    if dark:
        ids = dict.fromkeys(it.id for it in dark)
        yield (
            State.UNKNOWN,
            phrase(f"{len(dark)} findings of {', '.join(ids)}; `drctl check` tells each with its reason", 2000),
        )


def summary(survey: Survey, findings: Sequence[Finding]) -> str:
    """How many of which, and how long it took."""
    return f"{len({it.id for it in findings})} checks: {counted(findings)}; asked in {survey.took_s:.1f} s"


def _title(survey: Survey, settings: Settings, region: Region) -> str:
    active = survey.newest.value.active if survey.newest.value else None
    role = "?" if active is None else "ACTIVE" if active == region.site else "standby"
    return f"region {region.site} ({settings.regions[region.site].compute_region}): {role}"


def _word(word: Known[Any], told: Callable[[Any], str]) -> str:
    """Of something that has an age where it is not of now."""
    if word.value is None:
        return f"? ({phrase(word.why, WHY)})" if word.why else "none"
    return told(word.value)


def _of(region: Region, kind: str, told: Callable[[HostSurvey], str]) -> str:
    return _word(region.hosts[first(kind)], told)


def _database(host: HostSurvey) -> str:
    it, epoch = host.postgres, host.role.epoch if host.role else None
    if it is None:
        return "none here"
    if not it.running:
        return f"DOWN ({it.cluster_state or 'no control data'})"
    what = "?" if it.in_recovery is None else "standby" if it.in_recovery else "primary"
    stream = {True: "streaming", False: "NOT streaming", None: "streaming: ?"}[it.streaming]
    late = "" if it.lag_s is None else f" and {it.lag_s:.1f} s"
    lag = f"{size(it.lag_bytes)}{late} behind" if it.lag_bytes is not None else "lag: ?"
    return f"{what} of epoch {epoch}, {stream}, {lag}, commits {it.sync or '?'}"


def _slot(host: HostSurvey) -> str:
    it = host.postgres
    if it is None or it.slot is None:
        return "none" if it is not None and it.in_recovery else "?"
    return f"{'in use' if it.slot.active else 'NOT in use'}, WAL {it.slot.wal_status}"


def _archive(host: HostSurvey, now: float) -> str:
    it = host.archive
    if it is None:
        return "?"
    backups = [
        f"{site} {ago(now - each.newest_backup)}"
        for site in SITES
        if (each := getattr(it, site)) and each.newest_backup
    ]
    seen = "?" if it.age_s is None else ago(it.age_s)
    return f"backups: {', '.join(backups) or 'none'}; {'?' if it.waiting is None else it.waiting} segments wait (seen {seen})"


def _cache(host: HostSurvey) -> str:
    it = host.redis
    if it is None or it.role is None:
        return "DOWN" if it is not None and it.running is False else "?"
    behind = "" if it.lag_bytes is None else f", {size(it.lag_bytes)} behind"
    link = "" if it.role == "master" else f", link {'up' if it.link_up else 'DOWN'}"
    return f"{it.role}, {it.keys} keys{link}{behind}"


def _files(host: HostSurvey, now: float) -> str:
    it = host.assets
    if it is None or it.finished is None:
        return "no run here" if it is not None else "?"
    missing = it.unreplicated.count if it.unreplicated else None
    run = f"last run {ago(now - it.finished)}, {'well' if it.ok else 'NOT well'}"
    return f"{run}, {'?' if missing is None else missing} missing"


def _apps(region: Region) -> str:
    own = {name: word.value for name, word in region.hosts.items() if kind_of(name) == APP}
    known = [it.app for it in own.values() if it is not None and it.app is not None]
    releases = sorted({(it.release or "?").rsplit("/", 1)[-1][:12] for it in known})
    workers = sum(bool(it.worker) for it in known)
    return f"{sum(bool(it.healthy) for it in known)} of {len(own)} well, {workers} with a worker, release {', '.join(releases) or '?'}"


def _entrance(it: Entrance) -> str:
    return f"region {it.site} answers in {it.seconds * 1000:.0f} ms; certificate ends {it.ends:%Y-%m-%d}"


def _servers(sight: Sight) -> str:
    return f"{sum(it.status == 'ACTIVE' for it in sight.servers)} of {len(sight.servers)} on"


def _members(found: Any) -> str:
    return f"{sum(state == 'ONLINE' for state in found.values())} of {len(found)} ONLINE"


def _leases(region: Region) -> str:
    told = []
    for name, word in region.beats.items():
        told.append(f"{name} {_word(word, lambda it: f'{it.lease_state}, heard {ago(it.age_s)}')}")
    return "; ".join(told) or "off"


def _hosts(region: Region) -> str:
    known = [word.value for word in region.hosts.values() if word.value is not None]
    due, failed = sum(bool(it.reboot_due) for it in known), sum(len(it.failed) for it in known)
    more = [f"{due} due for a reboot"] * bool(due) + [f"{failed} units failed"] * bool(failed)
    return ", ".join([f"{len(known)} of {len(region.hosts)} answer", *more])


def _run(word: Word) -> str:
    """Who works at its stack."""
    return "nobody" if over(word) else told(word)


def _joined(addresses: frozenset[str]) -> str:
    return ", ".join(sorted(addresses)) or "no address"
