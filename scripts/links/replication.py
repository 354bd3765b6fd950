"""The link that turns the platform's own replication between the asset buckets by the epoch: `scripts.links replication`.

A rule names the other site's bucket, so it is no property of a bucket: of two buckets that name each other at their creation the first one
names nothing. Each site's run puts both rules once both buckets are there: the active site's is enabled, the other's is disabled, and that
first. Whoever runs last leaves the pair right, also when the region that lost its role answers only later.
"""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import quote

from contract.dataclass import dataclass
from contract.errors import Failed, Refused
from contract.links.replication import Document
from contract.services.assets import Mode
from contract.sites import other
from scripts.clients.ovh import Answered, OvhApi
from scripts.clients.witness import Witness
from scripts.clients.witness_bucket import WitnessDown

ATTEMPTS = 2  # a call; a dead region must not hold up the end of a run
WAITS, UNKNOWN = "waits for the other bucket", "unknown"


@dataclass(frozen=True)
class Place:
    """A site's bucket at the platform's API."""

    site: str
    region: str
    name: str

    @property
    def rule_id(self) -> str:
        """Of the rule that leads away from here."""
        return f"dr-{self.site}-to-{other(self.site)}"


def rule(source: Place, target: Place, *, enabled: bool) -> dict[str, Any]:
    """Every field that the API's documents call optional is there: left out, they come back as a difference or are refused. Pure.

    Delete markers stay behind: a deletion by mistake must not reach both regions at once.
    """
    return {
        "id": source.rule_id,
        "status": "enabled" if enabled else "disabled",
        "priority": 1,
        "filter": {"prefix": "", "tags": None},
        "deleteMarkerReplication": "disabled",
        "destination": {"name": target.name, "region": target.region, "storageClass": None},
    }


def _said(value: Any) -> Any:
    """Without what says nothing: the API drops some nulls and adds others."""
    if isinstance(value, dict):
        return {key: kept for key, item in value.items() if (kept := _said(item)) not in (None, {}, False)}
    return value


def _rules(bucket: Any) -> list[dict[str, Any]] | None:
    """The rules in a bucket's document; None where they cannot be read."""
    block = (bucket.get("replication") or {}) if isinstance(bucket, dict) else None
    rules = (block.get("rules") or []) if isinstance(block, dict) else None
    return rules if isinstance(rules, list) and all(isinstance(item, dict) for item in rules) else None


class Bucket:
    """One site's bucket and its rule. Raises Failed when the API does not answer."""

    def __init__(self, api: OvhApi, service: str, place: Place) -> None:
        self._api, self.place = api, place
        self._path = f"/cloud/project/{service}/region/{place.region}/storage/{quote(place.name, safe='')}"
        self._known: dict[str, Any] = {}

    def there(self) -> bool:
        """Whether it exists."""
        try:
            found = self._api.ask("GET", self._path)
        except Answered as error:
            if error.status == 404:
                return False
            raise
        if _rules(found) is None:
            raise Failed(
                f"OVHcloud API, GET {self._path}: answered no bucket with its rules, so none was changed; run the same again, or see the bucket in the "
                "Control Panel"
            )
        self._known = found
        return True

    def rules(self) -> list[dict[str, Any]]:
        return _rules(self._known) or []

    def ours(self) -> dict[str, Any] | None:
        return next((item for item in self.rules() if item.get("id") == self.place.rule_id), None)

    def put(self, wanted: dict[str, Any]) -> bool:
        """Whether the rule had to be put. Rules of others stay."""
        if _said(self.ours()) == _said(wanted):
            return False
        rules = [item for item in self.rules() if item.get("id") != self.place.rule_id]
        # As they are: the platform's own client sends these blocks with every change.
        kept = {block: self._known[block] for block in ("versioning", "encryption") if self._known.get(block)}
        self._api.ask("PUT", self._path, {**kept, "replication": {"rules": [*rules, wanted]}})
        return True

    def backfill(self) -> str:
        """Ask for the objects that are older than the rule. The platform says neither how far that is nor when it is done."""
        try:
            self._api.ask("POST", f"{self._path}/job/replication")
        except Failed as error:
            wanted = "wanted a job for the objects older than the rule; they are in one region only"
            warn(f"{error}; {wanted}; start it in the Control Panel, or set mode: both")
            return "refused"
        return "begun"


def run(told: Document) -> dict[str, Any]:
    """Returns {"schema", "mode", "active", "rules": {site: status}, "backfill"}."""
    mode, epoch, api = told.mode, told.epoch, OvhApi(told.ovh, ATTEMPTS)
    buckets = {
        site: Bucket(api, told.service_name, Place(site, place.region, place.bucket))
        for site, place in told.buckets.items()
    }
    answer: dict[str, Any] = {"schema": 1, "mode": mode, "active": None, "backfill": None}
    if mode == Mode.COPY or epoch is None:
        return answer | {"rules": {site: _retire(bucket) for site, bucket in buckets.items()}}
    answer["active"] = active = epoch.active
    passive = other(active)
    _not_past(told, epoch.epoch)
    there = {passive: _there(buckets[passive]), active: buckets[active].there()}
    if False in there.values():
        missing = [site for site, found in sorted(there.items()) if found is False]
        return answer | {"rules": {site: "no bucket" if site in missing else WAITS for site in there}}
    places = {site: bucket.place for site, bucket in buckets.items()}
    rules = {passive: _disable(buckets[passive], places[active]) if there[passive] else UNKNOWN}
    changed = buckets[active].put(rule(places[active], places[passive], enabled=True))
    if changed and mode == Mode.NATIVE:
        answer["backfill"] = buckets[active].backfill()
    return answer | {"rules": {**rules, active: "enabled"}}


def _not_past(told: Document, epoch: int) -> None:
    """Raises Refused when the epoch moved after this run's fence: its rules would lead the old way."""
    try:
        newest = Witness(told.witness).newest()
    except WitnessDown as error:
        warn(
            f"{error}; wanted the newest epoch; rules are put for epoch {epoch}, because nobody can claim another one without the witness"
        )
        return
    if newest is not None and newest.epoch > epoch:
        raise Refused(
            f"replication rules: epoch {newest.epoch} is in force, wanted this run's {epoch}; nothing was changed, the rules of a past epoch would "
            f"lead away from the wrong site; set failover_region to {newest.active} or to what you want, and run `pulumi up` again"
        )


def _there(bucket: Bucket) -> bool | None:
    """None: that region does not answer, which must not keep the active side's rule from being put."""
    try:
        return bucket.there()
    except Failed as error:
        _unreached(bucket, error)
        return None


def _disable(bucket: Bucket, target: Place) -> str:
    try:
        bucket.put(rule(bucket.place, target, enabled=False))
    except Failed as error:
        _unreached(bucket, error)
        return UNKNOWN
    return "disabled"


def _retire(bucket: Bucket) -> str:
    """The platform's replication is not wanted any more: a rule of ours that is left is disabled."""
    try:
        ours = bucket.ours() if bucket.there() else None
        if ours is None:
            return "none"
        bucket.put({**ours, "status": "disabled"})
    except Failed as error:
        _unreached(bucket, error)
        return UNKNOWN
    return "disabled"


def _unreached(bucket: Bucket, error: Failed) -> None:
    warn(
        f"{error}; wanted rule {bucket.place.rule_id} of bucket {bucket.place.name} disabled; if it is enabled, what was still to be copied from "
        f"site {bucket.place.site} may come over newer objects; run `pulumi up` of that site as soon as its region answers"
    )


def warn(text: str) -> None:
    print(f"WARNING replication: {text}", file=sys.stderr)
