"""The block of Redis or Valkey in the heartbeat: its role and offset, over a connection that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..frame.layout import Layout
from ..frame.log import Log
from ..redis.config import ARMED, LENT
from ..redis.engine import find_engine
from ..redis.leader import Access
from ..redis.upstream import Company, Upstream
from ..redis.wire import Connection, ErrorReply, Unreachable, keys_of, parse_info
from .facts import Server


def servers_found(layout: Layout) -> list[Server]:
    """Servers that work on this host's data, or that have its port. What the unit's own server is, its block says; only others are asked."""
    from ..redis import writers  # noqa: PLC0415 - an agent that stays small, and a look of its own each few seconds

    unit = find_engine(layout).unit
    found = []
    for server in writers.servers_found(layout):
        role = None if _is_of(unit, server.pid) else writers.role(layout, server)
        found.append(Server(server.pid, None if role is None else role == "master"))
    return found


def _is_of(unit: str, pid: int) -> bool:
    """Whether a process is in the unit's control group."""
    try:
        return any(line.rstrip().endswith(f"/{unit}") for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    except OSError:
        return True  # ended meanwhile: nothing to ask


class RedisFacts:
    """`Facts` of Redis or Valkey."""

    def __init__(self, layout: Layout, log: Log) -> None:
        self._layout = layout
        self._connection: Connection | None = None
        self._upstream, self._company = Upstream(layout, log), Company(layout, log)

    def read(self) -> dict[str, Any]:
        """See `Facts`."""
        block: dict[str, Any] = {"running": False, "role": None, "offset": None, "replication_id": None, "keys": None}
        try:
            if self._connection is None:
                access = Access.of_host(self._layout)
                if access is None:
                    return block
                self._connection = Connection(access.local, 2.0)
            text = str(self._connection.call("INFO", "replication", "keyspace"))
        except (Unreachable, ErrorReply):
            self._close()
            return block
        info = parse_info(text)
        self._upstream.look(info)
        asks = info.get("role") == "master" and "min_slaves_good_slaves" in info
        lent = None if asks else False  # None: nobody knows
        try:
            self._company.look(info, self._connection.call)
            if asks:
                lent = self._connection.call("CONFIG", "GET", ARMED)[1] == str(LENT)
        except (Unreachable, ErrorReply):
            self._close()
        role = {"master": "master", "slave": "replica"}.get(info.get("role", ""))
        offset = info.get("master_repl_offset" if role == "master" else "slave_repl_offset")
        return {
            "running": True,
            "role": role,
            "offset": None if offset is None else int(offset),
            "replication_id": info.get("master_replid"),
            "keys": keys_of(info),
            **({} if lent is False else {"lent": lent}),
        }

    def writes(self, block: dict[str, Any]) -> bool | None:
        """See `Facts`."""
        if block.get("role") is None:
            return None
        if block["role"] == "master":
            lent = block.get("lent", False)
            return None if lent is None else not lent
        access = Access.of_host(self._layout)
        return None if access is not None and access.sentinels else False  # Sentinel may have it lead at any moment

    def told(self, block: dict[str, Any]) -> None:
        return None

    def recall(self, block: dict[str, Any], age_s: float) -> None:
        return None

    def abort(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.cut()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
