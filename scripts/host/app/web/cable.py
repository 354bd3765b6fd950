"""Websockets (Action Cable): how they come through nginx, and how they end when the shop has left this site.

nginx looks at the role with each request, and a websocket is one request that lasts for hours: it would stay at a Puma whose site is no longer the
active one. So those that reach the local Puma come from an address of their own, on connections that carry nothing else, and the kernel ends them at a
turn. The browser comes again by itself, and is led to where the shop is. Nothing else is closed: requests on their way and kept connections stay.
"""

from __future__ import annotations

from ...frame.commands import run
from ...frame.log import Log
from ..config import Desired
from ..names import PUMA, SPARE_PUMA
from .parts import headers

SOURCE = "127.0.0.3"  # nginx's, of what may become a websocket at the local Puma
END_S = 10.0


def ways(desired: Desired) -> str:
    """No connection of it is kept for another request: one that was opened from another address would not end."""
    return f"""  upstream shop_cable {{
    server {PUMA} max_fails=0;
    server {SPARE_PUMA} max_fails=0 backup;
  }}
  # Nothing but a websocket is ever made of a connection.
  map $http_upgrade $cable_upgrade {{
    default "";
    "~*^websocket$" websocket;
  }}
  map $http_upgrade $cable_connection {{
    default "";
    "~*^websocket$" upgrade;
  }}
"""


def location(desired: Desired, *, way: str, source: str, client: str, name: str, asked: str) -> str:
    """`way`, `source`: where to and from which address, in nginx's words; the others as in `parts.headers`."""
    if desired.cable_path is None:
        return ""
    return f"""    location = {desired.cable_path} {{
      proxy_pass {way};
      proxy_bind {source};
      proxy_read_timeout {desired.cable_timeout_s}s;
      proxy_send_timeout {desired.cable_timeout_s}s;
{headers(client, name, asked, upgrade=True)}
    }}
"""


def end(log: Log) -> None:
    """End every websocket at the local Puma. Where that cannot be, it is told and a turn goes on: they end when they are silent, or with Puma."""
    done = run(["ss", "--tcp", "--kill", "--no-header", "src", SOURCE], limit_s=END_S, check=False)
    if done.code != 0:
        log.warning(
            f"websockets: not ended ({done.reason}); who has one open stays at the Puma of this site until it is closed; "
            "`systemctl restart shop-web` on this host ends all of them"
        )
