"""The runbook: what it says to run can be run, what it speaks of is there, and whatever a check finds has a page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from scripts.ctl import cli
from scripts.ctl.survey.checks import ROWS
from tests.components.stack import ROOT
from tests.lab.runbook import ELSEWHERE, ON_A_WELL_PAIR, commands

FOLDER = ROOT / "docs/runbook"
INDEX = FOLDER / "README.md"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path != INDEX)
HEADINGS = ["You see", "Run", "It prints", "It takes", "When it is refused", "Call"]
IDS = {row.id for row in ROWS}


def named(path: Path) -> set[str]:
    """Ids of checks that a page speaks of, `pg.replication.*` for all that begin so."""
    words = re.findall(r"`([a-z]+\.[a-z.*-]+)`", path.read_text())
    return {word for word in words if word.split(".")[0] in {it.split(".")[0] for it in IDS}}


def fits(word: str) -> set[str]:
    return {it for it in IDS if it == word or (word.endswith("*") and it.startswith(word[:-1]))}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_answers_the_same_questions_as_every_other(page: Path) -> None:
    assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("page", [*PAGES, INDEX], ids=lambda path: path.stem)
def test_every_command_of_drctl_is_one(page: Path) -> None:
    for line in re.findall(r"(?:^    |`)(?:scripts/)?drctl ([^`\n]+)`?", page.read_text(), re.MULTILINE):
        words = shlex.split(line.partition("#")[0])
        if words[0] in ("failover", "switchover") and len(words) == 1:
            continue  # spoken of, not typed
        assert cli.parser().parse_args(words).command == words[0], line


@pytest.mark.parametrize("page", [*PAGES, INDEX], ids=lambda path: path.stem)
def test_what_it_speaks_of_is_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (FOLDER / link).resolve().is_file(), link
    for word in named(page):
        assert fits(word), f"{page.name}: no check {word}"
    for title, document in re.findall(
        r"\*([A-Z][^*]+)\*[^*\n]{0,40}\[[a-z]+\.md\]\(\.\./([a-z]+\.md)\)", page.read_text()
    ):
        assert f"\n## {title}" in (ROOT / "docs" / document).read_text(), f"{document}: no section {title}"


def test_the_index_leads_to_every_page() -> None:
    text = INDEX.read_text()
    assert [page.name for page in PAGES if f"({page.name})" not in text] == [] and len(PAGES) >= 12


def test_whatever_a_check_finds_has_a_page() -> None:
    told = {it for page in [*PAGES, INDEX] for word in named(page) for it in fits(word)}
    assert sorted(IDS - told) == []


def test_every_command_is_tried_in_the_lab() -> None:
    assert sorted(commands()) == sorted([*ON_A_WELL_PAIR, *ELSEWHERE]), "tests/lab/runbook.py says where each is tried"
    tried = "".join(
        path.read_text() for folder in ("tests/lab", "lab/rehearsal/drills") for path in (ROOT / folder).glob("*.py")
    )
    assert [name for name in ELSEWHERE.values() if name and f"def {name}(" not in tried] == []
