"""The cloud that a recording is played against: made of what the recorded one offered, and moved on by hand, one change at a time."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable
from typing import Any

from lab.cloud.backend import RecordingBackend
from lab.cloud.config import QUOTAS, CloudConfig, Delays, ExternalNetwork, Flavor, Image, LbFlavor, RegionConfig, User
from lab.cloud.openstack import OpenStack, build
from lab.cloud.worker import Failed, Worker
from tests.lab.cloud.replay.recording import Row, load

PASSWORD = "what the recording left out"
REGION, OTHER = "GRA11", "SBG5"
PORTS = {"compute": 8774, "network": 9696, "image": 9292, "volumev3": 8776, "load-balancer": 9876}


class StepWorker(Worker):
    """A worker without threads and without a clock: a job runs when `step` says so.

    Each job belongs to the request that led to it (`origin`), also through other jobs, so that a player can let one resource go on
    while the others rest.
    """

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.jobs: list[tuple[float, int, int, Callable[[], None], Failed | None]] = []
        self.origin = 0
        self._time = 0.0
        self._count = itertools.count()

    def later(self, delay: float, job: Callable[[], None], failed: Failed | None = None) -> None:
        heapq.heappush(self.jobs, (self._time + delay, next(self._count), self.origin, job, failed))

    def forget(self) -> None:
        self.jobs.clear()

    def step(self, origins: set[int] | None = None) -> bool:
        """Run the next job of these origins (None: of any); False when there is none."""
        chosen = min((item for item in self.jobs if origins is None or item[2] in origins), default=None)
        if chosen is None:
            return False
        self.jobs.remove(chosen)
        heapq.heapify(self.jobs)
        due, _, origin, job, failed = chosen
        before, self.origin, self._time = self.origin, origin, max(self._time, due)
        try:
            job()
        except Exception as error:
            if failed is None:
                raise
            failed(str(error))
        finally:
            self.origin = before
        return True

    def settle(self, timeout: float = 0) -> bool:
        while self.step():
            pass
        return True


def _row(path: str, method: str = "GET") -> Row:
    return next(row for row in load("discovery").rows if (row.method, row.path) == (method, path))


def config() -> CloudConfig:
    """The recorded cloud's own offers, with their ids; both regions alike."""
    token: dict[str, Any] = _row("/v3/auth/tokens", "POST").response["token"]
    quota = _row("/v2.0/quotas/" + token["project"]["id"]).response["quota"]
    volumes = next(
        row for row in load("discovery").rows if row.service == "volume" and "os-quota-sets" in row.path
    ).response["quota_set"]
    balancers = next(row for row in load("discovery").rows if "/lbaas/quotas/" in row.path).response["quota"]
    external = next(net for net in _row("/v2.0/networks").response["networks"] if net["router:external"])
    limits = {
        **QUOTAS,
        **quota,
        **{name: row["limit"] for name, row in volumes.items() if isinstance(row, dict) and name in QUOTAS},
        **{name: limit for name, limit in balancers.items() if isinstance(limit, int)},
    }
    region = RegionConfig(
        name=REGION,
        endpoints={kind: f"http://10.99.0.1:{port}" for kind, port in PORTS.items()},
        external=ExternalNetwork(
            id=external["id"],
            subnet_id=external["subnets"][0],
            cidr="203.0.113.0/24",
            gateway="203.0.113.1",
            pool=("203.0.113.10", "203.0.113.250"),
        ),
        images=tuple(
            Image(id=image["id"], name=image["name"], size=image["size"])
            for image in _row("/v2/images").response["images"]
        ),
        flavors=tuple(
            Flavor(id=item["id"], name=item["name"], ram=item["ram"], vcpus=item["vcpus"], disk=item["disk"])
            for item in _row("/v2.1/flavors/detail").response["flavors"]
        ),
        lb_flavors=tuple(
            LbFlavor(id=item["id"], name=item["name"]) for item in _row("/v2.0/lbaas/flavors").response["flavors"]
        ),
        quotas=limits,
    )
    user = User(name="shop", password=PASSWORD, id=token["user"]["id"])
    return CloudConfig(
        auth_url="http://10.99.0.1:5000/v3",
        project_id=token["project"]["id"],
        project_name=token["project"]["name"],
        users=(user,),
        regions=(region, dataclasses.replace(region, name=OTHER)),
        delays=Delays(server=1, volume=1, balancer=1, floating_ip=1, network=1),
    )


class World:
    """A fresh cloud. Nothing changes by itself: `worker.step`."""

    def __init__(self) -> None:
        self.config = config()
        self.backend = RecordingBackend()
        self.openstack: OpenStack = build(self.config, self.backend)
        self.cloud = self.openstack.cloud
        self.worker = StepWorker()
        self.cloud.worker = self.worker
        self.quotas = dict(self.config.regions[0].quotas)

    def set_quotas(self, **limits: int) -> None:
        """These limits instead of the usual ones; none: the usual ones again."""
        quotas = self.cloud.region(REGION).quotas
        quotas.clear()
        quotas.update({**self.quotas, **limits})

    def settle(self) -> None:
        self.worker.settle()
