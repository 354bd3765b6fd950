"""The whole program against the recording engine: what a stack makes, in which order, and what it must never contain."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from components import config
from components.asset_buckets import credential_name
from components.bundle import Bundle
from tests.components import engine, stack
from tests.components.engine import Registered

TOOL = Bundle(path=".build/dr-host-0.pyz", digest="0" * 12)
SHOP = Bundle(path=".build/shop-1.tar.gz", digest="1" * 12)
COPIER = Bundle(path=".build/dr-assets-1.pyz", digest="1" * 12)
STAGES = [
    ["fence-claim"],
    ["postgres-converge", "sync-converge"],
    ["verify-order"],
    ["dns-pointer"],
]
CHAIN = [link for stage in STAGES for link in stage]
ARRIVALS = ("-installed",)  # scripts that get no document
BESIDE = "archive-converge"  # told the epoch too, and waited for by nothing
LAST = "asset-rules-replication"  # the same, after all of the chain
# The cache: at its turn beside the data, and once more behind the proof, where its failure is one.
CACHE, SETTLED = "redis-turn", "redis-converge"
# The app hosts: told their role side by side, and once more behind the proof, where releases and workers come one after the other.
TURN, APPS = "app-turn", ("app-app-1-converge", "app-app-2-converge")
LEFT = "app-forward"  # what the app hosts of a region that was left are told
# Who watches: told no role, and behind the proof all the same.
WATCHED = {f"monitoring-{host}" for host in ("control-1", "db-1", "cache-1", "app-1", "app-2")}
ROLES = {*CHAIN, BESIDE, CACHE, SETTLED, TURN, *APPS, LEFT}
COMMANDS = ("command:local:Command", "command:remote:Command")


@cache
def program() -> ModuleType:
    """`.__main__.py` as a module; importing it declares nothing."""
    spec = importlib.util.spec_from_file_location("program", stack.ROOT / "__main__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(site: str = "a", bundle: Bundle | None = None, **changes: Any) -> dict[str, Registered]:
    """Everything that the stack of a site registers, by type and name."""
    settings = config.parse(stack.configuration(site, **changes))
    resources = engine.build(
        lambda: program().declare(settings, program().Bundles(tool=TOOL, copier=COPIER, shop=bundle or SHOP))
    )
    return {f"{it.type} {it.name}": it for it in resources}


@pytest.fixture(scope="module")
def a() -> dict[str, Registered]:
    return built("a")


@pytest.fixture(scope="module")
def b() -> dict[str, Registered]:
    return built("b")


def commands(resources: Mapping[str, Registered]) -> dict[str, Registered]:
    return {it.name: it for it in resources.values() if it.type in COMMANDS}


def of_type(resources: Mapping[str, Registered], kind: str) -> dict[str, Registered]:
    return {it.name: it for it in resources.values() if it.type.split(":")[-1] == kind}


def closure(resources: Mapping[str, Registered], name: str) -> set[str]:
    """Names of all that a resource waits for, directly or not."""
    by_name: dict[str, set[str]] = {}
    for it in resources.values():
        by_name.setdefault(it.name, set()).update(it.depends_on)
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for other in by_name.get(waiting.pop(), set()) - seen:
            seen.add(other)
            waiting.append(other)
    return seen


def test_both_stacks_have_the_same_tree(a: dict[str, Registered], b: dict[str, Registered]) -> None:
    assert sorted(a) == sorted(b)


def test_a_request_changes_no_resource_but_what_the_links_are_told(a: dict[str, Registered]) -> None:
    other = built("a", failover_region="b")
    assert list(sorted(a)) == list(sorted(other))
    changed = {it.name for key, it in a.items() if it != other[key]}
    assert changed == {"fence-claim", *(name for name in ROLES if name.endswith(("-converge", "-turn")))}
    for name in changed:
        for one, two in zip(*(documents(tree, name) for tree in (a, other)), strict=True):
            assert {key for key in one.keys() | two.keys() if one.get(key) != two.get(key)} == {"request"}


def documents(resources: Mapping[str, Registered], name: str) -> list[dict[str, Any]]:
    """What a link is told, or the hosts of a turn are."""
    told = json.loads(commands(resources)[name].inputs["stdin"])
    return [json.loads(text) for text in told["documents"].values()] if "documents" in told else [told]


def test_what_is_built_before_the_fence_is_told_no_role(a: dict[str, Registered]) -> None:
    early = [it for name, it in commands(a).items() if name not in {*ROLES, LAST}]
    assert len(early) == 10 + len(WATCHED)
    for it in early:
        assert not {"request", "epoch"} & set(
            json.loads(it.inputs["stdin"]) if it.inputs["stdin"].startswith("{") else ()
        )


def test_the_chain_has_the_order_of_a_failover(a: dict[str, Registered]) -> None:
    for number, stage in enumerate(STAGES):
        before = {link for earlier in STAGES[:number] for link in earlier}
        for name in stage:
            waits = closure(a, name)
            assert before <= waits, f"{name} does not wait for all that comes before it"
            assert not (set(CHAIN) - before) & waits, f"{name} waits for what is not before it"


def test_orders_do_not_wait_for_a_cache_and_its_failure_ends_no_run_before_the_shop_sells(
    a: dict[str, Registered],
) -> None:
    """A link that fails ends a run: whatever has not begun by then does not. So the first turn is no failure, and the second comes after the proof."""
    assert not [name for name in CHAIN if {CACHE, SETTLED} & closure(a, name)]
    assert closure(a, CACHE) & set(CHAIN) == {"fence-claim"}
    assert {CACHE, "verify-order"} <= closure(a, SETTLED) and "dns-pointer" not in closure(a, SETTLED)
    assert told_in_a_turn(a, CACHE) == {"cache-1.a": json.loads(commands(a)[SETTLED].inputs["stdin"])}


def test_a_region_that_was_left_forwards_once_this_one_sells_and_nothing_waits_for_it(a: dict[str, Registered]) -> None:
    assert {TURN, "verify-order"} <= closure(a, LEFT) | {TURN} and "dns-pointer" not in closure(a, LEFT)
    assert not [it.name for it in a.values() if LEFT in it.depends_on]
    told = json.loads(commands(a)[LEFT].inputs["stdin"])
    assert told["apps"] == ["app-1", "app-2"] and list(told["ssh"]["bastions"]) == ["a"]


def test_a_dead_app_host_keeps_no_other_from_selling_and_no_name_from_moving(a: dict[str, Registered]) -> None:
    """The hosts turn side by side; the proof asks until the shop sells, whoever has turned by then."""
    assert not [name for name in CHAIN if {TURN, *APPS} & closure(a, name)]
    assert closure(a, TURN) & ROLES == {"fence-claim", "postgres-converge", "sync-converge"}
    told = told_in_a_turn(a, TURN)
    assert told.keys() == {"app-1.a", "app-2.a"} and all(each["app"]["turn"] for each in told.values())
    assert {TURN, "verify-order"} <= closure(a, APPS[0]) and "dns-pointer" not in closure(a, APPS[0])
    assert APPS[0] in closure(a, APPS[1]), "a new release comes to one host, and then to the others"
    for name in APPS:
        assert json.loads(commands(a)[name].inputs["stdin"])["app"]["turn"] is False


def told_in_a_turn(resources: Mapping[str, Registered], name: str) -> dict[str, Any]:
    """What each host is told by a link that is no failure, by the host's key."""
    link = commands(resources)[name].inputs
    assert link["logging"] == "stderr", "what became of it is seen"
    return {host: json.loads(text) for host, text in json.loads(link["stdin"])["documents"].items()}


