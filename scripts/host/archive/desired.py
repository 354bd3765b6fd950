"""The `archive` block of a desired document, and what of it the host remembers."""

from __future__ import annotations

import json
from typing import Any

from contract.dataclass import dataclass
from contract.services import archive

from ..frame.desired import Envelope, read
from .layout import ArchiveLayout

SIZES = {"MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


@dataclass(frozen=True)
class Memory:
    """Not secret; see `ArchiveLayout.memory`. `queue_max`: bytes of WAL that may wait for a repository that does not take it."""

    site: str
    peer: str
    version: int
    port: int
    queue_max: int
    retention_full: int = archive.Keys.retention_full

    @property
    def repositories(self) -> tuple[str, str]:
        """The own region's first: it is nearer, and a region that died takes the other one along."""
        return self.site, self.peer

    def text(self) -> str:
        return json.dumps(self.__dict__, sort_keys=True) + "\n"

    @classmethod
    def read(cls, layout: ArchiveLayout) -> Memory | None:
        """None on a host that was never prepared."""
        try:
            found = json.loads(layout.memory.read_bytes())
            version, port, queue_max = (int(found[key]) for key in ("version", "port", "queue_max"))
            kept = int(found.get("retention_full", archive.Keys.retention_full))  # an older release did not write it
            return cls(str(found["site"]), str(found["peer"]), version, port, queue_max, kept)
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, kw_only=True)
class Desired(archive.Block):
    """The block of the document, with what it needs of the envelope."""

    envelope: Envelope

    @property
    def memory(self) -> Memory:
        return Memory(
            self.envelope.site, self.envelope.peer, self.version, self.port, size(self.queue_max), self.retention_full
        )

    def server(self, site: str) -> str:
        """The S3 server of a site's repository, host or host:port, always TLS."""
        return self.endpoints[site].removeprefix("https://").rstrip("/")

    @classmethod
    def read(cls, document: dict[str, Any], *, with_epoch: bool = True) -> Desired:
        """Raises Usage that names every fault."""
        envelope, block = read(document, "archive", archive.Block, with_epoch=with_epoch)
        return cls(**vars(block), envelope=envelope)


def size(text: str) -> int:
    """Bytes of a size such as "2GB"."""
    return int(text[:-2]) * SIZES[text[-2:]]
