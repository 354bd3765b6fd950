"""The document that says what to copy: parsed once, every fault named at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contract.errors import Usage

MIB = 1024 * 1024
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One bucket, and how to reach it."""

    name: str  # "source" or "target", for messages
    endpoint: str  # http(s)://host[:port]
    region: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    addressing: str = "path"  # or "virtual": the bucket in the host name
    prefix: str = ""  # only keys below it, on both sides alike
    ca: str = ""  # file with the certificate authority of the endpoint; empty: the system's

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.name} bucket {self.bucket} at {self.endpoint}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sizes in bytes, times in seconds."""

    concurrency: int = 24  # objects under way at once, at most; the stores' answers lower it
    part_streams: int = 6  # streamed objects, and parts of large ones, under way at once
    shards: int = 0  # listings side by side; 0: by the number of known keys
    memory_limit: int = MIB  # objects up to here are read whole; larger ones are streamed
    multipart_above: int = 100 * MIB
    part_size: int = 16 * MIB  # at least; more where 9,000 parts of it would not do
    part_md5: bool = (
        False  # each part is held in memory and says its MD5 before it is sent, as a bucket with a lock asks
    )
    attempts: int = 6
    backoff_s: float = 0.5
    backoff_cap_s: float = 30.0
    timeout_s: float = 60.0
    deletes: bool = True
    grace_s: float = 3600.0
    max_deletes: int = 1000
    max_deletes_percent: int = 25  # of the known objects
    carry_acl: str = "auto"  # auto: unless the source bucket has ACLs switched off; also "always", "never"
    listed: int = 100  # entries of each list in the result
    epoch_check_s: float = 1.0


@dataclass(frozen=True, kw_only=True)
class BucketRules:
    """S3's own settings of the target bucket; days, 0: never. `lifecycle_of`: buckets beside it that get its lifecycle and nothing else, and are to
    be locked for `lock_days`.
    """

    keep_old_versions_days: int = 0
    abort_uploads_days: int = 0
    cors_origins: tuple[str, ...] = ()
    lifecycle_of: tuple[str, ...] = ()
    lock_days: int = 0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One direction of copying."""

    source: Endpoint
    target: Endpoint
    state_dir: Path
    options: Options = Options()
    epoch: int | None = None
    epoch_file: Path | None = None
    source_site: str | None = None  # with both, the epoch's active site must be the source
    target_site: str | None = None
    metrics_file: Path | None = None
    status_file: Path | None = None
    bucket: BucketRules | None = None


REQUIRED = ("endpoint", "region", "bucket", "access_key", "secret_key")


def parse(document: Any) -> Job:
    """The job that `document` describes. Raises Usage with every fault."""
    faults: list[str] = []
    if not isinstance(document, dict):
        raise Usage(f"document: is {type(document).__name__}, wanted a JSON object; see docs/assets.md")
    if document.get("schema") != 1:
        faults.append(f"schema: found {document.get('schema')!r}, wanted 1")
    known = {item.name for item in fields(Job)} | {"schema"}
    faults += [f"{name}: unknown, wanted one of {', '.join(sorted(known))}" for name in sorted(set(document) - known)]
    source = _endpoint("source", document.get("source"), faults)
    target = _endpoint("target", document.get("target"), faults)
    options = _options(document.get("options", {}), faults)
    bucket = _bucket(document["bucket"], faults) if document.get("bucket") is not None else None
    if not isinstance(document.get("state_dir"), str) or not document["state_dir"]:
        faults.append(
            f"state_dir: found {document.get('state_dir')!r}, wanted a folder that belongs to this pair of buckets alone"
        )
    epoch = document.get("epoch")
    if epoch is not None and (not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 1):
        faults.append(f"epoch: found {epoch!r}, wanted a whole number from 1")
    for name in ("epoch_file", "metrics_file", "status_file", "source_site", "target_site"):
        if document.get(name) is not None and not isinstance(document[name], str):
            faults.append(f"{name}: found {document[name]!r}, wanted a string")
    if source and target and _same(source, target):
        faults.append(
            f"target: is the source's own bucket {source.bucket} at {source.endpoint}, wanted another one; a copy onto itself would rewrite every object"
        )
    if source and target and source.prefix != target.prefix:
        faults.append(
            f"target.prefix: found {target.prefix!r}, wanted the source's {source.prefix!r}; keys are the same on both sides"
        )
    if faults or source is None or target is None or options is None:
        raise Usage("document: " + "; ".join(faults) + "; nothing was done")
    paths = {
        name: Path(document[name]) if document.get(name) else None
        for name in ("epoch_file", "metrics_file", "status_file")
    }
    return Job(
        source=source,
        target=target,
        state_dir=Path(document["state_dir"]),
        options=options,
        epoch=epoch,
        source_site=document.get("source_site"),
        target_site=document.get("target_site"),
        bucket=bucket,
        **paths,
    )


