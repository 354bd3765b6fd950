"""The pages that people read, in a real browser: nothing that axe knows to be in anybody's way, light and dark, on a screen and on a phone."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from contract.errors import Failed
from contract.monitoring.boards import times
from contract.monitoring.panels import BOARDS
from contract.monitoring.status_page import State
from scripts.ctl.survey.boards.serving import Dashboard
from scripts.host.host.monitoring import asking
from scripts.host.host.monitoring.page import html
from tests.host.test_status_page import TERMS, full
from tests.unit.played_reports import Shelf, added, draft
from tests.unit.test_report_page import EVIL, everything, shelf, shown

__all__ = ["shelf"]  # a fixture

PROGRAM = "/usr/bin/chromium"  # Debian's, which the set-up installs
SCHEMES, WIDTHS = ("light", "dark"), (1280, 360)
Looked = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root has no sandbox there, and loads nothing but what stands here.
        made = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture
def looked(browser: Browser) -> Iterator[Looked]:
    """Opens a page; what it loads from elsewhere, and what its script complains of, fails the test."""
    contexts, wrong = list[Any](), list[str]()

    def look(content: str, scheme: str, width: int, at: int | None = None) -> Page:
        # axe comes as a script of its own, which no page of ours lets in.
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("http://127.0.0.1:", "about:")) else wrong.append(asked.url),
        )
        if at is not None:
            page.clock.install(time=at)
        if content.startswith("http"):
            page.goto(content)
        else:
            page.set_content(content)
        return page

    yield look
    for context in contexts:
        context.close()
    assert wrong == []


def faults(page: Page) -> str:
    """What is in anybody's way, as axe tells it; empty where nothing is."""
    found = Axe().run(page)
    wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return (found.generate_report() if found.violations_count else "") + ("it is wider than the screen" if wide else "")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shop", State)
def test_the_page_for_customers(looked: Looked, shop: State, scheme: str, width: int) -> None:
    it = full(shop)
    page = looked(html.page(it, TERMS), scheme, width, at=it.as_of + 10)
    assert not page.get_by_text("Not known since").is_visible()
    assert faults(page) == ""
    page.clock.fast_forward((it.bound_s + 1) * 1000)
    assert page.get_by_text("Not known since").is_visible(), "it is older than it may be"
    assert faults(page) == ""


@pytest.fixture
def boards() -> Iterator[Dashboard]:
    """All of them have lines but one, which its host says nothing of."""

    def figures(key: str, seconds: int) -> dict[str, Any]:
        if key == "cache":
            raise Failed("host control-1.a: no ssh session; wanted one")

        def ask(_: str, start: int, step: int, count: int) -> Any:
            values = [[start + step * n, f"{50 + 40 * math.sin(n / 9)}"] for n in range(count)]
            return [
                {"metric": {"host": f"{host}.{site}"}, "values": values} for host in ("db-1", "app-1") for site in "ab"
            ]

        return asking.figures(BOARDS[key], seconds, "a", ask, now=float(times(1_800_000_000.0, seconds)[0]))

    made = Dashboard(figures)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join(10)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_boards(looked: Looked, boards: Dashboard, scheme: str, width: int) -> None:
    page = looked(boards.url, scheme, width)
    for key, board in BOARDS.items():
        page.goto(f"{boards.url}#{key}")
        page.reload()
        if key == "cache":
            page.get_by_text("no ssh session").wait_for()
        else:
            page.wait_for_function(
                "wanted => document.querySelectorAll('#panels svg').length === wanted", arg=len(board.panels)
            )
        assert faults(page) == ""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("text", ["an ordinary word", EVIL])
def test_a_record(looked: Looked, shelf: Shelf, scheme: str, width: int, text: str) -> None:
    added(shelf, draft(event=everything(text)))
    page = looked(shown(shelf), scheme, width)
    page.on("dialog", lambda _: pytest.fail("what stands in a record was run"))
    assert faults(page) == ""
