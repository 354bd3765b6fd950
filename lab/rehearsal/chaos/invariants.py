"""What must be so after every story, whatever was drawn: named checks over what was seen. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from contract.epoch import Epoch
from contract.sites import Role, other
from lab.rehearsal.chaos.catalogue import ROWS
from lab.rehearsal.chaos.story import Story, Touch
from lab.rehearsal.writers import APART_S, overlaps, spans

Samples = Sequence[Mapping[str, Any]]
PAUSE_S = 1.0  # a database that takes no write for less than this was asked at a bad moment


@dataclass(frozen=True)
class Check:
    """`seen`: in words, for the record."""

    name: str
    holds: bool
    seen: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(kw_only=True)
class Seen:
    """What the eyes found when all was over. Sites by name; `sites` is {"here": ..., "there": ...} of the story's beginning."""

    sites: Mapping[str, str]
    began: float  # wall clock
    samples: dict[str, dict[str, Samples]] = field(default_factory=dict)  # by service and site
    epochs: list[Epoch] = field(default_factory=list)  # claimed since the beginning, in order
    newest: Epoch | None = None
    claimed_twice: list[str] = field(default_factory=list)
    evidence: list[Mapping[str, Any]] = field(default_factory=list)  # lists that were not there before
    roles: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)  # by host
    denies: dict[str, int] = field(default_factory=dict)  # by host: it grants nothing to epochs below
    lease_stops: dict[str, list[str]] = field(default_factory=dict)  # by host, what its agent said
    cries: dict[str, list[str]] = field(default_factory=dict)  # by host, lines of its journal that nothing excuses
    workers: dict[str, Any] = field(default_factory=dict)  # by host
    previews: dict[str, Mapping[str, int]] = field(default_factory=dict)
    writers: set[str] = field(default_factory=set)
    caches: dict[str, Any] = field(default_factory=dict)  # role by site
    off: list[str] = field(default_factory=list)  # hosts without power
    streams: bool = False
    sells: bool = False


def touched(story: Story, sites: Mapping[str, str], side: str) -> frozenset[Touch]:
    """What the story may do to a primary of `side` ("here"): all of its faults together, and the fence of a move, which ends the grants."""
    found = {touch for harm in story.harms for touch in ROWS[harm.kind].touches(harm.target, side)}
    return frozenset(found | ({Touch.PEER} if story.move else set()))


def may_stop(touches: frozenset[Touch]) -> bool:
    """Whether a primary that was touched so may be down by its own decision, or by ours."""
    return Touch.SERVICE in touches or {Touch.WITNESS, Touch.PEER} <= touches


def checks(story: Story, seen: Seen) -> list[Check]:
    """All that look at the pair; customers bring theirs (`customers.py`)."""
    return [
        *(_one_writer(service, seen) for service in seen.samples),
        _claimed_once(story, seen),
        *_no_false_stop(story, seen),
        _unhindered(story, seen),
        *_no_stuck_state(seen),
        _previews(seen),
        _workers(seen),
        _no_cry(seen),
        Check("the shop sells", seen.sells, "" if seen.sells else "no orders were acknowledged after the recovery"),
    ]


def _one_writer(service: str, seen: Seen) -> Check:
    both = overlaps(*(spans(seen.samples[service].get(site, ())) for site in "ab"))
    when = ", ".join(f"{begin - seen.began:.1f} to {end - seen.began:.1f}" for begin, end in both[:5])
    return Check(
        f"one writer: {service}", not both, f"two at once, in seconds after the beginning: {when}" if both else ""
    )


def _claimed_once(story: Story, seen: Seen) -> Check:
    """A witness that was made to forget an epoch cannot keep it from being claimed anew."""
    forgot = any(harm.kind == "witness-forgets" and harm.target in ("epoch", "epochs") for harm in story.harms)
    return Check("no epoch was claimed twice", forgot or not seen.claimed_twice, ", ".join(seen.claimed_twice))


def _no_false_stop(story: Story, seen: Seen) -> Iterator[Check]:
    for side, site in seen.sites.items():
        if may_stop(touched(story, seen.sites, side)):
            continue
        said = [
            f"{host}: {line}" for host, lines in seen.lease_stops.items() if host.endswith(f".{site}") for line in lines
        ]
        yield Check(f"no agent stops what is heard: {side}", not said, "; ".join(said[:3]))
    active = seen.sites["here"]
    if story.move is None and not story.home and not may_stop(touched(story, seen.sites, "here")):
        pauses = silences(seen.samples.get("postgres", {}).get(active, ()))
        when = ", ".join(f"{begin - seen.began:.1f} to {end - seen.began:.1f}" for begin, end in pauses[:5])
        yield Check("a primary that nobody touches writes on", not pauses, when)