def _endpoint(name: str, found: Any, faults: list[str]) -> Endpoint | None:
    if not isinstance(found, dict):
        faults.append(f"{name}: found {type(found).__name__}, wanted an object with {', '.join(REQUIRED)}")
        return None
    known = {item.name for item in fields(Endpoint)} - {"name"}
    here = [f"{name}.{key}: unknown" for key in sorted(set(found) - known)]
    here += [
        f"{name}.{key}: missing or not a string"
        for key in REQUIRED
        if not isinstance(found.get(key), str) or not found[key]
    ]
    here += [f"{name}.{key}: not a string" for key in sorted(known & set(found)) if not isinstance(found[key], str)]
    if not here:
        here += _address_faults(name, found)
    faults += here
    return None if here else Endpoint(name=name, **{**found, "endpoint": found["endpoint"].rstrip("/")})


def _address_faults(name: str, found: dict[str, str]) -> list[str]:
    parts = urlsplit(found["endpoint"])
    faults = []
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        faults.append(f"{name}.endpoint: found {parts.scheme}://{parts.hostname or ''}, wanted http(s)://host[:port]")
    elif parts.path.strip("/") or parts.hostname.startswith(found["bucket"] + "."):
        faults.append(
            f"{name}.endpoint: holds the bucket or a path ({found['endpoint']}), wanted the service alone; the bucket would be addressed twice"
        )
    if not BUCKET.fullmatch(found["bucket"]):
        faults.append(f"{name}.bucket: found {found['bucket']!r}, wanted 3 to 63 of a-z, 0-9, dot and hyphen")
    if found.get("addressing", "path") not in ("path", "virtual"):
        faults.append(f"{name}.addressing: found {found['addressing']!r}, wanted path or virtual")
    return faults


def _same(source: Endpoint, target: Endpoint) -> bool:
    def host(endpoint: Endpoint) -> tuple[str | None, int]:
        parts = urlsplit(endpoint.endpoint)
        return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)

    return source.bucket == target.bucket and host(source) == host(target)


def _bucket(found: Any, faults: list[str]) -> BucketRules | None:
    if not isinstance(found, dict):
        faults.append(f"bucket: found {type(found).__name__}, wanted an object")
        return None
    days, lists = ("keep_old_versions_days", "abort_uploads_days", "lock_days"), ("cors_origins", "lifecycle_of")
    origins, beside = (found.get(name, []) for name in lists)
    faults += [
        f"bucket.{name}: unknown, wanted one of {', '.join((*lists, *days))}"
        for name in sorted(set(found) - {*days, *lists})
    ]
    wrong = [name for name in days if type(found.get(name, 0)) is not int or found.get(name, 0) < 0]
    faults += [f"bucket.{name}: found {found[name]!r}, wanted a number of days, 0 for never" for name in wrong]
    if not isinstance(origins, list) or not all(isinstance(origin, str) and origin for origin in origins):
        faults.append("bucket.cors_origins: wanted a list of origins like https://www.shop.example")
    elif not isinstance(beside, list) or not all(isinstance(name, str) and BUCKET.fullmatch(name) for name in beside):
        faults.append("bucket.lifecycle_of: wanted a list of buckets on the target's server")
    elif not wrong:
        return BucketRules(
            **{name: found[name] for name in days if name in found},
            cors_origins=tuple(origins),
            lifecycle_of=tuple(beside),
        )
    return None


def _options(found: Any, faults: list[str]) -> Options | None:
    if not isinstance(found, dict):
        faults.append(f"options: found {type(found).__name__}, wanted an object")
        return None
    defaults = {item.name: item.default for item in fields(Options)}
    values: dict[str, Any] = {}
    for name, value in found.items():
        if name not in defaults:
            faults.append(f"options.{name}: unknown, wanted one of {', '.join(sorted(defaults))}")
            continue
        kind = type(defaults[name])
        fits = isinstance(value, (int, float)) if kind is float else isinstance(value, kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            faults.append(f"options.{name}: found {value!r}, wanted {kind.__name__}")
        elif not isinstance(value, (str, bool)) and value < (0 if name in ZERO_ALLOWED else 1e-6):
            faults.append(f"options.{name}: found {value!r}, wanted more than 0")
        else:
            values[name] = value
    if values.get("carry_acl", "auto") not in ("auto", "always", "never"):
        faults.append(f"options.carry_acl: found {values['carry_acl']!r}, wanted auto, always or never")
    if values.get("part_size", Options.part_size) < SMALLEST_PART:
        faults.append(
            f"options.part_size: found {values['part_size']}, wanted {SMALLEST_PART} or more: stores refuse smaller parts"
        )
    return Options(**values)


ZERO_ALLOWED = frozenset(
    {
        "shards",
        "grace_s",
        "max_deletes",
        "max_deletes_percent",
        "memory_limit",
        "multipart_above",
        "listed",
        "epoch_check_s",
        "backoff_s",
    }
)
SMALLEST_PART = 5 * MIB
