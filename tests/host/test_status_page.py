"""The page for customers: what is made of figures, of two regions' views, of moves; and what stands in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from contract import fields
from contract.monitoring import rules
from contract.monitoring.status_page import (
    LATE_S,
    MOST_INCIDENTS,
    OF_ALERTS,
    RUN_S,
    Document,
    Incident,
    Move,
    Part,
    Standing,
    State,
    View,
    bound_s,
    fresh_s,
)
from contract.services.status_page import StatusPage
from scripts.host.host.monitoring.page import html, seen, words
from scripts.host.host.monitoring.page.merged import Writer, merged, past

NOW, EVERY_S = 1_800_000_000, 30
GOOD: Mapping[str, float | None] = {
    "shop": 1, "steady": 1, "age": 4, "entrance": 1, "primary": 1, "safe": 1, "epoch": 3, "judged": 5,
}  # fmt: skip
BOTH = {"a": 5.0, "b": 5.0}
W, P, D, U = State.WORKS, State.IMPAIRED, State.DOWN, State.UNKNOWN


def looked(regions: Mapping[str, float] = BOTH, alerts: tuple[str, ...] = (), **one: float | None) -> View:
    figures = seen.Figures({**GOOD, **one}, regions, {"a": 1.0, "b": 0.0}, frozenset(alerts))
    return seen.view(figures, NOW)


# --- figures

GONE: dict[str, Any] = {"regions": {"a": 5.0, "b": 0.0}}


@pytest.mark.parametrize(
    ("figures", "states"),
    [
        ({}, (W, W, W)),
        ({"shop": 0, "steady": 0}, (D, W, W)),
        ({"steady": 0}, (P, W, W)),
        ({"shop": None, "age": None}, (U, W, W)),
        ({"age": 46}, (U, W, W)),  # the last answer of a prober that asks no more
        ({"age": 46, "shop": 0}, (U, W, W)),
        ({"shop": 0, **GONE}, (P, W, P)),  # by the address of the region that is gone
        ({"shop": 0, "entrance": 0, **GONE}, (D, W, P)),
        ({"shop": 0, "entrance": None, "alerts": ("RegionGone",)}, (D, W, P)),
        ({"safe": None}, (W, P, W)),  # a primary and no copy
        ({"safe": None, "primary": None}, (W, U, W)),
        ({"judged": None}, (W, W, U)),  # no alert, and no Watchdog either
        ({"judged": 46}, (W, W, U)),
        ({"regions": {"a": 5.0}}, (W, W, U)),  # of the other region there is no figure
        ({"regions": {}}, (W, W, U)),
        ({"alerts": ("StandbyMissing",)}, (W, P, W)),
        ({"alerts": ("NoAppHealthy",)}, (P, W, W)),
        ({"alerts": ("NoAppHealthy",), "shop": 0}, (D, W, W)),
        ({"alerts": ("DiskFull",), "judged": None}, (W, W, P)),
        ({"alerts": ("ShopDown", "ErrorBudgetBurnsFast")}, (W, W, W)),  # over, and of the last hour
        ({"alerts": ("OfAnotherVersion",)}, (W, W, P)),
        (dict.fromkeys(GOOD), (U, U, U)),
    ],
)
def test_what_is_made_of_figures(figures: dict[str, Any], states: tuple[State, ...]) -> None:
    told = dict(figures)
    regions = told.pop("regions", BOTH)
    if all(it is None for it in told.values()) and len(told) == len(GOOD):
        regions = {}
    found = looked(regions, told.pop("alerts", ()), **told)
    assert (found.shop, found.data, found.systems) == states


def test_a_view_is_as_old_as_its_figure_and_says_who_serves() -> None:
    assert looked(age=14).at == NOW - 14 and looked(age=None).at == NOW and looked(age=-3).at == NOW
    assert looked().serving == "a" and looked().epoch == 3
    two = seen.Figures(GOOD, BOTH, {"a": 1.0, "b": 2.0}, frozenset())
    assert seen.view(two, NOW).serving is None


@pytest.mark.parametrize(
    "result", [None, {}, [{}], [{"value": [1]}], [{"metric": {}, "value": [1, "NaN"]}], [{"metric": 3, "value": [1, "1"]}], [7], "x"]
)  # fmt: skip
def test_an_answer_of_another_form_is_unknown(result: Any) -> None:
    found = seen.view(seen.figures(lambda _: result, 1), NOW)
    assert (found.shop, found.data, found.systems, found.serving, found.epoch) == (U, U, U, None, None)


def test_every_rule_that_pages_is_somebodys_business_or_said_to_be_nobodys() -> None:
    paging = {it.name for group in rules.groups(rules.Limits()).values() for it in group if it.severity == "page"}
    assert paging == OF_ALERTS.keys()


@pytest.mark.parametrize("every_s", [15, 30, 300])
def test_the_bound_holds_what_can_be_late(every_s: int) -> None:
    """Figures, the time between two writings, a writing; and what the other region has seen, which counts until it is stale."""
    assert LATE_S + every_s + RUN_S <= bound_s(every_s)
    assert fresh_s(every_s) + every_s + RUN_S <= bound_s(every_s)


# --- two regions


def view(shop: State = W, data: State = W, systems: State = W, *, ago: int = 0, **more: Any) -> View:
    return View(at=NOW - ago, shop=shop, data=data, systems=systems, **more)


def states(it: Document) -> tuple[str, str, str]:
    return it.shop.state, it.data.state, it.systems.state


def write(
    old: Document | None, own: View, *, site: str = "a", at: int | None = None, move: Move | None = None
) -> Document:
    """At the second of its view, where no other is said."""
    return merged(old, Writer(site, EVERY_S), own, own.at if at is None else at, move)


def later(it: View, seconds: int) -> View:
    return replace(it, at=it.at + seconds)


@pytest.mark.parametrize(
    ("theirs", "own", "together"),
    [
        (view(), view(), (W, W, W)),
        (view(D), view(D), (D, W, W)),
        (view(D), view(W), (P, W, W)),  # it answers here and not there
        (view(W), view(D), (P, W, W)),
        (view(U, U, U), view(), (W, W, W)),
        (view(), view(U, U, U), (W, W, W)),
        (view(U, U, U), view(U, U, U), (U, U, U)),
        (view(D, ago=71), view(), (W, W, W)),  # of a region that has died since
        (view(ago=71), view(U, U, U), (U, U, U)),
        (view(ago=-5), view(U, U, U), (U, U, U)),  # of a clock that was ahead
        (view(W, P, W), view(W, W, P), (W, P, P)),
    ],
)
def test_what_both_have_seen_is_put_together(theirs: View, own: View, together: tuple[State, ...]) -> None:
    old = write(None, theirs, site="b", at=NOW)
    found = write(old, own)
    assert states(found) == together
    if theirs.at == own.at:
        other = write(write(None, own), theirs, site="b")
        assert states(other) == together, "whoever writes"


def test_who_knows_nothing_does_not_make_the_others_word_younger() -> None:
    old = write(None, view(ago=40), site="b")
    found = write(old, view(U, U, U))
    assert states(found) == (W, W, W) and found.as_of == NOW - 40
    alone = write(old, view(U, U, U, ago=-40))
    assert states(alone) == (U, U, U) and alone.as_of == NOW + 40, "that nothing is known is known now"


def test_since_when_is_kept_over_writers_and_begins_anew_with_another_state() -> None:
    first = write(None, view())
    second = write(first, view(ago=-30), site="b")
    third = write(second, view(D, ago=-60), site="b")
    assert second.shop.since == NOW and third.data.since == NOW
    assert (third.shop.state, third.shop.since) == (P, NOW + 60), "region a still says that it answers"
    fourth = write(third, view(D, ago=-90), site="a")
    assert (fourth.shop.state, fourth.shop.since) == (D, NOW + 90)
    assert second.revision < third.revision < fourth.revision


def test_an_incident_lasts_until_all_is_known_to_be_well_and_remembers_its_worst() -> None:
    at, it = 0, write(None, view())
    for state in (P, D, P, U):
        at += 80  # the other region is dead
        it = write(it, view(state, ago=-at))
    (only,) = it.incidents.values()
    assert (only.state, only.began, only.ended, only.part) == (D, NOW + 80, None, "shop")
    it = write(it, view(ago=-at - 80))
    (only,) = it.incidents.values()
    assert only.ended == NOW + at + 80 and it.shop.state == W


def test_what_comes_again_within_minutes_is_the_same_incident() -> None:
    it = write(None, view(D))
    it = write(it, view(ago=-30))
    again = write(it, view(D, ago=-300))
    assert [(each.began, each.ended) for each in again.incidents.values() if each.state != U] == [(NOW, None)]
    another = write(it, view(D, ago=-400))
    assert len([each for each in another.incidents.values() if each.state != U]) == 2


def test_a_time_in_which_nobody_has_written_is_told_and_nothing_stands_since_before_it() -> None:
    it = write(write(None, view()), view(ago=-7200))
    (gap,) = it.incidents.values()
    assert (gap.state, gap.began, gap.ended) == (U, NOW + bound_s(EVERY_S), NOW + 7200)
    assert it.shop.since == NOW + 7200
    assert write(it, view(ago=-7230)).incidents == it.incidents


def test_incidents_are_a_few_and_of_some_months_and_what_lasts_stays() -> None:
    it = write(None, view(W, W, P))
    before = [NOW - 90_000 * number for number in range(60)]
    many = {str(at): Incident(part="shop", state="down", began=at, ended=at + 9) for at in before}
    lasting = Incident(part="systems", state="impaired", began=NOW - 86_400 * 89)
    it = replace(it, incidents={"lasting": lasting, **many})
    old = Incident(part="data", state="impaired", began=NOW - 91 * 86_400, ended=NOW - 90 * 86_400 - 1)
    few = write(replace(it, incidents={"x": old}), view())
    assert few.incidents == {}
    found = write(it, view(W, W, P, ago=-30)).incidents.values()
    assert len(found) == MOST_INCIDENTS
    assert [each.part for each in found if each.ended is None] == ["systems"]
    assert min(each.began for each in found if each.ended) > NOW - 90_000 * 20, "the oldest go"


def test_a_document_of_the_future_is_none() -> None:
    ahead = replace(write(None, view(D)), as_of=NOW + 1000, revision=NOW + 1000)
    found = write(ahead, view())
    assert found.incidents == {} and found.revision == NOW
    busy = replace(write(None, view(D)), revision=NOW + 1000)
    found = write(busy, view())
    assert found.revision == NOW + 1001 and found.incidents, "written more often than once a second"


FAR = 2**62


def spoiled(**changed: Any) -> Document:
    return replace(write(None, view(ago=60)), **changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"shop": Standing(state="works", since=FAR)},
        {"data": Standing(state="works", since=NOW + 10**6)},
        {"as_of": 0},
        {"moved": Move(epoch=99_999_999, at=FAR)},
        {"incidents": {"x": Incident(part="shop", state="down", began=FAR)}},
        {"incidents": {"x": Incident(part="shop", state="down", began=NOW - 9, ended=FAR)}},
        {"incidents": {"x": Incident(part="shop", state="down", began=FAR, ended=5)}},
        {"incidents": {"x": Incident(part="shop", state="unknown", began=5)}},
        {"incidents": {str(at): Incident(part="shop", state="down", began=NOW - at) for at in range(100, 200)}},
        {"views": {"b": View(at=FAR, shop="down"), "x": View(at=NOW, shop="down")}},
    ],
    ids=["since", "since-soon", "as-of", "move", "begin", "end", "end-before", "gap", "many", "views"],
)
def test_what_a_host_of_somebody_elses_has_written_is_on_no_page_for_longer_than_it_may_be_so(
    changed: dict[str, Any],
) -> None:
    """Both regions' hosts have the key. A page is made of it, and what is not over is over once the shop is seen to work."""
    it = write(spoiled(**changed), view())
    text = html.page(it, StatusPage(bucket="page"))
    assert states(it) == (W, W, W) and "not over yet" not in text
    assert all(it.standing(part).since <= NOW + 60 for part in Part)
    assert all((each.ended or 0) <= NOW + 60 for each in it.incidents.values())
    assert len([each for each in it.incidents.values() if each.began > 5]) <= 1


