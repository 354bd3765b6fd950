"""What an app host is told, and the files that follow from it: environment, units, nginx. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract import hosts
from contract.hosts import APP, PORTS
from contract.services import app, redis
from contract.services.postgres import APP_ROLE, WORKER_ROLE

from ..frame.desired import Envelope, read
from ..frame.files import ManagedFile
from ..frame.layout import Layout
from ..frame.systemd import guard_line, sandbox

USER = "shop"
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
        "RAILS_ENV": "production",
        "SECRET_KEY_BASE": desired.secret_key_base,
        "SHOP_ASSETS_ACCESS_KEY": desired.assets.access_key,
        "SHOP_ASSETS_BUCKET": desired.assets.bucket,
        "SHOP_ASSETS_ENDPOINT": desired.assets.endpoint,
        "SHOP_ASSETS_REGION": desired.assets.region,
        "SHOP_ASSETS_SECRET_KEY": desired.assets.secret_key,
        "SHOP_CACHES": ",".join(desired.cache_names),
        "SHOP_CACHE_PASSWORD": desired.cache_password,
        "SHOP_DATABASE_HOSTS": ",".join(desired.database_names),
        "SHOP_DATABASE_NAME": desired.database,
        "SHOP_DATABASE_PASSWORD": desired.database_password,
        "SHOP_DATABASE_USER": APP_ROLE,
        "SHOP_PROCESSES": str(desired.workers),
        "SHOP_SITE": desired.envelope.site,
        "SHOP_THREADS": str(desired.threads),
    }


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
EnvironmentFile=/etc/shop/env
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
UNITS = {
    WEB: unit("The shop", "simple", "/usr/bin/puma -C config/puma.rb config.ru", RESTART),
    # Enabled in the active site. After a reboot the guard lets it start if that is still the active one, and is asked again while nobody answers.
    # Database and cache know it by names of its own, under which those of the other site do not let it in.
    WORKER: unit(
        "The shop's worker, in the active site only",
        "notify",
        f"/usr/bin/env SHOP_DATABASE_USER={WORKER_ROLE} SHOP_CACHE_USER={redis.worker('${SHOP_SITE}')} /usr/bin/ruby bin/worker",
        f"{guard_line('app')}Restart=on-failure\nRestartSec=10\nTimeoutStopSec=20\nNotifyAccess=main\n",
    ),
    MIGRATE: unit("The shop's schema and products", "oneshot", "/usr/bin/ruby bin/migrate", "TimeoutStartSec=300\n"),
}


def nginx(desired: Desired) -> str:
    """The whole nginx.conf, the same in both roles: the public side, the load balancer's health, the way in for the other site.

    Active (`SERVES` is there): requests go to the local Puma. Standby: to the peer's app hosts over the vRack, and where that is cut through the
    peer's public entrance; a request that may have reached one of them is never sent again, unless it changes nothing (nginx's own rule for methods
    that are not idempotent).
    """
    servers = "\n".join((_public(desired), _health(desired), _way_in(desired)))
    return f"{_HEAD}\nhttp {{\n{_upstreams(desired)}\n{servers}}}\n"


_HEAD = """\
# Written by dr-host app converge; changes made here are lost.
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log warn;

events {
  worker_connections 1024;
}
"""


def _upstreams(desired: Desired) -> str:
    """Settings of all servers, and both places where requests can go.

    Kept connections to the peer are let go before a host that failed is tried again: the one request that tries then opens its own, and finds out
    before it was sent whether the way is there.
    """
    peers = [f"    server {address}:{FORWARD_PORT} max_fails=1 fail_timeout=10s;" for address in desired.peer_addresses]
    entrance = desired.envelope.epoch.entrance if desired.envelope.epoch else None
    if entrance:
        peers.append(f"    server {entrance}:{HTTPS_PORT} max_fails=0 backup;")
    ways = "\n".join(peers)
    return f"""  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log /var/log/nginx/access.log;
  server_tokens off;
  client_max_body_size {desired.client_max_body_mb}m;
  keepalive_timeout 60s;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:shop:1m;

  upstream shop_local {{
    server {PUMA} max_fails=0;
    keepalive 16;
  }}
  upstream shop_peer {{
    zone shop_peer 64k;
{ways}
    keepalive 16;
    keepalive_timeout 5s;
  }}

  proxy_http_version 1.1;
{_headers(desired.shop_host, "  ")}
  proxy_connect_timeout 1500ms;
  proxy_read_timeout 20s;
  proxy_next_upstream error timeout;
  proxy_ssl_verify on;
  proxy_ssl_trusted_certificate /etc/dr/ca.pem;
  proxy_ssl_name {_internal(desired.envelope.peer)};
  proxy_ssl_server_name on;
  proxy_ssl_certificate /etc/dr/host.crt;
  proxy_ssl_certificate_key /etc/dr/host.key;
