"""A compute service in memory, as Nova answers: pages, cells that do not answer, `os-stop` taken by ACTIVE and ERROR alone."""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest

from scripts.clients.compute import VERSION, Compute
from scripts.clients.openstack import ApiDown

STOPPABLE = ("ACTIVE", "ERROR")


class Nova:
    """`down`: what every question raises. `page`: servers in one answer. `dead`: ids in cells that do not answer. `newest`: False before 2.69."""

    def __init__(self) -> None:
        self.servers: dict[str, dict[str, Any]] = {}
        self.down: ApiDown | None = None
        self.page, self.newest = 1000, True
        self.dead: set[str] = set()
        self.asked: list[tuple[str, str]] = []  # (action, name)
        self.looks = 0
        self.on_stop: Callable[[dict[str, Any]], None] = lambda server: server.update(
            {"status": "SHUTOFF", "OS-EXT-STS:power_state": 4}
        )
        self.on_look: Callable[[], None] = lambda: None

    def add(self, identity: str, name: str, status: str = "ACTIVE", **more: Any) -> dict[str, Any]:
        power = {"ACTIVE": 1, "PAUSED": 3, "SUSPENDED": 4}.get(status, 4 if status.startswith("SH") else 1)
        server = {
            "id": identity,
            "name": name,
            "status": status,
            "OS-EXT-STS:task_state": None,
            "OS-EXT-STS:power_state": power,
            "locked": False,
        } | more
        self.servers[identity] = server
        return server

    def install(self, patch: pytest.MonkeyPatch) -> Nova:
        patch.setattr(Compute, "connect", lambda _: self._up())
        patch.setattr(Compute, "url", lambda _, service, path: f"http://nova{path}")

        def ask(client: Compute, method: str, service: str, path: str, body: Any = None) -> dict[str, Any]:
            return self.ask(client, method, service, path, body)

        patch.setattr(Compute, "ask", ask)
        return self

    def _up(self) -> None:
        if self.down is not None:
            raise self.down

    def all_asked(self) -> list[tuple[str, str]]:
        """Sorted, once the requests that nobody waits for have ended."""
        for thread in threading.enumerate():
            if thread.name in self.servers:
                thread.join(10)
        return sorted(self.asked)

    def ask(self, client: Any, method: str, service: str, path: str, body: Any = None) -> dict[str, Any]:
        self._up()
        if client.extra and not self.newest:
            raise ApiDown(f"answered 406: {VERSION} is not supported", 406)
        head, _, query = path.partition("?")
        if head == "/servers/detail":
            return self._detail(bool(client.extra), urllib.parse.parse_qs(query).get("marker", [""])[0])
        identity = head.split("/")[2]
        if identity in self.dead and not (client.extra and method == "GET"):
            raise ApiDown("answered 500 Internal Server Error", 500)
        if identity not in self.servers:
            raise ApiDown("answered 404 Not Found", 404, f"Instance {identity} could not be found.")
        server = self.servers[identity]
        if method == "GET":
            self.looks += 1
            self.on_look()
            return {"server": {"id": identity, "status": "UNKNOWN"} if identity in self.dead else dict(server)}
        return self._act(server, next(iter(body)))

    def _detail(self, newest: bool, marker: str) -> dict[str, Any]:
        self.looks += 1
        self.on_look()
        shown = [
            dict(each) if each["id"] not in self.dead else {"id": each["id"], "status": "UNKNOWN"}
            for each in self.servers.values()
            if newest or each["id"] not in self.dead
        ]
        ids = [each["id"] for each in shown]
        begin = ids.index(marker) + 1 if marker else 0
        page = shown[begin : begin + self.page]
        if len(page) < self.page or shown[-1] == page[-1]:
            return {"servers": page}
        following = {"rel": "next", "href": f"http://elsewhere/servers/detail?marker={page[-1]['id']}"}
        return {"servers": page, "servers_links": [following]}

    def _act(self, server: dict[str, Any], action: str) -> dict[str, Any]:
        self.asked.append((action, server["name"]))
        if action == "os-start":
            server.update({"status": "ACTIVE", "OS-EXT-STS:power_state": 1})
            return {}
        if server["locked"]:
            raise ApiDown("answered 409 Conflict", 409, f"Instance {server['id']} is locked")
        if server["status"] not in STOPPABLE:
            words = f"Cannot 'stop' instance {server['id']} while it is in vm_state {server['status'].lower()}"
            raise ApiDown("answered 409 Conflict", 409, words)
        self.on_stop(server)
        return {}
