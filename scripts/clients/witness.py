"""The witness: a versioned S3 bucket in a third region that says which site is active.

Objects: `epochs/%08d.json` (created once, `If-None-Match: *`), `sites/<site>.json` (public addresses), `followed/<site>.json` (the newest
epoch in which the site was seen following), `servers/<site>.json` (ids of its servers), `unsettled/<site>.json` (moves away from it that
were begun), `heartbeats/<site>/<host>.json` (the hosts' agents), `configurations/<site>.json` (digests of
what its last run was configured with). See docs/interfaces.md, section 4.
OVHcloud honours the condition atomically
(https://help.ovhcloud.com, "S3 conditional writes"); a store that does not is refused by `probe`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contract import fields
from contract.agreement import Record
from contract.buckets import Bucket
from contract.epoch import Epoch
from contract.errors import Failed, Refused, Usage
from contract.heartbeat import Heartbeat
from contract.version import VERSION

EPOCHS = "epochs/"


class EpochTaken(Exception):
    """Somebody else created this epoch first. Holds what they wrote."""

    def __init__(self, epoch: Epoch) -> None:
        super().__init__(f"epoch {epoch.epoch} belongs to {epoch.active}")
        self.epoch = epoch


class WitnessDown(Failed):
    """The witness does not answer."""


class Witness:
    """The bucket, by the keys to it."""

    def __init__(self, place: Bucket) -> None:
        self.bucket, self.endpoint = place.bucket, place.endpoint
        self._s3 = boto3.client(
            "s3",
            endpoint_url=place.endpoint,
            region_name=place.region,
            aws_access_key_id=place.access_key,
            aws_secret_access_key=place.secret_key,
            config=Config(
                connect_timeout=3,
                read_timeout=5,
                retries={"mode": "standard", "total_max_attempts": 2},
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def newest(self) -> Epoch | None:
        """The epoch in force; None when nothing was ever claimed."""
        keys = self._list("list the epochs", "list_objects_v2", "Contents", EPOCHS)
        if not keys:
            return None
        document = self._get(max(keys))
        if document is None:
            raise WitnessDown(
                f"witness {self._place}: lists {max(keys)} but does not hand it out; wait for the store and run the same again"
            )
        return Epoch.from_document(document, max(keys))

    def claim(self, epoch: Epoch) -> None:
        """Create the epoch's object. Raises EpochTaken when it exists; a lost answer is resolved by reading it back."""
        key = f"{EPOCHS}{epoch.epoch:08d}.json"
        body = {name: getattr(epoch, name) for name in epoch.__dataclass_fields__}
        try:
            self._s3.put_object(
                Bucket=self.bucket, Key=key, Body=_bytes(body), IfNoneMatch="*", ContentType="application/json"
            )
        except (BotoCoreError, ClientError) as error:
            held = self._get(key)
            if held is None:
                raise self._down(f"create {key}", error) from None
            if held != body:
                raise EpochTaken(Epoch.from_document(held, key)) from None

    def probe(self) -> None:
        """Prove that the store refuses a second conditional create. Raises Refused when it does not: such a store is no witness."""
        key = f"probe/{uuid.uuid4()}"
        try:
            self._s3.put_object(Bucket=self.bucket, Key=key, Body=b"1", IfNoneMatch="*")
            try:
                self._s3.put_object(Bucket=self.bucket, Key=key, Body=b"2", IfNoneMatch="*")
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                    raise
                return
            finally:
                self._s3.delete_object(Bucket=self.bucket, Key=key)
        except (BotoCoreError, ClientError) as error:
            raise self._down("probe the conditional write", error) from None
        raise Refused(
            f"witness {self._place}: a second create with `If-None-Match: *` was accepted, wanted 412; two operators could both own one epoch, "
            "so nothing was changed; use a bucket of a store that honours conditional writes"
        )

    def heartbeat(self, site: str, host: str) -> Heartbeat | None:
        """The last word of a host, with its age by the store's own clock; None when it has never written one."""
        key = f"heartbeats/{site}/{host}.json"
        found = self._read(key)
        if found is None:
            return None
        answer, body = found
        try:
            now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
            return Heartbeat(document=dict(json.loads(body)), age_s=(now - answer["LastModified"]).total_seconds())
        except (ValueError, TypeError, KeyError):
            raise Failed(
                f"witness object {key} in {self._place}: is no heartbeat; see the agent's log on {host}.{site}"
            ) from None

    def followed(self, site: str) -> int | None:
        """The newest epoch in which `site` was seen streaming from the active one."""
        document = self._get(f"followed/{site}.json")
        return None if document is None else int(document["epoch"])

    def record_followed(self, site: str, epoch: int) -> None:
        """The standby streams in this epoch."""
        self._put(f"followed/{site}.json", {"epoch": epoch})

    def configuration(self, site: str) -> Record | None:
        """What a site's last run was configured with, as digests; None when none has left any, or of a form that is not known."""
        document = self._get(f"configurations/{site}.json")
        try:
            return (
                None
                if document is None
                else fields.read(Record, document, f"witness object configurations/{site}.json")
            )
        except Usage:
            return None

    def record_configuration(self, site: str, digests: Mapping[str, str]) -> None:
        """For the other site's next run."""
        self._put(f"configurations/{site}.json", fields.write(Record(version=VERSION, keys=digests)))

    def servers(self, site: str) -> dict[str, str]:
        """Ids of a site's servers, by name, as its last run has left them; empty before the first, and what is no id is left out."""
        found = (self._get(f"servers/{site}.json") or {}).get("servers")
        rows = found.items() if isinstance(found, dict) else ()
        return {name: value for name, value in rows if isinstance(value, str) and value}

    def record_servers(self, site: str, servers: Mapping[str, str]) -> None:
        """Leave them for the peer: a fence stops servers by their ids, for a name can be changed, or be borne twice."""
        if servers and self.servers(site) != servers:
            self._put(f"servers/{site}.json", {"servers": dict(servers)})

    def unsettled(self, newest: Epoch) -> int:
        """How many moves away from the active site were begun in this epoch, and neither finished nor taken back in full."""
        document = self._get(_unsettled(newest)) or {}
        count = document.get("count")
        return count if document.get("epoch") == newest.epoch and isinstance(count, int) and 0 <= count < 10_000 else 0

    def unsettle(self, newest: Epoch) -> int:
        """One more is begun. Returns how many there were, for `settle`."""
        before = self.unsettled(newest)
        self._put(_unsettled(newest), {"epoch": newest.epoch, "count": before + 1})
        return before

    def settle(self, newest: Epoch, count: int) -> None:
        """It is taken back in full."""
        self._put(_unsettled(newest), {"epoch": newest.epoch, "count": count})

    def versions(self, prefix: str) -> list[str]:
        """The key of every version of every object below `prefix`: an epoch that stands there twice was overwritten."""
        return self._list("list versions", "list_object_versions", "Versions", prefix)

    def addresses(self, site: str) -> dict[str, str]:
        """Public addresses of a site, {"lb", "bastion"}; empty before its first `pulumi up`."""
        return self._get(f"sites/{site}.json") or {}

    def record_addresses(self, site: str, addresses: dict[str, str]) -> None:
        """Leave the site's public addresses for the peer, which cannot look them up when this region is gone."""
        if self.addresses(site) != addresses:
            self._put(f"sites/{site}.json", addresses)

    @property
    def _place(self) -> str:
        return f"bucket {self.bucket} at {self.endpoint}"

    def _list(self, what: str, operation: str, part: str, prefix: str) -> list[str]:
        """The key of every row in `part` of a listing. `what`: for the message."""
        try:
            pages = self._s3.get_paginator(operation).paginate(Bucket=self.bucket, Prefix=prefix)
            return [str(item["Key"]) for page in pages for item in page.get(part, ())]
        except (BotoCoreError, ClientError) as error:
            raise self._down(what, error) from None

    def _read(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """The store's answer and the object's bytes; None when there is no such object."""
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=key)
            return answer, answer["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise self._down(f"read {key}", error) from None
        except BotoCoreError as error:
            raise self._down(f"read {key}", error) from None

    def _get(self, key: str) -> dict[str, Any] | None:
        found = self._read(key)
        if found is None:
            return None
        try:
            document = json.loads(found[1])
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Failed(
                f"witness object {key} in {self._place}: is not a JSON object; restore the object's first version"
            )
        return document

    def _put(self, key: str, document: dict[str, Any]) -> None:
        try:
            self._s3.put_object(Bucket=self.bucket, Key=key, Body=_bytes(document), ContentType="application/json")
        except (BotoCoreError, ClientError) as error:
            raise self._down(f"write {key}", error) from None

    def _down(self, what: str, error: Exception) -> WitnessDown:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        hint = {
            "NoSuchBucket": "create it, versioned, in a region that is neither a nor b",
            "AccessDenied": "check the keys in dr:secrets, witness",
            "InvalidAccessKeyId": "check the keys in dr:secrets, witness",
            "SignatureDoesNotMatch": "check the keys in dr:secrets, witness",
        }.get(code, "no role can change without it; see whether the third region has an outage, and run the same again")
        return WitnessDown(f"witness {self._place}: cannot {what} ({code}); {hint}")


def _unsettled(newest: Epoch) -> str:
    return f"unsettled/{newest.active}.json"


def _bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