def test_a_move_that_nobody_is_behind_hides_the_next_one_for_an_hour_at_most() -> None:
    lied = spoiled(moved=Move(epoch=99_999_999, at=NOW), views={"a": View(at=NOW, epoch=3)})
    for later_s, left in ((3000, True), (3700, False)):
        found = past(lied, NOW + later_s)
        assert found is not None and (found.moved is not None) == left


# --- moves


def moved(began: int, *, planned: bool = True) -> Document:
    """Region a stops for a moment `began` seconds before the move is seen."""
    it = write(None, view(ago=900))
    it = write(it, view(D, ago=began))
    return write(it, view(ago=0), move=Move(epoch=2, at=NOW, planned=planned))


def test_what_goes_with_a_planned_move_is_planned_work() -> None:
    known = [it for it in moved(40).incidents.values() if it.state != U]
    assert [it.planned for it in known] == [True]
    assert words.incident(known[0], NOW).startswith("Planned work.")
    assert not any(it.planned for it in moved(700).incidents.values() if it.state == D), "long before it"
    assert not any(it.planned for it in moved(40, planned=False).incidents.values())


def test_what_comes_behind_a_planned_move_goes_with_it_and_no_more_once_it_lasts() -> None:
    it = write(write(None, view()), view(ago=-30), move=Move(epoch=2, at=NOW + 30, planned=True))
    quiet = next(iter(it.incidents.values()))
    assert words.incident(quiet, NOW) == "Planned work. No interruption was seen."
    it = write(it, view(W, P, ago=-60))
    behind = next(each for each in it.incidents.values() if each.part == "data")
    assert behind.planned and words.incident(behind, NOW + 120).startswith("Planned work.")
    assert not words.incident(behind, NOW + 60 + 1801).startswith("Planned")
    late = write(it, view(P, P, ago=-700))
    assert not next(each for each in late.incidents.values() if each.part == "shop" and each.state == P).planned


