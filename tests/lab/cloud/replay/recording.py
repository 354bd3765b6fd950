"""The recorded flows, in the order in which they were recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[4] / ".." / "shared" / "openstack-recordings"

# One cloud that began empty and was emptied again, then a second one: what a flow creates, later ones use.
CHAINS = (
    ("lb-error-create", "lb-error-retry", "lb-error-destroy"),
    (
        "create", "noop-up", "refresh", "noop-up-after-refresh", "update-member-add", "update-member-weight", "update-member-remove",
        "update-secgroup-rule-add", "update-instance-metadata", "update-volume-extend", "update-port-secgroups", "replace-instance",
        "discovery", "errors-identity", "errors-network", "errors-volume", "errors-image", "errors-load-balancer", "errors-compute",
        "errors-expired-token", "provider-fixed-ip-in-use", "provider-unknown-image", "provider-unknown-image-id", "provider-unknown-flavor",
        "provider-unknown-network", "provider-no-valid-host", "provider-port-in-use", "provider-rule-duplicate", "provider-fip-no-router",
        "provider-quota-network", "provider-quota-server", "provider-quota-volume", "provider-bad-credentials", "provider-members-batch",
        "provider-power-off", "provider-network-in-use", "provider-token-expires", "drift-out-of-band", "drift-refresh", "drift-up",
        "server-stop", "server-start", "server-reboot-soft", "server-reboot-hard", "server-delete-recreate", "refresh-after-server-deleted",
        "up-after-server-deleted", "destroy",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One request and its answer. `note` says what was being done."""

    seq: int
    service: str
    method: str
    path: str
    request_headers: dict[str, str]
    request: Any
    status: int
    response_headers: dict[str, str]
    response: Any
    note: str = ""

    def __str__(self) -> str:
        return f"{self.seq} {self.service} {self.method} {self.path}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Note:
    seq: int
    text: str


@dataclass
class Flow:
    name: str
    steps: list[Row | Note] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        return [step for step in self.steps if isinstance(step, Row)]


@cache
def load(name: str) -> Flow:
    """One flow. A missing folder is an error that says what to do, never a skipped test."""
    path = FOLDER / f"{name}.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.resolve()} is missing: the recordings of a real OpenStack are expected in ../shared/openstack-recordings beside this "
            "checkout; without them nothing holds the lab's cloud to the real one. Put the folder there."
        )
    flow, note = Flow(name), ""
    with path.open() as lines:
        for line in lines:
            item = json.loads(line)
            if "note" in item:
                note = item["note"]
                flow.steps.append(Note(item["seq"], note))
                continue
            flow.steps.append(
                Row(
                    item["seq"],
                    item["service"],
                    item["method"],
                    item["path"],
                    {key.lower(): value for key, value in item["request_headers"].items()},
                    item["request"],
                    item["status"],
                    {key.lower(): value for key, value in item["response_headers"].items()},
                    item["response"],
                    note,
                )
            )
    return flow


def names() -> list[str]:
    return [name for chain in CHAINS for name in chain]
