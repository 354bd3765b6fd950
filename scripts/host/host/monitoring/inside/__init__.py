"""How busy a host's own servers are, by their own counters: PostgreSQL's views, Redis' INFO, nginx' status page. Never fails; unknown is None.

They are asked as `status` asks them, by the accounts that are there already: an exporter beside each would be another account, another process of some
20 MiB, and its own idea of a standby's lag. What asks one of them is read on hosts that have it alone: a timer runs this twice a minute everywhere.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from contract.plain import phrase

from ....frame.call import Call
from ....frame.layout import Layout
from ....postgres.layout import PostgresLayout

BESIDE = "inside."  # before the name of a server that is asked for its counters alone
# By server: the module that asks it, and whether it was put on this host.
_SERVERS: dict[str, tuple[str, Callable[[Layout], bool]]] = {
    "postgres": ("database", lambda layout: PostgresLayout(layout).memory.exists()),
    "redis": ("cache", lambda layout: (layout.etc / "redis.json").exists()),
    "nginx": ("web", lambda layout: layout.at("/opt/shop/current").is_symlink()),
}


def inside(layout: Layout) -> dict[str, Callable[[Call], dict[str, Any] | None]]:
    """The question to each server that is here; None for one that does not say. That to PostgreSQL stands in the place of its status, which it has too."""
    names = {name: name if name == "postgres" else f"{BESIDE}{name}" for name in _SERVERS}
    return {names[name]: partial(_asked, module) for name, (module, here) in _SERVERS.items() if here(layout)}


def gathered(told: dict[str, Any]) -> dict[str, Any]:
    """The same with all counters at `inside`, by server. Pure."""
    found = {name.removeprefix(BESIDE): it for name, it in told.items() if name.startswith(BESIDE)}
    rest = {name: it for name, it in told.items() if not name.startswith(BESIDE)}
    return {**rest, "inside": {**found, "postgres": (told.get("postgres") or {}).get("inside")}}


def _asked(module: str, call: Call) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = importlib.import_module(f"{__package__}.{module}").asked(call.layout)
    except Exception as error:
        call.log.warning(f"counters could not be read: {phrase(str(error), 120)}")
        return None
    return found
