"""What Redis is told on disk: `dr.conf`, `dr.acl`, certificates, drop-ins.

The file is the whole truth: it is rendered from the document and from the role, never edited by `CONFIG REWRITE`, and every
directive in it is compared with the running server.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from contract.dataclass import dataclass
from contract.documents import Trusted
from contract.errors import Usage
from contract.hosts import MAX_CACHE_REPLICAS
from contract.services import redis
from contract.services.redis import SHOP

from ..frame.desired import Envelope, read
from ..frame.files import ManagedFile
from ..frame.layout import Layout
from ..frame.systemd import drop_in, guard_drop_in
from .engine import Engine
from .leader import Access
from .sizes import Link
from .takeover import LastSeen
from .wire import Former, Own, Server

REPLICA, OPERATOR, SENTINEL = "dr_replica", "dr_operator", "dr_sentinel"
ARMED = "min-replicas-to-write"
LENT = 8  # more followers than there are: a standby's cache that leads while the other site takes its keys back refuses every write
SIZES = (1, 1 + MAX_CACHE_REPLICAS)  # how many caches a site may have

# What a shop does: keys of any name and of any kind, transactions, and channels of any name but those with two underscores, which are the
# server's own and Sentinel's: who speaks there says who leads. Whatever has power over the server or over all keys is left out by its category.
_SHOP = (
    "~* resetchannels &[^_]* &_[^_]* -@all +@string +@hash +@list +@set +@sortedset +@bitmap +@hyperloglog +@geo +@stream +@keyspace +@transaction"
    " +@pubsub +@connection -@scripting -@admin -@dangerous +role"
)
# A script runs with its caller's rights; functions, which stay when the caller has gone, are nobody's.
_SCRIPTING = " +eval +evalsha +script|load +script|exists +info"
# The operator may look, replicate, hand over and empty, and sees no data.
_RULES = {
    REPLICA: "resetkeys resetchannels -@all +psync +replconf +ping",
    OPERATOR: "resetkeys resetchannels -@all +@connection +client +info +role +replicaof +config|get +config|set +acl|load +save +flushall",
    # What it does to a server that it chooses or turns; it may not have the server rewrite its file.
    SENTINEL: "resetkeys resetchannels &__sentinel__:hello -@all +ping +multi +exec +slaveof +replicaof"
    " +publish +subscribe +info +role +client|setname +client|kill +script|kill",
}


@dataclass(frozen=True)
class Desired:
    """The block `redis` of the document with what it needs of the envelope."""

    envelope: Envelope = field(repr=False)
    port: int
    maxmemory: int  # bytes
    policy: str  # when maxmemory is reached
    link: Link
    min_replicas: int  # a master without so many replicas refuses writes; 0: it never does
    scripting: bool  # whether the shop may run Lua
    cold: bool  # whether a takeover without the old master begins empty
    last_seen: LastSeen
    passwords: dict[str, str] = field(repr=False)  # by user
    taken: dict[str, str] = field(repr=False)  # by user, what is taken of them besides
    tls: Trusted = field(repr=False)  # this cache's among the caches
    local: Server
    members: tuple[Server, ...]  # caches of this site, this one among them, the head first
    peers: tuple[Server, ...]  # caches of the other site, its head first

    @classmethod
    def read(cls, document: dict[str, object]) -> Desired:
        """Raises Usage that names every fault."""
        envelope, block = read(document, "redis", redis.Block)
        port, own, theirs = block.port, block.caches, block.peer_caches
        _listed(envelope, own, theirs)
        passwords = {SHOP: block.passwords.app, REPLICA: block.passwords.replica, OPERATOR: block.passwords.operator}
        # Of this site alone: one of the other site's that nobody could stop takes no job from a queue here.
        passwords[redis.worker(envelope.site)] = block.passwords.app
        besides = {SHOP: block.passwords.app_beside, REPLICA: block.passwords.replica_beside}
        besides[redis.worker(envelope.site)] = block.passwords.app_beside
        second = besides[OPERATOR] = block.passwords.operator_beside
        replicas = block.min_replicas_to_write
        if len(own) > 1:
            replicas = 1  # a leader that is cut off from its followers must not write beside the one that they choose
            passwords[SENTINEL] = sentinel_password(passwords[OPERATOR], envelope.site)
            besides[SENTINEL] = sentinel_password(second, envelope.site) if second else None

        shown = Own(block.tls.cert, block.tls.key)
        former = Former(block.tls.ca, second, shown) if second else None

        def server(key: str) -> Server:
            host = envelope.hosts[key]
            return Server(host.name, host.vrack, port, block.tls.ca, OPERATOR, passwords[OPERATOR], shown, former)

        members, peers = tuple(map(server, own)), tuple(map(server, theirs))
        return cls(
            envelope=envelope,
            port=port,
            maxmemory=redis.size(block.maxmemory) or 0,
            policy=block.maxmemory_policy,
            link=Link(redis.size(block.write_rate) or 0, block.bridge_s, block.link_mbit * 125_000),
            min_replicas=replicas,
            scripting=block.scripting,
            cold=block.cold_cache,
            last_seen=LastSeen(block.peer_offset, block.peer_replication_id, block.peer_keys),
            passwords=passwords,
            taken={user: word for user, word in besides.items() if word is not None},
            tls=block.tls,
            local=members[own.index(envelope.own_key)],
            members=members,
            peers=peers,
        )

    def beside(self, before: Access | None) -> Desired:
        """The same, with servers that are also reached by what was good before this run, for they may not have heard of the new yet."""
        if before is None or (before.local.ca, before.local.password) == (self.local.ca, self.local.password):
            return self
        former = Former(before.local.ca, before.local.password, before.local.own)

        def both(servers: tuple[Server, ...]) -> tuple[Server, ...]:
            return tuple(replace(server, former=former) for server in servers)

        return replace(
            self, local=replace(self.local, former=former), members=both(self.members), peers=both(self.peers)
        )

    @property
    def grouped(self) -> bool:
        """Whether this site has several caches, and Sentinel."""
        return len(self.members) > 1

    @property
    def head(self) -> Server:
        """This site's cache that takes over."""
        return self.members[0]

    @property
    def operator(self) -> str:
        """The operator's password."""
        return self.passwords[OPERATOR]

    @property
    def memory(self) -> int:
        """Bytes that data and buffers of replication may come to need."""
        return self.link.memory(self.maxmemory)


