"""Debian packages of each kind of host. `dr-host host converge` installs those that the image lacks."""

from __future__ import annotations

_COMMON = ("python3-boto3", "ca-certificates", "nftables")

_BY_ROLE = {
    "control": ("postgresql-client-{version}", "redis-tools"),
    "db": ("pgbackrest", "postgresql-{version}", "postgresql-client-{version}", "python3-psycopg", "e2fsprogs"),
    "cache": ("redis-server", "redis-tools"),
    "app": (
        "nginx",
        "postgresql-client-{version}",
        "puma",
        "python3-psycopg",
        "redis-tools",
        "ruby-aws-sdk-s3",
        "ruby-pg",
        "ruby-rails",
        "ruby-redis",
    ),
}


def packages(role: str, version: int) -> tuple[str, ...]:
    """Sorted package names of one kind of host, with PostgreSQL of that major version."""
    return tuple(sorted(name.format(version=version) for name in {*_COMMON, *_BY_ROLE[role]}))
