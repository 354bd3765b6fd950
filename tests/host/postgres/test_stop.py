"""The control file has the last word of a stop, and nothing comes after it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.host.frame.layout import Layout
from scripts.host.postgres.layout import PostgresLayout
from scripts.host.postgres.server import Server


class Starting:
    """A unit that is on its way up: its guard has said yes before the role was taken. It is seen to write until the manager has ended it."""

    def __init__(self) -> None:
        self.ended = False

    def start(self, limit_s: float = 0) -> None:
        raise AssertionError("start")

    def settle(self) -> None:
        self.ended = True


def test_a_start_that_its_guard_has_allowed_already_ends_before_the_control_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Starting()
    server = Server(PostgresLayout(Layout(tmp_path)), 5432, control)

    def read(_: Server) -> Any:
        return SimpleNamespace(state="shut down", checkpoint="0/4000028" if control.ended else "0/3000028")

    monkeypatch.setattr(Server, "control_data", read)
    monkeypatch.setattr(Server, "pid", lambda _: None)
    assert server.stop().checkpoint == "0/4000028"
