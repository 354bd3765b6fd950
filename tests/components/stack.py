"""A complete stack configuration for tests: the example file with ids and secrets."""

from __future__ import annotations

import base64
import copy
from functools import cache
from pathlib import Path
from typing import Any

from contract.rotation import KINDS
from contract.witness import HOST_USERS
from scripts.ctl.stacks.configuration import merged, stack_file

MAIL = {"to": ["oncall@shop.example"], "sender": "alerts@shop.example", "server": "mail.example:587"}
PAGE = {"bucket": "shop-status"}
JOURNALS = {"url": "https://logs.example/insert/journald", "user": "shop"}
ROOT = Path(__file__).resolve().parents[2]
KEY_BODY = "AAAA" * 10

SERVICE_NAME = "0123456789abcdef0123456789abcdef"
HOSTS = [
    f"{name}.{site}"
    for site in "ab"
    for name in ("control-1", "db-1", "cache-1", "cache-2", "cache-3", "app-1", "app-2")
]
# What no run has reason to take away, and the keeper, which stands on all the rest.
DATA = frozenset({"region-db-1-data", "assets-assets", "assets-wal", "assets-releases"})
PROTECTED = DATA | {
    "dns-site", "keeper-asks", "region-balancer-ip", "region-bastion-ip", "region-network-front", "region-network-front-subnet",
    "region-network-router", "region-network-router-front", "region-network-vrack", "region-network-vrack-subnet",
}  # fmt: skip


def identifier(number: int) -> str:
    """An id of the platform's form."""
    return f"00000000-0000-4000-8000-{number:012d}"


def ssh(host: str) -> dict[str, str]:
    """A pair of a host, or of whoever comes in; of the program the public part is one that ssh reads."""
    body = f"ssh{host.replace('.', '').replace('-', '')}"
    private = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
    return {"private": private, "public": f"ssh-ed25519 {KEY_BODY}{body} {host}"}


def public_key(number: int) -> str:
    """Of ed25519, as far as its form goes."""
    texts = (b"ssh-ed25519", bytes([number]) * 32)
    return f"ssh-ed25519 {base64.b64encode(b''.join(len(it).to_bytes(4, 'big') + it for it in texts)).decode()}"


def _ssh_ca() -> dict[str, str]:
    return {**ssh("ca"), "public": f"{public_key(1)} ca"}


def _certificate(host: str) -> dict[str, str]:
    body = f"tls{host.replace('.', '').replace('-', '').replace('_', '')}"
    return {
        "cert": f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n",
        "key": f"-----BEGIN PRIVATE KEY-----\n{body}secret\n-----END PRIVATE KEY-----\n",
    }


def _key(user: str) -> dict[str, str]:
    return {"access_key": f"secret-witness-access-{user}", "secret_key": f"secret-witness-secret-{user}"}


def secrets() -> dict[str, Any]:
    """Every secret of both sites; each value differs, so that a leak can be named."""
    return {
        "openstack_password": "secret-openstack-password",
        "ovh": {
            "application_key": "secret-application-key",
            "application_secret": "secret-application-secret",
            "consumer_key": "secret-consumer-key",
        },
        "ssh": {
            "operator": {**ssh("operator"), "public": f"{public_key(90)} operator"},
            "ca": _ssh_ca(),
            "hosts": {host: ssh(host) for host in HOSTS},
        },
        "tls": {
            "ca": _certificate("ca")["cert"],
            "shop": _certificate("shop"),
            "database": {
                "ca": _certificate("databaseca")["cert"],
                "clients": {role: _certificate(f"db{role}") for role in ("shop", "shop_worker", "dr_replication")},
            },
            "cache": {
                "ca": _certificate("cacheca")["cert"],
                "clients": {"shop": _certificate("cacheshop")},
                "hosts": {host: _certificate(f"of{host}") for host in HOSTS if host.startswith("cache")},
            },
            "hosts": {host: _certificate(host) for host in HOSTS},
        },
        "postgres": {"replication": "secret-replication-password", "app": "secret-database-password"},
        "redis": {
            "app": "secret-cache-password",
            "replica": "secret-replica-password",
            "operator": "secret-operator-password",
        },
        "witness": {
            **_key("operator"),
            "hosts": {user: _key(user) for user in HOST_USERS},
        },
        "archive": {"passphrase": "secret-archive-passphrase"},
        "app": {"MAIL_PASSWORD": "secret-mail-password"},
        "rails": {"secret_key_base": "5ec2e7" * 20},
        "since": {name: "2026-11-01" for name, kind in KINDS.items() if kind.dated},
        "monitoring": {
            "smtp_password": "secret-smtp-password",
            "slack": "https://slack.example/secret-slack",
            "pagerduty": "secret-pagerduty-key",
            "webhook": "https://hook.example:8443/secret-webhook",
            "watchdog": "https://alive.example/secret-watchdog",
            "status_page": _key("page"),
        },
        "logs": {"store_password": "secret-journals-password"},
    }


@cache
def _example(site: str) -> dict[str, Any]:
    raw = merged(stack_file(ROOT, site))
    return {key.removeprefix("dr:"): value for key, value in raw.items()}


def configuration(site: str = "a", **changes: Any) -> dict[str, Any]:
    """A configuration without faults; `changes` replace whole top-level keys."""
    values = copy.deepcopy(_example(site))
    for number, region in enumerate(values["regions"].values(), 1):
        region["ext_net_id"], region["image_id"] = identifier(10 * number), identifier(10 * number + 1)
        region["flavors"] = {role: f"flavor-{role}-{number}" for role in region["flavors"]}
    told = changes.get("secrets", {"app": {"MAIL_PASSWORD": ""}})
    if isinstance(told, dict) and told.get("app"):  # others that are put in their place have no such secret
        values["app"]["env"] = {"MAIL_URL": "smtp://shop:{secret.MAIL_PASSWORD}@mail.example:587"}
    return {**values, "monitoring": {"email": dict(MAIL)}, "secrets": secrets(), **changes}
