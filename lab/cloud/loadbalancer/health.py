"""The operating status of the moment, from what the machinery says of the members it checks.

Real Octavia hears it from its amphorae; here it is asked for at each read. The clouds that were recorded never heard anything, so there
everything stayed OFFLINE, which is also what is shown here until the first check of a monitored member is known.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from lab.cloud.backend import BackendError
from lab.cloud.loadbalancer import models
from lab.cloud.state import Cloud, Record, RegionState

log = logging.getLogger("lab.cloud.loadbalancer")

_SERVING = ("ACTIVE", "PENDING_UPDATE")


@dataclass
class Health:
    """`members`: ONLINE or ERROR by member id, of all balancers that were asked."""

    members: dict[str, str] = field(default_factory=dict)

    def member(self, state: RegionState, member: Record) -> str:
        if models.monitor_of(state, member["_pool"]) is None:
            return "NO_MONITOR"
        if not member["admin_state_up"]:
            return "OFFLINE"
        if member["weight"] == 0:
            return "DRAINING"
        return self.members.get(member["id"], "OFFLINE")

    def pool(self, state: RegionState, pool: Record) -> str:
        """ONLINE, DEGRADED (some members fail), ERROR (all fail), OFFLINE (disabled, not in use, or nothing known yet)."""
        if (
            not pool["admin_state_up"]
            or not models.users_of(state, pool["id"])
            or pool["provisioning_status"] == "PENDING_CREATE"
        ):
            return "OFFLINE"
        found = {
            self.member(state, member) for member in models.members_of(state, pool["id"]) if member["admin_state_up"]
        }
        known = found - {"OFFLINE"}
        if found and not known:
            return "OFFLINE"
        if "ERROR" not in known:
            return "ONLINE"
        return "ERROR" if known == {"ERROR"} else "DEGRADED"

    def listener(self, state: RegionState, listener: Record) -> str:
        """ONLINE when it listens, whatever its members do."""
        balancer = state.load_balancers[listener["_balancer"]]
        if not listener["admin_state_up"] or listener["provisioning_status"] == "PENDING_CREATE":
            return "OFFLINE"
        return "OFFLINE" if self.balancer(state, balancer) == "OFFLINE" else "ONLINE"

    def balancer(self, state: RegionState, balancer: Record) -> str:
        """The worst of the pools in use; OFFLINE while it does not serve or nothing is known of its pools."""
        if balancer["provisioning_status"] not in _SERVING or not balancer["admin_state_up"]:
            return "OFFLINE"
        pools = [
            self.pool(state, pool)
            for pool in models.pools_of(state, balancer["id"])
            if models.users_of(state, pool["id"])
        ]
        for status in ("ERROR", "DEGRADED"):
            if status in pools:
                return status
        return "OFFLINE" if set(pools) == {"OFFLINE"} else "ONLINE"

    def of(self, state: RegionState, kind: str, record: Record) -> str:
        """The status of any record, by its kind."""
        if kind == "member":
            return self.member(state, record)
        if kind == "pool":
            return self.pool(state, record)
        if kind == "listener":
            return self.listener(state, record)
        if kind == "loadbalancer":
            return self.balancer(state, record)
        return "ONLINE" if record["provisioning_status"] == "ACTIVE" else "OFFLINE"


def ask(cloud: Cloud, region: str) -> Health:
    """Ask the machinery about every serving balancer with a monitor. One that cannot be asked is as if nothing were known. Not under the lock."""
    with cloud.lock:
        state = cloud.region(region)
        monitored = {state.pools[monitor["_pool"]]["_balancer"] for monitor in state.monitors.values()}
        wanted = [key for key in sorted(monitored) if state.load_balancers[key]["provisioning_status"] in _SERVING]
    health = Health()
    for balancer_id in wanted:
        try:
            health.members |= cloud.backend.balancer_health(region, balancer_id)
        except BackendError as error:
            log.warning("the health of load balancer %s in %s is unknown: %s", balancer_id, region, error)
    return health
