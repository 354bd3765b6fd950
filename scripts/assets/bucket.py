"""`dr-assets bucket`: the settings of the target bucket that are S3's own and not the platform's: lifecycle and CORS; and the same lifecycle on
buckets beside it, whose lock is looked at: it comes with a bucket's creation, so it can only be told.

Read first, put only where they differ. A store that does not know one of them is no failure: it is said, and the rest is done.
"""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from contract.errors import Usage
from contract.wire import s3
from contract.wire.s3 import NotS3

from . import answers
from .answers import SPACE
from .config import BucketRules, Endpoint, Job, Options
from .errors import Kind, StoreError
from .retry import Patience, Throttle
from .wire import Wire

ASIDE = "dr-"  # ids of our rules begin with it
METHODS = ("GET", "HEAD", "PUT", "POST")
CORS_AGE_S = 3600  # how long a browser may remember the answer to its question
AS_WANTED, CHANGED, UNSUPPORTED = "as wanted", "changed", "not supported by this store"
NOT_LOCKED, COMPLIANCE, YEAR_DAYS = "not locked", "COMPLIANCE", 365


@dataclass(frozen=True)
class Setting:
    """One sub-resource of a bucket. `wanted`: the document; None: none shall be there."""

    name: str
    wanted: str | None


def lifecycle(rules: BucketRules) -> str | None:
    """Unfinished uploads and old versions go after a time; a marker that hides nothing goes with them. None: nothing ever goes."""
    found = []
    if days := rules.abort_uploads_days:
        after = f"<DaysAfterInitiation>{days}</DaysAfterInitiation>"
        found.append(
            _rule("unfinished-uploads", f"<AbortIncompleteMultipartUpload>{after}</AbortIncompleteMultipartUpload>")
        )
    if days := rules.keep_old_versions_days:
        expiry = f"<NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays></NoncurrentVersionExpiration>"
        found.append(
            _rule(
                "old-versions",
                expiry + "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
            )
        )
    return f'<LifecycleConfiguration xmlns="{SPACE}">{"".join(found)}</LifecycleConfiguration>' if found else None


def _rule(name: str, action: str) -> str:
    return f"<Rule><ID>{ASIDE}{name}</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>{action}</Rule>"


def cors(rules: BucketRules) -> str | None:
    """Pages of these origins may read, and write with what the shop signed. None: no page of another origin may."""
    if not rules.cors_origins:
        return None
    fields = [f"<ID>{ASIDE}shop</ID>"]
    fields += [f"<AllowedOrigin>{escape(origin)}</AllowedOrigin>" for origin in rules.cors_origins]
    fields += [f"<AllowedMethod>{method}</AllowedMethod>" for method in METHODS]
    fields += [
        "<AllowedHeader>*</AllowedHeader>",
        "<ExposeHeader>ETag</ExposeHeader>",
        f"<MaxAgeSeconds>{CORS_AGE_S}</MaxAgeSeconds>",
    ]
    return f'<CORSConfiguration xmlns="{SPACE}"><CORSRule>{"".join(fields)}</CORSRule></CORSConfiguration>'


def settings(rules: BucketRules) -> list[Setting]:
    """All of them, in the order in which they are put. Pure."""
    return [Setting("lifecycle", lifecycle(rules)), Setting("cors", cors(rules))]


def same(one: str, other: bytes) -> bool:
    """Whether both documents say the same; a store may put other spaces, another order and another namespace."""
    try:
        return _plain(ElementTree.fromstring(one)) == _plain(ElementTree.fromstring(other))  # noqa: S314 - expat of Python 3.11 and later bounds entity expansion
    except (ElementTree.ParseError, LookupError, ValueError):  # the latter two: of an encoding that Python has not
        return False


def _plain(element: ElementTree.Element) -> tuple[Any, ...]:
    return (
        element.tag.rpartition("}")[2],
        (element.text or "").strip(),
        tuple(sorted(_plain(child) for child in element)),
    )


