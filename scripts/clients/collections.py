"""A whole list of an OpenStack service, however many pages it comes in: Nova, Neutron and Octavia link the next one, Glance names it."""

from __future__ import annotations

import time
import urllib.parse
from typing import Any

from contract.plain import shown
from scripts.clients.openstack import ApiDown, Cloud

MOST_PAGES, MOST_ROWS = 200, 20_000
LIST_S = 60.0  # all pages


def rows(cloud: Cloud, service: str, path: str, name: str) -> list[dict[str, Any]]:
    """Every row of the list `name` at `path`. Raises ApiDown, also for a list that does not end or holds what is no row."""
    asked, found = f"OpenStack, {service} of region {cloud.region}, list of {name}", list[dict[str, Any]]()
    marker, end, joint = "", time.monotonic() + LIST_S, "&" if "?" in path else "?"
    for _ in range(MOST_PAGES):
        page = f"{path}{joint}marker={urllib.parse.quote(marker, safe='')}" if marker else path
        answer = cloud.ask("GET", service, page)
        listed = answer.get(name)
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise ApiDown(f"{asked}: found {shown(listed)}, wanted a list of objects; see what answers there")
        found += listed
        following = next_marker(answer.get(f"{name}_links") if "next" not in answer else answer["next"])
        if following is None:
            return found
        if not following or following == marker or time.monotonic() > end or len(found) > MOST_ROWS:
            break
        marker = following
    raise ApiDown(f"{asked}: does not end after {len(found)} rows, wanted all of it; see what answers there")


def next_marker(links: Any) -> str | None:
    """Where the next page begins; None when this one is the last, empty when nobody can tell. The address in it is not followed: it may be any."""
    if links is None or links == []:
        return None
    items = links if isinstance(links, list) else [{"rel": "next", "href": links}]
    href = next((each.get("href") for each in items if isinstance(each, dict) and each.get("rel") == "next"), None)
    if href is None and isinstance(links, list) and _only_back(links):
        return None
    try:
        query = urllib.parse.urlsplit(href).query if isinstance(href, str) else ""
    except ValueError:
        query = ""
    return next(iter(urllib.parse.parse_qs(query).get("marker", [""])), "")


def _only_back(links: list[Any]) -> bool:
    """Neutron's last page links the one before."""
    return all(isinstance(each, dict) and each.get("rel") == "previous" for each in links)
