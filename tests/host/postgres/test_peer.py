"""What is asked of the primary, and of one that is older than it should be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.pairs.postgres import Node
from scripts.host.frame.commands import CommandFailed, Done
from scripts.host.postgres import peer as pg_peer
from scripts.host.postgres.desired import Desired

OLDER = Done(2, "", 'FATAL:  unrecognized configuration parameter "transaction_timeout"')


def asked(root: Path, patch: pytest.MonkeyPatch, version: int, *answers: Done) -> tuple[list[str], str | None]:
    """The sessions that were begun, and what went wrong in the end."""
    node = Node("b", root, {"ca": "c", "cert": "c", "key": "k"}, {"a": 1, "b": 2})
    sessions, left = list[str](), list(answers)

    def psql(layout: object, target: Mapping[str, str], *_: Any, **__: Any) -> str:
        sessions.append(target["options"])
        done = left.pop(0)
        if done.code:
            raise CommandFailed(["psql"], done)
        return done.out

    patch.setattr(pg_peer, "psql", psql)
    desired = Desired.read(node.document(1, "a", version=version))
    return sessions, pg_peer.ask_peer(desired, node.layout).error


def test_a_primary_is_asked_in_a_session_without_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((own,), _) = asked(tmp_path, monkeypatch, 17, Done(0, "?", ""))
    assert {"statement_timeout=0", "transaction_timeout=0", "search_path=pg_catalog"} <= set(own.split())
    ((own,), _) = asked(tmp_path, monkeypatch, 16, Done(0, "?", ""))
    assert "transaction_timeout" not in own


def test_an_older_one_says_itself_that_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, second), _ = asked(tmp_path, monkeypatch, 17, OLDER, Done(0, "?", ""))
    assert "transaction_timeout" in first and "transaction_timeout" not in second


def test_any_other_refusal_is_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, error = asked(tmp_path, monkeypatch, 17, Done(2, "", "FATAL:  no"))
    assert len(sessions) == 1 and error == "FATAL:  no"