def test_nothing_waits_for_backups_and_wal_has_a_place_before_the_fence(a: dict[str, Registered]) -> None:
    assert "verify-order" in closure(a, BESIDE)
    assert not [it.name for it in a.values() if BESIDE in it.depends_on]
    assert {"archive-place-prepare", "assets-archive-policy"} <= closure(a, "fence-claim")
    without = {key: value for key, value in stack.configuration("a").items() if key != "archive"}
    settings = config.parse(without)
    resources = engine.build(
        lambda: program().declare(settings, program().Bundles(tool=TOOL, copier=COPIER, shop=SHOP))
    )
    assert not {BESIDE, "archive-place-prepare"} & {it.name for it in resources}


def test_nothing_waits_for_the_platforms_replication_and_it_waits_for_the_whole_failover(
    a: dict[str, Registered],
) -> None:
    assert set(CHAIN) <= closure(a, LAST)
    assert not [it.name for it in a.values() if LAST in it.depends_on]
    document = json.loads(commands(a)[LAST].inputs["stdin"])
    assert (document["mode"], document["epoch"]) == ("copy", None), "nothing to turn: a move does not run it"
    for mode in ("native", "both"):
        told = json.loads(commands(built("a", assets={"mode": mode}))[LAST].inputs["stdin"])
        assert (told["mode"], told["epoch"]["active"]) == (mode, "a")
    names = {
        site: next(it.inputs["name"] for it in of_type(built(site), "Storage").values() if it.name == "assets-assets")
        for site in "ab"
    }
    assert {site: it["bucket"] for site, it in document["buckets"].items()} == names
    assert {site: it["region"] for site, it in document["buckets"].items()} == {"a": "GRA", "b": "SBG"}


