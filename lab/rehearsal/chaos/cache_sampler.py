"""Runs on a cache host of the lab: every 100 ms, does this cache take a write? One JSON line a sample. Standard library.

Copied to the host and started as a unit there, as `sampler.py` is on database hosts. A master whose writers are held, as for the moment of a handover, is no
writer: only a write that was acknowledged counts. `{"t": wall clock of the answer, "writer": true | false}`. Its document (JSON, second
argument): {"name", "address", "port", "ca": PEM, "user", "password"}.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

EVERY_S, ANSWER_S = 0.1, 1.0
KEY, KEPT_MS = "lab:sampler", 5000


def command(*words: str) -> bytes:
    """As the server reads it."""
    parts = [b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(parts)


class Cache:
    """One signed-in connection. Raises OSError."""

    def __init__(self, told: dict[str, Any]) -> None:
        context = ssl.create_default_context(cadata=told["ca"])
        plain = socket.create_connection((told["address"], told["port"]), timeout=ANSWER_S)
        self._socket = context.wrap_socket(plain, server_hostname=told["name"])
        self._stream = self._socket.makefile("rb")
        self.ask("AUTH", told["user"], told["password"])

    def ask(self, *words: str) -> bool:
        """Whether the answer is OK; every question of this file has an answer of one line."""
        self._socket.sendall(command(*words))
        line = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("connection lost")
        return line.startswith(b"+OK")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def main(path: str, document: str) -> None:
    """Until it is killed."""
    told = json.loads(Path(document).read_text())
    cache: Cache | None = None
    with Path(path).open("a", buffering=1) as out:
        while True:
            began, writer = time.time(), False
            try:
                cache = cache or Cache(told)
                writer = cache.ask("SET", KEY, str(began), "PX", str(KEPT_MS))
            except OSError:
                if cache is not None:
                    cache.close()
                cache = None
            out.write(json.dumps({"t": time.time(), "writer": writer}) + "\n")
            time.sleep(max(0.0, EVERY_S - (time.time() - began)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
