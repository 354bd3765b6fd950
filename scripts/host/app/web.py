"""The nginx of an app host: who may ask for what, and what of a request reaches the shop. Pure.

What a client says of itself counts for nothing: its address is the balancer's word (PROXY protocol), its scheme and name are the shop's own.
"""

from __future__ import annotations

import re

from contract import hosts
from contract.hosts import APP

from .config import FORWARD_PORT, HEALTH_PORT, HTTPS_PORT, PUMA, SERVES, SHOP, SHOWN, Desired

# With TLS 1.2; those of 1.3 are all as good. Forward secrecy and authenticated encryption alone.
CIPHERS = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)
BURST_S = 5  # how much of a client's rate may come at once
# What Rack, Rails or a library of theirs might believe of a client's address, the asked name or the path. Those that are set anew stand in `_headers`.
CLEARED = (
    "Client-IP",
    "CF-Connecting-IP",
    "Forwarded",
    "Proxy",
    "True-Client-IP",
    "X-Client-IP",
    "X-Forwarded-By",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-User",
    "X-Host",
    "X-Original-Host",
    "X-Original-URL",
    "X-Rewrite-URL",
)


def nginx(desired: Desired) -> str:
    """The whole nginx.conf, the same in both roles: the public side, the load balancer's health, the way in for the other site.

    Active (`SERVES` is there): requests go to the local Puma. Standby: to the peer's app hosts over the vRack, and where that is cut through the
    peer's public entrance; a request that may have reached one of them is never sent again, unless it changes nothing (nginx's own rule for methods
    that are not idempotent).
    """
    servers = "\n".join((_NOBODY, _public(desired), _health(desired), _way_in(desired)))
    return f"{_HEAD}\nhttp {{\n{_common(desired)}\n{_upstreams(desired)}\n{servers}}}\n"


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
# Whoever comes for another name: no certificate is shown for it, and within the connection of another name it is the wrong place (RFC 9110, 421).
_NOBODY = f"""  server {{
    listen {HTTPS_PORT} ssl proxy_protocol default_server;
    server_name "";
    ssl_reject_handshake on;
    return 421;
  }}
"""


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
    """
    peers = [f"    server {address}:{FORWARD_PORT} max_fails=1 fail_timeout=10s;" for address in desired.peer_addresses]
    entrance = desired.envelope.epoch.entrance if desired.envelope.epoch else None
    if entrance:
        peers.append(f"    server {entrance}:{HTTPS_PORT} max_fails=0 backup;")
    ways = "\n".join(peers)
    return f"""  upstream shop_local {{
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
  proxy_connect_timeout 1500ms;
  proxy_read_timeout 20s;
  proxy_next_upstream error timeout;
  proxy_ssl_protocols TLSv1.2 TLSv1.3;
  proxy_ssl_ciphers {CIPHERS};
  proxy_ssl_verify on;
  proxy_ssl_trusted_certificate /etc/dr/ca.pem;
  proxy_ssl_name {_internal(desired.envelope.peer)};
  proxy_ssl_server_name on;
  proxy_ssl_certificate /etc/dr/host.crt;
  proxy_ssl_certificate_key /etc/dr/host.key;
"""


def shown(acme: bool) -> str:
    """Where the public certificate lies, without its ending: with `acme` behind a link that this host turns by itself (`certificate take`)."""
    return f"{SHOWN if acme else SHOP}/tls"


def _internal(site: str) -> str:
    """The name by which hosts of the pair ask for a site's app."""
    return str(hosts.shared_name(APP, site))


def _headers(desired: Desired, client: str, host: str | None = None) -> str:
    """What a request carries on, whatever it came with.

    `client`: nginx's word for the address of who asks. `host`: the shop's name, or that of the way in: nginx refuses one that is not the name of
    the TLS handshake.
    """
    own = {
        "Connection": '""',
        "Host": host or desired.shop_host,
        "X-Forwarded-For": client,
        "X-Real-IP": client,
        "X-Forwarded-Host": desired.shop_host,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
    }
    both = own | dict.fromkeys(CLEARED, '""')
    return "\n".join(f"      proxy_set_header {name} {value};" for name, value in both.items())


def _named(name: str) -> str:
    """Only who asked for this name in the handshake may ask for it in the request: each server's rules about certificates hold for its own name."""
    return f"""    if ($ssl_server_name !~* "^{re.escape(name)}$") {{
      return 421;
    }}
    if ($host != {name}) {{
      return 421;
    }}"""


def _public(desired: Desired) -> str:
    """The shop, behind the load balancer."""
    trusted = "\n".join(f"    set_real_ip_from {network};" for network in desired.balancers)
    limit = (
        f"    limit_req zone=clients burst={desired.client_rate * BURST_S} nodelay;\n" if desired.client_rate else ""
    )
    return f"""  server {{
    listen {HTTPS_PORT} ssl proxy_protocol;
    server_name {desired.shop_host};
    ssl_certificate {shown(desired.acme)}.crt;
    ssl_certificate_key {shown(desired.acme)}.key;
{trusted}
    real_ip_header proxy_protocol;
    if ($balancer = 0) {{
      return 444;
    }}
{_named(desired.shop_host)}
{limit}    add_header Strict-Transport-Security "max-age={desired.hsts_s}" always;
    add_header Retry-After $retry_after always;
    proxy_hide_header Strict-Transport-Security;
    set $way https://shop_peer;
    set $host_there {_internal(desired.envelope.peer)};
    if (-f {SERVES}) {{
      set $way http://shop_local;
      set $host_there {desired.shop_host};
    }}
    # What costs database, cache and bucket is asked from inside, by the way in.
    location ^~ /health/ {{
      return 404;
    }}
    location / {{
      proxy_pass $way;
{_headers(desired, "$remote_addr", "$host_there")}
    }}
  }}
"""


def _health(desired: Desired) -> str:
    """The load balancer's monitor. A standby host is well when its nginx is: it forwards."""
    return f"""  server {{
    listen {HEALTH_PORT};
    access_log off;
    if ($balancer = 0) {{
      return 444;
    }}
    if ($request_method !~ "^(GET|HEAD)$") {{
      return 405;
    }}
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
      proxy_hide_header Strict-Transport-Security;
{_headers(desired, "$remote_addr")}
    }}
    location / {{
      return 404;
    }}
  }}
"""


def _way_in(desired: Desired) -> str:
    """The way in for hosts of the pair, proven by their certificates: over the vRack, and behind the public entrance where that is cut.

    Who asked is the word of the host that forwards: it has heard it from its own balancer, and has counted the client's requests.
    """
    envelope = desired.envelope
    return f"""  server {{
    listen {envelope.at(envelope.own_key).vrack}:{FORWARD_PORT} ssl;
    listen {HTTPS_PORT} ssl proxy_protocol;
    server_name {_internal(envelope.site)};
    ssl_certificate /etc/dr/host.crt;
    ssl_certificate_key /etc/dr/host.key;
    ssl_client_certificate /etc/dr/ca.pem;
    ssl_verify_client on;
{_named(_internal(envelope.site))}
    location / {{
      proxy_pass http://shop_local;
{_headers(desired, "$http_x_forwarded_for")}
    }}
  }}
"""