def test_nothing_waits_for_who_watches_and_a_move_changes_nothing_of_it(a: dict[str, Registered]) -> None:
    moved = commands(built("a", failover_region="b"))
    for name in WATCHED:
        assert "verify-order" in closure(a, name)
        assert not [it.name for it in a.values() if name in it.depends_on]
        assert moved[name].inputs["stdin"] == commands(a)[name].inputs["stdin"]
        watch = json.loads(commands(a)[name].inputs["stdin"])["monitoring"]["watch"]
        assert (watch is not None) is (name == "monitoring-control-1"), "the others are told no word of receivers"


def test_without_monitoring_nothing_of_it_is_there_and_no_port_is_open(a: dict[str, Registered]) -> None:
    without = built("a", monitoring=None)
    gone = {it.name for key, it in a.items() if key not in without}
    ports = {it.inputs["portRangeMin"] for it in of_type(a, "SecGroupRule").values() if it.name in gone}
    assert {it for it in gone if "region-network" not in it} == WATCHED
    assert ports == {9100, 9090, 587, 8443}, "those of exporters and watchers, and where people are told"
    told = built("a", monitoring={"enabled": False})
    for name in WATCHED:
        assert json.loads(commands(told)[name].inputs["stdin"])["monitoring"] == {"enabled": False, "watch": None}


COPIED = {f"logs-{host}" for host in ("control-1", "db-1", "cache-1", "app-1", "app-2")}


def test_journals_are_copied_where_that_is_configured_and_only_control_hosts_keep_any(a: dict[str, Registered]) -> None:
    copied = built("a", logs={"days": 3})
    more = {it.name: it for key, it in copied.items() if key not in a}
    assert {it for it in more if "region-network" not in it} == COPIED
    rules = [it.inputs for it in more.values() if it.name not in COPIED]
    ports = {(it["direction"], it["portRangeMin"]) for it in rules}
    assert ports == {("ingress", 443)}, "who sends needs no rule of its own"
    moved = commands(built("a", logs={"days": 3}, failover_region="b"))
    for name in COPIED:
        told = json.loads(commands(copied)[name].inputs["stdin"])["logs"]
        kept = {"days": 3, "host_mb": 256} if name == "logs-control-1" else None
        assert told == {"enabled": True, "kept": kept, "stored": False, "store": None}
        assert "verify-order" in closure(copied, name)
        assert not [it.name for it in copied.values() if name in it.depends_on]
        assert moved[name].inputs["stdin"] == commands(copied)[name].inputs["stdin"]
    off = built("a", logs={"enabled": False})
    nothing = {"enabled": False, "kept": None, "stored": False, "store": None}
    assert json.loads(commands(off)["logs-control-1"].inputs["stdin"])["logs"] == nothing


def test_the_word_for_a_store_of_journals_is_told_to_control_hosts_alone_and_one_rule_lets_the_others_come() -> None:
    copied, stored = built("a", logs={}), built("a", logs={"store": stack.JOURNALS})
    more = [it for key, it in stored.items() if key not in copied]
    assert [(it.inputs["direction"], it.inputs["portRangeMin"], it.inputs["remoteIpPrefix"]) for it in more] == [
        ("ingress", 443, "10.1.0.0/26")
    ]
    for name in COPIED:
        told = json.loads(commands(stored)[name].inputs["stdin"])["logs"]
        assert told["stored"] is True and (told["store"] is not None) is (name == "logs-control-1")
        assert ("secret-journals-password" in commands(stored)[name].inputs["stdin"]) is (name == "logs-control-1")
    told = json.loads(commands(stored)["logs-control-1"].inputs["stdin"])["logs"]["store"]
    assert told == {**stack.JOURNALS, "ca": None, "tenant": None, "password": "secret-journals-password", "token": None}
    off = built("a", logs={"enabled": False, "store": stack.JOURNALS})
    assert "secret-journals-password" not in commands(off)["logs-control-1"].inputs["stdin"]


def test_no_bucket_names_another_one(a: dict[str, Registered]) -> None:
    for it in of_type(a, "Storage").values():
        assert "replication" not in it.inputs and "replication" in it.ignore_changes


def test_the_fence_waits_for_everything_that_has_no_role(a: dict[str, Registered]) -> None:
    waits = closure(a, "fence-claim")
    late = {"dns-site", "keeper-asks", *ROLES, *WATCHED, LAST}
    early = {it.name for it in a.values() if not it.type.startswith(("dr:", "pulumi:")) and it.name not in late}
    assert early <= waits


