"""Octavia: load balancers, listeners, pools, members and health monitors of one region."""

from lab.cloud.loadbalancer.routes import service

__all__ = ["service"]
