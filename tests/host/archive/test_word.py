"""What jobs without the witness's key believe of who is active."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import Failed, Refused
from scripts.host.archive import verbs, word
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.frame.boots import boottime
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.rolefile import PRIMARY, STANDBY, Role
from scripts.host.frame.witness import QUESTION_S, Active, Silent, Witness
from scripts.host.postgres.layout import PostgresLayout

NEWEST = Active(7, "b")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.etc.mkdir(parents=True)
    made.at(word.TOLD).parent.mkdir(parents=True, exist_ok=True)
    Role("a", "b", PRIMARY, 6).write(made)
    return made


@pytest.fixture
def key(layout: Layout) -> Path:
    """This process may ask."""
    path = layout.etc / word.KEY
    path.write_text(json.dumps(dict.fromkeys(("endpoint", "region", "bucket", "access_key", "secret_key"), "x")))
    return path


def told(layout: Layout, **changes: Any) -> None:
    facts = {"epoch": 7, "active": "b", "silent": None, "asked": boottime(), **changes}
    layout.at(word.TOLD).write_text(json.dumps({"schema": 1, "facts": facts}))


def answers(monkeypatch: pytest.MonkeyPatch, what: Callable[[], Active | None]) -> list[int]:
    """The witness is asked, and says this; the epochs from which on it was asked."""
    asked: list[int] = []

    def newest(_: Witness, known: int) -> Active | None:
        asked.append(known)
        return what()

    monkeypatch.setattr(Witness, "newest", newest)
    return asked


def silent() -> Active | None:
    raise Silent("witness: found no answer")


def test_who_may_read_the_key_asks_at_once_and_keeps_the_answer(
    layout: Layout, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right to ask is given up before the answer is needed."""
    told(layout, epoch=1, active="a")
    asked = answers(monkeypatch, lambda: NEWEST)
    heard = word.hear(layout, 6)
    key.unlink()
    assert heard() == NEWEST and asked == [6]


def test_who_may_not_is_told(layout: Layout) -> None:
    told(layout)
    assert word.hear(layout, 6)() == NEWEST
    told(layout, epoch=None, active=None)
    assert word.hear(layout, 6)() is None, "the witness has no such epoch"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"silent": "witness: found no answer"}, "witness: found no answer"),
        ({"asked": -2 * word.LASTS_S}, "a word of the witness that is .* s old, wanted one of the last 120 s"),
        ({"asked": 1e12}, "wanted one of the last 120 s"),  # of before a boot
        ({"asked": "now"}, "no word of the witness"),
        ({"epoch": "x"}, "no word of the witness"),
    ],
)
def test_an_old_word_and_none_are_silence(layout: Layout, changes: dict[str, Any], says: str) -> None:
    told(layout, **changes)
    with pytest.raises(Silent, match=says):
        word.hear(layout, 6)()


def test_one_that_is_being_told_is_waited_for(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another job has it asked anew at this moment: systemd empties the file first."""
    layout.at(word.TOLD).write_text("")
    looked: list[bool] = []

    def until(condition: Callable[[], bool], limit_s: float) -> bool:
        looked.append(condition())
        told(layout)
        looked.append(condition())
        assert limit_s > QUESTION_S, "longer than the question may take"
        return looked[-1]

    monkeypatch.setattr(word, "until", until)
    assert word.hear(layout, 6)() == NEWEST and looked == [False, True]


def test_nobody_waits_where_nothing_was_ever_told(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word, "until", lambda condition, _: condition() or pytest.fail("it waits"))
    with pytest.raises(Silent, match="no word of the witness"):
        word.hear(layout, 6)()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"facts": []}', '{"facts": {}}'])
def test_what_is_no_word_is_silence(layout: Layout, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layout.at(word.TOLD).write_text(text)
    monkeypatch.setattr(word, "ASKS_S", 0.01)
    with pytest.raises(Silent, match="see `journalctl -u dr-archive-epoch`"):
        word.hear(layout, 6)()


def test_the_one_that_asks_says_what_the_others_hear(
    layout: Layout, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the key that systemd has handed to it."""
    handed = layout.root / "credentials"
    handed.mkdir()
    key.rename(handed / word.KEY)
    for what in (lambda: NEWEST, lambda: None, silent):
        asked = answers(monkeypatch, what)
        layout.at(word.TOLD).write_text(json.dumps({"facts": word.ask(layout, str(handed))}))
        heard = word.hear(layout, 6)
        assert asked == [6], "from the role's epoch on"
        if what is silent:
            with pytest.raises(Silent, match="found no answer"):
                heard()
        else:
            assert heard() == what()
    layout.at(word.TOLD).write_text(json.dumps({"facts": word.ask(layout, str(layout.root))}))
    with pytest.raises(Silent, match=r"witness\.json: found none that can be read"):
        word.hear(layout, 6)()


@pytest.mark.parametrize(("role", "due"), [(PRIMARY, True), (STANDBY, False)])
@pytest.mark.parametrize("backups", [0, 3])
def test_a_check_that_finds_a_backup_due_writes_down_that_it_is(
    layout: Layout, role: Any, due: bool, backups: int
) -> None:
    Role("a", "b", role, 6).write(layout)
    archive = ArchiveLayout(PostgresLayout(layout))
    archive.folder.mkdir(parents=True)
    repository = {"reachable": True, "backups": backups, "backup_timeline": 1, "failed_backup": None}
    call = SimpleNamespace(layout=layout, log=Log(io.StringIO(), "archive check"))
    verbs._ask_for_backup(call, archive, {"timeline": 1, "repositories": {"a": repository}})  # type: ignore[arg-type]
    assert archive.due.exists() == (due and not backups)


def test_no_backup_is_made_on_a_word_of_another_site_or_on_none() -> None:
    role = Role("a", "b", PRIMARY, 6)
    verbs._prove_active(role, lambda: Active(6, "a"))
    for heard in (lambda: NEWEST, lambda: None, lambda: Active(6, "b"), silent):
        with pytest.raises(Failed if heard is silent else Refused):
            verbs._prove_active(role, heard)