def test_every_link_is_run_again_by_an_update_and_leaves_nothing_readable(a: dict[str, Registered]) -> None:
    links = {name: it for name, it in commands(a).items() if name != "keeper-asks"}
    assert len(links) == 22 + len(WATCHED)
    for name, it in links.items():
        inputs = it.inputs
        assert inputs["create"] == inputs["update"], name
        # Without a shell in between, what pulumi's plugin kills when the engine is gone is the parent of the link, which notices.
        local = it.type.startswith("command:local:")
        assert local is inputs["create"].endswith(" --caller $$"), name
        patience = 200 if name == "fence-claim" else 5
        assert f"{'exec ' if local else ''}timeout -k {patience} " in inputs["create"], name
        # What may fail has no other way to be heard of; a host's stderr holds no secret.
        assert inputs["logging"] == ("stderr" if name.endswith(("-turn", "-forward")) else "none"), name
        assert inputs["addPreviousOutputInEnv"] is False, name
        assert not {"triggers", "delete", "environment"} & set(inputs), name
        assert "stdin" in it.secret, name
        assert {"stdout", "stderr"} <= set(it.secret_outputs), name


def test_remote_links_pin_host_keys_and_go_through_the_own_bastion(b: dict[str, Registered]) -> None:
    settings = config.parse(stack.configuration("b"))
    address = next(it for it in b.values() if it.name == "region-bastion-ip")
    remote = [it for it in b.values() if it.type.startswith("command:remote:")]
    assert len(remote) == 23 + len(WATCHED)
    for it in remote:
        connection = it.inputs["connection"]
        bastion = connection.get("proxy", connection)
        assert bastion["hostKey"] == settings.secrets.host_keys["control-1.b"].public
        assert bastion["host"] == engine.ANSWERS[address.type](address.name, {})["address"]
        assert connection["user"] == "root" and connection["dialErrorLimit"] == (
            60 if it.name.endswith("-tool") else 30
        )
        assert connection["hostKey"] in {settings.secrets.host_keys[key].public for key in settings.hosts_of("b")}
        assert "connection" in it.secret


def test_no_secret_is_readable_outside_secret_inputs(a: dict[str, Registered]) -> None:
    shown = json.dumps(
        [{key: value for key, value in it.inputs.items() if key not in it.secret} for it in a.values()], default=str
    )
    for marker in ("secret-", "PRIVATE KEY", "5ec2e7"):
        assert marker not in shown
    assert "secret-" in json.dumps([it.inputs for it in a.values()], default=str)


def test_no_secret_but_the_hosts_own_key_is_in_the_first_boot(a: dict[str, Registered]) -> None:
    for name, it in of_type(a, "Instance").items():
        first_boot = it.inputs["userData"]
        host = name.removeprefix("region-").removesuffix("-server")
        own = stack.secrets()["ssh"]["hosts"][f"{host}.a"]["private"]
        assert json.loads(first_boot.removeprefix("#cloud-config\n"))["ssh_keys"]["ed25519_private"] == own
        assert first_boot.count("PRIVATE KEY") == 2
        assert "secret-" not in first_boot and "tls" not in first_boot


def test_data_is_protected_and_kept(a: dict[str, Registered]) -> None:
    assert {it.name for it in a.values() if it.retain_on_delete} == stack.DATA
    assert {it.name for it in a.values() if it.protect} == stack.PROTECTED


def test_the_keeper_stands_on_everything_of_the_platforms_and_on_no_link_of_the_chain(a: dict[str, Registered]) -> None:
    """A destroy begins with it, so whatever it does not stand on would go although it refuses; and it must not wait for a shop that does not sell."""
    keeper = commands(a)["keeper-asks"]
    platform = {it.name for it in a.values() if it.type.startswith(("openstack:", "ovh:"))}
    assert platform <= keeper.depends_on
    assert not ROLES & closure(a, "keeper-asks")
    assert not [it.name for it in a.values() if "keeper-asks" in it.depends_on]


def test_the_keeper_asks_when_it_is_deleted_and_is_told_no_role(a: dict[str, Registered]) -> None:
    told = commands(a)["keeper-asks"].inputs
    assert (told["create"], told["update"]) == ("true", "true")
    assert "-m scripts.links keeper --caller $$" in told["delete"]
    document = json.loads(told["stdin"])
    assert document["destroy"] is None and not {"request", "epoch", "repair"} & set(document)
    assert (
        document["address"]
        == engine.ANSWERS["openstack:networking/floatingIp:FloatingIp"]("region-balancer-ip", {})["address"]
    )


