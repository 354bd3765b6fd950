"""A host that is asked again and again how its database is: by one process, with what is so at each question."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

import pytest

from contract.errors import Usage
from scripts.host.frame.call import Call
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.rolefile import FENCED, PRIMARY, Role
from scripts.host.postgres.verbs import VERBS


def asking(layout: Layout) -> Iterator[str]:
    """What is said while it answers: the role changes between two questions."""
    for epoch, role in enumerate((PRIMARY, FENCED), start=1):
        Role("a", "b", role, epoch).write(layout)
        yield "{}\n"


def listen(layout: Layout, lines: Iterator[str]) -> None:
    VERBS["listen"].run(Call("postgres", "listen", {}, layout, Log(io.StringIO(), "x"), lines=cast(TextIO, lines)))


def test_each_question_is_answered_with_what_is_so_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(tmp_path)
    listen(layout, asking(layout))
    first, second = (json.loads(line)["facts"] for line in capsys.readouterr().out.splitlines())
    assert [each["role"]["role"] for each in (first, second)] == [PRIMARY, FENCED]
    assert first["running"] is False and first["checkpoint_lsn"] is None


def test_what_is_no_question_is_refused(tmp_path: Path) -> None:
    for line in ("[]", "{"):
        with pytest.raises(Usage, match=r"line|stdin"):
            listen(Layout(tmp_path), iter([line + "\n"]))


def test_a_host_that_has_no_database_says_nothing_of_logins(tmp_path: Path) -> None:
    """`drctl rotate` shuts nobody out by it: null is unknown."""
    told = VERBS["logins"].run(Call("postgres", "logins", {}, Layout(tmp_path), Log(io.StringIO(), "x"))).facts
    assert told == {"in_recovery": None, "logins": None}
