"""Nova's refusals."""

from __future__ import annotations

from lab.cloud.faults import bad_request, not_found, reply
from lab.cloud.web import ApiError, Reply

__all__ = ["bad_request", "not_found"]

_UNEXPECTED = "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if possible."
CELL_IS_DOWN = "nova.exception.NovaException"
NO_DATABASE = "oslo_db.exception.DBConnectionError"
NO_HOST = "No valid host was found. There are not enough hosts available."


def render(error: ApiError) -> Reply:
    return reply(error, {"Content-Type": "application/json; charset=UTF-8"})


def forbidden(message: str) -> ApiError:
    return ApiError(403, message, "forbidden")


def conflict(message: str) -> ApiError:
    return ApiError(409, message, "conflictingRequest")


def unknown_server(server_id: str) -> ApiError:
    return not_found(f"Instance {server_id} could not be found.")


def wrong_state(action: str, server_id: str, kind: str, value: str | None) -> ApiError:
    """An action that the server's `vm_state` or `task_state` forbids."""
    return conflict(f"Cannot '{action}' instance {server_id} while it is in {kind} {value}")


def locked(server_id: str) -> ApiError:
    return conflict(f"Instance {server_id} is locked")


def not_ready(server_id: str) -> ApiError:
    """A server that no hypervisor has: not yet, or no more."""
    return conflict(f"Instance {server_id} is not ready")


def unexpected(kind: str) -> ApiError:
    """What Nova answers to an exception of its own that it does not know: `kind` is the exception's class."""
    return ApiError(500, f"{_UNEXPECTED}\n<class '{kind}'>", "computeFault")


def port_in_use(port_id: str) -> ApiError:
    return conflict(f"Port {port_id} is still in use.")


def not_written(what: str) -> ApiError:
    return ApiError(501, f"the lab's compute API does not know {what}", "notImplemented")


def over_quota(excess: list[tuple[str, int, int, int]]) -> ApiError:
    """`excess`: (resource, requested, used, limit) of each quota that does not suffice."""
    names, wanted, used, limit = (", ".join(str(row[i]) for row in excess) for i in range(4))
    return forbidden(f"Quota exceeded for {names}: Requested {wanted}, but already used {used} of {limit} {names}")
