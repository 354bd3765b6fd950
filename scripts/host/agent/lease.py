"""The lease, as rules without a clock or a host: may the service of this host go on, must it stop, may it start again?

A primary holds the lease while somebody outside its site hears it: the witness, which stored its heartbeat, or its counterpart on the other
site, which granted its epoch. Both contacts count from the moment in which the question was *sent*, so that whoever answered may rely on
this host being silent earlier than they can tell. Times are seconds of one clock that also runs while the machine is suspended.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from contract.dataclass import dataclass
from contract.lease import Lease, LeaseState

from ..frame.rolefile import PRIMARY, Role

HELD, STOPPED = LeaseState.HELD, LeaseState.STOPPED
HANDOVER_S = 120.0  # how long the cache of a site that was left in a planned move stays up to be handed over
BACKOFF_S = (5.0, 10.0, 20.0, 40.0, 60.0)  # between two attempts to start the service again


@dataclass(frozen=True)
class Newest:
    """The newest epoch at the witness. `asked_at`: when the question that confirmed it was sent; `since`: when it was first heard of."""

    epoch: int
    active: str
    planned: bool
    asked_at: float
    since: float


@dataclass(frozen=True)
class Memory:
    """What outlives the agent's process, but no boot. `begun`: the agent's first start since the boot, with a service that ran."""

    state: str = HELD
    why: str | None = None  # why it was stopped
    stopped_at: float | None = None
    begun: float | None = None
    witness_at: float | None = None
    granted_at: float | None = None
    granted_epoch: int | None = None
    attempts: int = 0
    attempt_at: float | None = None

    def contact_at(self, epoch: int) -> float | None:
        """When this host was last heard, as a primary of `epoch`."""
        granted = self.granted_at if self.granted_epoch == epoch else None
        times = [at for at in (self.witness_at, granted) if at is not None]
        return max(times, default=None)


@dataclass(frozen=True)
class Heard:
    """What is known at `now`.

    `running`: the service has processes. `writes`: False when it is certainly no writer (a replica), None when nobody knows. `handover`: it
    is handed over after a planned epoch was claimed. `override`: epoch in which the operator started it although nobody answered. `unwanted`: it
    takes writes on a host that is no primary, and nobody is at work there to change that. `untold`: what the dead-man was told last is over, so
    it stops the service, whether the lease is held or not.
    """

    now: float
    role: Role | None
    newest: Newest | None = None
    running: bool = True
    writes: bool | None = None
    handover: bool = False
    override: int | None = None
    unwanted: bool = False
    untold: bool = False


class Action(Enum):
    """What the agent has to do."""

    NONE = "none"
    STOP = "stop"
    START = "start"


@dataclass(frozen=True)
class Decision:
    """`message`: for the log, once per change."""

    memory: Memory
    action: Action = Action.NONE
    message: str | None = None


def decide(terms: Lease, memory: Memory, heard: Heard) -> Decision:
    """The rules. Total: there is an answer to whatever was heard."""
    role = heard.role
    if role is None or role.role != PRIMARY:
        if heard.unwanted and role is not None:
            why = f"it takes writes, and this host is {role.role} in epoch {role.epoch}; run `pulumi up` for this site"
            return Decision(_released(memory), Action.STOP, why)
        return Decision(_released(memory))
    newest = heard.newest
    if newest is not None and superseded(role, newest):
        if heard.writes is False or handed_over(heard, newest):
            return Decision(memory)
        why = f"epoch {newest.epoch} of the witness names site {newest.active} active, this host is primary of epoch {role.epoch}"
        return _stop(memory, heard, why, news=why != memory.why)
    if ran_out(terms, memory, heard, role) and heard.writes is not False:
        return _stop(
            memory,
            heard,
            f"nobody heard for {terms.lease_s:g} s: neither the witness nor the counterpart on site {role.peer}",
            news=False,
        )
    return _go_on(memory, heard) if memory.state == HELD else _start(terms, memory, heard, role)


def _go_on(memory: Memory, heard: Heard) -> Decision:
    """The lease is held. What the dead-man has stopped all the same is to be started again, as what this agent has."""
    if heard.running or not heard.untold:
        return Decision(memory)
    return _stop(
        memory, heard, "the dead-man has stopped it, since it was not told in time that it may go on", news=False
    )


def aged(memory: Memory, stood_s: float) -> Memory:
    """The same after this machine stood still for so long and its clock has not counted it."""

    def earlier(at: float | None) -> float | None:
        return None if at is None else at - stood_s

    return replace(
        memory,
        begun=earlier(memory.begun),
        witness_at=earlier(memory.witness_at),
        granted_at=earlier(memory.granted_at),
    )


def missed(terms: Lease, before: Memory, after: Memory, heard: Heard) -> Decision | None:
    """Stop first, and ask then: when the lease was over between two contacts and this agent has not seen it, since it or its machine stood still.
    Also of a service that is down: the dead-man has stopped it, and nobody else would start it again.

    `before`, `after`: without and with the contacts that are new. None when it was held.
    """
    role = heard.role
    if role is None or role.role != PRIMARY or before.state != HELD:
        return None
    if heard.writes is False or heard.override == role.epoch:
        return None
    contact = after.contact_at(role.epoch)
    if contact is None or contact == before.contact_at(role.epoch):
        return None
    silent = silent_s(before, role, contact)
    if not terms.lease_s <= silent < float("inf"):
        return None
    why = f"nobody had heard this host for {silent:.0f} s when somebody did again; who is active by now is asked first"
    return _stop(after, heard, why, news=False)


def ran_out(terms: Lease, memory: Memory, heard: Heard, role: Role) -> bool:
    """Whether the lease is over."""
    return heard.override != role.epoch and silent_s(memory, role, heard.now) >= terms.lease_s


def silent_s(memory: Memory, role: Role, now: float) -> float:
    """Since when nobody has heard this primary. Before the first contact after a boot, since the agent's start, when the service ran already."""
    contact, begun = memory.contact_at(role.epoch), memory.begun
    times = [at for at in (contact, begun) if at is not None and at <= now]
    return now - max(times) if times else float("inf")


