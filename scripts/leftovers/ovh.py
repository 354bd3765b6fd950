"""The OVHcloud API: buckets, their users, a site's own DNS record (https://eu.api.ovh.com/console/)."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from functools import partial
from typing import Any

from scripts.clients.ovh import Answered, OvhApi
from scripts.leftovers.found import Found


def buckets(api: OvhApi, inputs: Mapping[str, Any]) -> list[Found]:
    """By name; an object holds it, an old version too. The platform refuses to remove one that is not empty, so a late write is safe."""
    name, base = str(inputs["name"]), f"/cloud/project/{inputs['serviceName']}/region/{inputs['regionName']}/storage"
    if name not in [item["name"] for item in _rows(api.ask("GET", base), name=str)]:
        return []
    inside = _rows(api.ask("GET", f"{base}/{name}/object?withVersions=true&limit=1"))
    remedy = "import it (`pulumi import`), or empty it if nobody needs it, and run the same again"
    held = "it is not empty" if inside else None
    return [Found(name, partial(_remove, api, f"{base}/{name}"), held, remedy)]


def users(api: OvhApi, inputs: Mapping[str, Any]) -> list[Found]:
    """By description; a key holds it."""
    base = f"/cloud/project/{inputs['serviceName']}/user"
    found = []
    for item in _rows(api.ask("GET", base), id=int, username=str, description=str):
        if item["description"] == inputs["description"]:
            path = f"{base}/{item['id']}"
            held = "it has keys" if _rows(api.ask("GET", f"{path}/s3Credentials")) else None
            found.append(Found(f"{item['username']} ({item['description']})", partial(_remove, api, path), held))
    return found


def credentials(api: OvhApi, inputs: Mapping[str, Any]) -> list[Found]:
    """All keys of the user who is to get one. Told only: a run that replaces a key makes the new one first, and hosts use the old one meanwhile."""
    path = f"/cloud/project/{inputs['serviceName']}/user/{inputs['userId']}/s3Credentials"
    return [
        Found(
            f"{item['access']} of user {inputs['userId']}",
            partial(_remove, api, f"{path}/{item['access']}"),
            "or this run replaces it and takes it away at its end, or `drctl rotate buckets` is under way and hosts use it",
            "where none is and it is still there after this run, an interrupted one has left it, and nobody has its secret: remove it "
            f"(`DELETE {path}/{item['access']}` at the OVHcloud API, or the user's page in its console)",
        )
        for item in _rows(api.ask("GET", path), access=str)
    ]


def records(api: OvhApi, inputs: Mapping[str, Any]) -> list[Found]:
    """By name and type: the site's own record, made again a moment later."""
    base, kind, subdomain = f"/domain/zone/{inputs['zone']}/record", str(inputs["fieldtype"]), str(inputs["subdomain"])
    query = urllib.parse.urlencode({"fieldType": kind, "subDomain": subdomain})
    numbers = api.ask("GET", f"{base}?{query}")
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise TypeError("no list of numbers")
    return [Found(f"{subdomain} {kind} ({number})", partial(_remove, api, f"{base}/{number}")) for number in numbers]


def _remove(api: OvhApi, path: str) -> None:
    """What is gone already is fine."""
    try:
        api.ask("DELETE", path)
    except Answered as error:
        if not error.gone:
            raise


def _rows(answer: Any, **columns: type[Any]) -> list[Any]:
    """A list of objects with these columns: whatever else it is, nothing may be taken for absent, and no path to remove be made of it. Raises TypeError."""
    if not isinstance(answer, list):
        raise TypeError("no list")
    for item in answer:
        if not isinstance(item, dict) or any(type(item.get(name)) is not kind for name, kind in columns.items()):
            raise TypeError(f"no list of objects with {', '.join(columns) or 'anything'}")
    return answer


KINDS = {
    "ovh:CloudProject/storage:Storage": buckets,
    "ovh:CloudProject/user:User": users,
    "ovh:CloudProject/s3Credential:S3Credential": credentials,
    "ovh:Domain/zoneRecord:ZoneRecord": records,
}
