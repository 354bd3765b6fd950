"""Nova's paths. Servers have their own file; here is the rest and the frame."""

from __future__ import annotations

from typing import Any

from lab.cloud.compute import errors, keys, records, server_routes, tenant
from lab.cloud.compute.lifecycle import Lifecycle
from lab.cloud.compute.views import Views
from lab.cloud.config import Flavor
from lab.cloud.microversion import VersionedService
from lab.cloud.state import Cloud, Record
from lab.cloud.web import ApiError, Call, Reply


class ComputeService(VersionedService):
    name = "compute"
    version_key = "compute"
    oldest, newest = (2, 1), (2, 100)
    old_header = "X-OpenStack-Nova-API-Version"
    open_paths = frozenset({"", "/", "/v2.1", "/v2.1/"})

    def __init__(self, cloud: Cloud, region: str) -> None:
        super().__init__(cloud, region)
        self.views = Views(cloud, region, self.root)
        self.lifecycle = Lifecycle(cloud, region)
        self.page_limit: int | None = None  # how many rows a list shows at most, whatever was asked for
        self._documents()
        self._flavors()
        self._keypairs()
        self._groups()
        self._tenant()
        server_routes.register(self)

    def render_fault(self, error: ApiError) -> Reply:
        return errors.render(error)

    def find(self, server_id: str) -> Record:
        """A server by id; 404 for an unknown one, 500 when its cell is down."""
        server = self.known(server_id)
        if server["_cell_down"]:
            raise errors.unexpected(errors.NO_DATABASE)
        return server

    def known(self, server_id: str) -> Record:
        """A server by id, also of a cell that is down: such a one shows nothing but its id. 404 for an unknown one."""
        server = self.cloud.region(self.region).servers.get(server_id)
        if server is None:
            raise errors.unknown_server(server_id)
        return server

    def _documents(self) -> None:
        new: dict[str, Any] = {
            "id": "v2.1",
            "status": "CURRENT",
            "version": "2.100",
            "min_version": "2.1",
            "updated": "2013-07-23T11:33:21Z",
            "links": [{"rel": "self", "href": f"{self.root}/v2.1/"}],
        }
        old = {
            "id": "v2.0",
            "status": "SUPPORTED",
            "version": "",
            "min_version": "",
            "updated": "2011-01-21T11:33:21Z",
            "links": [{"rel": "self", "href": f"{self.root}/v2/"}],
        }

        @self.route("GET", "/")
        def versions(call: Call) -> Reply:
            return Reply(200, {"versions": [old, new]})

        @self.route("GET", "/v2.1")
        @self.route("GET", "/v2.1/")
        def v21(call: Call) -> Reply:
            described = {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}
            media = {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
            return Reply(200, {"version": {**new, "links": [*new["links"], described], "media-types": [media]}})

    def _flavors(self) -> None:
        flavors = sorted(self.cloud.settings(self.region).flavors, key=lambda item: item.id)

        def flavor(flavor_id: str) -> Flavor:
            found = records.flavor(self.cloud, self.region, flavor_id)
            if found is None:
                raise errors.not_found(f"Flavor {flavor_id} could not be found.")
            return found

        @self.route("GET", "/v2.1/flavors")
        def listing(call: Call) -> Reply:
            rows: list[Record] = [
                {"id": item.id, "name": item.name, "links": self.views.links("flavors", item.id)} for item in flavors
            ]
            if self.version(call) >= (2, 55):
                rows = [{**row, "description": None} for row in rows]
            return Reply(200, {"flavors": rows})

        @self.route("GET", "/v2.1/flavors/detail")
        def details(call: Call) -> Reply:
            return Reply(200, {"flavors": [self.views.flavor(item, self.version(call)) for item in flavors]})

        @self.route("GET", "/v2.1/flavors/<flavor_id>")
        def show(call: Call, flavor_id: str) -> Reply:
            return Reply(200, {"flavor": self.views.flavor(flavor(flavor_id), self.version(call))})

        @self.route("GET", "/v2.1/flavors/<flavor_id>/os-extra_specs")
        def extra_specs(call: Call, flavor_id: str) -> Reply:
            flavor(flavor_id)
            return Reply(200, {"extra_specs": {}})

    def _keypairs(self) -> None:
        @self.route("GET", "/v2.1/os-keypairs")
        def listing(call: Call) -> Reply:
            pairs = self.cloud.region(self.region).keypairs.values()
            return Reply(200, {"keypairs": [{"keypair": keys.pair_view(pair, self.version(call))} for pair in pairs]})

        @self.route("POST", "/v2.1/os-keypairs")
        def create(call: Call) -> Reply:
            version = self.version(call)
            pair = keys.create_pair(self.cloud, self.region, call, version)
            return Reply(201 if version >= (2, 2) else 200, {"keypair": keys.pair_view(pair, version, detail="create")})

        @self.route("GET", "/v2.1/os-keypairs/<name>")
        def show(call: Call, name: str) -> Reply:
            pair = keys.find_pair(self.cloud, self.region, name, call.token)
            return Reply(200, {"keypair": keys.pair_view(pair, self.version(call), detail="show")})

        @self.route("DELETE", "/v2.1/os-keypairs/<name>")
        def delete(call: Call, name: str) -> Reply:
            keys.find_pair(self.cloud, self.region, name, call.token)
            del self.cloud.region(self.region).keypairs[name]
            return Reply(204 if self.version(call) >= (2, 2) else 202)

    def _groups(self) -> None:
        @self.route("GET", "/v2.1/os-server-groups")
        def listing(call: Call) -> Reply:
            groups = self.cloud.region(self.region).server_groups.values()
            return Reply(200, {"server_groups": [self.views.group(group, self.version(call)) for group in groups]})

        @self.route("POST", "/v2.1/os-server-groups")
        def create(call: Call) -> Reply:
            version = self.version(call)
            group = keys.create_group(self.cloud, self.region, call, version)
            return Reply(200, {"server_group": self.views.group(group, version)})

        @self.route("GET", "/v2.1/os-server-groups/<group_id>")
        def show(call: Call, group_id: str) -> Reply:
            group = keys.find_group(self.cloud, self.region, group_id)
            return Reply(200, {"server_group": self.views.group(group, self.version(call))})

        @self.route("DELETE", "/v2.1/os-server-groups/<group_id>")
        def delete(call: Call, group_id: str) -> Reply:
            keys.find_group(self.cloud, self.region, group_id)
            del self.cloud.region(self.region).server_groups[group_id]
            return Reply(204)

    def _tenant(self) -> None:
        def own(target_id: str, rule: str) -> None:
            if target_id != self.cloud.config.project_id:
                raise errors.forbidden(f"Policy doesn't allow {rule} to be performed.")

        @self.route("GET", "/v2.1/os-availability-zone")
        def zones(call: Call) -> Reply:
            zone = {"zoneName": self.cloud.settings(self.region).zone, "zoneState": {"available": True}, "hosts": None}
            return Reply(200, {"availabilityZoneInfo": [zone]})

        @self.route("GET", "/v2.1/limits")
        def limits(call: Call) -> Reply:
            return Reply(200, tenant.limits(self.cloud, self.region))

        @self.route("GET", "/v2.1/os-quota-sets/<target_id>")
        def quotas(call: Call, target_id: str) -> Reply:
            own(target_id, "os_compute_api:os-quota-sets:show")
            return Reply(200, tenant.quota_set(self.cloud, self.region, detail=False))

        @self.route("GET", "/v2.1/os-quota-sets/<target_id>/detail")
        def quota_detail(call: Call, target_id: str) -> Reply:
            own(target_id, "os_compute_api:os-quota-sets:detail")
            return Reply(200, tenant.quota_set(self.cloud, self.region, detail=True))

        @self.route("GET", "/v2.1/os-simple-tenant-usage/<target_id>")
        def usage(call: Call, target_id: str) -> Reply:
            own(target_id, "os_compute_api:os-simple-tenant-usage:show")
            return Reply(200, tenant.usage(self.cloud, self.region))
