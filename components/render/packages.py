"""Debian packages of each kind of host. `dr-host host converge` installs those that the image lacks."""

from __future__ import annotations

_COMMON = ("python3-boto3", "ca-certificates", "nftables")

_BY_ROLE = {
    "control": ("postgresql-client-17", "redis-tools"),
    "db": ("postgresql-17", "postgresql-client-17", "python3-psycopg", "e2fsprogs"),
    "cache": ("redis-server", "redis-tools"),
    "app": (
        "nginx",
        "postgresql-client-17",
        "puma",
        "python3-psycopg",
        "redis-tools",
        "ruby-aws-sdk-s3",
        "ruby-pg",
        "ruby-rails",
        "ruby-redis",
    ),
}


def packages(role: str) -> tuple[str, ...]:
    """Sorted package names of one kind of host."""
    return tuple(sorted({*_COMMON, *_BY_ROLE[role]}))
