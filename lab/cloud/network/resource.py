"""The five calls that all Neutron resources share, from a description of each: list, create, show, update, delete, and its tags."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.cloud.auth import OpenStackService
from lab.cloud.backend import BackendError
from lab.cloud.network import attributes, errors, filters, models
from lab.cloud.network.attributes import Attribute
from lab.cloud.network.effects import Effects
from lab.cloud.state import Cloud, Record, RegionState
from lab.cloud.web import ApiError, Call, Reply

log = logging.getLogger("lab.cloud.network")


class Change:
    """What a handler works with: the region's records, who asks, and the effects to be carried out afterwards."""

    def __init__(self, cloud: Cloud, region: str, project: str) -> None:
        self.cloud, self.region, self.project = cloud, region, project
        self.state: RegionState = cloud.region(region)
        self.effects = Effects(cloud, region)

    def own(self, kind: str, wanted: str, action: str) -> Record:
        """A record of the caller's own: 404 when it cannot be seen, 403 when it can only be seen."""
        record = models.find(self.state, kind, wanted)
        if record["project_id"] != self.project:
            raise (
                errors.forbidden(f"rule:{action}_{kind}")
                if models.visible(self.state, record, self.project)
                else errors.not_found(kind, wanted)
            )
        return record

    def seen(self, kind: str, wanted: str) -> Record:
        record = models.find(self.state, kind, wanted)
        if not models.visible(self.state, record, self.project):
            raise errors.not_found(kind, wanted)
        return record

    def used(self, kind: str) -> int:
        return sum(record["project_id"] == self.project for record in models.store(self.state, kind).values())

    def check_quota(self, kind: str) -> None:
        if self.cloud.over_quota(self.region, kind, self.used(kind)):
            raise errors.over_quota(kind)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One collection. `create` stores and returns the new record; `update` gets the values to change; `remove` checks and takes it out."""

    kind: str
    path: str
    schema: dict[str, Attribute]
    create: Callable[[Change, Record], Record]
    update: Callable[[Change, Record, Record], None]
    remove: Callable[[Change, Record], None]
    body: Callable[[RegionState, Record], Record] = models.plain_body
    listed: Callable[[RegionState, Record], Record] | None = None  # when a list shows it otherwise than `body`
    extra: tuple[tuple[str, Any], ...] = ()  # what only the answer to a create shows
    tags: bool = True


def check_revision(call: Call, record: Record) -> None:
    """412 when the request insists on another revision than the record has."""
    name, _, number = call.headers.get("if-match", "").partition("=")
    if name == "revision_number" and number.isdigit() and int(number) != record["revision_number"]:
        raise errors.stale_revision(int(number), record["revision_number"])


class NeutronService(OpenStackService):
    """The frame: `change` runs a handler under the lock and its effects after it."""

    name = "network"
    open_paths = frozenset({"/"})

    def render_fault(self, error: ApiError) -> Reply:
        return errors.render(error)

    def begin(self, call: Call) -> Change:
        return Change(self.cloud, self.region, call.token.project_id)

    def change(
        self, call: Call, work: Callable[[Change], Callable[[], Reply]], undo: Callable[[Change], None] | None = None
    ) -> Reply:
        """`work` changes records and returns how to render the answer once the machinery has followed.

        When it does not follow, the call fails with 500, and `undo` takes back what a client that got no id could never remove.
        """
        with self.cloud.lock:
            change = self.begin(call)
            render = work(change)
        try:
            change.effects.run()
        except BackendError as error:
            if undo is not None:
                self._take_back(call, undo)
            raise ApiError(500, str(error), "BackendError") from error
        with self.cloud.lock:
            return render()

    def _take_back(self, call: Call, undo: Callable[[Change], None]) -> None:
        with self.cloud.lock:
            change = self.begin(call)
            undo(change)
        try:
            change.effects.run()
        except BackendError as error:
            log.error("network %s: after a failed creation: %s", self.region, error)

    def check_writer(self, call: Call, rule: str) -> None:
        if not {"member", "admin"} & set(call.token.roles):
            raise errors.forbidden(f"rule:{rule}")

    def add(self, resource: Resource) -> None:
        """Register the collection's routes."""
        self._add_reads(resource)
        self._add_writes(resource)
        if resource.tags:
            self._add_tags(resource)

    def _add_reads(self, resource: Resource) -> None:
        kind, path, state = resource.kind, f"/v2.0/{resource.path}", self.cloud.region
        known = set(resource.schema) | {
            "id",
            "tenant_id",
            "status",
            "revision_number",
            "created_at",
            "updated_at",
            "router_id",
            "subnets",
        }

        @self.route("GET", path)
        def listing(call: Call) -> Reply:
            records = models.store(state(self.region), kind).values()
            body = resource.listed or resource.body
            bodies = [
                body(state(self.region), r)
                for r in records
                if models.visible(state(self.region), r, call.token.project_id)
            ]
            return Reply(200, filters.apply(call, resource.path.replace("-", "_"), bodies, known, self.root + path))

        @self.route("GET", path + "/<wanted>")
        def show(call: Call, wanted: str) -> Reply:
            change = self.begin(call)
            return Reply(200, {kind: resource.body(change.state, change.seen(kind, wanted))})

    def _add_writes(self, resource: Resource) -> None:
        kind, path = resource.kind, f"/v2.0/{resource.path}"

        @self.route("POST", path, locked=False)
        def create(call: Call) -> Reply:
            self.check_writer(call, f"create_{kind}")
            values = attributes.on_create(call, kind, resource.schema)

            made: list[Record] = []

            def work(change: Change) -> Callable[[], Reply]:
                if values["project_id"] not in (attributes.UNSET, change.project):
                    raise errors.forbidden(f"rule:create_{kind}")
                record = resource.create(change, values)
                made.append(record)
                return lambda: Reply(201, {kind: resource.body(change.state, record) | dict(resource.extra)})

            return self.change(call, work, undo=lambda change: resource.remove(change, made[0]))

        @self.route("PUT", path + "/<wanted>", locked=False)
        def update(call: Call, wanted: str) -> Reply:
            self.check_writer(call, f"update_{kind}")
            values = attributes.on_update(call, kind, resource.schema)

            def work(change: Change) -> Callable[[], Reply]:
                record = change.own(kind, wanted, "update")
                check_revision(call, record)
                resource.update(change, record, values)
                models.touch(record)
                return lambda: Reply(200, {kind: resource.body(change.state, record)})

            return self.change(call, work)

        @self.route("DELETE", path + "/<wanted>", locked=False)
        def delete(call: Call, wanted: str) -> Reply:
            self.check_writer(call, f"delete_{kind}")

            def work(change: Change) -> Callable[[], Reply]:
                record = change.own(kind, wanted, "delete")
                check_revision(call, record)
                resource.remove(change, record)
                return lambda: Reply(204)

            return self.change(call, work)

    def _add_tags(self, resource: Resource) -> None:
        kind, path = resource.kind, f"/v2.0/{resource.path}/<wanted>/tags"

        def own(call: Call, wanted: str) -> Record:
            self.check_writer(call, f"update_{resource.path}_tags")
            return self.begin(call).own(kind, wanted, "update")

        def put(record: Record, tags: list[str]) -> None:
            record["tags"] = tags
            models.touch(record)

        @self.route("GET", path)
        def listing(call: Call, wanted: str) -> Reply:
            return Reply(200, {"tags": list(self.begin(call).seen(kind, wanted)["tags"])})

        @self.route("PUT", path)
        def replace(call: Call, wanted: str) -> Reply:
            if not isinstance(call.body, dict) or "tags" not in call.body:
                raise errors.invalid_input("Invalid tags body")
            tags = sorted(set(attributes.strings("tags", call.body["tags"])))
            put(own(call, wanted), tags)
            return Reply(200, {"tags": tags})

        @self.route("DELETE", path)
        def clear(call: Call, wanted: str) -> Reply:
            put(own(call, wanted), [])
            return Reply(204)

        @self.route("PUT", path + "/<tag>")
        def add_one(call: Call, wanted: str, tag: str) -> Reply:
            record = own(call, wanted)
            put(record, sorted({*record["tags"], tag}))
            return Reply(201)

        @self.route("DELETE", path + "/<tag>")
        def remove_one(call: Call, wanted: str, tag: str) -> Reply:
            record = own(call, wanted)
            if tag not in record["tags"]:
                raise ApiError(404, f"Tag {tag} could not be found.", "TagNotFound")
            put(record, [kept for kept in record["tags"] if kept != tag])
            return Reply(204)
