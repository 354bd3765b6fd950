"""What every host has whatever its role: what `host converge` is told."""

from __future__ import annotations

from dataclasses import dataclass

from ..buckets import Bucket
from ..checks import listing, text
from ..fields import key, part
from ..lease import Lease


@dataclass(frozen=True, kw_only=True)
class Block:
    """Its place in the document is `setup`: the service's own name is taken by the envelope."""

    packages: tuple[str, ...] = key(
        listing(text(r"[a-z0-9][a-z0-9+.-]+", "the name of a Debian package")),
        "packages that must be there",
        default=(),
    )
    witness: Bucket = part(Bucket, "the witness bucket")
    lease: Lease | None = part(Lease, "of a host whose agent keeps one; null: no agent", optional=True)