def test_the_operators_word_lifts_protection_and_no_data_goes_by_it() -> None:
    word = {"site": "a", "epoch": 3, "at": "2026-11-29T14:05Z", "reason": "the shop is closed for good"}
    lifted = built("a", destroy=word)
    assert not [it.name for it in lifted.values() if it.protect]
    assert {it.name for it in lifted.values() if it.retain_on_delete} == stack.DATA
    assert json.loads(commands(lifted)["keeper-asks"].inputs["stdin"])["destroy"] == word


def test_protection_has_one_switch() -> None:
    free = built("a", protect=False)
    assert not [it.name for it in free.values() if it.protect or it.retain_on_delete]


def test_no_server_is_replaced_by_an_image_or_a_first_boot_text(a: dict[str, Registered]) -> None:
    servers = of_type(a, "Instance")
    assert len(servers) == 5
    for it in servers.values():
        assert set(it.ignore_changes) == {"imageId", "userData"}
        assert it.replace_on_changes == ("metadata",)
        assert it.delete_before_replace


def test_the_front_network_asks_for_a_packet_size_or_for_none(a: dict[str, Registered]) -> None:
    assert of_type(a, "Network")["region-network-front"].inputs["mtu"] == 1500
    regions = stack.configuration()["regions"]
    regions["a"]["front_mtu"] = None
    asked = of_type(built("a", regions=regions), "Network")["region-network-front"].inputs
    assert asked.get("mtu") is None, "a platform that carries less refuses any number above its own"


def test_a_raised_generation_touches_one_server_or_the_balancer_alone(a: dict[str, Registered]) -> None:
    regions = stack.configuration()["regions"]
    regions["a"]["host_generation"], regions["a"]["balancer_generation"] = {"app-2": 2}, 2
    raised = built("a", regions=regions)
    changed = {key: it for key, it in raised.items() if it != a[key]}
    # The components say so first: what must be so before anything is deleted is looked up when they change.
    assert {it.name for it in changed.values()} == {
        "region-app-2", "region-app-2-server", "region-balancer", "region-balancer-octavia",
    }  # fmt: skip
    balancer = next(it for it in changed.values() if it.name == "region-balancer-octavia")
    assert balancer.replace_on_changes == ("description",) and balancer.delete_before_replace


def test_a_raised_repair_runs_every_link_again_and_touches_nothing_else(a: dict[str, Registered]) -> None:
    raised = built("a", repair=1)
    changed = {it.name for key, it in raised.items() if it != a[key]}
    asked = {name for name in commands(a) if not name.endswith(ARRIVALS)}
    assert changed == asked - {"keeper-asks"}
    assert asked >= {*ROLES, LAST, "region-db-1-converge"}


def test_copies_are_made_again_on_a_new_server(a: dict[str, Registered]) -> None:
    copies = of_type(a, "CopyToRemote")
    assert len(copies) == 8
    for name, it in copies.items():
        host = (
            "control-1"
            if name.startswith("copier")
            else name.removeprefix("region-").removeprefix("release-").rsplit("-", 1)[0]
        )
        assert it.inputs["triggers"] == [f"region-{host}-server-id"]


def test_a_release_that_lies_in_the_buckets_is_copied_by_nobody_and_fetched_by_each_host(
    a: dict[str, Registered],
) -> None:
    digest = "5" * 64
    stored = built("a", bundle=Bundle(path="", digest=digest))
    assert not [name for name in of_type(stored, "CopyToRemote") if name.startswith("release")]
    for name in ("release-app-1-unpacked", "release-app-2-unpacked"):
        told = json.loads(commands(stored)[name].inputs["stdin"])["release"]
        assert (told["digest"], told["own"]["bucket"], told["peer"]["bucket"]) == (
            digest, "shop-01234567-a-releases", "shop-01234567-b-releases",
        )  # fmt: skip
        assert told["own"]["access_key"] == "secret-access-assets-user-credential"
        assert {"assets-user-policy", name} <= closure(stored, "fence-claim"), (
            "it may read there, and is here before a role"
        )
        copied = json.loads(commands(a)[name].inputs["stdin"])["release"]
        assert copied["own"] is copied["peer"] is None, "no key where none is used"
        assert f"{name.removesuffix('-unpacked')}-archive" in closure(a, name)


