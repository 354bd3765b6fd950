"""Nova's paths under /servers."""

from __future__ import annotations

import logging
import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lab.cloud.compute import attachments, errors, records, requests
from lab.cloud.state import Record, new_id, stamp
from lab.cloud.validation import document, invalid, is_uuid, only, strings, text
from lab.cloud.web import Call, Reply

if TYPE_CHECKING:
    from lab.cloud.compute.routes import ComputeService

log = logging.getLogger("lab.cloud")

SERVER = "/v2.1/servers/<server_id>"
_TAGS_SINCE = (2, 26)
_UNWRITTEN_ACTIONS = frozenset({
    "pause", "unpause", "suspend", "resume", "resize", "confirmResize", "revertResize", "rebuild", "createImage", "createBackup", "lock",
    "unlock", "rescue", "unrescue", "shelve", "unshelve", "shelveOffload", "changePassword", "addSecurityGroup", "removeSecurityGroup",
    "addFloatingIp", "removeFloatingIp", "addFixedIp", "removeFixedIp", "os-getConsoleOutput", "os-getVNCConsole", "migrate",
    "os-migrateLive", "evacuate", "forceDelete", "restore", "os-resetState", "resetNetwork", "trigger_crash_dump",
})  # fmt: skip
_SORTABLE = {
    "created_at": "created",
    "updated_at": "updated",
    "display_name": "name",
    "name": "name",
    "uuid": "id",
    "vm_state": "vm_state",
}


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
            chosen, more = _page(nova, call)
            return Reply(200, {"servers": [nova.views.brief(server) for server in chosen], **more})

    @nova.route("GET", "/v2.1/servers/detail", locked=False)
    def details(call: Call) -> Reply:
        _refresh_all(nova)
        with nova.cloud.lock:
            (chosen, more), version = _page(nova, call), nova.version(call)
            return Reply(
                200, {"servers": [nova.views.server(server, version, single=False) for server in chosen], **more}
            )


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
            server = nova.find(server_id)
        nova.lifecycle.refresh(server)
        with nova.cloud.lock:
            return Reply(200, {"server": nova.views.server(nova.find(server_id), nova.version(call))})

    @nova.route("POST", SERVER + "/action", locked=False)
    def action(call: Call, server_id: str) -> Reply:
        with nova.cloud.lock:
            server = nova.cloud.region(nova.region).servers.get(server_id)
        if server is None:
            raise errors.not_found(f"Instance {server_id} has no mapping to a cell.")
        nova.lifecycle.refresh(server)
        with nova.cloud.lock:
            _act(nova, server, call.body)
        return Reply(202)


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
        nova.lifecycle.delete(server)
        return Reply(204)


def _act(nova: ComputeService, server: Record, body: Any) -> None:
    """Stop, start or reboot; 409 in the wrong state: the vm_state is looked at first, then the task."""
    if not isinstance(body, dict) or not body:
        raise errors.bad_request("Malformed request body")
    name = next(iter(body))
    if name == "os-stop":
        _need(server, "stop", (records.ACTIVE, records.ERROR))
        nova.lifecycle.stop(server)
    elif name == "os-start":
        _need(server, "start", (records.STOPPED,))
        nova.lifecycle.start(server)
    elif name == "reboot":
        kind = body[name].get("type") if isinstance(body[name], dict) else None
        if str(kind).upper() not in ("SOFT", "HARD"):
            raise invalid("type", kind, f"{kind!r} is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']")
        hard = str(kind).upper() == "HARD"
        _need(server, "reboot", (records.ACTIVE, records.STOPPED, records.ERROR) if hard else (records.ACTIVE,))
        nova.lifecycle.reboot(server, hard=hard)
    elif name in _UNWRITTEN_ACTIONS:
        log.error("compute %s: 501, the lab does not know the action %s of a server", nova.region, name)
        raise errors.not_written(f"the action {name}")
    else:
        raise errors.bad_request(f"There is no such action: {name}")


def _need(server: Record, action: str, allowed: tuple[str, ...]) -> None:
    if server["vm_state"] not in allowed:
        raise errors.wrong_state(action, server["id"], "vm_state", server["vm_state"])
    if server["task_state"] is not None:
        raise errors.wrong_state(action, server["id"], "task_state", server["task_state"])


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


def _page(nova: ComputeService, call: Call) -> tuple[list[Record], dict[str, Any]]:
    """The servers that a list shows: filtered by name (a regular expression) and status, sorted, cut by marker and limit; and the link
    to the next page when the limit was reached."""
    servers = records.living(nova.cloud.region(nova.region))
    name, status = call.first("name"), call.first("status")
    if name is not None:
        try:
            pattern = re.compile(name)
        except re.error as error:
            raise errors.bad_request(f"Invalid filter name: {name} is no regular expression: {error}") from None
        servers = [server for server in servers if pattern.search(server["name"])]
    if status is not None:
        servers = [server for server in servers if records.status(server) == status.upper()]
    for field in ("flavor", "image"):
        if (wanted := call.first(field)) is not None:
            servers = [server for server in servers if server[f"{field}_id"] == wanted]
    if (key := call.first("sort_key")) is not None:
        if key not in _SORTABLE:
            raise errors.bad_request(f"Invalid sort key: {key}")
        servers.sort(key=lambda server: str(server[_SORTABLE[key]]), reverse=call.first("sort_dir", "desc") == "desc")
    marker, limit = call.first("marker"), call.first("limit")
    if marker is not None:
        ids = [server["id"] for server in servers]
        if marker not in ids:
            raise errors.bad_request(f"marker [{marker}] not found")
        servers = servers[ids.index(marker) + 1 :]
    if limit is not None and not limit.isdigit():
        raise errors.bad_request(
            f"Invalid input for query parameters limit. Value: {limit}. '{limit}' does not match '^[0-9]*$'"
        )
    if limit is None or not 0 < int(limit) <= len(servers):
        return servers, {}
    chosen = servers[: int(limit)]
    query = urlencode(
        {**{key: call.query[key][0] for key in sorted(call.query) if key != "marker"}, "marker": chosen[-1]["id"]}
    )
    return chosen, {"servers_links": [{"rel": "next", "href": f"{nova.root}{call.path}?{query}"}]}
