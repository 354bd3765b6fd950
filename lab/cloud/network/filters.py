"""The query half of a list call: filters, fields, sorting and pages, over bodies that are ready to be sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from lab.cloud.network import errors
from lab.cloud.state import Record
from lab.cloud.web import Call

_CONTROL = {"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"}
_TAGS = {"tags", "tags-any", "not-tags", "not-tags-any"}


def _matches(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return str(value).lower() == wanted.lower() or wanted == str(int(value))
    if isinstance(value, list):
        return any(_matches(item, wanted) for item in value)
    if isinstance(value, dict):  # a part of it, as in fixed_ips=ip_address=10.0.0.5
        key, _, part = wanted.partition("=")
        return str(value.get(key)) == part
    return ("" if value is None else str(value)) == wanted


def _tags_match(name: str, have: Iterable[str], wanted: str) -> bool:
    tags, asked = set(have), set(wanted.split(","))
    found = asked <= tags if name in ("tags", "not-tags") else bool(asked & tags)
    return not found if name.startswith("not-") else found


def _admits(body: Record, name: str, values: list[str]) -> bool:
    if name in _TAGS:
        return all(_tags_match(name, body.get("tags", []), value) for value in values)
    return any(_matches(body.get(name), value) for value in values)


def apply(call: Call, path: str, bodies: list[Record], known: set[str], url: str) -> Record:
    """The answer to a list call: `{path: [...]}`, with `<path>_links` when pages were asked for.

    `known`: names that may be filtered by, 400 on any other. `url`: the collection's own, for the links.
    """
    filters = {name: values for name, values in call.query.items() if name not in _CONTROL}
    unknown = sorted(set(filters) - known - _TAGS)
    if unknown:
        raise errors.bad_request(f"{unknown} is invalid attribute for filtering")
    found = [body for body in bodies if all(_admits(body, name, values) for name, values in filters.items())]
    found.sort(key=lambda body: str(body["id"]))
    for key, direction in reversed(
        list(zip(call.query.get("sort_key", []), call.query.get("sort_dir", []), strict=False))
    ):
        found.sort(key=lambda body, key=key: str(body.get(key)), reverse=direction == "desc")  # type: ignore[misc]
    answer: Record = {}
    limit = call.first("limit")
    if limit is not None:
        found, links = _page(call, found, limit, url)
        answer[f"{path}_links"] = links
    if "fields" in call.query:
        wanted = set(call.query["fields"])
        found = [{name: value for name, value in body.items() if name in wanted} for body in found]
    return {path: found, **{name: value for name, value in answer.items() if value}}


def _page(call: Call, found: list[Record], limit: str, url: str) -> tuple[list[Record], list[dict[str, str]]]:
    if not limit.isdigit():
        raise errors.bad_request(f"Limit must be an integer 0 or greater and not '{limit}'")
    marker = call.first("marker")
    if marker is not None:
        ids = [body["id"] for body in found]
        if marker not in ids:
            raise errors.bad_request(f"Invalid marker: '{marker}'")
        found = found[ids.index(marker) + 1 :]
    size = int(limit) or len(found)
    page, more = found[:size], len(found) > size
    kept = "&".join(
        f"{quote(name)}={quote(value)}"
        for name, values in call.query.items()
        if name not in ("marker", "page_reverse")
        for value in values
    )
    links: list[dict[str, str]] = []
    if page and more:
        links.append({"rel": "next", "href": f"{url}?{kept}&marker={page[-1]['id']}"})
    if page:
        links.append({"rel": "previous", "href": f"{url}?{kept}&marker={page[0]['id']}&page_reverse=True"})
    return page, links
