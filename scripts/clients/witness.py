"""The witness: a versioned S3 bucket in a third region that says which site is active.

Objects: `epochs/%08d.json` (created once, `If-None-Match: *`), `sites/<site>.json` (public addresses), `followed/<site>.json` (the newest
epoch in which the site was seen following), `servers/<site>.json` (ids of its servers), `unsettled/<site>.json` (moves away from it that
were begun), `heartbeats/<site>/<host>.json` (the hosts' agents), `configurations/<site>.json` (digests of what its last run was configured
with); in files beside this one `runs/<site>.json`, `audit/%08d.json`, `reports/%08d.json`, `logs/<site>/<host>/*.jsonl`, `checks/last.json`,
`states/<site>/*.json.gz`. See docs/interfaces.md, section 4. OVHcloud honours the condition atomically (https://help.ovhcloud.com, "S3
conditional writes"); a store that does not is refused by `probe`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar

from contract import fields
from contract.agreement import Record
from contract.buckets import Bucket
from contract.epoch import Epoch
from contract.errors import Failed, Refused
from contract.forms import MOST_BYTES
from contract.heard import Addresses, Beat, Followed, Servers, Unsettled
from contract.heartbeat import Heartbeat
from contract.version import VERSION
from contract.wire import dates, document, s3
from contract.wire.sigv4 import Signer, encode_key, encode_query
from scripts.clients import http

T = TypeVar("T")
EPOCHS = "epochs/"
_NAME = re.compile(r"epochs/[0-9]{8}\.json")
ANSWER_S, ATTEMPTS, PAUSE_S = 5.0, 2, 0.5
LIST_S = 30.0  # all pages of a listing
MARKS = 4  # attempts to write a mark over what was read
TAKEN = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
REMEDIES = {
    "NoSuchBucket": "create it, versioned, in a region that is neither a nor b",
    "AccessDenied": "check the keys in dr:secrets, witness",
    "InvalidAccessKeyId": "check the keys in dr:secrets, witness",
    "SignatureDoesNotMatch": "check the keys in dr:secrets, witness",
    "RequestTimeTooSkewed": "set this machine's clock (timedatectl status)",
}

UNKNOWN = ("InvalidAccessKeyId", "SignatureDoesNotMatch")  # of a key that the store does not know


class EpochTaken(Exception):
    """Somebody else created this epoch first. Holds what they wrote."""

    def __init__(self, epoch: Epoch) -> None:
        super().__init__(f"epoch {epoch.epoch} belongs to {epoch.active}")
        self.epoch = epoch


class WitnessDown(Failed):
    """The witness does not answer, or nothing that can be relied on."""


def age(reply: http.Reply) -> float | None:
    """Seconds since what is in it was stored, by the store's own clock; None where that does not say."""
    stored, now = (dates.seconds(reply.headers.get(name)) for name in ("Last-Modified", "Date"))
    return None if stored is None or now is None else now - stored


