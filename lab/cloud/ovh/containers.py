"""Storage containers (buckets) of a region. Versioning and object lock are real; encryption is checked and kept, not carried out; replication
rules and jobs are carried out by `lab.s3.replication`.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from lab.cloud.ovh import answers
from lab.cloud.web import ApiError, Call, Reply
from lab.s3.gateway import StorageError
from lab.s3.replication import Place, Rule
from lab.s3.stored import Retention, StoredObject

if TYPE_CHECKING:
    from lab.cloud.ovh.service import OvhService

T = TypeVar("T")
PROJECT_OWNER = 1  # `ownerId` of a bucket that was made without one
PAGE = 1000
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MODES = ("governance", "compliance")
PERIOD = re.compile(r"P([1-9]\d{0,3})([DW])")
STATES = {
    "versioning": ("status", ("enabled", "disabled", "suspended")),
    "encryption": ("sseAlgorithm", ("AES256", "plaintext")),
    "objectLock": ("status", ("enabled", "disabled")),
}


def ask(function: Callable[[], T]) -> T:
    try:
        return function()
    except StorageError as error:
        raise answers.refusal(error) from error


def check_blocks(body: dict[str, Any]) -> None:
    for block, (field, allowed) in STATES.items():
        value = (body.get(block) or {}).get(field)
        if value is not None and value not in allowed:
            raise ApiError(400, f"[{block}.{field}] {value!r} is not one of {', '.join(allowed)}")


def shown_lock(block: dict[str, Any] | None) -> dict[str, Any]:
    """The block as the platform shows it: whole weeks as weeks. 400 on a rule that it would not take."""
    shown = {"status": "disabled"} | (block or {})
    rule = shown.get("rule")
    if rule is None:
        return shown
    period = PERIOD.fullmatch(str(rule.get("period")))
    if shown["status"] != "enabled":
        raise ApiError(400, "[objectLock.rule] a rule wants the status enabled")
    if rule.get("mode") not in MODES:
        raise ApiError(400, f"[objectLock.rule.mode] {rule.get('mode')!r} is not one of {', '.join(MODES)}")
    if period is None:
        raise ApiError(400, f"[objectLock.rule.period] {rule.get('period')!r} is no duration, wanted like P30D")
    days = int(period[1]) * (7 if period[2] == "W" else 1)
    return {**shown, "rule": {**rule, "period": f"P{days}D" if days % 7 else f"P{days // 7}W"}}


def retention(lock: dict[str, Any]) -> Retention | None:
    """What the gateway is told of a block as `shown_lock` gives it."""
    rule = lock.get("rule")
    if rule is None:
        return None
    number, unit = int(rule["period"][1:-1]), rule["period"][-1]
    return Retention(rule["mode"].upper(), number * (7 if unit == "W" else 1))


def check_replication(ovh: OvhService, region: str, record: dict[str, Any]) -> None:
    """Both sides versioned, the other bucket there, no rule id twice."""
    rules = (record["replication"] or {}).get("rules") or []
    if rules and record["versioning"]["status"] != "enabled":
        raise ApiError(400, f"[replication] versioning must be enabled on {record['name']} to replicate it")
    if len({rule.get("id") for rule in rules}) != len(rules):
        raise ApiError(400, "[replication.rules] the same id twice")
    for rule in rules:
        where = f"[replication.rules.{rule.get('id')}]"
        if rule.get("status") not in ("enabled", "disabled"):
            raise ApiError(400, f"{where} status is {rule.get('status')!r}, wanted enabled or disabled")
        if (rule.get("filter") or {}).get("tags"):
            if rule.get("deleteMarkerReplication") == "enabled":
                raise ApiError(400, f"{where} delete markers cannot be replicated by a filter with tags")
            raise ApiError(501, f"{where} a filter with tags is not imitated by the lab; leave it out in a rehearsal")
        destination = rule.get("destination") or {}
        place = (str(destination.get("region", "")), str(destination.get("name", "")))
        target = ovh.containers.get(place)
        if place == (region, record["name"]) or target is None:
            raise ApiError(400, f"{where} destination {place[1]} in {place[0]} does not exist")
        if target["versioning"]["status"] != "enabled":
            raise ApiError(400, f"{where} versioning must be enabled on the destination {place[1]}")


def enabled_rules(ovh: OvhService) -> list[Rule]:
    """What `lab.s3.replication` is to carry out."""
    with ovh.lock:
        found = []
        for (region, name), record in ovh.containers.items():
            for rule in (record["replication"] or {}).get("rules") or []:
                since = ovh.rules_since.get((region, name, rule["id"]))
                if since is not None:
                    target = rule["destination"]["region"].lower(), rule["destination"]["name"]
                    prefix, markers = (
                        (rule.get("filter") or {}).get("prefix") or "",
                        rule.get("deleteMarkerReplication") == "enabled",
                    )
                    found.append(
                        Rule((region.lower(), name), target, since, prefix, markers, ovh.jobs.get((region, name)))
                    )
        return found


def end_job(ovh: OvhService, place: Place) -> None:
    """The job of the bucket has nothing left to copy."""
    with ovh.lock:
        ovh.jobs.pop((place[0].upper(), place[1]), None)


def shown_object(item: StoredObject, versions: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "key": item.key,
        "size": item.size,
        "etag": item.etag,
        "lastModified": item.last_modified,
        "storageClass": "STANDARD",
    }
    if versions:
        shown |= {"versionId": item.version_id, "isLatest": item.is_latest, "isDeleteMarker": item.is_delete_marker}
    return shown


class Containers:
    """The buckets of the project, by region."""

    def __init__(self, ovh: OvhService) -> None:
        self.ovh = ovh

    def site(self, project: str, region: str) -> str:
        """The gateway's name of a storage region, 404 when there is none."""
        self.ovh.check_project(project)
        if region not in self.ovh.config.storage_regions:
            raise ApiError(404, f"Region {region} does not exist or has no object storage")
        return region.lower()

    def record(self, project: str, region: str, name: str) -> dict[str, Any]:
        """What is kept of a bucket; one that was made over S3 gets the defaults. 404 when it does not exist."""
        site = self.site(project, region)
        if name not in ask(lambda: self.ovh.storage.list_buckets(site)):
            self.ovh.containers.pop((region, name), None)
            raise ApiError(404, f"Container {name} does not exist in {region}")
        return self.ovh.containers.setdefault((region, name), self.fresh(region, name, {}))

    def fresh(self, region: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "virtualHost": f"{self.ovh.storage.endpoint(region.lower())}/{name}/",
            "ownerId": body.get("ownerId") or PROJECT_OWNER,
            "region": region,
            "createdAt": answers.now(),
            "versioning": {"status": "disabled"} | (body.get("versioning") or {}),
            "encryption": {"sseAlgorithm": "plaintext"} | (body.get("encryption") or {}),
            "replication": body.get("replication"),
            "objectLock": shown_lock(body.get("objectLock")),
            "tags": body.get("tags") or {},
        }

    def shown(self, record: dict[str, Any], call: Call) -> dict[str, Any]:
        site, name = record["region"].lower(), record["name"]
        prefix, marker, limit = call.first("prefix") or "", call.first("marker") or "", int(call.first("limit") or PAGE)
        objects = ask(
            lambda: self.ovh.storage.list_objects(site, name, prefix=prefix, marker=marker, limit=min(limit, PAGE))
        )
        everything = self.pages(site, name)
        totals = {"objectsCount": len(everything), "objectsSize": sum(item.size for item in everything)}
        return {**record, **totals, "objects": [shown_object(item, False) for item in objects]}

    def pages(self, site: str, name: str) -> list[StoredObject]:
        found: list[StoredObject] = []
        while True:
            marker = found[-1].key if found else ""
            page = ask(lambda marker=marker: self.ovh.storage.list_objects(site, name, marker=marker, limit=PAGE))  # type: ignore[misc]
            found += page
            if len(page) < PAGE:
                return found

    def create(self, call: Call, project: str, region: str) -> Reply:
        site, body = self.site(project, region), call.body or {}
        name, owner = str(body.get("name") or ""), body.get("ownerId")
        if not NAME.fullmatch(name):
            raise ApiError(
                400, f"[name] {name!r} is no bucket name: 3 to 63 small letters, digits, dots and dashes wanted"
            )
        check_blocks(body)
        with self.ovh.lock:
            if any(other == name for _, other in self.ovh.containers):
                raise ApiError(409, f"Container {name} already exists; names are unique over all regions")
            if owner is not None and owner not in self.ovh.users:
                raise ApiError(404, f"User {owner} not found")
            record = self.fresh(region, name, body)
            check_replication(self.ovh, region, record)
            locked = record["objectLock"]["status"] == "enabled"
            versioned = record["versioning"]["status"] == "enabled" or locked
            owned_by = str(owner) if owner is not None else ""
            ask(
                lambda: self.ovh.storage.create_bucket(
                    site,
                    name,
                    versioning=versioned,
                    object_lock=locked,
                    retention=retention(record["objectLock"]),
                    owner=owned_by,
                )
            )
            self.ovh.containers[region, name] = record
            self._note_rules(region, name, record)
            return Reply(body=self.shown(record, call))

    def update(self, call: Call, project: str, region: str, name: str) -> Reply:
        body = call.body or {}
        check_blocks(body)
        with self.ovh.lock:
            record = self.record(project, region, name)
            changed = dict(record)
            for block in ("versioning", "encryption", "replication", "tags"):
                if body.get(block) is not None:
                    changed[block] = body[block]
            check_replication(self.ovh, region, changed)
            if body.get("objectLock") is not None:
                changed["objectLock"] = self._relocked(region, name, record["objectLock"], body["objectLock"])
            if changed["versioning"] != record["versioning"]:
                enabled = changed["versioning"]["status"] == "enabled"
                ask(lambda: self.ovh.storage.set_versioning(region.lower(), name, enabled))
            self._note_rules(region, name, changed)
            record.update(changed)
        return answers.null()

    def _relocked(self, region: str, name: str, before: dict[str, Any], block: dict[str, Any]) -> dict[str, Any]:
        """A bucket's lock is there from its creation on or never; its rule may change."""
        lock = shown_lock(block)
        if lock["status"] != before["status"]:
            raise ApiError(400, f"[objectLock.status] {before['status']} since {name} was created, and stays so")
        if lock != before:
            ask(lambda: self.ovh.storage.set_retention(region.lower(), name, retention(lock)))
        return lock

    def _note_rules(self, region: str, name: str, record: dict[str, Any]) -> None:
        """Since when each rule is enabled: what is older is not copied."""
        enabled = {
            rule["id"] for rule in (record["replication"] or {}).get("rules") or [] if rule["status"] == "enabled"
        }
        for place in [
            place for place in self.ovh.rules_since if place[:2] == (region, name) and place[2] not in enabled
        ]:
            del self.ovh.rules_since[place]
        for rule_id in enabled:
            self.ovh.rules_since.setdefault((region, name, rule_id), time.time())

    def begin_job(self, call: Call, project: str, region: str, name: str) -> Reply:
        """One at a time; nothing says how far it is."""
        with self.ovh.lock:
            record = self.record(project, region, name)
            if not any(place[:2] == (region, name) for place in self.ovh.rules_since):
                raise ApiError(400, f"[replication] {record['name']} has no enabled rule that a job could follow")
            if (region, name) in self.ovh.jobs:
                raise ApiError(409, f"a replication job of {name} is under way")
            self.ovh.jobs[region, name] = time.time()
        return Reply(body={"id": str(uuid.uuid4())})

    def delete(self, call: Call, project: str, region: str, name: str) -> Reply:
        with self.ovh.lock:
            self.record(project, region, name)
            ask(lambda: self.ovh.storage.delete_bucket(region.lower(), name))
            self._note_rules(region, name, {"replication": None})
            self.ovh.containers.pop((region, name), None)
        return answers.null()

    def delete_objects(self, call: Call, project: str, region: str, name: str) -> Reply:
        wanted = (call.body or {}).get("objects")
        if not isinstance(wanted, list) or not all(isinstance(entry, dict) and entry.get("key") for entry in wanted):
            raise ApiError(400, "[objects] wanted a list of key and versionId")
        with self.ovh.lock:
            self.record(project, region, name)
        pairs = [(entry["key"], entry.get("versionId") or "") for entry in wanted]
        ask(lambda: self.ovh.storage.delete_objects(region.lower(), name, pairs))
        return answers.null()


