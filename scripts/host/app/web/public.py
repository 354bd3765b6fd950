"""The shop as customers reach it, behind the load balancer: its names, what is asked of whom, plain http. Pure."""

from __future__ import annotations

from contract.services.web import SITE_HEADER

from ..config import Desired
from ..names import HTTP_PORT, HTTPS_PORT, SERVES, SHOP, SHOWN
from . import cable, static
from .parts import answers, headers, internal, local, named, public, served

BURST_S = 5  # how much of a client's rate may come at once
# Whoever comes for another name: no certificate is shown for it, and within the connection of another name it is the wrong place (RFC 9110, 421).
NOBODY = f"""  server {{
    listen {HTTPS_PORT} ssl proxy_protocol default_server;
    server_name "";
    ssl_reject_handshake on;
    return 421;
  }}
  server {{
    listen {HTTP_PORT} proxy_protocol default_server;
    server_name "";
    return 421;
  }}
"""


def servers(desired: Desired) -> str:
    """Of every public name."""
    return "\n".join((NOBODY, _plain(desired), _shop(desired), _elsewhere(desired)))


def asked(desired: Desired) -> str:
    """nginx's maps: the name that a host of the pair may say that a customer asked for, and the site that an answer is of."""
    names = "\n".join(f"    {name} {name};" for name in served(desired))
    return f"""  map $http_x_forwarded_host $asked {{
    default {desired.shop_host};
{names}
  }}
  map $dr_own $dr_site {{
    "" $upstream_http_{SITE_HEADER.lower().replace("-", "_")};
    default $dr_own;
  }}
"""


def _balancer(desired: Desired) -> str:
    trusted = "\n".join(f"    set_real_ip_from {network};" for network in desired.balancers)
    return f"""{trusted}
    real_ip_header proxy_protocol;
    if ($balancer = 0) {{
      return 444;
    }}"""


def _plain(desired: Desired) -> str:
    """Plain http leads to https of the same name, and does nothing else."""
    return f"""  server {{
    listen {HTTP_PORT} proxy_protocol;
    server_name {" ".join(public(desired))};
    keepalive_timeout 5s;
{_balancer(desired)}
    return 301 https://$host$request_uri;
  }}
"""


def _certified(desired: Desired) -> str:
    """Where the public certificate lies: with `acme` behind a link that this host turns by itself (`certificate take`)."""
    place = f"{SHOWN if desired.acme else SHOP}/tls"
    return f"    ssl_certificate {place}.crt;\n    ssl_certificate_key {place}.key;"


def _elsewhere(desired: Desired) -> str:
    """Names that lead to the shop's own."""
    names = [name for name in public(desired) if name not in served(desired)]
    if not names:
        return ""
    return f"""  server {{
    listen {HTTPS_PORT} ssl proxy_protocol;
    server_name {" ".join(names)};
{_certified(desired)}
{_balancer(desired)}
{named(public(desired))}
    add_header Strict-Transport-Security "max-age={desired.hsts_s}" always;
    return 301 https://{desired.shop_host}$request_uri;
  }}
"""


def _shop(desired: Desired) -> str:
    limit = (
        f"    limit_req zone=clients burst={desired.client_rate * BURST_S} nodelay;\n" if desired.client_rate else ""
    )
    site, peer = desired.envelope.site, desired.envelope.peer
    inside = "".join(
        f"    location ^~ {path} {{\n      return 404;\n    }}\n" for path in dict.fromkeys(desired.inside_paths)
    )
    websockets = cable.location(
        desired, way="$cable_way", source="$cable_source", client="$remote_addr", name="$host_there", asked="$host"
    )
    return f"""  server {{
    listen {HTTPS_PORT} ssl proxy_protocol;
    server_name {" ".join(served(desired))};
{_certified(desired)}
{_balancer(desired)}
{named(public(desired))}
{limit}{answers(desired)}
    proxy_hide_header Strict-Transport-Security;
    proxy_hide_header {SITE_HEADER};
{local()}
    set $way https://shop_peer;
    set $cable_way https://shop_peer;
    set $cable_source "";
    set $host_there {internal(peer)};
    set $dr_own "";
    if (-f {SERVES}) {{
      set $way $local;
      set $cable_way http://shop_cable;
      set $cable_source {cable.SOURCE};
      set $host_there $host;
      set $dr_own {site};
    }}
    # What costs database, cache and bucket is asked from inside, by the way in.
{inside}{static.locations(desired)}{websockets}    location / {{
      proxy_pass $way;
{headers("$remote_addr", "$host_there", "$host")}
    }}
    location @shop {{
      proxy_pass $way;
{headers("$remote_addr", "$host_there", "$host")}
    }}
  }}
"""
