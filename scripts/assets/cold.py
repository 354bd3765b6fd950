"""The rare calls, over boto3. It is loaded at the first of them: a run that changes nothing does without."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from xml.etree import ElementTree

from .config import Endpoint
from .errors import Kind, StoreError
from .refusals import classify, doubted, text

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
CANNED: dict[frozenset[tuple[str, str]], str | None] = {
    frozenset(): None,
    frozenset({(ALL_USERS, "READ")}): "public-read",
    frozenset({(ALL_USERS, "READ"), (ALL_USERS, "WRITE")}): "public-read-write",
    frozenset({(AUTHENTICATED, "READ")}): "authenticated-read",
}


# What an answer must be, by the name that botocore has for the question. An upload that was ended is looked at when its answer says nothing.
ROOTS = {
    "GetObjectTagging": "Tagging",
    "GetObjectAcl": "AccessControlPolicy",
    "GetBucketVersioning": "VersioningConfiguration",
    "ListObjectVersions": "ListVersionsResult",
    "ListParts": "ListPartsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
}


class Part(NamedTuple):
    """One part of an upload, as the store holds it."""

    number: int
    etag: str
    size: int


class Cold:
    """One attempt a call; the caller tries again. Raises StoreError."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, served: Callable[[], bool] = bool) -> None:
        """`served`: whether another request with the same keys went through."""
        self._endpoint, self._timeout, self._served = endpoint, timeout_s, served
        self._made: Any = None
        self._lock = threading.Lock()
        self.requests: dict[str, int] = {}

    @property
    def _s3(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._connect()
            return self._made

    def _connect(self) -> Any:
        try:
            import boto3  # noqa: PLC0415 - see above
            from botocore.config import Config  # noqa: PLC0415
        except ImportError:
            raise StoreError(
                Kind.OTHER,
                f"{self._endpoint.place}: needs boto3, which is not installed; run: apt-get install python3-boto3",
            ) from None
        e = self._endpoint
        config = Config(
            connect_timeout=5,
            read_timeout=self._timeout,
            max_pool_connections=32,
            retries={"mode": "standard", "total_max_attempts": 1},
            s3={"addressing_style": e.addressing},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        made = boto3.session.Session(botocore_session=_own_session()).client(
            "s3",
            endpoint_url=e.endpoint,
            region_name=e.region,
            aws_access_key_id=e.access_key,
            aws_secret_access_key=e.secret_key,
            aws_session_token=e.session_token or None,
            verify=e.ca or None,
            config=config,
        )
        made.meta.events.register("before-call.s3", _stay)
        made.meta.events.register("after-call.s3", self._see_root)
        return made

    def _see_root(self, http_response: Any, model: Any, **_: object) -> None:
        """botocore takes a login page for an answer in which nothing is. Raises StoreError."""
        wanted = ROOTS.get(model.name)
        if wanted is None or http_response.status_code >= 300:
            return
        try:
            found = ElementTree.fromstring(http_response.content).tag.rpartition("}")[2]  # noqa: S314 - see `listing.parse_page`
        except (ElementTree.ParseError, LookupError, ValueError):
            found = "no XML"
        if found != wanted:
            raise self._lie(model.name, f"{found[:40]}, wanted {wanted}")

    def _lie(self, operation: str, found: str) -> StoreError:
        return StoreError(
            Kind.LYING,
            f"{self._endpoint.place}: {operation}: answered {found}; not believed, see what stands at this endpoint",
            side=self._endpoint.name,
        )

    @contextmanager
    def _asking(self, operation: str) -> Iterator[Any]:
        s3 = self._s3
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError  # noqa: PLC0415 - see above
        from botocore.parsers import ResponseParserError  # noqa: PLC0415

        self.requests[operation] = self.requests.get(operation, 0) + 1
        try:
            yield s3
        except ClientError as error:
            answer = error.response
            code, status = str(answer["Error"].get("Code", "")), int(answer["ResponseMetadata"]["HTTPStatusCode"])
            kind, served = classify(code, status, operation), self._served()
            told = text(self._endpoint, operation, code, kind, skew=None, served=served)
            raise StoreError(doubted(kind, served), told, status, side=self._endpoint.name) from None
        except HTTPClientError as error:
            raise StoreError(
                Kind.NETWORK,
                f"{self._endpoint.place}: {operation}: no answer ({type(error).__name__}); run the same again",
            ) from None
        except (ResponseParserError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise self._lie(operation, f"what cannot be read ({type(error).__name__})") from None
        except BotoCoreError as error:
            raise StoreError(Kind.OTHER, f"{self._endpoint.place}: {operation}: cannot be asked ({error})") from None

    def _where(self, key: bytes) -> dict[str, str]:
        return {"Bucket": self._endpoint.bucket, "Key": key.decode("utf-8", "surrogateescape")}

    def tags(self, key: bytes) -> list[tuple[str, str]]:
        with self._asking("tags") as s3:
            return [(tag["Key"], tag["Value"]) for tag in s3.get_object_tagging(**self._where(key))["TagSet"]]

    def canned_acl(self, key: bytes) -> str | None:
        try:
            with self._asking("acl") as s3:
                answer = s3.get_object_acl(**self._where(key))
                owner = answer["Owner"].get("ID")
        except StoreError as error:
            if error.kind is Kind.UNSUPPORTED:
                return None
            raise
        grants = {
            (grant["Grantee"].get("URI", grant["Grantee"].get("ID", "")), grant["Permission"])
            for grant in answer.get("Grants", [])
            if grant["Grantee"].get("ID", "") != owner or "URI" in grant["Grantee"]
        }
        if frozenset(grants) not in CANNED:
            # Users differ between projects: such grants cannot be said over there.
            raise StoreError(
                Kind.UNSUPPORTED,
                f"{self._endpoint.place}: {key!r} has grants to single users, wanted a canned ACL; grant by user policy instead",
            )
        return CANNED[frozenset(grants)]

    def versioned(self) -> bool:
        """By its own word, or, from a store that gives it to the bucket's owner alone, by the version ids of what lies there; in an empty bucket
        nothing can be lost.
        """
        try:
            with self._asking("versioning") as s3:
                return bool(s3.get_bucket_versioning(Bucket=self._endpoint.bucket).get("Status") == "Enabled")
        except StoreError as error:
            if error.kind is not Kind.DENIED:
                raise
        with self._asking("versions") as s3:
            page = s3.list_object_versions(Bucket=self._endpoint.bucket, MaxKeys=1)
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        return all(item.get("VersionId") not in (None, "", "null") for item in found)

    def versions(self, key: bytes) -> list[tuple[str, str, bool]]:
        where = self._where(key)
        found: list[tuple[tuple[bool, Any], str, str, bool]] = []
        with self._asking("versions") as s3:
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=where["Bucket"], Prefix=where["Key"]):
                both = [(item, False) for item in page.get("Versions", ())] + [
                    (item, True) for item in page.get("DeleteMarkers", ())
                ]
                same = [(item, marker) for item, marker in both if item["Key"] == where["Key"]]
                found += [
                    (
                        (item["IsLatest"], item["LastModified"]),
                        item["VersionId"],
                        item.get("ETag", "").strip('"'),
                        marker,
                    )
                    for item, marker in same
                ]
                if both and not same:
                    break
        # Stores list the newest first, but markers apart: times of one second do not tell the order, but the newest is named.
        return [item[1:] for item in sorted(found, key=lambda item: item[0], reverse=True)]

    def parts(self, key: bytes, upload: str) -> list[Part]:
        with self._asking("list parts") as s3:
            pages = s3.get_paginator("list_parts").paginate(**self._where(key), UploadId=upload)
            return [
                Part(item["PartNumber"], item["ETag"].strip('"'), item["Size"])
                for page in pages
                for item in page.get("Parts", ())
            ]

    def finish_upload(self, key: bytes, upload: str, parts: list[Part], condition: Mapping[str, str]) -> str:
        named = {"if-none-match": "IfNoneMatch", "if-match": "IfMatch"}
        listed = {"Parts": [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]}
        with self._asking("finish upload") as s3:
            answer = s3.complete_multipart_upload(
                **self._where(key),
                UploadId=upload,
                MultipartUpload=listed,
                **{named[name]: value for name, value in condition.items()},
            )
        if not answer.get("ETag"):
            # It may be there all the same: whoever looks at it finds out.
            text = f"{self._endpoint.place}: finish upload: answer has no ETag, wanted that of the object; the next look decides"
            raise StoreError(Kind.CONDITION, text, side=self._endpoint.name)
        return str(answer["ETag"]).strip('"')

    def abort_upload(self, key: bytes, upload: str) -> None:
        try:
            with self._asking("abort upload") as s3:
                s3.abort_multipart_upload(**self._where(key), UploadId=upload)
        except StoreError as error:
            if error.kind is not Kind.ABSENT:
                raise

    def unfinished(self, key: bytes) -> list[tuple[str, float]]:
        where = self._where(key)
        with self._asking("list uploads") as s3:
            pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=where["Bucket"], Prefix=where["Key"])
            same = [item for page in pages for item in page.get("Uploads", ()) if item["Key"] == where["Key"]]
            return [(item["UploadId"], item["Initiated"].timestamp()) for item in same]


def _stay(params: dict[str, Any], **_: object) -> None:
    """Follow no redirect to another region: botocore asks the same server where to go, and follows that question's redirect the same way, for ever."""
    context = params.setdefault("context", {})
    context["s3_redirected"] = True
    context.setdefault("s3_redirect", {})["redirected"] = True


def _own_session() -> Any:
    """One that reads nothing of the machine's but its proxies: no profile, no file, no variable.

    A profile that somebody else's work has set and that is not there ends a run (boto3#4121), and a file of settings could lead it elsewhere.
    """
    import botocore.session  # noqa: PLC0415 - see above

    plain = botocore.session.Session().session_var_map
    variables = {name: (None, None, default, cast) for name, (_, _, default, cast) in dict(plain).items()}
    return botocore.session.Session(
        session_vars=variables
        | {"config_file": (None, None, os.devnull, None), "credentials_file": (None, None, os.devnull, None)}
    )
