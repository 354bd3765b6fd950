"""Which of Debian's packages monitoring is made of."""

from __future__ import annotations

from ..hosts import CONTROL

EXPORTERS = ("prometheus-node-exporter",)
WATCHERS = ("prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter")


def packages(kind: str) -> tuple[str, ...]:
    """Of one kind of host; installed by `monitoring converge`, once there is what they are told."""
    return (*EXPORTERS, *(WATCHERS if kind == CONTROL else ()))
