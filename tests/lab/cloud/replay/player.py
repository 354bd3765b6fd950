"""Plays flows in order against one world each, and keeps what differed.

Requests go out one after the other, as they were recorded. A read of something that changes is repeated, and the change moved on by one
step each time, until the answer is the recorded one; so intermediate states have to appear, in their order.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from lab.cloud.identity import models as identity
from lab.cloud.state import now
from lab.cloud.web import Call, Reply
from tests.lab.cloud.replay import recording
from tests.lab.cloud.replay.compare import Comparison, Verdict, names_in, translate
from tests.lab.cloud.replay.exemptions import QUOTAS, UNRECORDED, exempt, skipped, trimmed
from tests.lab.cloud.replay.recording import Flow, Note, Row
from tests.lab.cloud.replay.world import PASSWORD, REGION, World

SERVICES = {
    "identity": "identity",
    "compute": "compute",
    "network": "network",
    "image": "image",
    "volume": "volumev3",
    "load-balancer": "load-balancer",
}
HEADERS = (
    "location",
    "retry-after",
    "www-authenticate",
    "openstack-api-version",
    "x-openstack-nova-api-version",
    "x-subject-token",
    "vary",
)
_BUSY = ("is immutable and cannot be updated", "Invalid state PENDING_UPDATE")


@dataclass(frozen=True)
class Difference:
    flow: str
    row: Row
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.row}: {self.where}: {self.what}"


class Player:
    """Plays flows of one chain; `play` plays the flows before it first."""

    def __init__(self, chain: tuple[str, ...]) -> None:
        self.chain = chain
        self.world = World()
        self.known: dict[str, str] = {"10.99.0.5": "10.99.0.1"}  # inner and public address of the recorded services
        self.found: dict[str, list[Difference]] = {}
        self.token = ""
        self.mentions: dict[int, set[str]] = {}
        self.common = names_in(dataclasses.asdict(self.world.config))
        self._requests = 0
        self._waiting: list[Row] = []

    def play(self, name: str) -> list[Difference]:
        """The differences of a flow."""
        for before in self.chain[: self.chain.index(name) + 1]:
            if before not in self.found:
                self.found[before] = self._flow(recording.load(before))
        return self.found[name]

    def _flow(self, flow: Flow) -> list[Difference]:
        found: list[Difference] = []
        self._waiting = []
        self.world.set_quotas(**QUOTAS.get((flow.name, ""), {}))
        self._log_in()
        self._prepare(flow.name, "")
        for step in flow.steps:
            if isinstance(step, Note):
                self.world.set_quotas(**QUOTAS.get((flow.name, step.text), QUOTAS.get((flow.name, ""), {})))
                self._prepare(flow.name, step.text)
            elif skipped(flow.name, step) is None:
                found += self._row(flow.name, step)
        found += [
            Difference(flow.name, row, "status", "refused as busy when recorded, the lab never was")
            for row in self._waiting
        ]
        self.world.settle()
        return found

    def _row(self, flow: str, row: Row) -> list[Difference]:
        """Play a row. One that the recorded service refused as busy waits until the lab is busy too: which of two requests
        at the same time comes first is chance."""
        if (hidden := UNRECORDED.get((flow, row.seq))) is not None:
            self.world.settle()
            self._behind("DELETE", translate(hidden[1], self.known), service=hidden[0])
            if row.status != 200 or hidden[0] not in SERVICES.get(row.service, ""):  # the row does not watch it go
                self.world.settle()
        if self._was_busy(row) and not self._is_busy():
            self._waiting.append(row)
            return []
        found = self._judge(flow, row)
        for waiting in list(self._waiting):
            if self._is_busy():
                self._waiting.remove(waiting)
                found += self._judge(flow, waiting)
        return found

    def _judge(self, flow: str, row: Row) -> list[Difference]:
        self._requests += 1
        number = self._requests
        best: tuple[list[Difference], Verdict, Reply] | None = None
        while True:
            reply = self._send(flow, row, number)
            verdict = self._compare(row, reply)
            left = [
                Difference(flow, row, where, what)
                for where, what in verdict.differences
                if not exempt(flow, row, where)
            ]
            if best is None or len(left) < len(best[0]):
                best = left, verdict, reply
            if not left or not self._again(row, reply) or not self._advance(row):
                break
        left, verdict, reply = best
        self.known.update(verdict.learned)
        self.mentions[number] = (
            names_in(translate(row.path, self.known)) | names_in(translate(row.request, self.known))
        ) - self.common
        self.mentions[number] |= names_in(reply.body) - self.common
        if reply.headers.get("X-Subject-Token") and row.method == "POST" and "catalog" in row.response["token"]:
            self.token = reply.headers["X-Subject-Token"]
        return left

    def _again(self, row: Row, reply: Reply) -> bool:
        """May the request be repeated? A read always; a change only when it was refused although it was not when recorded."""
        return row.method in ("GET", "HEAD") or (reply.status in (400, 404, 409) and row.status < 400)

    def _advance(self, row: Row) -> bool:
        """One step of a change that has to do with the row, else of any; False when nothing is under way."""
        wanted = names_in(translate([row.path, row.request], self.known)) - self.common
        origins = {origin for origin, names in self.mentions.items() if names & wanted}
        return self.world.worker.step(origins) or self.world.worker.step()

    def _compare(self, row: Row, reply: Reply) -> Verdict:
        comparison = Comparison(self.known)
        if row.status != reply.status:
            comparison.verdict.differences.append(
                ("status", f"recorded {row.status}, found {reply.status} {reply.body!r:.200}")
            )
            return comparison.verdict
        headers = {key.lower(): value for key, value in reply.headers.items()}
        for name in HEADERS:
            if name in row.response_headers:
                comparison.header(name, row.response_headers[name], headers.get(name))
        if not (isinstance(row.response, dict) and "<text>" in row.response):
            comparison.body(trimmed(row.response), reply.body)
        return comparison.verdict

    def _send(self, flow: str, row: Row, number: int) -> Reply:
        path, _, query = translate(row.path, self.known).partition("?")
        body, raw = self._request(row)
        call = Call(
            method=row.method,
            path=path,
            query=parse_qs(query, keep_blank_values=True),
            headers={**row.request_headers, **self._tokens(flow, row)},
            body=body,
            raw=raw,
            url=f"{path}?{query}" if query else path,
        )
        service = self.world.openstack.services[SERVICES[row.service], "" if row.service == "identity" else REGION]
        self.world.worker.origin = number
        return service.handle(call)

    def _request(self, row: Row) -> tuple[Any, bytes]:
        if isinstance(row.request, dict) and "<text>" in row.request:
            return None, str(row.request["<text>"]).encode()
        body = translate(row.request, self.known)
        user = (
            body.get("auth", {}).get("identity", {}).get("password", {}).get("user") if isinstance(body, dict) else None
        )
        if isinstance(user, dict) and user.get("password") == "<password>":
            user["password"] = PASSWORD if row.status != 401 or row.note.startswith("unknown") else "wrong"
        return body, b"" if body is None else b"{}"

    def _tokens(self, flow: str, row: Row) -> dict[str, str]:
        """What stood for `<token>`; the notes say which tokens were bad."""
        tokens: dict[str, str] = {
            name: self.token for name in ("x-auth-token", "x-subject-token") if name in row.request_headers
        }
        if row.note.startswith("garbage"):
            tokens["x-subject-token" if "subject" in row.note else "x-auth-token"] = "garbage"
        elif "as subject" in row.note:
            tokens["x-auth-token"] = self._other_token()
        elif row.note.startswith("expired") or (flow == "provider-token-expires" and row.status == 401):
            self._expire(self.token)
        elif row.note == "revoke":
            tokens["x-auth-token"] = self.token
        elif row.note.endswith("only the reader role"):
            tokens["x-auth-token"] = self._other_token("reader")
        return tokens

    def _other_token(self, *roles: str) -> str:
        user = self.world.config.users[0]
        token = identity.issue(self.world.cloud, user, self.world.config.project_id, ("password",))
        if roles:
            self.world.cloud.tokens[token.id] = dataclasses.replace(token, roles=roles)
        return token.id

    def _expire(self, token_id: str) -> None:
        token = self.world.cloud.tokens[token_id]
        self.world.cloud.tokens[token_id] = dataclasses.replace(token, expires=now() - timedelta(seconds=1))

    def _log_in(self) -> None:
        """A token for the flows that came with one."""
        self.token = self._other_token()

    def _was_busy(self, row: Row) -> bool:
        return row.status == 409 and any(text in str(row.response) for text in _BUSY)

    def _is_busy(self) -> bool:
        balancers = self.world.cloud.region(REGION).load_balancers.values()
        return any(item["provisioning_status"].startswith("PENDING") for item in balancers)

    def _prepare(self, flow: str, note: str) -> None:
        """What was done behind the recorded client's back."""
        if (flow, note) == ("lb-error-create", ""):
            self.world.backend.fail_next["ensure_balancer"] = "the worker has no certificate authority"
        elif (flow, note) == ("errors-network", "associate, no router on the subnet"):
            network = self._behind("POST", "/v2.0/networks", {"network": {"name": "far"}})["network"]["id"]
            self._behind(
                "POST", "/v2.0/subnets", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.77.0.0/24"}}
            )
            port = self._behind("POST", "/v2.0/ports", {"port": {"network_id": network}})["port"]["id"]
            row = next(item for item in recording.load(flow).rows if item.note == note)
            self.known[row.request["floatingip"]["port_id"]] = port
        elif (flow, note) == ("errors-network", "delete the floating IP"):
            far = [item for item in self.world.cloud.region(REGION).networks.values() if item["name"] == "far"]
            for port_id in [
                key for key, port in self.world.cloud.region(REGION).ports.items() if port["network_id"] == far[0]["id"]
            ]:
                self._behind("DELETE", f"/v2.0/ports/{port_id}")
            self._behind("DELETE", f"/v2.0/networks/{far[0]['id']}")
        elif (flow, note) == (
            "provider-network-in-use",
            "a port made by somebody else is on the network; pulumi destroy",
        ):
            network = next(
                item for item in recording.load(flow).rows if item.method == "POST" and item.path == "/v2.0/networks"
            )
            body = {"port": {"network_id": self.known[network.response["network"]["id"]], "name": "somebody's"}}
            self._behind("POST", "/v2.0/ports", body)
        elif (flow, note) == ("provider-network-in-use", "that port is deleted"):
            ports = self.world.cloud.region(REGION).ports
            self._behind(
                "DELETE", "/v2.0/ports/" + next(key for key, port in ports.items() if port["name"] == "somebody's")
            )

    def _behind(self, method: str, path: str, body: Any = None, service: str = "network") -> Any:
        call = Call(
            method=method, path=path, query={}, headers={"x-auth-token": self.token}, body=body, raw=b"", url=path
        )
        reply = self.world.openstack.services[service, REGION].handle(call)
        assert reply.status < 300, (method, path, reply.status, reply.body)
        return reply.body