class Settings:
    """Those of one bucket over the wire."""

    def __init__(self, bucket: Endpoint, options: Options) -> None:
        self._wire = Wire(bucket, options.timeout_s)
        self._patience, self._throttle = (
            Patience(options.attempts, options.backoff_s, options.backoff_cap_s, threading.Event()),
            Throttle(1),
        )

    def close(self) -> None:
        self._wire.close()

    def converge(self, setting: Setting) -> str:
        """AS_WANTED, CHANGED or UNSUPPORTED. Raises StoreError."""
        try:
            found = self._get(setting)
            if setting.wanted is None and found is None:
                return AS_WANTED
            if setting.wanted is not None and found is not None and same(setting.wanted, found):
                return AS_WANTED
            self._put(setting)
        except StoreError as error:
            if error.kind is Kind.UNSUPPORTED:
                return UNSUPPORTED
            raise
        return CHANGED

    def lock(self, days: int) -> str:
        """AS_WANTED where all that is stored is locked for so many days, or what it is: such a text begins with "not". Never raises."""
        try:
            body = self._get(Setting("object-lock", None))
            found = None if body is None else locked(body)
        except StoreError as error:
            return UNSUPPORTED if error.kind is Kind.UNSUPPORTED else f"not known: {error.kind}"
        except NotS3:
            return f"not known: {Kind.LYING}"
        if found is None:
            return NOT_LOCKED
        mode, there = found
        return AS_WANTED if mode == COMPLIANCE and there >= days else f"not for {days} days: {mode} for {there}"

    def _get(self, setting: Setting) -> bytes | None:
        try:
            answer = self._patience.run(
                lambda: self._wire.ask(f"get {setting.name}", "GET", query={setting.name: ""}), self._throttle
            )
        except StoreError as error:
            if error.kind is Kind.ABSENT:
                return None
            raise
        return answer.body

    def _put(self, setting: Setting) -> None:
        query = {setting.name: ""}
        if setting.wanted is None:
            self._patience.run(lambda: self._wire.ask(f"delete {setting.name}", "DELETE", query=query), self._throttle)
            return
        body = setting.wanted.encode()
        # S3 asks for it with these two calls, whatever checksum goes beside it.
        headers = {
            "content-type": "application/xml",
            "content-md5": s3.content_md5(body),
        }
        self._patience.run(
            lambda: self._wire.ask(f"put {setting.name}", "PUT", query=query, headers=headers, body=body),
            self._throttle,
        )


def locked(body: bytes) -> tuple[str, int] | None:
    """Mode and days of the rule in a bucket's lock; None without one. Raises NotS3."""
    rule = answers.plain(body, "ObjectLockConfiguration").find("Rule/DefaultRetention")
    if rule is None:
        return None
    days, years = (rule.findtext(name) for name in ("Days", "Years"))
    try:
        number = int(days) if days is not None else int(years or "") * YEAR_DAYS
    except ValueError:
        raise NotS3("a lock without days") from None
    return answers.shown(answers.text(rule, "Mode")), number


def converge(job: Job) -> tuple[dict[str, Any], StoreError | None]:
    """Each setting's outcome by its name, and the first error; the others are still done. A bucket beside the target counts as one setting,
    `lifecycle of <bucket>`; how it is locked, where that is wanted, is told as `lock of <bucket>` and no error. Raises Usage without `bucket` in the document.
    """
    if job.bucket is None:
        raise Usage(
            "bucket: not in the document, wanted keep_old_versions_days, abort_uploads_days and cors_origins; nothing was done"
        )
    due = [(job.target, "{0}", settings(job.bucket))]
    for beside in job.bucket.lifecycle_of:
        due.append(
            (replace(job.target, bucket=beside), f"{{0}} of {beside}", [Setting("lifecycle", lifecycle(job.bucket))])
        )
    outcome, first = {}, None
    for bucket, called, wanted in due:
        with closing(Settings(bucket, job.options)) as store:
            for setting in wanted:
                name = called.format(setting.name)
                try:
                    outcome[name] = store.converge(setting)
                except StoreError as error:
                    outcome[name] = f"failed: {error.kind}"
                    first = first or error
            if bucket is not job.target and job.bucket.lock_days:
                outcome[f"lock of {bucket.bucket}"] = store.lock(job.bucket.lock_days)
    return {"schema": 1, "op": "bucket", "bucket": job.target.bucket, "settings": outcome}, first
