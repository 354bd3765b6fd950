"""WAL and backups: what is configured of them (`dr:archive`) and what `archive prepare` and `archive converge` are told."""

from __future__ import annotations

from collections.abc import Mapping

from ..checks import Check, Unwanted, boolean, integer, optional, password, text
from ..dataclass import dataclass
from ..fields import key, part, parts, table
from ..forms import BUCKET, REGION, S3_KEY
from ..hosts import PORTS
from ..sites import SITES
from .postgres import VERSION

# pgBackRest speaks to S3 over TLS only.
ENDPOINT = text(
    r"https://[^/\s:]+(:[0-9]{1,5})?/?", "https://host or https://host:port, as pgBackRest speaks to S3 over TLS only"
)
PEM = optional(
    text(r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n?)+", "a PEM certificate")
)
_EVENT = text(r"[A-Za-z0-9*:,./~ _+-]{3,80}", "a calendar event of systemd, like Sun *-*-* 02:30:00 UTC")
_NUMBER = integer(1, 999)


def _passphrase(value: object) -> str:
    """pgBackRest's configuration has no quotes: blanks at the ends of a value are lost there."""
    found = password(value)
    if len(found) < 12 or found != found.strip():
        raise Unwanted(PASSPHRASE.wanted)
    return found


PASSPHRASE = Check("12 or more characters in one line, without blanks at the ends", _passphrase)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """`dr:archive`. Absent: nothing is archived, and what both databases lose together is lost."""

    endpoints: Mapping[str, str] = table(
        ENDPOINT,
        "S3 servers of both regions, `https://` only; on OVHcloud those of `s3_endpoint`",
        names=SITES,
        why="WAL cannot be sent to that region",
        fix="the region's S3 endpoint, on OVHcloud https://s3.<region>.io.cloud.ovh.net",
    )
    ca: str | None = key(
        PEM,
        "PEM of their CA, where it is not a public one",
        default=None,
        why="certificates of the S3 servers cannot be checked",
    )
    retention_full: int = key(
        _NUMBER,
        "full backups that are kept, with all that depends on them",
        default=4,
        why="backups would be kept for ever, or not at all",
    )
    lock_days: int = key(
        integer(0, 99),
        "what is stored in a bucket of WAL and backups cannot be removed that long, by no key and by nobody (object lock, compliance mode): at least "
        "the days between two full backups and the days until somebody notices, and less than what `retention_full` keeps. Put on a bucket when it "
        "is made and never later; 0: none, whoever holds the keys of the project can empty it (docs/restore.md)",
        default=14,
        unit="days",
        why="backups could be removed by their own keys, or not at all",
    )
    offsite: bool = key(
        boolean,
        "a user who may read WAL, backups and assets of the site and nothing else, for a copy in another account that a machine there pulls "
        "(docs/offsite.md); its keys are the secret output `offsite` of each stack",
        default=False,
        why="the account, or who holds its keys, can take the last backup with it",
        shared=False,
    )
    full: str = key(
        _EVENT,
        "when full backups are made: a calendar event of systemd, in the active site",
        default="Sun *-*-* 02:30:00 UTC",
        why="no full backup is made",
    )
    incremental: str = key(
        _EVENT,
        "when incremental ones are made",
        default="Mon..Sat *-*-* 02:30:00 UTC",
        why="no incremental backup is made",
    )
    process_max: int = key(_NUMBER, "processes that compress and send", default=2, why="backups cannot start")
    queue_max: str = key(
        text(r"[1-9][0-9]*(MB|GB|TB)", "a size like 2GB"),
        "WAL that may wait on the primary's disk for a region that does not take it; beyond that the region is left out until it answers",
        default="2GB",
        why="a repository that is down fills the disk of the primary",
    )


@dataclass(frozen=True, kw_only=True)
class Repository:
    """The WAL bucket of one region."""

    region: str = key(REGION, "name of the region in signatures")
    bucket: str = key(BUCKET, "name of the bucket")


@dataclass(frozen=True, kw_only=True)
class S3Keys:
    """Of the archive's own user, who reaches the WAL buckets of both sites."""

    access_key: str = key(S3_KEY, "id of the key", secret=True)
    secret_key: str = key(S3_KEY, "the key", secret=True)


@dataclass(frozen=True, kw_only=True)
class Block(Keys):
    """What the archive's verbs are told beside the keys of `dr:archive`."""

    version: int = key(VERSION, "PostgreSQL's major version")
    port: int = key(integer(1, 65535), "where the server listens", default=PORTS["postgres"])
    repositories: Mapping[str, Repository] = parts(Repository, "the WAL bucket of each site", names=SITES)
    keys: S3Keys = part(S3Keys, "to both")
    passphrase: str = key(PASSPHRASE, "what all of it is encrypted with", secret=True)