def _listed(envelope: Envelope, own: Sequence[str], theirs: Sequence[str]) -> None:
    """Raises Usage unless both sites have as many caches as a site may have, and this host is one of them."""
    faults = [
        f"document.redis.{name}: found {len(listed)} of them, wanted {' or '.join(map(str, SIZES))} keys of document.hosts"
        for name, listed in (("caches", own), ("peer_caches", theirs))
        if len(listed) not in SIZES or any(key not in envelope.hosts for key in listed)
    ]
    if envelope.own_key not in own:
        faults.append(f"document.redis.caches: found a list without {envelope.own_key!r}, wanted one with it")
    if faults:
        raise Usage(f"{'; '.join(faults)}; nothing was changed; correct the document")


def directives(desired: Desired, engine: Engine, layout: Layout, *, armed: bool = False) -> dict[str, str]:
    """Every directive but `replicaof`, spelled as CONFIG GET spells it (sizes in bytes).

    `armed`: a master with its replica attached. Without it `min_replicas` is not asked for: a cache that was just promoted has no
    replica yet, and would refuse every write.
    """
    etc = layout.at(engine.etc)
    return {
        "bind": desired.local.address,
        "protected-mode": "yes",
        "port": "0",
        "tls-port": str(desired.port),
        "tls-cert-file": str(etc / "dr.crt"),
        "tls-key-file": str(etc / "dr.key"),
        "tls-ca-cert-file": str(etc / "dr-ca.pem"),
        "tls-auth-clients": "yes",
        "tls-replication": "yes",
        "aclfile": str(etc / "dr.acl"),
        # On both nodes from the start: a demoted master without them could never follow.
        "masteruser": REPLICA,
        "masterauth": desired.passwords[REPLICA],
        "dir": str(layout.at(engine.data)),
        "dbfilename": "dr.rdb",
        "save": "3600 1 300 100 60 10000",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "appenddirname": "dr-aof",
        "appendfilename": "dr.aof",
        # A session that may be stale is worse than none; the shop asks the other cache.
        "replica-serve-stale-data": "no",
        "replica-read-only": "yes",
        # One whose disk is full keeps all keys in memory and can take over with them. By default it ends itself, and its files have fewer.
        "replica-ignore-disk-write-errors": "yes",
        # A host has two networks; who lists replicas must see the address that others use.
        "replica-announce-ip": desired.local.address,
        "replica-announce-port": str(desired.port),
        "repl-diskless-sync": "yes",
        "repl-diskless-sync-delay": "0",
        # What it holds stays until the copy is whole: one that breaks off, or that is in a newer format, would leave an empty replica.
        "repl-diskless-load": "swapdb",
        "repl-backlog-size": str(desired.link.backlog()),
        "repl-backlog-ttl": "0",
        "repl-timeout": "60",
        # Room for one full copy on its way to the other region, or a slow link never gets one through.
        "client-output-buffer-limit": f"replica {desired.link.replica_buffer(desired.maxmemory)} 0 0",
        ARMED: str(desired.min_replicas if armed else 0),
        "min-replicas-max-lag": "10",
        "maxmemory": str(desired.maxmemory),
        "maxmemory-policy": desired.policy,
        # A replica that evicted by itself would hold other keys than its master.
        "replica-ignore-maxmemory": "yes",
        # A replica that lags is not waited for at the end: a lease that ran out leaves no time, and the files have it all.
        "shutdown-timeout": "2",
        "timeout": "0",
        "tcp-keepalive": "60",
    }


