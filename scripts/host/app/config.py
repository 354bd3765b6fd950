"""What an app host is told, and the environment of the shop's processes that follows from it. Pure. nginx: see `web`; units: `units`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from contract import hosts
from contract.dataclass import dataclass
from contract.errors import Usage
from contract.hosts import APP, PORTS
from contract.services import app, redis
from contract.services.environment import REDIS_DATABASES, database_url, filled, redis_url
from contract.services.postgres import Logins
from contract.services.processes import WEB as WEB_PROCESS
from contract.services.processes import Found

from ..frame.desired import Envelope, read
from .names import BESIDE, CACHES, PUMA, ROLE_FILE, TLS

FIRST_APP = hosts.first(APP)  # the host that migrates


@dataclass(frozen=True, kw_only=True)
class Desired(app.Block):
    """The block of the document, with what it needs of the envelope: names of databases and caches, vRack addresses of the peer's app hosts."""

    envelope: Envelope
    database_names: list[str]
    cache_names: list[str]
    peer_addresses: list[str]

    @classmethod
    def read(cls, document: dict[str, Any]) -> Desired:
        """Raises Usage that names every fault of the block."""
        envelope, block = read(document, "app", app.Block)
        return cls(
            **vars(block),
            envelope=envelope,
            database_names=[envelope.at(key).name for key in block.databases],
            cache_names=[envelope.at(key).name for key in block.caches],
            peer_addresses=[envelope.at(key).vrack for key in block.peer_apps],
        )


@dataclass(frozen=True)
class Login:
    """By which names a process signs in. Those of the active site alone have names that nobody of the other site lets in."""

    database: str
    cache: str


def login(desired: Desired, *, active_only: bool) -> Login:
    names = Logins.pair(desired.login)
    if active_only:
        return Login(names.worker, redis.worker(desired.envelope.site))
    return Login(names.app, redis.SHOP)


def environment(desired: Desired, *, active_only: bool = False) -> dict[str, str]:
    """What the product sets for all processes, by name (docs/your-shop.md)."""
    told, who = places(desired, active_only=active_only), login(desired, active_only=active_only)
    return {
        **libpq(who.database),
        "APP_HOST": desired.shop_host,
        "AWS_ACCESS_KEY_ID": desired.assets.access_key,
        "AWS_ENDPOINT_URL_S3": desired.assets.endpoint,
        "AWS_REGION": desired.assets.region,
        "AWS_SECRET_ACCESS_KEY": desired.assets.secret_key,
        "DATABASE_REPLICA_URL": told["database.replica_url"],
        "DATABASE_URL": told["database.url"],
        "DR_CACHES": ",".join(f"{name}:{PORTS['redis']}" for name in desired.cache_names),
        "DR_CACHE_CA": f"{TLS}/cache-ca.pem",
        "DR_CACHE_CERT": f"{TLS}/cache.crt",
        "DR_CACHE_KEY": f"{TLS}/cache.key",
        "DR_CACHE_PASSWORD": desired.cache_password,
        "DR_CACHE_USER": who.cache,
        "DR_ROLE_FILE": ROLE_FILE,
        "DR_SITE": desired.envelope.site,
        "RACK_ENV": "production",
        "RAILS_ENV": "production",
        "RAILS_LOG_TO_STDOUT": "1",
        "RAILS_MAX_THREADS": str(desired.threads),
        "REDIS_URL": told["redis.url"],
        "S3_BUCKET": desired.assets.bucket,
        "SECRET_KEY_BASE": desired.secret_key_base,
        **({BESIDE: desired.secret_key_base_beside} if desired.secret_key_base_beside else {}),
        "WEB_CONCURRENCY": str(desired.workers),
    }


def own_environment(desired: Desired, process: Found) -> dict[str, str]:
    """What a process is told beside that, or instead of it. Raises Usage for a place that nothing fills, which the operator's side has refused before."""
    told = places(desired, active_only=process.active_only)
    values = {**desired.env, **process.keys.env}
    if process.active_only:
        common, its = environment(desired), environment(desired, active_only=True)
        own = {name: value for name, value in its.items() if common[name] != value}
    else:
        own = {"PORT": PUMA.partition(":")[2]} if process.name == WEB_PROCESS else {}
    try:
        return {**{name: filled(value, told) for name, value in values.items()}, **own}
    except KeyError as error:
        raise Usage(
            f"document.app.env: found the place {error.args[0]}, wanted one that is filled; nothing was changed; run `pulumi up` again"
        ) from None


def places(desired: Desired, *, active_only: bool) -> dict[str, str]:
    """What values of `dr:app.env` may be filled with."""
    who, port = login(desired, active_only=active_only), PORTS["postgres"]
    url = partial(
        database_url,
        port=port,
        name=desired.database,
        user=who.database,
        password=desired.database_password,
        ca="/etc/dr/ca.pem",
    )
    host, _, cache_port = CACHES.partition(":")
    return {
        "bucket": desired.assets.bucket,
        "bucket.access_key": desired.assets.access_key,
        "bucket.endpoint": desired.assets.endpoint,
        "bucket.region": desired.assets.region,
        "bucket.secret_key": desired.assets.secret_key,
        "database.hosts": ",".join(desired.database_names),
        "database.name": desired.database,
        "database.password": desired.database_password,
        "database.port": str(port),
        # Databases are named local first.
        "database.replica_url": url(desired.database_names[:1], writer=False),
        "database.url": url(desired.database_names, writer=True),
        "database.user": who.database,
        "host": desired.shop_host,
        "redis.host": host,
        "redis.password": desired.cache_password,
        "redis.port": cache_port,
        "redis.user": who.cache,
        **{
            place: redis_url(host, int(cache_port), who.cache, desired.cache_password, number)
            for place, number in REDIS_DATABASES.items()
        },
        "secret_key_base": desired.secret_key_base,
        "site": desired.envelope.site,
        **{f"secret.{name}": value for name, value in desired.secrets.items()},
    }


def libpq(role: str) -> dict[str, str]:
    """By which libpq shows the certificate of a role, whatever opens a connection: it reads the environment and, each time, the files."""
    return {"PGSSLCERT": f"{TLS}/{role}.crt", "PGSSLKEY": f"{TLS}/{role}.key"}


def environment_file(values: Mapping[str, str]) -> str:
    """As systemd's EnvironmentFile reads it: in double quotes, where a backslash protects quote, backslash, dollar and backtick."""
    lines = []
    for name, value in sorted(values.items()):
        quoted = "".join(f"\\{mark}" if mark in '"\\$`' else mark for mark in value)
        lines.append(f'{name}="{quoted}"')
    return "\n".join(lines) + "\n"
