"""A survey of a pair that is well, and the means to spoil a part of it."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import replace
from typing import Any

from components import config
from components.settings import Settings
from contract.agreement import Record, digests
from contract.answers import RoleFile, Unreplicated
from contract.audit import Entry
from contract.checked import Checked
from contract.epoch import Epoch
from contract.heartbeat import Heartbeat
from contract.hosts import kind_of
from contract.lease import Lease
from contract.names import server_name
from contract.sites import Role, other
from contract.survey import Agent, Archive, Cache, Database, Files, HostSurvey, Parity, Repository, Shop, Slot
from contract.version import VERSION
from scripts.clients.check_bucket import LastCheck
from scripts.clients.compute import Sight
from scripts.clients.offer import Quota, Room
from scripts.clients.run_bucket import Word
from scripts.clients.server_states import Server, Size
from scripts.clients.witness import Tried
from scripts.ctl.reports.glance import Glance
from scripts.ctl.reports.standing import Brief
from scripts.ctl.stacks.state_stored import State
from scripts.ctl.survey.known import Known
from scripts.ctl.survey.seen import Deep, Entrance, Kept, Names, Region, Survey, Told
from tests.components import stack

AT = 1_796_000_000.0
SMALL = Size(cores=2, memory=8192)
CHECKED = Checked(who="ann", place="desk", ok=140, warn=1, fail=0, unknown=0, wrong=("witness.lock",))
LB = {"a": "203.0.113.12", "b": "198.51.100.12"}
DARK: Known[Any] = Known(why="no answer within 4.5 s")
ACTIVE = "a"


def settings() -> Settings:
    return config.parse(stack.configuration("a"), {"secrets"})


def host(site: str, name: str) -> HostSurvey:
    """A host of a pair that is well, in epoch 3 of region a."""
    kind, active = kind_of(name), site == ACTIVE
    role = RoleFile(site=site, peer=other(site), role=Role.PRIMARY if active else Role.STANDBY, epoch=3)
    told: dict[str, Any] = {}
    if kind == "db":
        repository = Repository(
            reachable=True,
            backups=3,
            newest_backup=int(AT) - 3600,
            damaged_backups=0,
            left_out=False,
            gap=False,
            failed_backup=False,
        )
        told = {
            "postgres": Database(
                running=True, in_recovery=not active, timeline=3, paused=False, streaming=True, system_identifier="7", disk_free=2**34,
                lag_bytes=0, lag_s=0.0, mode="async", sync="off", slot=Slot(active=True, wal_status="reserved") if active else None,
            ),
            "parity": Parity(
                version=170002, checksums=True, parameters={"max_connections": "100"}, collations={"shop": "2.36"}, extensions={"pg_trgm": "1.6"}
            ),
            "archive": Archive(
                age_s=30.0, alarm=False, hold=False, dropped=False, waiting=0, archived_s=60.0, follows=False, a=repository, b=repository,
                rehearsed=None if active else AT - 864_000,
            ),
        }  # fmt: skip
    elif kind == "cache":
        lag = None if active else 0
        told["redis"] = Cache(
            running=True, role="master" if active else "replica", keys=10, link_up=None if active else True, lag_bytes=lag,
            used_memory=100, maxmemory=1000, disk_free=2**34,
        )  # fmt: skip
    elif kind == "control":
        told["assets"] = Files(
            ok=True,
            finished=AT - 20,
            epoch=3,
            reconciled=True,
            unreplicated=Unreplicated(count=0, bytes=0),
            verified=AT - 864_000,
        )
    elif kind == "app":
        told["app"] = Shop(web=True, worker=active, nginx=True, healthy=True, release="/opt/shop/releases/1")
    if kind in ("db", "cache"):
        told["agent"] = Agent(running=True, epoch=3, state="held", beat_s=1.0, witness="answers", counterpart="grants")
    return HostSurvey(
        at=AT + 1, up_s=9e4, boot="1", version=VERSION, reboot_due=False, failed=(), disk_free=2**33, disk_size=2**34,
        packages={"nginx": "1.26"}, silent=(), role=role, **told,
    )  # fmt: skip


def servers(site: str, its: Settings) -> tuple[Server, ...]:
    """As the platform lists them: all of a site's hosts."""
    return tuple(
        Server(id=f"id-{name}-{site}", name=server_name(its.project, site, name), status="ACTIVE", power=1, size=SMALL)
        for name in (it.name for it in its.hosts_of(site).values())
    )


