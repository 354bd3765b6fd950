"""Who reaches which port: between hosts, from the internet, from operators, over IPv6 and from an address that is nobody's."""

from __future__ import annotations

from contract.hosts import PORTS
from tests.refused.ground import INTERNET, INTRUDER, OPERATOR, STRANGER, Ground
from tests.refused.probes import tcp
from tests.refused.row import Allowed, Call, Row

SSH, HTTP, HTTPS, HEALTH, FORWARD = (PORTS[name] for name in ("ssh", "http", "https", "health", "forward"))
POSTGRES, REDIS, SENTINEL, LEASE = PORTS["postgres"], PORTS["redis"], PORTS["sentinel"], PORTS["lease"]
DROPPED = ("dropped",)
AWAY = ("dropped", "no route")  # a private address of another network
NAMES = {number: name for name, number in PORTS.items()}


def vrack(source: str, host: str, port: int) -> Call:
    def call(ground: Ground) -> str:
        with ground.at(source):
            return tcp(ground.vrack(host), port)

    return call


def front(source: str, host: str, port: int) -> Call:
    def call(ground: Ground) -> str:
        with ground.at(source):
            return tcp(ground.front(host), port)

    return call


def public(source: str, what: str, port: int) -> Call:
    """`what`: "entrance" or "bastion"."""

    def call(ground: Ground) -> str:
        with ground.at(source):
            address = ground.entrance("a") if what == "entrance" else ground.bastion("a")
            return tcp(address, port, STRANGER if source == INTERNET else None)

    return call


def link_local(source: str, host: str, port: int) -> Call:
    """Over IPv6 on the vRack: every interface has such an address without being given one."""

    def call(ground: Ground) -> str:
        told = ground.run(host, "ip -6 -o address show dev ens4 scope link").stdout.split()
        if not told:
            return "no address"
        with ground.at(source):
            return tcp(f"{told[3].split('/')[0]}%ens4", port)

    return call


def intruder(host: str, port: int) -> Call:
    """From a machine on the vRack that is none of ours: its address is put beside a host's own, as who owns a host can."""

    def call(ground: Ground) -> str:
        with ground.at("cache-1.a"):
            return tcp(ground.vrack(host), port, INTRUDER)

    return call


def outward(source: str) -> Call:
    """To an address of the internet where something answers on a port that is not listed: the lab's API of OVHcloud, which no host has business with."""

    def call(ground: Ground) -> str:
        address, port = ground.world.config["dr:ovh"]["endpoint"].split("/")[2].split(":")
        with ground.at(source):
            return tcp(address, int(port))

    return call


def witness(source: str) -> Call:
    """A way out that is listed."""

    def call(ground: Ground) -> str:
        address, port = ground.world.config["dr:witness"]["endpoint"].split("/")[2].split(":")
        with ground.at(source):
            return tcp(address, int(port))

    return call


# On the vRack: (from, to, ports)
VRACK = (
    ("app-1.a", "db-1.a", (SSH, LEASE)),
    ("app-1.a", "cache-1.a", (SSH, LEASE, SENTINEL)),
    ("app-1.a", "control-1.a", (SSH, POSTGRES)),
    ("app-1.a", "app-2.a", (SSH, HTTP, HTTPS, HEALTH)),
    ("app-1.a", "cache-1.b", (SSH, LEASE)),
    ("cache-1.a", "db-1.a", (SSH, POSTGRES, LEASE)),
    ("cache-1.a", "app-1.a", (SSH, HTTPS, FORWARD)),
    ("cache-1.a", "db-1.b", (SSH, POSTGRES, LEASE)),
    ("db-1.a", "cache-1.a", (SSH, REDIS, LEASE)),
    ("db-1.a", "app-1.a", (SSH, FORWARD, HEALTH)),
    ("db-1.a", "control-1.a", (SSH,)),
    ("db-1.a", "db-1.b", (SSH,)),
    ("db-1.a", "cache-1.b", (REDIS, LEASE)),
    ("control-1.a", "db-1.a", (LEASE,)),
    ("control-1.a", "cache-1.a", (LEASE, SENTINEL)),
    ("app-1.b", "db-1.a", (SSH, LEASE)),
    ("app-1.b", "control-1.a", (SSH,)),
)
FRONT = (
    ("app-1.a", "db-1.a", (SSH, POSTGRES)),
    ("app-1.a", "cache-1.a", (REDIS,)),
    ("app-1.a", "app-2.a", (SSH, FORWARD)),
    ("db-1.a", "app-1.a", (SSH, HTTP, FORWARD)),
    ("control-1.a", "db-1.a", (POSTGRES,)),
)
ELSEWHERE = (("app-1.a", "app-1.b", (HTTPS, HEALTH)), ("control-1.a", "db-1.b", (SSH, POSTGRES)))


