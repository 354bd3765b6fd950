"""Octavia of one region."""

from lab.cloud.auth import OpenStackService
from lab.cloud.state import Cloud


class LoadBalancerService(OpenStackService):
    """No path yet: everything is answered with 501."""

    name = "load-balancer"


def service(cloud: Cloud, region: str) -> LoadBalancerService:
    return LoadBalancerService(cloud, region)