def deadline(terms: Lease, memory: Memory, role: Role | None) -> float | None:
    """When the lease runs out if nothing more is heard; None when nothing depends on it."""
    if role is None or role.role != PRIMARY or memory.state != HELD:
        return None
    times = [at for at in (memory.contact_at(role.epoch), memory.begun) if at is not None]
    return max(times) + terms.lease_s if times else None


def held_until(terms: Lease, memory: Memory, heard: Heard) -> float | None:
    """Until when the service may go on if nothing more is heard, and nothing is done by this agent; None when it may not."""
    role, newest = heard.role, heard.newest
    further = heard.now + terms.lease_s
    if role is None or role.role != PRIMARY:
        return further
    if superseded(role, newest) and newest is not None:
        return further if heard.writes is False or handed_over(heard, newest) else None
    if heard.writes is False or heard.override == role.epoch:
        return further
    times = [at for at in (memory.contact_at(role.epoch), memory.begun) if at is not None and at <= heard.now]
    return max(times) + terms.lease_s if times else None


def superseded(role: Role, newest: Newest | None) -> bool:
    """Whether the other site is active by now."""
    return newest is not None and newest.epoch > role.epoch and newest.active != role.site


def handed_over(heard: Heard, newest: Newest) -> bool:
    """Whether the service stays up for a while although its site has lost the role."""
    return heard.handover and newest.planned and heard.now - newest.since < HANDOVER_S


def first(memory: Memory | None, now: float, *, primary: bool, running: bool) -> Memory:
    """Memory at the agent's start. After a boot a primary that is down waits for somebody to hear it; one that runs has one lease's time."""
    if memory is not None:
        return memory
    if primary and not running:
        return Memory(state=STOPPED, why="nobody heard since the boot", stopped_at=now)
    return Memory(begun=now)


def _released(memory: Memory) -> Memory:
    return replace(memory, state=HELD, why=None, stopped_at=None, attempts=0, attempt_at=None)


def _stop(memory: Memory, heard: Heard, why: str, *, news: bool) -> Decision:
    """`news`: said also of a service that is down already."""
    if memory.state == STOPPED and not heard.running:
        return Decision(replace(memory, why=why), message=f"stays down: {why}") if news else Decision(memory)
    stopped = replace(memory, state=STOPPED, why=why, stopped_at=heard.now, attempts=0, attempt_at=None)
    return Decision(stopped, Action.STOP, why)


def _start(terms: Lease, memory: Memory, heard: Heard, role: Role) -> Decision:
    """It was stopped, and somebody answers again: the epoch decides."""
    if heard.running:
        return Decision(_released(memory), message=f"running again as primary of epoch {role.epoch}")
    newest, since = heard.newest, memory.stopped_at or 0.0
    confirmed = (
        newest is not None and newest.asked_at >= since and (newest.epoch, newest.active) == (role.epoch, role.site)
    )
    # A counterpart grants no epoch when it knows a newer one. It is believed where the witness is silent, never against the witness.
    witness_silent = memory.witness_at is None or heard.now - memory.witness_at >= terms.lease_s
    granted = memory.granted_epoch == role.epoch and memory.granted_at is not None and memory.granted_at >= since
    if not confirmed and not (witness_silent and granted):
        return Decision(memory)
    if (
        memory.attempt_at is not None
        and heard.now < memory.attempt_at + BACKOFF_S[min(memory.attempts, len(BACKOFF_S)) - 1]
    ):
        return Decision(memory)
    tried = replace(memory, attempts=memory.attempts + 1, attempt_at=heard.now)
    return Decision(
        tried,
        Action.START,
        f"heard again by {'the witness' if confirmed else 'the counterpart'}: epoch {role.epoch} is still this site's",
    )
