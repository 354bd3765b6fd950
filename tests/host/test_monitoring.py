"""How monitoring is put on a host and taken away, what it is told there, and a host's own figures."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from contract import fields
from contract.buckets import Bucket
from contract.documents import Envelope, Host, Tls
from contract.errors import Failed, Usage
from contract.hosts import CONTROL, KINDS
from contract.monitoring.metrics import METRICS, SURVEY
from contract.services.monitoring import Block, Email, RemoteWrite, Watch
from contract.services.status_page import StatusPage
from scripts.host.frame import plan
from scripts.host.frame.call import Call
from scripts.host.frame.commands import Done
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.host.monitoring import config, figures, service, verbs
from scripts.host.host.monitoring.page import job
from scripts.host.host.monitoring.service import Desired, Monitoring, figures_unit
from scripts.host.host.monitoring.verbs import NODE, TIMER, WATCHERS
from scripts.host.host.survey import FIGURED_S, UNFIGURED
from tests.unit.played_survey import host as played

HOSTS = {
    f"{name}.{site}": Host(
        name=f"{name}.{site}.dr.internal", vrack=f"10.9.{number}.{1 + (site == 'b')}", front="10.1.0.9"
    )
    for number, name in enumerate(("control-1", "db-1", "app-1"))
    for site in "ab"
}
PAGE = StatusPage(bucket="page")
WATCH = Watch(
    shop_host="www.shop.example", max_lag_bytes=1000, max_lag_s=5, slack="https://hooks.example/word", pagerduty="k" * 32,
    webhook="https://hook.example/x", watchdog="https://alive.example/y", entrance="203.0.113.9", archived=True,
    email=Email(to=("a@shop.example", "b@shop.example"), sender="m@shop.example", server="mail.example:587", user="m"), smtp_password="secret word",
    remote_write=RemoteWrite(url="https://store.example/api/v1/write", user="shop"), remote_write_password="store-secret",
    status_page=PAGE,
    page_store=Bucket(endpoint="https://s3.de.example", region="de", bucket="page", access_key="access", secret_key="page-word"),
)  # fmt: skip


@dataclass
class Units:
    """Says what it was asked, in order; a restarted unit runs, also after a boot."""

    well: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)

    def enabled(self, unit: str) -> bool:
        return unit in self.well

    running = active = enabled

    def down(self, unit: str) -> bool:
        return unit not in self.well

    def enable(self, unit: str) -> None:
        self.log.append(f"enable {unit}")

    def disable(self, unit: str) -> None:
        self.log.append(f"disable {unit}")

    def restart(self, unit: str, limit_s: float) -> None:
        self.log.append(f"restart {unit}")
        self.well.add(unit)

    start = reload = restart

    def stop(self, unit: str, limit_s: float) -> bool:
        self.log.append(f"stop {unit}")
        self.well.discard(unit)
        return True

    def daemon_reload(self) -> None:
        self.log.append("daemon-reload")


def document(host: str, *, enabled: bool = True, watch: Watch = WATCH) -> dict[str, Any]:
    told = Envelope(
        site="a", peer="b", host=host, hosts=HOSTS, tls=Tls(ca="the ca\n", cert="own cert\n", key="own key\n")
    )
    block = Block(enabled=enabled, watch=watch if host == "control-1" and enabled else None)
    return {
        **{k: v for k, v in fields.write(told).items() if k not in ("epoch", "request")},
        "monitoring": fields.write(block),
    }


class Ground:
    """A host below a scratch folder."""

    def __init__(self, root: Path, host: str) -> None:
        self.layout, self.host, self.units = Layout(root), host, Units()
        self.installed: list[str] = []
        for folder in ("etc/dr", "var/lib/dr", "run/dr", "var/lib/dpkg", "etc/systemd/system"):
            (root / folder).mkdir(parents=True)
        self.status()

    def status(self) -> None:
        text = "\n\n".join(f"Package: {it}\nStatus: install ok installed\nVersion: 1" for it in self.installed)
        self.layout.at("/var/lib/dpkg/status").write_text(text)

    def install(self, names: Sequence[str]) -> None:
        """As a package does it: what it brings is started at once, with what is there."""
        self.installed += names
        for name in names:
            assert (self.layout.units / f"{name}.service.d/dr.conf").is_file(), f"{name} would listen everywhere"
        self.status()

    def converge(self, *, enabled: bool = True, check: bool = False, watch: Watch = WATCH) -> list[str]:
        """Names of the steps that were done."""
        told = document(self.host, enabled=enabled, watch=watch)
        service = Monitoring(Desired.read(told), self.layout, self.units, self.install)
        log = Log(io.StringIO(), "monitoring converge")
        done = plan.converge(service, Call("monitoring", "converge", told, self.layout, log, check))
        return [it.split()[0] for it in done.actions]


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "USER", "root")


@pytest.fixture(params=["control-1", "db-1"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    return Ground(tmp_path, request.param)


def runs(host: str) -> list[str]:
    return [TIMER, NODE, *((*WATCHERS, job.TIMER) if host == "control-1" else ())]


def test_it_is_put_there_with_what_it_is_told_before_what_starts_by_itself(ground: Ground) -> None:
    assert ground.converge() == ["units", "install", "files", "place", "start"]
    assert [it for it in ground.units.log if it.startswith("restart")] == [f"restart {it}" for it in runs(ground.host)]
    assert ground.converge() == []


def test_one_that_was_stopped_is_started_and_one_that_was_changed_is_put_right(ground: Ground) -> None:
    ground.converge()
    ground.units.well.discard(NODE)
    assert ground.converge() == ["start"]
    (ground.layout.at(config.FOLDER) / "web.yml").write_text("{}")
    assert ground.converge() == ["files", "start"]


def test_what_was_written_and_not_brought_into_force_is_started_by_the_next_run(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.converge()
    (ground.layout.at(config.FOLDER) / "web.yml").write_text("{}")
    with monkeypatch.context() as broken:
        broken.setattr(ground.units, "restart", lambda *_: (_ for _ in ()).throw(Failed("it does not start")))
        with pytest.raises(Failed):
            ground.converge()
    assert ground.converge() == ["files", "start"]


def test_it_is_taken_away_whole_and_the_hosts_own_files_stay(ground: Ground) -> None:
    ground.converge()
    (ground.layout.etc / "host.key").write_text("own key\n")
    ground.units.log.clear()
    assert ground.converge(enabled=False) == ["off"]
    assert not ground.units.well
    assert not list(ground.layout.at(config.FOLDER).glob("*")), "the host's key lies there"
    assert (ground.layout.etc / "host.key").exists()
    assert {f"disable {it}" for it in runs(ground.host)} <= set(ground.units.log)
    assert ground.converge(enabled=False) == []


def test_what_was_begun_and_has_no_packages_is_taken_away_too(ground: Ground) -> None:
    def none(names: Sequence[str]) -> None:
        raise Failed("no mirror answers")

    ground.install = none  # type: ignore[method-assign]
    with pytest.raises(Failed):
        ground.converge()
    ground.units.log.clear()
    assert ground.converge(enabled=False) == ["off"]
    assert not [it for it in ground.units.log if it.startswith("disable")], "there is no such unit"


def test_a_host_that_watches_nobody_is_told_no_word_of_receivers() -> None:
    assert "secret" not in json.dumps(document("db-1"))


def test_who_may_read_what_lies_there(ground: Ground) -> None:
    ground.converge()
    for path in ground.layout.at(config.FOLDER).iterdir():
        assert path.stat().st_mode & 0o7777 == 0o640, path.name


def test_a_mail_server_that_asks_who_it_is_needs_a_password() -> None:
    told = document("control-1")
    told["monitoring"]["watch"]["smtp_password"] = None
    with pytest.raises(Usage, match="smtp_password"):
        Desired.read(told)


# --- the page for customers


def test_a_control_host_writes_a_page_where_there_is_to_be_one_and_its_key_is_roots_alone(tmp_path: Path) -> None:
    ground = Ground(tmp_path, "control-1")
    without = replace(WATCH, status_page=None, page_store=None)
    ground.converge(watch=without)
    assert not any(path.exists() for path in job.every(ground.layout))
    assert ground.converge() == ["units", "start"]
    assert all(path.exists() for path in job.every(ground.layout)) and job.TIMER in ground.units.well
    key = ground.layout.etc / job.PLACE
    assert "page-word" in key.read_text() and key.stat().st_mode & 0o777 == 0o600
    readable = (ground.layout.etc / job.TERMS, ground.layout.units / job.SERVICE, ground.layout.units / job.TIMER)
    assert not any("page-word" in path.read_text() for path in readable)
    assert ground.converge() == []
    assert ground.converge(watch=replace(WATCH, status_page=replace(PAGE, every_s=60))) == ["units", "start"]
    assert ground.converge(watch=without) == ["page-off"]
    assert not any(path.exists() for path in job.every(ground.layout)) and job.TIMER not in ground.units.well
    assert ground.converge(watch=without) == []


def test_the_pages_job_has_nothing_but_what_it_is_handed(tmp_path: Path) -> None:
    ground = Ground(tmp_path, "control-1")
    ground.converge()
    unit = (ground.layout.units / job.SERVICE).read_text()
    assert "DynamicUser=yes" in unit and "CapabilityBoundingSet=\n" in unit and "ProtectSystem=strict" in unit
    handed = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("LoadCredential=")]
    assert handed == [f"{it}:/etc/dr/{it}" for it in ("ca.pem", "host.crt", "host.key", job.PLACE)]
    (ground.layout.etc / "witness.json").write_text("{}")
    assert ground.converge() == ["units", "start"]
    assert "LoadCredential=witness.json:/etc/dr/witness.json" in (ground.layout.units / job.SERVICE).read_text()


def test_a_page_without_a_place_is_refused() -> None:
    told = document("control-1")
    told["monitoring"]["watch"]["page_store"] = None
    with pytest.raises(Usage, match="page_store"):
        Desired.read(told)


# --- what they are told

PLACE = config.Place("a", "control-1", HOSTS)


def test_prometheus_looks_at_each_host_of_both_sites_under_its_name() -> None:
    made = config.prometheus(PLACE, WATCH)
    node = next(it for it in made["scrape_configs"] if it["job_name"] == "node")
    assert {it["labels"]["host"]: it["targets"] for it in node["static_configs"]} == {
        key: [f"{host.vrack}:9100"] for key, host in HOSTS.items()
    }
    assert all(it.get("scheme") == "https" for it in made["scrape_configs"] if "127.0.0.1" not in json.dumps(it))
    told = made["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert told == [f"{HOSTS[key].vrack}:9093" for key in ("control-1.a", "control-1.b")], "both are told"


def test_the_page_for_customers_is_asked_for_where_they_are_told_that_it_is_and_nowhere_by_itself() -> None:
    def asked(watch: Watch) -> list[str]:
        return [it["params"]["target"][0] for it in config.prometheus(PLACE, watch)["scrape_configs"] if "params" in it]

    for address in ("https://status.example/index.html", "http://shop.s3-website.example/"):
        told = replace(WATCH, status_page=replace(PAGE, public=True, address=address))
        assert [*asked(WATCH), address] == asked(told)
        page = config.blackbox(PLACE, told)["modules"]["page"]["http"]
        assert page["fail_if_not_ssl"] is address.startswith("https"), "no way round TLS where it is told"
        assert "tls_config" not in page, "customers have the CAs that everybody has"
    assert "page" not in config.blackbox(PLACE, WATCH)["modules"]
    assert "page" not in config.blackbox(PLACE, replace(WATCH, status_page=None))["modules"]


def test_nothing_is_started_on_another_address_than_the_vracks() -> None:
    arguments = [
        *config.node_arguments(PLACE, "/x"),
        *config.prometheus_arguments(PLACE, WATCH, "/x"),
        *config.alertmanager_arguments(PLACE, "/x"),
        *config.blackbox_arguments(PLACE),
    ]
    listens = [it.partition("=")[2] for it in arguments if "listen-address" in it]
    assert len(listens) == 5
    assert {it.rpartition(":")[0] for it in listens} == {PLACE.own.vrack, "127.0.0.1"}
    assert sum("web.config.file" in it for it in arguments) == 3, "the prober alone has none, and is on loopback"


def test_ways_of_telling_are_those_whose_words_are_there() -> None:
    none = Watch(shop_host="www.shop.example", max_lag_bytes=1, max_lag_s=1)
    assert [set(it) for it in config.alertmanager(none)["receivers"]] == [{"name"}] * 2
    document = config.alertmanager(WATCH)
    kinds = {it["name"]: sorted(set(it) - {"name"}) for it in document["receivers"]}
    assert kinds == {
        "nobody": [], "mail": ["email_configs"], "slack": ["slack_configs"], "webhook": ["webhook_configs"],
        "pager": ["pagerduty_configs"], "watchdog": ["webhook_configs"],
    }, "those of one receiver would wait for each other"  # fmt: skip
    routes = [(it["receiver"], it["matchers"][0], it.get("continue", False)) for it in document["route"]["routes"]]
    page, rest = 'severity="page"', 'severity!~"page|none"'
    assert routes == [
        ("watchdog", 'severity="none"', False),
        *((way, page, True) for way in ("mail", "slack", "webhook", "pager")),
        *((way, rest, True) for way in ("mail", "slack", "webhook")),
    ]


def test_that_the_one_way_of_warnings_fails_is_told_by_the_pager_and_no_other_warning_is() -> None:
    """With two of them either tells of the other."""
    two = replace(WATCH, email=None, webhook=None)
    for watch, wanted in ((two, True), (replace(two, webhook=WATCH.webhook), False), (replace(two, slack=None), False)):
        routes = config.alertmanager(watch)["route"]["routes"]
        found = [it["matchers"] for it in routes if it["receiver"] == "pager" and it["matchers"] != ['severity="page"']]
        assert found == ([['alertname=~"MessagesFail|MailHangs"']] if wanted else [])


def test_a_prometheus_without_room_is_ended_by_the_job_of_figures_and_does_not_begin(tmp_path: Path) -> None:
    """By the words of both units, as systemd hands them to a shell; what they do to a real one is in servers/test_monitoring_faults.py."""
    begins = Monitoring(Desired.read(document("control-1")), Layout(tmp_path)).early()
    units = {f"{it.path.parent.name}/{it.path.name}": it.content for it in begins}
    first = re.search(r"^ExecStartPre=/bin/sh -c '(.*)'$", units["prometheus.service.d/dr.conf"], re.MULTILINE)
    ends = re.search(r"^ExecStartPre=-\+/bin/sh -c '(.*)'$", units["system/dr-figures.service"], re.MULTILINE)
    assert first and ends
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n')
    (tmp_path / "stat").write_text('#!/bin/sh\necho "$FREE*1048576"\n')
    for name in ("systemctl", "stat"):
        (tmp_path / name).chmod(0o755)

    def run(words: str, free: int, folder: Path) -> int:
        told = words.replace("$$", "$").replace("%%", "%").replace("/var/lib/prometheus/metrics2", str(folder))
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "FREE": str(free)}
        return subprocess.run(["sh", "-c", told], env=environment, check=False).returncode

    for free, starts in ((64, True), (63, False), (0, False)):
        assert (run(first[1], free, tmp_path) == 0) is starts, free
    assert run(first[1], 64, tmp_path / "none") != 0
    for free, told in ((16, 0), (15, 1), (0, 2)):
        run(ends[1], free, tmp_path)
        said = tmp_path / "said"
        assert (said.read_text() if said.exists() else "") == "kill -s KILL prometheus.service\n" * told
    db = {it.path.name: it.content for it in Monitoring(Desired.read(document("db-1")), Layout(tmp_path)).early()}
    assert "systemctl" not in db["dr-figures.service"], "where nobody watches"


def test_a_certificate_is_read_once_and_again_when_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run(argv: list[str], **_: Any) -> Done:
        asked.append(argv[-1])
        return Done(0, f"notAfter=Jan  {len(asked)} 00:00:00 2030 GMT\n", "")

    monkeypatch.setattr(figures, "run", run)
    certificate, known = tmp_path / "host.crt", tmp_path / "run/known"
    assert figures.ends(certificate, known) is None and not asked, "there is none"
    certificate.write_text("one")
    first = figures.ends(certificate, known)
    assert first == figures.ends(certificate, known) == 1_893_456_000 and len(asked) == 1
    certificate.write_text("another")
    assert figures.ends(certificate, known) == 1_893_542_400
    known.write_text("what nobody has written")
    assert figures.ends(certificate, known) == 1_893_628_800


def test_what_waits_for_figures_ends_before_its_unit_is_ended() -> None:
    limit = re.search(r"TimeoutStartSec=(\d+)", figures_unit(watches=True))
    assert limit and int(limit[1]) >= FIGURED_S + 5


def test_figures_go_to_the_store_that_is_configured_and_to_none_otherwise() -> None:
    (store,) = config.prometheus(PLACE, WATCH)["remote_write"]
    assert store["basic_auth"] == {"username": "shop", "password_file": "/etc/dr/monitoring/store.secret"}
    assert "headers" not in store and not store["follow_redirects"]
    assert "store-secret" not in json.dumps(config.prometheus(PLACE, WATCH))
    token = replace(
        WATCH,
        remote_write=RemoteWrite(url="https://store.example/", tenant_header="X-Scope-OrgID", tenant="team-7"),
        remote_write_token="t",
    )
    (store,) = config.prometheus(PLACE, token)["remote_write"]
    assert store["authorization"] == {"credentials_file": "/etc/dr/monitoring/store.secret"}
    assert store["headers"] == {"X-Scope-OrgID": "team-7"} and "basic_auth" not in store
    nobody = replace(token, remote_write_token=None)
    assert not {"authorization", "basic_auth"} & set(config.prometheus(PLACE, nobody)["remote_write"][0])
    none = replace(WATCH, remote_write=None)
    assert "remote_write" not in config.prometheus(PLACE, none) and none.store_secret is None
    told = [
        it["alert"] for watch in (WATCH, none) for group in config.alert_rules(watch)["groups"] for it in group["rules"]
    ]
    assert told.count("RemoteWriteFails") == 1


def test_what_waits_for_a_store_takes_a_few_megabytes_at_most() -> None:
    queue = config.prometheus(PLACE, WATCH)["remote_write"][0]["queue_config"]
    assert queue["max_shards"] * (queue["capacity"] + queue["max_samples_per_send"]) <= 10_000


def test_the_stores_word_lies_in_a_file_of_its_own(ground: Ground) -> None:
    ground.converge()
    lies = [it.name for it in ground.layout.at(config.FOLDER).iterdir() if "store-secret" in it.read_text()]
    assert lies == (["store.secret"] if ground.host == "control-1" else [])


def test_a_store_that_asks_who_it_is_needs_a_password_and_a_header_something_to_say() -> None:
    told = document("control-1")
    told["monitoring"]["watch"]["remote_write_password"] = None
    with pytest.raises(Usage, match="remote_write_password"):
        Desired.read(told)
    told = document("control-1")
    told["monitoring"]["watch"]["remote_write"]["tenant"] = "team-7"
    with pytest.raises(Usage, match="tenant_header"):
        Desired.read(told)


# --- a host's own figures


def samples(text: str) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def told(host: str = "db-1") -> dict[str, Any]:
    """Of a survey as hosts of the tests play it."""
    return dict(fields.write(played("a", host)))


def test_a_hosts_figures_are_those_of_the_table() -> None:
    facts = told()
    made = samples(figures.rendered("db-1", figures.derived(facts, 5e8)))
    assert made['dr_role{role="primary"}'] == "1" and made['dr_role{role="standby"}'] == "0"
    assert made["dr_postgres_in_recovery"] == "0" and made["dr_postgres_replication_lag_bytes"] == "0"
    assert made["dr_host_certificate_expiry_timestamp_seconds"] == "500000000"
    names = {it.partition("{")[0] for it in made}
    assert names <= {it.name for it in METRICS if it.by == SURVEY and "db" in it.on}


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_that_knows_nothing_of_its_services_says_so_by_silence(kind: str) -> None:
    made = samples(figures.rendered(f"{kind}-1", figures.derived({"silent": ["redis"], "agent": None}, None)))
    assert made == {"dr_host_silent_services": "1", "dr_host_failed_units": "0"}


@pytest.mark.parametrize(
    ("lease", "silent", "left"), [({"lease_s": 30}, 12.5, "17.5"), ({"lease_s": 30}, 40, "0"), ("off", 3, None), (None, 3, None), ({"lease_s": 30}, None, None)]
)  # fmt: skip
def test_what_is_left_of_a_lease(lease: Any, silent: float | None, left: str | None) -> None:
    facts = {"agent": {"lease": lease, "silent_s": silent, "witness": "answers", "counterpart": "is silent"}}
    made = samples(figures.rendered("db-1", figures.derived(facts, None)))
    assert made.get("dr_lease_left_seconds") == left
    assert (made["dr_agent_witness_up"], made["dr_agent_counterpart_grants"]) == ("1", "0")


def test_a_text_of_a_host_ends_no_label_and_no_line() -> None:
    facts = {"version": 'a"} 1\ndr_role{role="primary\\"} 1'}
    made = figures.rendered("app-1", figures.derived(facts, None)).splitlines()
    assert [it for it in made if it.startswith("dr_role{")] == []
    line = next(it for it in made if it.startswith("dr_host_software"))
    assert line.startswith('dr_host_software{version="a\\"} 1 dr_role{role=\\"primary\\\\\\"} 1"} 1')


def test_no_figure_is_made_of_what_is_not_asked_for_them() -> None:
    left_out = {it.path for it in METRICS if it.by == SURVEY and it.path.partition(".")[0] in UNFIGURED}
    assert left_out == set()


def test_what_a_timer_runs_twice_a_minute_reads_no_more_than_it_takes() -> None:
    """Starting is most of what it costs: a host has one kind of server, and converges seldom."""
    asked = "import sys, scripts.host.host.monitoring.verbs; print(*sys.modules)"
    read = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    rooms = {
        name for name in read if re.fullmatch(r"scripts\.host\.(host\.verbs|redis|app|agent|host\.certificate).*", name)
    }
    assert rooms == set()
    assert "scripts.host.host.monitoring.service" not in read


def test_figures_are_written_for_the_collector_whole(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.converge()
    monkeypatch.setattr(verbs, "figured", lambda call, more: {"at": 7.0, **dict.fromkeys(more)})
    call = Call("monitoring", "metrics", {}, ground.layout, Log(io.StringIO(), "monitoring metrics"))
    verbs.metrics(call)
    link = ground.layout.at("/var/lib/prometheus/node-exporter/dr_host.prom")
    assert "dr_host_survey_timestamp_seconds 7\n" in link.read_text()
    assert link.stat().st_mode & 0o444 == 0o444


def test_a_host_that_monitoring_was_never_put_on_says_what_to_do(tmp_path: Path) -> None:
    ground = Ground(tmp_path, "db-1")
    call = Call("monitoring", "metrics", {}, ground.layout, Log(io.StringIO(), "monitoring metrics"))
    with pytest.raises(Failed, match="set dr:monitoring"):
        verbs.metrics(call)
    assert verbs.status(call).facts["on"] is False


def test_control_hosts_are_the_kind_that_watches() -> None:
    assert PLACE.watching == [f"{CONTROL}-1.a", f"{CONTROL}-1.b"]
