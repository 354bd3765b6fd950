"""What others read out of a heartbeat: terms that a lease can have, or none."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from contract.heartbeat import Heartbeat
from contract.lease import Lease

TERMS = Lease(lease_s=90, stop_s=7, margin_s=6, heartbeat_s=3)


def beat(**document: Any) -> Heartbeat:
    return Heartbeat(document=document, age_s=0.0)


def test_the_terms_of_a_host_travel_with_its_beat() -> None:
    assert beat(lease=TERMS.told("held", 0.4)).terms == TERMS
    assert TERMS.told("held", 0.4) == {"state": "held", "silent_s": 0.4, **asdict(TERMS)}


@pytest.mark.parametrize(
    "lease",
    [
        None,
        "held",
        {"state": "held", "silent_s": 0.4},  # of an older agent
        {**asdict(TERMS), "lease_s": 0},
        {**asdict(TERMS), "lease_s": 1e400},
        {**asdict(TERMS), "stop_s": "soon"},
        {**asdict(TERMS), "margin_s": None},
        {**asdict(TERMS), "heartbeat_s": 86400},
    ],
)
def test_what_are_no_terms_is_none(lease: Any) -> None:
    assert beat(lease=lease).terms is None


def test_what_an_older_agent_does_not_say_is_unknown() -> None:
    assert (beat().instance, beat().boot) == (None, None)
    assert (beat(instance="i", boot="b").instance, beat(instance=1, boot=[]).boot) == ("i", None)
