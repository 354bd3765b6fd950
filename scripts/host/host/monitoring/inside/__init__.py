"""How busy a host's own servers are, by their own counters: PostgreSQL's views, Redis' INFO, nginx' status page. Never fails; unknown is None.

They are asked as `status` asks them, by the accounts that are there already: an exporter beside each would be another account, another process of some
20 MiB, and its own idea of a standby's lag. What asks one of them is read on hosts that have it alone: a timer runs this twice a minute everywhere.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from contract.plain import phrase

from ....frame.call import Call
from ....frame.layout import Layout
from ....postgres.layout import PostgresLayout

# By server: the module that asks it, and whether it was put on this host.
_SERVERS: dict[str, tuple[str, Callable[[Layout], bool]]] = {
    "postgres": ("database", lambda layout: PostgresLayout(layout).memory.exists()),
    "redis": ("cache", lambda layout: (layout.etc / "redis.json").exists()),
    "nginx": ("web", lambda layout: layout.at("/opt/shop/current").is_symlink()),
}


def inside(call: Call) -> dict[str, Any]:
    """By server; None for one that is not here, or does not say."""
    return {name: _asked(module, call) if here(call.layout) else None for name, (module, here) in _SERVERS.items()}


def _asked(module: str, call: Call) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = importlib.import_module(f"{__package__}.{module}").asked(call.layout)
    except Exception as error:
        call.log.warning(f"counters could not be read: {phrase(str(error), 120)}")
        return None
    return found
