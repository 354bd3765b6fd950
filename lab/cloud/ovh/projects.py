"""Public Cloud projects: roles, users with their openrc, S3 credentials and policies."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from lab.cloud.ovh import answers
from lab.cloud.ovh.config import ROLES
from lab.cloud.web import ApiError, Call, Reply
from lab.s3.gateway import StorageError
from lab.s3.policy import PolicyError

if TYPE_CHECKING:
    from lab.cloud.ovh.service import OvhService

# Services of a region, as the API names them.
OFFERED = {
    "compute": ("image", "instance", "network", "octavialoadbalancer", "volume"),
    "storage": ("storage-s3-high-perf", "storage-s3-standard"),
}
NO_POLICY = '{"Statement":[]}'


def role(name: str) -> dict[str, Any]:
    return {"id": f"r{ROLES.index(name)}", "name": name, "description": name, "permissions": []}


def openrc(ovh: OvhService, user: dict[str, Any], region: str) -> str:
    """The shell file that the API hands out; clients cut values out of it by pattern."""
    config = ovh.config
    tenant = re.sub(r"[^0-9A-Za-z]", "", config.project_name)
    return (
        f"#!/bin/bash\nexport OS_AUTH_URL={config.auth_url}\nexport OS_IDENTITY_API_VERSION=3\n"
        'export OS_USER_DOMAIN_NAME=${OS_USER_DOMAIN_NAME:-"Default"}\nexport OS_PROJECT_DOMAIN_NAME=${OS_PROJECT_DOMAIN_NAME:-"Default"}\n'
        f'export OS_TENANT_ID={config.service_name}\nexport OS_TENANT_NAME="{tenant}"\nexport OS_USERNAME="{user["username"]}"\n'
        f'export OS_REGION_NAME="{region}"\n'
    )


def _wanted_roles(body: Any) -> list[str]:
    if not isinstance(body, dict):
        raise ApiError(400, "Missing body: description and roles wanted")
    names = [*(body.get("roles") or []), *([body["role"]] if body.get("role") else [])]
    unknown = [name for name in names if name not in ROLES]
    if unknown:
        raise ApiError(400, f"Role {unknown[0]} does not exist")
    return names


def register(ovh: OvhService, prefix: str) -> None:
    config = ovh.config
    project = f"{prefix}/cloud/project/<project>"

    @ovh.route("GET", f"{prefix}/cloud/project")
    def list_projects(call: Call) -> Reply:
        return Reply(body=[config.service_name])

    @ovh.route("GET", project)
    def get_project(call: Call, project: str) -> Reply:
        ovh.check_project(project)
        return Reply(
            body={
                "project_id": project,
                "projectName": config.project_name,
                "description": config.project_name,
                "status": "ok",
                "planCode": "project",
            }
        )

    @ovh.route("GET", f"{project}/role")
    def list_roles(call: Call, project: str) -> Reply:
        ovh.check_project(project)
        return Reply(body={"roles": [role(name) for name in ROLES], "services": []})

    @ovh.route("GET", f"{project}/region")
    def list_regions(call: Call, project: str) -> Reply:
        ovh.check_project(project)
        return Reply(body=[*config.compute_regions, *config.storage_regions])

    @ovh.route("GET", f"{project}/region/<region>")
    def get_region(call: Call, project: str, region: str) -> Reply:
        ovh.check_project(project)
        offered = OFFERED["compute"] if region in ovh.config.compute_regions else ()
        offered += OFFERED["storage"] if region in ovh.config.storage_regions else ()
        if not offered:
            raise ApiError(404, f"Region {region} does not exist in this project")
        services = [{"name": name, "status": "UP"} for name in offered]
        shown = {"name": region, "type": "region", "status": "UP", "services": services}
        where = {"continentCode": "EU", "countryCode": "fr", "datacenterLocation": region.rstrip("0123456789")}
        return Reply(body={**shown, **where, "availabilityZones": [], "ipCountries": []})

    @ovh.route("GET", f"{project}/vrack")
    def get_vrack(call: Call, project: str) -> Reply:
        ovh.check_project(project)
        if not ovh.config.vrack:
            raise ApiError(404, f"This service does not exist: vRack of project {project}")
        return Reply(body={"id": ovh.config.vrack, "name": ovh.config.vrack, "description": ""})

    _register_users(ovh, f"{project}/user")
    _register_user_changes(ovh, f"{project}/user")
    _register_s3(ovh, f"{project}/user/<user>")
    _register_policy(ovh, f"{project}/user/<user>")


def _register_users(ovh: OvhService, base: str) -> None:
    @ovh.route("GET", base)
    def list_users(call: Call, project: str) -> Reply:
        ovh.check_project(project)
        with ovh.lock:
            return Reply(body=[_shown(record) for record in ovh.users.values()])

    @ovh.route("POST", base)
    def create_user(call: Call, project: str) -> Reply:
        ovh.check_project(project)
        names = _wanted_roles(call.body)
        with ovh.lock:
            number = ovh.next_id()
            record = {
                "id": number,
                "username": f"user-{number}",
                "description": call.body.get("description") or "",
                "status": "creating" if ovh.config.user_polls else "ok",
                "creationDate": answers.now(),
                "openstackId": secrets.token_hex(16),
                "roles": [role(name) for name in names],
                "_polls": ovh.config.user_polls,
            }
            ovh.users[number] = record
            return Reply(body={**_shown(record), "password": secrets.token_urlsafe(24)})

    @ovh.route("GET", f"{base}/<user>")
    def get_user(call: Call, project: str, user: str) -> Reply:
        with ovh.lock:
            record = ovh.user(project, user)
            shown = _shown(record)
            if record["_polls"] > 0:
                record["_polls"] -= 1
                record["status"] = "ok" if record["_polls"] == 0 else "creating"
            return Reply(body=shown)

    @ovh.route("DELETE", f"{base}/<user>")
    def delete_user(call: Call, project: str, user: str) -> Reply:
        with ovh.lock:
            number = ovh.user(project, user)["id"]
            ovh.storage.forget_user(str(number))
            del ovh.users[number]
            ovh.policies.pop(number, None)
            for access in [key for key, entry in ovh.credentials.items() if entry["userId"] == str(number)]:
                del ovh.credentials[access]
        return answers.null()

    @ovh.route("GET", f"{base}/<user>/openrc")
    def get_openrc(call: Call, project: str, user: str) -> Reply:
        with ovh.lock:
            return Reply(body={"content": openrc(ovh, ovh.user(project, user), call.first("region") or "")})


def _register_user_changes(ovh: OvhService, base: str) -> None:
    @ovh.route("PUT", f"{base}/<user>/role")
    def put_roles(call: Call, project: str, user: str) -> Reply:
        wanted = (call.body or {}).get("rolesIds") or []
        by_id = {role(name)["id"]: name for name in ROLES}
        unknown = [entry for entry in wanted if entry not in by_id]
        if unknown:
            raise ApiError(404, f"Role {unknown[0]} does not exist")
        with ovh.lock:
            record = ovh.user(project, user)
            record["roles"] = [role(by_id[entry]) for entry in wanted]
            return Reply(body=_shown(record))

    @ovh.route("POST", f"{base}/<user>/regeneratePassword")
    def regenerate_password(call: Call, project: str, user: str) -> Reply:
        with ovh.lock:
            return Reply(body={**_shown(ovh.user(project, user)), "password": secrets.token_urlsafe(24)})


def _register_s3(ovh: OvhService, base: str) -> None:
    def credential(project: str, user: str, access: str) -> dict[str, Any]:
        ovh.user(project, user)
        entry = ovh.credentials.get(access)
        if entry is None or entry["userId"] != user:
            raise ApiError(404, f"Credential {access} does not exist")
        return entry

    @ovh.route("GET", f"{base}/s3Credentials")
    def list_credentials(call: Call, project: str, user: str) -> Reply:
        with ovh.lock:
            ovh.user(project, user)
            return Reply(body=[_without_secret(entry) for entry in ovh.credentials.values() if entry["userId"] == user])

    @ovh.route("POST", f"{base}/s3Credentials")
    def create_credential(call: Call, project: str, user: str) -> Reply:
        with ovh.lock:
            ovh.user(project, user)
            entry = {
                "access": secrets.token_hex(16),
                "secret": secrets.token_hex(16),
                "userId": user,
                "tenantId": project,
            }
            _ask(ovh.storage.create_credential, user, entry["access"], entry["secret"])
            ovh.credentials[entry["access"]] = entry
            return Reply(body=entry)

    @ovh.route("GET", f"{base}/s3Credentials/<access>")
    def get_credential(call: Call, project: str, user: str, access: str) -> Reply:
        with ovh.lock:
            return Reply(body=_without_secret(credential(project, user, access)))

    @ovh.route("POST", f"{base}/s3Credentials/<access>/secret")
    def get_secret(call: Call, project: str, user: str, access: str) -> Reply:
        with ovh.lock:
            return Reply(body=credential(project, user, access))

    @ovh.route("DELETE", f"{base}/s3Credentials/<access>")
    def delete_credential(call: Call, project: str, user: str, access: str) -> Reply:
        with ovh.lock:
            credential(project, user, access)
            _ask(ovh.storage.delete_credential, access)
            del ovh.credentials[access]
        return answers.null()


def _register_policy(ovh: OvhService, base: str) -> None:
    @ovh.route("GET", f"{base}/policy")
    def get_policy(call: Call, project: str, user: str) -> Reply:
        with ovh.lock:
            return Reply(body={"policy": ovh.policies.get(ovh.user(project, user)["id"], NO_POLICY)})

    @ovh.route("POST", f"{base}/policy")
    def set_policy(call: Call, project: str, user: str) -> Reply:
        text = (call.body or {}).get("policy")
        if not isinstance(text, str):
            raise ApiError(400, "Missing policy: the document as a text wanted")
        with ovh.lock:
            number = ovh.user(project, user)["id"]
            _ask(ovh.storage.set_policy, user, text)
            ovh.policies[number] = text
        return answers.null()


def _ask(function: Any, *arguments: str) -> None:
    try:
        function(*arguments)
    except (StorageError, PolicyError) as error:
        raise answers.refusal(error) from error


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if not key.startswith("_")}


def _without_secret(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "secret"}
