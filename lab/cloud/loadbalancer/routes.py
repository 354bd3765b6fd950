"""The Octavia service of one region, put together: routes of all children, flavors, quotas, and what clients ask to find their way."""

from __future__ import annotations

from collections.abc import Callable

from lab.cloud.config import LbFlavor, fixed_id
from lab.cloud.loadbalancer import balancers, errors, listeners, members, models
from lab.cloud.loadbalancer.service import OctaviaService, select
from lab.cloud.state import Cloud, Record
from lab.cloud.web import ApiError, Call, Reply

_ROOT = "/v2.0/lbaas"
_QUOTAS = ("load_balancer", "listener", "member", "pool", "health_monitor", "l7policy", "l7rule")
_LATEST = 30  # the API's minor version

Create = Callable[[OctaviaService, Call], Record]
Update = Callable[[OctaviaService, Call, str], Record]
Delete = Callable[[OctaviaService, Call, str], None]

_CHILDREN: dict[str, tuple[Create, Update, Delete]] = {
    "listener": (listeners.create_listener, listeners.update_listener, listeners.delete_listener),
    "pool": (listeners.create_pool, listeners.update_pool, listeners.delete_pool),
    "healthmonitor": (members.create_monitor, members.update_monitor, members.delete_monitor),
}


def service(cloud: Cloud, region: str) -> OctaviaService:
    """Octavia of one region. Needs the region's Neutron, for subnets and ports."""
    octavia = OctaviaService(cloud, region)
    balancers.add_routes(octavia)
    for kind, calls in _CHILDREN.items():
        _add(octavia, kind, *calls)
    _add_members(octavia)
    _add_flavors(octavia)
    _add_quotas(octavia)
    _add_discovery(octavia)
    return octavia


def _add(octavia: OctaviaService, kind: str, make: Create, change: Update, remove: Delete) -> None:
    path = kind + "s"

    @octavia.route("GET", f"{_ROOT}/{path}", locked=False)
    def listing(call: Call) -> Reply:
        return octavia.list(call, kind, path)

    @octavia.route("GET", f"{_ROOT}/{path}/<wanted>", locked=False)
    def show(call: Call, wanted: str) -> Reply:
        return octavia.show(kind, wanted)

    @octavia.route("POST", f"{_ROOT}/{path}")
    def create(call: Call) -> Reply:
        return Reply(201, {kind: octavia.shown(kind, make(octavia, call))})

    @octavia.route("PUT", f"{_ROOT}/{path}/<wanted>")
    def update(call: Call, wanted: str) -> Reply:
        return Reply(200, {kind: octavia.shown(kind, change(octavia, call, wanted))})

    @octavia.route("DELETE", f"{_ROOT}/{path}/<wanted>")
    def delete(call: Call, wanted: str) -> Reply:
        remove(octavia, call, wanted)
        return Reply(204)


def _add_members(octavia: OctaviaService) -> None:
    path = f"{_ROOT}/pools/<pool>/members"

    @octavia.route("GET", path, locked=False)
    def listing(call: Call, pool: str) -> Reply:
        with octavia.cloud.lock:
            if pool not in octavia.state.pools:
                raise ApiError(404, f"Pool {pool} not found.", "plain")
        return octavia.list(call, "member", "members", pool)

    @octavia.route("GET", path + "/<wanted>", locked=False)
    def show(call: Call, pool: str, wanted: str) -> Reply:
        with octavia.cloud.lock:
            models.find(octavia.state, "pool", pool)
        return octavia.show("member", wanted, pool)

    @octavia.route("POST", path)
    def create(call: Call, pool: str) -> Reply:
        return Reply(201, {"member": octavia.shown("member", members.create_member(octavia, call, pool))})

    @octavia.route("PUT", path + "/<wanted>")
    def update(call: Call, pool: str, wanted: str) -> Reply:
        return Reply(200, {"member": octavia.shown("member", members.update_member(octavia, call, pool, wanted))})

    @octavia.route("DELETE", path + "/<wanted>")
    def delete(call: Call, pool: str, wanted: str) -> Reply:
        members.delete_member(octavia, call, pool, wanted)
        return Reply(204)

    @octavia.route("PUT", path)
    def replace(call: Call, pool: str) -> Reply:
        members.replace_members(octavia, call, pool)
        return Reply(202)


def _add_flavors(octavia: OctaviaService) -> None:
    def body(flavor: LbFlavor) -> Record:
        profile = fixed_id(octavia.region, "lb-flavor-profile", flavor.name)
        return {
            "id": flavor.id,
            "name": flavor.name,
            "description": flavor.description,
            "enabled": True,
            "flavor_profile_id": profile,
        }

    @octavia.route("GET", f"{_ROOT}/flavors")
    def listing(call: Call) -> Reply:
        found = [body(flavor) for flavor in octavia.cloud.settings(octavia.region).lb_flavors]
        return Reply(200, {"flavors": select(call, found), "flavors_links": []})

    @octavia.route("GET", f"{_ROOT}/flavors/<wanted>")
    def show(call: Call, wanted: str) -> Reply:
        for flavor in octavia.cloud.settings(octavia.region).lb_flavors:
            if flavor.id == wanted:
                return Reply(200, {"flavor": body(flavor)})
        raise errors.not_found("flavor", wanted)


def _add_quotas(octavia: OctaviaService) -> None:
    @octavia.route("GET", f"{_ROOT}/quotas/<project>")
    def show(call: Call, project: str) -> Reply:
        if project != call.token.project_id:
            raise errors.forbidden()
        quotas = octavia.state.quotas
        return Reply(200, {"quota": {name: quotas.get(name, -1) for name in _QUOTAS}})

    @octavia.route("PUT", f"{_ROOT}/quotas/<project>")
    def update(call: Call, project: str) -> Reply:
        raise errors.forbidden()


def _add_discovery(octavia: OctaviaService) -> None:
    @octavia.route("GET", "/")
    def versions(call: Call) -> Reply:
        links = [{"href": f"{octavia.root}/v2", "rel": "self"}]
        return Reply(200, {"versions": [_version(minor, links) for minor in range(_LATEST + 1)]})

    @octavia.route("GET", f"{_ROOT}/providers")
    def providers(call: Call) -> Reply:
        names = {"amphora": "HAProxy on machines of the region", "octavia": "alias of amphora"}
        return Reply(200, {"providers": [{"name": name, "description": text} for name, text in names.items()]})

    @octavia.route("GET", f"{_ROOT}/availabilityzones")
    def zones(call: Call) -> Reply:
        return Reply(200, {"availability_zones": [], "availability_zones_links": []})


def _version(minor: int, links: list[dict[str, str]]) -> Record:
    status = "CURRENT" if minor == _LATEST else "SUPPORTED"
    return {"id": f"v2.{minor}", "status": status, "updated": "2025-02-26T00:00:00Z", "links": links}