def _private() -> list[Row]:
    found = [
        Row(
            who=who,
            what=f"{to} {NAMES[port]} {port}",
            wanted=DROPPED,
            call=vrack(who, to, port),
            closed_by=f"rules of {to.split('-')[0]}",
        )
        for who, to, ports in VRACK
        for port in ports
    ]
    found += [
        Row(
            who=who,
            what=f"front of {to} {port}",
            wanted=DROPPED,
            call=front(who, to, port),
            closed_by=f"rules of {to.split('-')[0]}",
        )
        for who, to, ports in FRONT
        for port in ports
    ]
    found += [
        Row(
            who=who,
            what=f"front of {to} {port}",
            wanted=AWAY,
            call=front(who, to, port),
            closed_by="regions are no network of each other",
        )
        for who, to, ports in ELSEWHERE
        for port in ports
    ]
    return found


def _public() -> list[Row]:
    found = [
        Row(
            who="internet",
            what=f"entrance {port}",
            wanted=("dropped", "refused"),
            call=public(INTERNET, "entrance", port),
            closed_by="the balancer's listeners",
        )
        for port in (SSH, POSTGRES, HEALTH, FORWARD)
    ]
    found += [
        Row(
            who="internet",
            what=f"bastion {port}",
            wanted=DROPPED,
            call=public(INTERNET, "bastion", port),
            closed_by="rules of control",
        )
        for port in (SSH, HTTPS)
    ]
    found += [
        Row(
            who="operator",
            what=f"bastion {port}",
            wanted=DROPPED,
            call=public(OPERATOR, "bastion", port),
            closed_by="rules of control",
        )
        for port in (POSTGRES, REDIS, LEASE, HEALTH)
    ]
    found += [
        Row(
            who="internet",
            what=f"{host}'s own address",
            wanted=AWAY,
            call=front(OPERATOR, host, port),
            closed_by="hosts have no public address",
        )
        for host, port in (("db-1.a", POSTGRES), ("cache-1.a", REDIS), ("app-1.a", HTTPS))
    ]
    return found


def _unknown() -> list[Row]:
    found = [
        Row(
            who="app-1.a over IPv6",
            what=f"{host} {port}",
            wanted=DROPPED,
            call=link_local("app-1.a", host, port),
            closed_by=f"rules of {host.split('-')[0]} for IPv6",
        )
        for host, port in (("db-1.a", SSH), ("cache-1.a", REDIS))
    ]
    return found + [
        Row(
            who="unknown address on the vRack",
            what=f"{host} {port}",
            wanted=DROPPED,
            call=intruder(host, port),
            closed_by=f"rules of {host.split('-')[0]}",
        )
        for host, port in (("db-1.a", POSTGRES), ("app-1.a", FORWARD), ("control-1.a", SSH))
    ]


NARROWED = [
    Row(
        who="control-1.a",
        what="db-1.a postgres 5432",
        wanted=DROPPED,
        call=vrack("control-1.a", "db-1.a", POSTGRES),
        closed_by="rules of db",
    ),
    Row(
        who="db-1.a",
        what="front of app-1.a 443",
        wanted=DROPPED,
        call=front("db-1.a", "app-1.a", HTTPS),
        closed_by="rules of app",
    ),
    *(
        Row(
            who=who,
            what="internet",
            wanted=DROPPED,
            call=outward(who),
            closed_by="ways out by list",
        )
        for who in ("db-1.a", "cache-1.a", "app-1.a")
    ),
]
ROWS = [*_private(), *_public(), *_unknown(), *NARROWED]
ALLOWED = [
    Allowed(who="app-1.a", what="db-1.a postgres", answer="open", call=vrack("app-1.a", "db-1.a", POSTGRES)),
    Allowed(who="app-1.a", what="cache-1.a redis", answer="open", call=vrack("app-1.a", "cache-1.a", REDIS)),
    Allowed(who="app-1.a", what="app-1.b forward", answer="open", call=vrack("app-1.a", "app-1.b", FORWARD)),
    Allowed(who="db-1.a", what="db-1.b lease", answer="open", call=vrack("db-1.a", "db-1.b", LEASE)),
    Allowed(who="control-1.a", what="db-1.a ssh", answer="open", call=vrack("control-1.a", "db-1.a", SSH)),
    *(
        Allowed(who=who, what="the witness", answer="open", call=witness(who))
        for who in ("db-1.a", "cache-1.a", "app-1.a")
    ),
    Allowed(who="internet", what="entrance 443", answer="open", call=public(INTERNET, "entrance", HTTPS)),
    Allowed(who="internet", what="entrance 80", answer="open", call=public(INTERNET, "entrance", HTTP)),
    Allowed(who="operator", what="bastion 22", answer="open", call=public(OPERATOR, "bastion", SSH)),
]
