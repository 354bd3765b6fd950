"""Cinder v3: volumes, their growth and their ends; types, quotas and limits for readers."""

from lab.cloud.state import Cloud
from lab.cloud.volume.routes import VolumeService


def service(cloud: Cloud, region: str) -> VolumeService:
    return VolumeService(cloud, region)


__all__ = ["VolumeService", "service"]
