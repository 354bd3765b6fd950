"""Who leads where a site has several caches: Sentinel's word, and the line of `dr.conf` that says it. The guard and the agent load this."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .files import write_atomically
from .layout import Layout
from .redis_wire import Connection, ErrorReply, Server, Unreachable
from .wait import until

SHOP = "shop"  # Sentinel's name for the group
SENTINEL_PORT = 26379
QUORUM = 2  # of three
ASK_S = 2.0

A = TypeVar("A")


@dataclass(frozen=True)
class Access:
    """How this host reaches the pair's caches as the operator, and its site's Sentinels; those are empty where the site has one cache."""

    local: Server
    members: tuple[Server, ...]
    peers: tuple[Server, ...]
    sentinels: tuple[Server, ...]

    @classmethod
    def of_host(cls, layout: Layout) -> Access | None:
        """From `/etc/dr/redis.json`; None where there is none that can be read."""
        try:
            found = json.loads((layout.etc / "redis.json").read_bytes())
            servers = {
                key: tuple(Server(**it, ca=found["ca"], user="dr_operator", password=found["password"]) for it in found[key])
                for key in ("members", "peers")
            }
            secret = found["sentinel"]
            sentinels = tuple(sentinel_of(member, secret) for member in servers["members"]) if secret else ()
            local = next(member for member in servers["members"] if member.name == found["local"]["name"])
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            return None
        return cls(local, servers["members"], servers["peers"], sentinels)


@dataclass(frozen=True)
class Word:
    """Sentinel's: `leader` is an address, `config_epoch` its own count of changes, `answers` how many said so or older things.

    `others`: how many of its kind the one knows that knows fewest.
    """

    leader: str
    config_epoch: int
    answers: int
    others: int


def sentinel_of(member: Server, password: str) -> Server:
    """The Sentinel beside a cache."""
    return Server(member.name, member.address, SENTINEL_PORT, member.ca, "default", password)


def side_by_side(ask: Callable[[Server], A], servers: Iterable[Server]) -> list[A]:
    """Ask all at once: each that is dead costs its whole time-out."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - the agent, which must stay small, hardly ever asks

    asked = list(servers)
    with ThreadPoolExecutor(max(len(asked), 1)) as pool:
        return list(pool.map(ask, asked))


def word(sentinels: Sequence[Server]) -> Word | None:
    """The newest word of those that answer; None when fewer than QUORUM do, or when one is just having another lead: the others hear it last."""
    found = [one for one in side_by_side(_ask, sentinels) if one is not None]
    if len(found) < QUORUM or any(choosing for *_, choosing in found):
        return None
    newest, leader, *_ = max(found)
    return Word(leader, newest, len(found), min(others for *_, others, _ in found))


def await_word(sentinels: Sequence[Server], limit_s: float) -> Word | None:
    """The same, for as long as `limit_s` seconds: Sentinels start with their hosts."""
    found: list[Word] = []

    def heard() -> bool:
        said = word(sentinels)
        if said is not None:
            found.append(said)
        return bool(found)

    until(heard, limit_s, 0.5)
    return found[-1] if found else None


def _ask(sentinel: Server) -> tuple[int, str, int, bool] | None:
    """Its count of changes, who leads, how many others it knows, and whether it is just changing the leader."""
    try:
        with Connection(sentinel, ASK_S) as connection:
            flat = connection.call("SENTINEL", "MASTER", SHOP)
    except (Unreachable, ErrorReply):
        return None
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    choosing = "failover_in_progress" in fields["flags"].split(",")
    return int(fields["config-epoch"]), str(fields["ip"]), int(fields["num-other-sentinels"]), choosing


def role_of(server: Server) -> str | None:
    """`master` or `slave`, in the server's own words; None when it does not answer."""
    try:
        with Connection(server, ASK_S) as connection:
            return str(connection.call("ROLE")[0])
    except (Unreachable, ErrorReply):
        return None


def point(conf: Path, leader: Server | None) -> bool:
    """Make the server, when it starts next, follow `leader`, or lead when that is None. Whether that is news. Raises OSError."""
    text, status = conf.read_text(), conf.stat()
    lines = [line for line in text.splitlines() if not line.startswith("replicaof ")]
    if leader is not None:
        lines.append(f"replicaof {leader.address} {leader.port}")
    wanted = "\n".join(lines) + "\n"
    if wanted == text:
        return False
    write_atomically(conf, wanted.encode(), status.st_mode & 0o7777, (status.st_uid, status.st_gid))
    return True
