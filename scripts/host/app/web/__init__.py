"""The nginx of an app host: who may ask for what, and what of a request reaches the shop. Pure, but for `cable.end`.

What a client says of itself counts for nothing: its address is the balancer's word (PROXY protocol), its scheme and name are the shop's own.
"""

from __future__ import annotations

from hashlib import sha256

from contract.services.web import SITE_HEADER

from ..config import Desired
from ..names import FORWARD_PORT, HTTPS_PORT, NGINX_STATUS, PUMA, SPARE_PUMA
from . import cable, health, public, static
from .parts import CIPHERS, headers, internal, local, named

KEPT_S = 2  # a connection to the shop's own process that nothing is asked on
# As long as an answer is waited for, another one is looked for; who was asked and says nothing is not asked again elsewhere. The ways to the peer take
# their time to be tried.
ELSEWHERE_S = 5


def nginx(desired: Desired) -> str:
    """The whole nginx.conf, the same in both roles: the public side, the load balancer's health, the way in for the other site.

    Active (`SERVES` is there): requests go to the local Puma. Standby: to the peer's app hosts over the vRack, and where that is cut through the
    peer's public entrance; a request that may have reached one of them is never sent again, unless it changes nothing (nginx's own rule for methods
    that are not idempotent).
    """
    maps = f"{public.asked(desired)}{static.kept(desired)}{health.verdicts(desired)}"
    servers = "\n".join((public.servers(desired), health.server(desired), _way_in(desired), _STATUS))
    return f"{_HEAD}{_read_with(desired)}\nhttp {{\n{_common(desired)}\n{maps}\n{_upstreams(desired)}\n{servers}}}\n"


# A websocket takes two connections for as long as a page is open: nginx's own 1024 would be 500 customers of each worker.
_HEAD = """\
# Written by dr-host app converge; changes made here are lost.
user www-data;
worker_processes auto;
worker_rlimit_nofile 16384;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log warn;

events {
  worker_connections 8192;
}
"""
# How busy it is, told to this host alone: numbers of connections and requests.
_STATUS = f"""\
  server {{
    listen {NGINX_STATUS};
    access_log off;
    allow 127.0.0.1;
    deny all;
    location = / {{
      stub_status;
    }}
  }}
"""


def _read_with(desired: Desired) -> str:
    """Tells the host's certificates from others: the files are not this service's, and nginx reads them when it reads this one."""
    tls = desired.envelope.tls
    return f"# With /etc/dr/ca.pem and host.crt: {sha256(f'{tls.ca}{tls.cert}'.encode()).hexdigest()[:16]}\n"


def _common(desired: Desired) -> str:
    """Settings of all servers. `$balancer`: whether the connection is the load balancer's, whoever it says that it speaks for."""
    balancers = "\n".join(f"    {network} 1;" for network in desired.balancers)
    limits = (
        f"  limit_req_zone $binary_remote_addr zone=clients:10m rate={desired.client_rate}r/s;\n"
        "  limit_req_status 429;\n"
        if desired.client_rate
        else ""
    )
    return f"""  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log /var/log/nginx/access.log;
  server_tokens off;
  client_max_body_size {desired.client_max_body_mb}m;
  client_header_timeout 10s;
  client_body_timeout 20s;
  keepalive_timeout 60s;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ciphers {CIPHERS};
  ssl_prefer_server_ciphers off;
  ssl_session_tickets off;
  ssl_session_cache shared:shop:1m;

  geo $realip_remote_addr $balancer {{
    default 0;
{balancers}
  }}
  map $limit_req_status $retry_after {{
    default "";
    REJECTED 1;
  }}
{limits}"""


def _upstreams(desired: Desired) -> str:
    """Both places where requests can go.

    Kept connections to the peer are let go before a host that failed is tried again: the one request that tries then opens its own, and finds out
    before it was sent whether the way is there.

    Each of the local two stands in for the other: a request whose body came slowly may find that the one it was meant for has ended since. Kept
    connections go soon, so that those which stay are requests (`spare.Spare`).
    """
    peers = [f"    server {address}:{FORWARD_PORT} max_fails=1 fail_timeout=10s;" for address in desired.peer_addresses]
    entrance = desired.envelope.epoch.entrance if desired.envelope.epoch else None
    if entrance:
        peers.append(f"    server {entrance}:{HTTPS_PORT} max_fails=0 backup;")
    ways = "\n".join(peers)
    return f"""  upstream shop_local {{
    server {PUMA} max_fails=0;
    server {SPARE_PUMA} max_fails=0 backup;
    keepalive 16;
    keepalive_timeout {KEPT_S}s;
  }}
  upstream shop_spare {{
    server {SPARE_PUMA} max_fails=0;
    server {PUMA} max_fails=0 backup;
    keepalive 16;
    keepalive_timeout {KEPT_S}s;
  }}
{cable.ways(desired)}  upstream shop_peer {{
    zone shop_peer 64k;
{ways}
    keepalive 16;
    keepalive_timeout 5s;
  }}

  proxy_http_version 1.1;
  proxy_connect_timeout 1500ms;
  proxy_read_timeout {desired.read_timeout_s}s;
  proxy_send_timeout {desired.send_timeout_s}s;
  proxy_next_upstream error timeout;
  proxy_next_upstream_timeout {max(desired.read_timeout_s, ELSEWHERE_S)}s;
  proxy_ssl_protocols TLSv1.2 TLSv1.3;
  proxy_ssl_ciphers {CIPHERS};
  proxy_ssl_verify on;
  proxy_ssl_trusted_certificate /etc/dr/ca.pem;
  proxy_ssl_name {internal(desired.envelope.peer)};
  proxy_ssl_server_name on;
  proxy_ssl_certificate /etc/dr/host.crt;
  proxy_ssl_certificate_key /etc/dr/host.key;
"""


def _way_in(desired: Desired) -> str:
    """The way in for hosts of the pair, proven by their certificates: over the vRack, and behind the public entrance where that is cut.

    Who asked is the word of the host that forwards: it has heard it from its own balancer, and has counted the client's requests. So is the name that
    was asked for, where it is one of the shop's.
    """
    envelope, client = desired.envelope, "$http_x_forwarded_for"
    name = internal(envelope.site)
    websockets = cable.location(
        desired, way="http://shop_cable", source=cable.SOURCE, client=client, name="$asked", asked="$asked"
    )
    return f"""  server {{
    listen {envelope.at(envelope.own_key).vrack}:{FORWARD_PORT} ssl;
    listen {HTTPS_PORT} ssl proxy_protocol;
    server_name {name};
    ssl_certificate /etc/dr/host.crt;
    ssl_certificate_key /etc/dr/host.key;
    ssl_client_certificate /etc/dr/ca.pem;
    ssl_verify_client on;
{named((name,))}
    proxy_hide_header {SITE_HEADER};
    add_header {SITE_HEADER} {envelope.site} always;
{local()}
{websockets}    location / {{
      proxy_pass $local;
{headers(client, "$asked", "$asked")}
    }}
  }}
"""
