"""What an app host is told, the shop's environment and units that follow from it. Pure. nginx: see `web`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract import hosts
from contract.hosts import APP, PORTS
from contract.services import app, redis
from contract.services.postgres import APP_ROLE, WORKER_ROLE

from ..frame.desired import Envelope, read
from ..frame.systemd import guard_line, sandbox

USER = "shop"
ENV = "/etc/shop/env"
TLS = "/etc/shop/tls"  # what the shop shows of itself: it may read the keys there, and neither change them nor hand them to other users
WEB, WORKER, MIGRATE, NGINX = "shop-web.service", "shop-worker.service", "shop-migrate.service", "nginx.service"
PUMA = "127.0.0.1:9292"
HTTPS_PORT, HEALTH_PORT, FORWARD_PORT = (PORTS[name] for name in ("https", "health", "forward"))
# Packets of an established connection that nobody acknowledges are sent again this often, 6.2 s in all (tcp(7), tcp_retries2; the kernel's own
# 15 times take a quarter of an hour): a link that is cut while requests are on it must not hold customers for longer than they wait.
RETRIES = 4
FIRST_APP = hosts.first(APP)  # the host that migrates
# The role as nginx knows it: a file that is there where requests are served and not forwarded. It is looked at with each request, so a turn of the
# role costs no connection: a reload closes those that are kept, also at the moment in which a customer sends on one, and no browser repeats a POST.
SERVES = "/etc/nginx/dr-serves"


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


def environment(desired: Desired) -> dict[str, str]:
    """The shop's environment, by name (docs/interfaces.md, section 5)."""
    return {
        **libpq(APP_ROLE),
        "RAILS_ENV": "production",
        "SECRET_KEY_BASE": desired.secret_key_base,
        "SHOP_ASSETS_ACCESS_KEY": desired.assets.access_key,
        "SHOP_ASSETS_BUCKET": desired.assets.bucket,
        "SHOP_ASSETS_ENDPOINT": desired.assets.endpoint,
        "SHOP_ASSETS_REGION": desired.assets.region,
        "SHOP_ASSETS_SECRET_KEY": desired.assets.secret_key,
        "SHOP_CACHES": ",".join(desired.cache_names),
        "SHOP_CACHE_CA": f"{TLS}/cache-ca.pem",
        "SHOP_CACHE_CERT": f"{TLS}/cache.crt",
        "SHOP_CACHE_KEY": f"{TLS}/cache.key",
        "SHOP_CACHE_PASSWORD": desired.cache_password,
        "SHOP_DATABASE_HOSTS": ",".join(desired.database_names),
        "SHOP_DATABASE_NAME": desired.database,
        "SHOP_DATABASE_PASSWORD": desired.database_password,
        "SHOP_DATABASE_USER": APP_ROLE,
        "SHOP_HOST": desired.shop_host,
        "SHOP_PROCESSES": str(desired.workers),
        "SHOP_SITE": desired.envelope.site,
        "SHOP_THREADS": str(desired.threads),
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


def unit(description: str, kind: str, command: str, extra: str = "") -> str:
    """One of the shop's units. The environment stands in a file of root, which systemd reads before it becomes the shop's user."""
    return f"""[Unit]
Description={description}
After=network-online.target
Wants=network-online.target

[Service]
Type={kind}
User={USER}
Group={USER}
WorkingDirectory=/opt/shop/current
EnvironmentFile={ENV}
ExecStart={command}
UMask=0027
PrivateUsers=yes
{sandbox([f"/opt/shop/current/{name}" for name in WRITABLE])}{extra}
[Install]
WantedBy=multi-user.target
"""


WRITABLE = ("tmp", "log")  # folders that Rails wants beside its code; a release has none
# The stop of a host is part of a fence: requests that are held because the writer is gone must not hold it up.
RESTART = "Restart=on-failure\nRestartSec=2\nTimeoutStopSec=5\n"
_WORKERS = {"SHOP_DATABASE_USER": WORKER_ROLE, "SHOP_CACHE_USER": redis.worker("${SHOP_SITE}"), **libpq(WORKER_ROLE)}
_AS_WORKER = " ".join(f"{name}={value}" for name, value in _WORKERS.items())
UNITS = {
    WEB: unit("The shop", "simple", "/usr/bin/puma -C config/puma.rb config.ru", RESTART),
    # Enabled in the active site. After a reboot the guard lets it start if that is still the active one, and is asked again while nobody answers.
    # Database and cache know it by names of its own, under which those of the other site do not let it in.
    WORKER: unit(
        "The shop's worker, in the active site only",
        "notify",
        f"/usr/bin/env {_AS_WORKER} /usr/bin/ruby bin/worker",
        f"{guard_line('app')}Restart=on-failure\nRestartSec=10\nTimeoutStopSec=20\nNotifyAccess=main\n",
    ),
    MIGRATE: unit("The shop's schema and products", "oneshot", "/usr/bin/ruby bin/migrate", "TimeoutStartSec=300\n"),
}
