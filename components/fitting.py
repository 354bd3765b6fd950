"""Whether what a release starts fits what it is given: sessions at the database, and a cache that loses no jobs.

It knows what the configuration and the release's Procfile say. What an application opens beside Rails' own pool nobody can count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from components.settings import Settings
from contract.dataclass import dataclass
from contract.errors import Fault
from contract.services.app import Keys
from contract.services.postgres import CONNECTIONS, FOR_PEER, SUPERUSERS
from contract.services.processes import RELEASE, WEB, Found, Process, processes

# What keeps its jobs in Redis, by the word in its command.
_JOBS = {"Sidekiq": re.compile(r"\bsidekiq(swarm)?\b"), "Resque": re.compile(r"\bresque\b")}
_SCRIPTED = "Sidekiq"
_LOSES = "allkeys-"  # policies that let anything go, whether or not it has a time to live
_MIGRATES = 2  # sessions of `release`: that of the migration, and that of its lock


@dataclass(frozen=True, kw_only=True)
class Use:
    """Sessions that one kind of process may hold at the active database, all of it together. `words`: how that is reckoned."""

    words: str
    sessions: int


def misfits(settings: Settings, found: Sequence[Found] | None) -> list[Fault]:
    """What does not fit. `found`: processes of the release; None where nobody here has read it, then those that are configured."""
    known = _configured(settings.app.processes) if found is None else found
    return [*_sessions(settings, known, whole=found is not None), *_jobs(settings, known)]


def _configured(told: Mapping[str, Process]) -> list[Found]:
    """`web`, and what the configuration says of others: a command that stands in the release alone is not known."""
    named, _ = processes(None, told)
    known = {it.name: it for it in named}
    known |= {name: Found(name=name, command="", keys=it) for name, it in told.items() if name not in known}
    return [known.pop(WEB, Found(name=WEB, command="")), *known.values()]


def uses(app: Keys, found: Sequence[Found]) -> list[Use]:
    """Who may hold how many, with every pool full. A process has a pool of `RAILS_MAX_THREADS`, which is `dr:app.threads`; Puma one in each of its processes.
    Databases have slots of their own for replication, which are none of these.
    """
    pumas = max(app.workers, 1)
    told = [
        Use(words=f"web {app.hosts} hosts x {pumas} x {app.threads} threads", sessions=app.hosts * pumas * app.threads),
        # Warm, and without customers: what Rails asks while it begins, and a health page that asks the database.
        Use(words=f"web of the standby {app.hosts} x {pumas} x 1", sessions=app.hosts * pumas),
    ]
    # A web process begins anew beside itself: on the first host alone, then on all others at once.
    anew = max(app.hosts - 1, 1)
    told.append(Use(words=f"web beside itself {anew} x {pumas} x {app.threads}", sessions=anew * pumas * app.threads))
    for it in found:
        count = it.keys.count
        if it.name == WEB or not count:
            continue
        if it.name == RELEASE:
            told.append(Use(words=f"{RELEASE} {_MIGRATES}", sessions=_MIGRATES))
        elif it.scheduled:
            told.append(Use(words=f"{it.name} 1", sessions=1))
        else:
            hosts = app.hosts if it.active_only else 2 * app.hosts
            told.append(
                Use(
                    words=f"{it.name} {hosts} hosts x {count} x {app.threads} threads",
                    sessions=hosts * count * app.threads,
                )
            )
    return told


def _sessions(settings: Settings, found: Sequence[Found], *, whole: bool) -> Iterator[Fault]:
    told = settings.postgres.parameters
    names = {"max_connections": CONNECTIONS, "superuser_reserved_connections": SUPERUSERS, "reserved_connections": 0}
    values = {name: told.get(name, str(usual)) for name, usual in names.items()}
    if not all(re.fullmatch(r"[0-9]{1,9}", it) for it in values.values()):
        return  # spelled as PostgreSQL may know it: the server says what it makes of it
    most, *kept = map(int, values.values())
    beside = sum(kept) + FOR_PEER
    rows = uses(settings.app, found)
    wanted = sum(it.sessions for it in rows)
    if wanted <= most - beside:
        return
    unread = "" if whole else ", and what its Procfile starts beside these is not known here"
    yield Fault(
        subject="dr:postgres.parameters.max_connections",
        found=f"{most}, of which the shop may hold {max(most - beside, 0)} ({sum(kept)} are for superusers, {FOR_PEER} for the other region's database)",
        wanted=f"{wanted + beside} or more: the shop may want {wanted} ({', '.join(it.words for it in rows)}{unread})",
        consequence="once all of them are at work the database turns requests and jobs away",
        remedy=f"set it to {wanted + beside} or more in dr:postgres.parameters, the standby region first, or lower dr:app.threads, workers, hosts or a "
        "process' count (docs/your-shop.md, Connections)",
    )


def _jobs(settings: Settings, found: Sequence[Found]) -> Iterator[Fault]:
    policy = settings.redis.maxmemory_policy
    for kind, pattern in _JOBS.items():
        names = [it.name for it in found if it.keys.count and pattern.search(it.command)]
        if not names:
            continue
        runs = f"while {' and '.join(names)} {'runs' if len(names) == 1 else 'run'} {kind}"
        if policy.startswith(_LOSES):
            yield Fault(
                subject="dr:redis.maxmemory_policy",
                found=f"{policy!r}, {runs}",
                wanted="volatile-lru or another volatile one, which lets go of what has a time to live alone, or noeviction",
                consequence="a cache that is full would drop queues, with jobs that nobody has done, and nobody would be told",
                remedy="set volatile-lru, and give what the shop caches a time to live (`expires_in`), or it fills the memory that jobs need",
            )
        if kind == _SCRIPTED and not settings.redis.scripting:
            yield Fault(
                subject="dr:redis.scripting",
                found=f"false, {runs}",
                wanted="true",
                consequence="the cache refuses INFO and scripts, without which it does not start",
                remedy="set it to true",
            )
