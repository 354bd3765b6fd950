"""Copies of Pulumi's states in the witness bucket: `states/<site>/<time>-<sha256>.json.gz`, each created once, and locked where the bucket locks."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import re
import zlib

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.plain import shown
from scripts.clients.kept_bucket import KeptBucket

MOST_COPY = 32 * 2**20  # bytes as it is stored ...
MOST_STATE = 64 * 2**20  # ... and unpacked
_NAME = re.compile(r"states/([ab])/([0-9]{8}T[0-9]{6}Z)-([0-9a-f]{64})\.json\.gz")
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """`at`: when it was made, in seconds since 1970, by the clock of who made it; `digest`: SHA-256 of what pulumi had exported."""

    site: str
    at: float
    digest: str

    @property
    def name(self) -> str:
        """The object's key."""
        stamp = datetime.datetime.fromtimestamp(self.at, datetime.UTC).strftime(_STAMP)
        return f"states/{self.site}/{stamp}-{self.digest}.json.gz"


def named(name: str) -> Copy | None:
    """What an object's key says; None for what is no copy."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        at = datetime.datetime.strptime(found[2], _STAMP).replace(tzinfo=datetime.UTC)
    except ValueError:
        return None
    return Copy(site=found[1], at=at.timestamp(), digest=found[3])


def digest_of(text: bytes) -> str:
    """Of a state as pulumi exports it."""
    return hashlib.sha256(text).hexdigest()


class StateCopies(KeptBucket):
    """The witness, and the states that were copied to it."""

    most = MOST_COPY

    def copies(self, site: str) -> list[Copy]:
        """The newest last; what bears another name is passed over. Raises WitnessDown."""
        return [it for it in map(named, sorted(self._keys(f"states/{site}/"))) if it is not None]

    def copy(self, of: Copy) -> bytes:
        """The state as pulumi had exported it. Raises Failed where it is not there, or is not what its name says."""
        found = self._read(of.name)
        if found is None:
            raise Failed(
                f"witness object {of.name}: is listed and not handed out; wait for the store, or take another copy (`drctl state list`)"
            )
        try:
            # No more of it than a state may have: who has written it says how long it becomes.
            text = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(found.body, MOST_STATE)
        except zlib.error:
            text = b""
        if digest_of(text) != of.digest:
            raise Failed(
                f"witness object {of.name}: is not what its name says (found digest {shown(digest_of(text)[:12])}), wanted {of.digest[:12]}; nothing was "
                "changed; take another copy (`drctl state list`), or an older version of this object"
            )
        return text

    def keep(self, of: Copy, text: bytes) -> None:
        """Raises Failed where something else stands there."""
        if not self.create(of.name, gzip.compress(text, mtime=0), "application/gzip"):
            raise Failed(
                f"witness object {of.name}: something else stands there already; the state was not copied; run the same again"
            )