def conf(settings: Mapping[str, str], replica_of: Server | None) -> str:
    """The text of `dr.conf`. `replica_of`: the master, None for a master."""
    lines = ["# Written by dr-host; changes are overwritten."]
    lines += [f"{name} {_value(name, value)}" for name, value in settings.items()]
    if replica_of is not None:
        lines.append(f"replicaof {replica_of.address} {replica_of.port}")
    return "\n".join(lines) + "\n"


def _value(name: str, value: str) -> str:
    return value if name in ("save", "client-output-buffer-limit") else quoted(value)


def quoted(value: str) -> str:
    """A value as one word of a configuration file, whatever is in it."""
    if value and all(char.isascii() and (char.isalnum() or char in "/._-:") for char in value):
        return value
    return (
        '"'
        + "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\x{byte:02x}" for byte in value.encode())
        + '"'
    )


def acl(passwords: Mapping[str, str], scripting: bool = False, taken: Mapping[str, str] | None = None) -> str:
    """The text of `dr.acl`: digests only, hence nothing to escape and nothing to steal. Without its line, `default` would be open.

    Nobody can be `default`: it is off and has no password, and who has not signed in is refused whatever it may do. But the server reads its own file
    as that user, and leaves out each transaction of it that `default` may not do.
    """
    lines = ["user default off sanitize-payload resetpass ~* &* +@all"]
    for user, password in passwords.items():
        words = dict.fromkeys(filter(None, (password, (taken or {}).get(user))))
        digests = " ".join(f"#{hashlib.sha256(word.encode()).hexdigest()}" for word in words)
        rules = _RULES[user] if user in _RULES else _SHOP + (_SCRIPTING if scripting else "")
        lines.append(f"user {user} on {digests} {rules}")
    return "\n".join(lines) + "\n"


def sentinel_password(operator: str, site: str) -> str:
    """Of a site's Sentinels, and theirs at its caches: made of the operator's, and another one in each site."""
    return hmac.new(operator.encode(), f"sentinel of {site}".encode(), hashlib.sha256).hexdigest()


def local_access(desired: Desired) -> str:
    """`/etc/dr/redis.json`: how agent, guard and `status` reach the servers without a document."""

    def place(server: Server) -> dict[str, object]:
        return {"name": server.name, "address": server.address, "port": server.port}

    found = {
        "local": place(desired.local),
        "members": [*map(place, desired.members)],
        "peers": [*map(place, desired.peers)],
    }
    word, tls = desired.passwords.get(SENTINEL), desired.tls
    return (
        json.dumps(
            {
                **found,
                "ca": tls.ca,
                "cert": tls.cert,
                "key": tls.key,
                "password": desired.operator,
                "sentinel": word,
                # Taken besides: another host of the pair may not have turned yet, or has turned before this one.
                "beside": {
                    name: desired.taken.get(user) for name, user in (("password", OPERATOR), ("sentinel", SENTINEL))
                },
            },
            sort_keys=True,
        )
        + "\n"
    )


def files(
    desired: Desired, engine: Engine, layout: Layout, *, follows: Server | None, armed: bool = False
) -> list[ManagedFile]:
    """Every file of ours, in the order in which they are written. `follows`: None for a master."""
    etc, tls, user = layout.at(engine.etc), desired.tls, engine.user
    text = conf(directives(desired, engine, layout, armed=armed), follows)
    command = f"{engine.binary} {etc / 'dr.conf'} --supervised systemd --daemonize no"
    unit = (
        # Refused by the guard, it asks again every few seconds: a region that comes back heals without a visitor. One that crashed is back before
        # Sentinel has missed it.
        f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=\nExecStart={command}\n"
        f"Restart=on-failure\nRestartSec={1 if desired.grouped else 5}\nTimeoutStopSec=30\n"
        # Sessions and carts of everybody: nobody else of this host reads them.
        f"StateDirectory={engine.data.rsplit('/', maxsplit=1)[-1]}\nStateDirectoryMode=0700\nUMask=0077\n"
    )
    return [
        ManagedFile(path=etc / "dr-ca.pem", content=tls.ca, owner=user),
        ManagedFile(path=etc / "dr.crt", content=tls.cert, owner=user),
        ManagedFile(path=etc / "dr.key", content=tls.key, mode=0o600, owner=user),
        ManagedFile(
            path=etc / "dr.acl",
            content=acl(desired.passwords, desired.scripting, desired.taken),
            mode=0o600,
            owner=user,
        ),
        ManagedFile(path=etc / "dr.conf", content=text, mode=0o600, owner=user),
        ManagedFile(path=layout.etc / "redis.json", content=local_access(desired), mode=0o600),
        guard_drop_in(layout, engine.unit, "redis"),
        drop_in(layout, engine.unit, "dr-redis", unit),
    ]