def test_hosts_may_read_releases_and_who_puts_them_there_is_no_host(a: dict[str, Registered]) -> None:
    def allowed(user: str) -> dict[str, set[str]]:
        policy = json.loads(of_type(a, "S3Policy")[f"assets-{user}-policy"].inputs["policy"])
        rows = [it for it in policy["Statement"] if it["Effect"] == "Allow" and "-releases" in str(it["Resource"])]
        return {
            resource.removeprefix("arn:aws:s3:::shop-01234567-"): set(it["Action"])
            for it in rows
            for resource in it["Resource"]
        }

    assert allowed("user") == {f"{site}-releases/releases/*": {"s3:GetObject"} for site in "ab"}
    assert not {"s3:DeleteObjectVersion"} & set().union(*allowed("publisher").values())
    assert allowed("publisher").keys() == {f"{site}-releases{tail}" for site in "ab" for tail in ("", "/*")}
    assert not allowed("copier") and not allowed("archive")
    held = [it for it in commands(a).values() if "publisher" in str(it.inputs.get("stdin"))]
    assert not held, "no host and no link is told that key"


def test_no_copy_writes_over_what_is_running(a: dict[str, Registered]) -> None:
    """It writes in place: a run that is killed in the middle of one would leave half."""
    for it in of_type(a, "CopyToRemote").values():
        assert it.inputs["remotePath"].startswith("/opt/dr/uploads/")
    installed = commands(a)["copier-installed"].inputs
    assert "/opt/dr/uploads/dr-assets-1.pyz /opt/dr/dr-assets.pyz" in installed["create"]
    assert installed["stdin"] == "region-control-1-server-id", "a new server has nothing"
    assert "copier-installed" in closure(a, "fence-claim")


def test_a_new_server_or_other_software_changes_every_document_of_its_host(a: dict[str, Registered]) -> None:
    for name, it in commands(a).items():
        if it.type == "command:remote:Command" and not name.endswith(ARRIVALS):
            document = json.loads(it.inputs["stdin"])
            assert document["instance"] == f"region-{document['host']}-server-id"
            assert document["tool"] == TOOL.digest


def test_servers_have_the_names_that_the_other_sites_fence_looks_for(
    a: dict[str, Registered], b: dict[str, Registered]
) -> None:
    names = {it.inputs["name"] for it in of_type(b, "Instance").values()}
    fence = json.loads(commands(a)["fence-claim"].inputs["stdin"])
    leased, workers = (set(fence["openstack"][kind]["b"]) for kind in ("servers", "workers"))
    assert leased == {"shop-b-db-1", "shop-b-cache-1"} and leased | workers == names - {"shop-b-control-1"}
    assert fence["openstack"]["servers"]["b"][0] == "shop-b-db-1"


def test_both_halves_of_the_vrack_meet_without_sharing_an_address(
    a: dict[str, Registered], b: dict[str, Registered]
) -> None:
    networks = [next(it for it in tree.values() if it.name == "region-network-vrack") for tree in (a, b)]
    specs = [it.inputs["valueSpecs"] for it in networks]
    assert specs == [{"provider:network_type": "vrack", "provider:segmentation_id": "42"}] * 2
    subnets = [next(it for it in tree.values() if it.name == "region-network-vrack-subnet").inputs for tree in (a, b)]
    assert [it["allocationPools"] for it in subnets] == [
        [{"start": "10.100.0.60", "end": "10.100.0.89"}],
        [{"start": "10.100.0.160", "end": "10.100.0.189"}],
    ]
    assert all(it["noGateway"] and "gatewayIp" not in it for it in subnets)
    fixed = [it.inputs["fixedIps"][0]["ipAddress"] for tree in (a, b) for it in of_type(tree, "Port").values()]
    assert len(fixed) == len(set(fixed)) == 20


def test_each_host_is_in_the_group_of_all_and_in_that_of_its_kind_on_both_networks(a: dict[str, Registered]) -> None:
    ports = {it.name: it.inputs["securityGroupIds"] for it in of_type(a, "Port").values()}
    kinds = {"control": "control-1", "db": "db-1", "cache": "cache-1", "app": "app-2"}
    for side in ("front", "vrack"):
        for kind, host in kinds.items():
            assert ports[f"region-{host}-{side}"] == ["region-network-every-id", f"region-network-{kind}-id"]


