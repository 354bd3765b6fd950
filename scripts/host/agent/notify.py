"""Words to the service manager, as sd_notify(3) sends them."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send `state`, such as "READY=1"; False when nobody listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)  # a service manager that does not read must not hold up the lease
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return False
    return True
