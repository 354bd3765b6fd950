"""What a running server is asked."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.pairs.postgres import Node
from scripts.host.frame.layout import Layout
from scripts.host.postgres.desired import Desired
from scripts.host.postgres.facts import read_live
from scripts.host.postgres.layout import PostgresLayout


class Silent:
    """A server that says nothing, and what it was asked with."""

    asked: Mapping[str, str]

    def ask(self, _: str, variables: Mapping[str, str]) -> None:
        self.asked = variables


@pytest.mark.parametrize(("ahead_s", "counts"), [(-60.0, True), (7200.0, False)])
def test_a_file_of_a_clock_that_was_put_back_asks_for_no_reload_without_end(
    tmp_path: Path, ahead_s: float, counts: bool
) -> None:
    """As of a machine that starts with its clock two hours ahead: whatever is read before then is read before that file, by their times."""
    layout, now = PostgresLayout(Layout(tmp_path)), time.time()
    for name, at in (("pg_hba.conf", now - 3600), ("conf.d/dr.conf", now + ahead_s)):
        path = layout.conf / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (at, at))
    node, server = Node("a", tmp_path, {"ca": "c", "cert": "c", "key": "k"}, {"a": 1, "b": 2}), Silent()
    assert read_live(Desired.read(node.document(1, "a")), layout, server) is None  # type: ignore[arg-type]
    assert float(server.asked["newest"]) == pytest.approx(now + ahead_s if counts else now - 3600)
