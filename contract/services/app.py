"""The shop's app hosts: what is configured of them (`dr:app`) and what `app converge` is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..buckets import Bucket
from ..checks import boolean, cidr, integer, listing, password, password_or_none, port, text
from ..dataclass import dataclass
from ..documents import Certificate, Trusted
from ..fields import Contradiction, key, part, parts
from ..forms import DATABASE, DOMAIN, HOST_KEY
from ..hosts import MAX_APP_HOSTS
from ..limits import RELEASE_S
from . import environment, web
from .postgres import PAIRS
from .processes import ENVIRONMENT, Process, contradictions


@dataclass(frozen=True, kw_only=True)
class Keys(web.Keys):
    """`dr:app`."""

    hosts: int = key(integer(1, MAX_APP_HOSTS), "app hosts of a site", default=2, why="the shop has no hosts")
    threads: int = key(
        integer(1, 64),
        "of each Puma process, and of whatever asks for RAILS_MAX_THREADS",
        default=5,
        why="Puma does not start",
    )
    workers: int = key(
        integer(0, 32), "Puma processes of a host (WEB_CONCURRENCY)", default=1, why="Puma does not start"
    )
    processes: Mapping[str, Process] = parts(
        Process,
        "the shop's processes by their names in the release's Procfile; one that is not named here runs once on each app host",
        names=None,
        optional=True,
        why="the shop's processes are not known",
    )
    env: Mapping[str, str] = key(
        ENVIRONMENT,
        "variables of the environment of all processes, beside those of docs/your-shop.md. A value may have places that are filled, as {database.url} or "
        "{secret.NAME}, a secret that stands under `app` in dr:secrets",
        default={},
        why="the shop is not told what it needs",
    )
    release_limit_s: int = key(
        integer(10, RELEASE_S),
        "how long the release's own process `release` may take (migrations), after that it is killed and the run fails",
        default=300,
        unit="s",
        why="migrations could hang for ever",
    )
    client_max_body_mb: int = key(
        integer(1, 2048),
        "largest body of a request: what is larger is answered with 413 before it reaches the shop",
        default=10,
        unit="MB",
        why="uploads are refused, or fill the disk",
    )
    outgoing_ports: tuple[str, ...] = key(
        listing(port),
        "TCP ports beside 80 and 443 on which the app hosts may reach anybody, for a shop that sends mail (587) or the like",
        default=(),
        why="the shop cannot reach what it needs, or may reach what it does not",
    )
    client_rate: int = key(
        integer(0, 100_000),
        "requests that an app host takes from one client address, with those of five seconds at once: what is more is answered with 429 and Retry-After "
        "before it reaches the shop; many customers share an address; 0: no limit",
        default=200,
        unit="1/s",
        why="one client takes the whole shop, or customers behind one address are turned away",
    )
    ruby: str = key(
        text(r"[1-9]\.[0-9]{1,2}", "a version of Ruby, X.Y"),
        "the Ruby of the app hosts: `drctl build` refuses a release that asks for another, or whose gems were built by one. Debian 13 has 3.3",
        default="3.3",
        why="a release could be delivered that does not start",
    )
    release_max_mb: int = key(
        integer(1, 16_384),
        "largest release, packed and unpacked",
        default=1024,
        unit="MB",
        why="a release fills the disk",
    )
    releases_kept: int = key(
        integer(1, 50),
        "releases that stay on an app host, the one that runs among them",
        default=3,
        why="a release fills the disk, or the one before is not there to go back to",
    )
    hsts_s: int = key(
        integer(0, 63_072_000),
        "how long a browser that was here comes by https alone (Strict-Transport-Security); 0 tells browsers to forget it",
        default=86_400,
        unit="s",
        why="a browser refuses the shop for that long when its certificate is not well",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Names that are taken, keys that a process cannot have, and paths that hide each other."""
        yield from super().contradictions()
        yield from contradictions(self.processes)
        yield from environment.contradictions("env", self.env)
        for name, it in self.processes.items():
            yield from environment.contradictions(f"processes.{name}.env", it.env)

    def environments(self) -> list[str]:
        """Every value of them."""
        return [*self.env.values(), *(value for it in self.processes.values() for value in it.env.values())]


@dataclass(frozen=True, kw_only=True)
class Block(Keys):
    """What `app converge` is told beside the keys of `dr:app`. Databases and caches are named local first: libpq tries them in order."""

    turn: bool = key(
        boolean, "whether the role alone is turned: a release that serves is kept, workers start later", default=False
    )
    release: str = key(text(r"/\S+", "an absolute path"), "where the release lies")
    shop_host: str = key(DOMAIN, "the shop's public name")
    shop_aliases: tuple[str, ...] = key(listing(DOMAIN), "further names of it", default=())
    serve_aliases: bool = key(boolean, "whether they are served; else they lead to the first name", default=False)
    shop_tls: Certificate = part(Certificate, "of all these names")
    acme: bool = key(
        boolean,
        "whether nginx shows what this host has taken from the witness, and `shop_tls` until then",
        default=False,
    )
    secret_key_base: str = key(password, "what Rails signs with", secret=True)
    secret_key_base_beside: str | None = key(
        password_or_none,
        "what it reads as well while the other one is rotated; null: nothing else",
        default=None,
        secret=True,
    )
    secrets: Mapping[str, str] = key(
        environment.SECRETS,
        "of `app` of the secrets, those that an environment is filled with",
        default={},
        secret=True,
    )
    databases: tuple[str, ...] = key(listing(HOST_KEY, at_least=1), "keys of the database hosts")
    database: str = key(DATABASE, "the shop's database")
    login: int = key(integer(*PAIRS), "which of the shop's two pairs of logins", default=PAIRS[0])
    database_password: str = key(password, "of its role", secret=True)
    database_tls: Certificate = part(Certificate, "the shop's as a client of the databases, by the name of its role")
    worker_tls: Certificate = part(Certificate, "its workers', by theirs")
    caches: tuple[str, ...] = key(listing(HOST_KEY, at_least=1), "keys of the cache hosts")
    cache_password: str = key(password, "of the shop's user", secret=True)
    cache_tls: Trusted = part(Trusted, "the shop's as a client of the caches, and their CA")
    assets: Bucket = part(Bucket, "the own site's asset bucket, by the shop's user")
    peer_apps: tuple[str, ...] = key(listing(HOST_KEY), "keys of the other site's app hosts")
    balancers: tuple[str, ...] = key(
        listing(cidr(), at_least=1),
        "networks from which the load balancer asks; a PROXY header from elsewhere is refused",
    )
