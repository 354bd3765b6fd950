"""A cache that leads and asks for followers: whether it takes writes is known once it has said how many it asks for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from scripts.host.agent.redis import RedisFacts
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.redis.config import ARMED, LENT
from scripts.host.redis.wire import Unreachable

LEADS = "role:master\nmaster_repl_offset:7\nmaster_replid:r\nmin_slaves_good_slaves:1\n"


class Played:
    """The own server. `asks`: for how many followers, None where it does not say."""

    def __init__(self, asks: int | None, info: str = LEADS) -> None:
        self._asks, self._info = asks, info

    def call(self, *words: Any) -> Any:
        if words[0] == "INFO":
            return self._info
        if self._asks is None:
            raise Unreachable("connection lost")
        return [ARMED, str(self._asks)]

    def close(self) -> None:
        return None


@pytest.mark.parametrize(("asks", "writes"), [(1, True), (LENT, False), (None, None)])
def test_only_who_is_known_to_refuse_every_write_is_no_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: int | None, writes: bool | None
) -> None:
    facts = RedisFacts(Layout(tmp_path), Log(io.StringIO(), "agent run"))
    monkeypatch.setattr(facts, "_connection", Played(asks))
    assert facts.writes(facts.read()) is writes


def test_one_that_asks_for_none_is_a_writer_and_costs_no_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = RedisFacts(Layout(tmp_path), Log(io.StringIO(), "agent run"))
    monkeypatch.setattr(facts, "_connection", Played(None, LEADS.replace("min_slaves_good_slaves:1\n", "")))
    block = facts.read()
    assert facts.writes(block) is True and "lent" not in block
