"""Glance v2, for readers: the images that a region offers."""

from lab.cloud.image.routes import ImageService
from lab.cloud.state import Cloud


def service(cloud: Cloud, region: str) -> ImageService:
    return ImageService(cloud, region)


__all__ = ["ImageService", "service"]
