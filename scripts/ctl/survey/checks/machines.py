"""Checks of the machines: servers at the platform, hosts, clocks, software."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator

from contract.names import server_name
from contract.version import VERSION
from scripts.clients.server_states import Server
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, each, judged, unknown
from scripts.ctl.survey.seen import Region

BLOCKS, WARNS = Severity.BLOCKS, Severity.WARNS
# The copier's and the archive's: one that was ended by a change of roles stays failed where it has no more to do. See assets.*, archive.*, backup.*.
_JOB = re.compile(r"dr-(assets|archive)-[a-z]+\.service")
CLOCK_S = 5.0
MOST_OF = 3  # hosts: of two that differ nobody knows which is right
ROOT_FREE = 0.1


def _packages(at: Sight) -> Iterator[Verdict]:
    """Hosts of one kind, in both regions: what is newer on one of them was not tried beside the other."""
    regions = [*at.regions()]
    for name in regions[0].hosts:
        known = [it.host(name) for it in regions]
        tables = [None if it is None else it.packages for it in known]
        if any(it is None for it in tables):
            yield unknown(name)
            continue
        left, right = ({n: v for n, v in (it or {}).items() if not n.startswith("linux-image")} for it in tables)
        wrong = sorted(n for n in left | right if left.get(n) != right.get(n))
        told = ", ".join(f"{n} {left.get(n, 'none')} in a, {right.get(n, 'none')} in b" for n in wrong[:4])
        yield Verdict(subject=name, holds=not wrong, found=told or f"{len(left)} alike")


def _servers(at: Sight) -> Iterator[Verdict]:
    for region in at.regions():
        sight = region.servers.value
        if sight is None:
            yield unknown(f"servers of {region.site}", region.servers.why)
            continue
        wrong = [
            f"{it.name or it.id} is {it.words()}"
            for it in sight.servers
            if it.status != "ACTIVE" or it.task is not None
        ]
        wrong += [*sight.unseen, *(f"{name} is gone" for name in sight.gone)]
        yield Verdict(
            subject=f"servers of {region.site}", holds=not wrong, found=", ".join(wrong) or f"{len(sight.servers)} on"
        )


def _capacity(at: Sight) -> Iterator[Verdict]:
    """The standby against the active one, server by server: what is not on, or is smaller, does not bear what the other one bears."""
    active, standby = at.survey.active, at.survey.standby
    if active is None or standby is None:
        yield unknown("servers of the standby", at.survey.newest.why)
        return
    subject, wrong, unsure = f"servers of region {standby.site}", list[str](), list[str]()
    if active.servers.value is None or standby.servers.value is None:
        yield unknown(subject, standby.servers.why or active.servers.why)
        return
    here, there = (_by_host(at, region) for region in (standby, active))
    for name in sorted(here | there):
        own, other = here.get(name), there.get(name)
        if own is None:
            wrong.append(f"{name} is not there")
        elif own.status != "ACTIVE":
            wrong.append(f"{name} is {own.words()}")
        elif other is not None and (own.size is None or other.size is None):
            unsure.append(name)
        elif other is not None and own.size and other.size and not own.size.bears(other.size):
            wrong.append(f"{name} has {own.size.words()}, that of region {active.site} {other.size.words()}")
    if unsure and not wrong:
        yield unknown(subject, f"the platform does not tell how large {', '.join(unsure)} is")
    else:
        yield Verdict(subject=subject, holds=not wrong, found=", ".join(wrong) or f"{len(here)} on, as large")


def _by_host(at: Sight, region: Region) -> dict[str, Server]:
    """What is seen of a region's servers, by the names of the hosts."""
    names = {server_name(at.settings.project, region.site, name): name for name in region.hosts}
    seen = () if region.servers.value is None else region.servers.value.servers
    return {names[it.name]: it for it in seen if it.name in names}


