"""What a primary is refused until its standby, when it can be reached, has it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.errors import Refused, say

from .restart import same, shown

if TYPE_CHECKING:
    from .facts import Facts
    from .plan import Want


def raised(want: Want, facts: Facts) -> None:
    """Raised on the standby first: it stops its replay when its primary has more than it has. A standby that is away gets it when it returns."""
    peer = facts.peer
    if peer is None or peer.error is not None or not peer.in_recovery:
        return
    low = [name for name, value in facts.raised.items() if peer.limits.get(name, value) < value]
    if low:
        raise Refused(
            say(
                subject=f"parameters {', '.join(low)}",
                found=", ".join(f"{peer.limits[name]}" for name in low) + f" on the standby {want.peer}",
                wanted=f"{', '.join(str(facts.raised[name]) for name in low)} there before they are raised here",
                consequence="replay there would stop, nothing was changed",
                remedy=f"with the values in both stack files run `pulumi up -s region-{want.role.peer}`, then this again",
            )
        )


def restarted(want: Want, facts: Facts) -> None:
    """The standby starts with it first: a server that does not come up is one on which nobody depends. One that is away is not waited for."""
    peer = facts.peer
    if peer is None or peer.error is not None or not peer.in_recovery:
        return
    waits = [name for name, value in facts.due.items() if name in peer.starts and not same(value, peer.starts[name])]
    if waits:
        raise Refused(
            say(
                subject=f"parameters {', '.join(waits)}",
                found=f"{', '.join(shown(peer.starts[name]) for name in waits)} on the standby {want.peer}",
                wanted=f"{', '.join(facts.due[name] for name in waits)} there before a restart here",
                consequence="a server may not start with them, nothing was changed",
                remedy=f"with the values in both stack files run `pulumi up -s region-{want.role.peer}`, then this again",
            )
        )
