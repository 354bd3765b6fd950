"""What an agent is told, as it lies on its host."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.hosts import LEASE_PORT
from contract.lease import Lease

from ..frame.files import ManagedFile
from ..frame.layout import Layout


@dataclass(frozen=True)
class Address:
    """A host on the vRack."""

    name: str
    address: str
    port: int = LEASE_PORT


@dataclass(frozen=True)
class Config:
    """`own` and `counterpart`: this host, and the same one of the other site."""

    site: str
    peer: str
    host: str
    service: str
    own: Address
    counterpart: Address
    terms: Lease
    instance: str | None = None  # the server's id; unknown to an agent whose host was converged before it was told

    def text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, indent=1) + "\n"

    @classmethod
    def read(cls, layout: Layout) -> Config:
        """Raises Failed."""
        path = layout.etc / "agent.json"
        found = _json(path)
        try:
            site, peer, host, service = (str(found[key]) for key in ("site", "peer", "host", "service"))
            return cls(
                site,
                peer,
                host,
                service,
                Address(**found["own"]),
                Address(**found["counterpart"]),
                Lease(**found["terms"]),
                None if found.get("instance") is None else str(found["instance"]),
            )
        except (KeyError, TypeError):
            raise Failed(
                f"file {path}: found none that can be read, wanted the agent's settings; no lease is kept; run `pulumi up` for this site"
            ) from None

    @classmethod
    def of_host(cls, layout: Layout) -> Config | None:
        """None where there is no lease: no agent, or `lease: off`."""
        return cls.read(layout) if (layout.etc / "agent.json").exists() else None


def config_file(layout: Layout, config: Config) -> ManagedFile:
    return ManagedFile(path=layout.etc / "agent.json", content=config.text(), mode=0o600)


def _json(path: Any) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
