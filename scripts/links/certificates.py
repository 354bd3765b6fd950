"""What a run says of certificates whose end is near, and which of them are a reason against a planned move. Pure, but for the clock of this machine.

The hosts trust each other by them: one that has ended shuts its host out of replication, forwarding, cache and lease. A take-over from a region
that is lost is refused for none of them: it can only get better.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from contract.accept import asked

NEAR_DAYS = 60
_SHOWN = 6
_REMEDY = "renew them as `Certificates end` in docs/failover.md says"


def warning(ends: Mapping[str, str], now: datetime.datetime | None = None) -> str:
    """A sentence that names those that end within `NEAR_DAYS` or have ended, the first one first; empty when there are none.

    `ends`: RFC 3339 by place in `dr:secrets`; empty: cannot be read.
    """
    moment = _now(now)
    known = sorted((datetime.datetime.fromisoformat(end), name) for name, end in ends.items() if end)
    due = [(end, name) for end, name in known if (end - moment).days < NEAR_DAYS]
    texts = [f"dr:secrets {name} {_when(end, moment)}" for end, name in due[:_SHOWN]]
    texts += [f"and {len(due) - _SHOWN} more"] if len(due) > _SHOWN else []
    unread = sorted(name for name, end in ends.items() if not end)
    faults = []
    if texts:
        faults.append(
            f"certificates: {', '.join(texts)}; wanted {NEAR_DAYS} days or more; a host whose certificate has ended is shut out by all others, and no "
            f"planned move goes there; {_REMEDY}"
        )
    if unread:
        faults.append(
            f"certificates: the end of {', '.join(unread)} in dr:secrets cannot be read, so nothing warns of it"
        )
    return "; ".join(faults)


def ended(ends: Mapping[str, str], site: str, now: datetime.datetime | None = None) -> list[str]:
    """Of those without which the shop could not work at `site`, what has ended and when."""
    moment = _now(now)
    return [
        f"dr:secrets {name} {_when(datetime.datetime.fromisoformat(end), moment)}"
        for name, end in sorted(ends.items())
        if end
        and (".hosts." not in name or name.endswith(f".{site}"))
        and datetime.datetime.fromisoformat(end) <= moment
    ]


def refusal(ended: Sequence[str], site: str, epoch: int) -> str:
    """Why a planned move to `site` is refused. `epoch`: the one in force."""
    return (
        f"region {site}: certificates that have ended ({', '.join(ended)}), wanted those of dr:secrets in force: hosts and customers would refuse "
        f"each other after the move; nothing was changed; {_REMEDY} and run the same again; or, to leave the other region all the same, "
        f"set {asked('data_loss', epoch)}"
    )


def _now(now: datetime.datetime | None) -> datetime.datetime:
    return now or datetime.datetime.now(datetime.UTC)


def _when(end: datetime.datetime, now: datetime.datetime) -> str:
    day = end.date().isoformat()
    return f"has ended on {day}" if end <= now else f"ends on {day} (in {(end - now).days} days)"
