"""Whether the shop is well, as this host finds it."""

from __future__ import annotations

import http.client
import json
from contextlib import suppress

from contract import fields
from contract.errors import Usage
from contract.forms import MOST_BYTES
from contract.services.web import Health

from ..frame.layout import Layout
from .names import PUMA, SPARE_LEADS, SPARE_PUMA

FILE = "/etc/shop/health.json"  # what `dr-host app status` goes by, which is told nothing
LOOK_S = 2.0


def leads(layout: Layout) -> bool:
    """Whether nginx sends requests to the process beside `web`."""
    return layout.at(SPARE_LEADS).is_file()


def at(layout: Layout) -> str:
    """Where requests go."""
    return SPARE_PUMA if leads(layout) else PUMA


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
