"""Nova and Cinder: servers, server groups, attachments; volumes are reported and never touched (https://docs.openstack.org/api-ref/compute/)."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from scripts.clients.openstack import Cloud, act
from scripts.leftovers.found import Found, await_end, await_gone
from scripts.leftovers.network import listed


def servers(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By name and by the ports of this very stack; a volume holds it, and so does a port that is not the stack's."""
    name, ours = str(inputs["name"]), {str(net.get("port")) for net in inputs.get("networks") or ()}
    answer = cloud.ask("GET", "compute", f"/servers/detail?{urllib.parse.urlencode({'name': f'^{name}$'})}")
    return [
        _server(cloud, item, ours) for item in answer["servers"] if item["name"] == name and item["status"] != "DELETED"
    ]


def _server(cloud: Cloud, item: dict[str, Any], ours: set[str]) -> Found:
    identity, label = item["id"], f"{item['name']} ({item['id']})"
    volumes = [volume["id"] for volume in item.get("os-extended-volumes:volumes_attached") or ()]
    foreign = [port["id"] for port in listed(cloud, "ports", device_id=identity) if port["id"] not in ours]
    held = None
    if volumes:
        held = f"it has volumes ({', '.join(volumes)})"
    elif foreign:
        held = f"it uses ports that are not this stack's ({', '.join(foreign)})"

    def remove() -> None:
        cloud.delete("compute", f"/servers/{identity}")
        await_gone(f"server {label}", lambda: cloud.find("compute", f"/servers/{identity}") is not None)

    return Found(label, remove, held)


def server_groups(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By name; a member holds it."""
    found = []
    for item in cloud.ask("GET", "compute", "/os-server-groups")["server_groups"]:
        if item["name"] == inputs["name"]:
            held = f"it has members ({', '.join(item['members'])})" if item["members"] else None
            found.append(
                Found(
                    f"{item['name']} ({item['id']})",
                    partial(cloud.delete, "compute", f"/os-server-groups/{item['id']}"),
                    held,
                )
            )
    return found


def volumes(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By name. Nobody can tell an empty volume from the shop's data, so none is ever removed."""
    answer = cloud.ask("GET", "volumev3", f"/volumes/detail?{urllib.parse.urlencode({'name': str(inputs['name'])})}")
    held, remedy = "a volume may hold data", "a new one is made beside it; delete the old one when it is surely empty"
    return [
        Found(f"{item['name']} ({item['id']})", _never, held, remedy)
        for item in answer["volumes"]
        if item["name"] == inputs["name"]
    ]


def attachments(cloud: Cloud, inputs: Mapping[str, Any], may_write: Callable[[], str | None]) -> list[Found]:
    """The volume at this very server; `may_write`: why a database may be writing to it, which holds it.

    Taken off a server that was shut down first: a standby that runs there closes its files and starts again with them.
    """
    server, volume = str(inputs["instanceId"]), str(inputs["volumeId"])
    place, label = f"/servers/{server}/os-volume_attachments", f"of {volume} at {server}"
    found = [item for item in cloud.ask("GET", "compute", place)["volumeAttachments"] if item["volumeId"] == volume]

    def take_off() -> None:
        _power(cloud, server, "os-stop", "SHUTOFF")
        cloud.delete("compute", f"{place}/{volume}")
        await_gone(label, lambda: cloud.find("compute", f"{place}/{volume}") is not None)
        _power(cloud, server, "os-start", "ACTIVE")

    remedy = (
        f"when it is surely idle, detach it (`openstack server remove volume {server} {volume}`) and run the same again"
    )
    return [Found(label, take_off, may_write(), remedy) for _ in found]


def _power(cloud: Cloud, server: str, action: str, state: str) -> None:
    """Ask, unless it is so already, and wait."""

    def elsewhere() -> bool:
        return bool(cloud.ask("GET", "compute", f"/servers/{server}")["server"]["status"] != state)

    if elsewhere():
        act(cloud, server, action)
    await_end(f"server {server}", elsewhere, f"not {state}", action)


def _never() -> None:
    raise AssertionError("a volume is never removed")


ATTACHMENT = "openstack:compute/volumeAttach:VolumeAttach"
KINDS = {
    "openstack:compute/instance:Instance": servers,
    "openstack:compute/serverGroup:ServerGroup": server_groups,
    "openstack:blockstorage/volume:Volume": volumes,
}
