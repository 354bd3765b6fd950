"""What a running cache is and how it is set, by its own words."""

from __future__ import annotations

from collections.abc import Mapping

from .engine import equal
from .state import MASTER, REPLICA, Instance
from .wire import Connection, ErrorReply, Server, Unreachable, keys_of, parse_info


def inspect(server: Server) -> Instance:
    """Ask a server what it is. Raises Unreachable and ErrorReply."""
    with Connection(server) as connection:
        info = parse_info(connection.call("INFO", "everything"))
    if info.get("loading") == "1":
        raise Unreachable(f"{server.name}: still loading its data")
    return _instance(info)


def differing_directives(server: Server, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """Names of those with which the server runs otherwise. Raises Unreachable and ErrorReply."""
    with Connection(server) as connection:
        flat = connection.call("CONFIG", "GET", *wanted)
    found = dict(zip(flat[::2], flat[1::2], strict=True))
    return tuple(name for name, value in wanted.items() if not equal(name, value, found.get(name)))


def _instance(info: Mapping[str, str]) -> Instance:
    return Instance(
        role=MASTER if info["role"] == "master" else REPLICA,
        keys=keys_of(info),
        offset=int(info["master_repl_offset"] if info["role"] == "master" else info.get("slave_repl_offset", "0")),
        used_memory=int(info["used_memory"]),
        master=info.get("master_host"),
        link_up=info.get("master_link_status") == "up",
        engine="valkey" if "valkey_version" in info else "redis",
        version=info.get("valkey_version") or info["redis_version"],
        stream=info.get("master_replid", ""),
        former=info.get("master_replid2", ""),
        former_end=int(info.get("second_repl_offset", "-1")),
        replicas=int(info.get("connected_slaves", "0")),
        maxmemory=int(info.get("maxmemory", "0")),
        policy=info.get("maxmemory_policy", ""),
        on_disk=info.get("aof_rewrite_in_progress", "0") == info.get("aof_rewrite_scheduled", "0") == "0",
        unwritten="err" in (info.get("aof_last_write_status"), info.get("rdb_last_bgsave_status")),
        armed="min_slaves_good_slaves" in info,
    )


def look(server: Server) -> tuple[Instance | None, str | None]:
    """What a server is, or why nobody knows."""
    try:
        return inspect(server), None
    except (Unreachable, ErrorReply) as error:
        return None, str(error)
