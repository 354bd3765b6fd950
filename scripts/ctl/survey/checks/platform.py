"""Checks of what the platform could take: quota, sizes and images for servers that have to be made anew. Asked by `drctl check` alone."""

from __future__ import annotations

from collections.abc import Iterator

from contract.names import server_name
from scripts.clients.server_states import Size
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, unknown

WARNS = Severity.WARNS


def _quota(at: Sight) -> Iterator[Verdict]:
    """For the servers that the standby lacks; where it has all of them for the largest one, which may have to be made anew."""
    standby, deep = at.survey.standby, at.survey.deep
    if standby is None or deep is None:
        yield unknown("quota", at.survey.newest.why)
        return
    site, subject = standby.site, f"quota of region {standby.site}"
    room, sizes, listed = deep.rooms[site], deep.sizes[site], deep.listed[site]
    if room.value is None or sizes.value is None or listed.value is None:
        yield unknown(subject, room.why or sizes.why or listed.why)
        return
    there = {it.name for it in listed.value}
    flavors, project = at.settings.regions[site].flavors, at.settings.project
    wanted = {host.name: sizes.value.get(flavors[host.role]) for host in at.settings.hosts_of(site).values()}
    missing = [name for name in wanted if server_name(project, site, name) not in there]
    known = {name: size for name, size in wanted.items() if size is not None}
    if any(name not in known for name in missing) or not known:
        yield unknown(subject, "the size of what is missing there is not known: see flavors.available")
        return
    needed = [known[name] for name in missing] or [max(known.values(), key=_largest)]
    lacks = room.value.lacks(needed)
    what = f"for {', '.join(missing)}, which it lacks" if missing else f"for one more of {needed[0].words()}"
    yield Verdict(subject=subject, holds=not lacks, found=f"{'; '.join(lacks) or 'room'} {what}")


def _largest(size: Size) -> tuple[int, int]:
    return size.memory, size.cores


def _flavors(at: Sight) -> Iterator[Verdict]:
    for site, region in at.settings.regions.items():
        subject, deep = f"flavors of region {site}", at.survey.deep
        sizes = None if deep is None else deep.sizes[site]
        if sizes is None or sizes.value is None:
            yield unknown(subject, "" if sizes is None else sizes.why)
            continue
        gone = [f"{flavor} of {kind}" for kind, flavor in region.flavors.items() if sizes.value.get(flavor) is None]
        yield Verdict(
            subject=subject,
            holds=not gone,
            found=f"not offered: {', '.join(gone)}" if gone else f"{len(sizes.value)} offered",
        )


def _images(at: Sight) -> Iterator[Verdict]:
    for site, region in at.settings.regions.items():
        subject, deep = f"image {region.image_id} of region {site}", at.survey.deep
        status = None if deep is None else deep.images[site]
        if status is None or status.value is None:
            yield unknown(subject, "" if status is None else status.why)
        else:
            yield Verdict(subject=subject, holds=status.value == "active", found=status.value or "not there")


ROWS = (
    Row(
        id="quota.standby",
        severity=WARNS,
        about="the standby's region takes the servers that it lacks, or one that is made anew",
        judge=_quota,
        wanted="room for them",
        next="ask the platform for more (`openstack limits show --absolute` in that region)",
        deep=True,
    ),
    Row(
        id="flavors.available",
        severity=WARNS,
        about="the sizes of servers that are configured are still offered, in both regions",
        judge=_flavors,
        wanted="all of them",
        next="`openstack flavor list` in that region, then dr:regions.<site>.flavors",
        deep=True,
    ),
    Row(
        id="images.available",
        severity=WARNS,
        about="servers can be made of the image that is configured, in both regions",
        judge=_images,
        wanted="active",
        next="`openstack image list` in that region, then dr:regions.<site>.image_id",
        deep=True,
    ),
)
