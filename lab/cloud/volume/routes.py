"""Cinder's paths."""

from __future__ import annotations

from typing import Any

from lab.cloud.microversion import VersionedService
from lab.cloud.state import Cloud, Record, Token
from lab.cloud.validation import document
from lab.cloud.volume import actions, errors, models
from lab.cloud.web import ApiError, Call, Reply

BASE = "/v3/<project_id>"


class VolumeService(VersionedService):
    name = "volumev3"
    version_key = "volume"
    oldest, newest = (3, 0), (3, 71)
    open_paths = frozenset({"", "/"})

    def __init__(self, cloud: Cloud, region: str) -> None:
        super().__init__(cloud, region)
        self._documents()
        self._volumes()
        self._readers()

    def authenticate(self, call: Call) -> Token | None:
        token = super().authenticate(call)
        parts = call.path.split("/")
        if token is not None and len(parts) > 3 and parts[2] != token.project_id:
            raise errors.bad_request("Malformed request url")
        return token

    def render_fault(self, error: ApiError) -> Reply:
        return errors.render(error)

    def finish(self, call: Call, reply: Reply) -> Reply:
        reply = super().finish(call, reply)
        if call.path in ("", "/"):
            reply.headers["OpenStack-API-Version"], reply.headers["Vary"] = "volume 3.0", "OpenStack-API-Version"
        return reply

    def volume(self, volume_id: str) -> Record:
        volume = self.cloud.region(self.region).volumes.get(volume_id)
        if volume is None:
            raise errors.unknown_volume(volume_id)
        return volume

    def view(self, call: Call, volume: Record, *, tenant: bool = True) -> Record:
        return models.view(self.cloud, self.region, volume, self.version(call), tenant=tenant)

    def _documents(self) -> None:
        @self.route("GET", "/")
        def versions(call: Call) -> Reply:
            return Reply(300, models.version_document(self.root))

        @self.route("GET", "/v3/")
        def v3(call: Call) -> Reply:
            return Reply(200, models.version_document(self.root))

    def _volumes(self) -> None:
        @self.route("GET", BASE + "/volumes")
        def listing(call: Call, project_id: str) -> Reply:
            volumes = [
                {"id": item["id"], "name": item["name"], "links": models.links(self.root, project_id, item["id"])}
                for item in self._page(call)
            ]
            return Reply(200, {"volumes": volumes})

        @self.route("GET", BASE + "/volumes/detail")
        def details(call: Call, project_id: str) -> Reply:
            return Reply(200, {"volumes": [self.view(call, volume) for volume in self._page(call)]})

        @self.route("POST", BASE + "/volumes")
        def create(call: Call, project_id: str) -> Reply:
            volume = actions.create(self.cloud, self.region, document(call, "volume"), call.token)
            return Reply(202, {"volume": self.view(call, volume, tenant=False)})

        @self.route("GET", BASE + "/volumes/<volume_id>")
        def show(call: Call, project_id: str, volume_id: str) -> Reply:
            return Reply(200, {"volume": self.view(call, self.volume(volume_id))})

        @self.route("PUT", BASE + "/volumes/<volume_id>")
        def update(call: Call, project_id: str, volume_id: str) -> Reply:
            volume = self.volume(volume_id)
            actions.update(volume, document(call, "volume"))
            return Reply(200, {"volume": self.view(call, volume, tenant=False)})

        @self.route("DELETE", BASE + "/volumes/<volume_id>")
        def delete(call: Call, project_id: str, volume_id: str) -> Reply:
            actions.delete(self.cloud, self.region, self.volume(volume_id))
            return Reply(202)

        @self.route("POST", BASE + "/volumes/<volume_id>/action")
        def action(call: Call, project_id: str, volume_id: str) -> Reply:
            actions.act(self.cloud, self.region, self.volume(volume_id), call.body, self.version(call))
            return Reply(202)

    def _readers(self) -> None:
        @self.route("GET", BASE + "/types")
        def types(call: Call, project_id: str) -> Reply:
            return Reply(200, {"volume_types": models.volume_types(self.cloud, self.region)})

        @self.route("GET", BASE + "/types/<type_id>")
        def one_type(call: Call, project_id: str, type_id: str) -> Reply:
            for kind in models.volume_types(self.cloud, self.region):
                if kind["id"] == type_id:
                    return Reply(200, {"volume_type": kind})
            raise errors.not_found(f"Volume type {type_id} could not be found.")

        @self.route("GET", BASE + "/snapshots")
        @self.route("GET", BASE + "/snapshots/detail")
        def snapshots(call: Call, project_id: str) -> Reply:
            return Reply(200, {"snapshots": []})

        @self.route("GET", BASE + "/snapshots/<snapshot_id>")
        def snapshot(call: Call, project_id: str, snapshot_id: str) -> Reply:
            raise errors.not_found(f"Snapshot {snapshot_id} could not be found.")

        @self.route("GET", BASE + "/os-availability-zone")
        def zones(call: Call, project_id: str) -> Reply:
            zone: dict[str, Any] = {"zoneName": self.cloud.settings(self.region).zone, "zoneState": {"available": True}}
            return Reply(200, {"availabilityZoneInfo": [zone]})

        @self.route("GET", BASE + "/limits")
        def limits(call: Call, project_id: str) -> Reply:
            return Reply(200, models.limits(self.cloud, self.region))

        @self.route("GET", BASE + "/os-quota-sets/<target_id>")
        def quotas(call: Call, project_id: str, target_id: str) -> Reply:
            if target_id != self.cloud.config.project_id:
                raise ApiError(403, "Policy doesn't allow volume_extension:quotas:show to be performed.", "forbidden")
            usage = (call.first("usage") or "").lower() == "true"
            return Reply(200, {"quota_set": models.quota_set(self.cloud, self.region, usage=usage)})

    def _page(self, call: Call) -> list[Record]:
        """Newest first, filtered and cut as the query says."""
        volumes = list(reversed(self.cloud.region(self.region).volumes.values()))
        for field in {"name", "status", "volume_type", "availability_zone"} & set(call.query):
            volumes = [volume for volume in volumes if volume[field] == call.query[field][0]]
        marker, limit = call.first("marker"), call.first("limit")
        if marker is not None:
            ids = [volume["id"] for volume in volumes]
            if marker not in ids:
                raise errors.not_found(f"Volume {marker} could not be found.")
            volumes = volumes[ids.index(marker) + 1 :]
        if limit is not None and not limit.isdigit():
            raise errors.bad_request(f"limit param must be an integer, found {limit}")
        return volumes[: int(limit)] if limit is not None else volumes
