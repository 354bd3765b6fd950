"""A record as a page: whole in itself, running nothing, whatever stands in its fields; and never good where nobody knows."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ExitCode
from contract.report import (
    DEFICIENCY,
    SIGN_OFF,
    Event,
    Fence,
    Figure,
    Lack,
    Point,
    Samples,
    Shortcoming,
    SignOff,
    Stage,
)
from scripts.ctl import cli
from scripts.ctl.reports import book, page, table, words
from scripts.ctl.reports.markup import STYLE, tag
from tests.unit.played_reports import Shelf, added, draft, event, its
from tests.unit.test_records import shelf

__all__ = ["shelf"]  # a fixture

ITS = its()
EVIL = "</title><script>alert(1)</script><img src=https://evil.example/x onerror=alert(1)>\"'\x1b[2J\u202e&<b>"


class Reading(HTMLParser):
    """Elements and attributes of a page, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, name: str, attributes: Any) -> None:
        self.tags.append((name, dict(attributes)))

    def handle_data(self, text: str) -> None:
        self.texts.append(text)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def opened(shelf: Shelf) -> book.Book:
    return book.opened(shelf, ITS)  # type: ignore[arg-type]


def shown(shelf: Shelf, number: int = 1) -> str:
    found = opened(shelf)
    it = found.event(number)
    assert it is not None and it.record.event is not None
    return page.one(found, it, it.record.event)


def everything(text: str) -> Event:
    """An event with this text wherever a text may stand."""
    lines = (text, text)
    return event(
        scenario=text, ran_by=text, approved_by=text, witnessed_by=text, reason=text, ticket=text, plan=text, plan_lines=lines, deviations=lines,
        errors=lines, warnings=lines, versions={"drctl": text}, rto=Figure(declared_s=1, measured_s=2, method=text), outage=Figure(method=text),
        fence=Fence(rung=2, evidence={"seen": [text.replace("\x1b", "").replace("\u202e", "")]}),
        timeline=(Stage(site="b", link=text, begun_s=1.0, ended_s=9.0, state="done"),),
        deficiencies=(Shortcoming(owner=text, until="2026-12-31", text=text),),
        samples=(Samples(what="order", source="0" * 64, count=3, failed=1, points=(Point(at_s=0.0, done=2, failed=1),)),),
    )  # fmt: skip


def test_nothing_in_any_field_becomes_an_element_or_orders_a_terminal_about(shelf: Shelf) -> None:
    made = replace(draft(event=everything(EVIL)), who=EVIL, place=EVIL)
    added(shelf, made)
    digest = opened(shelf).records[0].digest
    added(shelf, draft(DEFICIENCY, deficiency=Lack(of=1, owner=EVIL, until="2026-12-31", text=EVIL)))
    added(shelf, draft(SIGN_OFF, "bob", signoff=SignOff(of=1, digest=digest, note=EVIL)), "bob")
    found = opened(shelf)
    for text in (shown(shelf), page.history(found)):
        seen = Reading(text)
        names = {name for name, _ in seen.tags}
        assert not names & {"script", "img", "a", "link", "iframe", "object", "form", "base", "b"}
        told = [(name, value or "") for _, attributes in seen.tags for name, value in attributes.items()]
        assert not [name for name, _ in told if name.startswith("on") or name in ("src", "href", "style", "xlink:href")]
        assert not [value for name, value in told if "evil" in value]
        assert "alert(1)" in seen.text and "\x1b" not in text and "\u202e" not in text
    event_of = found.records[0].record.event
    assert event_of is not None
    for line in (*table.one(found, found.records[0], event_of), *table.history(found)):
        assert line.isprintable()


def test_a_page_needs_nothing_else_and_lets_nothing_run(shelf: Shelf) -> None:
    added(shelf)
    text = shown(shelf)
    policy = next(
        it["content"]
        for name, it in Reading(text).tags
        if name == "meta" and it.get("http-equiv") == "Content-Security-Policy"
    )
    style = re.search(r"<style>(.*)</style>", text, re.DOTALL)
    assert style is not None and policy is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"https?:|url\(|@import|//", text.replace("<!doctype html>", "")), "no outside reference"
    assert "@media print" in STYLE


def test_what_nobody_knows_is_said_as_that_and_is_never_good(shelf: Shelf) -> None:
    dark = Event(scenario="failover", outcome="unknown", began="2026-11-29T10:00:00Z", ran_by="alice")
    added(shelf, draft(event=dark))
    seen = Reading(shown(shelf))
    good = [it for _, it in seen.tags if it.get("class") == "good"]
    assert len(good) == 1, "the chain alone holds"
    assert seen.text.count("not known") >= 8 and "nobody has signed it off" in seen.text
    found = opened(shelf)
    told = "\n".join(table.one(found, found.records[0], dark))
    assert "recovery      not known" in told and "NOT signed off" in told and "kept" not in told


@pytest.mark.parametrize(
    ("declared", "measured", "word"),
    [
        (120, 31.5, "kept"),
        (30, 31.5, "missed"),
        (None, 31.5, "not declared"),
        (120, None, "not known"),
        (120, 120, "kept"),
        (0, 0, "kept"),
    ],
)
def test_an_objective_is_kept_missed_or_not_known(declared: Any, measured: Any, word: str) -> None:
    assert words.verdict(Figure(declared_s=declared, measured_s=measured))[0] == word
    assert words.verdict(None)[0] == "not known"


def test_links_and_orders_are_drawn_and_told(shelf: Shelf) -> None:
    stages = (
        Stage(site="b", link="fence", begun_s=0.0, ended_s=20.0, state="done"),
        Stage(site="b", link="database", begun_s=20.0, state="begun"),
    )
    points = tuple(Point(at_s=float(at), done=5, failed=int(at == 3)) for at in range(-2, 8))
    added(
        shelf,
        draft(
            event=event(
                timeline=stages, samples=(Samples(what="order", source="0" * 64, count=51, failed=1, points=points),)
            )
        ),
    )
    seen = Reading(shown(shelf))
    kinds = [it.get("class") for name, it in seen.tags if name == "rect"]
    assert kinds.count("failed") == 1 and kinds.count("begun") == 1 and kinds.count("done") == 11
    assert "fence (b): done, 0.0 s to 20.0 s" in seen.text and "database (b): begun, 20.0 s to ?" in seen.text
    assert "51 orders, 1 of them failed" in seen.text


def test_pages_are_written_for_their_owner_alone(
    shelf: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added(shelf)
    for words_ in (["show", "1"], ["list"]):
        file = tmp_path / f"{words_[0]}.html"
        assert cli.main(["report", *words_, "--html", str(file)]) == ExitCode.DONE
        assert file.read_text().startswith("<!doctype html>") and file.stat().st_mode & 0o077 == 0
    assert cli.main(["report", "list", "--html", str(tmp_path / "none" / "x")]) == ExitCode.FAILED
    assert "cannot be written" in capsys.readouterr().err


def test_an_element_spells_what_is_no_element() -> None:
    assert tag("p", "<b>", tag("i", "x"), title='"<') == '<p title="&quot;&lt;">&lt;b&gt;<i>x</i></p>'
    assert tag("p", "\x1b[2J\u202e", title="\x9b") == '<p title="\\x9b">\\x1b[2J\\u202e</p>'


def test_a_line_of_the_history_stays_one_whatever_is_told(shelf: Shelf) -> None:
    added(shelf, draft(event=event(ran_by="a" * 500, scenario="b" * 500)))
    assert all(len(line) < 250 for line in table.history(opened(shelf)))