def test_rules_name_prefixes_and_start_from_nothing(a: dict[str, Registered]) -> None:
    assert all(it.inputs["deleteDefaultRules"] for it in of_type(a, "SecGroup").values())
    rules = of_type(a, "SecGroupRule")
    assert all(it.inputs["remoteIpPrefix"] and "remoteGroupId" not in it.inputs for it in rules.values())
    open_to_all = {
        name
        for name, it in rules.items()
        if it.inputs["remoteIpPrefix"] == "0.0.0.0/0" and it.inputs["direction"] == "ingress"
    }
    assert not open_to_all
    assert all(it.inputs["ethertype"] == "IPv4" for it in rules.values()), (
        "a group that starts with no rule denies IPv6, in both directions"
    )
    outgoing = [it.inputs for it in rules.values() if it.inputs["direction"] == "egress"]
    assert outgoing and all(it["protocol"] in ("tcp", "udp") for it in outgoing)
    each = {(it.inputs.get("portRangeMin"), it.inputs.get("portRangeMax")) for it in rules.values()}
    assert {(first, last) for first, last in each if first != last} == {(9090, 9100)}, (
        "what control hosts ask of each other to watch"
    )


def test_physical_names_say_whose_and_where(b: dict[str, Registered]) -> None:
    named = {
        it.name: it.inputs["name"] for it in b.values() if it.type.startswith("openstack:") and "name" in it.inputs
    }
    unnamed_by_site = {name for name, physical in named.items() if not physical.startswith("shop-b-")}
    assert unnamed_by_site == {f"region-balancer-{port}-app-{n}" for port in ("https", "http") for n in (1, 2)}


def test_the_entrance_speaks_proxy_protocol_and_asks_nginx_for_health(a: dict[str, Registered]) -> None:
    assert [it.inputs["protocol"] for it in of_type(a, "Pool").values()] == ["PROXYV2"] * 2
    assert [(it.inputs["protocol"], it.inputs["protocolPort"]) for it in of_type(a, "Listener").values()] == [
        ("TCP", 443),
        ("TCP", 80),
    ]
    assert [it.inputs["vipAddress"] for it in of_type(a, "LoadBalancer").values()] == ["10.1.0.5"]
    monitor = of_type(a, "Monitor")["region-balancer-https-monitor"].inputs
    assert (monitor["type"], monitor["urlPath"]) == ("HTTP", "/health") and monitor["delay"] > monitor["timeout"]
    assert all(it.inputs["monitorPort"] == 8080 for it in of_type(a, "Member").values())


def test_plain_http_has_a_port_of_its_own_which_is_made_once_the_other_one_is_there(a: dict[str, Registered]) -> None:
    """A load balancer takes one change at a time."""
    assert "region-balancer-https-app-2" in closure(a, "region-balancer-http")
    assert {it.inputs["protocolPort"] for name, it in of_type(a, "Member").items() if "-http-" in name} == {80}


def test_the_entrance_is_as_patient_as_nginx(a: dict[str, Registered]) -> None:
    """Octavia's own 50 s would end a websocket that says nothing, and a page that takes longer."""
    listener = of_type(a, "Listener")["region-balancer-https"].inputs
    assert listener["timeoutClientData"] == listener["timeoutMemberData"] == 310_000
    app = {**stack.configuration()["app"], "cable_path": None, "read_timeout_s": 30, "send_timeout_s": 30}
    impatient = of_type(built("a", app=app), "Listener")["region-balancer-https"].inputs
    assert impatient["timeoutClientData"] == 50_000


def test_the_public_name_is_no_resource(a: dict[str, Registered]) -> None:
    assert [it.inputs["subdomain"] for it in of_type(a, "ZoneRecord").values()] == ["a.www"]


def test_floating_ips_wait_for_the_router(a: dict[str, Registered]) -> None:
    for name in ("region-balancer-ip-vip", "region-control-1-ip"):
        assert "region-network-router-front" in closure(a, name)


def test_providers_start_without_their_apis(a: dict[str, Registered]) -> None:
    openstack, ovh = (a[f"pulumi:providers:{kind} {kind}"] for kind in ("openstack", "ovh"))
    assert openstack.inputs["delayedAuth"] == "true" and openstack.inputs["region"] == "GRA11"
    assert ovh.inputs["ignoreInitError"] == "true"
    assert "password" in openstack.secret
    assert {"applicationKey", "applicationSecret", "consumerKey"} <= ovh.secret


def test_buckets_are_versioned_and_encrypted_and_hide_their_objects(b: dict[str, Registered]) -> None:
    buckets = of_type(b, "Storage")
    assert {it.inputs["name"] for it in buckets.values()} == {
        f"shop-01234567-b-{kind}" for kind in ("assets", "wal", "releases")
    }
    for it in buckets.values():
        assert it.inputs["versioning"] == {"status": "enabled"}
        assert it.inputs["encryption"] == {"sseAlgorithm": "AES256"}
        assert it.inputs["hideObjects"] is True and it.inputs["regionName"] == "SBG"


