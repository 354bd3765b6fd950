"""The cache: what is configured of it (`dr:redis`) and what `redis converge` is told."""

from __future__ import annotations

from collections.abc import Iterator

from ..checks import Check, Unwanted, boolean, integer, listing, one_of, optional, password, password_or_none, text
from ..dataclass import dataclass
from ..documents import Trusted
from ..fields import Contradiction, key, part
from ..forms import HOST_KEY, ID
from ..hosts import MAX_CACHE_REPLICAS, PORTS

POLICIES = (
    *("volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random"),
    *("allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"),
)
SHOP = "shop"  # the user that the shop is
UNITS = {"": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_BUFFERS = "buffers of replication cannot be sized"


def worker(site: str) -> str:
    """By what name a site's workers sign in at its caches. Those of the other site do not know it."""
    return f"shop_worker_{site}"


def size(words: str) -> int | None:
    """Bytes of "256mb" and the like; None when it is no size."""
    digits = words.lower().rstrip("bgkm")
    unit = UNITS.get(words.lower()[len(digits) :])
    return int(digits) * unit if digits.isdigit() and unit else None


def _replicas(value: object) -> int:
    """With two cache hosts neither is a majority: one dead host, or one cut link, and none could lead."""
    if value not in (0, MAX_CACHE_REPLICAS) or isinstance(value, bool):
        raise Unwanted(REPLICAS.wanted)
    return int(str(value))


REPLICAS = Check(f"0 (one cache host in a region) or {MAX_CACHE_REPLICAS} (three, and Sentinel)", _replicas)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """`dr:redis`."""

    maxmemory: str = key(
        text(r"[1-9][0-9]*(mb|gb)", "a size that Redis knows, like 256mb"),
        "limit of keys in memory. A replica ignores it until it is promoted",
        why="the cache grows until the kernel kills it",
    )
    maxmemory_policy: str = key(
        one_of(*POLICIES),
        "what goes when the limit is reached. `allkeys-` policies let go of queues too: refused where a process of the shop runs Sidekiq or Resque",
        default="volatile-lru",
        why="Redis does not know what to do when it is full",
    )
    write_rate: str = key(
        text(r"[1-9][0-9]*(kb|mb)", "a size, written in one second, like 512kb"),
        "what is written in one second, as replication carries it; above half of what `link_mbit` carries it is refused",
        default="512kb",
        unit="a second",
        why=_BUFFERS,
    )
    bridge_s: int = key(
        integer(10, 3600),
        "the cut of the link that a replica should get over: the backlog holds what is written meanwhile (at least 16 MB), after a longer cut "
        "the replica takes a full copy",
        default=120,
        unit="s",
        why=_BUFFERS,
    )
    link_mbit: int = key(
        integer(1, 100_000),
        "what the link between the regions carries: the replica's output buffer holds what is written during a full copy",
        default=100,
        unit="Mbit/s",
        why=_BUFFERS,
    )
    min_replicas_to_write: int = key(
        integer(0, 1),
        "1: the master refuses writes when no replica confirmed within 10 s. An unplanned takeover loses 10 s at most, and a cut of the link "
        "alone stops carts and sessions. Lifted by a promotion, set again by the run that brings the replica back",
        default=0,
        why="the cache would wait for replicas that it does not have",
    )
    cold_cache: bool = key(
        boolean,
        "an unplanned takeover whose old master is gone begins with an empty cache (stale locks and idempotency keys are gone with the carts); "
        "also: an active cache whose data is gone may start although nobody can say whether the other one holds keys, and a standby may follow "
        "an empty master. Without it each of these keeps the keys, or is refused with what to do",
        default=False,
        why="it is not clear whether carts may be given up",
    )
    scripting: bool = key(
        boolean,
        "the shop may run Lua in the cache (`EVAL`, `EVALSHA`, `SCRIPT LOAD`) and ask for `INFO`: Sidekiq does both. A script may do what the shop may, "
        "and keeps everybody waiting until it ends; functions stay refused",
        default=False,
        why="it is not clear whether the shop may run programs in the cache",
    )
    cache_replicas: int = key(
        REPLICAS,
        "2: three cache hosts in each region, `cache-1` to `cache-3`, and Sentinel, which has another lead when the leader's host dies "
        "(decision 12). The active region first. A leader without any follower refuses writes. Back to 0 only while `cache-1` leads, which it "
        "does after a move: otherwise refused",
        default=0,
        why="Sentinel cannot tell a dead cache from a cut link",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """A full copy has to get through beside what is written meanwhile."""
        written, carried = size(self.write_rate) or 0, self.link_mbit * 125_000
        if 2 * written > carried:
            yield Contradiction(
                "write_rate",
                repr(self.write_rate),
                f"at most half of what dr:redis.link_mbit ({self.link_mbit}) carries",
                "a full copy of the cache would never catch up with what is written meanwhile",
                "correct the two figures, or keep the cache in one region",
            )


@dataclass(frozen=True, kw_only=True)
class Passwords:
    """Of the cache's users."""

    app: str = key(password, "of the shop", secret=True)
    replica: str = key(password, "of the replicas", secret=True)
    operator: str = key(password, "of who looks, replicates, hands over and empties", secret=True)
    app_beside: str | None = key(
        password_or_none, "taken of the shop as well while it is rotated; null: it is not", default=None, secret=True
    )
    replica_beside: str | None = key(password_or_none, "the same of the replicas", default=None, secret=True)
    operator_beside: str | None = key(
        password_or_none, "the same of who looks, and of Sentinels, whose word is made of it", default=None, secret=True
    )


@dataclass(frozen=True, kw_only=True)
class Block(Keys):
    """What `redis converge` is told beside the keys of `dr:redis`."""

    port: int = key(integer(1, 65535), "where the server listens, TLS only", default=PORTS["redis"])
    passwords: Passwords = part(Passwords, "of the users")
    tls: Trusted = part(Trusted, "this cache's, to its clients and as one of the others, and the caches' CA")
    caches: tuple[str, ...] = key(listing(HOST_KEY, at_least=1), "keys of the own site's caches, the head first")
    peer_caches: tuple[str, ...] = key(listing(HOST_KEY, at_least=1), "keys of the other site's caches, the head first")
    peer_offset: int | None = key(
        optional(integer(0, 2**63 - 1)), "of the old master's last heartbeat; null: unknown", default=None
    )
    peer_replication_id: str | None = key(optional(ID), "the stream that it counts", default=None)
    peer_keys: int | None = key(optional(integer(0, 2**63 - 1)), "how many keys it had then", default=None)
