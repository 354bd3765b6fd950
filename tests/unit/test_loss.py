"""What an unplanned move would lose: measured, unknown, within a budget or over it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from contract.heartbeat import Heartbeat
from contract.installation import LossBudget
from scripts.links.loss import Granted, Own, lsn, measure, over, sentence

OWN = {"receive_lsn": "0/5000148", "timeline": 2, "system_identifier": "7"}
BUDGET = LossBudget(max_lag_bytes=1000, max_lag_s=5)


def beat(service, block, **changes):
    return Heartbeat(document={"role": "primary", service: block, **changes}, age_s=8.04)


def database(written="0/5000148", **changes):
    trail = [[0.0, "0/5000948"], [2.0, "0/5000800"], [4.0, "0/5000148"]]
    return beat("postgres", {"write_lsn": written, "timeline": 2, "system_identifier": "7", "trail": trail} | changes)


def test_positions_are_bytes():
    assert lsn("1/0") - lsn("0/FFFFFFFF") == 1


def test_nothing_is_lost_when_the_last_word_had_arrived():
    found = measure(Own(database=OWN), {"db-1": database()}, 35.0)
    assert (found.bytes, found.seconds, found.heartbeat_age_s) == (0, 0.0, 8.0)
    assert over(found, BUDGET, "a") == []


def test_a_standby_that_was_started_anew_has_what_it_replayed():
    found = measure(
        Own(database={**OWN, "receive_lsn": "0/5000000", "replay_lsn": "0/5000148"}), {"db-1": database()}, 35.0
    )
    assert found.bytes == 0


def test_what_had_not_arrived_is_counted_in_bytes_and_in_seconds():
    found = measure(Own(database=OWN), {"db-1": database("0/5000948")}, 35.0)
    assert (found.bytes, found.seconds) == (2048, 2.0)
    assert over(found, BUDGET, "a") == ["2048 bytes of WAL are not here, wanted at most 1000"]
    assert over(found, LossBudget(max_lag_bytes=4096, max_lag_s=1), "a") == [
        "2 s of writes are not here, wanted at most 1"
    ]


def test_a_standby_that_is_further_behind_than_the_trail_reaches_does_not_know_the_seconds():
    found = measure(Own(database={**OWN, "receive_lsn": "0/4000000"}), {"db-1": database("0/5000948")}, 35.0)
    assert found.seconds is None
    assert (
        "seconds of writes are not here is unknown" in over(found, LossBudget(max_lag_bytes=10**9, max_lag_s=5), "a")[0]
    )


@pytest.mark.parametrize(
    "heartbeat",
    [
        None,
        database(timeline=3),
        database(system_identifier="8"),
        database(None, trail=[]),
        beat("postgres", {"write_lsn": "0/5000148", "timeline": 2, "system_identifier": "7"}, role="standby"),
    ],
)
def test_what_cannot_be_compared_is_unknown_and_unknown_is_over(heartbeat):
    found = measure(Own(database=OWN), {"db-1": heartbeat}, None)
    assert found.bytes is None
    assert len(over(found, LossBudget(max_lag_bytes=10**12, max_lag_s=10**6), "a")) == 1


def test_a_primary_that_was_silent_or_down_at_its_last_heartbeat_is_judged_by_its_last_known_position():
    found = measure(Own(database=OWN), {"db-1": database(None, trail=[[2.0, "0/5000948"], [4.0, "0/5000148"]])}, 35.0)
    assert (found.bytes, found.seconds, found.heartbeat_age_s, found.unseen_s) == (0x800, 2.0, 10.0, 37.0)


def test_the_cache_and_the_assets_are_told():
    master = beat("redis", {"offset": 1000, "replication_id": "r1"})
    own = Own(database=OWN, offset=900, assets={"replicated_until": 0.0, "unreplicated": {"count": 3}, "ok": True})
    found = measure(own, {"db-1": database(), "cache-1": master}, 35.0)
    assert (found.redis_bytes, found.redis) == (100, {"offset": 1000, "replication_id": "r1", "keys": None})
    assert json.loads(json.dumps(found.document()))["assets"] == {"replicated_until": 0.0, "unreplicated": {"count": 3}}
    assert "cache 100 bytes, assets what was uploaded since 00:00:00 UTC" in sentence(found)
    assert "in at most 35 s after its last heartbeat" in sentence(found)


def test_of_several_caches_the_one_that_led_last_is_compared():
    caches = {
        "cache-1": replace(beat("redis", {"role": "master", "offset": 700, "replication_id": "r0"}), age_s=90.0),
        "cache-2": replace(beat("redis", {"role": "master", "offset": 1000, "replication_id": "r1"}), age_s=8.0),
        "cache-3": replace(beat("redis", {"role": "replica", "offset": 990, "replication_id": "r1"}), age_s=7.0),
    }
    found = measure(Own(database=OWN, offset=900), {"db-1": database(), **caches}, 35.0)
    assert (found.redis_bytes, found.redis) == (100, {"offset": 1000, "replication_id": "r1", "keys": None})


def test_a_word_that_looks_younger_and_says_less_is_the_older_one():
    """The host that it came to stood still meanwhile, and its clock with it; its database did as well, and has no more than that."""
    older = {"write_lsn": "0/5000148", "timeline": 2, "system_identifier": "7", "trail": [[0.0, "0/5000148"]]}
    granted = Granted(last_s=2.0, up_s=9000.0, block=older, age_s=2.0)
    found = measure(Own(database=OWN), {"db-1": database("0/5000948")}, 35.0, granted)
    assert (found.bytes, found.seconds, found.heartbeat_age_s) == (2048, 2.0, 8.0)
    further = replace(granted, block={**older, "write_lsn": "0/5000B48"})
    assert measure(Own(database=OWN), {"db-1": database("0/5000948")}, 35.0, further).bytes == 2560