def test_the_repository_is_locked_from_its_creation_on_and_an_old_one_is_left_as_it_is() -> None:
    """A lock cannot be put on a bucket that exists, nor taken off: the platform would make a new one, in a run that may have to move the shop."""
    archive = dict(stack.configuration()["archive"])
    for days, wanted in ((archive["lock_days"], "P14D"), (30, "P30D"), (0, None)):
        buckets = of_type(built("a", archive={**archive, "lock_days": days}), "Storage")
        lock = {"status": "enabled", "rule": {"mode": "compliance", "period": wanted}} if wanted else None
        assert buckets["assets-wal"].inputs.get("objectLock") == lock
        assert "objectLock" not in buckets["assets-assets"].inputs
        assert "objectLock" in buckets["assets-wal"].ignore_changes


def test_who_copies_from_outside_may_read_and_nothing_else() -> None:
    archive = dict(stack.configuration()["archive"])
    assert not [name for name in of_type(built("a"), "User") if "offsite" in name]
    made = built("a", archive={**archive, "offsite": True})
    policy = json.loads(of_type(made, "S3Policy")["assets-offsite-policy"].inputs["policy"])
    allowed = [it for it in policy["Statement"] if it["Effect"] == "Allow"]
    assert {name.partition(":")[2][:3] for it in allowed for name in it["Action"]} == {"Get", "Lis"}
    assert {name for it in allowed for name in it["Resource"]} == {
        f"arn:aws:s3:::shop-01234567-a-{kind}{tail}" for kind in ("assets", "wal") for tail in ("", "/*")
    }


def test_app_hosts_are_kept_apart(a: dict[str, Registered]) -> None:
    hints = {name: it.inputs.get("schedulerHints") for name, it in of_type(a, "Instance").items()}
    grouped = {name for name, hint in hints.items() if hint == [{"group": "region-app-apart-id"}]}
    assert grouped == {"region-app-1-server", "region-app-2-server"}
    assert of_type(a, "ServerGroup")["region-app-apart"].inputs["policies"] == "anti-affinity"


def test_of_several_caches_the_shop_waits_for_none_and_the_others_wait_for_the_head() -> None:
    grouped = built("a", redis={"maxmemory": "256mb", "cache_replicas": 2})
    others = {"redis-cache-2-converge", "redis-cache-3-converge"}
    assert others < set(commands(grouped)) and not others & closure(grouped, "dns-pointer")
    for name in others:
        assert {CACHE, SETTLED, "fence-claim"} <= closure(grouped, name)
    servers = {it.inputs["name"] for it in of_type(grouped, "Instance").values()}
    assert {"shop-a-cache-1", "shop-a-cache-2", "shop-a-cache-3"} < servers


def rotated(used: int, stage: str, beside: int) -> dict[str, Any]:
    """Secrets in a rotation of the buckets' keys."""
    part = {"stage": stage, "applied": True, "generation": beside}
    return {**stack.secrets(), "buckets": {"generation": used}, "rotation": {"buckets": part}}


@pytest.mark.parametrize(("used", "stage", "beside"), [(1, "beside", 2), (2, "turned", 1), (2, "beside", 3)])
def test_users_of_buckets_have_two_keys_while_those_are_rotated_and_a_move_waits_for_none_that_is_not_in_use(
    used: int, stage: str, beside: int
) -> None:
    made = built("a", secrets=rotated(used, stage, beside))
    for user in ("user", "copier", "archive", "publisher"):
        now, other = (credential_name(f"assets-{user}", number) for number in (used, beside))
        assert {now, other} <= of_type(made, "S3Credential").keys()
        waiting = [name for name in commands(made) if other in closure(made, name)]
        assert stage == "turned" or not waiting, "a run that makes no resource would be refused"
        if user != "publisher":
            told = json.dumps([it.inputs.get("stdin") for it in commands(made).values()])
            assert f"secret-access-{now}\\" in told and f"secret-access-{other}\\" not in told
            assert now in closure(made, "fence-claim")
        assert now in closure(made, "keeper-asks")


def test_keys_that_were_never_rotated_have_the_name_of_before_they_had_numbers(a: dict[str, Registered]) -> None:
    assert "assets-user-credential" in of_type(a, "S3Credential")
    assert credential_name("assets-user", 2) == "assets-user-credential-2"


def test_who_copies_from_outside_keeps_the_key_that_was_given_to_him() -> None:
    archive = {**stack.configuration("a").get("archive", {}), "offsite": True}
    made = built("a", secrets=rotated(2, "turned", 1), archive=archive)
    assert [name for name in of_type(made, "S3Credential") if "offsite" in name] == ["assets-offsite-credential"]
