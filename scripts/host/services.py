"""The table of services: which module holds a service's `VERBS`. A service is added by its row here and its room beside this file."""

from __future__ import annotations

_ROOMS = {
    "host": "host.verbs",
    "postgres": "postgres.verbs",
    "redis": "redis.verbs",
    "app": "app.verbs",
    "assets": "assets",
    "agent": "agent.verbs",
    "archive": "archive.verbs",
    "certificate": "host.certificate.verbs",
    "guard": "guard",
    "monitoring": "host.monitoring.verbs",
    "logs": "host.logs.verbs",
}
# Imported only when called for: a promotion must not wait for the code of other services.
SERVICES = {name: f"{__package__}.{module}" for name, module in _ROOMS.items()}
