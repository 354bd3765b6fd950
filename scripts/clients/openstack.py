"""The OpenStack API in the few calls that the operator's side needs: a token and the catalog, then plain requests.

Plain HTTP: a fence must not wait for service discovery, and it asks a region that is half dead. What it asks of servers is in `compute.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from email.message import Message
from http import HTTPStatus
from typing import Any

from contract.access import OpenStack
from contract.errors import Failed
from contract.plain import shown
from scripts.clients import http

ANSWER_S = 5.0  # a call, all of it
PATH = re.compile(r"/[A-Za-z0-9/_.~?=&%:,+-]*")


class ApiDown(Failed):
    """The API did not answer, or refused: `status` is its HTTP status then, None without an answer; `words`: its own text, for a refused action."""

    def __init__(self, message: str, status: int | None = None, words: str = "") -> None:
        super().__init__(message)
        self.status, self.words = status, words


class Cloud:
    """One region of a project. `answer_s`: for each call."""

    extra: Mapping[str, str] = {}  # headers of every request, for a microversion

    def __init__(self, project: OpenStack, region: str, answer_s: float = ANSWER_S) -> None:
        self._project, self.region, self._answer_s = project, region, answer_s
        self._token = ""
        self._endpoints: dict[str, str] = {}
        self.token: Mapping[str, Any] = {}  # what Keystone says of it, as it came

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
        self.token = token if isinstance(token, dict) else {}

    def url(self, service: str, path: str) -> str:
        """The address of `path` at a service of this region, by the catalog's type ("compute"). Raises ApiDown, also for a path that leads elsewhere."""
        if not PATH.fullmatch(path) or ".." in path:
            raise ApiDown(
                f"OpenStack, {service} of region {self.region}: {shown(path)} is no path of ours; an id in it is none"
            )
        if service not in self._endpoints:
            raise ApiDown(
                f"OpenStack at {self._project.auth_url}: has no {service} endpoint for region {self.region}; check compute_region"
            )
        found = self._endpoints[service]
        if found.startswith("http:") and self._project.auth_url.startswith("https:"):
            raise ApiDown(
                f"OpenStack at {self._project.auth_url}: its catalog names {shown(found)} for {service}, wanted an https:// URL as Keystone's own is; "
                "the token would go there for anybody to read, so nothing was sent"
            )
        return found + path

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
        headers = {"Accept": "application/json", "Content-Type": "application/json", **self.extra}
        if self._token:
            headers["X-Auth-Token"] = self._token
        data = None if body is None else json.dumps(body).encode()
        try:
            reply = http.ask(method, url, headers=headers, body=data, limit_s=self._answer_s)
            if not reply.ok:
                raise ApiDown(f"{asked}: {reply.refusal}", reply.status, self._words(reply))
            document = reply.document()
        except http.NoAnswer as error:
            raise ApiDown(f"{asked}: {error}") from None
        if document is not None and not isinstance(document, dict):
            raise ApiDown(f"{asked}: answered {reply.status} with JSON that is no object, wanted one")
        return document or {}, reply.headers

    def _words(self, reply: http.Reply) -> str:
        """What the platform says of a refusal: `{"conflictingRequest": {"message": ...}}`. Nothing before the log-in, whose body holds the password."""
        if not self._token:
            return ""
        try:
            found = reply.document()
        except http.NoAnswer:
            return ""
        inner = next(iter(found.values()), None) if isinstance(found, dict) else None
        text = inner.get("message") if isinstance(inner, dict) else None
        return http.plain(text.replace(self._token, "...")) if isinstance(text, str) else ""


def _endpoints(catalog: list[Any], region: str) -> Iterator[tuple[str, str]]:
    """Type and address of each service that a region offers to everybody; what says less than that is not for us."""
    services = [each for each in catalog if isinstance(each, dict) and isinstance(each.get("endpoints"), list)]
    for service, point in ((each, point) for each in services for point in each["endpoints"]):
        if not isinstance(point, dict) or (point.get("interface"), point.get("region_id")) != ("public", region):
            continue
        kind, url = service.get("type"), point.get("url")
        if isinstance(kind, str) and isinstance(url, str):
            yield kind, url.rstrip("/")


def act(cloud: Cloud, server_id: str, action: str) -> str:
    """Ask a server for `os-stop` or `os-start`. The platform's own words where it does not take that now; empty when it does. Raises ApiDown."""
    try:
        cloud.ask("POST", "compute", f"/servers/{server_id}/action", {action: None})
    except ApiDown as error:
        # 409: on its way, or there already; 404: still being scheduled, or just deleted. The next look tells which.
        if error.status not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
            raise
        return error.words or f"answered {error.status}"
    return ""
