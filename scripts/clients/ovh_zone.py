"""A zone at OVHcloud (https://eu.api.ovh.com/console/, /domain/zone)."""

from __future__ import annotations

import urllib.parse
from typing import Any

from contract.errors import Failed
from scripts.clients.ovh import OvhApi
from scripts.clients.zone import Record


class OvhZone:
    """`scripts.clients.zone.Zone` for one name; `subdomain` is empty for the zone's own."""

    def __init__(self, api: OvhApi, zone: str, subdomain: str) -> None:
        self._api, self._base, self._subdomain = api, f"/domain/zone/{zone}", subdomain

    def records(self) -> list[Record]:
        """As of `Zone`."""
        query = urllib.parse.urlencode({"fieldType": "A", "subDomain": self._subdomain})
        numbers = self._api.ask("GET", f"{self._base}/record?{query}")
        if not isinstance(numbers, list) or not all(isinstance(number, int) for number in numbers):
            raise self._unreadable("the list of records", "numbers")
        return [self._record(number) for number in numbers]

    def create(self, target: str, ttl: int) -> None:
        """As of `Zone`."""
        body = {"fieldType": "A", "subDomain": self._subdomain, "target": target, "ttl": ttl}
        self._api.ask("POST", f"{self._base}/record", body)

    def change(self, number: int, target: str, ttl: int) -> None:
        """As of `Zone`."""
        body = {"subDomain": self._subdomain, "target": target, "ttl": ttl}
        self._api.ask("PUT", f"{self._base}/record/{number}", body)

    def remove(self, number: int) -> None:
        """As of `Zone`."""
        self._api.ask("DELETE", f"{self._base}/record/{number}")

    def refresh(self) -> None:
        """As of `Zone`."""
        self._api.ask("POST", f"{self._base}/refresh")

    def _record(self, number: int) -> Record:
        found: Any = self._api.ask("GET", f"{self._base}/record/{number}")
        said = (found.get("target"), found.get("ttl")) if isinstance(found, dict) else (None, None)
        target, ttl = said
        if not isinstance(target, str) or not isinstance(ttl, int):
            raise self._unreadable(f"record {number}", "an object with its target and ttl")
        return Record(id=number, target=target, ttl=ttl)

    def _unreadable(self, what: str, wanted: str) -> Failed:
        return Failed(
            f"OVHcloud API, {self._base}, name {self._subdomain!r}: {what} cannot be read, wanted {wanted}; no record was changed; see the zone in the "
            "Control Panel, and run the same again"
        )
