"""OVHcloud's bucket replication, imitated: rules of the OVHcloud API are carried out between the gateways, late and with the platform's gaps.

Imitated: only what was written after its rule was enabled (older objects by a job), versions in the order of their writing, a lag, objects
with their headers, metadata and tags; delete markers only where the rule says so, no removal of versions, no replica again; what cannot be
copied while a region is dead stays pending. A replica is written over whatever is there, newer or not. Every version has a status, which the
fronts tell in `x-amz-replication-status`. Not imitated: the version id of the source at the replica, ACL updates, retention; the API refuses
the filter by tags.
"""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from lab.s3.liar import SOURCE, Handler, Liar

log = logging.getLogger("lab.replication")
Place = tuple[str, str]  # region as the gateways call it, bucket
CARRIED = (
    "ContentType",
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "Expires",
    "Metadata",
    "WebsiteRedirectLocation",
)
PENDING, COMPLETED, FAILED, REPLICA = "PENDING", "COMPLETED", "FAILED", "REPLICA"


class Stores(Protocol):
    """What is asked of the gateways (`lab.s3.gateway.Storage`)."""

    def client(self, region: str) -> Any: ...


@dataclass(frozen=True)
class Rule:
    """An enabled rule. Times in seconds since 1970; `job`: since when a job copies older objects, None without one."""

    source: Place
    target: Place
    since: float
    prefix: str = ""
    markers: bool = False  # delete markers too
    job: float | None = None


@dataclass(frozen=True)
class Version:
    """One version of an object."""

    key: str
    id: str
    written: float
    marker: bool = False


class Replicator:
    """Carries out the rules that `rules` names, each object `lag_s` after it was due. `ended` is told of a job that has nothing left to do."""

    def __init__(
        self,
        stores: Stores,
        rules: Callable[[], Iterable[Rule]],
        lag_s: float,
        *,
        ended: Callable[[Place], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stores, self._rules, self.lag_s, self._ended, self._clock = stores, rules, lag_s, ended, clock
        self._status: dict[tuple[Place, str, str], str] = {}
        self._written: dict[tuple[Place, str, str], float] = {}
        self._lock = threading.Lock()

    def status(self, place: Place, key: str, version: str) -> str | None:
        """As the platform tells it in the headers of this version; None: no rule concerns it."""
        with self._lock:
            return self._status.get((place, key, version))

    def step(self) -> int:
        """Look at every rule's source once and copy what is due. Returns how many versions were copied."""
        return sum(self._carry_out(rule) for rule in self._rules())

    def _carry_out(self, rule: Rule) -> int:
        copied, left = 0, False
        try:
            for version in sorted(self._versions(rule), key=lambda item: item.written):
                due = self._due(rule, version)
                if due is None:
                    continue
                left = True
                if due <= self._clock():
                    copied += self._copy(rule, version)
        except (BotoCoreError, ClientError) as error:
            log.info("replication from %s: %s; tried again", rule.source, error)
            return copied
        if rule.job is not None and not left:
            self._ended(rule.source)
        return copied

    def _versions(self, rule: Rule) -> Iterator[Version]:
        region, bucket = rule.source
        for page in (
            self._stores.client(region)
            .get_paginator("list_object_versions")
            .paginate(Bucket=bucket, Prefix=rule.prefix)
        ):
            for kind in ("Versions", "DeleteMarkers") if rule.markers else ("Versions",):
                for item in page.get(kind, []):
                    # As first seen: the gateway gives a version that is hidden by a marker the time of that.
                    written = self._written.setdefault(
                        (rule.source, item["Key"], item["VersionId"]), item["LastModified"].timestamp()
                    )
                    yield Version(item["Key"], item["VersionId"], written, kind == "DeleteMarkers")

    def _due(self, rule: Rule, version: Version) -> float | None:
        """When the version is to be copied; None: never, or done."""
        known = self.status(rule.source, version.key, version.id)
        if known not in (None, PENDING):
            return None
        # Listings tell whole seconds.
        if version.written >= int(rule.since):
            self._say(rule.source, version, PENDING)
            return version.written + self.lag_s
        if rule.job is None:
            return None
        self._say(rule.source, version, PENDING)
        return rule.job + self.lag_s

    def _copy(self, rule: Rule, version: Version) -> bool:
        try:
            made = self._mark(rule, version) if version.marker else self._put(rule, version)
        except ClientError as error:
            log.warning("replication of %s to %s: %s", version.key, rule.target, error)
            self._say(rule.source, version, FAILED)
            return False
        self._say(rule.target, Version(version.key, made, 0.0), REPLICA)
        self._say(rule.source, version, COMPLETED)
        return True

    def _mark(self, rule: Rule, version: Version) -> str:
        region, bucket = rule.target
        # The gateway makes no marker, and names no version, where there is no object.
        return str(self._stores.client(region).delete_object(Bucket=bucket, Key=version.key).get("VersionId", ""))

    def _put(self, rule: Rule, version: Version) -> str:
        """Returns the version that it became."""
        (region, bucket), (end, target) = rule.source, rule.target
        which = {"Bucket": bucket, "Key": version.key, "VersionId": version.id}
        source = self._stores.client(region)
        found = source.get_object(**which)
        headers = {name: found[name] for name in CARRIED if found.get(name)}
        tags = source.get_object_tagging(**which)["TagSet"] if found.get("TagCount") else []
        made = self._stores.client(end).put_object(Bucket=target, Key=version.key, Body=found["Body"].read(), **headers)
        if tags:
            self._stores.client(end).put_object_tagging(Bucket=target, Key=version.key, Tagging={"TagSet": tags})
        return str(made["VersionId"])

    def _say(self, place: Place, version: Version, status: str) -> None:
        with self._lock:
            self._status[place, version.key, version.id] = status


class Teller(Handler):
    """Passes everything on, and adds the status of the version that a GET or HEAD of an object answers with."""

    status: Callable[[str, str, str], str | None]  # bucket, key, version

    def added(self, reply: http.client.HTTPResponse) -> dict[str, str]:
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        version = reply.getheader("x-amz-version-id")
        if self.command not in ("GET", "HEAD") or not key or not version:
            return {}
        said = type(self).status(bucket, key, version)
        return {"x-amz-replication-status": said} if said else {}


def front(
    upstream: tuple[str, int],
    listen: tuple[str, int],
    status: Callable[[str, str, str], str | None],
    source: str | None = SOURCE,
) -> Liar:
    """Before the gateway at `upstream`: the same answers, with the platform's word on each version."""
    return Liar(upstream, listen, "honest", source, type("Telling", (Teller,), {"status": staticmethod(status)}))
