"""Lists of servers: filters, order, pages, and what is left out of them. Called under the cloud's lock."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lab.cloud.compute import errors, records
from lab.cloud.microversion import Version
from lab.cloud.state import Record
from lab.cloud.web import Call

if TYPE_CHECKING:
    from lab.cloud.compute.routes import ComputeService

SHOWS_LOST_SINCE: Version = (2, 69)
_SORTABLE = {
    "created_at": "created",
    "updated_at": "updated",
    "display_name": "name",
    "name": "name",
    "uuid": "id",
    "vm_state": "vm_state",
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """`lost`: servers of cells that are down, as far as this list shows them. `links`: where the next page is, for the answer's body."""

    servers: list[Record]
    lost: list[Record] = field(default_factory=list)
    links: dict[str, Any] = field(default_factory=dict)


def page(nova: ComputeService, call: Call) -> Page:
    """The servers that a list shows: filtered by name (a regular expression) and status, sorted, cut by marker and limit.

    A server of a cell that is down cannot be filtered, sorted or counted: a list that asks for any of that omits it, and so does every list
    of a client that is too old to be told of one.
    """
    living = [server for server in records.living(nova.cloud.region(nova.region)) if _listed(server)]
    down = [server for server in living if server["_cell_down"]]
    servers = _sorted(_filtered([server for server in living if not server["_cell_down"]], call), call)
    lost = down if nova.version(call) >= SHOWS_LOST_SINCE and not call.query else []
    if (marker := call.first("marker")) is not None:
        ids = [server["id"] for server in servers]
        if marker not in ids:
            raise errors.bad_request(f"marker [{marker}] not found")
        servers = servers[ids.index(marker) + 1 :]
    limit = _limit(nova, call)
    if limit is None or not 0 < limit <= len(servers):
        return Page(servers=servers, lost=lost)
    chosen = servers[:limit]
    kept = {key: call.query[key][0] for key in sorted(call.query) if key != "marker"}
    href = f"{nova.root}{call.path}?{urlencode({**kept, 'marker': chosen[-1]['id']})}"
    return Page(servers=chosen, lost=lost, links={"servers_links": [{"rel": "next", "href": href}]})


def _listed(server: Record) -> bool:
    return bool(server["vm_state"] != records.SOFT_DELETED)


def _filtered(servers: list[Record], call: Call) -> list[Record]:
    name, status = call.first("name"), call.first("status")
    if name is not None:
        try:
            pattern = re.compile(name)
        except re.error as error:
            raise errors.bad_request(f"Invalid filter name: {name} is no regular expression: {error}") from None
        servers = [server for server in servers if pattern.search(server["name"])]
    if status is not None:
        servers = [server for server in servers if records.status(server) == status.upper()]
    for key in ("flavor", "image"):
        if (wanted := call.first(key)) is not None:
            servers = [server for server in servers if server[f"{key}_id"] == wanted]
    return servers


def _sorted(servers: list[Record], call: Call) -> list[Record]:
    key = call.first("sort_key")
    if key is None:
        return servers
    if key not in _SORTABLE:
        raise errors.bad_request(f"Invalid sort key: {key}")
    return sorted(
        servers, key=lambda server: str(server[_SORTABLE[key]]), reverse=call.first("sort_dir", "desc") == "desc"
    )


def _limit(nova: ComputeService, call: Call) -> int | None:
    """What was asked for, cut to the service's own maximum; None: no limit at all."""
    asked = call.first("limit")
    if asked is not None and not asked.isdigit():
        raise errors.bad_request(
            f"Invalid input for query parameters limit. Value: {asked}. '{asked}' does not match '^[0-9]*$'"
        )
    limits = [limit for limit in (int(asked) if asked else None, nova.page_limit) if limit]
    return min(limits, default=None)
