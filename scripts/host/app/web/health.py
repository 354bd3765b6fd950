"""Whether the shop is well: as the load balancer hears it from nginx. How this host finds it: `well`."""

from __future__ import annotations

import json

from contract import fields
from contract.services.web import Health

from ..config import Desired
from ..names import HEALTH_PORT, SERVES
from ..well import LOOK_S
from .parts import headers, local

_ASK = "/-/shop"


def told(desired: Desired) -> str:
    """The text of `well.FILE`."""
    return json.dumps({"host": desired.shop_host, "health": fields.write(_of(desired))}, sort_keys=True) + "\n"


def _of(desired: Desired) -> Health:
    return Health(**{name: getattr(desired, name) for name in fields.keys(Health)})


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
