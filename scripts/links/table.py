"""The table of links: which module holds a link's `run`. A link is added by its row here and its limit in `limits.py`."""

from __future__ import annotations

_MODULES = {
    "fence": "fence",
    "turn": "turn",
    "verify": "verify",
    "pointer": "pointer",
    "forward": "forward",
    "replication": "replication",
    "keeper": "keeper",
}
# Imported only when called for: each link is a process of its own, on the path of a failover.
LINKS = {name: f"{__package__}.{module}" for name, module in _MODULES.items()}
