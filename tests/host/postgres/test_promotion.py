"""A promotion that is refused leaves the host as it was, although its role was written first and no host goes back in epochs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from contract.errors import Refused
from scripts.host.frame import rolefile
from scripts.host.frame.call import Call
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.rolefile import PRIMARY, STANDBY, Role
from scripts.host.postgres.layout import PostgresLayout
from scripts.host.postgres.server import Server
from scripts.host.postgres.verbs import takeover_server


class Paused(Server):
    """A standby whose replay is paused."""

    def promote(self) -> int:
        role = rolefile.read(self.layout.base)
        assert role is not None and (role.role, role.epoch) == (PRIMARY, 8), (
            "first, so that no boot makes a standby of it"
        )
        raise Refused("paused")


class Nothing:
    def start(self, limit_s: float = 0) -> None:
        raise AssertionError("start")

    def settle(self) -> None:
        raise AssertionError("settle")


def test_a_refused_promotion_is_undone(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    Role("b", "a", STANDBY, 7).write(layout)
    lines = io.StringIO(json.dumps({"epoch": 8}) + "\n")
    call = Call("postgres", "takeover", {}, layout, Log(io.StringIO(), "x"), lines=lines)
    with pytest.raises(Refused, match="paused"):
        takeover_server(call, Paused(PostgresLayout(layout), 5432, Nothing()))
    assert rolefile.read(layout) == Role("b", "a", STANDBY, 7)
    assert json.loads((layout.run / "role.json").read_text())["role"] == STANDBY, "the dead-man's copy, too"
