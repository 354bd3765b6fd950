"""DNS zones: records as the API keeps them, and the refresh that alone carries them to the name servers."""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from lab.cloud.ovh import answers
from lab.cloud.web import ApiError, Call, Reply
from lab.dns.servers import DEFAULT_TTL_S, DnsError, Record, zone_text

if TYPE_CHECKING:
    from lab.cloud.ovh.service import OvhService

TYPES = ("A", "AAAA", "CAA", "CNAME", "DNAME", "MX", "NAPTR", "NS", "PTR", "SPF", "SRV", "SSHFP", "TLSA", "TXT")
MIN_TTL_S = 60
SUBDOMAIN = re.compile(
    r"(\*|[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)(\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
)


class Zone:
    """One zone's records. Thread-safe; `refreshing` is held by the one refresh that may run."""

    def __init__(self, name: str, name_servers: tuple[str, ...]) -> None:
        self.name, self.name_servers = name, name_servers
        self.refreshing = threading.Lock()
        self.serial, self.updated = 0, answers.now()
        self._lock = threading.Lock()
        rows = [("", "NS", f"{server}.") for server in name_servers]
        self._records = {
            number: {"id": number, "zone": name, "subDomain": sub, "fieldType": kind, "target": target, "ttl": 0}
            for number, (sub, kind, target) in enumerate(rows, 1)
        }

    def records(self) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(record) for _, record in sorted(self._records.items())]

    def get(self, number: str) -> dict[str, Any]:
        with self._lock:
            record = self._records.get(int(number)) if number.isdigit() else None
            if record is None:
                raise ApiError(404, f"This service does not exist: record {number} of {self.name}")
            return dict(record)

    def put(self, record: dict[str, Any]) -> None:
        """Keep a new or changed record; 409 where a CNAME would stand beside others of its name."""
        with self._lock:
            for other in self._records.values():
                same_name = other["id"] != record["id"] and other["subDomain"] == record["subDomain"]
                if same_name and "CNAME" in (other["fieldType"], record["fieldType"]):
                    raise ApiError(
                        409,
                        f"A CNAME cannot stand beside another record of {record['subDomain'] or '@'} in {self.name}",
                    )
            self._records[record["id"]] = record
            self.updated = answers.now()

    def delete(self, number: str) -> None:
        record = self.get(number)
        with self._lock:
            self._records.pop(record["id"], None)
            self.updated = answers.now()

    def published(self) -> list[Record]:
        return [Record(row["subDomain"], row["fieldType"], row["target"], row["ttl"]) for row in self.records()]

    def next_serial(self) -> int:
        self.serial = max(self.serial + 1, int(time.time()))
        return self.serial


def checked(record: dict[str, Any]) -> dict[str, Any]:
    """The record, or a 400 that says which field is wrong and what is wanted."""
    ttl, kind, target, sub = record["ttl"], record["fieldType"], record["target"], record["subDomain"]
    if isinstance(ttl, bool) or not isinstance(ttl, int) or (ttl != 0 and ttl < MIN_TTL_S):
        raise ApiError(400, f"[ttl] {ttl!r}: wanted 0 (the zone's own, {DEFAULT_TTL_S} s) or {MIN_TTL_S} and more")
    if kind not in TYPES:
        raise ApiError(400, f"[fieldType] {kind!r} is not one of {', '.join(TYPES)}")
    if sub and not SUBDOMAIN.fullmatch(sub):
        raise ApiError(400, f"[subDomain] {sub!r} is not a name below the zone")
    if not isinstance(target, str) or not target:
        raise ApiError(400, "[target] is missing")
    if kind in ("A", "AAAA"):
        try:
            ipaddress.IPv4Address(target) if kind == "A" else ipaddress.IPv6Address(target)
        except ValueError:
            raise ApiError(400, f"[target] {target!r} is no address for a record of type {kind}") from None
    elif any(character in target for character in "\r\n"):
        raise ApiError(400, "[target] must be one line")
    return record


def register(ovh: OvhService, prefix: str) -> None:
    def zone_of(name: str) -> Zone:
        zone = ovh.zones.get(name)
        if zone is None:
            raise ApiError(404, f"This service does not exist: zone {name}")
        return zone

    @ovh.route("GET", f"{prefix}/domain/zone")
    def list_zones(call: Call) -> Reply:
        return Reply(body=sorted(ovh.zones))

    @ovh.route("GET", f"{prefix}/domain/zone/<name>")
    def get_zone(call: Call, name: str) -> Reply:
        zone = zone_of(name)
        shown = {"name": name, "nameServers": list(zone.name_servers), "lastUpdate": zone.updated}
        return Reply(body={**shown, "hasDnsAnycast": False, "dnssecSupported": True})

    @ovh.route("GET", f"{prefix}/domain/zone/<name>/export")
    def export(call: Call, name: str) -> Reply:
        zone = zone_of(name)
        return Reply(body=zone_text(name, zone.published(), zone.serial))

    @ovh.route("POST", f"{prefix}/domain/zone/<name>/refresh")
    def refresh(call: Call, name: str) -> Reply:
        zone, mode = zone_of(name), ovh.knobs.refresh
        if mode == "refused":
            raise ApiError(500, f"Internal server error: refresh of zone {name}")
        if mode == "forbidden":
            raise ApiError(403, "This call has not been granted", "NOT_GRANTED_CALL")
        if not zone.refreshing.acquire(blocking=False):
            raise ApiError(409, f"A refresh of zone {name} is already running")
        try:
            if mode != "ignored":
                ovh.dns.publish(name, zone.published(), zone.next_serial())
        except DnsError as error:
            raise ApiError(500, str(error)) from error
        finally:
            zone.refreshing.release()
        return answers.null()

    _register_records(ovh, f"{prefix}/domain/zone/<name>/record", zone_of)


def _register_records(ovh: OvhService, base: str, zone_of: Any) -> None:
    @ovh.route("GET", base)
    def list_records(call: Call, name: str) -> Reply:
        kind, sub = call.first("fieldType"), call.first("subDomain")
        rows = zone_of(name).records()
        return Reply(
            body=[row["id"] for row in rows if kind in (None, row["fieldType"]) and sub in (None, row["subDomain"])]
        )

    @ovh.route("POST", base)
    def create_record(call: Call, name: str) -> Reply:
        zone, body = zone_of(name), call.body or {}
        fields = {
            "subDomain": body.get("subDomain") or "",
            "fieldType": body.get("fieldType"),
            "target": body.get("target"),
        }
        record = checked({"id": ovh.next_id(), "zone": name, **fields, "ttl": body.get("ttl") or 0})
        zone.put(record)
        with ovh.lock:
            hide = ovh.knobs.zero_ids > 0
            ovh.knobs.zero_ids -= int(hide)
        return Reply(body={**record, "id": 0} if hide else record)

    @ovh.route("GET", f"{base}/<number>")
    def get_record(call: Call, name: str, number: str) -> Reply:
        return Reply(body=zone_of(name).get(number))

    @ovh.route("PUT", f"{base}/<number>")
    def put_record(call: Call, name: str, number: str) -> Reply:
        zone, body = zone_of(name), call.body or {}
        changes = {key: body[key] for key in ("target", "ttl", "subDomain") if body.get(key) is not None}
        zone.put(checked({**zone.get(number), **changes}))
        return answers.null()

    @ovh.route("DELETE", f"{base}/<number>")
    def delete_record(call: Call, name: str, number: str) -> Reply:
        zone_of(name).delete(number)
        return answers.null()
