"""The lab's control socket: one JSON object per line each way, for `lab status`, `lab fault` and the drills."""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.namespace import LabError, Places

log = logging.getLogger("lab.control")
LIMIT_S = 120.0
Operation = Callable[..., Any]


def call(places: Places, operation: str, **arguments: Any) -> Any:
    """Ask the running lab. Raises LabError with what it says, or that there is none."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LIMIT_S)
            connection.connect(str(places.socket))
            connection.sendall(json.dumps({"op": operation, "arguments": arguments}).encode() + b"\n")
            line = connection.makefile().readline()
    except TimeoutError:
        raise LabError(f"lab {places.name}: no answer to {operation} within {LIMIT_S:g} s; see {places.log}") from None
    except PermissionError:
        raise LabError(
            f"user: found uid {os.geteuid()}, wanted root, whose the lab is; run the same with sudo", 2
        ) from None
    except (FileNotFoundError, ConnectionError):
        raise LabError(
            f"lab {places.name}: not running, wanted a running one for this; start it with `lab up`", 3
        ) from None
    if not line:
        raise LabError(f"lab {places.name}: ended in the middle of {operation}; see {places.log}")
    said = json.loads(line)
    if "error" in said:
        raise LabError(str(said["error"]), int(said["code"]))
    return said["result"]


class Server:
    """Serves operations by name. What an operation raises as LabError is the caller's answer; anything else is logged as the lab's own fault."""

    def __init__(self, path: Path, operations: dict[str, Operation]) -> None:
        path.unlink(missing_ok=True)

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    self.wfile.write(json.dumps(answer(operations, line)).encode() + b"\n")

        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self._server.daemon_threads = True
        path.chmod(0o600)
        self._thread = threading.Thread(target=self._server.serve_forever, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def answer(operations: dict[str, Operation], line: bytes) -> dict[str, Any]:
    """One request to its answer: {"result"} or {"error", "code"}."""
    try:
        request = json.loads(line)
        operation = operations[request["op"]]
    except (ValueError, KeyError, TypeError):
        return {
            "error": f"control socket: {line[:80]!r} is not a request, wanted {{'op': one of {', '.join(operations)}}}",
            "code": 2,
        }
    try:
        return {"result": operation(**request.get("arguments", {}))}
    except LabError as error:
        return {"error": str(error), "code": error.code}
    except Exception as error:
        log.exception("operation %s failed", request["op"])
        return {"error": f"{request['op']}: {type(error).__name__}: {error}; the lab's log has more", "code": 1}
