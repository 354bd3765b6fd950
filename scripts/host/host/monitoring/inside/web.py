"""What nginx counts itself."""

from __future__ import annotations

import http.client
import re
from typing import Any

from ....app.names import NGINX_STATUS
from ....frame.layout import Layout

NGINX_S, NGINX_BYTES = 2.0, 4096
_NGINX = re.compile(r"Active connections: (\d+)\s+server accepts handled requests\s+\d+ \d+ (\d+)")


def asked(_: Layout) -> dict[str, Any] | None:
    """Of this host's, at its status page on loopback."""
    host, port = NGINX_STATUS.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=NGINX_S)
    try:
        connection.request("GET", "/")
        return said(connection.getresponse().read(NGINX_BYTES).decode(errors="replace"))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def said(page: str) -> dict[str, Any] | None:
    """What its status page says. Pure."""
    found = _NGINX.search(page)
    return None if found is None else {"connections": int(found[1]), "requests": int(found[2])}