"""


def _internal(site: str) -> str:
    """The name by which hosts of the pair ask for a site's app."""
    return str(hosts.shared_name(APP, site))


def _headers(host: str, indent: str) -> str:
    """What a request carries on. `host`: the shop's name, or that of the way in: nginx refuses one that is not the name of the TLS handshake."""
    lines = ('Connection ""', f"Host {host}", "X-Forwarded-For $proxy_add_x_forwarded_for", "X-Forwarded-Proto https")
    return "\n".join(f"{indent}proxy_set_header {line};" for line in lines)


def _public(desired: Desired) -> str:
    """The shop, behind the load balancer."""
    return f"""  server {{
    listen {HTTPS_PORT} ssl proxy_protocol default_server;
    server_name {desired.shop_host};
    ssl_certificate /etc/shop/tls.crt;
    ssl_certificate_key /etc/shop/tls.key;
    set_real_ip_from {desired.vip_subnet};
    real_ip_header proxy_protocol;
    set $way https://shop_peer;
    set $host_there {_internal(desired.envelope.peer)};
    if (-f {SERVES}) {{
      set $way http://shop_local;
      set $host_there {desired.shop_host};
    }}
    location / {{
      proxy_pass $way;
{_headers("$host_there", "      ")}
    }}
  }}
"""


def _health(desired: Desired) -> str:
    """The load balancer's monitor. A standby host is well when its nginx is: it forwards."""
    return f"""  server {{
    listen {HEALTH_PORT};
    access_log off;
    set $serves no;
    if (-f {SERVES}) {{
      set $serves yes;
    }}
    location = /health {{
      default_type application/json;
      if ($serves = no) {{
        return 200 '{{"ok":true,"site":"{desired.envelope.site}"}}';
      }}
      proxy_pass http://shop_local/health;
      proxy_connect_timeout 1s;
      proxy_read_timeout 2s;
    }}
    location / {{
      return 404;
    }}
  }}
"""


def _way_in(desired: Desired) -> str:
    """The way in for hosts of the pair, proven by their certificates: over the vRack, and behind the public entrance where that is cut."""
    envelope = desired.envelope
    return f"""  server {{
    listen {envelope.at(envelope.own_key).vrack}:{FORWARD_PORT} ssl;
    listen {HTTPS_PORT} ssl proxy_protocol;
    server_name {_internal(envelope.site)};
    ssl_certificate /etc/dr/host.crt;
    ssl_certificate_key /etc/dr/host.key;
    ssl_client_certificate /etc/dr/ca.pem;
    ssl_verify_client on;
    location / {{
      proxy_pass http://shop_local;
    }}
  }}
"""


def files(desired: Desired, layout: Layout) -> dict[str, list[ManagedFile]]:
    """Every managed file, by whom it concerns: web (web and workers), units, nginx, kernel."""
    return {
        "web": [
            ManagedFile(path=layout.at("/etc/shop/env"), content=environment_file(environment(desired)), mode=0o600)
        ],
        "units": [ManagedFile(path=layout.units / name, content=text) for name, text in UNITS.items()],
        "nginx": [
            ManagedFile(path=layout.at("/etc/shop/tls.crt"), content=desired.shop_tls.cert),
            ManagedFile(path=layout.at("/etc/shop/tls.key"), content=desired.shop_tls.key, mode=0o600),
            ManagedFile(path=layout.at("/etc/nginx/nginx.conf"), content=nginx(desired)),
        ],
        "kernel": [
            ManagedFile(path=layout.at("/etc/sysctl.d/90-dr-app.conf"), content=f"net.ipv4.tcp_retries2 = {RETRIES}\n")
        ],
    }
