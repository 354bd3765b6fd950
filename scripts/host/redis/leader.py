"""Who leads where a site has several caches: Sentinel's word, and the line of `dr.conf` that says it. The guard and the agent load this."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from contract.dataclass import dataclass

from ..frame.files import write_atomically
from ..frame.layout import Layout
from ..frame.wait import until
from .wire import Connection, ErrorReply, Former, Own, Server, Unreachable

SHOP = "shop"  # Sentinel's name for the group
SENTINEL_PORT = 26379
QUORUM = 2  # of three
ASK_S = 2.0
AWAKE_S = 5  # a Sentinel says something each second

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
        """From `/etc/dr/redis.json`, also as it was before a site could have several; None where there is none that can be read."""
        try:
            found = json.loads((layout.etc / "redis.json").read_bytes())
            listed = {
                "members": found.get("members") or [found["local"]],
                "peers": found.get("peers") or [found["peer"]],
            }
            own = Own(found["cert"], found["key"]) if "cert" in found else None
            beside = found.get("beside") or {}
            word = beside.get("password")
            former = Former(found["ca"], word, own) if word else None
            members, peers = (
                tuple(
                    Server(**it, ca=found["ca"], user="dr_operator", password=found["password"], own=own, former=former)
                    for it in listed[key]
                )
                for key in ("members", "peers")
            )
            secret, second = found.get("sentinel"), beside.get("sentinel")
            sentinels = tuple(sentinel_of(member, secret, second) for member in members) if secret else ()
            local = next(member for member in members if member.name == found["local"]["name"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
            return None
        return cls(local, members, peers, sentinels)


@dataclass(frozen=True)
class Word:
    """Sentinel's. `leader`: an address, None while another one is being chosen; `answers`: how many said so or older things.

    `others`: how many of its kind the one knows that knows fewest.
    """

    leader: str | None
    answers: int
    others: int


def sentinel_of(member: Server, password: str, beside: str | None = None) -> Server:
    """The Sentinel beside a cache. `beside`: what it may sign in by as well."""
    former = Former(member.ca, beside, member.own) if beside else None
    return Server(member.name, member.address, SENTINEL_PORT, member.ca, "default", password, member.own, former)


def side_by_side(ask: Callable[[Server], A], servers: Iterable[Server]) -> list[A]:
    """Ask all at once: each that is dead costs its whole time-out."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - the agent, which must stay small, hardly ever asks

    asked = list(servers)
    with ThreadPoolExecutor(max(len(asked), 1)) as pool:
        return list(pool.map(ask, asked))


def word(sentinels: Sequence[Server], own: str | None = None) -> Word | None:
    """The newest word of those that answer; None when fewer than QUORUM do.

    Nobody leads for as long as one of them has another chosen, for the others hear of it last; nor when the leader is `own`, a cache that does
    not run, and they have missed it already: another will be chosen.
    """
    found = [one for one in side_by_side(_ask, sentinels) if one is not None]
    if len(found) < QUORUM:
        return None
    newest = max(found, key=lambda one: one.changes)
    choosing = any("failover_in_progress" in one.flags for one in found)
    missed = newest.leader == own and any("s_down" in one.flags for one in found)
    return Word(None if choosing or missed else newest.leader, len(found), min(one.others for one in found))


def await_word(sentinels: Sequence[Server], own: str, limit_s: float) -> Word | None:
    """The same, for as long as `limit_s` seconds until somebody leads: Sentinels start with their hosts."""
    found: list[Word | None] = [None]

    def heard() -> bool:
        found[0] = word(sentinels, own)
        return found[0] is not None and found[0].leader is not None

    until(heard, limit_s, 0.5)
    return found[0]


@dataclass(frozen=True)
class _Answer:
    """One Sentinel's: its count of changes, the leader's address, what it thinks of it, and how many others it knows."""

    changes: int
    leader: str
    flags: tuple[str, ...]
    others: int


def _ask(sentinel: Server) -> _Answer | None:
    try:
        with Connection(sentinel, ASK_S) as connection:
            flat = connection.call("SENTINEL", "MASTER", SHOP)
    except (Unreachable, ErrorReply):
        return None
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return _Answer(
        int(fields["config-epoch"]),
        str(fields["ip"]),
        tuple(fields["flags"].split(",")),
        int(fields["num-other-sentinels"]),
    )


def watchers(leader: Server) -> int:
    """How many Sentinels watch this cache just now. Raises Unreachable and ErrorReply."""
    with Connection(leader) as connection:
        listed = str(connection.call("CLIENT", "LIST")).splitlines()
    clients = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in listed]
    return sum(
        client.get("name", "").startswith("sentinel-")
        and client["name"].endswith("-cmd")
        and int(client["idle"]) < AWAKE_S
        for client in clients
    )


def forget(sentinels: Iterable[Server]) -> None:
    """Have them let go of their caches, as far as they can be reached: they choose nobody from then on."""
    side_by_side(_forget, sentinels)


def _forget(sentinel: Server) -> None:
    try:
        with Connection(sentinel, ASK_S) as connection:
            connection.call("SENTINEL", "REMOVE", SHOP)
    except (ErrorReply, Unreachable):
        return  # it has let go already, or whoever asked counts those that still watch


def role_of(server: Server) -> str | None:
    """`master` or `slave`, in the server's own words; None when it does not answer."""
    try:
        with Connection(server, ASK_S) as connection:
            return str(connection.call("ROLE")[0])
    except (Unreachable, ErrorReply):
        return None


def point(conf: Path, leader: Server | None) -> None:
    """Make the server, when it starts next, follow `leader`, or lead when that is None. Raises OSError."""
    text, status = conf.read_text(), conf.stat()
    lines = [line for line in text.splitlines() if not line.startswith("replicaof ")]
    if leader is not None:
        lines.append(f"replicaof {leader.address} {leader.port}")
    wanted = "\n".join(lines) + "\n"
    if wanted != text:
        write_atomically(conf, wanted.encode(), status.st_mode & 0o7777, (status.st_uid, status.st_gid))
