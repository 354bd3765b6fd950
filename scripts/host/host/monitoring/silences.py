"""`dr-host monitoring silence|unsilence`: while somebody does on purpose what looks like a fault, this control host's Alertmanager is quiet about that.

Which alerts those are is in `contract/monitoring/silences.py`. Alertmanagers tell each other their silences; each is told all the same, for those that do not
hear each other, so one of an undertaking may stand there twice.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contract.monitoring.silences import CAUSES, Silence, Undertaking
from contract.plain import phrase
from contract.sites import other

from .asking import Server

MOST = 50  # of silences that are told of
PATH = "/api/v2/silences"
BY = "drctl"
LIMIT_S, SURVEY_S = 3.0, 1.0
KEPT = ("id", "matchers", "startsAt", "createdBy", "comment")  # of a silence that is told to end earlier
_ID = re.compile(r" \[([0-9a-f]{12})\]$")
Found = Mapping[str, Any]


class Alertmanager(Server):
    """Of silences."""

    name, unit = "Alertmanager", "prometheus-alertmanager"
    wanted, consequence = "its silences", "none was set or ended there"

    def active(self) -> Sequence[Found]:
        """Those that hold now. Raises Failed."""
        found = self.request("GET", PATH)
        try:
            return [
                {**{name: it[name] for name in KEPT}, "endsAt": str(it["endsAt"])}
                for it in found
                if it["status"]["state"] == "active"
            ]
        except (KeyError, TypeError) as error:
            raise self._failed(phrase(f"{type(error).__name__}: {error}", 160)) from None

    def set(self, document: Found) -> None:
        """Raises Failed."""
        self.request("POST", PATH, document)

    def drop(self, ident: str) -> None:
        """It ends at once. Raises Failed."""
        self.request("DELETE", f"/api/v2/silence/{ident}")


def documents(told: Silence, now: datetime.datetime) -> Iterator[dict[str, Any]]:
    """What its silences are, for Alertmanager's API: one for each place that has alerts of it. Pure."""
    causes = CAUSES[Undertaking(told.undertaking)]
    what = f"{told.undertaking} of region {told.site}{''.join(f', {it}' for it in told.hosts)}"
    comment = phrase(f"{what}, by {told.who}{f': {told.why}' if told.why else ''}", 400)
    common = {
        "startsAt": _spelled(now),
        "endsAt": _spelled(now + datetime.timedelta(seconds=told.seconds)),
        "createdBy": BY,
        "comment": f"{comment} [{told.id}]",
    }
    for names, place in (
        (causes.hosts, ("host", told.hosts)),
        (causes.site, ("site", (told.site,))),
        (causes.other, ("site", (other(told.site),))),
    ):
        if names:
            yield {**common, "matchers": [_matcher("alertname", names), _matcher(*place)]}


def _matcher(name: str, values: tuple[str, ...]) -> dict[str, Any]:
    """Alertmanager holds an expression to the whole value."""
    return {"name": name, "value": "|".join(map(re.escape, values)), "isRegex": True, "isEqual": True}


def _spelled(at: datetime.datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def silence(told: Silence, alertmanager: Alertmanager) -> int:
    """How many were set. Raises Failed."""
    made = list(documents(told, datetime.datetime.now(datetime.UTC)))
    for it in made:
        alertmanager.set(it)
    return len(made)


def unsilence(ident: str, after_s: int, alertmanager: Alertmanager) -> int:
    """How many are about to end, none later than it would have. Raises Failed."""
    ends = _spelled(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=after_s))
    own = [it for it in alertmanager.active() if it["createdBy"] == BY and _of(it) == ident]
    for it in own:
        if not after_s:
            alertmanager.drop(it["id"])
        elif ends < it["endsAt"]:
            alertmanager.set({**it, "endsAt": ends})
    return len(own)


def _of(it: Found) -> str:
    found = _ID.search(it["comment"])
    return found[1] if found else ""


def told(alertmanager: Alertmanager) -> list[str]:
    """Those that are open, in a sentence each, whoever has set them. Raises Failed."""
    ends: dict[str, str] = {}
    for it in alertmanager.active():
        by = "" if it["createdBy"] == BY else f"{phrase(it['createdBy'], 80)}: "
        what = by + _ID.sub("", phrase(it["comment"], 500))
        ends[what] = max(ends.get(what, ""), it["endsAt"])
    return [f"{what}; until {at[:10]} {at[11:16]} UTC" for what, at in sorted(ends.items())[:MOST]]
