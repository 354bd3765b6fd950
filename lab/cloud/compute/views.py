"""Servers, flavors and groups as a client of a given microversion sees them. Called under the cloud's lock."""

from __future__ import annotations

from typing import Any

from lab.cloud.compute import records
from lab.cloud.config import Flavor
from lab.cloud.microversion import Version
from lab.cloud.state import Cloud, Record

_PROGRESS = frozenset({"ACTIVE", "BUILD"})


class Views:
    """The bodies of one region's Nova."""

    def __init__(self, cloud: Cloud, region: str, root: str) -> None:
        self.cloud, self.region, self.root = cloud, region, root

    def links(self, kind: str, item_id: str) -> list[dict[str, str]]:
        return [
            {"rel": "self", "href": f"{self.root}/v2.1/{kind}/{item_id}"},
            {"rel": "bookmark", "href": f"{self.root}/{kind}/{item_id}"},
        ]

    def brief(self, server: Record) -> Record:
        return {"id": server["id"], "name": server["name"], "links": self.links("servers", server["id"])}

    def lost_brief(self, server: Record) -> Record:
        """A server of a cell that is down: all that Nova knows without that cell's database."""
        return {"id": server["id"], "status": "UNKNOWN", "links": self.links("servers", server["id"])}

    def lost(self, server: Record) -> Record:
        return {
            **self.lost_brief(server),
            "tenant_id": self.cloud.config.project_id,
            "created": server["created"],
        }

    def lost_single(self, server: Record) -> Record:
        """Read by id, with what the request for it had said."""
        return {
            **self.lost(server),
            "user_id": server["user_id"],
            "image": self._image(server, (2, 1)),
            "flavor": self._flavor_of(server, (2, 69)),
            "OS-EXT-AZ:availability_zone": server["zone"],
            "OS-EXT-STS:power_state": records.NO_STATE,
            "server_groups": [server["group"]] if server["group"] else [],
        }

    def server(self, server: Record, version: Version, *, single: bool = True) -> Record:
        """A server in full. `single`: read by id, which shows more than a list does."""
        status = records.status(server)
        body: Record = {
            "id": server["id"],
            "name": server["name"],
            "status": status,
            "tenant_id": self.cloud.config.project_id,
            "user_id": server["user_id"],
            "metadata": dict(server["metadata"]),
            "hostId": records.host_id(self.cloud.config.project_id, server["host"]),
            "image": self._image(server, version),
            "flavor": self._flavor_of(server, version),
            "created": server["created"],
            "updated": server["updated"],
            "addresses": self.addresses(server) if server["_shown"] else {},
            "accessIPv4": "",
            "accessIPv6": "",
            "links": self.links("servers", server["id"]),
            "OS-DCF:diskConfig": "MANUAL",
            "OS-EXT-AZ:availability_zone": server["zone"],
            "config_drive": "True" if server["config_drive"] else "",
            "key_name": server["key_name"],
            "OS-SRV-USG:launched_at": server["launched_at"],
            "OS-SRV-USG:terminated_at": server["terminated_at"],
            "OS-EXT-STS:task_state": server["task_state"],
            "OS-EXT-STS:vm_state": server["vm_state"],
            "OS-EXT-STS:power_state": server["power_state"],
            "os-extended-volumes:volumes_attached": self._volumes(server, version),
        }
        if status in _PROGRESS:
            body["progress"] = 0
        if status in ("ERROR", "DELETED") and server["fault"] is not None:
            body["fault"] = dict(server["fault"])
        bound = [port for port in self._ports(server) if port["device_id"] == server["id"]]
        if bound:
            body["security_groups"] = self._security_groups(bound)
        body |= self._newer(server, version, single)
        return body

    def addresses(self, server: Record) -> dict[str, list[dict[str, Any]]]:
        """By the network's name: fixed addresses, each followed by the floating IP that leads to it."""
        state = self.cloud.region(self.region)
        found: dict[str, list[dict[str, Any]]] = {}
        for port in self._ports(server):
            network = state.networks.get(port["network_id"])
            rows = found.setdefault(network["name"] if network else port["network_id"], [])
            for fixed in port["fixed_ips"]:
                address = fixed["ip_address"]
                rows.append(_address(address, "fixed", port["mac_address"]))
                rows += [
                    _address(item["floating_ip_address"], "floating", port["mac_address"])
                    for item in state.floating_ips.values()
                    if item["port_id"] == port["id"] and item["fixed_ip_address"] == address
                ]
        return found

    def flavor(self, flavor: Flavor, version: Version) -> Record:
        body: Record = {
            "id": flavor.id,
            "name": flavor.name,
            "ram": flavor.ram,
            "disk": flavor.disk,
            "swap": 0 if version >= (2, 75) else "",
            "OS-FLV-EXT-DATA:ephemeral": 0,
            "OS-FLV-DISABLED:disabled": False,
            "vcpus": flavor.vcpus,
            "os-flavor-access:is_public": True,
            "rxtx_factor": 1.0,
            "links": self.links("flavors", flavor.id),
        }
        if version >= (2, 55):
            body["description"] = None
        if version >= (2, 61):
            body["extra_specs"] = {}
        return body

    def group(self, group: Record, version: Version) -> Record:
        body: Record = {"id": group["id"], "name": group["name"]}
        if version >= (2, 64):
            body |= {"policy": group["policy"], "rules": dict(group["rules"])}
        else:
            body |= {"policies": [group["policy"]], "metadata": {}}
        body["members"] = [
            server["id"] for server in records.group_members(self.cloud.region(self.region), group["id"])
        ]
        if version >= (2, 13):
            body |= {"project_id": self.cloud.config.project_id, "user_id": group["user_id"]}
        return body

    def attachment(self, item: Record, version: Version) -> Record:
        body: Record = {
            "id": item["volume_id"],
            "volumeId": item["volume_id"],
            "serverId": item["server_id"],
            "device": item["device"],
        }
        if version >= (2, 70):
            body["tag"] = None
        if version >= (2, 79):
            body["delete_on_termination"] = False
        return body

    def interface(self, port: Record) -> Record:
        return {
            "port_state": port["status"],
            "port_id": port["id"],
            "net_id": port["network_id"],
            "mac_addr": port["mac_address"],
            "fixed_ips": [dict(fixed) for fixed in port["fixed_ips"]],
        }

    def _ports(self, server: Record) -> list[Record]:
        ports = self.cloud.region(self.region).ports
        return [ports[port_id] for port_id in server["ports"] if port_id in ports]

    def _image(self, server: Record, version: Version) -> Record:
        image_id = server["image_id"]
        body: Record = {"id": image_id, "links": [{"rel": "bookmark", "href": f"{self.root}/images/{image_id}"}]}
        image = self.cloud.region(self.region).images.get(image_id)
        if version >= (2, 98) and image is not None:
            flavor = records.flavor(self.cloud, self.region, server["flavor_id"])
            body["properties"] = {
                **{key: value for key, value in image.items() if key.startswith("owner_specified")},
                "min_ram": str(image["min_ram"]),
                "min_disk": str(flavor.disk if flavor else image["min_disk"]),
                "disk_format": image["disk_format"],
                "container_format": image["container_format"],
                "base_image_ref": image_id,
            }
        return body

    def _flavor_of(self, server: Record, version: Version) -> Record:
        flavor = records.flavor(self.cloud, self.region, server["flavor_id"])
        if version < (2, 47) or flavor is None:
            return {
                "id": server["flavor_id"],
                "links": [{"rel": "bookmark", "href": f"{self.root}/flavors/{server['flavor_id']}"}],
            }
        return {
            "vcpus": flavor.vcpus,
            "ram": flavor.ram,
            "disk": flavor.disk,
            "ephemeral": 0,
            "swap": 0,
            "original_name": flavor.name,
            "extra_specs": {},
        }

    def _volumes(self, server: Record, version: Version) -> list[Record]:
        extra = {"delete_on_termination": False} if version >= (2, 3) else {}
        held = server["_held"] or records.attachments(self.cloud.region(self.region), server["id"])
        return [{"id": item["volume_id"], **extra} for item in held]

    def _security_groups(self, ports: list[Record]) -> list[Record]:
        """The groups of each port in turn, so that a group of two ports is there twice."""
        groups = self.cloud.region(self.region).security_groups
        return [
            {"name": groups[group_id]["name"]}
            for port in ports
            for group_id in port["security_groups"]
            if group_id in groups
        ]

    def _newer(self, server: Record, version: Version, single: bool) -> Record:
        """What later microversions have added."""
        group = server["group"]
        fields: list[tuple[Version, str, Any]] = [
            ((2, 9), "locked", server["locked"]),
            ((2, 19), "description", server["description"]),
            ((2, 26), "tags", list(server["tags"])),
            ((2, 63), "trusted_image_certificates", None),
            ((2, 73), "locked_reason", server["locked_reason"]),
            ((2, 90), "OS-EXT-SRV-ATTR:hostname", server["name"]),
            ((2, 96), "pinned_availability_zone", server["pinned_zone"]),
        ]
        if single:
            fields.append(((2, 71), "server_groups", [group] if group else []))
            fields.append(((2, 100), "scheduler_hints", {"group": [group]} if group else {}))
        return {name: value for since, name, value in fields if version >= since}


def _address(address: str, kind: str, mac: str) -> dict[str, Any]:
    return {"version": 4, "addr": address, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": mac}
