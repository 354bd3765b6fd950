"""The app of a host: what is done in which order, what its files say."""

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import Failed, Refused, Usage
from contract.services.environment import OWN
from contract.services.processes import processes
from scripts.ctl.stacks.secrets import generate
from scripts.host.app import service, spare, well
from scripts.host.app.config import Desired, environment, environment_file, own_environment
from scripts.host.app.files import groups, of_nginx
from scripts.host.app.names import CACHES_UNIT, HAPROXY, NGINX, PUMA, RETRIES, SERVES, SPARE, WEB
from scripts.host.app.names import RELEASE as MIGRATE
from scripts.host.app.plan import Facts, Wanted, plan
from scripts.host.app.schema import schema_question
from scripts.host.app.service import App
from scripts.host.app.units import units
from scripts.host.app.web import cable, nginx
from scripts.host.frame import systemd, users
from scripts.host.frame.call import Call
from scripts.host.frame.commands import TIMED_OUT, Done
from scripts.host.frame.files import ManagedFile
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.plan import Step
from scripts.host.frame.rolefile import Role
from scripts.host.frame.systemd import Look, Systemd, guard_line

WORKER = "shop-worker.service"
GUARDED = f"[Service]\n{guard_line('app')}"
RELEASE = "/opt/shop/releases/abc"
NAMES = {
    f"{host}.{site}": [f"{host}.{site}.dr.internal"] for site in "ab" for host in ("db-1", "cache-1", "app-1", "app-2")
}
SECRETS = generate(NAMES, "www.shop.example", {})


def document(active="a", **block):
    octets = {"db-1": 11, "cache-1": 21, "app-1": 41, "app-2": 42}
    hosts = {
        f"{host}.{site}": {
            "name": f"{host}.{site}.dr.internal",
            "vrack": f"10.100.0.{octet + (100 if site == 'b' else 0)}",
            "front": "10.1.0.9",
        }
        for host, octet in octets.items()
        for site in "ab"
    }
    return {
        "schema": 1,
        "site": "a",
        "peer": "b",
        "host": "app-1",
        "epoch": {"epoch": 3, "active": active, "previous": None, "planned": True, "checkpoint": None},
        "hosts": hosts,
        "tls": {"ca": "ca", "cert": "cert", "key": "key"},
        "app": {
            "release": RELEASE,
            "shop_host": "www.shop.example",
            "shop_tls": {key: SECRETS["tls"]["shop"][key] for key in ("cert", "key")},
            "secret_key_base": "base",
            "databases": ["db-1.a", "db-1.b"],
            "database": "shop",
            "database_password": "p'w\"d\\$x%é",
            "caches": ["cache-1.a", "cache-1.b"],
            "database_tls": SECRETS["tls"]["database"]["clients"]["shop"],
            "worker_tls": SECRETS["tls"]["database"]["clients"]["shop_worker"],
            "cache_password": "c'w\"d\\$x%é",
            "cache_tls": {"ca": SECRETS["tls"]["cache"]["ca"], **SECRETS["tls"]["cache"]["clients"]["shop"]},
            "assets": {
                "endpoint": "http://s3",
                "region": "gra",
                "bucket": "assets",
                "access_key": "key",
                "secret_key": "hidden",
            },
            "peer_apps": ["app-1.b", "app-2.b"],
            "balancers": ["10.1.0.5/32"],
            "threads": 5,
            "workers": 1,
        }
        | block,
    }


ALL = frozenset({WEB, NGINX, CACHES_UNIT, WORKER})
SERVING = Facts(
    user=True,
    release_there=True,
    current=RELEASE,
    migrated=f"{RELEASE} 3",
    at_work=ALL,
    enabled=ALL,
    workers=(WORKER,),
    left=(WORKER,),
    serves=True,
    role="primary",
    role_epoch=3,
)
ACTIVE = Wanted(active=True, epoch=3, host="app-1", release=RELEASE, workers=(WORKER,))
IDLE: dict[str, Any] = {
    "at_work": ALL - {WORKER},
    "enabled": ALL - {WORKER},
    "left": (),
}  # of a host whose worker stands
STANDBY = replace(ACTIVE, active=False)


def steps(facts, wanted):
    return [str(step) for step in plan(facts, wanted)]


def test_a_host_that_is_as_wanted_is_left_alone():
    assert steps(SERVING, ACTIVE) == []
    assert steps(replace(SERVING, **IDLE, role="standby", serves=False), STANDBY) == []


def test_a_fresh_active_host_migrates_before_it_serves_and_works_last():
    fresh = Facts(
        user=False,
        release_there=True,
        current=None,
        migrated=None,
        stale_env=("/env",),
        stale_units=("/unit",),
        stale_nginx=("/conf",),
    )
    assert steps(fresh, ACTIVE) == [
        "user",
        "write /env",
        "write /unit",
        "write /conf",
        "daemon-reload",
        "role primary",
        f"ready {RELEASE}",
        f"enable {CACHES_UNIT}",
        f"restart {CACHES_UNIT}",
        f"release {MIGRATE}",
        f"link {RELEASE}",
        f"enable {WEB}",
        f"restart {WEB}",
        "serve",
        f"enable {NGINX}",
        f"restart {NGINX}",
        f"enable {WORKER}",
        f"restart {WORKER}",
    ]


