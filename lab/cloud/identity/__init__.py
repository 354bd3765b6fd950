"""Keystone v3: password tokens with a catalogue, and what a tenant may ask of the rest."""

from lab.cloud.identity.routes import IdentityService
from lab.cloud.state import Cloud


def service(cloud: Cloud) -> IdentityService:
    return IdentityService(cloud)


__all__ = ["IdentityService", "service"]
