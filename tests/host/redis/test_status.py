"""`redis status` without servers: it is asked while nobody can order, by somebody who waits for seconds only."""

from __future__ import annotations

import io
import threading

import pytest

from scripts.host.frame.call import Call
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.redis import status as room
from scripts.host.redis.leader import Access
from scripts.host.redis.state import MASTER, Instance
from scripts.host.redis.wire import Server

OWN, PEER = (Server(f"cache-1.{site}", f"10.0.0.{number}", 6379, "", "", "") for number, site in ((1, "b"), (2, "a")))


def test_the_own_cache_and_the_others_are_asked_at_the_same_time(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that hangs costs its whole time-out: one after the other they would take longer than anybody waits."""
    together = threading.Barrier(2, timeout=10)

    def look(server: Server) -> tuple[Instance | None, str | None]:
        together.wait()
        return (Instance(role=MASTER, keys=3, offset=9), None) if server == PEER else (None, "no answer")

    monkeypatch.setattr(room, "look", look)
    monkeypatch.setattr(Access, "of_host", lambda layout: Access(OWN, (OWN,), (PEER,), ()))
    facts = room.status(Call("redis", "status", {}, Layout(tmp_path), Log(io.StringIO(), "redis status"))).facts
    assert (facts["running"], facts["keys"], facts["peer"]["keys"]) == (False, None, 3)