def test_only_the_first_app_host_migrates():
    assert ACTIVE.migration == f"{RELEASE} 3"
    assert replace(ACTIVE, host="app-2").migration is None
    assert STANDBY.migration is None


def test_taking_over_serves_before_anything_slow_and_keeps_nginx_and_puma():
    standby = replace(
        SERVING,
        **IDLE,
        role="standby",
        role_epoch=2,
        migrated=f"{RELEASE} 1",
        serves=False,
    )
    assert steps(standby, ACTIVE) == [
        "role primary",
        "serve",
        f"release {MIGRATE}",
        f"enable {WORKER}",
        f"restart {WORKER}",
    ]


TURN = replace(ACTIVE, turn=True)


def test_a_turn_changes_where_requests_go_and_leaves_what_is_slow_for_the_call_after_it():
    behind = replace(
        SERVING,
        current="/opt/shop/releases/old",
        migrated="/opt/shop/releases/old 1",
        stale_env=("/env",),
        stale_units=("/unit",),
        stale_kernel=("/sysctl",),
        **IDLE,
        role="standby",
        role_epoch=2,
        serves=False,
    )
    assert steps(behind, TURN) == ["role primary", "serve"]
    assert steps(replace(behind, release_there=False), TURN) == ["role primary", "serve"]
    begun = ["role primary", "serve", f"enable {WORKER}", f"begin {WORKER}"]
    assert steps(replace(behind, current=RELEASE, stale_units=()), TURN) == begun, "workers of the release that serves"
    after = steps(replace(behind, role="primary", role_epoch=3, serves=True), ACTIVE)
    assert after == [
        "write /env",
        "write /unit",
        "write /sysctl",
        "kernel",
        "daemon-reload",
        f"ready {RELEASE}",
        f"release {MIGRATE}",
        f"spare {SPARE}",
        f"link {RELEASE}",
        f"restart {WEB}",
        f"enable {WORKER}",
        f"restart {WORKER}",
    ]


def test_a_turn_brings_what_services_that_have_turned_want_to_be_shown_and_nobody_starts_anew():
    renewed = replace(SERVING, stale_shown=("/crt", "/key"), stale_kernel=("/sysctl",))
    assert steps(renewed, TURN) == ["write /crt", "write /key"], (
        "the proof comes next, and the shop may have no connection"
    )
    fresh = replace(renewed, user=False, current=None, at_work=frozenset({NGINX}), workers=(), left=())
    assert steps(fresh, replace(TURN, host="app-2", workers=())) == [], (
        "there is no user yet who could be let read them"
    )
    assert steps(renewed, ACTIVE) == ["write /crt", "write /key", "write /sysctl", "kernel"]


def test_a_turn_to_standby_leaves_no_worker():
    assert steps(replace(SERVING, role_epoch=2), replace(STANDBY, turn=True)) == [
        f"stop {WORKER}",
        f"disable {WORKER}",
        "role standby",
        "forward",
    ]


def test_a_turn_brings_a_release_only_to_the_first_host_and_only_where_none_serves():
    for none in (
        replace(SERVING, current=None, at_work=frozenset(), enabled=frozenset({NGINX}), serves=False, role=None),
        replace(SERVING, at_work=ALL - {WEB}),
    ):
        assert f"restart {WEB}" in steps(none, TURN)
        assert f"restart {WEB}" not in steps(none, replace(TURN, host="app-2"))
    assert f"restart {NGINX}" in steps(replace(SERVING, at_work=frozenset()), replace(TURN, host="app-2"))


def told(tmp_path, turn):
    return App(Desired.read(document(turn=turn)), Layout(tmp_path), Systemd(), Log(io.StringIO(), "app converge"))


def test_a_host_that_has_no_release_yet_turns_without_a_word_and_one_whose_web_is_down_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.host.app.service.HEALTHY_S", 0.0)
    monkeypatch.setattr(Systemd, "look", lambda self, units: {unit: Look("active") for unit in units})
    assert told(tmp_path, True).verify(replace(SERVING, current=None, at_work=frozenset())) == {}
    with pytest.raises(Failed, match="not well: shop-web"):
        told(tmp_path, True).verify(replace(SERVING, at_work=frozenset({NGINX})))
    with pytest.raises(Failed, match="not well: shop-web"):
        told(tmp_path, False).verify(replace(SERVING, current=None, at_work=frozenset({NGINX})))


