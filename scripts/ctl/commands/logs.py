"""`drctl logs`: a host's journal from the host itself, or from its copy in the other region where no way leads there; a whole region's from the copies."""

from __future__ import annotations

import argparse
import datetime
import re
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass

from components.settings import Settings
from contract.errors import Failed, Refused, Usage
from contract.hosts import CONTROL, first
from contract.plain import shown
from contract.services.logs import other_units
from contract.sites import other
from scripts.clients.hosts import DR_HOST, LOST
from scripts.ctl.commands import arguments
from scripts.ctl.persons.reach import way
from scripts.ctl.stacks.stack import Stack

ASK_S = 20
_UNIT = re.compile(r"[\w@.:-]{1,120}")
_TIME = re.compile(r"(20[0-9]{2}-[01][0-9]-[0-3][0-9])T([0-2][0-9]:[0-5][0-9](:[0-5][0-9])?)Z")


def run(chosen: argparse.Namespace) -> int:
    """The exit code of what was run there. Raises DrError: Usage before anything is asked, Refused where nothing is copied."""
    settings = Stack.chosen(chosen).settings()
    since, until, units = moment("since", chosen.since), moment("until", chosen.until), [*chosen.units, *chosen.unit]
    for unit in units:
        if not _UNIT.fullmatch(unit):
            raise Usage(f"unit: found {shown(unit)}, wanted the name of one, like dr-agent; nothing was read")
    if (chosen.host is None) == (chosen.region is None) or (chosen.region is not None and chosen.follow):
        raise Usage(
            "logs: found neither a host nor a region, or both, or --follow with a region; wanted one of them, like db-1.b or --region b; nothing was read"
        )
    read = [f"--since={since}", *([f"--until={until}"] if until else []), *(f"--unit={it}" for it in units)]
    if chosen.region is not None:
        hosts = [key for key, it in settings.hosts.items() if it.site == chosen.region]
        return _copy(chosen, settings, chosen.region, hosts, read)
    words = ["journalctl", "--no-pager", "--output=short-iso", *(word for unit in units for word in ("--unit", unit))]
    words += [f"--since={since}", *([f"--until={until}"] if until else []), *(["--follow"] if chosen.follow else [])]
    copied = settings.logs is not None and settings.logs.enabled and not chosen.follow
    site, rows = settings.hosts[chosen.host].site if chosen.host in settings.hosts else "", Rows()
    try:
        with way(settings, chosen.host, chosen.person) as found:
            print(f"from {chosen.host} itself", file=sys.stderr)
            code = found.show(shlex.join(words), rows.take)
            if code == 0 and units and not rows.any:
                known = found.asked("journalctl --no-pager --quiet --field=_SYSTEMD_UNIT", ASK_S)
                print(other_units(units, known.splitlines()), file=sys.stderr)
        if code != LOST or not copied:
            return code
        print(
            f"WARNING host {chosen.host}: the session was lost; what follows is from its copy, from the begin",
            file=sys.stderr,
        )
    except Failed as error:
        if not copied:
            raise
        print(f"WARNING {error}", file=sys.stderr)
    return _copy(chosen, settings, site, [chosen.host], read)


@dataclass
class Rows:
    """Whether a journal has said anything: a line with `--` is journalctl's own."""

    any: bool = False

    def take(self, text: str) -> None:
        self.any = self.any or not text.startswith("-- ")


def _copy(chosen: argparse.Namespace, settings: Settings, site: str, hosts: list[str], read: list[str]) -> int:
    """Of hosts of a region, from the other region's control host."""
    if settings.logs is None or not settings.logs.enabled:
        raise Refused(
            f"dr:logs: found absent or not enabled, wanted it set: region {other(site)} has no copy of region {site}'s journals; ask a host of it by its name, "
            "or set dr:logs in Pulumi.yaml and run pulumi up for both regions (docs/logs.md)"
        )
    at = f"{first(CONTROL)}.{other(site)}"
    line = shlex.join(["env", f"PYTHONPATH={DR_HOST}", "python3", "-m", "host.host.logs.reading", *read, *hosts])
    with way(settings, at, chosen.person) as found:
        print(f"from the copy on {at}", file=sys.stderr)
        return found.show(line)


def moment(name: str, text: str | None) -> str:
    """As journalctl takes it: "-30m" of "30m", or a time; empty of None. Raises Usage."""
    if text is None:
        return ""
    if found := _TIME.fullmatch(text):
        with suppress(ValueError):
            datetime.datetime.fromisoformat(f"{found[1]}T{found[2]}")
            return f"{found[1]} {found[2]} UTC"
    try:
        arguments.age(text)
    except Usage:
        raise Usage(
            f"--{name}: found {shown(text)}, wanted a number with s, m, h or d, like 30m, or a time like 2026-11-30T05:10:00Z; nothing was read"
        ) from None
    return f"-{text}"
