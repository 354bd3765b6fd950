"""The frame of Octavia: tokens and roles, lists and single records with the health of the moment, quotas."""

from __future__ import annotations

from lab.cloud.auth import OpenStackService
from lab.cloud.loadbalancer import errors, health, models
from lab.cloud.loadbalancer.lifecycle import Provisioner
from lab.cloud.state import Cloud, Record, RegionState
from lab.cloud.web import ApiError, Call, Reply

WRITERS = {"load-balancer_member", "load-balancer_admin", "admin"}
_CONTROL = {"limit", "marker", "page_reverse", "sort", "sort_key", "sort_dir", "fields"}


class OctaviaService(OpenStackService):
    """One region's Octavia. `provisioner.fail_next` makes changes fail."""

    name = "load-balancer"
    open_paths = frozenset({"/"})

    def __init__(self, cloud: Cloud, region: str) -> None:
        super().__init__(cloud, region)
        self.provisioner = Provisioner(cloud, region)

    @property
    def state(self) -> RegionState:
        return self.cloud.region(self.region)

    def handle(self, call: Call) -> Reply:
        """Both roots lead to the same place: /v2.0, which Terraform's provider takes, and /v2, which the version document names."""
        if call.path.startswith("/v2/"):
            call.path = "/v2.0/" + call.path.removeprefix("/v2/")
        return super().handle(call)

    def render_fault(self, error: ApiError) -> Reply:
        return errors.render(error)

    def check_writer(self, call: Call) -> str:
        """The caller's project; 403 without a role that may change load balancers."""
        if not WRITERS & set(call.token.roles):
            raise errors.forbidden()
        return str(call.token.project_id)

    def check_quota(self, kind: str, more: int = 1) -> None:
        used = len(models.store(self.state, kind))
        if self.cloud.over_quota(self.region, models.QUOTAS[kind], used, more):
            raise errors.over_quota(kind)

    def mutable(self, balancer: Record, kind: str, wanted: str) -> None:
        """409, naming the record of that kind, unless the balancer may be changed now."""
        if balancer["provisioning_status"] != "ACTIVE":
            raise errors.immutable(kind, wanted)

    def shown(self, kind: str, record: Record) -> Record:
        return models.body(self.state, kind, record)

    def show(self, kind: str, wanted: str, pool: str | None = None) -> Reply:
        """One record with its health. Asks the machinery first: not under the lock. `pool`: whose member it must be."""
        heard = health.ask(self.cloud, self.region)
        with self.cloud.lock:
            record = models.find(self.state, kind, wanted)
            if pool is not None and record["_pool"] != pool:
                raise errors.not_found(kind, wanted)
            record["operating_status"] = heard.of(self.state, kind, record)
            return Reply(200, {kind: self.shown(kind, record)})

    def list(self, call: Call, kind: str, path: str, pool: str | None = None) -> Reply:
        """A collection, or the members of one pool, with their health. Not under the lock."""
        heard = health.ask(self.cloud, self.region)
        with self.cloud.lock:
            found: list[Record] = []
            for record in models.store(self.state, kind).values():
                if pool is None or record["_pool"] == pool:
                    record["operating_status"] = heard.of(self.state, kind, record)
                    found.append(self.shown(kind, record))
        return Reply(200, {path: select(call, found), f"{path}_links": []})


def select(call: Call, bodies: list[Record]) -> list[Record]:
    """The bodies that a list call's query admits, by id."""

    def matches(body: Record, name: str, values: list[str]) -> bool:
        if name == "tags":
            return all(set(value.split(",")) <= set(body.get("tags", [])) for value in values)
        if name in ("loadbalancer_id", "load_balancer_id"):
            return any(item["id"] in values for item in body.get("loadbalancers", []))
        have = body.get(name)
        return (str(have).lower() if isinstance(have, bool) else str(have)) in [
            v.lower() if isinstance(have, bool) else v for v in values
        ]

    filters = {name: values for name, values in call.query.items() if name not in _CONTROL}
    found = [body for body in bodies if all(matches(body, name, values) for name, values in filters.items())]
    found.sort(key=lambda body: str(body["id"]))
    marker, limit = call.first("marker"), call.first("limit")
    if marker is not None:
        found = [body for body in found if str(body["id"]) > marker]
    return found[: int(limit)] if limit is not None and limit.isdigit() and int(limit) else found