# --- the page


TERMS = StatusPage(
    bucket="page", title="Müller & <Söhne>", contact="https://shop.example/?a=1&b=2", locations={"a": "Gravelines"}
)


class Read(HTMLParser):
    """Tags with their attributes, and the text outside style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


def full(shop: State = W) -> Document:
    it = write(None, view(D, P, P, ago=4000))
    it = write(it, view(ago=3900))
    return write(it, view(shop, P, serving="a", epoch=4))


@pytest.mark.parametrize("shop", State)
def test_the_page_says_how_the_shop_is_and_until_when_that_may_be_believed(shop: State) -> None:
    it = full(shop)
    read = Read(html.page(it, TERMS))
    assert read.open == [], "every element ends"
    said = " ".join(read.text.split())
    heading = {
        W: "The shop works, parts behind it do not",
        P: "is disturbed",
        D: "The shop does not answer",
        U: "It is not known whether",
    }[shop]
    assert heading in said and words.NOW[Part.SHOP][shop] in said
    assert "As of 15 January 2027 08:00:00 UTC, served from Gravelines." in said
    assert "for 180 seconds at most: after 15 January 2027 08:03:00 UTC nothing" in said
    assert (shop is W) == ("Works. The shop answers." in said), "unknown is no good word"


def test_the_page_takes_nothing_from_elsewhere_and_allows_no_more() -> None:
    text = html.page(full(), TERMS)
    read = Read(text)
    assert {tag for tag, _ in read.tags} & {"img", "link", "iframe", "form", "object"} == set()
    policy = next(it["content"] for tag, it in read.tags if it.get("http-equiv") == "Content-Security-Policy") or ""
    assert "default-src 'none'" in policy and "unsafe" not in policy and policy.count("'sha256-") == 2
    assert not [it for _, it in read.tags if "style" in it or any(name.startswith("on") for name in it)]
    links = [it["href"] for tag, it in read.tags if tag == "a"]
    assert links == ["", "https://shop.example/?a=1&b=2"]
    assert "<Söhne>" not in text and "Müller &amp; &lt;Söhne&gt;" in text
    assert len(text.encode()) < 20_000


def test_the_page_shows_nothing_of_the_inside() -> None:
    shown = Read(html.page(full(), replace(TERMS, locations={}))).text
    inside = [
        *OF_ALERTS,
        "control-1",
        "db-1",
        "epoch",
        "region",
        "Prometheus",
        "standby",
        "primary",
        "failover",
        "witness",
        "Gravelines",
    ]
    assert not [word for word in inside if re.search(rf"\b{word}\b", shown, re.IGNORECASE)]


def test_a_page_without_a_past_and_without_a_contact_is_whole_too() -> None:
    read = Read(html.page(write(None, view()), StatusPage(bucket="page")))
    assert read.open == [] and "Nothing that this page knows of." in read.text and "Contact" not in read.text
    assert "served from" not in read.text and "The shop works" in read.text
    mail = html.page(write(None, view()), StatusPage(bucket="page", contact="help@shop.example"))
    assert 'href="mailto:help@shop.example"' in mail


def test_its_revision_can_be_read_back() -> None:
    it = full()
    found = html.REVISION.search(html.page(it, TERMS).encode()[:400])
    assert found is not None and int(found[1]) == it.revision


def test_the_document_is_read_as_it_is_written() -> None:
    it = full()
    assert fields.heard(Document, fields.write(it), "status.json", "x") == it


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7200, "2 hours"),
        (172_800, "2 days"),
    ],
)
def test_how_long_something_was(seconds: int, said: str) -> None:
    assert words.span(seconds) == said
