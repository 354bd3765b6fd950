"""The OVHcloud API of the lab: projects' users, S3 credentials and policies, storage containers, DNS zones and their refresh."""

from lab.cloud.ovh.config import Knobs, OvhConfig
from lab.cloud.ovh.service import OvhService, service

__all__ = ["Knobs", "OvhConfig", "OvhService", "service"]
