"""What several servers of nginx's text share: names, headers, ciphers. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from contract import hosts
from contract.hosts import APP
from contract.services.web import SITE_HEADER

from ..config import Desired
from ..names import SPARE_LEADS

# With TLS 1.2; those of 1.3 are all as good. Forward secrecy and authenticated encryption alone.
CIPHERS = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)
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


def internal(site: str) -> str:
    """The name by which hosts of the pair ask for a site's app."""
    return str(hosts.shared_name(APP, site))


def public(desired: Desired) -> tuple[str, ...]:
    """Every name by which customers may ask; the first is the shop's own."""
    return (desired.shop_host, *desired.shop_aliases)


def served(desired: Desired) -> tuple[str, ...]:
    """Those of them at which the shop itself answers."""
    return public(desired) if desired.serve_aliases else (desired.shop_host,)


def headers(client: str, name: str, asked: str, upgrade: bool = False) -> str:
    """What a request carries on, whatever it came with.

    `client`: nginx's word for the address of who asks. `name`: the name that whoever is asked goes by: nginx refuses one that is not the name of the
    TLS handshake. `asked`: the shop's name that the customer asked for. `upgrade`: a websocket may come of it.
    """
    own = {
        "Connection": "$cable_connection" if upgrade else '""',
        "Upgrade": "$cable_upgrade" if upgrade else '""',
        "Host": name,
        "X-Forwarded-For": client,
        "X-Real-IP": client,
        "X-Forwarded-Host": asked,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
    }
    both = own | dict.fromkeys(CLEARED, '""')
    return "\n".join(f"      proxy_set_header {name} {value};" for name, value in both.items())


def named(names: Sequence[str]) -> str:
    """Only who asked for one of these names in the handshake may ask for one in the request: each server's rules about certificates hold for its own."""
    pattern = "|".join(re.escape(name) for name in names)
    return f"""    if ($ssl_server_name !~* "^({pattern})$") {{
      return 421;
    }}
    if ($host !~ "^({pattern})$") {{
      return 421;
    }}"""


def answers(desired: Desired) -> str:
    """Headers of every answer to a customer. A block of nginx that adds one of its own has to say these again."""
    return f"""    add_header Strict-Transport-Security "max-age={desired.hsts_s}" always;
    add_header Retry-After $retry_after always;
    add_header {SITE_HEADER} $dr_site always;"""


def local() -> str:
    """Sets `$local`: which of the two on this host takes requests, looked at with each one."""
    return f"""    set $local http://shop_local;
    if (-f {SPARE_LEADS}) {{
      set $local http://shop_spare;
    }}"""