@pytest.mark.parametrize(
    ("marker", "complete", "loads"),
    [
        (f"{RELEASE} 1", True, False),
        (f"{RELEASE} 1", False, True),
        ("/opt/shop/releases/old 3", True, True),
        ("", True, True),
    ],
)
def test_a_move_loads_no_release_to_learn_that_nothing_is_to_be_migrated(
    tmp_path, monkeypatch, marker, complete, loads
):
    restarted = []
    release = tmp_path / RELEASE.lstrip("/")
    release.mkdir(parents=True)
    (release / "Procfile").write_text(PROCFILE)
    units = SimpleNamespace(restart=lambda unit, limit: restarted.append(unit), daemon_reload=None)
    app = App(Desired.read(document()), Layout(tmp_path), units, Log(io.StringIO(), "app converge"))
    place = tmp_path / "var/lib/dr/app-migrated"
    place.parent.mkdir(parents=True)
    place.write_text(f"{marker}\n")
    monkeypatch.setattr(service, "has_schema", lambda *_: complete)
    app.apply(Step("release", MIGRATE))
    assert restarted == ([MIGRATE] if loads else [])
    assert place.read_text().startswith(f"{RELEASE} ")


def test_becoming_standby_stops_the_worker_first():
    assert steps(replace(SERVING, role_epoch=2), STANDBY) == [
        f"stop {WORKER}",
        f"disable {WORKER}",
        "role standby",
        "forward",
    ]


def test_a_text_that_had_the_role_within_is_taken_over_with_the_role_beside_it():
    """As a version before this one has left it."""
    assert steps(replace(SERVING, serves=False, stale_nginx=("/conf",)), ACTIVE) == [
        "write /conf",
        "serve",
        f"reload {NGINX}",
    ]


def test_a_turn_of_the_role_changes_no_text_of_nginx():
    """A reload closes kept connections, also at the moment in which a customer sends on one."""
    assert nginx(Desired.read(document("a"))) == nginx(Desired.read(document("b")))


@pytest.mark.parametrize("part", ["ca", "cert"])
def test_nginx_reads_the_hosts_own_certificates_anew_where_they_are_others(part):
    """They are `host converge`'s files: by its text alone nginx would show one that has ended, and trust a CA that is trusted no more."""
    told = document()
    renewed = {**told, "tls": {**told["tls"], part: "another"}}
    assert nginx(Desired.read(told)) != nginx(Desired.read(renewed))
    assert "another" not in nginx(Desired.read(renewed)), "a digest of it tells enough"


def test_the_file_that_nginx_looks_at_follows_the_role(tmp_path):
    app = App(Desired.read(document()), Layout(tmp_path), Systemd(), Log(io.StringIO(), "app converge"))
    place = tmp_path / SERVES.lstrip("/")
    place.parent.mkdir(parents=True)
    for step, there in (("forward", False), ("serve", True), ("serve", True), ("forward", False)):
        app.apply(Step(step))
        assert place.is_file() is there


def test_a_new_release_has_its_schema_before_its_code_runs():
    found = steps(replace(SERVING, current="/opt/shop/releases/old", migrated="/opt/shop/releases/old 3"), ACTIVE)
    assert found == [
        "daemon-reload",
        f"ready {RELEASE}",
        f"release {MIGRATE}",
        f"spare {SPARE}",
        f"link {RELEASE}",
        f"restart {WEB}",
        f"restart {WORKER}",
    ]


def test_what_a_killed_run_has_left_beside_the_web_process_goes_on_or_goes():
    left = replace(SERVING, at_work=ALL | {SPARE}, spare_leads=True, due=(WEB,))
    assert steps(left, ACTIVE) == ["daemon-reload", f"restart {WEB}"], (
        "customers are with the one beside: it stays until then"
    )
    assert steps(replace(left, at_work=ALL), ACTIVE) == [
        "daemon-reload", f"unspare {SPARE}", f"spare {SPARE}", f"restart {WEB}",
    ], "it ended, and nginx shall look there no more"  # fmt: skip
    assert steps(replace(left, due=()), ACTIVE) == [f"unspare {SPARE}"]
    assert steps(replace(left, spare_leads=False), ACTIVE) == ["daemon-reload", f"spare {SPARE}", f"restart {WEB}"]
    assert steps(replace(left, spare_leads=False, due=()), ACTIVE) == [f"unspare {SPARE}"]


def test_a_web_process_that_does_not_run_has_nothing_beside_it():
    down = replace(SERVING, at_work=ALL - {WEB})
    assert steps(down, ACTIVE) == [f"restart {WEB}"]


class Manager:
    """A service manager: what was begun anew, and which unit fails to."""

    def __init__(self):
        self.begun, self.failing, self.halted, self.spare = [], set(), [], False

    def each(self, verb, units, limit_s):
        for unit in units:
            if unit in self.failing:
                raise Failed(f"unit {unit}: failed")
            self.begun.append(unit)
            self.spare = self.spare or unit == SPARE

    def restart(self, unit, limit_s):
        self.each("restart", [unit], limit_s)

    reload = restart

    def halt(self, units, limit_s):
        self.halted.append(tuple(units))
        self.spare = self.spare and SPARE not in units
        return True

    def look(self, units):
        down = (MIGRATE, HAPROXY, *(() if self.spare else (SPARE,)))
        return {unit: Look("inactive") if unit in down else Look("active", True) for unit in units}

    def set_all(self, verb, units):
        pass

    def begin(self, units):
        self.begun += units

    def daemon_reload(self):
        self.begun.append("daemon-reload")


