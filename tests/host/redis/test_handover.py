"""A handover that takes longer than writers are held: nothing of theirs is lost without a word."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import Failed
from scripts.host.redis import handover
from scripts.host.redis.handover import PAUSE_S, cost, exchange
from scripts.host.redis.takeover import HANDOVER, Takeover
from scripts.host.redis.wire import Server

OWN = Server("own", "127.0.0.1", 1, "", "", "")


class Clock:
    now = 0.0


class Played:
    """A server that takes its time for some words: seconds by the word's first two."""

    def __init__(self, role: str, clock: Clock, said: list[str], **takes: float) -> None:
        self._role, self._clock, self._said, self._takes = role, clock, said, takes

    def call(self, *words: Any) -> Any:
        name = "_".join(map(str, words[:2])).lower()
        self._clock.now += self._takes.get(name, 0.0)
        if words[0] == "INFO":
            return f"role:{self._role}\nmaster_repl_offset:7\nslave_repl_offset:7\n"
        self._said.append(" ".join(map(str, words[:2])))
        return "OK"


def played(monkeypatch: pytest.MonkeyPatch, **takes: float) -> tuple[Played, Played, list[str]]:
    clock, said = Clock(), list[str]()
    monkeypatch.setattr(handover, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return Played("slave", clock, said, **takes), Played("master", clock, said, **takes), said


def test_a_pause_that_is_half_over_promotes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    own, peer, said = played(monkeypatch, client_pause=PAUSE_S / 2 + 0.1)
    with pytest.raises(Failed, match=r"writers are held for 5 s, .*nobody was promoted"):
        exchange(own, peer, OWN)
    assert said == ["CLIENT PAUSE", "CLIENT UNPAUSE"]


def test_what_an_old_master_took_before_it_was_turned_is_no_loss_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own, peer, _ = played(monkeypatch, replicaof_no=PAUSE_S, replicaof_127_0_0_1=0.5)
    held_s = exchange(own, peer, OWN)
    assert held_s >= PAUSE_S and cost(held_s).bytes is None
    text = Takeover(2, HANDOVER, cost(held_s), held_ms=held_s * 1000).text()
    assert "nothing lost" not in text and "unknown (writers were held for 5 s" in text
    assert cost(0.1).bytes == 0 and "nothing lost" in Takeover(2, HANDOVER, cost(0.1), held_ms=100.0).text()
