"""Faults of a region's compute API and of what it knows of its servers. Each returns the detail that is in force, and how to end it."""

from __future__ import annotations

import re

from lab.cloud.compute import ComputeService, staging
from lab.cloud.web import Service
from lab.namespace import LabError

ROWS = re.compile(r"[1-9][0-9]{0,3}")


def state(service: Service, server_id: str, detail: str) -> tuple[str, staging.Undo]:
    """Raises LabError for a state that cannot be put."""
    wanted = detail.upper()
    if wanted not in staging.STATES:
        raise LabError(f"state of a server: found {detail!r}, wanted one of {', '.join(staging.STATES)}", 2)
    return wanted, staging.put(_nova(service), server_id, wanted)


def cell_down(service: Service, server_id: str) -> tuple[str, staging.Undo]:
    return "", staging.cell_down(_nova(service), server_id)


def page_limit(service: Service, detail: str) -> tuple[str, staging.Undo]:
    """Raises LabError for what is no number of rows."""
    rows = detail or "2"
    if not ROWS.fullmatch(rows):
        raise LabError(f"page of a list of servers: found {rows!r}, wanted how many rows it has, as 2", 2)
    return rows, staging.page_limit(_nova(service), int(rows))


def _nova(service: Service) -> ComputeService:
    assert isinstance(service, ComputeService)
    return service
