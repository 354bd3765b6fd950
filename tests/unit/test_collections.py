"""A list of OpenStack's comes whole, however many pages it has, and one without an end ends all the same."""

from __future__ import annotations

from typing import Any

import pytest

from contract.access import OpenStack
from scripts.clients import collections
from scripts.clients.collections import next_marker, rows
from scripts.clients.openstack import ApiDown, Cloud

NOBODY = OpenStack(auth_url="https://k.example/v3", user="u", password="p", project_id="x", domain="Default")


class Paged(Cloud):
    """`pages`: answers by the marker that is asked with."""

    def __init__(self, pages: dict[str, Any]) -> None:
        super().__init__(NOBODY, "GRA11")
        self.pages, self.asked = pages, list[str]()

    def ask(self, method: str, service: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        self.asked.append(path)
        found: dict[str, Any] = self.pages[path.partition("marker=")[2]]
        return found


def linked(marker: str, rel: str = "next") -> list[dict[str, str]]:
    return [{"rel": rel, "href": f"https://elsewhere.example/v2.1/flavors?marker={marker}"}]


def test_pages_that_are_linked_and_pages_that_are_named_are_read_to_the_end() -> None:
    nova = Paged({"": {"flavors": [{"id": "1"}], "flavors_links": linked("1")}, "1": {"flavors": [{"id": "2"}]}})
    assert [it["id"] for it in rows(nova, "compute", "/flavors/detail", "flavors")] == ["1", "2"]
    glance = Paged({"": {"images": [{"id": "1"}], "next": "/v2/images?marker=1"}, "1": {"images": [{"id": "2"}]}})
    assert [it["id"] for it in rows(glance, "image", "/v2/images?name=x", "images")] == ["1", "2"]
    assert glance.asked == ["/v2/images?name=x", "/v2/images?name=x&marker=1"]


def test_the_last_page_of_neutron_links_the_one_before() -> None:
    assert next_marker(linked("1", "previous")) is None
    assert next_marker(linked("1", "previous") + linked("9")) == "9"


@pytest.mark.parametrize(
    "answer",
    [
        {"flavors": [{"id": "1"}], "flavors_links": linked("")},
        {"flavors": [{"id": "1"}], "flavors_links": "\x1b[2J"},
        {"flavors": [{"id": "1"}], "flavors_links": [{"rel": "next", "href": "http://[x"}]},
        {"flavors": [{"id": "1"}], "flavors_links": [7]},
    ],
)
def test_a_page_that_does_not_say_what_follows_is_no_end_of_the_list(answer: Any) -> None:
    with pytest.raises(ApiDown, match="does not end after 1 rows"):
        rows(Paged({"": answer}), "compute", "/flavors/detail", "flavors")


def test_a_list_in_circles_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    round_and_round = {
        "": {"flavors": [{"id": "1"}], "flavors_links": linked("1")},
        "1": {"flavors": [{"id": "2"}], "flavors_links": linked("2")},
        "2": {"flavors": [{"id": "1"}], "flavors_links": linked("1")},
    }
    with pytest.raises(ApiDown, match="does not end"):
        rows(Paged(round_and_round), "compute", "/flavors/detail", "flavors")
    monkeypatch.setattr(collections, "MOST_ROWS", 1)
    found = Paged(round_and_round)
    with pytest.raises(ApiDown, match="does not end after 2 rows"):
        rows(found, "compute", "/flavors/detail", "flavors")
    assert len(found.asked) == 2


@pytest.mark.parametrize("listed", [None, "x", {}, [1], [{"id": "1"}, None]])
def test_what_is_no_list_is_a_sentence(listed: Any) -> None:
    with pytest.raises(ApiDown, match=r"list of flavors: found .*, wanted a list of objects"):
        rows(Paged({"": {"flavors": listed}}), "compute", "/flavors/detail", "flavors")
