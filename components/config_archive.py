"""The key `dr:archive`: where WAL and backups go, how often, how long. Absent: nothing is archived."""

from __future__ import annotations

from components import reading
from components import settings as s
from components.naming import SITES
from components.reading import Section

_TLS = reading.text(
    r"https://[^/\s:]+(:\d{1,5})?/?", "https://host or https://host:port, as pgBackRest speaks to S3 over TLS only"
)
_PEM = reading.text(
    r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n?)+", "a PEM certificate"
)
_SIZE = reading.text(r"[1-9]\d*(MB|GB|TB)", "a size like 2GB")
_EVENT = reading.text(r"[^\n%]{3,80}", "a calendar event of systemd, like Sun *-*-* 02:30:00 UTC")


def read_archive(root: Section) -> s.Archive | None:
    """None when the stack archives nothing."""
    if not root.has("archive"):
        return None
    with root.section("archive", "nothing is archived") as at:
        with at.section("endpoints", "WAL has no place to go") as places:
            why, fix = (
                "WAL cannot be sent to that region",
                "the region's S3 endpoint, on OVHcloud https://s3.<region>.io.cloud.ovh.net",
            )
            endpoints = {site: places.take(site, _TLS, why, fix) for site in SITES}
        number = reading.integer(1, 999)
        return s.Archive(
            endpoints=endpoints,
            ca=at.take("ca", _PEM, "certificates of the S3 servers cannot be checked", default=None),
            retention_full=at.take(
                "retention_full", number, "backups would be kept for ever, or not at all", default=4
            ),
            full=at.take("full", _EVENT, "no full backup is made", default="Sun *-*-* 02:30:00 UTC"),
            incremental=at.take(
                "incremental", _EVENT, "no incremental backup is made", default="Mon..Sat *-*-* 02:30:00 UTC"
            ),
            process_max=at.take("process_max", number, "backups cannot start", default=2),
            queue_max=at.take(
                "queue_max", _SIZE, "a repository that is down fills the disk of the primary", default="2GB"
            ),
        )
