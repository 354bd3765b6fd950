"""The checks of `POST /servers`, in Nova's order: form, then what it refers to, then quotas. Called under the cloud's lock."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from lab.cloud.compute import errors, records
from lab.cloud.config import Flavor
from lab.cloud.microversion import Version
from lab.cloud.state import Cloud, Record, RegionState
from lab.cloud.validation import document, invalid, is_uuid, only, required, strings, text
from lab.cloud.web import Call

LONGEST_USER_DATA = 65535

_FIELDS = frozenset({
    "name", "flavorRef", "imageRef", "networks", "adminPass", "metadata", "OS-DCF:diskConfig", "accessIPv4", "accessIPv6", "personality",
    "availability_zone", "block_device_mapping", "block_device_mapping_v2", "config_drive", "key_name", "min_count", "max_count",
    "return_reservation_id", "security_groups", "user_data",
})  # fmt: skip
_NEWER_FIELDS: dict[Version, tuple[str, ...]] = {
    (2, 19): ("description",),
    (2, 52): ("tags",),
    (2, 63): ("trusted_image_certificates",),
    (2, 74): ("host", "hypervisor_hostname"),
    (2, 90): ("hostname",),
}
_NOT_WRITTEN = (
    "block_device_mapping",
    "block_device_mapping_v2",
    "personality",
    "return_reservation_id",
    "host",
    "hypervisor_hostname",
)
_HINTS = ("os:scheduler_hints", "OS-SCH-HNT:scheduler_hints")


class Wanted:
    """A checked request for one server.

    `fields` completes the record; `flavor` is the flavor; `nics` has for each interface {"port": id} or {"network": id, "fixed_ip": address
    or None}; `groups` are the ids of the security groups for ports that Nova makes, `group_names` what the answer echoes.
    """

    def __init__(self, cloud: Cloud, region: str, call: Call, version: Version) -> None:
        self.cloud, self.region, self.version = cloud, region, version
        self.state: RegionState = cloud.region(region)
        self.body = document(call, "server")
        self.hints: dict[str, Any] = next((call.body[name] for name in _HINTS if call.body.get(name)), {})
        self._form()
        zone = self._zone()
        self.flavor: Flavor = self._flavor()
        self.image_id = self._image()
        key_name, key = self._key()
        group = self._group()
        self.group_names = [str(item.get("name")) for item in self.body.get("security_groups") or [{"name": "default"}]]
        self.groups = self._security_groups()
        self.nics = self._nics()
        self._quotas()
        self.name = str(self.body["name"]).strip()
        self.fields: Record = {
            "metadata": strings("metadata", self.body.get("metadata") or {}),
            "tags": list(self.body.get("tags") or []),
            "description": self.body.get("description") or (self.name if version < (2, 19) else None),
            "key_name": key_name,
            "config_drive": bool(self.body.get("config_drive")),
            "group": group,
            "pinned_zone": zone,
            "_user_data": decode_user_data(self.body.get("user_data") or ""),
            "_key": key,
            "_nics": self.nics,
            "_groups": self.groups,
        }

    def _form(self) -> None:
        body, allowed = self.body, _FIELDS
        for since, names in _NEWER_FIELDS.items():
            if self.version >= since:
                allowed = allowed | set(names)
        only("server", body, allowed)
        required("server", body, ("name", "flavorRef"))
        if self.version >= (2, 37):
            required("server", body, ("networks",))
        text("name", body["name"], longest=255, shortest=1)
        user_data = body.get("user_data")
        if user_data is not None:
            text("user_data", user_data, longest=LONGEST_USER_DATA)
        strings("metadata", body.get("metadata") or {})
        drive = body.get("config_drive")
        if not (
            drive is None
            or isinstance(drive, bool)
            or str(drive).lower() in ("true", "false", "0", "1", "yes", "no", "on", "off")
        ):
            raise invalid("config_drive", drive, f"{drive!r} is not one of [True, 'True', False, 'False']")
        for name in _NOT_WRITTEN:
            if body.get(name):
                raise errors.not_written(f"{name} in a new server")
        if int(body.get("min_count") or 1) != 1 or int(body.get("max_count") or 1) != 1:
            raise errors.not_written("several servers in one request")
        if not isinstance(self.hints, dict):
            raise invalid("os:scheduler_hints", self.hints, f"{self.hints!r} is not of type 'object'")

    def _zone(self) -> str | None:
        zone = self.body.get("availability_zone")
        if zone is not None and zone != self.cloud.settings(self.region).zone:
            raise errors.bad_request("The requested availability zone is not available")
        return zone

    def _flavor(self) -> Flavor:
        reference = str(self.body["flavorRef"]).rsplit("/", 1)[-1]
        found = records.flavor(self.cloud, self.region, reference)
        if found is None:
            raise errors.bad_request(f"Flavor {reference} could not be found.")
        return found

    def _image(self) -> str:
        reference = self.body.get("imageRef")
        if not reference:
            raise errors.bad_request("Missing imageRef attribute")
        if not is_uuid(reference):
            raise invalid("imageRef", reference, f"{reference!r} is not valid under any of the given schemas")
        image = self.state.images.get(reference)
        if image is None:
            raise errors.bad_request("Can not find requested image")
        if image["status"] != "active":
            raise errors.bad_request(f"Image {reference} is unacceptable: Image is not active.")
        if self.flavor.ram < image["min_ram"]:
            raise errors.bad_request("Flavor's memory is too small for requested image.")
        if self.flavor.disk < image["min_disk"]:
            raise errors.bad_request("Flavor's disk is too small for requested image.")
        return str(reference)

    def _key(self) -> tuple[str | None, str | None]:
        name = self.body.get("key_name")
        if name is None:
            return None, None
        pair = self.state.keypairs.get(name)
        if pair is None:
            raise errors.bad_request("Invalid key_name provided.")
        return str(name), str(pair["public_key"])

    def _group(self) -> str | None:
        group = self.hints.get("group")
        group = group[0] if isinstance(group, list) and group else group
        if group is None:
            return None
        if group not in self.state.server_groups:
            raise errors.bad_request(f"Instance group {group} could not be found.")
        if self.cloud.over_quota(self.region, "server_group_members", len(records.group_members(self.state, group))):
            raise errors.forbidden("Quota exceeded, too many servers in group")
        return str(group)

    def _security_groups(self) -> list[str]:
        found: list[str] = []
        for item in self.body.get("security_groups") or []:
            wanted = item.get("name") if isinstance(item, dict) else None
            ids = [
                group_id
                for group_id, group in self.state.security_groups.items()
                if wanted in (group_id, group["name"]) and group["project_id"] == self.cloud.config.project_id
            ]
            if not ids:
                raise errors.bad_request(f"Unable to find security_group with name or id '{wanted}'")
            if len(ids) > 1:
                text_ = f"Multiple security_group matches found for name '{wanted}', use an ID to be more specific."
                raise errors.conflict(text_)
            found.append(ids[0])
        return found

    def _nics(self) -> list[Record]:
        wanted = self.body.get("networks")
        if wanted in (None, [], "auto"):
            return self._any_network()
        if wanted == "none":
            return []
        if not isinstance(wanted, list) or not all(isinstance(item, dict) for item in wanted):
            raise invalid("networks", wanted, f"{wanted!r} is not valid under any of the given schemas")
        return [self._nic(index, item) for index, item in enumerate(wanted)]

    def _nic(self, index: int, item: dict[str, Any]) -> Record:
        only(str(index), item, frozenset({"fixed_ip", "port", "uuid", "tag"}))
        port_id, network_id = item.get("port"), item.get("uuid")
        if port_id is not None:
            port = self.state.ports.get(port_id) if is_uuid(port_id) else None
            if port is None:
                raise errors.bad_request(f"Port id {port_id} could not be found.")
            if port["device_id"]:
                raise errors.port_in_use(port_id)
            if not port["fixed_ips"]:
                raise errors.bad_request(f"Port {port_id} requires a FixedIP in order to be used.")
            return {"port": port_id}
        if network_id is None:
            raise invalid(str(index), item, "a network needs a uuid or a port")
        network = self.state.networks.get(network_id)
        if network is None:
            raise errors.bad_request(f"Network {network_id} could not be found.")
        if not network["subnets"]:
            raise errors.bad_request(f"Network {network_id} requires a subnet in order to boot instances on.")
        if network["router:external"]:
            raise errors.forbidden(f"It is not allowed to create an interface on external network {network_id}")
        return {"network": network_id, "fixed_ip": item.get("fixed_ip")}

    def _any_network(self) -> list[Record]:
        """No network named: the tenant's only one, none when it has none, 409 when there are several."""
        own = [
            item["id"] for item in self.state.networks.values() if item["project_id"] == self.cloud.config.project_id
        ]
        if len(own) > 1:
            raise errors.conflict("Multiple possible networks found, use a Network ID to be more specific.")
        return [{"network": network_id, "fixed_ip": None} for network_id in own]

    def _quotas(self) -> None:
        used = records.usage(self.cloud, self.region)
        more = {"instances": 1, "cores": self.flavor.vcpus, "ram": self.flavor.ram}
        excess = [
            (name, more[name], used[name], self.state.quotas[name])
            for name in more
            if self.cloud.over_quota(self.region, name, used[name], more[name])
        ]
        if excess:
            raise errors.over_quota(excess)
        new_ports = sum(1 for nic in self.nics if "network" in nic)
        own = sum(1 for port in self.state.ports.values() if port["project_id"] == self.cloud.config.project_id)
        if new_ports and self.cloud.over_quota(self.region, "port", own, new_ports):
            raise errors.forbidden("Maximum number of ports exceeded")


def decode_user_data(encoded: str) -> str:
    """What cloud-init gets. Nova passes on what is no base64 as it came, and so does this."""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return encoded
