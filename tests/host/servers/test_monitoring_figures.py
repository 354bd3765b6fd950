"""What real exporters export, scraped by real Prometheis with the configuration of hosts: every metric of the table, every target, an alert of a dead one."""

from __future__ import annotations

import urllib.error
import urllib.parse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contract import fields
from contract.monitoring.metrics import ALERTMANAGER, BLACKBOX, METRICS, NODE, PROMETHEUS, SURVEY
from contract.survey import HostSurvey
from scripts.host.host.monitoring import config, figures
from tests.host.servers.monitoring_rig import Rig, until

# What Prometheus makes itself of each target.
OWN = {"up"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("figures"))
    try:
        for control in (made.a, made.b):
            control.exporter()
            control.alertmanager()
        made.a.prometheus()
        yield made
    finally:
        made.close()


def test_every_target_of_both_sites_that_is_there_answers_over_tls(rig: Rig) -> None:
    def up() -> bool:
        targets = rig.a.json(config.PROMETHEUS, "/api/v1/targets")["data"]["activeTargets"]
        down = {(it["labels"]["job"], it["labels"]["host"]) for it in targets if it["health"] != "up"}
        return down == {("prometheus", "control-1.b")}  # which this test has not started

    until("all but the one that is not there answer", up)
    assert {it["metric"]["site"] for it in rig.a.series('up{job="node"} == 1')} == {"a", "b"}


def test_each_metric_of_the_table_is_exported_by_the_versions_of_this_machine(rig: Rig) -> None:
    until("rules were judged", lambda: rig.a.series('ALERTS{alertname="Watchdog"}'))
    ports = {NODE: config.FIGURES, PROMETHEUS: config.PROMETHEUS, ALERTMANAGER: config.ALERTS}
    for by, port in ports.items():
        wanted = {it.name for it in METRICS if it.by == by} - OWN
        assert wanted <= rig.a.exported(port), f"{by}: {wanted - rig.a.exported(port)} is not exported"
    for metric in (it for it in METRICS if it.by == BLACKBOX and not it.name.startswith("probe_ssl")):
        until(f"{metric.name} is there", partial(rig.a.series, metric.name))
    labels = {name for it in rig.a.series("up") for name in it["metric"]}
    assert {"host", "kind", "site"} <= labels


def test_figures_of_a_host_reach_prometheus_as_the_table_names_them(rig: Rig) -> None:
    facts = {"at": 1.0, "role": {"role": "primary", "epoch": 7}, "postgres": {"running": True, "lag_bytes": 5}}
    folder = rig.a.folder / "figures"
    # As on a host: a link into the job's own folder.
    (rig.a.folder / "own.prom").write_text(figures.rendered("db-1", figures.derived(facts, 2.0)))
    (folder / "dr_host.prom").symlink_to(rig.a.folder / "own.prom")
    until("they are there", lambda: rig.a.series("dr_role_epoch == 7"))
    assert [it["value"][1] for it in rig.a.series('dr_role{role="primary"}')] == ["1"]
    assert not rig.a.series("node_textfile_scrape_error == 1")


def test_what_an_owned_host_tells_is_under_its_own_name_of_now_and_has_an_end(rig: Rig) -> None:
    path = rig.a.folder / "figures/owned.prom"
    told = '# TYPE {0} gauge\n{0}{{host="db-1.b",site="b"{1}}} 9\n'
    path.write_text(told.format("dr_role_epoch_x", "") + told.format("ALERTS", ',alertstate="firing",alertname="X"'))
    until("it is heard", lambda: rig.a.series("dr_role_epoch_x"))
    assert not rig.a.series('dr_role_epoch_x{host="db-1.b"}') and not rig.a.series('ALERTS{alertname="X"}')
    many = "".join(f'flood{{n="{number}"}} 1\n' for number in range(config.BOUNDS["sample_limit"] + 1))
    path.write_text(f"# TYPE flood gauge\n{many}")
    until("it counts for down", lambda: rig.a.series('up{job="node",host="control-1.a"} == 0'))
    assert not rig.a.series("flood")
    path.unlink()
    until("it is heard again", lambda: rig.a.series('up{job="node",host="control-1.a"} == 1'))


def test_nobody_is_let_in_without_a_certificate_and_nothing_listens_elsewhere(rig: Rig) -> None:
    for port in (config.FIGURES, config.PROMETHEUS, config.ALERTS):
        assert rig.a.ask(port, "/metrics"), "with one"
        with pytest.raises((urllib.error.URLError, OSError)):
            rig.a.ask(port, "/metrics", named=False)
    pids = {str(it.pid) for it in rig.a.running.values()}
    mine = {address for address, pid in listening() if pid in pids}
    assert {it.rpartition(":")[0] for it in mine} <= {rig.a.address, "127.0.0.1"}
    assert {it for it in mine if it.startswith("127.0.0.1:")} == {config.PROBER}


def listening() -> Iterator[tuple[str, str]]:
    """Address:port of each TCP listener, and the process that has it."""
    owners = {}
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            owners[str(path.readlink())] = path.parts[2]
        except OSError:
            continue
    for name, width in (("tcp", 8), ("tcp6", 32)):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            it = line.split()
            address, _, port = it[1].partition(":")
            if it[3] == "0A" and (owner := owners.get(f"socket:[{it[9]}]")):
                raw = bytes.fromhex(address[-8:])[::-1] if width == 8 or address.startswith("0" * 16) else b""
                yield f"{'.'.join(map(str, raw))}:{int(port, 16)}", owner


def test_a_region_of_which_nothing_answers_is_told_and_so_is_its_return(rig: Rig) -> None:
    rig.together()
    rig.b.stop("node")
    until("somebody is paged", lambda: any("RegionGone" in str(it) for it in rig.sink.got["/pager"]))
    told = next(it for it in rig.sink.got["/pager"] if "RegionGone" in str(it))
    assert "no host of region b answers region a" in told["payload"]["summary"]
    rig.b.exporter()
    until(
        "it is over",
        lambda: any(
            it["event_action"] == "resolve" and it["dedup_key"] == told["dedup_key"] for it in rig.sink.got["/pager"]
        ),
    )
    assert not rig.sink.faults


def test_every_path_of_the_table_is_one_that_a_host_says_something_at() -> None:
    derived = {
        "silent_count",
        "failed_count",
        "certificate_ends",
        "agent.witness_up",
        "agent.counterpart_grants",
        "agent.left_s",
    }
    # What servers count themselves is asked of real ones in test_monitoring_boards.py.
    for metric in (it for it in METRICS if it.by == SURVEY and not it.path.startswith("inside.")):
        cls: Any = HostSurvey
        for part in metric.path.split(".") if metric.path not in derived else ():
            known = fields.keys(cls)
            assert part in known, f"{metric.name}: nothing at {metric.path}"
            cls = known[part][1].of
