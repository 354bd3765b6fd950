"""Whether the shop is well: as the load balancer hears it from nginx, and as this host finds it."""

from __future__ import annotations

import http.client
import json
from contextlib import suppress

from contract import fields
from contract.errors import Usage
from contract.forms import MOST_BYTES
from contract.services.web import Health

from ...frame.layout import Layout
from ..config import HEALTH_PORT, PUMA, SERVES, Desired
from .parts import headers, local

FILE = "/etc/shop/health.json"  # what `dr-host app status` goes by, which is told nothing
_ASK = "/-/shop"
LOOK_S = 2.0


def told(desired: Desired) -> str:
    """The text of `FILE`."""
    return json.dumps({"host": desired.shop_host, "health": fields.write(_of(desired))}, sort_keys=True) + "\n"


def _of(desired: Desired) -> Health:
    return Health(**{name: getattr(desired, name) for name in fields.keys(Health)})


def healthy(layout: Layout, at: str = PUMA) -> bool:
    """Whether the local Puma answers as it shall: asked as nginx would, for its own name and as if by https, so that a shop that takes nothing else is
    not taken for ill."""
    host, health = "localhost", Health()
    with suppress(OSError, ValueError, KeyError, TypeError, Usage):  # a host that was told of none yet
        said = json.loads(layout.at(FILE).read_text())
        host, health = str(said["host"]), fields.read(Health, said["health"], FILE)
    link = http.client.HTTPConnection(at, timeout=LOOK_S)
    try:
        link.request("GET", health.health_path, headers={"Host": host, "X-Forwarded-Proto": "https"})
        answer = link.getresponse()
        body = answer.read(MOST_BYTES) if health.health_text is not None else b""
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()
    return is_well(health, answer.status, body)


def is_well(health: Health, status: int, body: bytes) -> bool:
    """Whether an answer is that of a shop that is well."""
    return str(status) in health.health_codes and (health.health_text is None or health.health_text.encode() in body)


def verdicts(desired: Desired) -> str:
    """nginx's map from the shop's status to what the balancer is told."""
    good = "\n".join(f"    {code} @well;" for code in dict.fromkeys(desired.health_codes))
    return f"""  map $shop_status $verdict {{
    default @ill;
{good}
  }}
"""


def server(desired: Desired) -> str:
    """The load balancer's monitor: always `/health`, answered with 200 or 503, whatever the shop's own path and statuses are, so that the platform is told
    nothing anew when those change. A standby host is well when its nginx is: it forwards."""
    site = desired.envelope.site
    # A subrequest may end in nothing but 2xx, 401 and 403: what else is a good answer is made one of them.
    others = [code for code in dict.fromkeys(desired.health_codes) if not code.startswith("2")]
    passed = f"      proxy_intercept_errors on;\n      error_page {' '.join(others)} =204 @passed;\n" if others else ""
    return f"""  server {{
    listen {HEALTH_PORT};
    access_log off;
    default_type application/json;
    if ($balancer = 0) {{
      return 444;
    }}
    if ($request_method !~ "^(GET|HEAD)$") {{
      return 405;
    }}
{local()}
    set $serves no;
    if (-f {SERVES}) {{
      set $serves yes;
    }}
    location = /health {{
      if ($serves = no) {{
        return 200 '{{"ok":true,"site":"{site}"}}';
      }}
      auth_request {_ASK};
      auth_request_set $shop_status $upstream_status;
      error_page 401 403 500 = @ill;
      try_files /-/nothing $verdict;
    }}
    location = {_ASK} {{
      internal;
      proxy_pass $local{desired.health_path};
      proxy_pass_request_body off;
      proxy_connect_timeout 1s;
      proxy_read_timeout {LOOK_S:.0f}s;
{passed}{headers("$remote_addr", desired.shop_host, desired.shop_host)}
    }}
    location @passed {{
      return 204;
    }}
    location @well {{
      return 200 '{{"ok":true,"site":"{site}"}}';
    }}
    location @ill {{
      return 503 '{{"ok":false,"site":"{site}"}}';
    }}
    location / {{
      return 404;
    }}
  }}
"""
