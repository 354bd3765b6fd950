"""Where the lab may differ from the recorded cloud, each with its reason. An exemption that nothing needs any more makes a test fail."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.lab.cloud.replay.recording import Row


@dataclass(frozen=True)
class Exemption:
    """`flow`, `service`, `path` and `where` are regular expressions, matched from the beginning; `where` is the place in the answer:
    "status", "header <name>" or a path in the body, with `[]` for any item of a list."""

    reason: str
    where: str
    flow: str = ""
    service: str = ""
    path: str = ""

    def covers(self, flow: str, row: Row, where: str) -> bool:
        found = f"{row.method} {row.path}"
        return all(
            re.match(pattern, text)
            for pattern, text in (
                (self.flow, flow),
                (self.service, row.service),
                (self.path, found),
                (self.where, where),
            )
        )


ROWS: list[tuple[str, str]] = [
    (
        r"destroy 22 load-balancer DELETE",
        "the recorded service's own failure (500) when two requests met; the client repeated it",
    ),
    (
        r"discovery \d+ network GET /v2.0/ports\?limit=2",
        "which two ports come first depends on their random ids; test_network has the pages",
    ),
    (r"\S+ \d+ placement ", "the lab has no placement service: no tenant's client asks for it"),
    (
        r"\S+ \d+ \S+ GET \S*/nonsense",
        "the lab answers 501 to what it does not know, so that nothing unwritten looks like a real 404",
    ),
]

EXEMPTIONS: list[Exemption] = [
    Exemption(
        "the recorded hypervisor was a fake that names disks /dev/sdX; the lab's disks are virtio, as OVHcloud's",
        where=r"(/volumeAttachment/|/volumes?/(\[\]/)?attachments/\[\]/)device$",
    ),
    Exemption(
        "the lab's image schema has no prose and names no properties of images that it has not got",
        flow="discovery",
        path="GET /v2/schemas/image",
        where=r"/properties/(\w+/description|kernel_id|ramdisk_id|instance_uuid|architecture|os_distro|os_version|description|direct_url|"
        r"locations|cinder_encryption_key_\w+)$",
    ),
    Exemption(
        "the recorded amphorae were stand-ins without a health manager, so nothing of theirs ever was ONLINE",
        service="load-balancer",
        where=r".*/operating_status$",
    ),
    Exemption(
        "the lab names the Neutron extensions that it has, the recorded service those that were installed",
        flow="discovery",
        path="GET /v2.0/extensions",
        where="/extensions",
    ),
    Exemption(
        "the default group lets everything through, as OVHcloud's does; the recorded one admitted its own members only",
        flow="discovery",
        path="GET /v2.0/security-group",
        where=r"/.*/remote_group_id$",
    ),
    Exemption(
        "the provider of the lab's balancers describes itself",
        flow="discovery",
        path="GET /v2.0/lbaas/providers",
        where=r".*/description$",
    ),
    Exemption(
        "how often a port is touched inwardly while a server gets it is not part of the API",
        flow="errors-network",
        path="PUT /v2.0/ports/70d27123",
        where="/NeutronError/message$",
    ),
    Exemption(
        "Keystone adds a dump of its own schema to the refusal",
        flow="errors-identity",
        path=r"POST /v3/auth/tokens",
        where="/error/message$",
    ),
]


def trimmed(response: Any) -> Any:
    """A recorded answer without the catalogue's entry for placement, which the lab has not got."""
    if not isinstance(response, dict):
        return response
    if isinstance(response.get("catalog"), list):
        return {**response, "catalog": [item for item in response["catalog"] if item["type"] != "placement"]}
    return {**response, "token": trimmed(response["token"])} if "token" in response else response


# Limits while a flow, or the rows after a note, were recorded; an administrator had set them.
QUOTAS: dict[tuple[str, str], dict[str, int]] = {
    ("errors-compute", "quota of instances exceeded"): {"instances": 2},
    ("errors-compute", "quota of cores exceeded"): {"cores": 2},
    ("errors-compute", "quota of ports exceeded"): {"port": 0},
    ("errors-volume", "quota of gigabytes exceeded"): {"gigabytes": 21},
    ("errors-volume", "extend over the quota, microversion 3.42"): {"gigabytes": 21},
    ("errors-volume", "quota of volumes exceeded"): {"volumes": 1},
    ("errors-network", "quota exceeded"): dict.fromkeys(
        ("network", "subnet", "port", "floatingip", "security_group_rule", "router", "security_group"), 0
    ),
    ("errors-load-balancer", "quota exceeded"): dict.fromkeys(
        ("load_balancer", "listener", "pool", "member", "health_monitor"), 0
    ),
    ("provider-quota-network", ""): {"network": 0},
    ("provider-quota-server", ""): {"instances": 2},
    ("provider-quota-volume", ""): {"gigabytes": 100},
}

# Deleted without being recorded, before a row was sent: (flow, seq): (service, path).
UNRECORDED: dict[tuple[str, int], tuple[str, str]] = {
    ("errors-network", 104): ("network", "/v2.0/subnets/f323d74d-021b-4687-b53c-aa50bad3da67"),
    ("drift-out-of-band", 2): ("compute", "/v2.1/servers/91a796a2-3b96-44b0-ab07-7ee1593e0245"),
    ("errors-volume", 30): (
        "volumev3",
        "/v3/e334c3bfb51c4e1ba28bbf32dcf093b8/volumes/dcbf43a0-0e68-412e-b4e8-d82af942e76b",
    ),
    ("up-after-server-deleted", 2): ("compute", "/v2.1/servers/83309566-4913-4468-b26d-46435e9af9a6"),
    ("errors-compute", 73): ("compute", "/v2.1/servers/537918bf-7dd5-444d-bcfb-528d17e6440d"),
}

_used: set[str] = set()


def skipped(flow: str, row: Row) -> str | None:
    """Why a row is not played; None when it is."""
    for pattern, reason in ROWS:
        if re.match(pattern, f"{flow} {row.seq} {row.service} {row.method} {row.path}"):
            _used.add(reason)
            return reason
    return None


def exempt(flow: str, row: Row, where: str) -> bool:
    for item in EXEMPTIONS:
        if item.covers(flow, row, where):
            _used.add(item.reason)
            return True
    return False


def unused() -> list[str]:
    """Reasons that no row has needed so far."""
    return sorted(({reason for _, reason in ROWS} | {item.reason for item in EXEMPTIONS}) - _used)
