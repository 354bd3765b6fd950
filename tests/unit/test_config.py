"""The configuration: one clear answer for a good file, every fault of a bad one."""

from __future__ import annotations

import contextvars
import json
from dataclasses import replace
from typing import Any

import pytest

from components import advice, config
from components.render import documents, firewall
from contract.accept import spelled
from contract.agreement import digests
from contract.errors import ConfigError, Fault
from contract.hosts import KINDS
from scripts.ctl.stacks import rotation
from scripts.ctl.stacks.configuration import load, merged, stack_file
from scripts.ctl.stacks.secrets import generate
from tests.components import stack


def faults(values: dict[str, Any]) -> dict[str, Fault]:
    """Faults by subject; there must be some."""
    with pytest.raises(ConfigError) as raised:
        config.parse(values)
    return {fault.subject: fault for fault in raised.value.faults}


def put(values: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The configuration with one nested key changed."""
    at = values
    *sections, last = path.split("/")
    for section in sections:
        at = at[section]
    at[last] = value
    return values


def test_the_example_with_ids_and_secrets_is_accepted() -> None:
    settings = config.parse(stack.configuration("b"))
    assert (settings.site, settings.peer, settings.failover_region) == ("b", "a", "a")
    assert settings.region.compute_region == "SBG5"
    assert settings.hosts["db-1.b"].vrack == "10.100.0.111"
    assert settings.bucket("b", "assets") == "shop-01234567-b-assets"


def test_an_example_file_holds_its_site_and_its_request_and_the_rest_stands_once() -> None:
    a, b = (load(stack_file(stack.ROOT, site))["config"] for site in "ab")
    assert (a, b) == tuple({"dr:site": site, "dr:failover_region": "a", "dr:lab": True} for site in "ab")


def test_the_example_as_it_lies_there_says_what_to_run() -> None:
    values = merged(stack_file(stack.ROOT, "a"))
    found = faults({key.removeprefix("dr:"): value for key, value in values.items()})
    ids = {
        f"dr:regions.{site}.{key}" for site in "ab" for key in ("ext_net_id", "image_id", "flavors.db", "flavors.app")
    }
    assert ids | {"dr:secrets"} <= set(found)
    assert all("`openstack " in found[key].remedy for key in ids)
    assert "--secret secrets" in found["dr:secrets"].remedy


def test_every_fault_of_a_file_is_told_at_once() -> None:
    values = stack.configuration(failover_region="B", protect="yes", service_name="shop")
    put(values, "dns/ttl", 30)
    put(values, "regions/b/front_cidr", "10.1.0.0/24")
    put(values, "postgres/parameters", {"wal_level": "minimal"})
    found = faults(values)
    assert set(found) == {
        "dr:failover_region",
        "dr:protect",
        "dr:service_name",
        "dr:dns.ttl",
        "dr:regions.a.front_cidr",
        "dr:postgres.parameters.wal_level",
    }


@pytest.mark.parametrize("request_", ["B", " b", "b ", "region-b", "", "c", None, True, 1])
def test_a_request_has_one_meaning_or_none(request_: object) -> None:
    assert set(faults(stack.configuration(failover_region=request_))) == {"dr:failover_region"}


@pytest.mark.parametrize(("value", "meant"), [(True, True), (False, False), ("true", True), ("false", False)])
def test_protect_is_read_as_yaml_and_as_the_cli_stores_it(value: object, meant: bool) -> None:
    assert config.parse(stack.configuration(protect=value)).protect is meant


@pytest.mark.parametrize("value", ["True", "yes", "1", 1, "", None, "False"])
def test_protect_is_never_guessed(value: object) -> None:
    assert set(faults(stack.configuration(protect=value))) == {"dr:protect"}


_NO_PATHS = (
    "up",
    "",
    "/",
    "/up/",
    "/../up",
    "/.up",
    "/a b",
    "/up;",
    "/$uri",
    "/up{",
    "/u\np",
    '/"up',
    "/up?x=1",
    "//up",
    "/up#",
)


@pytest.mark.parametrize(
    ("path", "value", "subject"),
    [
        ("site", "c", "dr:site"),
        ("project", "Shop", "dr:project"),
        ("shop/release", "/srv/shop", "dr:shop.release"),
        ("shop/release", "../shop", "dr:shop.release"),
        ("shop/host", "www.other.example", "dr:shop.host"),
        ("dns/ttl", 59, "dr:dns.ttl"),
        ("dns/ttl", True, "dr:dns.ttl"),
        ("dns/mode", "both", "dr:dns.mode"),
        ("dns/servers", [], "dr:dns.servers"),
        ("dns/servers", ["ns.example"], "dr:dns.servers"),
        ("dns/servers", ["192.0.2.21:0"], "dr:dns.servers"),
        # Digits of other scripts are digits to Python alone.
        ("dns/servers", ["192.0.2.21:\u00b2"], "dr:dns.servers"),
        ("dns/servers", ["192.0.2.21:5\u0663"], "dr:dns.servers"),
        ("app/outgoing_ports", ["5\u0663"], "dr:app.outgoing_ports"),
        ("app/processes", {"worker": {"count": 33}}, "dr:app.processes.worker.count"),
        ("app/processes", {"worker": {"schedule": "60 * * * *"}}, "dr:app.processes.worker.schedule"),
        ("app/processes", {"worker": {"memory": 1}}, "dr:app.processes.worker.memory"),
        ("app/processes", {"web": {"count": 2}}, "dr:app.processes.web.count"),
        ("app/processes", ["worker"], "dr:app.processes"),
        ("app/env", {"REDIS_URL": "x"}, "dr:app.env.REDIS_URL"),
        ("app/env", {"MAIL": "{secret.MAIL}"}, "dr:app.env.MAIL"),
        ("app/processes", {"worker": {"env": {"MAIL": "{secret.MAIL}"}}}, "dr:app.processes.worker.env.MAIL"),
        ("app/release_limit_s", 5, "dr:app.release_limit_s"),
        ("secrets/app", {"MAIL PASSWORD": "x"}, "dr:secrets.app"),
        ("secrets/app", ["x"], "dr:secrets.app"),
        # Each becomes a part of nginx's text.
        *(("app/health_path", path, "dr:app.health_path") for path in _NO_PATHS),
        *(("app/cable_path", path, "dr:app.cable_path") for path in _NO_PATHS),
        *(("app/inside_paths", [path], "dr:app.inside_paths") for path in _NO_PATHS),
        ("app/static_folders", ["assets", "../config"], "dr:app.static_folders"),
        ("app/static_folders", ["/assets"], "dr:app.static_folders"),
        ("app/static_folders", ["assets/"], "dr:app.static_folders"),
        ("app/static_folders", [".well-known"], "dr:app.static_folders"),
        ("app/static_folders", [""], "dr:app.static_folders"),
        ("app/health_codes", [], "dr:app.health_codes"),
        ("app/health_codes", [500], "dr:app.health_codes"),
        ("app/health_codes", ["2xx"], "dr:app.health_codes"),
        ("app/health_codes", ["2\u06600"], "dr:app.health_codes"),
        ("app/health_text", "two\nlines", "dr:app.health_text"),
        ("app/proof", "none", "dr:app.proof"),
        ("shop/aliases", ["shop.example; return 200"], "dr:shop.aliases"),
        ("shop/aliases_answer", "proxy", "dr:shop.aliases_answer"),
        ("redis/maxmemory", "1\u0663mb", "dr:redis.maxmemory"),
        ("postgres/max_slot_wal_keep_size", "1\u0663GB", "dr:postgres.max_slot_wal_keep_size"),
        ("archive/queue_max", "1\u0663GB", "dr:archive.queue_max"),
        ("repair", "1\u0663", "dr:repair"),
        ("dns/zone", "shop.example.", "dr:dns.zone"),
        ("openstack/auth_url", "http://192.0.2.10:5000/v3/", "dr:openstack.auth_url"),
        ("openstack/project_id", "shop", "dr:openstack.project_id"),
        ("openstack/endpoint_overrides", {"compute": "http://192.0.2.1"}, "dr:openstack.endpoint_overrides"),
        ("ovh/endpoint", "ovh-fr", "dr:ovh.endpoint"),
        ("witness/region", "gra", "dr:witness.region"),
        ("witness/bucket", "ab", "dr:witness.bucket"),
        ("repair", -1, "dr:repair"),
        ("vrack/vlan", 4001, "dr:vrack.vlan"),
        ("vrack/cidr", "10.100.0.0/16", "dr:vrack.cidr"),
        ("vrack/cidr", "10.100.0.1/24", "dr:vrack.cidr"),
        ("vrack/cidr", "172.31.5.0/24", "dr:vrack.cidr"),
        ("vrack/mtu", 500, "dr:vrack.mtu"),
        ("operator_cidrs", [], "dr:operator_cidrs"),
        ("operator_cidrs", ["0.0.0.0/0"], "dr:operator_cidrs"),
        ("operator_cidrs", ["192.0.2.0/24", "198.0.0.0/8"], "dr:operator_cidrs"),
        ("operator_cidrs", ["198.18.0.0/15"], "dr:operator_cidrs"),
        ("regions/a/front_cidr", "172.31.127.0/24", "dr:regions.a.front_cidr"),
        ("regions/b/front_cidr", "10.100.0.0/24", "dr:vrack.cidr"),
        ("regions/a/image_id", "Debian 13", "dr:regions.a.image_id"),
        ("regions/a/compute_region", "gra11", "dr:regions.a.compute_region"),
        ("regions/b/compute_region", "GRA11", "dr:regions.b.compute_region"),
        ("regions/b/storage_region", "GRA", "dr:regions.b.storage_region"),
        ("regions/a/s3_region", "GRA", "dr:regions.a.s3_region"),
        ("regions/b/vrack_offset", 50, "dr:regions.b.vrack_offset"),
        ("regions/b/host_generation", {"app-7": 2}, "dr:regions.b.host_generation"),
        ("regions/b/balancer_generation", 0, "dr:regions.b.balancer_generation"),
        ("postgres/version", 13, "dr:postgres.version"),
        ("postgres/mode", "quorum", "dr:postgres.mode"),
        ("postgres/degrade_after_s", 1, "dr:postgres.degrade_after_s"),
        ("postgres/preload", ["pg_stat_statements,evil"], "dr:postgres.preload"),
        ("postgres/extensions", ["a b"], "dr:postgres.extensions"),
        ("postgres/max_slot_wal_keep_size", "-1", "dr:postgres.max_slot_wal_keep_size"),
        ("postgres/parameters", {"port": "5433"}, "dr:postgres.parameters.port"),
        ("postgres/parameters", {"recovery_target": "immediate"}, "dr:postgres.parameters.recovery_target"),
        ("postgres/parameters", {"shared_buffers": "1\nport=1"}, "dr:postgres.parameters"),
        ("redis/maxmemory", "256", "dr:redis.maxmemory"),
        ("redis/maxmemory_policy", "lru", "dr:redis.maxmemory_policy"),
        ("redis/write_rate", "fast", "dr:redis.write_rate"),
        ("redis/write_rate", "7mb", "dr:redis.write_rate"),
        ("redis/bridge_s", 1, "dr:redis.bridge_s"),
        ("redis/min_replicas_to_write", 2, "dr:redis.min_replicas_to_write"),
        ("redis/cold_cache", "perhaps", "dr:redis.cold_cache"),
        ("redis/cache_replicas", 1, "dr:redis.cache_replicas"),
        ("redis/cache_replicas", True, "dr:redis.cache_replicas"),
        ("assets/mode", "mirror", "dr:assets.mode"),
        ("assets/keep_old_versions_days", -1, "dr:assets.keep_old_versions_days"),
        ("assets/abort_uploads_days", "7d", "dr:assets.abort_uploads_days"),
        ("assets/cors_origins", "https://www.shop.example", "dr:assets.cors_origins"),
        ("assets/cors_origins", ["https://www.shop.example/"], "dr:assets.cors_origins"),
        ("app/threads", 0, "dr:app.threads"),
        (
            "accept",
            {"without_fence": {"epoch": 1, "at": "2026-11-29T14:05Z", "reason": "because"}},
            "dr:accept.without_fence.reason",
        ),
        ("accept", {"without_fence": True}, "dr:accept.without_fence"),
    ],
)
def test_a_wrong_value_is_the_only_fault_told(path: str, value: object, subject: str) -> None:
    assert subject in faults(put(stack.configuration(), path, value))


@pytest.mark.parametrize("path", ["failover_regoin", "dns/tll", "regions/a/flavour", "regions/c"])
def test_unknown_keys_are_refused(path: str) -> None:
    found = faults(put(stack.configuration(), path, "x"))
    assert list(found) == ["dr:" + path.replace("/", ".")]
    assert found["dr:" + path.replace("/", ".")].found == "unknown"


def test_a_misspelled_key_is_answered_with_the_right_one() -> None:
    fault = faults(put(stack.configuration(), "dns/tll", 60))["dr:dns.tll"]
    assert "did you mean 'ttl'?" in fault.remedy


@pytest.mark.parametrize(
    "key", sorted(set(stack.configuration()) - {"archive", "lab", "monitoring", "project", "protect", "reports", "ssh"})
)
def test_a_missing_key_is_one_fault(key: str) -> None:
    values = stack.configuration()
    del values[key]
    found = faults(values)
    assert list(found) == [f"dr:{key}"]
    assert found[f"dr:{key}"].found == "missing"


def test_the_archive_may_be_left_out_but_not_go_unencrypted_or_in_clear() -> None:
    values = stack.configuration()
    assert config.parse({key: value for key, value in values.items() if key != "archive"}).archive is None
    found = faults(put(stack.configuration(), "archive/endpoints/b", "http://198.51.100.3:7070"))
    assert list(found) == ["dr:archive.endpoints.b"] and "TLS only" in found["dr:archive.endpoints.b"].wanted
    del values["secrets"]["archive"]
    assert list(faults(values)) == ["dr:archive"]


@pytest.mark.parametrize("value", ["off", False, "false"])
def test_the_lease_can_be_off_however_yaml_reads_the_word(value: object) -> None:
    assert config.parse(stack.configuration(lease=value)).lease is None


def test_a_lease_has_times_that_agree() -> None:
    assert config.parse(stack.configuration(lease={})).lease == config.parse(stack.configuration()).lease
    both = faults(stack.configuration(lease={"lease_s": 10, "stop_s": 5, "margin_s": 5, "heartbeat_s": 4}))
    assert set(both) == {"dr:lease.lease_s", "dr:lease.heartbeat_s"}
    assert "5 + 5" in both["dr:lease.lease_s"].wanted and "(10)" in both["dr:lease.heartbeat_s"].wanted
    edge = config.parse(stack.configuration(lease={"lease_s": 11, "stop_s": 5, "margin_s": 5, "heartbeat_s": 3})).lease
    assert edge is not None and edge.lease_s == 11


@pytest.mark.parametrize("value", ["on", True, 30, None, []])
def test_what_is_no_lease_is_one_fault(value: object) -> None:
    assert set(faults(stack.configuration(lease=value))) == {"dr:lease"}


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "x", 3601])
def test_every_time_of_a_lease_is_a_positive_whole_number(value: object) -> None:
    subjects = [f"dr:lease.{key}" for key in ("lease_s", "stop_s", "margin_s", "heartbeat_s")]
    assert sorted(
        faults(stack.configuration(lease={subject.rpartition(".")[2]: value for subject in subjects}))
    ) == sorted(subjects)


def test_an_override_names_its_epoch_and_reason() -> None:
    accept = {"without_fence": {"epoch": 3, "at": spelled(), "reason": "the building burned, confirmed by phone"}}
    override = config.parse(stack.configuration(accept=accept)).without_fence
    assert override is not None
    assert (override.epoch, override.reason) == (3, accept["without_fence"]["reason"])
    assert config.parse(stack.configuration()).without_fence is None


def test_logical_slots_need_a_version_that_keeps_them() -> None:
    values = put(put(stack.configuration(), "postgres/logical", True), "postgres/version", 16)
    assert set(faults(values)) == {"dr:postgres.logical"}
    assert config.parse(put(values, "postgres/version", 17)).postgres.logical is True


@pytest.mark.parametrize("mode", ["sync", "degrade"])
def test_commits_wait_only_where_an_agent_watches(mode: str) -> None:
    values = put(stack.configuration(), "postgres/mode", mode)
    assert config.parse(values).postgres.mode == mode
    assert set(faults(put(values, "lease", "off"))) == {"dr:postgres.mode"}


def test_a_target_of_a_recovery_is_refused_with_what_it_would_do() -> None:
    values = put(stack.configuration(), "postgres/parameters", {"recovery_target_time": "2001-01-01"})
    fault = faults(values)["dr:postgres.parameters.recovery_target_time"]
    assert "second primary" in str(fault) and "archive restore" in str(fault)


def test_parameters_are_written_as_postgresql_reads_them() -> None:
    written = put(stack.configuration(), "postgres/parameters", {"max_connections": 200, "jit": "off"})
    assert config.parse(written).postgres.parameters == {"max_connections": "200", "jit": "off"}
    assert set(faults(put(stack.configuration(), "postgres/parameters", {"jit": False}))) == {"dr:postgres.parameters"}


def test_secrets_are_asked_for_every_host_of_both_sites() -> None:
    values = put(stack.configuration(), "app/hosts", 3)
    missing = {f"dr:secrets.{kind}.hosts.app-3.{site}" for kind in ("ssh", "tls") for site in "ab"}
    assert set(faults(values)) == missing


def test_no_message_shows_a_secret() -> None:
    values = stack.configuration()
    put(values, "secrets/postgres/app", "shortsecret")
    put(values, "secrets/ssh/operator/private", "secret-in-the-wrong-form")
    put(values, "secrets/witness/secret_key", "secret with spaces")
    with pytest.raises(ConfigError) as raised:
        config.parse(values)
    assert len(raised.value.faults) == 3
    assert "secret-in" not in str(raised.value)
    assert "shortsecret" not in str(raised.value)
    assert "with spaces" not in str(raised.value).replace("without spaces", "")


def rotating(**changes: Any) -> dict[str, Any]:
    """In the middle of a rotation; `changes` of what lies beside."""
    told = rotation.begun(stack.secrets(), "database", {})
    told["rotation"]["database"].update(changes)
    return stack.configuration(secrets=told)


def test_while_logins_are_rotated_databases_are_told_of_both_and_app_hosts_of_the_one_in_use() -> None:
    rest, values = stack.secrets(), rotating()
    part, settings = values["secrets"]["rotation"]["database"], config.parse(values)
    told = documents.postgres(settings, None)
    words = {**rest["postgres"], "beside": part["app"], "replication_rotated": False}
    assert told["passwords"] == words and told["login"] == 1
    assert told["tls"]["ca"] == rest["tls"]["database"]["ca"] + part["ca"]
    assert told["tls"]["key"] == rest["tls"]["database"]["clients"]["dr_replication"]["key"]
    keys, at_rest = {"access_key": "k", "secret_key": "s"}, config.parse(stack.configuration())
    assert documents.app(settings, "/r", keys, turn=False) == documents.app(at_rest, "/r", keys, turn=False), (
        "an app host would begin anew before the databases let in what it shows"
    )


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"stage": "half"}, "stage"),
        ({"applied": "yes"}, "applied"),
        ({"app": "short"}, "app"),
        ({"ca": "none"}, "ca"),
        ({"clients": {}}, "clients.shop_2"),
    ],
)
def test_a_rotation_of_another_form_is_refused_with_what_mends_it(changes: dict[str, Any], subject: str) -> None:
    found = faults(rotating(**changes))
    fault = found[f"dr:secrets.rotation.database.{subject}"]
    assert "short" not in str(fault) and fault.found in ("(hidden)", "missing")
    assert subject.startswith("clients") or "the same `drctl rotate` again" in fault.remedy


@pytest.mark.parametrize("since", [{"database": "yesterday"}, {"database": "2026-02-30"}, {"lamps": "2026-11-01"}])
def test_a_day_of_a_secret_is_one_and_of_a_kind_that_there_is(since: dict[str, str]) -> None:
    assert len(faults(stack.configuration(secrets={**stack.secrets(), "since": since}))) == 1


def test_a_set_of_before_days_and_rotations_were_noted_is_taken() -> None:
    older = {name: it for name, it in stack.secrets().items() if name != "since"}
    found = config.parse(stack.configuration(secrets=older)).secrets
    assert found.since == {} and (found.postgres.login, found.postgres.beside) == (1, None)


def run_of(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], *secret: str) -> str:
    """What the program says of a configuration that is stored as the CLI stores it."""
    stored = {f"dr:{key}": it if isinstance(it, str) else json.dumps(it) for key, it in values.items()}
    monkeypatch.setattr("pulumi.runtime.config.get_config_env", dict)
    monkeypatch.setattr("pulumi.runtime.config.CONFIG", contextvars.ContextVar("config", default=stored))
    monkeypatch.setattr("pulumi.runtime.config.is_config_secret", lambda key: key.removeprefix("dr:") in secret)
    with pytest.raises(ConfigError) as raised:
        config.load()
    return str(raised.value)


GOOD = json.dumps(stack.secrets())


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (GOOD[:-1] + ",}", "a mapping (not valid JSON)"),
        (GOOD[: len(GOOD) // 2], "a mapping (not valid JSON)"),
        (GOOD + GOOD, "a mapping (not valid JSON)"),
        (f"[{GOOD}]", "a mapping"),
        ("hunter2hunter2", "a mapping (not valid JSON)"),
        ('"hunter2hunter2"', "a mapping"),
        ("20261128", "a mapping"),
        ("9" * 5000, "a mapping (not valid JSON)"),
        ("[" * 100_000, "a mapping (not valid JSON)"),
    ],
)
def test_secrets_that_cannot_be_read_are_not_shown(monkeypatch: pytest.MonkeyPatch, stored: str, wanted: str) -> None:
    """kubernetes-external-secrets#542"""
    text = run_of(monkeypatch, stack.configuration(secrets=stored), "secrets")
    assert f"dr:secrets is (hidden); wanted {wanted}. " in text
    assert len(text) < 600 and "hunter2" not in text and "secret-" not in text and "2026" not in text


def test_a_name_that_nobody_knows_within_secrets_is_told_by_its_place() -> None:
    """It may be a value in the wrong place."""
    values = stack.configuration()
    count = len(values["secrets"])
    put(values, "secrets/hunter2hunter2", "x")
    put(values, "secrets/tls/hosts/hunter3hunter3", "x")
    with pytest.raises(ConfigError) as raised:
        config.parse(values)
    hosts = len(stack.HOSTS) + 1
    assert {fault.subject for fault in raised.value.faults} == {
        f"dr:secrets.(key {count + 1})",
        f"dr:secrets.tls.hosts.(key {hosts})",
    }
    assert "hunter" not in str(raised.value) and "known here: " in str(raised.value)


@pytest.mark.parametrize(
    ("section", "path", "value"),
    [
        ("dns", "dns", "hunter2hunter2"),
        ("dns", "dns/zone", "hunter2 hunter2"),
        ("dns", "dns/hunter2", "x"),
        ("openstack", "openstack/user", ["hunter2"]),
        ("postgres", "postgres/parameters", {"hunter2 hunter2": "1"}),
        ("postgres", "postgres/parameters", {"hunter2": ["hunter2"]}),
        ("postgres", "postgres/extensions", ["hunter2 hunter2"]),
        ("regions", "regions/a/front_cidr", "10.222.0.0/16"),
        ("regions", "regions/b/front_cidr", "10.1.0.0/24"),
        ("regions", "regions/b/compute_region", "GRA11"),
        ("shop", "shop/host", "www.hunter2.example"),
        ("dns", "dns/subdomain", "hunter2"),
        ("vrack", "vrack/cidr", "10.1.0.0/24"),
    ],
)
def test_of_any_section_that_is_stored_as_a_secret_no_value_is_shown(
    monkeypatch: pytest.MonkeyPatch, section: str, path: str, value: object
) -> None:
    values = put(stack.configuration(), path, value)
    text = run_of(monkeypatch, values, "secrets", section)
    assert "(hidden)" in text or "(key " in text
    for word in ("hunter2", "10.222.0.0", "(10.1.0.0/24)", "'10.1.0.0/24'", "GRA11"):
        assert word not in text


def test_hosts_have_keys_to_the_witness_of_their_own() -> None:
    """One that is the operator's says which region is active; one that two share does what both may."""
    values = stack.configuration()
    del values["secrets"]["witness"]["hosts"]
    found = faults(values)
    assert set(found) == {"dr:secrets.witness.hosts"}
    assert "drctl rights witness" in str(found["dr:secrets.witness.hosts"])

    values = stack.configuration()
    held = values["secrets"]["witness"]
    del held["hosts"]["db.b"]
    held["hosts"]["cache.a"]["access_key"] = held["access_key"]
    held["hosts"]["cache.b"] = dict(held["hosts"]["db.a"])
    found = faults(values)
    assert set(found) == {f"dr:secrets.witness.hosts.{user}" for user in ("db.b", "cache.a", "cache.b")}
    assert found["dr:secrets.witness.hosts.cache.a"].wanted == "another user's key than that of operator"
    assert found["dr:secrets.witness.hosts.cache.b"].wanted == "another user's key than that of db.a"
    assert "secret-" not in "".join(map(str, found.values()))


def test_a_set_of_before_there_was_a_ca_of_ssh_is_taken_and_no_host_trusts_one() -> None:
    values = stack.configuration()
    del values["secrets"]["ssh"]["ca"]
    settings = config.parse(values)
    assert settings.secrets.ssh_ca is None and documents.ssh_authorities(settings) == ()
    assert documents.setup(settings, "db")["ssh_authorities"] == []
    put(values, "secrets/ssh/ca", {"private": "hunter2hunter2", "public": "ssh-ed25519 AAAA ca"})
    found = faults(values)
    assert set(found) == {"dr:secrets.ssh.ca.private", "dr:secrets.ssh.ca.public"}
    assert all("nothing else of it" in it.remedy and "hunter2" not in str(it) for it in found.values())


def test_hosts_are_told_of_our_ca_and_of_the_teams_and_of_who_is_shut_out() -> None:
    own, other, gone = (stack.public_key(number) for number in (1, 2, 3))
    told = {"authorities": [f"{other} vault", own], "revoked": [f"{gone} mallory's", "serial:4711", "id:mallory"]}
    for site in "ab":
        settings = config.parse(stack.configuration(site, ssh=told))
        for kind in KINDS:
            block = documents.setup(settings, kind)
            assert block["ssh_authorities"] == [own, other]
            assert block["ssh_revoked"] == [gone, "serial:4711", "id:mallory"]
            assert "ca" not in json.dumps(block["ssh_authorities"]), "comments stay behind"


def test_nobody_shuts_out_the_program_or_a_whole_ca_by_mistake() -> None:
    values = stack.configuration()
    made = {name: stack.public_key(number) for number, name in enumerate(("operator", "ca"), 5)}
    for name, public in made.items():
        put(values, f"secrets/ssh/{name}/public", public)
    team = stack.public_key(7)
    for key, wanted in ((made["operator"], "no run would reach a host"), (made["ca"], "all would be shut out at once")):
        found = faults({**values, "ssh": {"revoked": ["id:mallory+20261129T090000Z", f"{key} somebody"]}})
        assert set(found) == {"dr:ssh.revoked"} and wanted in found["dr:ssh.revoked"].consequence
        assert key.split()[1] not in str(found["dr:ssh.revoked"])
    found = faults({**values, "ssh": {"revoked": [team], "authorities": [team]}})
    assert "dr:ssh.authorities" in found["dr:ssh.revoked"].remedy


def test_the_programs_key_that_is_known_to_somebody_is_renewed_as_the_program_is_not_as_a_ca() -> None:
    values = stack.configuration()
    put(values, "secrets/ssh/operator/public", stack.public_key(5))
    found = faults({**values, "ssh": {"revoked": [stack.public_key(5)]}})["dr:ssh.revoked"]
    assert "`A person leaves` in docs/failover.md" in found.remedy and "CA" not in found.remedy


def test_keys_that_the_program_had_before_are_shut_out_and_one_of_them_that_is_put_back_is_refused() -> None:
    secrets = stack.secrets()
    secrets["ssh"]["former"] = [stack.public_key(5), stack.public_key(6)]
    settings = config.parse(stack.configuration(secrets=secrets, ssh={"revoked": ["serial:4711"]}))
    told = documents.setup(settings, "app")
    assert told["ssh_revoked"] == ["serial:4711", stack.public_key(5), stack.public_key(6)]
    assert told["ssh_operators"] == [stack.public_key(90)]
    secrets["ssh"]["former"].append(f"{stack.public_key(90)} operator")
    found = faults(stack.configuration(secrets=secrets))
    assert set(found) == {"dr:secrets.ssh.former"} and "drctl rotate operator" in found["dr:secrets.ssh.former"].remedy
    for spoiled in (["ssh-ed25519 AAAA"], "none", [7]):
        secrets["ssh"]["former"] = spoiled
        (fault,) = faults(stack.configuration(secrets=secrets)).values()
        assert "would open hosts again" in fault.consequence and "hidden" in fault.found


@pytest.mark.parametrize("name", ["alice", "alice+", "alice+2026", "alice+20261129T090000Z."])
def test_a_persons_name_alone_shuts_nobody_out_and_is_not_taken_for_it(name: str) -> None:
    """The list is compared with whole ids, and each that we make has its time behind the name."""
    found = faults(stack.configuration(ssh={"revoked": ["serial:4711", f"id:{name}"]}))
    assert set(found) == {"dr:ssh.revoked"} and repr(f"id:{name}") == found["dr:ssh.revoked"].found
    assert "drctl audit verify" in found["dr:ssh.revoked"].remedy and "public key" in found["dr:ssh.revoked"].remedy
    whole = config.parse(stack.configuration(ssh={"revoked": ["id:alice@x.y+20261129T090000Z", stack.public_key(3)]}))
    assert advice.warnings(replace(whole, lab=False)) == []
    team = config.parse(stack.configuration(ssh={"revoked": [f"id:{name}"], "authorities": [stack.public_key(7)]}))
    (said,) = advice.warnings(replace(team, lab=False))
    assert f"id:{name}" in said and "dr:ssh.authorities" in said, (
        "a CA of the team's names its certificates as it likes"
    )


@pytest.mark.parametrize("whose", ["operator", "hosts/db-1.a"])
def test_no_key_of_ours_is_a_ca_of_the_teams(whose: str) -> None:
    """A host has its own key: whoever owns one would make certificates of root everywhere."""
    values = stack.configuration()
    key = stack.public_key(5)
    put(values, f"secrets/ssh/{whose}/public", f"{key} {whose}")
    found = faults({**values, "ssh": {"authorities": [stack.public_key(6), f"{key} mistaken"]}})
    assert set(found) == {"dr:ssh.authorities"}
    assert f"secrets.ssh.{whose.replace('/', '.')}" in found["dr:ssh.authorities"].found
    assert key.split()[1] not in str(found["dr:ssh.authorities"])


@pytest.mark.parametrize("path", ["vrack/vlan", "regions/a/front_cidr", "service_name", "dns/ttl"])
def test_the_remedy_of_a_key_that_both_regions_share_hides_none_of_its_neighbours(path: str) -> None:
    """In a stack file such a key wins whole: one part of it, put there by `--path`, leaves the region without all others."""
    values = put(stack.configuration(), path, None)
    (fault,) = faults(values).values()
    assert "--path" not in fault.remedy and "in Pulumi.yaml" in fault.remedy
    assert f"dr:{path.partition('/')[0]}" in fault.remedy


@pytest.mark.parametrize("key", ["why", "repair", "accept"])
def test_the_remedy_of_a_stacks_own_key_is_the_command(key: str) -> None:
    wrong = {"data_loss": {"epoch": 1, "at": spelled(), "reason": 7}} if key == "accept" else {"x": 1}
    (fault,) = faults({**stack.configuration(), key: wrong}).values()
    assert f"`pulumi config set --path 'dr:{key}" in fault.remedy


def test_who_was_shut_out_holds_up_no_move() -> None:
    settings = config.parse(stack.configuration(ssh={"revoked": ["serial:1"]}))
    assert [key for key in digests(settings) if key.startswith("ssh")] == []


def test_a_set_of_secrets_from_before_bastions_had_a_key_is_taken_and_told_of_by_every_preview() -> None:
    """Who signs in to a bastion is then known to it alone."""
    values = secure()
    for site in "ab":
        del values["secrets"]["witness"]["hosts"][f"control.{site}"]
    settings = config.parse(values)
    assert not any(user.startswith("control.") for user in settings.secrets.witness_hosts)
    (said,) = advice.warnings(settings)
    assert "found no key of control.a and control.b" in said and "drctl rights witness" in said
    values["secrets"]["witness"]["hosts"]["control.a"] = dict(values["secrets"]["witness"]["hosts"]["db.a"])
    assert set(faults(values)) == {"dr:secrets.witness.hosts.control.a"}, "one that is there is looked at"


def test_settings_do_not_print_their_secrets() -> None:
    printed = repr(config.parse(stack.configuration()))
    for secret in ("secret-", "5ec2e7", "PRIVATE KEY"):
        assert secret not in printed


def test_a_fault_says_value_wanted_consequence_and_remedy() -> None:
    fault = faults(put(stack.configuration(), "regions/b/front_cidr", "10.1.0.0/24"))["dr:regions.a.front_cidr"]
    assert str(fault) == (
        "dr:regions.a.front_cidr is '10.1.0.0/24'; wanted a network apart from dr:regions.b.front_cidr (10.1.0.0/24). "
        "An address would mean two hosts, and nobody detects it. Give one of them another range, like 10.2.0.0/24."
    )


def test_what_drctl_makes_is_accepted() -> None:
    made = generate({host: [f"{host}.dr.internal"] for host in stack.HOSTS}, "www.shop.example", OUTSIDE)
    settings = config.parse(stack.configuration(secrets=made))
    assert settings.secrets.host_keys["app-2.b"].public.startswith("ssh-ed25519 ")


OUTSIDE = {key: value for key, value in stack.secrets().items() if key in ("openstack_password", "ovh", "witness")}


ENDPOINTS = ("openstack/auth_url", "ovh/endpoint", "witness/endpoint", "regions/a/s3_endpoint", "regions/b/s3_endpoint")


def secure() -> dict[str, Any]:
    """A configuration that names no plain address, and is no rehearsal."""
    values = stack.configuration(lab=False)
    values["openstack"].pop("endpoint_overrides", None)
    for path in ENDPOINTS:
        put(values, path, "https://api.example")
    return values


def test_whatever_is_asked_with_a_password_is_asked_over_tls() -> None:
    assert config.parse(secure()).lab is False
    for path in ENDPOINTS:
        values = put(secure(), path, "http://203.0.113.2:5000")
        found = faults(values)
        assert set(found) == {f"dr:{path.replace('/', '.')}"}
        assert "wanted an https:// URL" in str(next(iter(found.values()))) and "dr:lab" in str(
            next(iter(found.values()))
        )
        assert config.parse({**values, "lab": True}).lab is True
        for strange in ("http://[", "http://127.0.0.1.example", "http://localhost.example", "http://user@203.0.113.2"):
            assert set(faults(put(secure(), path, strange))) == {f"dr:{path.replace('/', '.')}"}
        for own in ("http://127.0.0.1:5000", "http://[::1]:5000", "http://localhost:5000"):
            config.parse(put(secure(), path, own))
    assert set(faults(put(secure(), "openstack/endpoint_overrides", {"compute": "http://nova.example/"}))) == {
        "dr:openstack.endpoint_overrides.compute"
    }


def test_a_rehearsal_is_announced_by_every_preview() -> None:
    assert advice.warnings(config.parse(secure())) == []
    (said,) = advice.warnings(
        config.parse(put({**secure(), "lab": True}, "witness/endpoint", "http://192.0.2.12:7070"))
    )
    assert "REHEARSAL" in said and "dr:witness.endpoint;" in said


@pytest.mark.parametrize(
    ("name", "fits"), [("region-a", True), ("staging-a", True), ("region-b", False), ("a", False), ("prod", False)]
)
def test_a_stack_is_of_the_site_that_its_name_says(monkeypatch: pytest.MonkeyPatch, name: str, fits: bool) -> None:
    monkeypatch.setattr("pulumi.get_stack", lambda: name)
    stored = {f"dr:{key}": it if isinstance(it, str) else json.dumps(it) for key, it in stack.configuration().items()}
    monkeypatch.setattr("pulumi.runtime.config.get_config_env", dict)
    monkeypatch.setattr("pulumi.runtime.config.CONFIG", contextvars.ContextVar("config", default=stored))
    monkeypatch.setattr("pulumi.runtime.config.is_config_secret", lambda key: key == "dr:secrets")
    if fits:
        assert config.load().site == "a"
    else:
        with pytest.raises(
            ConfigError, match=f"dr:site is 'a' in stack '{name}'; wanted a stack whose name ends in -a"
        ) as caught:
            config.load()
        # One that is up under a name of before is renamed; no other stack is there to be run.
        assert ("`pulumi stack rename <word>-a`" in str(caught.value)) == (name != "region-b")


def test_a_fault_in_the_secrets_never_advises_a_new_set() -> None:
    """Hosts take their keys at their first boot alone: whoever follows such advice is shut out of every one of them, and of the backups."""
    broken = stack.secrets()
    broken["redis"]["app"], broken["ssh"]["operator"]["private"] = "short", "none"
    with pytest.raises(ConfigError) as caught:
        config.parse(stack.configuration(secrets=broken))
    for fault in caught.value.faults:
        assert "that was kept" in fault.remedy and "for a new installation alone" in fault.remedy


def test_who_signs_records_off_has_a_name_and_a_key_of_his_own() -> None:
    values = stack.configuration()
    signers = {"drctl": stack.public_key(5), "alice": stack.public_key(6), "bob": stack.public_key(6)}
    found = faults({**values, "reports": {"signers": signers}})
    assert set(found) == {"dr:reports.signers.drctl", "dr:reports.signers.alice"}
    assert "this one is the program's" in found["dr:reports.signers.drctl"].wanted
    assert "the key of bob" in found["dr:reports.signers.alice"].found
    assert set(faults({**values, "reports": {"signers": {"al ice": stack.public_key(5)}}})) == {"dr:reports.signers"}


def test_what_is_said_of_records_is_no_reason_against_a_move_and_absent_is_not_declared() -> None:
    without = {key: value for key, value in stack.configuration().items() if key != "reports"}
    assert config.parse(without).reports is None
    told = config.parse({**without, "reports": {}}).reports
    assert told is not None and (told.rto_s, told.rpo_s, told.drill_days) == (None, None, 90)
    assert [key for key in digests(config.parse(stack.configuration())) if key.startswith("reports")] == []


def test_a_secret_that_is_named_and_missing_is_refused_by_its_name_and_one_that_nobody_names_goes_nowhere() -> None:
    values = stack.configuration()
    values["app"] |= {"env": {}, "processes": {"worker": {"env": {"KEY": "{secret.PAYMENT}"}}}}
    values["secrets"]["app"] = {"PAYMENTS": "secret-payments"}
    found = faults(values)["dr:app.processes.worker.env.KEY"]
    assert found.found == "the secret PAYMENT" and "app.PAYMENT in dr:secrets" in found.wanted
    values["secrets"]["app"] = {"PAYMENT": "secret-payment", "SPARE": "secret-spare"}
    block = documents.app(
        config.parse(values), "/opt/shop/releases/x", {"access_key": "k", "secret_key": "s"}, turn=False
    )
    assert block["secrets"] == {"PAYMENT": "secret-payment"}
    assert block["processes"]["worker"]["env"] == {"KEY": "{secret.PAYMENT}"}


@pytest.mark.parametrize(
    ("aliases", "twice"),
    [
        (["www.shop.example"], "www.shop.example"),
        (["a.example", "a.example"], "a.example"),
        (["app.a.dr.internal"], "dr.internal"),
    ],
)
def test_a_name_of_the_shop_means_one_thing(aliases: list[str], twice: str) -> None:
    shop = {**stack.configuration()["shop"], "aliases": aliases}
    fault = faults(stack.configuration(shop=shop))["dr:shop.aliases"]
    assert twice in str(fault) and "ake it out of the list" in fault.remedy


@pytest.mark.parametrize(
    ("keys", "subject"),
    [
        ({"health_path": "/health/deep"}, "dr:app.health_path"),
        ({"health_path": "/metrics/up", "inside_paths": ["/metrics"]}, "dr:app.health_path"),
        ({"cable_path": "/admin/cable", "inside_paths": ["/admin"]}, "dr:app.cable_path"),
        ({"cable_path": "/up", "health_path": "/up"}, "dr:app.cable_path"),
    ],
)
def test_a_path_that_nobody_could_ask_for_is_told(keys: dict[str, Any], subject: str) -> None:
    app = {**stack.configuration()["app"], **keys}
    assert set(faults(stack.configuration(app=app))) == {subject}


ACME = {"contact": "ops@shop.example"}


def with_acme(**acme: Any) -> dict[str, Any]:
    """The configuration of a shop whose certificate is ordered."""
    values = stack.configuration()
    values["shop"] = {**values["shop"], "acme": {**ACME, **acme}}
    values["secrets"]["acme"] = {
        "application_key": "acme-app-key",
        "application_secret": "acme-app-secret",
        "consumer_key": "acme-consumer-key",
    }
    values["secrets"]["tls"]["shop"]["ca"] = values["secrets"]["tls"]["ca"].replace("tlsca", "tlsshopca")
    return values


def test_a_certificate_may_be_ordered_by_the_bastions() -> None:
    settings = config.parse(with_acme())
    assert settings.shop.acme is not None and settings.shop.acme.directory.startswith(
        "https://acme-v02.api.letsencrypt.org/"
    )
    assert settings.entrance_public, "customers trust it, and so does the proof"
    assert config.parse(stack.configuration()).shop.acme is None, "off unless it is asked for"


def test_a_given_certificate_and_an_ordered_one_are_not_taken_together() -> None:
    values = with_acme()
    del values["secrets"]["tls"]["shop"]["ca"]  # as one of a public CA is put there
    assert "beside a public certificate" in faults(values)["dr:shop.acme"].found


def test_a_further_name_is_not_left_without_a_certificate() -> None:
    values = with_acme()
    values["shop"]["aliases"] = ["shop.example"]
    assert "orders a certificate of `host` alone" in faults(values)["dr:shop.aliases"].wanted


def test_what_an_order_takes_is_asked_for_beforehand() -> None:
    values = with_acme()
    del values["secrets"]["acme"]
    assert "drctl rights acme" in faults(values)["dr:shop.acme"].remedy
    values = with_acme()
    del values["secrets"]["witness"]["hosts"]["control.b"]
    assert "control.b" in faults(values)["dr:shop.acme"].found


@pytest.mark.parametrize(
    ("acme", "subject"),
    [
        ({"zone": "shop.example"}, "dr:shop.acme.zone"),
        ({"directory": "acme"}, "dr:shop.acme.directory"),
        ({"contact": "ops"}, "dr:shop.acme.contact"),
        ({"contact": "ops@shop.example --server x"}, "dr:shop.acme.contact"),
        ({"ca": "a file"}, "dr:shop.acme.ca"),
    ],
)
def test_a_word_of_an_order_that_is_none_is_one_fault(acme: dict[str, Any], subject: str) -> None:
    assert list(faults(with_acme(**acme))) == [subject]


def test_a_ca_is_asked_over_tls() -> None:
    subject, values = "dr:shop.acme.directory", with_acme(directory="http://acme.example/dir")
    config.parse(values)  # of a rehearsal
    assert subject in faults({**values, "lab": False})
    assert subject not in faults({**with_acme(), "lab": False})


def test_bastions_and_app_hosts_alone_are_told_of_it() -> None:
    settings = config.parse(with_acme())
    told = {role: documents.setup(settings, role) for role in ("control", "app", "db", "cache")}
    assert {role: it["certificate"] is not None for role, it in told.items()} == {
        "control": True,
        "app": True,
        "db": False,
        "cache": False,
    }
    order = told["control"]["certificate"]["order"]
    assert sorted(order["opened_by"]) == sorted(key for key in settings.hosts if key.startswith(("control", "app"))), (
        "of both sites"
    )
    assert told["app"]["certificate"]["order"] is None


def test_while_certificates_of_hosts_are_rotated_what_is_sealed_is_opened_by_both() -> None:
    values = with_acme()
    tls = values["secrets"]["tls"]
    other = {host: {**it, "cert": it["cert"].replace("tls", "next")} for host, it in tls["hosts"].items()}
    part = {"stage": "beside", "applied": False, "ca": tls["ca"].replace("tls", "next"), "hosts": other}
    values["secrets"]["rotation"] = {"host-certificates": part}
    settings = config.parse(values)
    order = documents.setup(settings, "control")["certificate"]["order"]
    for host, told in order["opened_by"].items():
        assert told == tls["hosts"][host]["cert"] + other[host]["cert"]
    assert settings.secrets.ca == tls["ca"] + part["ca"]
    assert "nextcontrol1asecret" not in json.dumps(order), "no key beside leaves the set"
    values["secrets"]["rotation"] = {"host-certificates": {"stage": "ended", "applied": False}}
    at_the_end = config.parse(values)
    assert at_the_end.secrets.ca == tls["ca"] and at_the_end.secrets.host_certificates_beside == {}


def test_bastions_have_what_it_takes_to_order() -> None:
    settings = config.parse(with_acme())
    told = {role: documents.setup(settings, role) for role in ("control", "app")}
    assert "lego" in told["control"]["packages"]
    assert "lego" not in [
        *told["app"]["packages"],
        *documents.setup(config.parse(stack.configuration()), "control")["packages"],
    ]


def test_a_bastion_that_orders_may_ask_the_zones_name_servers_and_no_other_host_may() -> None:
    def world(values: dict[str, Any], role: str) -> set[str]:
        rules = firewall.rules(config.parse(values), role)
        return {f"{it.protocol} {it.port}" for it in rules if it.direction == "egress" and it.prefix == "0.0.0.0/0"}

    ordered = with_acme(directory="https://acme.example:14000/dir")
    assert world(ordered, "control") - world(stack.configuration(), "control") >= {"udp 53", "tcp 53", "tcp 14000"}
    assert world(ordered, "app") == world(stack.configuration(), "app")


def test_a_pair_that_is_watched_and_tells_nobody_is_told_so() -> None:
    """Ways of telling may each be left out, not all of them; and the one that says that the others are alive."""
    values = stack.configuration()
    assert advice.warnings(replace(config.parse(values), lab=False)) == []
    values["secrets"]["monitoring"] = {"pagerduty": "secret-pagerduty-key"}
    values["monitoring"] = {}
    (said,) = advice.warnings(replace(config.parse(values), lab=False))
    assert "monitoring.watchdog" in said
    del values["secrets"]["monitoring"]
    (said,) = advice.warnings(replace(config.parse(values), lab=False))
    assert "no alert reaches anybody" in said
    for quiet in (None, {"enabled": False}):
        assert advice.warnings(replace(config.parse({**values, "monitoring": quiet}), lab=False)) == []


def test_a_page_that_anybody_may_read_and_nobody_asks_for_is_told() -> None:
    values = put(stack.configuration(), "monitoring/status_page", {"bucket": "shop-status", "public": True})
    (said,) = advice.warnings(replace(config.parse(values), lab=False))
    assert said.startswith("dr:monitoring.status_page.address: found none") and "docs/status-page.md" in said
    for page in ({"address": "https://status.example/"}, {"public": False}):
        told = put(stack.configuration(), "monitoring/status_page", {"bucket": "shop-status", "public": True, **page})
        assert advice.warnings(replace(config.parse(told), lab=False)) == []
    for wrong in ("status.example", "https://user:word@status.example/", "ftp://status.example/"):
        told = put(stack.configuration(), "monitoring/status_page", {"bucket": "shop-status", "address": wrong})
        assert set(faults(told)) == {"dr:monitoring.status_page.address"}


@pytest.mark.parametrize(
    "name",
    [
        "slack",
        "webhook",
        "watchdog",
        "pagerduty",
        "smtp_password",
        "remote_write_password",
        "remote_write_token",
    ],
)
def test_a_word_of_a_receiver_that_is_none_is_refused_and_not_shown(name: str) -> None:
    values = stack.configuration()
    values["secrets"]["monitoring"][name] = "not a\nreal-secret-word"
    found = faults(values)
    assert list(found) == [f"dr:secrets.monitoring.{name}"]
    assert "real-secret-word" not in str(found)


def test_a_store_is_shown_a_password_or_a_token_and_over_tls() -> None:
    store = "monitoring/remote_write"
    values = put(stack.configuration(), store, {"url": "https://store.example/api/v1/write", "user": "shop"})
    assert list(faults(values)) == ["dr:monitoring.remote_write.user"]
    values["secrets"]["monitoring"]["remote_write_password"] = "secret-store-password"
    assert config.parse(values).monitoring is not None
    plain = put({**values, "lab": False}, f"{store}/url", "http://store.example/")
    assert "dr:monitoring.remote_write.url" in faults(plain)
    values = put(values, f"{store}/url", "https://store.example/")
    values["secrets"]["monitoring"]["remote_write_token"] = "secret-store-token"
    assert list(faults(values)) == ["dr:monitoring.remote_write.user"], "which of them?"
    values["monitoring"]["remote_write"]["user"] = None
    assert config.parse(values).secrets.monitoring.remote_write_token == "secret-store-token"
    for url in ("https://ann:word@store.example/", "store.example", 7):
        assert "dr:monitoring.remote_write.url" in faults(put(values, f"{store}/url", url))


def test_a_store_of_journals_is_shown_a_password_or_a_token_over_tls_and_never_by_two_words() -> None:
    values = {**stack.configuration(), "logs": {"store": dict(stack.JOURNALS)}}
    assert config.parse(values).secrets.logs.store_password == "secret-journals-password"
    values["secrets"]["logs"] = {}
    assert list(faults(values)) == ["dr:logs.store.user"]
    values["secrets"]["logs"] = {"store_password": "secret-word", "store_token": "secret-token"}
    found = faults(values)
    assert list(found) == ["dr:logs.store.user"] and "secret-" not in str(found), "which of them?"
    values["secrets"]["logs"] = {"store_token": "not a\nreal-secret-token"}
    found = faults(put(values, "logs/store/user", None))
    assert list(found) == ["dr:secrets.logs.store_token"] and "real-secret" not in str(found)
    values["secrets"]["logs"] = {"store_token": "secret-token"}
    assert config.parse(values).secrets.logs.store_token == "secret-token"
    for url in ("https://ann:word@logs.example", "https://192.0.2.7/insert/journald", "https://logs.example/x?y", 7):
        assert "dr:logs.store.url" in faults(put(values, "logs/store/url", url))
    values["secrets"]["logs"] = {}
    plain = put({**values, "lab": False}, "logs/store/url", "http://logs.example/insert/journald")
    assert "dr:logs.store.url" in faults(plain), "whose lines they are is nobody else's matter, also without a word"


def test_a_mail_server_that_asks_who_it_is_needs_a_password() -> None:
    values = stack.configuration()
    del values["secrets"]["monitoring"]["smtp_password"]
    assert list(faults(put(values, "monitoring/email/user", "alerts"))) == ["dr:monitoring.email.user"]
    values["monitoring"]["email"]["user"] = None
    assert config.parse(values).secrets.monitoring.smtp_password is None


def watched() -> dict[str, Any]:
    """With a page for customers."""
    return stack.configuration(monitoring={"email": dict(stack.MAIL), "status_page": dict(stack.PAGE)})


def test_a_page_for_customers_needs_a_key_and_a_bucket_of_its_own() -> None:
    values = watched()
    assert config.parse(values).secrets.monitoring.status_page is not None
    for bucket in (values["witness"]["bucket"], config.parse(values).bucket("b", "assets")):
        taken = faults(put(values, "monitoring/status_page/bucket", bucket))
        assert list(taken) == ["dr:monitoring.status_page.bucket"]
    values = watched()
    values["secrets"]["monitoring"]["status_page"] = {"access_key": "x y"}
    wrong = faults(values)
    assert set(wrong) == {f"dr:secrets.monitoring.status_page.{it}" for it in ("access_key", "secret_key")}
    del values["secrets"]["monitoring"]["status_page"]
    assert list(faults(values)) == ["dr:monitoring.status_page"]
    values["monitoring"]["enabled"] = False
    assert config.parse(values).monitoring is not None
