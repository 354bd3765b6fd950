"""Nova v2.1: servers and what belongs to them, key pairs, server groups, flavors, quotas."""

from lab.cloud.compute.routes import ComputeService
from lab.cloud.state import Cloud


def service(cloud: Cloud, region: str) -> ComputeService:
    return ComputeService(cloud, region)


__all__ = ["ComputeService", "service"]
