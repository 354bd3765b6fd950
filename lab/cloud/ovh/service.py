"""The frame of the OVHcloud API: signatures, errors in OVHcloud's form, faults on demand, and the assembly of its parts."""

from __future__ import annotations

import hmac
import logging
import threading
import time
from typing import Any

from lab.cloud.ovh import containers, projects, zones
from lab.cloud.ovh.answers import signature
from lab.cloud.ovh.config import DnsBackend, Knobs, OvhConfig, StorageBackend
from lab.cloud.web import ApiError, Call, Reply, Service

log = logging.getLogger("lab.api")
PREFIX = "/1.0"
PUBLIC = {f"{PREFIX}/auth/time"}
CLASSES = {
    400: "Client::BadRequest",
    403: "Client::Forbidden",
    404: "Client::NotFound",
    409: "Client::Conflict",
    429: "Client::TooManyRequests",
    501: "Server::NotImplemented",
    503: "Server::ServiceUnavailable",
}


class OvhService(Service):
    """The API at one address. `knobs` spoils it on demand; `all()` is what tenants made, for a comparison before and after."""

    name = "ovh"

    def __init__(self, config: OvhConfig, storage: StorageBackend, dns: DnsBackend) -> None:
        super().__init__()
        self.config, self.storage, self.dns = config, storage, dns
        self.knobs = Knobs()
        self.lock = threading.RLock()
        self._last_id = 1000
        self.users: dict[int, dict[str, Any]] = {}
        self.credentials: dict[str, dict[str, Any]] = {}  # by access key
        self.policies: dict[int, str] = {}
        self.containers: dict[tuple[str, str], dict[str, Any]] = {}  # by region and name
        self.rules_since: dict[tuple[str, str, str], float] = {}  # enabled rules, by region, name and id
        self.jobs: dict[tuple[str, str], float] = {}  # since when a replication job is under way, by region and name
        self.zones = {name: zones.Zone(name, config.name_servers) for name in config.zones}

    def next_id(self) -> int:
        with self.lock:
            self._last_id += 1
            return self._last_id

    def all(self) -> dict[str, Any]:
        """Everything that requests created, without secrets and times, sorted."""
        with self.lock:
            return {
                "users": sorted(self.users),
                "credentials": sorted((entry["userId"], access) for access, entry in self.credentials.items()),
                "policies": {user: text for user, text in sorted(self.policies.items()) if user in self.users},
                "containers": sorted(self.containers),
                "records": {
                    name: [dict(record) for record in zone.records()] for name, zone in sorted(self.zones.items())
                },
            }

    def handle(self, call: Call) -> Reply:
        knobs = self.knobs
        if knobs.slow_s > 0:
            threading.Event().wait(knobs.slow_s)
        for counter, error in (
            ("too_many", ApiError(429, "Too many requests, try again later")),
            ("failing", ApiError(500, "Internal server error")),
        ):
            with self.lock:
                left = getattr(knobs, counter)
                if left > 0:
                    setattr(knobs, counter, left - 1)
            if left > 0:
                return self._done(call, self.render_error(error))
        return super().handle(call)

    def authenticate(self, call: Call) -> Any:
        """Application key, consumer key, time, signature and what the key was granted, refused in the API's own words."""
        if call.path in PUBLIC:
            return None
        config, headers = self.config, call.headers
        if headers.get("x-ovh-application") != config.application_key:
            raise ApiError(403, "This application key is invalid", "INVALID_KEY")
        consumer = headers.get("x-ovh-consumer")
        if not consumer:
            raise ApiError(401, "You must login first", "NOT_CREDENTIAL")
        granted = config.rules(consumer)
        if granted is None:
            raise ApiError(403, "This credential does not exist", "NOT_CREDENTIAL")
        stamp = headers.get("x-ovh-timestamp", "")
        if not stamp.isdigit() or abs(int(stamp) - time.time()) > config.clock_window_s:
            raise ApiError(400, "Query out of time", "QUERY_TIME_OUT")
        base = f"http://{headers.get('host', '')}"
        given, body = headers.get("x-ovh-signature", ""), call.raw.decode("utf-8", "replace")
        targets = (call.target,) if call.target else (call.url, f"{call.url}?")
        wanted = [
            signature(
                config.application_secret, consumer, method=call.method, url=base + target, body=body, timestamp=stamp
            )
            for target in targets
        ]
        if not any(hmac.compare_digest(given, candidate) for candidate in wanted):
            raise ApiError(400, "Invalid signature", "INVALID_SIGNATURE")
        if not any(rule.fits(call.method, call.path.removeprefix(PREFIX)) for rule in granted):
            log.error("ovh: %s %s is not among the consumer key's access rules", call.method, call.path)
            raise ApiError(403, "This call has not been granted", "NOT_GRANTED_CALL")
        return config.account

    def render_error(self, error: ApiError) -> Reply:
        body = {"class": CLASSES.get(error.status, "Server::InternalServerError"), "message": error.message}
        if error.status == 401:
            body["class"] = "Client::Unauthorized"
        if error.kind.isupper():  # a refusal of the gateway in front of the API carries its code too
            body |= {"errorCode": error.kind, "httpCode": str(error.status)}
        elif "::" in error.kind:
            body["class"] = error.kind
        return Reply(error.status, body, error.headers)

    def user(self, project: str, user: str) -> dict[str, Any]:
        """The record of a user, 404 when the project or the user does not exist."""
        self.check_project(project)
        record = self.users.get(int(user)) if user.isdigit() else None
        if record is None:
            raise ApiError(404, f"User {user} does not exist")
        return record

    def check_project(self, project: str) -> None:
        if project != self.config.service_name:
            raise ApiError(404, f"This service does not exist: project {project}")


def _not_played(call: Call, name: str) -> Reply:
    """What ends a contract."""
    raise ApiError(501, f"the lab does not play the end of {name}", "UnknownToTheLab")


def service(config: OvhConfig, storage: StorageBackend, dns: DnsBackend) -> OvhService:
    """The API, to be served by `lab.cloud.web.Server`. Zones hold their NS records from the start; the first refresh publishes them."""
    ovh = OvhService(config, storage, dns)

    @ovh.route("GET", f"{PREFIX}/auth/time")
    def auth_time(call: Call) -> Reply:
        return Reply(body=int(time.time()))

    @ovh.route("GET", f"{PREFIX}/auth/details")
    def auth_details(call: Call) -> Reply:
        granted = ovh.config.rules(call.headers.get("x-ovh-consumer", "")) or ()
        routes = [{"method": rule.method, "path": rule.path} for rule in granted]
        details: dict[str, Any] = {
            "account": config.account,
            "user": None,
            "roles": [],
            "description": "",
            "identities": [],
            "method": "application",
        }
        return Reply(body={**details, "allowedRoutes": routes})

    # Known, so that a key that was not granted them hears that, as at OVHcloud, and not that the lab is none.
    for path in (f"{PREFIX}/cloud/project/<name>/terminate", f"{PREFIX}/domain/zone/<name>/terminate"):
        ovh.route("POST", path)(_not_played)
    projects.register(ovh, PREFIX)
    containers.register(ovh, PREFIX)
    zones.register(ovh, PREFIX)
    return ovh