def deep(its: Settings) -> Deep:
    """What `drctl check` asks besides, of a pair that is well."""
    quota = Quota(limit=100, used=20)
    memory = Quota(limit=2**20, used=20 * 8192)
    states = {
        site: State(changed=AT - 7200, servers={it.id: f"region-{it.name}" for it in servers(site, its)})
        for site in "ab"
    }
    return Deep(
        rooms={site: Known(value=Room(servers=quota, cores=quota, memory=memory)) for site in "ab"},
        sizes={site: Known(value=dict.fromkeys(its.regions[site].flavors.values(), SMALL)) for site in "ab"},
        images={site: Known(value="active") for site in "ab"},
        listed={site: Known(value=servers(site, its)) for site in "ab"},
        witness=Known(value=Tried(conditional=True, versioned=True)),
        backend=Known(value=Kept(place="bucket shop-state", versioned=True)),
        locks={site: Known(value=()) for site in "ab"},
        states={site: Known(value=it) for site, it in states.items()},
        copies={site: Known(value=AT - 3600) for site in "ab"},
    )


def region(site: str, its: Settings) -> Region:
    names = [it.name for it in its.hosts_of(site).values()]
    terms = dataclasses.asdict(its.lease or Lease())
    beat = Heartbeat(document={"lease": {"state": "held", **terms}}, age_s=1.0)
    return Region(
        site=site,
        hosts={name: Known(value=host(site, name)) for name in names},
        beats={name: Known(value=beat, age_s=1.0) for name in names if kind_of(name) in ("db", "cache")},
        addresses=Known(value={"lb": LB[site], "bastion": "203.0.113.7"}),
        entrance=Known(
            value=Entrance(site=ACTIVE, seconds=0.05, ends=datetime.datetime.fromtimestamp(AT + 9e6, datetime.UTC))
        ),
        servers=Known(value=Sight(servers=servers(site, its))),
        members=Known(value={"app-1": "ONLINE", "app-2": "ONLINE"}),
        followed=Known(value=3),
        record=Known(value=Record(version=VERSION, keys=digests(its))),
        run=Known(value=Word()),
    )


def recorded() -> Glance:
    """One move of the last hour and a rehearsal of certificates, which somebody else has signed off."""
    at = datetime.datetime.fromtimestamp(AT - 3600, datetime.UTC).isoformat()
    move = Brief(number=1, kind="move", at=at, digest="0" * 64, signer="drctl", scenario="switchover", outcome="done")
    drill = replace(move, number=2, kind="drill", scenario="certificates")
    return Glance(records=(move, drill), signed={1: ("bob",), 2: ("bob",)}, breaks=(), waiting=0)


def well(its: Settings) -> Survey:
    """Nothing to be found."""
    addresses = frozenset([LB[ACTIVE]] if its.dns.mode == "single" else LB.values())
    told = Told(addresses=addresses, others=frozenset(), ttl=its.dns.ttl, serial=7)
    return Survey(
        at=AT,
        took_s=2.0,
        newest=Known(
            value=Epoch(
                epoch=3,
                active=ACTIVE,
                previous="b",
                planned=True,
                claimed_at="2026-11-29T10:00:00Z",
                claimed_by="ann@desk",
            )
        ),
        unsettled=Known(value=0),
        locked=Known(value=True),
        epochs=Known(value=0),
        last=Known(value=Entry(number=9, what="moved", site="a", who="ann", place="desk", at="2026-11-29T10:00:00Z")),
        reports=Known(value=recorded()),
        regions={site: region(site, its) for site in "ab"},
        checked=Known(value=LastCheck(checked=CHECKED, age_s=720.0), age_s=720.0),
        deep=deep(its),
        names=Names(
            name=its.shop.host,
            servers={server: Known(value=told) for server in its.dns.servers},
            resolver=Known(value=replace(told, serial=None)),
            delegation=Known(value=frozenset(server.partition(":")[0] for server in its.dns.servers)),
        ),
    )


def dark(its: Settings) -> Survey:
    """Nobody has answered anything."""
    found = well(its)
    regions = {site: _all_dark(it) for site, it in found.regions.items()}
    names = _all_dark(found.names)
    silent: Survey = replace(_all_dark(found), regions=regions, names=names, deep=_all_dark(found.deep))
    return silent


def _all_dark(it: Any) -> Any:
    """Every answer in it unknown."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(it):
        value = getattr(it, field.name)
        if isinstance(value, Known):
            changes[field.name] = DARK
        elif isinstance(value, dict) and all(isinstance(each, Known) for each in value.values()):
            changes[field.name] = dict.fromkeys(value, DARK)
    return replace(it, **changes)


def changed(it: Any, path: str, value: Any) -> Any:
    """The same with another value at a path of fields and keys: "regions.b.hosts.db-1.postgres.lag_bytes". `Known` is passed through."""
    if not path:
        return Known(value=value) if isinstance(it, Known) and not isinstance(value, Known) else value
    if isinstance(it, Known):
        return replace(it, value=changed(it.value, path, value))
    name, _, rest = path.partition("/")
    if isinstance(it, dict):
        return {**it, name: changed(it[name], rest, value)}
    return replace(it, **{name: changed(getattr(it, name), rest, value)})
