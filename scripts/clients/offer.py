"""What a region offers the project: how much it may still take of servers, and whether flavors and images are there. Asks, and changes nothing.

API: https://docs.openstack.org/api-ref/compute/#limits-limits, https://docs.openstack.org/api-ref/image/v2/.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

from contract.dataclass import dataclass
from contract.plain import phrase, shown
from scripts.clients.compute import Compute
from scripts.clients.openstack import ApiDown
from scripts.clients.server_states import Size, size_of

MOST = 2**53


@dataclass(frozen=True, kw_only=True)
class Quota:
    """Of one kind. `limit`: None where there is none."""

    limit: int | None
    used: int

    @property
    def left(self) -> int | None:
        """How many more; less than nothing where the limit was lowered since. None: any."""
        return None if self.limit is None else self.limit - self.used


@dataclass(frozen=True, kw_only=True)
class Room:
    """Quota of the project in a region. `memory`: MiB."""

    servers: Quota
    cores: Quota
    memory: Quota

    def lacks(self, sizes: Iterable[Size]) -> list[str]:
        """A phrase for each kind of which there is not enough left for servers of these sizes; empty where they fit."""
        wanted = list(sizes)
        needs = (
            ("servers", self.servers, len(wanted)),
            ("cores", self.cores, sum(it.cores for it in wanted)),
            ("MiB of memory", self.memory, sum(it.memory for it in wanted)),
        )
        return [
            f"{quota.left} of {quota.limit} {name} left, {need} needed"
            for name, quota, need in needs
            if quota.left is not None and quota.left < need
        ]


class Offer(Compute):
    """One region, as whoever makes servers there meets it."""

    def room(self) -> Room:
        """Raises ApiDown."""
        limits = self.ask("GET", "compute", "/limits").get("limits")
        told = limits.get("absolute") if isinstance(limits, dict) else None
        if not isinstance(told, dict):
            raise ApiDown(f"{self._asked('/limits')}: answered no limits, wanted those of the project")
        return Room(
            servers=self._quota(told, "maxTotalInstances", "totalInstancesUsed"),
            cores=self._quota(told, "maxTotalCores", "totalCoresUsed"),
            memory=self._quota(told, "maxTotalRAMSize", "totalRAMUsed"),
        )

    def sizes(self, flavors: Iterable[str]) -> dict[str, Size | None]:
        """Of flavors by their ids; None for one that is not offered here, or not any more. Raises ApiDown."""
        return {flavor: self._size(flavor) for flavor in sorted(set(flavors))}

    def image(self, image_id: str) -> str:
        """Its status, "active" where a server can be made of it; empty where it is not there. Raises ApiDown."""
        found = self.find("image", f"/v2/images/{_quoted(image_id)}")
        return "" if found is None else phrase(str(found.get("status", "of no status")), 40)

    def _size(self, flavor_id: str) -> Size | None:
        path = f"/flavors/{_quoted(flavor_id)}"
        found = self.find("compute", path)
        if found is None:
            return None
        flavor = found.get("flavor")
        size = size_of(flavor)
        if size is None or not isinstance(flavor, dict):
            raise ApiDown(f"{self._asked(path)}: answered no flavor with vcpus and ram")
        return None if flavor.get("OS-FLV-DISABLED:disabled") is True else size

    def _quota(self, told: Mapping[str, Any], most: str, used: str) -> Quota:
        """-1 is how Nova says that there is no limit."""
        limit, taken = _whole(told.get(most)), _whole(told.get(used))
        if limit is None or taken is None or taken < 0:
            found = f"{shown(told.get(most))} and {shown(told.get(used))}"
            raise ApiDown(f"{self._asked('/limits')}: {most} and {used} are {found}, wanted two numbers")
        return Quota(limit=None if limit == -1 else limit, used=taken)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and -1 <= value < MOST else None


def _quoted(identity: str) -> str:
    return urllib.parse.quote(identity, safe="")
