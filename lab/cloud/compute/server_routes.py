"""Nova's paths under /servers."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from lab.cloud.compute import actions, attachments, errors, lists, records, requests
from lab.cloud.state import Record, new_id, stamp
from lab.cloud.validation import document, is_uuid, only, strings, text
from lab.cloud.web import Call, Reply

if TYPE_CHECKING:
    from lab.cloud.compute.routes import ComputeService

log = logging.getLogger("lab.cloud")

SERVER = "/v2.1/servers/<server_id>"
_TAGS_SINCE = (2, 26)


def register(nova: ComputeService) -> None:
    _lists(nova)
    _server(nova)
    _changes(nova)
    _metadata(nova)
    _tags(nova)
    _volumes(nova)
    _interfaces(nova)


def _lists(nova: ComputeService) -> None:
    @nova.route("GET", "/v2.1/servers", locked=False)
    def listing(call: Call) -> Reply:
        _refresh_all(nova)
        with nova.cloud.lock:
            page = lists.page(nova, call)
            rows = [nova.views.brief(server) for server in page.servers]
            return Reply(200, {"servers": [*rows, *(nova.views.lost_brief(each) for each in page.lost)], **page.links})

    @nova.route("GET", "/v2.1/servers/detail", locked=False)
    def details(call: Call) -> Reply:
        _refresh_all(nova)
        with nova.cloud.lock:
            page, version = lists.page(nova, call), nova.version(call)
            rows = [nova.views.server(server, version, single=False) for server in page.servers]
            return Reply(200, {"servers": [*rows, *(nova.views.lost(each) for each in page.lost)], **page.links})


def _server(nova: ComputeService) -> None:
    @nova.route("POST", "/v2.1/servers")
    def create(call: Call) -> Reply:
        wanted = requests.Wanted(nova.cloud, nova.region, call, nova.version(call))
        server = records.new_server(
            server_id=new_id(),
            name=wanted.name,
            user_id=call.token.user_id,
            flavor_id=wanted.flavor.id,
            image_id=wanted.image_id,
            wanted=wanted.fields,
        )
        nova.cloud.region(nova.region).servers[server["id"]] = server
        nova.lifecycle.build(server)
        links = nova.views.links("servers", server["id"])
        body = {
            "id": server["id"],
            "links": links,
            "OS-DCF:diskConfig": "MANUAL",
            "security_groups": [{"name": name} for name in wanted.group_names],
            "adminPass": secrets.token_urlsafe(9),
        }
        return Reply(202, {"server": body}, {"Location": links[0]["href"]})

    @nova.route("GET", SERVER, locked=False)
    def show(call: Call, server_id: str) -> Reply:
        with nova.cloud.lock:
            server, version = nova.known(server_id), nova.version(call)
            if server["_cell_down"]:
                if version < lists.SHOWS_LOST_SINCE:
                    raise errors.unexpected(errors.CELL_IS_DOWN)
                return Reply(200, {"server": nova.views.lost_single(server)})
        nova.lifecycle.refresh(server)
        with nova.cloud.lock:
            return Reply(200, {"server": nova.views.server(nova.find(server_id), version)})

    @nova.route("POST", SERVER + "/action", locked=False)
    def action(call: Call, server_id: str) -> Reply:
        with nova.cloud.lock:
            if server_id not in nova.cloud.region(nova.region).servers:
                raise errors.not_found(f"Instance {server_id} has no mapping to a cell.")
            server = nova.find(server_id)
        nova.lifecycle.refresh(server)
        with nova.cloud.lock:
            return actions.act(nova, server, call)


def _changes(nova: ComputeService) -> None:
    @nova.route("PUT", SERVER)
    def update(call: Call, server_id: str) -> Reply:
        server, wanted, version = nova.find(server_id), document(call, "server"), nova.version(call)
        allowed = {"name", "accessIPv4", "accessIPv6", "OS-DCF:diskConfig"} | (
            {"description"} if version >= (2, 19) else set()
        )
        only("server", wanted, frozenset(allowed))
        if "name" in wanted:
            server["name"] = text("name", wanted["name"], shortest=1)
        server["description"] = wanted.get("description", server["description"])
        server["updated"] = stamp()
        return Reply(200, {"server": nova.views.server(server, version)})

    @nova.route("DELETE", SERVER)
    def delete(call: Call, server_id: str) -> Reply:
        server = nova.find(server_id)
        if server["vm_state"] == records.DELETED:
            raise errors.unknown_server(server_id)
        if server["locked"]:
            raise errors.locked(server_id)
        nova.lifecycle.delete(server)
        return Reply(204)


def _metadata(nova: ComputeService) -> None:
    path = SERVER + "/metadata"

    def check(server: Record) -> None:
        if nova.cloud.over_quota(nova.region, "metadata_items", 0, len(server["metadata"])):
            raise errors.forbidden("Maximum number of metadata items exceeds the limit.")

    def change(call: Call, server_id: str, *, replace: bool) -> Reply:
        server = nova.find(server_id)
        wanted = strings("metadata", document(call, "metadata"))
        server["metadata"] = wanted if replace else {**server["metadata"], **wanted}
        check(server)
        return Reply(200, {"metadata": dict(server["metadata"])})

    @nova.route("GET", path)
    def show(call: Call, server_id: str) -> Reply:
        return Reply(200, {"metadata": dict(nova.find(server_id)["metadata"])})

    @nova.route("POST", path)
    def merge(call: Call, server_id: str) -> Reply:
        return change(call, server_id, replace=False)

    @nova.route("PUT", path)
    def replace(call: Call, server_id: str) -> Reply:
        return change(call, server_id, replace=True)

    @nova.route("GET", path + "/<key>")
    def item(call: Call, server_id: str, key: str) -> Reply:
        return Reply(200, {"meta": {key: _meta(nova.find(server_id), key)}})

    @nova.route("PUT", path + "/<key>")
    def set_item(call: Call, server_id: str, key: str) -> Reply:
        server, wanted = nova.find(server_id), strings("meta", document(call, "meta"))
        if set(wanted) != {key}:
            raise errors.bad_request("Request body and URI mismatch")
        server["metadata"] |= wanted
        check(server)
        return Reply(200, {"meta": wanted})

    @nova.route("DELETE", path + "/<key>")
    def delete_item(call: Call, server_id: str, key: str) -> Reply:
        server = nova.find(server_id)
        _meta(server, key)
        del server["metadata"][key]
        return Reply(204)


def _meta(server: Record, key: str) -> str:
    if key not in server["metadata"]:
        raise errors.not_found("Metadata item was not found")
    return str(server["metadata"][key])


def _tags(nova: ComputeService) -> None:
    path = SERVER + "/tags"

    def tagged(call: Call, server_id: str) -> Record:
        if nova.version(call) < _TAGS_SINCE:
            raise errors.not_found("The resource could not be found.")
        return nova.find(server_id)

    @nova.route("GET", path)
    def listing(call: Call, server_id: str) -> Reply:
        return Reply(200, {"tags": list(tagged(call, server_id)["tags"])})

    @nova.route("PUT", path)
    def replace(call: Call, server_id: str) -> Reply:
        server = tagged(call, server_id)
        wanted = call.body.get("tags") if isinstance(call.body, dict) else None
        if not isinstance(wanted, list):
            raise errors.bad_request("'tags' is a required property")
        server["tags"] = list(dict.fromkeys(text("tags", item, longest=60, shortest=1) for item in wanted))
        return Reply(200, {"tags": list(server["tags"])})

    @nova.route("DELETE", path)
    def clear(call: Call, server_id: str) -> Reply:
        tagged(call, server_id)["tags"] = []
        return Reply(204)

    @nova.route("PUT", path + "/<tag>")
    def add(call: Call, server_id: str, tag: str) -> Reply:
        server = tagged(call, server_id)
        if tag in server["tags"]:
            return Reply(204)
        server["tags"].append(tag)
        return Reply(201)

    @nova.route("DELETE", path + "/<tag>")
    def remove(call: Call, server_id: str, tag: str) -> Reply:
        server = tagged(call, server_id)
        if tag not in server["tags"]:
            raise errors.not_found(f"Server {server_id} has no tag '{tag}'")
        server["tags"].remove(tag)
        return Reply(204)


def _volumes(nova: ComputeService) -> None:
    path = SERVER + "/os-volume_attachments"

    @nova.route("GET", path)
    def listing(call: Call, server_id: str) -> Reply:
        held, version = attachments.listing(nova.cloud, nova.region, nova.find(server_id)), nova.version(call)
        return Reply(200, {"volumeAttachments": [nova.views.attachment(item, version) for item in held]})

    @nova.route("POST", path)
    def attach(call: Call, server_id: str) -> Reply:
        item = attachments.attach(nova.cloud, nova.region, nova.find(server_id), call)
        return Reply(200, {"volumeAttachment": nova.views.attachment(item, nova.version(call))})

    @nova.route("GET", path + "/<volume_id>")
    def show(call: Call, server_id: str, volume_id: str) -> Reply:
        item = attachments.find(nova.cloud, nova.region, nova.find(server_id), volume_id)
        return Reply(200, {"volumeAttachment": nova.views.attachment(item, nova.version(call))})

    @nova.route("DELETE", path + "/<volume_id>")
    def detach(call: Call, server_id: str, volume_id: str) -> Reply:
        attachments.detach(nova.cloud, nova.region, nova.find(server_id), volume_id)
        return Reply(202)


def _interfaces(nova: ComputeService) -> None:
    path = SERVER + "/os-interface"

    @nova.route("GET", path)
    def listing(call: Call, server_id: str) -> Reply:
        ports, server = nova.cloud.region(nova.region).ports, nova.find(server_id)
        rows = [nova.views.interface(ports[port_id]) for port_id in server["ports"] if port_id in ports]
        return Reply(200, {"interfaceAttachments": rows})

    @nova.route("POST", path)
    def attach(call: Call, server_id: str) -> Reply:
        server = nova.find(server_id)
        port_id = document(call, "interfaceAttachment").get("port_id")
        if port_id is not None:
            port = nova.cloud.region(nova.region).ports.get(port_id) if is_uuid(port_id) else None
            if port is None:
                raise errors.not_found(f"Port id {port_id} could not be found.")
            if port["device_id"]:
                refusal = errors.port_in_use(
                    port_id
                )  # Nova notes it on the server too, where it shows once the server is deleted
                server["fault"] = {"code": 400, "created": stamp(), "message": refusal.message}
                raise refusal
        log.error("compute %s: 501, the lab does not add interfaces to a server that exists", nova.region)
        raise errors.not_written("adding an interface to a server that exists")


def _refresh_all(nova: ComputeService) -> None:
    with nova.cloud.lock:
        servers = list(nova.cloud.region(nova.region).servers.values())
    for server in servers:
        nova.lifecycle.refresh(server)
