"""Assembly of the OpenStack side: one `Cloud` and a service object for each endpoint of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.cloud import compute, identity, image, loadbalancer, network, volume
from lab.cloud.backend import Backend
from lab.cloud.state import Cloud, CloudConfig
from lab.cloud.web import Service

BUILDERS: dict[str, Callable[[Cloud, str], Service]] = {
    "image": image.service,
    "network": network.service,
    "compute": compute.service,
    "volumev3": volume.service,
    "load-balancer": loadbalancer.service,
}


@dataclass(frozen=True)
class OpenStack:
    """`services`: by (service type, region); Keystone is ("identity", "")."""

    cloud: Cloud
    services: dict[tuple[str, str], Service]

    def close(self) -> None:
        self.cloud.close()


def build(config: CloudConfig, backend: Backend) -> OpenStack:
    """Make the cloud, empty but for what its regions offer. No sockets: serve each service with `lab.cloud.web.Server`."""
    cloud = Cloud(config, backend)
    cloud.services[("identity", "")] = identity.service(cloud)
    for region in config.regions:
        for kind, builder in BUILDERS.items():
            cloud.services[(kind, region.name)] = builder(cloud, region.name)
    return OpenStack(cloud, cloud.services)
