"""Stand-ins for object storage and name servers, and a signing client that needs no socket."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.cloud.ovh import OvhConfig, OvhService
from lab.cloud.ovh.answers import signature
from lab.cloud.web import Call
from lab.dns.servers import Record
from lab.s3 import policy
from lab.s3.gateway import StorageError
from lab.s3.stored import Retention, StoredObject

CONFIG = OvhConfig(
    application_key="lab-key",
    application_secret="lab-secret",
    consumer_key="lab-consumer",
    service_name="project0123",
    auth_url="http://127.0.0.1:5000/v3",
)
HOST = "127.0.0.1:8080"


class FakeStorage:
    """Buckets and objects in dicts; refuses as `lab.s3.gateway.Storage` does."""

    def __init__(self) -> None:
        self.buckets: dict[tuple[str, str], dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.policies: dict[str, str] = {}
        self.down: set[str] = set()

    def endpoint(self, region: str) -> str:
        return f"http://s3.{region}.test"

    def create_credential(self, user: str, access_key: str, secret_key: str) -> None:
        self.keys[access_key] = user

    def delete_credential(self, access_key: str) -> None:
        del self.keys[access_key]

    def set_policy(self, user: str, document: str) -> None:
        policy.parse(document)
        self.policies[user] = document

    def forget_user(self, user: str) -> None:
        self.keys = {key: owner for key, owner in self.keys.items() if owner != user}
        self.policies.pop(user, None)

    def create_bucket(
        self,
        region: str,
        name: str,
        *,
        versioning: bool = False,
        object_lock: bool = False,
        retention: Retention | None = None,
        owner: str = "",
    ) -> None:
        self._reach(region)
        self.buckets[region, name] = {
            "versioning": versioning,
            "owner": owner,
            "objects": [],
            "locked": object_lock,
            "retention": retention,
        }

    def set_retention(self, region: str, name: str, retention: Retention | None) -> None:
        assert self.buckets[region, name]["locked"]
        self.buckets[region, name]["retention"] = retention

    def set_versioning(self, region: str, name: str, enabled: bool) -> None:
        self.buckets[region, name]["versioning"] = enabled

    def delete_bucket(self, region: str, name: str) -> None:
        if self.buckets[region, name]["objects"]:
            raise StorageError("not empty", f"{name} is not empty")
        del self.buckets[region, name]

    def list_buckets(self, region: str) -> list[str]:
        self._reach(region)
        return sorted(name for place, name in self.buckets if place == region)

    def list_objects(
        self, region: str, name: str, *, versions: bool = False, prefix: str = "", marker: str = "", limit: int = 1000
    ) -> list[StoredObject]:
        found = [
            item for item in self.buckets[region, name]["objects"] if item.key.startswith(prefix) and item.key > marker
        ]
        return sorted(
            (item for item in found if versions or (item.is_latest and not item.is_delete_marker)),
            key=lambda item: item.key,
        )[:limit]

    def delete_objects(self, region: str, name: str, objects: Iterable[tuple[str, str]]) -> None:
        gone = set(objects)
        bucket = self.buckets[region, name]
        bucket["objects"] = [item for item in bucket["objects"] if (item.key, item.version_id) not in gone]

    def add(self, region: str, name: str, key: str, version: str, *, latest: bool = True) -> None:
        item = StoredObject(
            key=key,
            size=3,
            etag="e",
            last_modified="2026-01-01T00:00:00Z",
            version_id=version,
            is_latest=latest,
            is_delete_marker=False,
        )
        self.buckets[region, name]["objects"].append(item)

    def _reach(self, region: str) -> None:
        if region in self.down:
            raise StorageError("down", f"S3 {region}: no answer")


class FakeDns:
    """Notes what was published: zone, records, serial."""

    def __init__(self) -> None:
        self.published: list[tuple[str, list[Record], int]] = []

    def publish(self, zone: str, records: Iterable[Record], serial: int) -> None:
        self.published.append((zone, list(records), serial))

    def served(self, subdomain: str) -> list[str]:
        """The targets of A records of that name in the newest publication."""
        return (
            [row.target for row in self.published[-1][1] if (row.subdomain, row.fieldtype) == (subdomain, "A")]
            if self.published
            else []
        )


class Api:
    """A signing client: `api("POST", path, body)` gives (status, answer); `path` without the /1.0."""

    def __init__(self, service: OvhService) -> None:
        self.service = service

    def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        raw = b"" if body is None else json.dumps(body).encode()
        target = f"/1.0{path}"
        config, stamp = self.service.config, str(int(time.time()))
        sign = signature(
            config.application_secret,
            config.consumer_key,
            method=method,
            url=f"http://{HOST}{target}",
            body=raw.decode(),
            timestamp=stamp,
        )
        signed = {
            "host": HOST,
            "x-ovh-application": config.application_key,
            "x-ovh-consumer": config.consumer_key,
            "x-ovh-timestamp": stamp,
            "x-ovh-signature": sign,
        } | (headers or {})
        parts = urlsplit(target)
        reply = self.service.handle(
            Call(method, parts.path, parse_qs(parts.query), signed, body, raw, target.rstrip("?"), target=target)
        )
        return reply.status, json.loads(reply.text) if reply.text is not None else reply.body
