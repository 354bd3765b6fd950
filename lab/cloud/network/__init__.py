"""Neutron: networks, subnets, ports, routers, security groups and floating IPs of one region."""

from lab.cloud.network.routes import service

__all__ = ["service"]
