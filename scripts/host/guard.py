"""May this service start here? Runs as `ExecStartPre` of the service's unit; anything but exit code 0 keeps the service down.

A host that was primary does not become one again by itself: the witness says who is active; where it is silent, the counterpart's grant
of this very epoch counts, as the lease agent has heard it; silence is no answer. Where there is a lease, it must be held. A standby may
start as what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from contract.dataclass import dataclass
from contract.errors import Refused, say

from .agent import memory as agent_memory
from .frame import rolefile, vouch
from .frame.call import Call, Verb
from .frame.files import make_folder, write_atomically
from .frame.layout import Layout
from .frame.result import Result
from .frame.rolefile import FENCED, PRIMARY, STANDBY, Role
from .frame.vouch import OVERRIDE
from .frame.wait import until
from .frame.witness import Active, Silent, Witness
from .postgres import overrides
from .postgres.layout import PostgresLayout
from .postgres.memory import Memory

APP = "app"  # the shop's workers
HEARD_S = 8.0  # a few beats of the agent
WORD_S = 15.0  # less than the unit gives the guard: until Sentinels that start with their hosts have met


@dataclass(frozen=True)
class Found:
    """`unarmed`: why this service would not start as a standby; None when it would. `silence`: why the witness said nothing. `lapsed`: why
    the lease is not held; None when it is, or with `lease: off`. `granted`: the counterpart granted this epoch within the lease.
    """

    role: Role | None
    unarmed: str | None = None
    active: Active | None = None
    silence: str | None = None
    override: int | None = None  # the epoch in the override file
    lapsed: str | None = None
    granted: bool = False
    resumed: int | None = None  # the epoch in which whoever stopped this primary starts it again
    gone: str | None = None  # why a primary would start without the data that it had; None when it would not


def decide(service: str, found: Found) -> str:
    """Pure: why it may start. Raises Refused."""
    role = found.role
    if role is None:
        raise _no(service, "no role", "a host that was converged", "run `pulumi up` for this site")
    if role.role == FENCED:
        raise _no(
            service,
            f"a host fenced in epoch {role.epoch}",
            "a role",
            "`dr-host postgres resume` undoes the fence; `pulumi up` gives a new role",
        )
    if role.role == STANDBY:
        if found.unarmed is not None:
            wanted = "the active site" if service == APP else "one that would follow"
            raise _no(service, f"a standby {found.unarmed}", wanted, "run `pulumi up` for this site")
        return f"standby in epoch {role.epoch}"
    if found.gone is not None:
        raise _no(
            service,
            f"a primary {found.gone}",
            "the data that it had",
            "`pulumi up --replace` of this site's redis link fetches it from the other site; "
            "to begin empty set dr:redis cold_cache: true and run `pulumi up`",
            "an empty master would empty its replica",
        )
    if found.active is not None and found.active != Active(role.epoch, role.site):
        raise _no(
            service,
            f"primary of epoch {role.epoch} on this host, and at the witness epoch {found.active.epoch} with {found.active.site} active",
            "the same at both",
            f"run `pulumi up -s region-{role.site}`, so that this site follows",
        )
    if found.lapsed is None and found.active is not None:
        return f"primary in epoch {role.epoch}, the witness agrees"
    if found.lapsed is None and found.granted and found.silence is not None:
        return (
            f"primary in epoch {role.epoch}, the other site knows no newer one (the witness is silent: {found.silence})"
        )
    if found.lapsed is None and found.active is None and found.resumed == role.epoch:
        return f"primary in epoch {role.epoch}, started again by whoever has stopped it, and nobody else can have taken over on that stop"
    lost = "the witness lists no such epoch, nor a later one: it has lost epochs, see docs/failover.md"
    doubt = found.silence or (found.lapsed if found.active is not None else lost)
    if found.override == role.epoch:
        return (
            f"primary in epoch {role.epoch}, started by the operator's override although nobody confirms it ({doubt})"
        )
    raise _no(
        service,
        f"primary of epoch {role.epoch}, and nobody to confirm it ({doubt})",
        "the witness's word" + (" and a lease" if found.lapsed else ""),
        "where dr-agent runs it starts this service once it is heard; "
        f"if the other site is certainly not active: `echo {role.epoch} > /var/lib/dr/{OVERRIDE}`, then start it; the file counts once",
    )


def _no(service: str, found: str, wanted: str, remedy: str, why: str | None = None) -> Refused:
    twice = (
        "workers in both sites would do the same work twice"
        if service == APP
        else "a second primary would split the shop's data"
    )
    consequence = f"it was not started, because {why or twice}"
    return Refused(
        say(subject=f"start of {service}", found=found, wanted=wanted, consequence=consequence, remedy=remedy)
    )


def unarmed_postgres(layout: Layout) -> str | None:
    """Why PostgreSQL would start as a primary."""
    memory = Memory.read(PostgresLayout(layout))
    if memory is None:
        return "of which nothing is known"
    signal = PostgresLayout(layout, memory.version).data / "standby.signal"
    return None if signal.exists() else f"without {signal}"


def unarmed_redis(layout: Layout) -> str | None:
    """Why Redis would start as a primary."""
    from .redis.engine import find_engine  # noqa: PLC0415 - PostgreSQL's start does not wait for Redis's code

    path = layout.at(find_engine(layout).etc) / "dr.conf"
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        return f"whose {path} cannot be read ({error.strerror})"
    following = any(line.split()[:1] == ["replicaof"] and line.split()[1:] != ["no", "one"] for line in lines)
    return None if following else f"without `replicaof` in {path}"


def unarmed_app(_: Layout) -> str | None:
    """Workers of a standby have nothing that they might do."""
    return "in whose site no worker runs"


def emptied_redis(layout: Layout) -> str | None:
    """Why Redis would start as an empty master although it had data."""
    from .redis.data import gone  # noqa: PLC0415 - see unarmed_redis

    return gone(layout) if unarmed_redis(layout) is not None else None


def led(layout: Layout, role: Role) -> None:
    """Have this cache start in the place that Sentinel names, where it runs. A host that was away does not know who leads by now. Raises Refused."""
    from .redis.engine import find_engine  # noqa: PLC0415 - see unarmed_redis
    from .redis.leader import QUORUM, Access, await_word, point  # noqa: PLC0415
    from .redis.sentinel import UNIT, configured  # noqa: PLC0415

    access = Access.of_host(layout) if configured(layout, role.epoch) else None
    if access is None or not access.sentinels:
        return
    said = await_word(access.sentinels, access.local.address, WORD_S)
    leader = next((member for member in access.members if said is not None and member.address == said.leader), None)
    if leader is None:
        answers = 0 if said is None else said.answers
        raise _no(
            "redis",
            f"{answers or 'too few'} Sentinels of this site, and no leader that they name",
            f"{QUORUM} or more that name one",
            f"see `journalctl -u {UNIT}` on its cache hosts; it is tried again every few seconds; with two of the three hosts lost, move the shop to the "
            f"other site, or, if that is lost too, `echo {role.epoch} > /var/lib/dr/{OVERRIDE}`",
            "a second master would split the shop's carts",
        )
    point(layout.at(find_engine(layout).etc) / "dr.conf", None if leader == access.local else leader)


def overridden_postgres(layout: Layout) -> tuple[str, ...]:
    """A recovery target that a copy brought along would promote a standby; see `overrides`."""
    memory = Memory.read(PostgresLayout(layout))
    return () if memory is None else overrides.drop(PostgresLayout(layout, memory.version))


def _never(_: Layout) -> str | None:
    """PostgreSQL without its data does not start at all."""
    return None


def _nowhere(_: Layout, __: Role) -> None:
    """Its place does not change while it is away."""


def _of_nothing(_: Layout) -> tuple[str, ...]:
    """It starts as its own files say."""
    return ()


def guard(
    service: str,
    unarmed: Callable[[Layout], str | None],
    emptied: Callable[[Layout], str | None] = _never,
    place: Callable[[Layout, Role], None] = _nowhere,
    rid: Callable[[Layout], tuple[str, ...]] = _of_nothing,
) -> Callable[[Call], Result]:
    """The verb of one service. `place`: puts one of the active site into the place that it has there by now. `rid`: takes out of the way what
    would make it start as something else, and returns what that was.
    """

    def verb(call: Call) -> Result:
        role = rolefile.read(call.layout)
        found = Found(role, unarmed(call.layout))
        if role is not None and role.role not in (STANDBY, FENCED):
            found = _asked(call, role, found)
            decide(service, found)  # whether this site leads at all comes first
            if found.override != role.epoch:
                place(call.layout, role)
        found = replace(found, gone=emptied(call.layout))
        reason = decide(service, found)
        gone = rid(call.layout)
        if gone:
            call.log.warning(f"taken out of the service's own settings: {', '.join(gone)}")
        call.log.info(f"may start: {reason}")
        if found.override is not None:
            (call.layout.var / OVERRIDE).unlink(missing_ok=True)
            make_folder(call.layout.run)
            write_atomically(call.layout.run / agent_memory.OVERRIDE, str(found.override).encode())
            call.log.warning(f"override for epoch {found.override} used up")
        return Result({"may_start": True, "reason": reason})

    return verb


def sentinel(call: Call) -> Result:
    """Sentinel writes nothing, and what it chooses is guarded by itself: it only must not work for a site that leads no more."""
    role = rolefile.read(call.layout)
    if role is None or role.role != PRIMARY:
        raise _no(
            "Sentinel",
            "none" if role is None else f"a {role.role}",
            "a primary",
            "run `pulumi up` for this site",
            "none of its caches may lead",
        )
    try:
        active = Witness.of_host(call.layout).newest(role.epoch)
    except Silent as error:
        call.log.warning(str(error))
        active = None
    if active not in (None, Active(role.epoch, role.site)):
        raise _no(
            "Sentinel",
            f"primary of epoch {role.epoch} on this host, and a newer epoch at the witness",
            "the same at both",
            f"run `pulumi up -s region-{role.site}`, so that this site follows",
            "none of its caches may lead",
        )
    return Result({"may_start": True})


def _asked(call: Call, role: Role, found: Found) -> Found:
    try:
        active, silence = Witness.of_host(call.layout).newest(role.epoch), None
    except Silent as error:
        active, silence = None, str(error)
        call.log.warning(silence)
    resumed = vouch.given(call.layout)
    if resumed == role.epoch and active is None:
        # While it was fenced the agent asked nobody for this host's sake: now it does, and somebody may hear it yet.
        until(lambda: agent_memory.lapsed(call.layout, role) is None, HEARD_S, 0.1)
    lapsed, granted = (
        agent_memory.lapsed(call.layout, role),
        silence is not None and agent_memory.granted(call.layout, role),
    )
    return replace(
        found,
        active=active,
        silence=silence,
        override=vouch.typed(call.layout),
        lapsed=lapsed,
        granted=granted,
        resumed=resumed,
    )


VERBS = {
    "postgres": Verb(guard("postgres", unarmed_postgres, rid=overridden_postgres), locked=False, reads=False),
    "redis": Verb(guard("redis", unarmed_redis, emptied_redis, led), locked=False, reads=False),
    "sentinel": Verb(sentinel, locked=False, reads=False),
    APP: Verb(guard(APP, unarmed_app), locked=False, reads=False),
}
