"""Everything that can go wrong in the lab, a row a kind: whom it may hit, how, and what that does to the primary of either side. Pure.

A row whose `needs` the lab does not offer (`lab fault`) is not drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from lab.rehearsal.chaos.story import HERE, SIDES, THERE, WITNESS, Touch

HOSTS = ("db-1", "cache-1", "app-1", "app-2", "control-1")
OFTEN = ("db-1", "db-1", "db-1", "cache-1", "cache-1", *HOSTS[2:])  # those that write more often than the others
LEASED = ("db-1", "cache-1")
APIS = ("compute", "network", "volumev3", "image", "load-balancer")
STATES = ("paused", "suspended", "rescued", "error", "locked")
NONE: frozenset[Touch] = frozenset()

Target = Callable[[Random], tuple[str, str]]
Touches = Callable[[str, str], frozenset[Touch]]  # (target, side): what it does to the primary of that side


@dataclass(frozen=True, kw_only=True)
class Row:
    """`weight`: how often it is drawn, beside the others. `hinders`: a planned move may fail for it, or become a take-over. `moment`: it has no duration."""

    draw: Target  # target and detail
    touches: Touches
    weight: int = 1
    hinders: bool = True
    moment: bool = False
    needs: str = ""  # a kind of `lab fault`


def _of(names: tuple[str, ...], details: tuple[str, ...] = ("",), at: str = "{name}.{side}") -> Target:
    def draw(chance: Random) -> tuple[str, str]:
        return at.format(name=chance.choice(names), side=chance.choice(SIDES)), chance.choice(details)

    return draw


def _one(targets: tuple[str, ...], details: tuple[str, ...] = ("",)) -> Target:
    return lambda chance: (chance.choice(targets), chance.choice(details))


def nothing(target: str, side: str) -> frozenset[Touch]:
    return NONE


def _service(target: str, side: str) -> frozenset[Touch]:
    """Of a host or a site: what it is to its own side, and what its silence is to the other."""
    name, _, where = target.rpartition(".")
    if name and name not in LEASED:
        return NONE
    return frozenset({Touch.SERVICE if where == side else Touch.PEER})


def _silence(target: str, side: str) -> frozenset[Touch]:
    """As `_service`, but its own side does not feel it."""
    return _service(target, side) - {Touch.SERVICE}


def _peer(target: str, side: str) -> frozenset[Touch]:
    return frozenset({Touch.PEER})


def _witness(target: str, side: str) -> frozenset[Touch]:
    return frozenset({Touch.WITNESS}) if target in (WITNESS, side) else NONE


def _storage(target: str, side: str) -> frozenset[Touch]:
    return frozenset({Touch.WITNESS}) if target == WITNESS else NONE


def _api(chance: Random) -> tuple[str, str]:
    names = [f"{api}@{side}" for api in APIS for side in SIDES]
    # The compute API is the one that a fence asks.
    target = chance.choice([*(f"compute@{side}" for side in SIDES), "identity", "ovh", chance.choice(names)])
    return target, chance.choice(("503", "500", "429", "timeout", "half"))


ROWS: dict[str, Row] = {
    "host": Row(weight=4, draw=_of(OFTEN), touches=_service),
    "region-hosts": Row(weight=4, draw=_one(SIDES), touches=_service),
    "region": Row(weight=4, draw=_one(SIDES), touches=_service),
    "uplink": Row(weight=3, draw=_one(SIDES), touches=_witness),
    "link": Row(weight=4, draw=_one(("both", f"{HERE}->{THERE}", f"{THERE}->{HERE}")), touches=_peer),
    "slow-link": Row(weight=2, draw=_one(("",), ("256kbit", "1mbit", "4mbit", "20mbit")), touches=_peer),
    "lossy-link": Row(weight=2, draw=_one(SIDES, ("5", "20", "50")), touches=_peer),
    "storage": Row(weight=3, draw=_one((HERE, THERE, WITNESS)), touches=_storage),
    "storage-lies": Row(weight=2, draw=_one((HERE, THERE, WITNESS), ("503", "empty")), touches=_storage),
    "witness-cut": Row(weight=3, draw=_one(SIDES), touches=_witness),
    "witness-forgets": Row(weight=2, draw=_one(("epoch", "epochs", "followed", "heartbeats")), touches=nothing),
    "api": Row(weight=4, draw=_api, touches=nothing, hinders=False),
    "dns-refresh": Row(draw=_one(("",), ("refused", "forbidden", "ignored")), touches=nothing),
    "name-server": Row(draw=_one(("1", "2")), touches=nothing),
    "clock": Row(weight=2, draw=_one(SIDES, ("10", "-10", "3", "-3")), touches=_service),
    "disk-full": Row(weight=3, draw=_of(OFTEN), touches=_service),
    "hung-ssh": Row(weight=3, draw=_of(OFTEN), touches=nothing),
    "agent-killed": Row(weight=2, draw=_of(LEASED), touches=_silence, moment=True),
    "agent-hung": Row(weight=2, draw=_of(LEASED), touches=_service),
    "paused": Row(weight=4, draw=_of(OFTEN), touches=_service),
    "server-state": Row(weight=4, draw=_of(OFTEN, STATES), touches=_service, needs="server-state"),
    "cell-down": Row(weight=3, draw=_of(OFTEN), touches=nothing, hinders=False, needs="cell-down"),
    "page-limit": Row(weight=2, draw=_one(SIDES, ("1", "2", "3")), touches=nothing, hinders=False, needs="page-limit"),
}
# Two of these at one place say the same, or the lab refuses the second.
_ALIKE = (
    {"region", "region-hosts", "uplink"},
    {"storage", "storage-lies"},
    {"host", "paused", "server-state", "cell-down"},
)


def offered(kinds: frozenset[str]) -> tuple[str, ...]:
    """Kinds that can be played where `lab fault` knows `kinds`."""
    return tuple(kind for kind, row in ROWS.items() if not row.needs or row.needs in kinds)


def clash(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two harms (kind, target) cannot both be in force."""
    if one[0] == other[0]:
        return one[1] == other[1] or one[0] in ("link", "witness-forgets", "lossy-link")
    return one[1] == other[1] and any({one[0], other[0]} <= alike for alike in _ALIKE)