def silences(samples: Samples) -> list[tuple[float, float]]:
    """Stretches (begin, end) of more than `PAUSE_S` between two samples in which the database took writes."""
    times = [sample["t"] for sample in samples if sample["writer"]]
    return [(one, two) for one, two in itertools.pairwise(times) if two - one > max(PAUSE_S, APART_S)]


def unhindered(story: Story) -> bool:
    """Whether nothing of the story is a reason to refuse the move, or to make it a take-over."""
    plain = story.move is not None and story.move.killed_after is None and not story.changed
    return plain and not any(ROWS[harm.kind].hinders for harm in story.harms)


def _unhindered(story: Story, seen: Seen) -> Check:
    name, there = "a move that nothing hinders is made, as planned", seen.sites["there"]
    if not unhindered(story):
        return Check(name, True, "does not apply")
    made = bool(seen.epochs) and seen.epochs[0].active == there and seen.epochs[0].planned
    found = ", ".join(f"epoch {each.epoch}: {each.active}, planned {each.planned}" for each in seen.epochs)
    return Check(name, made, found or "no epoch was claimed")


def _no_stuck_state(seen: Seen) -> Iterator[Check]:
    newest = seen.newest
    if newest is None:
        yield Check("the witness knows the epoch", False, "no epoch at the witness")
        return
    wanted = {newest.active: Role.PRIMARY, other(newest.active): Role.STANDBY}
    wrong = {
        host: role
        for host, role in seen.roles.items()
        if role is None or (role.get("role"), role.get("epoch")) != (wanted[host.rsplit(".", 1)[1]], newest.epoch)
    }
    shown = "; ".join(
        f"{host}: {(role or {}).get('role')} of epoch {(role or {}).get('epoch')}"
        for host, role in sorted(wrong.items())
    )
    yield Check(
        "every host has its role in the newest epoch",
        not wrong,
        f"epoch {newest.epoch} of {newest.active}; {shown}" if wrong else "",
    )
    # That of a take-over which was made stays, and means the epochs before it.
    left = {host: below for host, below in seen.denies.items() if below > newest.epoch}
    yield Check("every host has power", not seen.off, ", ".join(seen.off))
    yield Check("no deny is left", not left, f"epoch {newest.epoch}, nothing is granted below {left}" if left else "")
    yield Check(
        "the active site alone writes",
        seen.writers == {newest.active},
        f"writers {sorted(seen.writers)}, active {newest.active}",
    )
    roles = {newest.active: "master", other(newest.active): "replica"}
    yield Check("caches have their roles", seen.caches == roles, str(seen.caches))
    yield Check("the standby streams", seen.streams)


def _previews(seen: Seen) -> Check:
    found = {site: dict(changes) for site, changes in seen.previews.items() if changes}
    missing = [site for site in "ab" if site not in seen.previews]
    return Check(
        "both previews are empty",
        not found and not missing,
        f"{found or ''}{' none of ' + ', '.join(missing) if missing else ''}",
    )


def _workers(seen: Seen) -> Check:
    active = seen.newest.active if seen.newest else None
    wrong = {host: runs for host, runs in seen.workers.items() if runs is not (host.rsplit(".", 1)[1] == active)}
    return Check("workers run in the active site alone", bool(seen.workers) and not wrong, str(wrong) if wrong else "")


def _no_cry(seen: Seen) -> Check:
    found = [f"{host}: {line}" for host, lines in sorted(seen.cries.items()) for line in lines]
    return Check("no journal has what must never be in one", not found, "; ".join(found[:3]))


def account(evidence: Sequence[Mapping[str, Any]], table: str) -> int | None:
    """How many rows of a table the product's own evidence counts as lost; None where a list does not name its tables: then its commits count."""
    total = 0
    for found in evidence:
        relations = found.get("relations", ())
        if any(not relation.get("name") for relation in relations):
            return None
        total += sum(
            relation.get("insert", 0) for relation in relations if relation["name"].rpartition(".")[2] == table
        )
    return total
