"""What a server boots from, looked up before anything is deleted or changed for its sake; and why one did not come up.

Nova finds out that an image or a flavor does not exist when the new server is asked for, and a server that is replaced is deleted first. Of one
that ended in ERROR the provider keeps no more than that it failed, and takes it for standing the next time.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Refused
from scripts.clients.openstack import Cloud
from scripts.leftovers.found import await_gone

ERROR = "ERROR"


@dataclass(frozen=True, kw_only=True)
class Boots:
    """What the configuration of a site asks of the platform. `flavors`: by kind of host; `rules`: how many security group rules it has."""

    site: str
    image_id: str
    flavors: Mapping[str, str]
    rules: int = 0


def replacement(cloud: Cloud, inputs: Mapping[str, Any], boots: Boots) -> list[str]:
    """Before a host is made anew on purpose (`inputs`: name, kind and generation). Raises ApiDown, Failed; Refused when it could not be made.

    A server of an earlier generation that is in ERROR goes here already: the provider waits for every server that it deletes, and takes the
    ERROR that it sees meanwhile for a failed deletion. Returns a sentence for each that went.
    """
    name, generation = str(inputs["name"]), str(int(inputs["generation"]))
    _flavor(cloud, name, boots.flavors[str(inputs["kind"])], boots.site)
    _image(cloud, name, boots)
    gone = []
    for server in _in_error(cloud, name):
        if server["metadata"].get("generation") != generation:
            path = f"/servers/{server['id']}"
            cloud.delete("compute", path)
            await_gone(f"server {name} ({server['id']})", lambda path=path: cloud.find("compute", path) is not None)  # type: ignore[misc]
            gone.append(f"{_told(server)}; removed, to be made anew")
    return gone


def change(cloud: Cloud, identity: str, old: Mapping[str, Any], new: Mapping[str, Any], site: str) -> None:
    """Before a server is changed in place. Raises ApiDown; Refused for a flavor that does not exist and a server that is in ERROR."""
    name = str(new["name"])
    if new["flavorId"] != old.get("flavorId"):
        _flavor(cloud, name, str(new["flavorId"]), site)
    found = cloud.find("compute", f"/servers/{identity}")
    if found is not None and found["server"]["status"] == ERROR:
        raise Refused(
            f"{_told(found['server'])}; wanted one that runs; nothing was changed; raise its number in dr:regions.{site}.host_generation, which"
            " replaces it and keeps its addresses and its volume, and run the same again"
        )


def failures(cloud: Cloud, inputs: Mapping[str, Any]) -> list[str]:
    """After a creation that failed: a sentence for each server of that name that is in ERROR. Raises ApiDown."""
    return [_told(item) for item in _in_error(cloud, str(inputs["name"]))]


def _in_error(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    listed = cloud.ask("GET", "compute", f"/servers/detail?{urllib.parse.urlencode({'name': f'^{name}$'})}")["servers"]
    return [item for item in listed if item["name"] == name and item["status"] == ERROR]


def _told(server: Mapping[str, Any]) -> str:
    fault = server.get("fault") or {}
    reason = fault.get("message") or "the platform gives no reason"
    return f"server {server['name']} ({server['id']}): is in ERROR ({reason})"


def _flavor(cloud: Cloud, name: str, flavor: str, site: str) -> None:
    if cloud.find("compute", f"/flavors/{urllib.parse.quote(flavor, safe='')}") is None:
        raise Refused(
            f"server {name}: its flavor is {flavor}, wanted one that region {cloud.region} has; it could not be made; nothing was changed;"
            f" correct dr:regions.{site}.flavors (`openstack flavor list` names all)"
        )


def _image(cloud: Cloud, name: str, boots: Boots) -> None:
    image = cloud.find("image", f"/v2/images/{urllib.parse.quote(boots.image_id, safe='')}")
    status = "missing" if image is None else str(image["status"])
    if status != "active":
        raise Refused(
            f"server {name}: its image {boots.image_id} is {status} in region {cloud.region}, wanted an active one; it could not be made; nothing"
            f" was changed; correct dr:regions.{boots.site}.image_id (`openstack image list` names all)"
        )
