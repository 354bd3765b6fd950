"""The two sites, and the roles that a site's services can have."""

from __future__ import annotations

from enum import StrEnum

from .checks import one_of

SITES = ("a", "b")
A_SITE = one_of(*SITES)


class Role(StrEnum):
    """What a host's role file says, and its heartbeat."""

    PRIMARY = "primary"  # of the active site: its services take writes
    STANDBY = "standby"  # follows
    FENCED = "fenced"  # was stopped for a move, and starts as neither until it is told


def other(of: str) -> str:
    """The peer of a site."""
    return "b" if of == "a" else "a"