def register(ovh: OvhService, prefix: str) -> None:
    held = Containers(ovh)
    base = f"{prefix}/cloud/project/<project>/region/<region>/storage"
    ovh.route("POST", base)(held.create)
    ovh.route("PUT", f"{base}/<name>")(held.update)
    ovh.route("DELETE", f"{base}/<name>")(held.delete)
    ovh.route("POST", f"{base}/<name>/job/replication")(held.begin_job)
    ovh.route("POST", f"{base}/<name>/bulkDeleteObjects")(held.delete_objects)

    @ovh.route("GET", base)
    def list_containers(call: Call, project: str, region: str) -> Reply:
        with ovh.lock:
            site = held.site(project, region)
            names = ask(lambda: ovh.storage.list_buckets(site))
            return Reply(body=[{**held.record(project, region, name), "objects": []} for name in names])

    @ovh.route("GET", f"{base}/<name>")
    def get_container(call: Call, project: str, region: str, name: str) -> Reply:
        with ovh.lock:
            return Reply(body=held.shown(held.record(project, region, name), call))

    @ovh.route("GET", f"{base}/<name>/object")
    def list_objects(call: Call, project: str, region: str, name: str) -> Reply:
        with ovh.lock:
            held.record(project, region, name)
        versions = call.first("withVersions") == "true"
        prefix, marker, limit = call.first("prefix") or "", call.first("marker") or "", int(call.first("limit") or PAGE)
        found = ask(
            lambda: ovh.storage.list_objects(
                region.lower(), name, versions=versions, prefix=prefix, marker=marker, limit=min(limit, PAGE)
            )
        )
        return Reply(body=[shown_object(item, versions) for item in found])

    @ovh.route("DELETE", f"{base}/<name>/object/<path:key>")
    def delete_object(call: Call, project: str, region: str, name: str, key: str) -> Reply:
        with ovh.lock:
            held.record(project, region, name)
        ask(lambda: ovh.storage.delete_objects(region.lower(), name, [(key, call.first("versionId") or "")]))
        return answers.null()
