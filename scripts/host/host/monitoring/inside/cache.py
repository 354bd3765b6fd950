"""What Redis counts itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....frame.layout import Layout
from ....redis.leader import Access
from ....redis.wire import Connection, ErrorReply, Unreachable, parse_info

_CACHE = {
    "commands": "total_commands_processed",
    "hits": "keyspace_hits",
    "misses": "keyspace_misses",
    "evicted": "evicted_keys",
    "clients": "connected_clients",
}


def asked(layout: Layout) -> dict[str, Any] | None:
    """Of the server of this host."""
    access = Access.of_host(layout)
    if access is None:
        return None
    try:
        with Connection(access.local) as connection:
            return counted(parse_info(connection.call("INFO", "everything")))
    except (Unreachable, ErrorReply):
        return None


def counted(info: Mapping[str, str]) -> dict[str, Any]:
    """What is looked at of it. Pure."""
    return {name: int(info[key]) for name, key in _CACHE.items() if info.get(key, "").isdigit()}
