"""The API answers what the published plugin asked of it, in the shapes that the plugin accepted.

The recordings lie beside the checkout, in `../shared/ovh-recordings`; without them these tests fail, they do not skip.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.lab.ovh.fakes import Api

RECORDINGS = Path(__file__).resolve().parents[4] / "shared" / "ovh-recordings"
FLOWS = ("create", "noop", "refresh", "update", "destroy")
GENERATED = {"password", "openstackId", "creationDate", "createdAt", "access", "secret", "virtualHost", "content"}


def lines(flow: str) -> list[dict[str, Any]]:
    path = RECORDINGS / f"{flow}.jsonl"
    assert path.is_file(), f"{path}: the recordings are missing, put them beside the checkout"
    return [json.loads(line) for line in path.read_text().splitlines()]


def differences(recorded: Any, answered: Any, where: str) -> list[str]:
    """Where an answer lacks what was recorded; more keys, other ids of roles and generated values are no difference."""
    if isinstance(recorded, dict) and isinstance(answered, dict):
        missing = [f"{where}: no {key}" for key in recorded if key not in answered]
        return missing + [
            found
            for key in recorded
            if key in answered
            for found in differences_of(key, recorded[key], answered[key], where)
        ]
    if isinstance(recorded, list) and isinstance(answered, list):
        if len(recorded) > len(answered):
            return [f"{where}: {len(answered)} entries, {len(recorded)} recorded"]
        return [
            found for old, new in zip(recorded, answered, strict=False) for found in differences(old, new, f"{where}[]")
        ]
    if type(recorded) is not type(answered):
        return [f"{where}: {type(answered).__name__}, {type(recorded).__name__} recorded"]
    return [] if recorded == answered else [f"{where}: {answered!r}, {recorded!r} recorded"]


def differences_of(key: str, recorded: Any, answered: Any, where: str) -> list[str]:
    inside = f"{where}.{key}"
    if key in GENERATED or (key == "id" and isinstance(recorded, str) and where.endswith("roles[]")):
        return [] if type(recorded) is type(answered) else [f"{inside}: {type(answered).__name__}"]
    return differences(recorded, answered, inside)


def test_the_api_answers_every_recorded_request_as_recorded(api: Api) -> None:
    renamed: dict[str, str] = {}
    found: list[str] = []
    for flow in FLOWS:
        for line in lines(flow):
            path = line["path"].removeprefix("/1.0")
            for old, new in renamed.items():
                path = path.replace(old, new)
            status, answer = api(line["method"], path, line["request"])
            where = f"{flow} {line['seq']} {line['method']} {path}"
            if status != line["status"]:
                found.append(f"{where}: {status}, {line['status']} recorded")
            elif path.endswith("/auth/time"):
                found += [] if isinstance(answer, int) else [f"{where}: {answer!r} is no time"]
            elif path.endswith("/role"):
                known = {role["name"] for role in answer["roles"]}
                found += [
                    f"{where}: no role {role['name']}"
                    for role in line["response"]["roles"]
                    if role["name"] not in known
                ]
            else:
                found += differences(line["response"], answer, where)
            if line["method"] == "POST" and path.endswith("/s3Credentials") and status == 200:
                renamed[line["response"]["access"]] = answer["access"]
    assert found == []


def test_after_the_recorded_destroy_nothing_is_left(api: Api) -> None:
    before = api.service.all()
    test_the_api_answers_every_recorded_request_as_recorded(api)
    assert api.service.all() == before


def test_the_openrc_holds_what_the_plugin_cuts_out_of_it(api: Api) -> None:
    user = api("POST", "/cloud/project/project0123/user", {"roles": []})[1]
    content = api("GET", f"/cloud/project/project0123/user/{user['id']}/openrc?region=to_be_overriden")[1]["content"]
    recorded = next(line["response"]["content"] for line in lines("create") if "openrc" in line["path"])
    names = [row.split("=")[0] for row in recorded.splitlines()]
    assert [row.split("=")[0] for row in content.splitlines()] == names
    assert f'OS_USERNAME="{user["username"]}"' in content