def _clocks(at: Sight) -> Iterator[Verdict]:
    """A host has said its time while the survey was made. Where most of them differ from this machine, it is this machine that is wrong."""
    ahead = {name: word.part(lambda it: None if it.at is None else it.at - at.now) for name, _, word in at.hosts()}
    known = [it for it in ahead.values() if it is not None]
    most = statistics.median(known) if len(known) >= MOST_OF else 0.0
    own = _off(most, at.survey.took_s)
    if own > CLOCK_S:
        which = "behind" if most > 0 else "ahead of"
        yield Verdict(
            subject="this machine", holds=False, found=f"{own:.0f} s {which} most hosts: it is none of theirs"
        )
    for name, it in ahead.items():
        off = None if it is None else _off(it - most if own > CLOCK_S else it, at.survey.took_s)
        yield judged(name, off, lambda it: it <= CLOCK_S, lambda it: f"{it:.0f} s off" if it else "right")


def _off(ahead_s: float, took_s: float) -> float:
    """By how much a clock is off at least that was read at some moment of `took_s`."""
    return max(-ahead_s, ahead_s - took_s, 0.0)


def _disk(at: Sight) -> Iterable[Verdict]:
    return each(
        at.hosts(), lambda it: None if not it.disk_size or it.disk_free is None else it.disk_free / it.disk_size, lambda it: it >= ROOT_FREE,
        lambda it: f"{it:.0%} free",
    )  # fmt: skip


ROWS = (
    Row(
        id="software.parity",
        severity=WARNS,
        about="one version of dr-host everywhere, this program's",
        judge=lambda at: each(at.hosts(), lambda it: it.version, lambda it: it == VERSION),
        wanted=VERSION,
        next="pulumi up for that region",
    ),
    Row(
        id="packages.parity",
        severity=WARNS,
        about="hosts of both regions have the same packages",
        judge=_packages,
        wanted="the same versions",
        next="apt-get upgrade on the standby's host, and on the active's after a move",
    ),
    Row(
        id="servers.on",
        severity=BLOCKS,
        about="the platform shows every server on",
        judge=_servers,
        wanted="ACTIVE",
        next="pulumi up for that region, which starts them",
    ),
    Row(
        id="capacity.standby",
        severity=WARNS,
        about="the standby has the servers that the active region has, on and as large",
        judge=_capacity,
        wanted="each of them, on, and no smaller",
        next="pulumi up for the standby; dr:regions.<site>.flavors",
    ),
    Row(
        id="host.answers",
        severity=BLOCKS,
        about="every host answers",
        judge=lambda at: each(
            at.hosts(),
            lambda it: ", ".join(it.silent),
            lambda it: not it,
            lambda it: f"cannot ask {it}" if it else "answers",
        ),
        wanted="an answer of every service",
        next="drctl status; the host's console",
    ),
    Row(
        id="host.units",
        severity=WARNS,
        about="no unit has failed; jobs that run again by themselves are judged by what they leave",
        judge=lambda at: each(
            at.hosts(),
            lambda it: [name for name in it.failed if not _JOB.fullmatch(name)],
            lambda it: not it,
            lambda it: ", ".join(it) or "none failed",
        ),
        wanted="none",
        next="systemctl status of that unit",
    ),
    Row(
        id="host.disk",
        severity=WARNS,
        about="room on the hosts' own disks",
        judge=_disk,
        wanted="a tenth or more",
        next="journalctl --disk-usage; apt-get clean",
    ),
    Row(
        id="reboot.due",
        severity=WARNS,
        about="no update waits for a reboot",
        judge=lambda at: each(
            at.hosts(), lambda it: it.reboot_due, lambda it: not it, lambda it: "due" if it else "none due"
        ),
        wanted="none",
        next="drctl reboot <the standby's region>; after a switchover the other one's",
    ),
    Row(
        id="clock.offset",
        severity=WARNS,
        about="clocks agree with this machine's, and this machine's with most",
        judge=_clocks,
        wanted=f"{CLOCK_S:.0f} s at most",
        next="timedatectl status on that host, and here",
    ),
)
