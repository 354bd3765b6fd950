"""Faults of APIs, and of what the compute API knows of its servers. Each returns the detail that is in force, and how to end it."""

from __future__ import annotations

import re
import threading

from lab.cloud.compute import ComputeService, staging
from lab.cloud.web import ApiError, Call, Reply, Service
from lab.namespace import LabError

HANGS_FOR_S = 300.0
REFUSALS = {
    "503": (503, "Service Unavailable"),
    "500": (500, "Internal Server Error"),
    "429": (429, "Too Many Requests"),
}
MODES = (*REFUSALS, "timeout", "half")
ROWS = re.compile(r"[1-9][0-9]{0,3}")


def ill(service: Service, detail: str) -> tuple[str, staging.Undo]:
    """It refuses everything, hangs, or ends its answers in the middle. Raises LabError for another mode."""
    mode = detail or "503"
    if mode not in MODES:
        raise LabError(f"API fault: found {mode!r}, wanted one of {', '.join(MODES)}", 2)
    over = threading.Event()

    def reply(call: Call) -> Reply | None:
        if mode == "timeout":
            over.wait(HANGS_FOR_S)
        return service.render_error(ApiError(*REFUSALS.get(mode, REFUSALS["503"])))

    def undo() -> None:
        service.fault, service.halves = None, False
        over.set()

    if mode == "half":
        service.halves = True
    else:
        service.fault = reply
    return mode, undo


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
