"""Tokens, their bodies and the catalogue."""

from __future__ import annotations

import secrets
import uuid
from datetime import timedelta
from typing import Any

from lab.cloud.config import CloudConfig, User, fixed_id
from lab.cloud.state import Cloud, Token, now, stamp

NAMES = {
    "image": "glance",
    "identity": "keystone",
    "volumev3": "cinderv3",
    "load-balancer": "octavia",
    "network": "neutron",
    "compute": "nova",
}


def hex_id(*parts: str) -> str:
    return uuid.UUID(fixed_id(*parts)).hex


def catalogue_url(config: CloudConfig, region: str, kind: str) -> str:
    """A service's URL as the catalogue shows it: Nova with its version, Cinder with the project, the others bare."""
    if kind == "identity":
        return config.auth_url.rstrip("/") + "/"
    root = config.region(region).endpoints[kind].rstrip("/")
    return root + {"compute": "/v2.1", "volumev3": f"/v3/{config.project_id}"}.get(kind, "")


def catalogue(config: CloudConfig) -> list[dict[str, Any]]:
    """The three interfaces of an endpoint are one here: the lab has no inner network of its own."""
    return [
        {
            "endpoints": [
                {
                    "id": hex_id("endpoint", region.name, kind, interface),
                    "interface": interface,
                    "region_id": region.name,
                    "url": catalogue_url(config, region.name, kind),
                    "region": region.name,
                }
                for region in config.regions
                for interface in ("public", "internal", "admin")
            ],
            "id": hex_id("service", kind),
            "type": kind,
            "name": name,
        }
        for kind, name in NAMES.items()
    ]


def issue(cloud: Cloud, user: User, project_id: str | None, methods: tuple[str, ...]) -> Token:
    """A new token, kept in the cloud."""
    moment = now().replace(microsecond=0)
    token = Token(
        id="gAAAAAB" + secrets.token_urlsafe(48),
        user_id=user.id,
        user_name=user.name,
        project_id=project_id,
        roles=user.roles if project_id else (),
        issued=moment,
        expires=moment + timedelta(seconds=cloud.config.token_life_s),
        audit_id=secrets.token_urlsafe(16),
        methods=methods,
    )
    cloud.tokens[token.id] = token
    return token


def token_body(config: CloudConfig, token: Token) -> dict[str, Any]:
    """The answer to a login or a validation. An unscoped token has no project, roles or catalogue."""
    domain = {"id": config.domain_id, "name": config.domain_name}
    body: dict[str, Any] = {
        "methods": list(token.methods),
        "user": {"domain": domain, "id": token.user_id, "name": token.user_name, "password_expires_at": None},
        "audit_ids": [token.audit_id],
        "expires_at": stamp(token.expires, "keystone"),
        "issued_at": stamp(token.issued, "keystone"),
    }
    if token.project_id is not None:
        body["project"] = {"domain": domain, "id": config.project_id, "name": config.project_name}
        body["is_domain"] = False
        body["roles"] = [{"id": hex_id("role", role), "name": role} for role in token.roles]
        body["catalog"] = catalogue(config)
    return {"token": body}


def version_document(config: CloudConfig) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": config.auth_url.rstrip("/") + "/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def project_body(config: CloudConfig) -> dict[str, Any]:
    return {
        "id": config.project_id,
        "name": config.project_name,
        "domain_id": config.domain_id,
        "description": "",
        "enabled": True,
        "parent_id": config.domain_id,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": {"self": f"{config.auth_url.rstrip('/')}/projects/{config.project_id}"},
    }
