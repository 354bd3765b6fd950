"""An S3 server in this process that keeps its objects in memory and answers as told: any key, any lie, any fault.

Rules are looked at before a request is served: the first whose `when` fits is used up and its `then` decides. Everything that a test may want to
know about what was asked is in `log`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes
from xml.sax.saxutils import escape

CARRIED = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-amz-storage-class",
)


@dataclass
class Version:
    """One version of an object, or a delete marker (`body` is None)."""

    body: bytes | None
    etag: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    tags: str = ""
    acl: str = ""
    time: float = 0.0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass
class Request:
    """`operation`: list, head, get, put, part, delete, begin, complete, abort, parts, uploads, versions, tags, acl, versioning, ownership."""

    operation: str
    key: bytes
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Fault:
    """What to do instead of serving. `code` with `status`: an error answer; `reset`: the connection is cut; `cut`: the body ends after so many bytes."""

    status: int = 0
    code: str = ""
    reset: bool = False
    cut: int | None = None
    body: bytes | None = None  # served in place of the real one
    after: Callable[[], object] | None = None  # called when the request has been served
    before: Callable[[], object] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    lose_answer: bool = False  # the request is carried out, its answer is lost


@dataclass
class Rule:
    when: Callable[[Request], bool]
    then: Callable[[Request], Fault | None]
    times: int


class Stub:
    """One bucket on one port. Use as a context manager."""

    def __init__(
        self, bucket: str = "bucket", *, versioned: bool = True, page: int = 1000, region: str = "gra"
    ) -> None:
        self.bucket, self.versioned, self.page, self.region = bucket, versioned, page, region
        self.beside: set[str] = set()  # further buckets that are there, for calls whose answer a rule gives
        self.objects: dict[bytes, list[Version]] = {}
        self.uploads: dict[str, tuple[bytes, dict[str, str], dict[int, bytes], float]] = {}
        self.log: list[Request] = []
        self.rules: list[Rule] = []
        self.clock = 0.0  # seconds that this server's clock is ahead
        self.ownership = "BucketOwnerEnforced"
        self.opaque_etags = False  # etags look like an MD5 and are none
        self.encode_slash = False
        self.conditional = True  # honours If-Match and If-None-Match of writes
        self.lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stub": self}))
        self._server.daemon_threads = True

    def __enter__(self) -> Stub:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    # --- what a test does directly

    def rule(
        self, operation: str, then: Fault | Callable[[Request], Fault | None], times: int = 1, key: bytes | None = None
    ) -> None:
        """For the next `times` requests of this operation (and key)."""
        when = lambda request: request.operation == operation and key in (None, request.key)  # noqa: E731
        self.rules.append(Rule(when, then if callable(then) else lambda _: then, times))

    def now(self) -> float:
        return time.time() + self.clock

    def put(
        self,
        key: bytes,
        body: bytes,
        *,
        at: float | None = None,
        tags: str = "",
        acl: str = "",
        etag: str = "",
        **headers: str,
    ) -> Version:
        """An object as an app would write it; header names with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        made = Version(body, etag or self.etag(body), named, tags, acl, self.now() if at is None else at)
        return self.add(key, made)

    def add(self, key: bytes, version: Version) -> Version:
        with self.lock:
            if self.versioned:
                self.objects.setdefault(key, []).insert(0, version)
            else:
                self.objects[key] = [version]
        return version

    def etag(self, body: bytes) -> str:
        made = hashlib.md5(body).hexdigest()
        return hashlib.md5(made.encode() + b"salt").hexdigest() if self.opaque_etags else made

    def current(self, key: bytes) -> Version | None:
        """The newest version; None for a delete marker or no object."""
        with self.lock:
            versions = self.objects.get(key, [])
            return versions[0] if versions and versions[0].body is not None else None

    def body(self, key: bytes) -> bytes | None:
        found = self.current(key)
        return found.body if found else None

    def bodies(self) -> dict[bytes, bytes]:
        return {key: found for key in sorted(self.objects) if (found := self.body(key)) is not None}

    def remove(self, key: bytes) -> None:
        with self.lock:
            if self.versioned:
                self.objects[key].insert(0, Version(None, time=self.now()))
            else:
                del self.objects[key]

    def asked(self, *operations: str) -> int:
        """How many requests of these kinds there were."""
        return sum(request.operation in operations for request in self.log)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: Stub
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(self.stub.now() if timestamp is None else timestamp, usegmt=True)

    def do_GET(self) -> None:
        self._serve()

    do_PUT = do_HEAD = do_DELETE = do_POST = do_GET

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        bucket, _, key = path[1:].partition("/")
        host = self.headers["host"].partition(":")[0]
        if host.startswith(self.stub.bucket + "."):
            bucket, key = self.stub.bucket, path[1:]
        values = dict(parse_qsl(query, keep_blank_values=True, encoding="utf-8", errors="surrogateescape"))
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self._operation(key, values), unquote_to_bytes(key), values, headers, body)
        with self.stub.lock:
            self.stub.log.append(request)
            rule = next((rule for rule in self.stub.rules if rule.times and rule.when(request)), None)
            if rule:
                rule.times -= 1
        self.fault = (rule.then(request) if rule else None) or Fault()
        if self.fault.before:
            self.fault.before()
        if self.fault.reset:
            self._reset()
        elif self.fault.code or self.fault.status:
            self._error(self.fault.status or 503, self.fault.code)
        elif bucket not in (self.stub.bucket, *self.stub.beside):
            self._error(404, "NoSuchBucket")
        elif f"/{self.stub.region}/s3/" not in headers.get("authorization", ""):
            self._error(400, "AuthorizationHeaderMalformed")
        else:
            with self.stub.lock:
                answer = getattr(self, "on_" + request.operation)(request)
            if self.fault.after:
                self.fault.after()
            if self.fault.lose_answer:
                self._reset()
            else:
                self._answer(*answer)

    def _operation(self, key: str, query: dict[str, str]) -> str:
        method = self.command
        for name in ("uploads", "versions", "versioning", "ownershipControls", "tagging", "acl"):
            if name in query and not (name == "uploads" and method == "POST"):
                return {"ownershipControls": "ownership", "tagging": "tags"}.get(name, name)
        if "uploadId" in query:
            return {"PUT": "part", "POST": "complete", "DELETE": "abort", "GET": "parts"}[method]
        if method == "POST":
            return "begin"
        return "list" if not key and method == "GET" else method.lower()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _error(self, status: int, code: str) -> None:
        self._answer(status, {"content-type": "application/xml"}, f"<Error><Code>{code}</Code></Error>".encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        if self.fault.body is not None and status < 300:
            body = self.fault.body
            headers = headers | {"content-length": str(len(body))}
        self.send_response(status)
        headers = {"content-length": str(len(body))} | headers | self.fault.headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault.cut is not None:
            self.wfile.write(body[: self.fault.cut])
            self.wfile.flush()
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body)

    # --- operations; each returns (status, headers, body)

    def _fail(self, status: int, code: str) -> tuple[int, dict[str, str], bytes]:
        return status, {}, f"<Error><Code>{code}</Code></Error>".encode()

    def on_list(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        stub, query = self.stub, request.query
        prefix = query.get("prefix", "").encode("utf-8", "surrogateescape")
        after = query.get("start-after", "").encode("utf-8", "surrogateescape")
        if "continuation-token" in query:
            after = base64.urlsafe_b64decode(query["continuation-token"])
        keys = [key for key in sorted(stub.objects) if key.startswith(prefix) and key > after and stub.current(key)]
        page = keys[: stub.page]
        rows = []
        for key in page:
            found = stub.current(key)
            assert found and found.body is not None
            name = quote(key, safe="" if stub.encode_slash else "/").replace("%20", "+")
            rows.append(
                f"<Contents><Key>{name}</Key><LastModified>{iso(found.time)}</LastModified><ETag>&quot;{found.etag}&quot;</ETag>"
                f"<Size>{len(found.body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        more = len(keys) > len(page)
        token = (
            f"<NextContinuationToken>{base64.urlsafe_b64encode(page[-1]).decode()}</NextContinuationToken>"
            if more
            else ""
        )
        return 200, {}, listing(rows, bucket=stub.bucket, more=more, token=token)

    def on_head(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = self.on_get(request)
        return status, headers | {"content-length": str(len(body) if status < 300 else 0)}, b""

    def on_get(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        found = self.stub.current(request.key)
        if "versionId" in request.query:
            found = next(
                (item for item in self.stub.objects.get(request.key, []) if item.id == request.query["versionId"]), None
            )
        if found is None or found.body is None:
            return self._fail(404, "NoSuchKey")
        wanted = request.headers.get("if-match")
        if wanted and wanted.strip('"') != found.etag:
            return self._fail(412, "PreconditionFailed")
        headers = found.headers | {"etag": f'"{found.etag}"', "last-modified": formatdate(found.time, usegmt=True)}
        if self.stub.versioned:
            headers["x-amz-version-id"] = found.id
        if found.tags:
            headers["x-amz-tagging-count"] = str(found.tags.count("&") + 1)
        if "range" in request.headers:
            first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
            return 206, headers, found.body[int(first) : int(last) + 1]
        return 200, headers, found.body

    def _condition(self, request: Request) -> tuple[int, dict[str, str], bytes] | None:
        if not self.stub.conditional:
            return None
        found = self.stub.current(request.key)
        if "if-none-match" in request.headers and found is not None:
            return self._fail(412, "PreconditionFailed")
        wanted = request.headers.get("if-match")
        if wanted is not None and (found is None or wanted != found.etag):
            # Bare, as OVHcloud wants it: quotes do not match.
            return self._fail(412, "PreconditionFailed")
        return None

    def on_put(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        if len(request.key) > 1024:
            return self._fail(400, "KeyTooLongError")
        for refused in ("x-amz-sdk-checksum-algorithm", "x-amz-trailer"):
            if refused in request.headers:
                return self._fail(400, "InvalidArgument")
        sha = request.headers.get("x-amz-content-sha256", "")
        if sha != "UNSIGNED-PAYLOAD" and sha != hashlib.sha256(request.body).hexdigest():
            return self._fail(400, "XAmzContentSHA256Mismatch")
        md5 = request.headers.get("content-md5")
        if md5 and base64.b64decode(md5) != hashlib.md5(request.body).digest():
            return self._fail(400, "BadDigest")
        return self._condition(request) or self._store(request.key, request.body, request.headers)

    def _store(
        self, key: bytes, body: bytes, headers: dict[str, str], etag: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        kept = {name: value for name, value in headers.items() if name in CARRIED or name.startswith("x-amz-meta-")}
        tags, acl = headers.get("x-amz-tagging", ""), headers.get("x-amz-acl", "")
        made = self.stub.add(key, Version(body, etag or self.stub.etag(body), kept, tags, acl, self.stub.now()))
        return 200, {"etag": f'"{made.etag}"'} | ({"x-amz-version-id": made.id} if self.stub.versioned else {}), b""

    def on_delete(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        if "versionId" in request.query:
            self.stub.objects[request.key] = [
                item for item in self.stub.objects[request.key] if item.id != request.query["versionId"]
            ]
            return 204, {}, b""
        refused = self._condition(request) if "if-match" in request.headers else None
        if refused is None and self.stub.current(request.key):
            self.stub.remove(request.key)
        return refused or (204, {}, b"")

    def on_begin(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        identity = uuid.uuid4().hex
        self.stub.uploads[identity] = (request.key, request.headers, {}, self.stub.now())
        return (
            200,
            {},
            f"<InitiateMultipartUploadResult><UploadId>{identity}</UploadId></InitiateMultipartUploadResult>".encode(),
        )

    def on_part(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        if request.query["uploadId"] not in self.stub.uploads:
            return self._fail(404, "NoSuchUpload")
        self.stub.uploads[request.query["uploadId"]][2][int(request.query["partNumber"])] = request.body
        return 200, {"etag": f'"{hashlib.md5(request.body).hexdigest()}"'}, b""

    def on_parts(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        if request.query["uploadId"] not in self.stub.uploads:
            return self._fail(404, "NoSuchUpload")
        parts = self.stub.uploads[request.query["uploadId"]][2]
        rows = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{hashlib.md5(body).hexdigest()}&quot;</ETag><Size>{len(body)}</Size></Part>"
            for number, body in sorted(parts.items())
        )
        return 200, {}, f"<ListPartsResult><IsTruncated>false</IsTruncated>{rows}</ListPartsResult>".encode()

    def on_complete(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        upload = self.stub.uploads.get(request.query["uploadId"])
        if upload is None:
            return self._fail(404, "NoSuchUpload")
        refused = self._condition(request)
        if refused:
            return refused
        _, headers, parts, _ = self.stub.uploads.pop(request.query["uploadId"])
        bodies = [parts[number] for number in sorted(parts)]
        etag = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest() + f"-{len(bodies)}"
        self._store(request.key, b"".join(bodies), headers, etag)
        return (
            200,
            {},
            f"<CompleteMultipartUploadResult><ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>".encode(),
        )

    def on_abort(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        found = self.stub.uploads.pop(request.query["uploadId"], None)
        return (204, {}, b"") if found else self._fail(404, "NoSuchUpload")

    def on_uploads(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        rows = "".join(
            f"<Upload><Key>{escape(key.decode())}</Key><UploadId>{identity}</UploadId><Initiated>{iso(begun)}</Initiated></Upload>"
            for identity, (key, _, _, begun) in self.stub.uploads.items()
        )
        return (
            200,
            {},
            f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{rows}</ListMultipartUploadsResult>".encode(),
        )

    def on_versions(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        prefix = request.query.get("prefix", "").encode()
        rows = ""
        for key in sorted(self.stub.objects):
            for number, item in enumerate(self.stub.objects[key] if key.startswith(prefix) else []):
                tag = "DeleteMarker" if item.body is None else "Version"
                extra = (
                    "" if item.body is None else f"<ETag>&quot;{item.etag}&quot;</ETag><Size>{len(item.body)}</Size>"
                )
                rows += (
                    f"<{tag}><Key>{quote(key)}</Key><VersionId>{item.id}</VersionId><IsLatest>{str(number == 0).lower()}</IsLatest>"
                    f"<LastModified>{iso(item.time)}</LastModified>{extra}</{tag}>"
                )
        return (
            200,
            {},
            f"<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{rows}</ListVersionsResult>".encode(),
        )

    def on_tags(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        found = self.stub.current(request.key)
        if "versionId" in request.query:
            found = next(it for it in self.stub.objects[request.key] if it.id == request.query["versionId"])
        pairs = parse_qsl(found.tags) if found else []
        rows = "".join(f"<Tag><Key>{escape(name)}</Key><Value>{escape(value)}</Value></Tag>" for name, value in pairs)
        return 200, {}, f"<Tagging><TagSet>{rows}</TagSet></Tagging>".encode()

    def on_acl(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        found = self.stub.current(request.key)
        kind = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type'
        grants = (
            f'<Grant><Grantee {kind}="CanonicalUser"><ID>me</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>'
        )
        if found and found.acl == "public-read":
            grants += (
                f'<Grant><Grantee {kind}="Group">'
                "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>"
            )
        xml = f"<AccessControlPolicy><Owner><ID>me</ID></Owner><AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
        return 200, {}, xml.encode()

    def on_versioning(self, _: Request) -> tuple[int, dict[str, str], bytes]:
        status = "<Status>Enabled</Status>" if self.stub.versioned else ""
        return 200, {}, f"<VersioningConfiguration>{status}</VersioningConfiguration>".encode()

    def on_ownership(self, _: Request) -> tuple[int, dict[str, str], bytes]:
        rule = f"<Rule><ObjectOwnership>{self.stub.ownership}</ObjectOwnership></Rule>"
        return 200, {}, f"<OwnershipControls>{rule}</OwnershipControls>".encode()


def iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"


def listing(
    rows: list[str],
    *,
    bucket: str = "bucket",
    more: bool = False,
    token: str = "",
    count: int | None = None,
    encoding: str = "url",
) -> bytes:
    """A ListObjectsV2 answer."""
    kind = f"<EncodingType>{encoding}</EncodingType>" if encoding else ""
    return (
        f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name>{kind}'
        f"<KeyCount>{len(rows) if count is None else count}</KeyCount>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(rows)}</ListBucketResult>"
    ).encode()