class Witness:
    """The bucket, by the keys to it, and by nothing else of this machine's. May be used from several threads.

    `answer_s`: for each request, `attempts` of which are made where nothing usable comes back.
    """

    most = MOST_BYTES  # of an answer
    wait_s: float | None = None  # for each piece of one that is read, where all of it may take longer

    def __init__(self, place: Bucket, *, answer_s: float | None = None, attempts: int = ATTEMPTS) -> None:
        self.bucket, self.endpoint = place.bucket, place.endpoint
        self._base = f"{place.endpoint.rstrip('/')}/{place.bucket}"
        self._signer = Signer(place.access_key, place.secret_key, place.region)
        self._answer_s, self._attempts = answer_s or ANSWER_S, attempts
        self._ahead = 0.0  # the witness's clock against this machine's, when they are far apart

    def newest(self) -> Epoch | None:
        """The epoch in force; None when nothing was ever claimed."""
        keys = self._keys(EPOCHS)
        if not keys:
            return None
        if not _NAME.fullmatch(max(keys)):
            raise Failed(
                f"witness object {max(keys)} in {self._place}: its name is none of an epoch, wanted epochs/<eight digits>.json; nobody can tell which "
                "region is active while it is there; remove it, and write it anew under its name if it was meant as an epoch"
            )
        found = self._get(max(keys))
        if found is None:
            raise WitnessDown(
                f"witness {self._place}: lists {max(keys)} but does not hand it out; wait for the store and run the same again"
            )
        return Epoch.from_document(found, max(keys))

    def trace(self) -> str:
        """A key that says that the shop has had an epoch, also where none is listed any more; empty when there is none."""
        gone = self.versions(EPOCHS)
        left = gone or [key for prefix in ("clusters/", "followed/") for key in self._keys(prefix)]
        return max(left, default="")

    def claim(self, epoch: Epoch) -> None:
        """Create the epoch's object. Raises EpochTaken when it exists; a lost answer is resolved by reading it back."""
        key = f"{EPOCHS}{epoch.epoch:08d}.json"
        body = {name: getattr(epoch, name) for name in epoch.__dataclass_fields__}
        try:
            self._put(key, body, {"if-none-match": "*"})
        except WitnessDown:
            held = self._get(key)
            if held is None:
                raise
            if held != body:
                raise EpochTaken(Epoch.from_document(held, key)) from None

    def probe(self) -> None:
        """Prove that the store refuses a second conditional create. Raises Refused when it does not: such a store is no witness."""
        key, what = f"probe/{uuid.uuid4()}", "probe the conditional write"
        once = {"if-none-match": "*"}
        first = self._ask(what, "PUT", key, body=b"1", headers=once)
        if first.status not in TAKEN:  # of a first attempt whose answer was lost
            self._stored(what, first)
        try:
            second = self._ask(what, "PUT", key, body=b"2", headers=once)
            if second.status in TAKEN:
                return
            self._stored(what, second)
        finally:
            self._must(what, self._ask(what, "DELETE", key))
        raise Refused(
            f"witness {self._place}: a second create with `If-None-Match: *` was accepted, wanted 412; two operators could both own one epoch, "
            "so nothing was changed; use a bucket of a store that honours conditional writes"
        )

    def fault_of(self, place: Bucket) -> str:
        """What is wrong with the key of a host: that it may put what is the operator's, or is no key of this store. Empty where nothing is seen."""
        key, what = f"probe/{uuid.uuid4()}", "try the key of a host"
        reply = Witness(place, answer_s=self._answer_s, attempts=1)._ask(what, "PUT", key, body=b"1")
        if reply.ok:
            with contextlib.suppress(WitnessDown):  # what is left of it harms nobody
                self._ask(what, "DELETE", key)
            return "may put what the operator's alone may"
        code = s3.refusal(reply.body)
        return f"is no key of this store ({code})" if code in UNKNOWN else ""

    def locked(self) -> bool | None:
        """Whether what is stored here cannot be removed for a while; None where the store does not say. One attempt. Raises WitnessDown."""
        try:
            found = self._once("GET", "", {"object-lock": ""}, None, {})
            if found.status == HTTPStatus.OK:
                return s3.locks(found.body)
        except http.NoAnswer as error:
            raise self._down("see the lock", str(error)) from None
        except s3.NotS3:
            return None
        return False if s3.refusal(found.body) == "ObjectLockConfigurationNotFoundError" else None

    def heartbeat(self, site: str, host: str) -> Heartbeat | None:
        """The last word of a host, with its age by the store's own clock; None when it has never written one."""
        key = f"heartbeats/{site}/{host}.json"
        found = self._read(key)
        if found is None:
            return None
        age_s = age(found)
        otherwise = (
            f"is no heartbeat; nothing is concluded from it; see the agent's log on {host}.{site}, stop that host and remove the object if it is not "
            "its agent that writes this"
        )
        try:
            told = document.mapping(found.body)
        except ValueError:
            told = {}
        if not told or age_s is None:
            raise Failed(f"witness object {key} in {self._place}: {otherwise}")
        beat = fields.heard(Beat, told, f"witness object {key}", otherwise)
        return Heartbeat(document={name: it for name, it in fields.write(beat).items() if it is not None}, age_s=age_s)

    def followed(self, site: str) -> int | None:
        """The newest epoch in which `site` was seen streaming from the active one."""
        key = f"followed/{site}.json"
        otherwise = f"it tells no epoch; remove it, and run `pulumi up` for site {site}, which writes it again"
        found = self._heard(Followed, key, otherwise)
        return None if found is None else found.epoch

    def record_followed(self, site: str, epoch: int) -> None:
        """The standby streams in this epoch."""
        self._put(f"followed/{site}.json", {"epoch": epoch})

    def configuration(self, site: str) -> Record | None:
        """What a site's last run was configured with, as digests; None when none has left any, or in a newer form. Raises Failed for what holds none."""
        otherwise = f"nobody can tell whether both regions are configured alike; remove it, and run `pulumi up` for site {site}, which writes it again"
        key = f"configurations/{site}.json"
        found = self._get(key)
        schema = None if found is None else found.get("schema")
        newer = isinstance(schema, int) and schema > 1
        return None if found is None or newer else fields.heard(Record, found, f"witness object {key}", otherwise)

    def record_configuration(self, site: str, digests: Mapping[str, str]) -> None:
        """For the other site's next run."""
        self._put(f"configurations/{site}.json", fields.write(Record(version=VERSION, keys=digests)))

    def servers(self, site: str) -> dict[str, str]:
        """Ids of a site's servers, by name, as its last run has left them; empty before the first. Raises Failed for what holds none."""
        otherwise = f"another server than site {site}'s could be stopped by it; remove it, and run `pulumi up` for site {site}, which writes it again"
        found = self._heard(Servers, f"servers/{site}.json", otherwise)
        return {} if found is None else dict(found.servers)

    def record_servers(self, site: str, servers: Mapping[str, str]) -> None:
        """Leave them for the peer: a fence stops servers by their ids, for a name can be changed, or be borne twice."""
        if servers and self._now(f"servers/{site}.json") != {"servers": servers}:
            self._put(f"servers/{site}.json", {"servers": dict(servers)})

    def unsettled(self, newest: Epoch) -> int:
        """How many moves away from the active site were begun in this epoch, and neither finished nor taken back in full."""
        return self._marks(newest, self._read(_unsettled(newest))).count

    def mend(self, newest: Epoch) -> int:
        """The same, for a run of the active site that goes by it: the count does not fall below it any more, so that run and what comes behind it see one."""
        return self._mark(newest, lambda told: replace(told, used=max(told.used, told.count))).count

    def unsettle(self, newest: Epoch) -> int:
        """One more is begun. Returns how many there were, for `settle`."""
        return self._mark(newest, lambda told: replace(told, count=told.count + 1)).count - 1

    def settle(self, newest: Epoch, count: int) -> None:
        """It is taken back in full. A run that has gone by its mark meanwhile keeps the mark: the next move's would look like this one, and mend nothing."""
        self._mark(newest, lambda told: replace(told, count=max(count, told.used)))

    def _mark(self, newest: Epoch, change: Callable[[Unsettled], Unsettled]) -> Unsettled:
        """What stands there from now on, written over what was read alone: two may come at once. Raises Failed."""
        key = _unsettled(newest)
        what = f"write {key}"
        for _ in range(MARKS):
            found = self._read(key)
            before = self._marks(newest, found)
            after = change(before)
            if after == before:
                return after
            over = {"if-none-match": "*"} if found is None else {"if-match": found.headers.get("ETag") or ""}
            body = json.dumps(fields.write(after), sort_keys=True).encode()
            reply = self._ask(what, "PUT", key, body=body, headers={"content-type": "application/json", **over})
            if reply.status not in TAKEN:
                self._stored(what, reply)
                return after
        raise self._down(
            what,
            f"others wrote there {MARKS} times meanwhile",
            "let only one run be at work at a time, and run the same again",
        )

    def _marks(self, newest: Epoch, found: http.Reply | None) -> Unsettled:
        otherwise = "nobody can tell which moves were begun; remove it, and raise dr:repair of that site's stack if its database is stopped"
        told = None if found is None else self._told(Unsettled, _unsettled(newest), found, otherwise)
        return told if told is not None and told.epoch == newest.epoch else Unsettled(epoch=newest.epoch, count=0)

    def versions(self, prefix: str) -> list[str]:
        """The key of every version of every object below `prefix`: an epoch that stands there twice was overwritten."""
        return self._list("list versions", {"versions": "", "prefix": prefix}, s3.VERSIONS)

    def addresses(self, site: str) -> dict[str, str]:
        """Public addresses of a site, {"lb", "bastion"}; empty before its first `pulumi up`."""
        otherwise = f"customers would be sent there; restore the object's last good version, or run `pulumi up` for site {site}, which writes it again"
        found = self._heard(Addresses, f"sites/{site}.json", otherwise)
        return {} if found is None else {name: it for name, it in fields.write(found).items() if it is not None}

    def record_addresses(self, site: str, addresses: dict[str, str]) -> None:
        """Leave the site's public addresses for the peer, which cannot look them up when this region is gone."""
        if self._now(f"sites/{site}.json") != addresses:
            self._put(f"sites/{site}.json", addresses)

    def forget_addresses(self, site: str) -> None:
        """No run of the peer publishes them any more, as before the site's first `pulumi up`."""
        what = f"remove sites/{site}.json"
        self._must(what, self._ask(what, "DELETE", f"sites/{site}.json"))

    @property
    def _place(self) -> str:
        return f"bucket {self.bucket} at {http.place(self.endpoint) or http.plain(self.endpoint)}"

    def _keys(self, prefix: str) -> list[str]:
        return self._list(f"list the {prefix.strip('/')}", {"list-type": "2", "prefix": prefix}, s3.OBJECTS)

    def _list(self, what: str, query: dict[str, str], kind: tuple[str, str]) -> list[str]:
        """The key of every row of a listing, all pages of it. `what`: for the message."""
        keys, end = list[str](), time.monotonic() + LIST_S
        while True:
            page = self._page(what, query, kind)
            if keys and page.keys and page.keys[0] < keys[-1]:
                raise self._down(what, "its listing goes in circles")
            keys += page.keys
            if page.told.get("IsTruncated") != "true":
                return keys
            behind = s3.behind(page, kind)
            if not behind or behind.items() <= query.items() or time.monotonic() > end:
                raise self._down(what, f"its listing has no end after {len(keys)} keys")
            query = query | behind

    def _page(self, what: str, query: Mapping[str, str], kind: tuple[str, str]) -> s3.Page:
        """One page of it."""
        body = self._must(what, self._ask(what, "GET", "", query=query)).body
        try:
            return s3.listing(body, kind)
        except s3.NotS3 as error:
            raise self._down(
                what, f"found {error}, wanted a listing", "see whether the endpoint is an S3 server"
            ) from None

    def _read(self, key: str) -> http.Reply | None:
        """The store's answer; None when it says that there is no such object."""
        what = f"read {key}"
        found = self._ask(what, "GET", key)
        return None if s3.absent(found.status, found.body) else self._must(what, found)

    def _get(self, key: str) -> dict[str, Any] | None:
        found = self._read(key)
        return None if found is None else self._mapping(key, found)

    def _mapping(self, key: str, found: http.Reply) -> dict[str, Any]:
        try:
            return document.mapping(found.body)
        except ValueError:
            raise Failed(
                f"witness object {key} in {self._place}: is not a JSON object; restore the object's first version"
            ) from None

    def _heard(self, cls: type[T], key: str, otherwise: str) -> T | None:
        """An object in its form; None when there is none. `otherwise`: see `fields.heard`. Raises Failed."""
        found = self._read(key)
        return None if found is None else self._told(cls, key, found, otherwise)

    def _told(self, cls: type[T], key: str, found: http.Reply, otherwise: str) -> T:
        return fields.heard(cls, self._mapping(key, found), f"witness object {key}", otherwise)

    def _now(self, key: str) -> object:
        """What is to be written over, whatever it is: what is no object of ours is no reason against that."""
        try:
            return self._get(key)
        except WitnessDown:
            raise
        except Failed:
            return None

    def _put(self, key: str, content: dict[str, Any], condition: Mapping[str, str] | None = None) -> None:
        body = json.dumps(content, sort_keys=True).encode()
        headers = {"content-type": "application/json", **(condition or {})}
        self._stored(f"write {key}", self._ask(f"write {key}", "PUT", key, body=body, headers=headers))

    def _stored(self, what: str, reply: http.Reply) -> None:
        """Raises WitnessDown, also where whoever said yes has no ETag for it: a login page says yes to everything."""
        if not self._must(what, reply).headers.get("ETag"):
            raise self._down(what, "it said yes without an ETag, as no S3 server does")

    def _must(self, what: str, reply: http.Reply) -> http.Reply:
        """Raises WitnessDown."""
        if reply.status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
            return reply
        code = s3.refusal(reply.body)
        raise self._down(what, code or f"it {reply.refusal}", REMEDIES.get(code, ""))

    def _ask(
        self,
        what: str,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.Reply:
        """Whatever the store answers, with a further attempt where it answered nothing of use. Raises WitnessDown.

        A refusal that has told this machine that its clock is wrong is none of the attempts, once.
        """
        left, corrected = self._attempts, False
        while True:
            before = self._ahead
            try:
                reply = self._once(method, key, query or {}, body, headers or {})
            except http.NoAnswer as error:
                left -= 1
                if not left:
                    raise self._down(what, str(error)) from None
                time.sleep(PAUSE_S)
                continue
            if reply.status == HTTPStatus.FORBIDDEN and self._ahead != before and not corrected:
                corrected = True
                continue
            left -= 1
            if reply.status < 500 or not left:
                return reply
            time.sleep(PAUSE_S)

    def _once(
        self, method: str, key: str, query: Mapping[str, str], body: bytes | None, headers: Mapping[str, str]
    ) -> http.Reply:
        """Raises NoAnswer."""
        try:
            parts = urllib.parse.urlsplit(self._base)
            path, text = encode_key((f"{parts.path}/{key}" if key else parts.path).encode()), encode_query(query)
            sent = {"host": parts.netloc.rpartition("@")[2], **headers}
            if body is not None:
                sent["content-md5"] = s3.content_md5(body)
            payload = hashlib.sha256(body or b"").hexdigest()
            self._signer.sign(method, path, text, sent, payload=payload, now=time.time() + self._ahead)
        except ValueError:
            raise http.NoAnswer("cannot be asked, because its address is none") from None
        url = urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, text, ""))
        wait_s = self.wait_s if method == "GET" else None
        reply = http.ask(method, url, headers=sent, body=body, limit_s=self._answer_s, wait_s=wait_s, most=self.most)
        ahead = dates.clock_ahead(reply.headers.get("Date"))
        self._ahead = self._ahead if ahead is None else ahead
        return reply

    def _down(self, what: str, found: str, remedy: str = "") -> WitnessDown:
        hint = (
            remedy
            or "no role can change without it; see whether the third region has an outage, and run the same again"
        )
        return WitnessDown(f"witness {self._place}: cannot {what} ({found}); {hint}")


def _unsettled(newest: Epoch) -> str:
    return f"unsettled/{newest.active}.json"
