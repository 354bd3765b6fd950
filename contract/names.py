"""Names that a project's things have at the platform, computed from a few words of the configuration."""

from __future__ import annotations

EXT_NET = "Ext-Net"  # OVHcloud's public network and floating IP pool, the same name in every region

BUCKETS = ("assets", "wal", "releases")  # kinds of buckets of a site


def server_name(project: str, site: str, host: str) -> str:
    """Name of a server at the OpenStack API; the fence of the other site finds it by this name."""
    return f"{project}-{site}-{host}"


def bucket_name(project: str, service_name: str, site: str, kind: str) -> str:
    """Name of a bucket. Bucket names are shared by all customers, hence the piece of the project's id."""
    return f"{project}-{service_name[:8]}-{site}-{kind}".lower()


def record_name(site: str, subdomain: str) -> str:
    """The fixed name of one site beside the public name: "a.www"."""
    return f"{site}.{subdomain}" if subdomain else site
