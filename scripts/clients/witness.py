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
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus

from contract import fields
from contract.agreement import Record
from contract.buckets import Bucket
from contract.dataclass import dataclass
from contract.epoch import Epoch
from contract.errors import Failed, Refused
from contract.heard import Addresses, Beat, Followed, Servers, Unsettled
from contract.heartbeat import Heartbeat
from contract.version import VERSION
from contract.wire import document, s3
from scripts.clients import http
from scripts.clients.witness_bucket import TAKEN, WitnessBucket, WitnessDown, age, etag

EPOCHS = "epochs/"
_NAME = re.compile(r"epochs/[0-9]{8}\.json")
MARKS = 4  # attempts to write a mark over what was read
UNKNOWN = ("InvalidAccessKeyId", "SignatureDoesNotMatch")  # of a key that the store does not know


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a store does. `conditional`: it refuses a second create; `versioned`: what is stored over stays; None where it did not say."""

    conditional: bool
    versioned: bool | None


class EpochTaken(Exception):
    """Somebody else created this epoch first. Holds what they wrote."""

    def __init__(self, epoch: Epoch) -> None:
        super().__init__(f"epoch {epoch.epoch} belongs to {epoch.active}")
        self.epoch = epoch


class Witness(WitnessBucket):
    """What stands in the bucket of epochs, of where the sites are and how, of what their hosts have said."""

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
        if not self.tried().conditional:
            raise Refused(
                f"witness {self._place}: a second create with `If-None-Match: *` was accepted, wanted 412; two operators could both own one epoch, "
                "so nothing was changed; use a bucket of a store that honours conditional writes"
            )

    def tried(self) -> Tried:
        """What the store does with an object that nobody needs, which is taken away again. Raises WitnessDown."""
        key, what = f"probe/{uuid.uuid4()}", "probe the conditional write"
        once = {"if-none-match": "*"}
        first = self._ask(what, "PUT", key, body=b"1", headers=once)
        if first.status not in TAKEN:  # of a first attempt whose answer was lost
            self._stored(what, first)
        try:
            second = self._ask(what, "PUT", key, body=b"2", headers=once)
            if second.status not in TAKEN:
                self._stored(what, second)
        finally:
            self._must(what, self._ask(what, "DELETE", key))
        version = first.headers.get("x-amz-version-id", "null") if first.ok else None
        return Tried(conditional=second.status in TAKEN, versioned=None if version is None else version != "null")

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

    def record_configuration(self, site: str, digests: Mapping[str, str], since: Mapping[str, str]) -> None:
        """For the next run of either site. `since`: as in `Record`."""
        self._put(f"configurations/{site}.json", fields.write(Record(version=VERSION, keys=digests, since=since)))

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

    def unsettle(self, newest: Epoch) -> None:
        """One more is begun."""
        self._mark(newest, lambda told: replace(told, count=told.count + 1))

    def settle(self, newest: Epoch) -> None:
        """One is taken back in full; those of others stay. A run that has gone by its mark meanwhile keeps the mark: the next move's would look like this
        one, and mend nothing.
        """
        self._mark(newest, lambda told: replace(told, count=max(told.count - 1, told.used)))

    def _mark(self, newest: Epoch, change: Callable[[Unsettled], Unsettled]) -> Unsettled:
        """What stands there from now on, written over what was read alone: two may come at once. A change bears a name, so that one whose answer was lost
        is not made twice. Raises Failed.
        """
        key, own = _unsettled(newest), uuid.uuid4().hex
        for _ in range(MARKS):
            found = self._read(key)
            before = self._marks(newest, found)
            after = change(before)
            if before.by == own or after == before:
                return before
            over = "" if found is None else etag(found)
            if found is not None and not over:
                raise self._down(
                    f"write {key}", "it has no ETag of what is there, so what another run writes could be lost"
                )
            after = replace(after, by=own)
            try:
                if self._put_over(key, fields.write(after), over):
                    return after
            except WitnessDown:  # it may have been taken all the same
                if self._marks(newest, self._read(key)).by != own:
                    raise
                return after
        raise self._down(
            f"write {key}",
            f"others wrote there {MARKS} times meanwhile",
            "let only one run be at work at a time, and run the same again",
        )

    def _marks(self, newest: Epoch, found: http.Reply | None) -> Unsettled:
        otherwise = "nobody can tell which moves were begun; remove it, and raise dr:repair of that site's stack if its database is stopped"
        told = None if found is None else self._told(Unsettled, _unsettled(newest), found, otherwise)
        return told if told is not None and told.epoch == newest.epoch else Unsettled(epoch=newest.epoch, count=0)

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


def _unsettled(newest: Epoch) -> str:
    return f"unsettled/{newest.active}.json"
