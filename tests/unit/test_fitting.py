"""What a release starts, against what it is given: sessions at the database, and a cache that loses no jobs."""

from __future__ import annotations

from typing import Any

import pytest

from components import bundle, config, fitting
from components.settings import Settings
from contract.errors import Fault
from contract.services.postgres import CONNECTIONS, FOR_PEER
from contract.services.processes import Found, processes
from scripts.host.postgres import roles
from scripts.host.postgres.config import _LIMITS
from tests.components.stack import ROOT, configuration

PROCFILE = "web: bundle exec puma\nworker: bundle exec sidekiq -t 15\nrelease: bin/rails db:migrate\n"
BUSY = {"hosts": 2, "workers": 6, "threads": 6, "processes": {"worker": {"count": 2}}}
LIMIT = "dr:postgres.parameters.max_connections"


def told(**changes: Any) -> Settings:
    """The example with keys of its sections changed: `app={"threads": 9}`."""
    values = configuration()
    for section, keys in changes.items():
        values[section] = {**values[section], **keys}
    return config.parse(values)


def found(settings: Settings, text: str = PROCFILE) -> list[Found]:
    return processes(text, settings.app.processes)[0]


def misfits(settings: Settings, text: str | None = PROCFILE) -> dict[str, Fault]:
    """By their subjects."""
    faults = fitting.misfits(settings, None if text is None else found(settings, text))
    assert len({it.subject for it in faults}) == len(faults)
    return {it.subject: it for it in faults}


def test_the_example_fits() -> None:
    settings = told()
    packed = bundle.release(ROOT, settings.shop.release, settings.app.processes, settings.app.release_max_mb)
    assert packed.processes is not None and {it.name for it in packed.processes} == {"web", "worker", "release"}
    assert fitting.misfits(settings, packed.processes) == fitting.misfits(settings, None) == []


def test_what_does_not_fit_is_told_with_its_figures() -> None:
    """2 hosts x 6 Pumas x 6 threads, as many Pumas warm in the standby, one host of it beside itself, 2 x 2 workers of 6 threads, 2 of a migration:
    146 of 94.
    """
    settings = told(app=BUSY, redis={"scripting": True})
    (fault,) = fitting.misfits(settings, found(settings))
    assert fault.subject == LIMIT
    assert fault.found.startswith("100, of which the shop may hold 94 (3 are for superusers, 3 for the other region's")
    assert fault.wanted == (
        "152 or more: the shop may want 146 "
        "(web 2 hosts x 6 x 6 threads, web of the standby 2 x 6 x 1, web beside itself 1 x 6 x 6, release 2, worker 2 hosts x 2 x 6 threads)"
    )
    assert "set it to 152 or more in dr:postgres.parameters" in fault.remedy


@pytest.mark.parametrize(("limit", "fits"), [("152", True), ("151", False)])
def test_what_is_wanted_is_enough_and_one_less_is_not(limit: str, fits: bool) -> None:
    settings = told(app=BUSY, redis={"scripting": True}, postgres={"parameters": {"max_connections": limit}})
    assert (LIMIT not in misfits(settings)) is fits


@pytest.mark.parametrize(
    ("keys", "sessions"),
    [
        ({"count": 3}, 30),
        ({"count": 0}, 0),
        ({"active_only": False}, 20),
        ({"schedule": "30 4 * * *"}, 1),
    ],
)
def test_a_process_is_counted_where_it_runs(keys: dict[str, Any], sessions: int) -> None:
    settings = told(app={"hosts": 2, "workers": 0, "threads": 5, "processes": {"worker": keys}})
    rows = fitting.uses(settings.app, found(settings))
    assert sum(it.sessions for it in rows) == 2 * 5 + 2 + 5 + 2 + sessions
    assert rows[0].words == "web 2 hosts x 1 x 5 threads", "a Puma without workers is one process"


@pytest.mark.parametrize("name", ["superuser_reserved_connections", "reserved_connections"])
def test_sessions_that_are_kept_for_others_are_not_the_shops(name: str) -> None:
    settings = told(postgres={"parameters": {"max_connections": "60", name: "40"}}, redis={"scripting": True})
    assert f"are for superusers, {3} for the other" in misfits(settings)[LIMIT].found


def test_a_limit_in_another_spelling_is_the_servers_to_read() -> None:
    assert LIMIT not in misfits(told(postgres={"parameters": {"max_connections": "0x10"}}))


def test_of_a_release_in_the_buckets_what_is_configured_is_counted_and_the_rest_is_said() -> None:
    busy = told(app={"processes": {"worker": {"count": 9}, "nightly": {"schedule": "30 4 * * *"}}})
    fault = misfits(busy, None)[LIMIT]
    assert "web 2 hosts x 1 x 5 threads" in fault.wanted and "worker 2 hosts x 9 x 5 threads, nightly 1" in fault.wanted
    assert "what its Procfile starts beside these is not known here" in fault.wanted
    assert "not known" not in misfits(busy, "web: x\nworker: y\nnightly: z\n")[LIMIT].wanted


def test_the_hosts_hold_the_shop_to_the_same_figures() -> None:
    """The database's own limit, which stands in the text that hosts run."""
    assert "'max_connections')::int - current_setting('superuser_reserved_connections')::int" in roles._SHOPS
    assert f"- {FOR_PEER})" in roles._SHOPS and _LIMITS["max_connections"] == str(CONNECTIONS)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
@pytest.mark.parametrize("command", ["bundle exec sidekiq -t 15", "bin/sidekiqswarm", "rake resque:work QUEUE=*"])
def test_a_policy_that_loses_jobs_is_refused(policy: str, command: str) -> None:
    settings = told(redis={"maxmemory_policy": policy, "scripting": True})
    fault = misfits(settings, f"web: puma\njobs: {command}\n")["dr:redis.maxmemory_policy"]
    assert f"'{policy}', while jobs runs" in fault.found and "set volatile-lru" in fault.remedy


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-ttl", "noeviction"])
def test_a_policy_that_loses_none_is_taken(policy: str) -> None:
    assert misfits(told(redis={"maxmemory_policy": policy, "scripting": True})) == {}


@pytest.mark.parametrize("text", ["web: puma\nworker: bin/jobs\n", "web: puma -C config/presidekiq.rb\n"])
def test_a_shop_whose_jobs_are_elsewhere_may_lose_what_it_caches(text: str) -> None:
    assert misfits(told(redis={"maxmemory_policy": "allkeys-lru"}), text) == {}


def test_a_command_of_the_configuration_counts_and_a_process_that_does_not_run_does_not() -> None:
    jobs = {"command": "bundle exec sidekiq"}
    policy = {"maxmemory_policy": "allkeys-lru", "scripting": True}
    assert set(misfits(told(app={"processes": {"jobs": jobs}}, redis=policy), None)) == {"dr:redis.maxmemory_policy"}
    assert misfits(told(app={"processes": {"jobs": {**jobs, "count": 0}}}, redis=policy), None) == {}


def test_a_sidekiq_that_may_run_no_scripts_is_refused_before_it_ends_at_its_start() -> None:
    fault = misfits(told(redis={"scripting": False}))["dr:redis.scripting"]
    assert fault.found == "false, while worker runs Sidekiq" and fault.wanted == "true"
    assert misfits(told(redis={"scripting": False}), "web: puma\njobs: rake resque:work\n") == {}
