"""A tenant of a whole cloud of the lab: all services, a backend that takes notes, time that moves by hand. No sockets, no recordings."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from lab.cloud.backend import BackendError, RecordingBackend
from lab.cloud.config import CloudConfig, User, default_region
from lab.cloud.openstack import build
from lab.cloud.state import now
from lab.cloud.web import Call, Reply
from tests.lab.cloud.replay.world import StepWorker

PROJECT, PASSWORD, REGION = "0123456789abcdef0123456789abcdef", "open sesame", "GRA11"
PORTS = {"compute": 8774, "network": 9696, "image": 9292, "volumev3": 8776, "load-balancer": 9876}
NEED_A_MACHINE = frozenset(
    {"stop_server", "start_server", "reboot_server", "attach_volume", "detach_volume", "server_running"}
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ0xQ9vWqT6xQm3bYb1p1mD8b0l1r5tq7s8u9v0w1x2 shop"


class StrictBackend(RecordingBackend):
    """Refuses what the real machinery refuses: power and volume calls about a server that it never booted or has deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.machines: set[str] = set()
        self.crashed: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        record = super().__getattr__(name)

        def call(*args: Any) -> Any:
            server_id = args[0].server_id if name == "boot_server" else args[1] if len(args) > 1 else ""
            if name in NEED_A_MACHINE and server_id not in self.machines:
                raise BackendError(f"server {server_id}: not a machine of region {args[0]}")
            answer = record(*args)
            if name == "boot_server":
                self.machines.add(server_id)
            elif name == "delete_server":
                self.machines.discard(server_id)
            return server_id not in self.crashed if name == "server_running" else answer

        return call

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


class Tenant:
    """Requests of the project's user in region GRA11. `settle` lets everything that is under way come to its end."""

    def __init__(self, rate_limits: dict[str, float] | None = None, **quotas: int) -> None:
        endpoints = {kind: f"http://203.0.113.2:{port}" for kind, port in PORTS.items()}
        region = default_region(
            REGION,
            endpoints,
            cidr="203.0.113.0/24",
            gateway="203.0.113.1",
            pool=("203.0.113.100", "203.0.113.250"),
            quotas=quotas,
        )
        self.backend = StrictBackend()
        self.config = CloudConfig(
            auth_url="http://192.0.2.10:5000/v3",
            project_id=PROJECT,
            project_name="shop",
            users=(User(name="dr", password=PASSWORD, id="f" * 32),),
            regions=(region,),
            rate_limits=rate_limits or {},
        )
        self.openstack = build(self.config, self.backend)
        self.cloud = self.openstack.cloud
        self.worker = StepWorker()
        self.cloud.worker = self.worker
        self.image, self.flavor = region.images[0].id, next(item.id for item in region.flavors if item.name == "d2-2")
        self.token = ""
        self.token = self.login().headers["X-Subject-Token"]

    def ask(self, kind: str, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        plain, _, query = path.partition("?")
        sent = {"x-auth-token": self.token, **{name.replace("_", "-"): value for name, value in headers.items()}}
        call = Call(method=method, path=plain, query=parse_qs(query), headers=sent, body=body, raw=b"", url=path)
        return self.openstack.services[kind, "" if kind == "identity" else REGION].handle(call)

    def ok(self, kind: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer's first member, as `server` of {"server": ...}."""
        reply = self.ask(kind, method, path, body, **headers)
        assert reply.status < 300, (method, path, reply.status, reply.body)
        return next(iter(reply.body.values())) if reply.body else None

    def login(self, password: str = PASSWORD) -> Reply:
        user = {"name": "dr", "password": password, "domain": {"name": "Default"}}
        scope = {"project": {"name": "shop", "domain": {"name": "Default"}}}
        return self.ask(
            "identity",
            "POST",
            "/v3/auth/tokens",
            {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}},
        )

    def expire(self) -> None:
        token = self.cloud.tokens[self.token]
        self.cloud.tokens[self.token] = dataclasses.replace(token, expires=now() - timedelta(seconds=1))

    def settle(self) -> None:
        self.worker.settle()

    def network(self) -> str:
        network = self.ok("network", "POST", "/v2.0/networks", {"network": {"name": "front"}})["id"]
        self.ok(
            "network",
            "POST",
            "/v2.0/subnets",
            {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.1.0.0/24"}},
        )
        return str(network)

    def port(self, network: str) -> str:
        return str(self.ok("network", "POST", "/v2.0/ports", {"port": {"network_id": network}})["id"])

    def post_server(self, nic: dict[str, str] | None, hints: dict[str, Any] | None = None, **more: Any) -> Reply:
        server = {
            "name": "web",
            "flavorRef": self.flavor,
            "imageRef": self.image,
            **({"networks": [nic]} if nic else {}),
            **more,
        }
        return self.ask(
            "compute", "POST", "/v2.1/servers", {"server": server, **({"os:scheduler_hints": hints} if hints else {})}
        )

    def server(self, nic: dict[str, str], hints: dict[str, Any] | None = None, **more: Any) -> str:
        """A server that runs."""
        reply = self.post_server(nic, hints, **more)
        assert reply.status == 202, reply.body
        self.settle()
        return str(reply.body["server"]["id"])

    def state(self, server: str) -> tuple[str, str | None]:
        """(status, task) as the API shows them; ("gone", None) once it is 404."""
        reply = self.ask("compute", "GET", f"/v2.1/servers/{server}")
        if reply.status == 404:
            return "gone", None
        return reply.body["server"]["status"], reply.body["server"]["OS-EXT-STS:task_state"]

    def states(self, server: str) -> list[tuple[str, str | None]]:
        """Every state from now until nothing is under way, each once."""
        seen = [self.state(server)]
        while self.worker.step():
            if (state := self.state(server)) != seen[-1]:
                seen.append(state)
        return seen

    def volume(self, size: int = 10) -> str:
        volume = self.ok("volumev3", "POST", f"/v3/{PROJECT}/volumes", {"volume": {"name": "data", "size": size}})["id"]
        self.settle()
        return str(volume)

    def volume_status(self, volume: str) -> str:
        return str(self.ok("volumev3", "GET", f"/v3/{PROJECT}/volumes/{volume}")["status"])

    def attach(self, server: str, volume: str) -> Reply:
        return self.ask(
            "compute",
            "POST",
            f"/v2.1/servers/{server}/os-volume_attachments",
            {"volumeAttachment": {"volumeId": volume}},
        )
