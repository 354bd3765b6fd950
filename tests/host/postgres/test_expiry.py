"""When a standby's WAL counts as expired: below all that its primary has, and still there after a while."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.host.postgres.expiry import STILL_S, Expiry
from scripts.host.postgres.facts import Live
from scripts.host.postgres.peer import Peer

OLDEST = Peer(oldest_wal="0000000000000005")


class Silent:
    """A server without control data: segments have their usual size."""

    def control_data(self) -> None:
        return None


def live(replayed: str | None, **more: Any) -> Live:
    return Live(in_recovery=True, timeline=1, replay_lsn=replayed, **more)


@pytest.fixture
def expiry() -> Expiry:
    return Expiry(Silent())  # type: ignore[arg-type]


def test_it_takes_time_to_be_certain(expiry: Expiry) -> None:
    assert [expiry.holds(live("0/4FFFFFF"), OLDEST, now) for now in (0, STILL_S - 0.1, STILL_S)] == [False, False, True]
    assert expiry.certain


def test_one_that_still_replays_is_waited_for(expiry: Expiry) -> None:
    assert not any(expiry.holds(live(f"0/4{number:06X}"), OLDEST, number * STILL_S) for number in range(5))


@pytest.mark.parametrize(
    ("here", "peer"),
    [
        (live("0/5000000"), OLDEST),
        (live("0/4000000"), Peer()),
        (live("0/4000000"), Peer(error="timeout", oldest_wal=OLDEST.oldest_wal)),
        (live("0/4000000", paused=True), OLDEST),
        (live(None), OLDEST),
        (None, OLDEST),
    ],
    ids=["has-it", "unknown", "peer-silent", "paused", "replayed-nothing", "no-answer"],
)
def test_it_is_not_said_without_proof(expiry: Expiry, here: Live | None, peer: Peer) -> None:
    assert not any(expiry.holds(here, peer, now) for now in (0, STILL_S, 10 * STILL_S))
