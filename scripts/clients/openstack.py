"""The OpenStack API in the few calls that the operator's side needs: a token and the catalog, then plain requests; for a fence, stop and start.

Plain HTTP: a fence must not wait for service discovery, and it asks a region that is half dead.
API: https://docs.openstack.org/api-ref/compute/ (microversion 2.1).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from email.message import Message
from http import HTTPStatus
from typing import Any

from contract.access import OpenStack
from contract.errors import Failed
from scripts.clients import http

ANSWER_S = 5.0  # a call, all of it


class ApiDown(Failed):
    """The API did not answer, or refused: `status` is its HTTP status then, None without an answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Cloud:
    """One region of a project. `answer_s`: for each call."""

    def __init__(self, project: OpenStack, region: str, answer_s: float = ANSWER_S) -> None:
        self._project, self.region, self._answer_s = project, region, answer_s
        self._token = ""
        self._endpoints: dict[str, str] = {}

    def connect(self) -> None:
        """Log in and read the region's endpoints. Raises ApiDown."""
        name = {"name": self._project.domain}
        user = {"name": self._project.user, "domain": name, "password": self._project.password}
        scope = {"project": {"id": self._project.project_id}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        url = self._project.auth_url.rstrip("/") + "/auth/tokens"
        answer, headers = self._ask("POST", url, body)
        token, granted = answer.get("token"), headers.get("X-Subject-Token", "")
        catalog = token.get("catalog") if isinstance(token, dict) else None
        if not isinstance(catalog, list) or not granted:
            raise ApiDown(
                f"OpenStack API {http.question('POST', url)}: answered without a token or a catalog of services; see whether dr:openstack.auth_url is "
                "that of Keystone, version 3"
            )
        self._token, self._endpoints = granted, dict(_endpoints(catalog, self.region))

    def url(self, service: str, path: str) -> str:
        """The address of `path` at a service of this region, by the catalog's type ("compute"). Raises ApiDown."""
        if service not in self._endpoints:
            raise ApiDown(
                f"OpenStack at {self._project.auth_url}: has no {service} endpoint for region {self.region}; check compute_region"
            )
        return self._endpoints[service] + path

    def ask(self, method: str, service: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call to a service of the region; the answer's JSON object, empty when there is none. Raises ApiDown."""
        return self._ask(method, self.url(service, path), body)[0]

    def find(self, service: str, path: str) -> dict[str, Any] | None:
        """What stands at `path`; None when there is nothing. Raises ApiDown."""
        try:
            return self.ask("GET", service, path)
        except ApiDown as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def delete(self, service: str, path: str) -> None:
        """Ask for a removal; what is gone already is fine. Raises ApiDown."""
        try:
            self.ask("DELETE", service, path)
        except ApiDown as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def _ask(self, method: str, url: str, body: dict[str, Any] | None) -> tuple[dict[str, Any], Message]:
        asked = f"OpenStack API {http.question(method, url)}"
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self._token:
            headers["X-Auth-Token"] = self._token
        data = None if body is None else json.dumps(body).encode()
        try:
            reply = http.ask(method, url, headers=headers, body=data, limit_s=self._answer_s)
            if not reply.ok:
                raise ApiDown(f"{asked}: {reply.refusal}", reply.status)
            document = reply.document()
        except http.NoAnswer as error:
            raise ApiDown(f"{asked}: {error}") from None
        if document is not None and not isinstance(document, dict):
            raise ApiDown(f"{asked}: answered {reply.status} with JSON that is no object, wanted one")
        return document or {}, reply.headers


def _endpoints(catalog: list[Any], region: str) -> Iterator[tuple[str, str]]:
    """Type and address of each service that a region offers to everybody; what says less than that is not for us."""
    services = [each for each in catalog if isinstance(each, dict) and isinstance(each.get("endpoints"), list)]
    for service, point in ((each, point) for each in services for point in each["endpoints"]):
        if not isinstance(point, dict) or (point.get("interface"), point.get("region_id")) != ("public", region):
            continue
        kind, url = service.get("type"), point.get("url")
        if isinstance(kind, str) and isinstance(url, str):
            yield kind, url.rstrip("/")


class Compute(Cloud):
    """What a fence asks of the region's compute service."""

    def servers(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The servers with these names, by name; a name that does not exist is absent. Raises ApiDown.

        A list in which one cannot be read, or that goes on elsewhere, is no list: whatever is absent from it would count as stopped. Nor does
        it answer when two servers bear one of the names, which Nova allows: either may be the one that writes.
        """
        answer, wanted = self.ask("GET", "compute", "/servers/detail"), set(names)
        listed, asked = (
            answer.get("servers"),
            f"OpenStack API {http.question('GET', self.url('compute', '/servers/detail'))}",
        )
        if not isinstance(listed, list) or not all(_is_server(item) for item in listed):
            raise ApiDown(f"{asked}: answered no list of servers with id, name and status each")
        if answer.get("servers_links"):
            raise ApiDown(
                f"{asked}: answered the first {len(listed)} servers of a longer list, wanted all; too many servers in one project; give the shop its own"
            )
        found: dict[str, dict[str, Any]] = {}
        for server in (each for each in listed if each["name"] in wanted):
            other = found.setdefault(server["name"], server)
            if other is not server:
                raise ApiDown(
                    f"region {self.region}: two servers are called {server['name']} ({other['id']} and {server['id']}), wanted one; "
                    "delete or rename the one that is not this installation's"
                )
        return found

    def settle(self, names: Iterable[str], action: str, state: str, limit_s: float) -> dict[str, str]:
        """Send `os-stop` or `os-start` to the servers that are not in `state`, and wait until all are. Returns the id of each.

        A server that does not exist counts as stopped, never as started. Raises ApiDown with what was last seen.
        """
        wanted = sorted(names)
        deadline, pause, asked = time.monotonic() + limit_s, 0.2, set[str]()
        while True:
            found = self.servers(wanted)
            seen = {name: found[name]["status"] if name in found else "absent" for name in wanted}
            if all(status == state or (status == "absent" and state == "SHUTOFF") for status in seen.values()):
                return {name: found[name]["id"] for name in wanted if name in found}
            for name, server in found.items():
                if server["status"] != state and name not in asked:
                    act(self, server["id"], action)
                    asked.add(name)
            if time.monotonic() > deadline:
                text = ", ".join(f"{name} is {status}" for name, status in seen.items() if status != state)
                raise ApiDown(f"region {self.region}: after {limit_s:.0f} s {text}; wanted {state}")
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)


def _is_server(item: Any) -> bool:
    return isinstance(item, dict) and all(isinstance(item.get(key), str) for key in ("id", "name", "status"))


def act(cloud: Cloud, server_id: str, action: str) -> None:
    """Ask a server for `os-stop` or `os-start`. Raises ApiDown."""
    try:
        cloud.ask("POST", "compute", f"/servers/{server_id}/action", {action: None})
    except ApiDown as error:
        if error.status != HTTPStatus.CONFLICT:  # already on its way, or already there: the next look tells
            raise
