"""Whether this shop ever had a database, by what lies elsewhere than on the disk that may be lost: the witness's `clusters/` and `followed/`.

A host without data in the first epoch looks the same before there was a database and after it was lost.
"""

from __future__ import annotations

import json
from typing import Protocol

from ..frame.files import write_atomically
from ..frame.layout import Layout
from ..frame.rolefile import Role
from ..frame.witness import Witness

CLUSTERS, FOLLOWED = "clusters/", "followed/"


class Clusters(Protocol):
    """The record of all clusters of this shop."""

    def known(self) -> tuple[str, ...]:
        """What tells of one, by name; empty when nobody knows of any. Raises Silent when the record cannot be read."""
        ...

    def recorded(self, identifier: str) -> bool:
        """Whether this host has seen the cluster in the record. Asks nobody."""
        ...

    def record(self, identifier: str, role: Role) -> None:
        """Put it there. Safe to do again. Raises Silent."""
        ...


class WitnessClusters:
    """`Clusters` at the witness: `clusters/<system identifier>.json`, and `followed/<site>.json` for clusters older than that record."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._memory = layout.var / "postgres-cluster.json"

    def known(self) -> tuple[str, ...]:
        witness = Witness.of_host(self._layout)
        return (*witness.names(CLUSTERS), *witness.names(FOLLOWED))

    def recorded(self, identifier: str) -> bool:
        try:
            return bool(json.loads(self._memory.read_bytes()) == {"system_identifier": identifier})
        except (OSError, ValueError):
            return False

    def record(self, identifier: str, role: Role) -> None:
        document = {"system_identifier": identifier, "site": role.site, "epoch": role.epoch}
        Witness.of_host(self._layout).put(f"{CLUSTERS}{identifier}.json", document)
        write_atomically(self._memory, json.dumps({"system_identifier": identifier}).encode(), 0o644)