PROCFILE = "web: puma -p $PORT\nworker: ruby bin/worker\nrelease: ruby bin/migrate\n"


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """An app host of the active site that runs as wanted, with another release beside the one that runs."""
    monkeypatch.setattr(users, "exists", lambda user: True)
    monkeypatch.setattr(well, "healthy", lambda layout, at=PUMA: True)
    monkeypatch.setattr(spare, "run", lambda argv, **_: Done(0, "", ""))
    monkeypatch.setattr(spare, "make_folder", lambda folder, *_: folder.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(service, "make_folder", lambda folder, *_: folder.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(service, "has_schema", lambda *_: True)
    monkeypatch.setattr(App, "_check_nginx", lambda self: None)
    monkeypatch.setattr(ManagedFile, "differs", lambda self: _text(self.path) != self.content)
    monkeypatch.setattr(ManagedFile, "write", _put)
    units = Manager()

    def turn(**block):
        app = App(Desired.read(document(**block)), Layout(tmp_path), units, Log(io.StringIO(), "app converge"))
        for step in app.plan(app.facts()):
            app.apply(step)
        return app.verify(app.facts())

    for name in ("abc", "new"):
        (tmp_path / "opt/shop/releases" / name).mkdir(parents=True)
        (tmp_path / "opt/shop/releases" / name / "Procfile").write_text(PROCFILE)
    retries = tmp_path / "proc/sys/net/ipv4/tcp_retries2"
    retries.parent.mkdir(parents=True)
    retries.write_text(f"{RETRIES}\n")
    turn()
    units.begun.clear()
    return turn, units


def _text(path):
    return path.read_text() if path.exists() else None


def _put(file):
    file.path.parent.mkdir(parents=True, exist_ok=True)
    file.path.write_text(file.content)


NEWER = "/opt/shop/releases/new"


def test_a_release_whose_migrations_failed_once_runs_after_the_run_that_mends_them(at_work):
    """Its folder is the current one by then, and what runs is the code of before."""
    turn, units = at_work
    units.failing = {MIGRATE}
    with pytest.raises(
        Failed, match=r"process release of new \(migrations\): found it failed.*what ran before goes on"
    ):
        turn(release=NEWER)
    assert units.begun == ["daemon-reload"], "new code wants its schema first"
    units.failing = set()
    units.begun.clear()
    assert turn(release=NEWER)["release"] == NEWER
    assert units.begun == ["daemon-reload", MIGRATE, SPARE, WEB, WORKER]
    units.begun.clear()
    turn(release=NEWER)
    assert units.begun == []


@pytest.mark.parametrize(
    ("failing", "block", "begun"),
    [
        (WEB, {"secret_key_base": "another"}, [WEB, WORKER]),
        (SPARE, {"secret_key_base": "another"}, [SPARE, WEB, WORKER]),
        (WORKER, {"secret_key_base": "another"}, [WORKER]),
        (WORKER, {"processes": {"worker": {"env": {"MORE": "1"}}}}, [WORKER]),
        (CACHES_UNIT, {"caches": ["cache-1.a"]}, [CACHES_UNIT, SPARE, WEB, WORKER]),
        (NGINX, {"client_max_body_mb": 64}, [NGINX]),
    ],
)
def test_what_was_written_in_a_run_that_failed_is_in_force_after_the_next(at_work, failing, block, begun):
    turn, units = at_work
    units.failing = {failing}
    with pytest.raises(Failed):
        turn(**block)
    units.failing = set()
    units.begun.clear()
    turn(**block)
    assert [unit for unit in units.begun if unit != "daemon-reload"] == begun
    units.begun.clear()
    turn(**block)
    assert units.begun == []


def test_a_worker_of_the_standby_that_would_begin_anew_has_nothing_to_do():
    standby = replace(SERVING, **IDLE, role="standby", serves=False, due=(WORKER,))
    assert steps(standby, STANDBY) == []


@pytest.mark.parametrize(
    ("unit", "restarted"), [(WORKER, ["restart"]), (WEB, ["spare", "restart"]), (MIGRATE, []), (SPARE, [])]
)
def test_a_changed_unit_restarts_what_runs_by_it_and_no_other(unit, restarted):
    changed = units(told_processes(), RELEASE, 300, first=True).lasting & {unit}
    found = steps(replace(SERVING, stale_units=(f"/etc/systemd/system/{unit}",), changed=changed), ACTIVE)
    assert found == [
        f"write /etc/systemd/system/{unit}",
        "daemon-reload",
        *(f"{what} {SPARE if what == 'spare' else unit}" for what in restarted),
    ]


def test_a_missing_release_is_refused():
    with pytest.raises(Refused, match="it copies the release first"):
        plan(replace(SERVING, release_there=False), ACTIVE)


@pytest.mark.parametrize(("block", "says"), [({}, "10m"), ({"client_max_body_mb": 64}, "64m")])
def test_the_largest_body_is_the_configurations_in_both_roles(block, says):
    for active in "ab":
        assert f"client_max_body_size {says};" in nginx(Desired.read(document(active, **block)))


def test_what_a_slow_page_and_a_websocket_may_take_is_the_configurations():
    text = nginx(Desired.read(document(read_timeout_s=7, send_timeout_s=8, cable_timeout_s=99, cable_path="/ws")))
    assert "  proxy_read_timeout 7s;\n  proxy_send_timeout 8s;" in text
    assert text.count("location = /ws {") == 2 and text.count("proxy_read_timeout 99s;") == 2, "the way in has it, too"


def test_a_document_with_nothing_said_of_it_serves_a_rails_application_as_it_is_made():
    text = nginx(Desired.read(document()))
    for line in (
        "$local/up;",
        "location = /cable {",
        "location ^~ /assets/ {",
        "location ^~ /health/deep {",
    ):
        assert line in text
    assert "gzip on;" not in text.partition("location ^~ /assets/")[0], "nothing that Puma says is compressed"


def test_another_shops_health_is_known_on_the_host_to_whoever_is_told_nothing(tmp_path, monkeypatch):
    layout, asked = Layout(tmp_path), []

    class Link:
        def __init__(self, address, timeout):
            asked.append(address)

        def request(self, method, path, headers):
            asked.append((method, path, headers["Host"], headers["X-Forwarded-Proto"]))

        def getresponse(self):
            return SimpleNamespace(status=204, read=lambda size: b"")

        def close(self):
            asked.append("closed")

    monkeypatch.setattr("scripts.host.app.well.http.client.HTTPConnection", Link)
    assert not well.healthy(layout), "/up and 200, before a document was there"
    assert asked == ["127.0.0.1:9292", ("GET", "/up", "localhost", "https"), "closed"]
    asked.clear()
    desired = Desired.read(document(health_path="/well", health_codes=["200", "204"]))
    file = next(it for it in of_nginx(desired, layout) if it.path.name == "health.json")
    file.path.parent.mkdir(parents=True)
    file.path.write_text(file.content)
    assert well.healthy(layout)
    assert asked[1] == ("GET", "/well", "www.shop.example", "https")
    for broken in ("", "{}", "[]", '{"host": 7, "health": []}', '{"host": "x", "health": {"health_codes": "x"}}'):
        file.path.write_text(broken)
        assert not well.healthy(layout), "as if there were none, and no traceback"


def test_whoever_forwards_ends_the_websockets_of_before(tmp_path, monkeypatch):
    ended = list[object]()
    monkeypatch.setattr(cable, "end", ended.append)
    left(tmp_path, monkeypatch, role="primary", epoch=3)
    assert len(ended) == 1
    app = App(Desired.read(document("b")), Layout(tmp_path), Systemd(), Log(io.StringIO(), "app converge"))
    app.apply(Step("forward"))
    assert len(ended) == 2
    app.apply(Step("serve"))
    assert len(ended) == 2


def test_every_fault_of_the_document_is_named_without_its_secrets():
    with pytest.raises(Usage) as caught:
        Desired.read(document(release=7, database_password="", balancers=None))
    for key in ("release", "database_password", "balancers"):
        assert f"document.app.{key}" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_an_environment_file_keeps_any_password():
    desired = Desired.read(document())
    text = environment_file(environment(desired))
    assert 'DR_CACHE_PASSWORD="c\'w\\"d\\\\\\$x%é"' in text
    assert 'DR_CACHES="cache-1.a.dr.internal:6379,cache-1.b.dr.internal:6379"' in text


def told_processes(**configured):
    found, faults = processes(PROCFILE, configured)
    assert not faults
    return found


def all_files(desired):
    told = told_processes()
    made = groups(desired, told, units(told, RELEASE, 300, first=True), Layout())
    return [file for rows in made.values() for row in rows for file in row.files]


def texts(first=True, procfile=PROCFILE, **configured):
    found, faults = processes(procfile, configured)
    assert not faults
    return units(found, RELEASE, 300, first=first)


def test_files_with_secrets_are_for_root_alone():
    by_path = {str(file.path): file for file in all_files(Desired.read(document()))}
    assert {
        path: by_path[path].mode for path in ("/etc/shop/env", "/etc/shop/processes/worker.env", "/etc/shop/tls.key")
    } == {
        "/etc/shop/env": 0o600,
        "/etc/shop/processes/worker.env": 0o600,
        "/etc/shop/tls.key": 0o600,
    }
    assert not any("hidden" in file.content for path, file in by_path.items() if path != "/etc/shop/env")


def test_the_other_pair_of_logins_shows_files_of_its_own_and_what_runs_keeps_the_files_it_was_started_with():
    now, then = (Desired.read(document(login=login)) for login in (1, 2))
    told, own = environment(then), environment(then, active_only=True)
    assert "user=shop_2&" in told["DATABASE_URL"] and "user=shop_worker_2&" in own["DATABASE_URL"]
    assert (told["PGSSLCERT"], own["PGSSLKEY"]) == ("/etc/shop/tls/shop_2.crt", "/etc/shop/tls/shop_worker_2.key")
    before, after = (
        {str(file.path) for file in all_files(desired) if str(file.path).startswith("/etc/shop/tls/shop")}
        for desired in (now, then)
    )
    assert {"/etc/shop/tls/shop_2.key", "/etc/shop/tls/shop_worker_2.key"} <= after
    assert not before & after, "a process that still signs in as shop would show a certificate of shop_2"
    assert schema_question(then)["database"]["sslkey"] == "/etc/shop/tls/shop_2.key"
    assert schema_question(then)["database"]["user"] == "shop_2"


def test_the_shop_may_read_the_keys_that_it_shows_and_neither_change_them_nor_does_anybody_else_read_them():
    desired = Desired.read(document())
    found = all_files(desired)
    shown = {str(file.path): file for file in found if "/etc/shop/tls/" in str(file.path)}
    keys = {path: file for path, file in shown.items() if "PRIVATE KEY" in file.content}
    assert {(file.mode, file.owner, file.group) for file in keys.values()} == {(0o640, "root", "shop")}
    assert {(file.mode, file.owner) for path, file in shown.items() if path not in keys} == {(0o644, "root")}
    named = [value for value in environment(desired).values() if value.startswith("/etc/shop/tls/")]
    worker = told_processes()[2]
    named += [value for value in own_environment(desired, worker).values() if value.startswith("/etc/shop/tls/")]
    assert set(keys) <= set(named) <= set(shown)
    assert not any(file.content in environment_file(environment(desired)) for file in keys.values())


def test_the_active_site_serves_and_the_standby_forwards():
    text = nginx(Desired.read(document("b")))
    public = text.partition("listen 443")[2].partition("listen 8080")[0]
    ways = public.partition(f"if (-f {SERVES}) {{")
    assert "set $way https://shop_peer;" in ways[0]
    assert "set $way $local;" in ways[2].partition("}")[0]
    assert "server 10.100.0.141:8443" in text
    assert "proxy_ssl_name app.b.dr.internal;" in text
    monitor = text.partition("listen 8080")[2].partition("listen 10.")[0]
    assert monitor.partition("if ($serves = no) {")[2].lstrip().startswith('return 200 \'{"ok":true,"site":"a"}\';')
    assert "proxy_pass $local/up;" in monitor, "Rails' own"


def forwarding(entrance, active="b"):
    """nginx's text for a host of site a, while `entrance` is where the other site is reached from outside."""
    told = document(active)
    told["epoch"]["entrance"] = entrance
    return nginx(Desired.read(told))


def test_a_standby_whose_link_is_cut_forwards_through_the_peers_entrance():
    upstream = forwarding("203.0.113.9").partition("upstream shop_peer {")[2].partition("}")[0]
    assert [line.split()[1:] for line in upstream.splitlines() if " server " in line] == [
        ["10.100.0.141:8443", "max_fails=1", "fail_timeout=10s;"],
        ["10.100.0.142:8443", "max_fails=1", "fail_timeout=10s;"],
        ["203.0.113.9:443", "max_fails=0", "backup;"],
    ]
    assert "backup" not in forwarding(None).partition("upstream shop_peer {")[2]


def test_what_is_forwarded_bears_the_name_of_the_way_in_and_arrives_as_the_shops():
    text = forwarding("203.0.113.9")
    assert "set $host_there app.b.dr.internal;" in text.partition("set $way https://shop_peer;")[2].partition("if (")[0]
    assert "proxy_set_header Host $host_there;" in text.partition("proxy_pass $way;")[2].partition("}")[0]
    inner = text.partition("server_name app.a.dr.internal;")[2]
    assert inner.count("proxy_set_header Host $asked;") == inner.count("proxy_pass") == 2, "of websockets, too"


def test_a_kernel_that_gives_up_too_late_is_told():
    assert steps(replace(SERVING, kernel_set=False), ACTIVE) == ["kernel"]
    assert steps(replace(SERVING, stale_kernel=("/sysctl",)), ACTIVE) == ["write /sysctl", "kernel"]


def test_the_way_in_for_the_peer_is_this_host_alone_and_wants_its_certificate():
    text = nginx(Desired.read(document("b")))
    inner = text.partition("listen 10.100.0.41:8443 ssl;")[2]
    assert "ssl_verify_client on;" in inner
    assert "proxy_pass $local;" in inner


def test_units_run_as_the_shop_with_what_all_are_told_and_what_each_is():
    found = texts().texts
    assert sorted(found) == [
        "shop-release.service",
        "shop-web.service",
        "shop-web.spare.service",
        "shop-worker.service",
    ]
    for name, text in found.items():
        process = name.removeprefix("shop-").split(".")[0]
        folder = RELEASE if name in (MIGRATE, SPARE) else "/opt/shop/current"
        assert (
            f"User=shop\nGroup=shop\nWorkingDirectory={folder}\nEnvironment=HOME={folder}/tmp\n"
            f"EnvironmentFile=/etc/shop/env\nEnvironmentFile=/etc/shop/processes/{process}.env\n" in text
        )
    assert "Type=oneshot" in found[MIGRATE] and "TimeoutStartSec=300\n" in found[MIGRATE]
    assert [name for name, text in found.items() if "guard app" in text] == [WORKER]


def test_while_sessions_are_rotated_both_words_are_told_and_the_second_to_nobody_afterwards():
    told = environment(Desired.read(document(secret_key_base_beside="another-word-of-before")))
    assert told["DR_SECRET_KEY_BASE_BESIDE"] == "another-word-of-before" != told["SECRET_KEY_BASE"]
    assert "DR_SECRET_KEY_BASE_BESIDE" not in environment(Desired.read(document()))


def test_workers_alone_have_the_names_that_nobody_of_the_other_site_lets_in():
    desired = Desired.read(document())
    release, web, worker = sorted(told_processes(), key=lambda it: it.name)
    own = own_environment(desired, worker)
    assert {name: own[name] for name in ("DR_CACHE_USER", "PGSSLCERT", "PGSSLKEY")} == {
        "DR_CACHE_USER": "shop_worker_a",
        "PGSSLCERT": "/etc/shop/tls/shop_worker.crt",
        "PGSSLKEY": "/etc/shop/tls/shop_worker.key",
    }
    assert "&user=shop_worker&" in own["DATABASE_URL"] and "&user=shop_worker&" in own["DATABASE_REPLICA_URL"]
    assert own["REDIS_URL"].startswith("redis://shop_worker_a:")
    assert own_environment(desired, web) == {"PORT": "9292"}
    assert own_environment(desired, release) == {}
    jobs = Desired.read(document(env={"JOBS": "{redis.jobs_url}", "CACHED": "{redis.cache_url}"}))
    assert own_environment(jobs, worker)["JOBS"].startswith("redis://shop_worker_a:")
    assert [own_environment(jobs, web)[it].rpartition("/")[2] for it in ("JOBS", "CACHED")] == ["2", "1"]
    common = environment(desired)
    assert common["DR_CACHE_USER"] == "shop" and "&user=shop&" in common["DATABASE_URL"]
    assert not [name for name in {*common, *own} if name.startswith("SHOP_")]
    assert {*common, *own, "PORT"} == {*OWN}, "the names that nobody else may set"


def test_a_kernel_that_takes_no_setting_is_told_and_stops_nothing(tmp_path):
    text = io.StringIO()
    app = App(Desired.read(document()), Layout(tmp_path), Systemd(), Log(text, "app converge"))
    app.apply(Step("kernel"))  # there is no such file
    assert "set net.ipv4.tcp_retries2" in text.getvalue()
    place = tmp_path / "proc/sys/net/ipv4/tcp_retries2"
    place.parent.mkdir(parents=True)
    app.apply(Step("kernel"))
    assert place.read_text() == f"{RETRIES}\n"


def lies(tmp_path, *names, text=GUARDED):
    """Units that a converge of before has left."""
    folder = Layout(tmp_path).units
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        folder.joinpath(name).write_text(text)


def left(tmp_path, monkeypatch, *, role, epoch, told=4, serves=True):
    """`app forward` on a host of site a, and what it has stopped."""
    layout, stopped = Layout(tmp_path), list[str]()
    flag = layout.at("/etc/nginx/dr-serves")
    flag.parent.mkdir(parents=True)
    if serves:
        flag.write_text("")
    if role:
        Role(site="a", peer="b", role=role, epoch=epoch).write(layout)

    def stop(unit, limit_s):
        stopped.append(unit)
        return True

    units = SimpleNamespace(
        look=lambda units: {unit: Look("inactive" if unit in stopped else "active") for unit in units},
        halt=lambda units, limit_s: [stop(unit, limit_s) for unit in units],
    )
    lies(tmp_path, WORKER)
    lies(tmp_path, WEB, text="[Service]\n")
    monkeypatch.setattr(service, "Systemd", lambda: units)
    call = Call("app", "forward", {"schema": 1, "epoch": told}, layout, Log(io.StringIO(), "app forward"))
    return service.forward(call), flag.exists(), stopped


@pytest.mark.parametrize(("role", "epoch"), [("primary", 3), ("standby", 2), (None, None)])
def test_a_host_of_a_region_that_was_left_forwards_and_works_no_more(tmp_path, monkeypatch, role, epoch):
    result, serves, stopped = left(tmp_path, monkeypatch, role=role, epoch=epoch)
    assert (result.facts, result.changed) == ({"forwards": True}, True)
    assert not serves and stopped == ["shop-worker.service"]


def test_one_that_forwards_already_is_changed_no_more(tmp_path, monkeypatch):
    result, _, _ = left(tmp_path, monkeypatch, role="primary", epoch=3, serves=False)
    assert (result.facts, result.changed) == ({"forwards": True}, False)


def test_a_worker_that_was_told_to_end_and_has_not_is_waited_for_and_is_no_word_that_it_stands(tmp_path, monkeypatch):
    """As a run that was killed in its quiesce has left it."""
    asked = []

    def systemctl(argv, **_):
        asked.append(argv[1])
        return (
            Done(0, "ActiveState=deactivating\n", "")
            if argv[1] == "show"
            else Done(TIMED_OUT, "", "no end within 60 s")
        )

    monkeypatch.setattr(systemd, "run", systemctl)
    lies(tmp_path, WORKER)
    with pytest.raises(Failed, match=f"unit {WORKER}: found still running"):
        service.quiesce(Call("app", "quiesce", {}, Layout(tmp_path), Log(io.StringIO(), "app quiesce")))
    assert "stop" in asked


@pytest.mark.parametrize(("state", "found"), [("deactivating", [f"stop {WORKER}"]), ("inactive", [])])
def test_a_standby_whose_worker_was_told_to_end_and_has_not_is_not_ready(tmp_path, monkeypatch, state, found):
    lies(tmp_path, WORKER)
    said = f"ActiveState={state}\nUnitFileState=disabled\n"
    monkeypatch.setattr(systemd, "run", lambda argv, **_: Done(0, "\n".join([said] * (len(argv) - 4)), ""))
    app = App(Desired.read(document(active="b")), Layout(tmp_path), Systemd(), Log(io.StringIO(), "app converge"))
    facts = replace(app.facts(), release_there=True)
    assert [str(step) for step in app.plan(facts) if WORKER in str(step) and step.name == "stop"] == found


@pytest.mark.parametrize("epoch", [4, 5])
def test_a_word_that_is_older_than_the_hosts_role_changes_nothing(tmp_path, monkeypatch, epoch):
    """Two moves one after the other: the first one's run tells the hosts that it has left, when they are the ones that serve again."""
    result, serves, stopped = left(tmp_path, monkeypatch, role="primary", epoch=epoch)
    assert (result.facts, result.changed, serves, stopped) == ({"forwards": False}, False, True, [])


@pytest.mark.parametrize("told", [None, "4", -1])
def test_a_word_without_an_epoch_is_refused(tmp_path, monkeypatch, told):
    with pytest.raises(Usage, match="epoch"):
        left(tmp_path, monkeypatch, role="primary", epoch=3, told=told)


def test_with_an_ordered_certificate_nginx_shows_what_the_host_turns_by_itself():
    given, ordered = (nginx(Desired.read(document(acme=acme))) for acme in (False, True))
    assert "ssl_certificate /etc/shop/tls.crt;" in given and "/etc/shop/shown" not in given
    assert (
        "ssl_certificate /etc/shop/shown/tls.crt;" in ordered
        and "ssl_certificate_key /etc/shop/shown/tls.key;" in ordered
    )


@pytest.mark.parametrize("wanted", [ACTIVE, replace(ACTIVE, turn=True)])
def test_until_the_first_is_there_that_of_the_secrets_is_shown_and_then_left_alone(wanted):
    before = plan(replace(SERVING, stale_nginx=("/etc/nginx/nginx.conf",)), replace(wanted, acme=True))
    assert before[0] == Step("show"), "before nginx is told of it"
    assert plan(replace(SERVING, shown=True), replace(wanted, acme=True)) == []


def test_nothing_is_left_of_it_once_certificates_are_given_again():
    steps = plan(replace(SERVING, shown=True, stale_nginx=("/etc/nginx/nginx.conf",)), ACTIVE)
    assert [step.name for step in steps] == ["write", "reload", "unshow"], "nginx lets go of it first"


def test_an_up_puts_no_older_certificate_back(tmp_path):
    """The link is made once, with what it leads to; whatever this host has taken since stays."""
    layout = Layout(tmp_path)
    it = App(Desired.read(document(acme=True)), layout, Systemd(), Log(io.StringIO(), "app converge"))
    it.apply(Step("show"))
    link = layout.at("/etc/shop/shown")
    assert (link / "tls.crt").read_text() == SECRETS["tls"]["shop"]["cert"] and it.facts().shown
    taken = layout.at("/etc/shop/acme-1")
    taken.mkdir()
    (taken / "tls.crt").write_text("a newer one")
    link.unlink()
    link.symlink_to("acme-1")
    assert it.facts().shown and "show" not in {
        step.name for step in plan(replace(it.facts(), user=True, release_there=True), it.wanted)
    }
    it.apply(Step("unshow"))
    assert not link.is_symlink() and not taken.exists() and layout.at("/etc/shop/tls.crt").exists()
