"""Limits that have to fit into each other, and the table of links that they belong to."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from contract import limits
from contract.services import processes
from scripts.clients import nameservers, witness_bucket
from scripts.clients.hosts import OVERHEAD_S
from scripts.clients.openstack import ANSWER_S
from scripts.host.app import service as app
from scripts.host.app import spare
from scripts.host.postgres import server
from scripts.host.services import SERVICES
from scripts.links import pointer, verify
from scripts.links.__main__ import main
from scripts.links.table import LINKS

LEASE_S = 30 + 5 + 5  # dr:lease as it comes
WRITERS = 4  # a database and three caches, asked one after the other


def test_every_link_has_its_limit_and_pulumi_holds_it_to_the_same() -> None:
    assert set(limits.LINKS_S) == {*LINKS, *SERVICES} - {"agent", "certificate", "guard"}


def test_a_host_gives_up_before_the_fence_stops_listening() -> None:
    assert server.STOP_S < limits.STOP_S
    assert limits.AWAIT_S < limits.REPLAYED_S
    assert server.PROMOTE_S < limits.PROMOTE_S


def test_the_standby_listens_through_the_longest_planned_move_and_is_gone_before_the_link_is() -> None:
    asked = (limits.QUICK_S, limits.STOP_S, limits.REPLAYED_S, limits.PROMOTE_S)
    assert sum(asked) + len(asked) * OVERHEAD_S < limits.TALK_S < limits.LINKS_S["fence"]


def test_the_standby_listens_while_the_ladder_is_climbed() -> None:
    power = limits.POWER_S + 3 * ANSWER_S
    lease = WRITERS * (limits.QUICK_S + OVERHEAD_S) + LEASE_S
    counted = limits.QUICK_S + OVERHEAD_S
    drained = 2 * (limits.DRAINED_S + OVERHEAD_S)  # before the fence and after it
    assert limits.DRAIN_S < limits.DRAINED_S
    assert max(power, lease) + drained + counted + limits.PROMOTE_S < limits.TALK_S


def test_a_fence_that_is_told_to_end_can_take_back_what_it_began() -> None:
    """By the second way to the old primary where the first one is dead; after a claim whose answer is not known."""
    resumed = OVERHEAD_S + limits.STOP_S + OVERHEAD_S + limits.QUICK_S + OVERHEAD_S
    assert limits.KILLS_AFTER_S["fence"] > limits.WITNESS_S + resumed
    assert limits.KILLS_AFTER_S.keys() == limits.LINKS_S.keys()


def test_a_release_that_takes_all_its_time_fits_into_the_link_of_its_host() -> None:
    """With the way to the caches, the web process and the workers, each of which may take its own limit to begin, and the wait for an answer; and with
    the process beside `web`, which begins, is waited for, and ends."""
    web = 2 * (spare.UNIT_S + spare.HEALTHY_S + spare.DRAIN_S) + spare.UNIT_S
    assert limits.LINKS_S["app"] > limits.RELEASE_S + app.MORE_S + 2 * app.UNIT_S + web + app.HEALTHY_S


def test_no_process_is_waited_for_longer_than_the_word_that_stops_it() -> None:
    assert processes.MOST_STOP_S <= limits.QUICK_S < app.UNIT_S


def test_the_last_links_say_what_they_saw_before_they_are_killed() -> None:
    assert limits.LINKS_S["verify"] > verify.LIMIT_S + 2 * verify.ANSWER_S
    assert limits.LINKS_S["pointer"] > pointer.SERVED_S + 4 * nameservers.QUERY_S


def test_the_keeper_refuses_before_it_is_killed() -> None:
    """Killed it would refuse as well, and say nothing."""
    asked = witness_bucket.ATTEMPTS * witness_bucket.ANSWER_S  # the newest epoch's object
    names = len(nameservers.ASKED) * nameservers.QUERY_S
    assert (
        limits.LINKS_S["keeper"]
        > 2 * (witness_bucket.LIST_S + witness_bucket.ANSWER_S * witness_bucket.ATTEMPTS) + asked + names
    )


@pytest.mark.parametrize("arguments", [[], ["fencing"], ["fence", "verify"]])
def test_whoever_names_no_link_is_told_all_of_them(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"usage: python -m scripts.links {'|'.join(LINKS)} < document.json\n"


@pytest.mark.parametrize("link", LINKS)
def test_a_link_loads_itself_and_no_other(link: str) -> None:
    told = f"""
import io, json, sys
sys.stdin = io.StringIO("[]")
from scripts.links.__main__ import main
assert main([{link!r}]) == 2
print(json.dumps(sorted(name for name in sys.modules if name.startswith("scripts.links."))))
"""
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert loaded & set(LINKS.values()) == {LINKS[link]}
    assert (
        done.stderr
        == f"ERROR {link}: document of {link}: found a list, wanted an object; nothing was changed; correct the document\n"
    )
