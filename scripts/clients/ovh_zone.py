"""A zone at OVHcloud (https://eu.api.ovh.com/console/, /domain/zone)."""

from __future__ import annotations

import urllib.parse
from typing import Any

from contract.errors import Failed
from scripts.clients.ovh import Answered, OvhApi
from scripts.clients.zone import Gone, Record


class OvhZone:
    """`scripts.clients.zone.Zone` for one name; `subdomain` is empty for the zone's own."""

    def __init__(self, api: OvhApi, zone: str, subdomain: str) -> None:
        self._api, self._base, self._subdomain = api, f"/domain/zone/{zone}", subdomain

    def records(self) -> list[Record]:
        """As of `Zone`."""
        query = urllib.parse.urlencode({"subDomain": self._subdomain})
        numbers = self._api.ask("GET", f"{self._base}/record?{query}")
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise self._unreadable("the list of records", "numbers")
        return [record for number in numbers if (record := self._record(number)) is not None]

    def create(self, target: str, ttl: int) -> None:
        """As of `Zone`."""
        body = {"fieldType": "A", "subDomain": self._subdomain, "target": target, "ttl": ttl}
        self._api.ask("POST", f"{self._base}/record", body)

    def change(self, number: int, target: str, ttl: int) -> None:
        """As of `Zone`."""
        body = {"subDomain": self._subdomain, "target": target, "ttl": ttl}
        try:
            self._api.ask("PUT", f"{self._base}/record/{number}", body)
        except Answered as error:
            raise Gone(str(error)) if error.gone else error from None

    def remove(self, number: int) -> None:
        """As of `Zone`."""
        try:
            self._api.ask("DELETE", f"{self._base}/record/{number}")
        except Answered as error:
            if not error.gone:
                raise

    def refresh(self) -> None:
        """As of `Zone`."""
        self._api.ask("POST", f"{self._base}/refresh")

    def _record(self, number: int) -> Record | None:
        """None where it has gone since it was listed, or is another name's: a filter for the zone's own name may be taken for none."""
        try:
            found: Any = self._api.ask("GET", f"{self._base}/record/{number}")
        except Answered as error:
            if error.gone:
                return None
            raise
        told = found if isinstance(found, dict) else {}
        kind, target, ttl = told.get("fieldType"), told.get("target"), told.get("ttl")
        name = told.get("subDomain") or ""
        if not isinstance(kind, str) or not isinstance(target, str) or type(ttl) is not int:
            raise self._unreadable(f"record {number}", "an object with its fieldType, target and ttl")
        return Record(id=number, kind=kind, target=target, ttl=ttl) if name == self._subdomain else None

    def _unreadable(self, what: str, wanted: str) -> Failed:
        return Failed(
            f"OVHcloud API, {self._base}, name {self._subdomain!r}: {what} cannot be read, wanted {wanted}; no record was changed; see the zone in the "
            "Control Panel, and run the same again"
        )
