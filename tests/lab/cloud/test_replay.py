"""The lab's cloud against the recordings of a real OpenStack: every flow, every service."""

from __future__ import annotations

from functools import cache

import pytest

from tests.lab.cloud.replay import exemptions, recording
from tests.lab.cloud.replay.player import SERVICES, Player


@cache
def player(chain: tuple[str, ...]) -> Player:
    return Player(chain)


def play(flow: str) -> list[str]:
    """The differences of a flow, after those before it have been played."""
    chain = next(chain for chain in recording.CHAINS if flow in chain)
    return [f"{found.row.service}|{found}" for found in player(chain).play(flow)]


def cases() -> list[tuple[str, str]]:
    """(flow, service) for what each flow asks of each service. Without the recordings: all of them, and each fails saying so."""
    if not recording.FOLDER.is_dir():
        return [(flow, service) for flow in recording.names() for service in SERVICES]
    return [
        (flow, service)
        for flow in recording.names()
        for service in SERVICES
        if any(row.service == service for row in recording.load(flow).rows)
    ]


def test_all_recordings_are_played() -> None:
    """A new recording has to be given its place in a chain."""
    assert recording.FOLDER.is_dir(), recording.load("create")
    assert {path.stem for path in recording.FOLDER.glob("*.jsonl")} == set(recording.names())


@pytest.mark.parametrize(("flow", "service"), cases())
def test_answers_are_the_recorded_ones(flow: str, service: str) -> None:
    found = [text.partition("|")[2] for text in play(flow) if text.startswith(f"{service}|")]
    assert not found, f"{len(found)} differences in {flow}:\n" + "\n".join(found[:30])


def test_no_exemption_is_stale() -> None:
    for chain in recording.CHAINS:
        player(chain).play(chain[-1])
    assert exemptions.unused() == []
