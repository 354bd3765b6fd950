"""Two regions with Neutron and Octavia in front of a backend that only takes notes, and a client for them. No sockets, no root."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.cloud import loadbalancer, network
from lab.cloud.backend import RecordingBackend
from lab.cloud.config import CloudConfig, Delays, User, default_region
from lab.cloud.state import Cloud, Token, now
from lab.cloud.web import Call, Reply, Service

PROJECT = "0123456789abcdef0123456789abcdef"
A, B = "GRA11", "SBG5"


class NotingBackend(RecordingBackend):
    """Takes notes as its base does, and counts the calls that were made while the caller held the cloud's lock: there must be none."""

    def __init__(self) -> None:
        super().__init__()
        self.cloud: Cloud | None = None
        self.locked_calls: list[str] = []
        self.health: dict[str, str] = {}
        self.hold: dict[
            str, tuple[threading.Event, threading.Event]
        ] = {}  # a call sets the first and waits for the second, once

    def __getattr__(self, name: str) -> Any:
        record = super().__getattr__(name)

        def call(*args: Any) -> Any:
            if self.cloud is not None and self.cloud.lock._is_owned():  # type: ignore[attr-defined]
                self.locked_calls.append(name)
            arrived, go_on = self.hold.pop(name, (None, None))
            if arrived is not None and go_on is not None:
                arrived.set()
                go_on.wait(10)
            answer = record(*args)
            return dict(self.health) if name == "balancer_health" else answer

        return call

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of all calls of one name, in order."""
        return [args for called, args in self.calls if called == name]

    def last(self, name: str) -> Any:
        """The last argument of the last call of one name."""
        return self.of(name)[-1][-1]


class Client:
    """Calls one service as the project's user does."""

    def __init__(self, service: Service, token: str) -> None:
        self.service, self.token = service, token

    def call(self, method: str, path: str, body: Any = None, raw: bytes | None = None, **headers: str) -> Reply:
        parts = urlsplit(path)
        sent = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        return self.service.handle(
            Call(
                method=method,
                path=parts.path,
                query=parse_qs(parts.query, keep_blank_values=True),
                headers={
                    "x-auth-token": self.token,
                    **{name.replace("_", "-"): value for name, value in headers.items()},
                },
                body=body,
                raw=sent,
                url=path,
            )
        )

    def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer's only member (the record or the list), or the whole body when there are more; fails on a refusal."""
        reply = self.call(method, path, body, None, **headers)
        assert reply.status < 300, (method, path, reply.status, reply.body)
        if isinstance(reply.body, dict):
            members = {name: value for name, value in reply.body.items() if not name.endswith("_links")}
            return next(iter(members.values())) if len(members) == 1 else members
        return reply.body

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, str]:
        """(status, kind, message) of a refusal."""
        reply = self.call(method, path, body, None, **headers)
        assert reply.status >= 400, (method, path, reply.status, reply.body)
        fault = reply.body.get("NeutronError", {})
        return (
            reply.status,
            fault.get("type", reply.body.get("faultcode", "")),
            fault.get("message", reply.body.get("faultstring", "")),
        )


class Fabric:
    """`neutron` and `octavia` by region."""

    def __init__(self, delays: Delays | None = None, quotas: dict[str, int] | None = None) -> None:
        endpoints = {"network": "http://203.0.113.2:9696", "load-balancer": "http://203.0.113.2:9876"}
        regions = tuple(
            default_region(
                name,
                endpoints,
                cidr=f"{prefix}.0/24",
                gateway=f"{prefix}.1",
                pool=(f"{prefix}.10", f"{prefix}.250"),
                quotas=quotas,
            )
            for name, prefix in ((A, "203.0.113"), (B, "198.51.100"))
        )
        user = User(name="dr", password="secret", id="f" * 32)
        config = CloudConfig(
            auth_url="http://192.0.2.10:5000/v3",
            project_id=PROJECT,
            project_name="shop",
            users=(user,),
            regions=regions,
            delays=delays or Delays(balancer=0.0, floating_ip=0.0),
        )
        self.backend = NotingBackend()
        self.cloud = Cloud(config, self.backend)
        self.backend.cloud = self.cloud
        token = self.issue("member", "reader", "load-balancer_member")
        self.neutron = {region.name: Client(network.service(self.cloud, region.name), token) for region in regions}
        self.octavia = {region.name: Client(loadbalancer.service(self.cloud, region.name), token) for region in regions}

    def issue(self, *roles: str) -> str:
        """A token of a user with these roles."""
        identity = f"token-{'-'.join(roles)}"
        moment = now()
        self.cloud.tokens[identity] = Token(
            id=identity,
            user_id="f" * 32,
            user_name="dr",
            project_id=PROJECT,
            roles=roles,
            issued=moment,
            expires=moment + timedelta(hours=1),
            audit_id="audit",
        )
        return identity

    def network(self, cidr: str = "10.1.0.0/24", region: str = A, **more: Any) -> tuple[str, str]:
        """A network with one subnet: their ids. `vlan` makes it a vRack one; the rest goes to the subnet."""
        values: dict[str, Any] = {"name": "net"}
        if (vlan := more.pop("vlan", None)) is not None:
            values |= {"provider:network_type": "vrack", "provider:segmentation_id": str(vlan)}
        net = self.neutron[region].ok("POST", "/v2.0/networks", {"network": values})
        wanted = {"network_id": net["id"], "ip_version": 4, "cidr": cidr, **more}
        return net["id"], self.neutron[region].ok("POST", "/v2.0/subnets", {"subnet": wanted})["id"]

    def port(self, network_id: str, region: str = A, **more: Any) -> Any:
        return self.neutron[region].ok("POST", "/v2.0/ports", {"port": {"network_id": network_id, **more}})

    def group(self, *rules: dict[str, Any], region: str = A) -> str:
        """A security group with these rules and no others."""
        neutron = self.neutron[region]
        group = neutron.ok("POST", "/v2.0/security-groups", {"security_group": {"name": "g"}})
        for rule in group["security_group_rules"]:
            neutron.ok("DELETE", f"/v2.0/security-group-rules/{rule['id']}")
        for rule in rules:
            wanted = {"security_group_id": group["id"], "direction": "ingress", **rule}
            neutron.ok("POST", "/v2.0/security-group-rules", {"security_group_rule": wanted})
        return str(group["id"])

    def routed(self, subnet_id: str, region: str = A) -> str:
        """A router on Ext-Net with an interface on the subnet."""
        neutron = self.neutron[region]
        gateway = {"network_id": self.cloud.settings(region).external.id}
        router = neutron.ok("POST", "/v2.0/routers", {"router": {"name": "r", "external_gateway_info": gateway}})
        neutron.ok("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet_id})
        return str(router["id"])

    def close(self) -> None:
        self.cloud.close()
