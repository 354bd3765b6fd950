"""`drctl init` against a platform that is hostile, half dead or somebody else's: each its sentence, and nothing changed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from components.state import PASSPHRASE
from contract.errors import ExitCode
from lab.s3.stored import Retention
from scripts.clients import http
from scripts.ctl.beginning import account, steps
from scripts.ctl.beginning import answers as given
from scripts.ctl.beginning.backend import Backend
from scripts.ctl.beginning.world import World
from tests.unit.played_platform import Platform, spoiled
from tests.unit.test_drctl_init import BUCKET, STATE, init
from tests.unit.test_state import LONG, THIRD
from tests.unit.test_state import settings as real_settings

GRA, SBG = "GRA11", "SBG5"
ANSWERS = {
    "service_name": "0" * 32,
    "zone": "shop.example",
    "operator_cidrs": ["192.0.2.7/32"],
    "regions": {"a": {"compute_region": GRA}, "b": {"compute_region": SBG}},
}


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Platform:
    return Platform(monkeypatch, tmp_path)


@pytest.fixture
def refused(platform: Platform, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A run that must change nothing: what it says on both streams."""

    def run(*words: str, code: ExitCode = ExitCode.REFUSED) -> str:
        before = platform.made()
        assert init(platform, "--yes", *words) == code
        captured = capsys.readouterr()
        assert platform.made() == before and platform.changes == 0
        assert "Traceback" not in captured.err and "\x1b" not in captured.out + captured.err
        return captured.out + captured.err

    return run


def spoil(platform: Platform, pattern: str, change: Callable[[Any], Any] | http.Reply, method: str = "GET") -> None:
    """Another answer where method and URL fit: a whole one, or the document changed."""

    def answer(asked: str, url: str, reply: http.Reply) -> http.Reply:
        if asked != method or not re.search(pattern, url):
            return reply
        return change if isinstance(change, http.Reply) else spoiled(reply.status, change(json.loads(reply.body)))

    platform.spoil = answer


HOSTILE = ["../../servers", "x\x1b]0;owned\x07", "a\nb: c", "", 7, None, {"id": "x"}, "-" * 36, "0" * 5000]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize(
    ("pattern", "name", "said"),
    [
        (r"/v2/images\?", "images", "an image of region GRA11"),
        (r"/flavors/detail", "flavors", "a flavor of region GRA11"),
        (r"/networks\?router:external", "networks", "a network of region GRA11"),
    ],
)
def test_an_id_that_is_none_reaches_no_file_and_no_terminal(
    platform: Platform, refused: Callable[..., str], pattern: str, name: str, said: str, value: Any
) -> None:
    if (name, value) == ("flavors", "0" * 5000):
        value = "0" * 5000 + "\n"
    spoil(platform, pattern, lambda document: {**document, name: [{**document[name][0], "id": value}]})
    assert said in refused()


@pytest.mark.parametrize("body", [b"", b"null"])
@pytest.mark.parametrize("path", [r"/region/GRA$", r"/region/DE$", r"/vrack$", r"/storage/wit$"])
def test_an_api_that_answers_with_nothing_has_not_said_that_there_is_none(
    platform: Platform, refused: Callable[..., str], path: str, body: bytes
) -> None:
    spoil(platform, f"/1.0/.*{path}", http.Reply(status=200, reason="OK", headers=Message(), body=body))
    said = refused()
    assert "answered with nothing, wanted what is there" in said and "nothing was changed" in said


def test_every_list_comes_a_row_at_a_time(platform: Platform) -> None:
    """Nova, Neutron and Octavia link the next page, Glance names it; the marker is a row's own id."""
    lists = {"flavors": "links", "networks": "links", "loadbalancers": "links", "servers": "links", "images": "next"}

    def page(method: str, url: str, reply: http.Reply) -> http.Reply:
        name = urlsplit(url).path.rstrip("/").split("/")[-1].replace("detail", "flavors")
        if method != "GET" or name not in lists or not reply.ok:
            return reply
        document = json.loads(reply.body)
        all_rows, marker = (
            _everything(platform, method, url, name),
            parse_qs(urlsplit(url).query).get("marker", [""])[0],
        )
        ids = [row["id"] for row in all_rows]
        at = ids.index(marker) + 1 if marker else 0
        document[name] = all_rows[at : at + 1]
        if at + 1 < len(all_rows):
            more = f"http://elsewhere.example/x?marker={ids[at]}"
            document |= {"next": more} if lists[name] == "next" else {f"{name}_links": [{"rel": "next", "href": more}]}
        return spoiled(reply.status, document)

    platform.spoil = page
    assert init(platform, "--yes") == ExitCode.DONE
    pages = [url for method, url in platform.asked if "flavors/detail" in url and "marker=" in url]
    assert len(pages) == 2 * (len(platform.config.regions[0].flavors) - 1)
    assert not any("elsewhere" in url for _, url in platform.asked)


def _everything(platform: Platform, method: str, url: str, name: str) -> list[Any]:
    """All rows, as the platform itself gives them."""
    spoiling, platform.spoil = platform.spoil, lambda method, url, reply: reply
    try:
        token = next(iter(platform.openstack.cloud.tokens))
        reply = platform._api(method, re.sub(r"[&?]marker=[^&]*", "", url), {"X-Auth-Token": token}, b"")
    finally:
        platform.spoil = spoiling
    found: list[Any] = json.loads(reply.body)[name]
    return found


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r":9696/v2.0/quotas/", "GET /v2.0/quotas/"),
        (r":8774/v2.1/limits", "GET /v2.1/limits"),
        (r":9876/v2.0/lbaas/quotas", "GET /v2.0/lbaas/quotas"),
        (r":9292/v2/images", "GET /v2/images"),
    ],
)
def test_one_right_that_the_user_lacks_is_named_and_the_rest_is_looked_at(
    platform: Platform, refused: Callable[..., str], pattern: str, said: str
) -> None:
    spoil(platform, pattern, spoiled(403, {"forbidden": {"message": "no", "code": 403}}))
    told = refused()
    assert said in told and "answered 403" in told and "the user lacks a role for it" in told
    assert told.count("against:") == 2, "of each region, and nothing that follows from it"


def test_a_role_that_is_missing_is_named(platform: Platform, refused: Callable[..., str]) -> None:
    held = ["compute_operator", "network_operator", "volume_operator", "reader"]

    def token(document: Any) -> Any:
        document["token"]["roles"] = [{"id": "1", "name": name} for name in held]
        return document

    _spoil_token(platform, token)
    told = refused()
    assert "lacks network_security_operator (firewall rules), load-balancer_operator (the load balancer)" in told


def test_an_administrator_is_told_that_less_would_do(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    def token(document: Any) -> Any:
        document["token"]["roles"] = [{"id": "1", "name": "administrator"}]
        return document

    _spoil_token(platform, token)
    assert init(platform, "--dry-run") == ExitCode.DONE
    assert "warning:  OpenStack user in region GRA11: is administrator" in capsys.readouterr().out


def _spoil_token(platform: Platform, change: Callable[[Any], Any]) -> None:
    def answer(method: str, url: str, reply: http.Reply) -> http.Reply:
        if not url.endswith("/auth/tokens") or not reply.ok:
            return reply
        found = spoiled(reply.status, change(json.loads(reply.body)))
        return http.Reply(found.status, "", reply.headers, found.body)

    platform.spoil = answer


def test_a_call_that_a_consumer_key_may_not_make_is_named_before_it_is_made(
    platform: Platform, refused: Callable[..., str]
) -> None:
    without = {
        key: tuple(rule for rule in rules if "vrack" not in rule.path)
        for key, rules in platform.ovh.config.further.items()
    }
    platform.account(further=without)
    told = refused()
    assert (
        "OVH_INIT_CONSUMER_KEY: may not ask GET /cloud/project/0123456789abcdef0123456789abcdef/vrack, wanted" in told
    )
    assert not any("vrack" in url for _, url in platform.asked)


def test_the_programs_key_is_held_to_its_own_rules(platform: Platform, refused: Callable[..., str]) -> None:
    platform.account(granted=platform.ovh.config.granted[1:])
    assert "OVH_CONSUMER_KEY: may not ask GET /auth/details" in refused() or "cannot be used" in refused()


def test_one_key_for_both_is_enough_and_a_warning(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OVH_INIT_CONSUMER_KEY")
    both = (*platform.ovh.config.granted, *next(iter(platform.ovh.config.further.values())))
    platform.account(granted=both)
    assert init(platform, "--dry-run") == ExitCode.DONE
    assert (
        "warning:  OVH_CONSUMER_KEY: makes the witness and its users and goes into both stacks"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("quota", "limit", "left", "wanted"),
    [
        ("instances", 4, "4 of 4", 5),
        ("cores", 5, "5 of 5", 6),
        ("ram", 4096, "4096 MB of 4096 MB", 12288),
        ("volumes", 0, "0 of 0", 1),
        ("gigabytes", 9, "9 GB of 9 GB", 10),
        ("router", 0, "0 of 0", 1),
        ("floatingip", 1, "1 of 1", 2),
        ("security_group_rule", 20, "16 of 20", None),
        ("load_balancer", 0, "0 of 0", 1),
    ],
)
def test_a_quota_that_is_too_small_is_told_for_each_region(
    platform: Platform, refused: Callable[..., str], quota: str, limit: int, left: str, wanted: int | None
) -> None:
    platform.quotas(**{quota: limit})
    told = refused()
    for region in (GRA, SBG):
        assert f"quota {quota} of region {region}: leaves {left}, wanted {wanted if wanted is not None else ''}" in told


def test_what_is_used_and_what_is_on_its_way_is_not_left(platform: Platform, refused: Callable[..., str]) -> None:
    def used(document: Any) -> Any:
        document["quota"]["router"] = {"limit": 10, "used": 8, "reserved": 2}
        return document

    spoil(platform, r"/quotas/.*/details.json", used)
    assert "quota router of region GRA11: leaves 0 of 10, wanted 1" in refused()


def test_no_limit_is_room_enough(platform: Platform) -> None:
    platform.quotas(**dict.fromkeys(platform.config.regions[0].quotas, -1))
    assert init(platform, "--yes") == ExitCode.DONE


@pytest.mark.parametrize("limit", [-2, "many", None, 1.5, True])
def test_a_quota_that_is_no_number_is_no_room(platform: Platform, refused: Callable[..., str], limit: Any) -> None:
    def changed(document: Any) -> Any:
        document["quota"]["port"] = {"limit": limit, "used": 0, "reserved": 0}
        return document

    spoil(platform, r"/quotas/.*/details.json", changed)
    assert "quota of port in region GRA11:limit: found" in refused()


def test_a_quota_that_nobody_tells_is_a_warning(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(platform, r"/quotas/.*/details.json", lambda document: {"quota": {}})
    assert init(platform, "--dry-run") == ExitCode.DONE
    assert (
        "quotas of region GRA11: nobody says what is left of network, subnet, router, port" in capsys.readouterr().out
    )


def test_a_platform_that_has_no_such_look_is_a_warning(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(platform, r"/quotas/.*/details.json", spoiled(404, {"NeutronError": {"message": "not found"}}))
    assert init(platform, "--dry-run") == ExitCode.DONE
    assert "nobody says what is left of network, subnet, router, port" in capsys.readouterr().out


def test_a_key_of_which_nobody_says_what_it_may_ask_is_a_warning(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(platform, r"/auth/details", lambda document: {**document, "allowedRoutes": None})
    assert init(platform, "--dry-run") == ExitCode.DONE
    told = capsys.readouterr().out
    assert "OVH_CONSUMER_KEY: nobody says what it may ask" in told and "OVH_INIT_CONSUMER_KEY: nobody says" in told


def test_a_region_that_is_built_has_had_its_room(platform: Platform) -> None:
    platform.quotas(instances=0)
    spoil(
        platform,
        r"/servers\?name=",
        lambda document: {
            "servers": [{"id": "x", "name": re.sub("", "", "shop-a-db-1")}, {"id": "y", "name": "shop-b-db-1"}]
        },
    )
    assert init(platform, "--yes") == ExitCode.DONE


def test_of_two_images_of_one_name_the_operator_chooses(platform: Platform, refused: Callable[..., str]) -> None:
    first = platform.config.regions[0].images[0]
    ids = ["11111111-2222-4333-8444-555555555555", "66666666-2222-4333-8444-555555555555"]
    platform.set(images=tuple(type(first)(id=each, name=first.name) for each in ids))
    told = refused()
    assert "image 'Debian 13' in region GRA11: found 2 of that name" in told and all(each in told for each in ids)
    assert "choose one as regions.a.image_id" in told
    words = [word for site in "ab" for word in ("--answer", f"regions.{site}.image_id={ids[1]}")]
    assert init(platform, "--yes", *words) == ExitCode.DONE
    regions = platform.written("Pulumi.yaml")["config"]["dr:regions"]["value"]
    assert {regions[site]["image_id"] for site in "ab"} == {ids[1]}


def test_an_image_by_an_id_of_another_name_is_none(platform: Platform, refused: Callable[..., str]) -> None:
    other = "11111111-2222-4333-8444-555555555555"
    told = refused("--answer", f"regions.a.image_id={other}")
    assert f"image {other} in region GRA11: is not among 1 active ones called 'Debian 13'" in told


def test_a_flavor_that_the_region_has_not_is_told_with_those_it_has(
    platform: Platform, refused: Callable[..., str]
) -> None:
    told = refused("--answer", "flavors.db=b3-512")
    assert "flavor b3-512 (hosts of kind db) in region SBG5: found none" in told and "b3-16, b3-8, d2-2" in told


def test_a_volume_type_that_the_region_has_not(platform: Platform, refused: Callable[..., str]) -> None:
    assert "volume type gold in region GRA11: found only" in refused("--answer", "volume_type=gold")


def test_a_vlan_of_somebody_elses_network(platform: Platform, refused: Callable[..., str]) -> None:
    taken = {
        "id": "11111111-2222-4333-8444-555555555555",
        "name": "backup\x1b[31m",
        "provider:network_type": "vrack",
        "provider:segmentation_id": 42,
    }
    spoil(platform, r"/v2.0/networks$", lambda document: {"networks": [*document["networks"], taken]})
    told = refused()
    assert r"VLAN 42 in region GRA11: is that of network backup\x1b[31m (11111111-" in told
    spoil(platform, r"203.*/v2.0/networks$", lambda document: {"networks": [{**taken, "name": "shop-a-vrack"}]})
    assert init(platform, "--dry-run") == ExitCode.DONE, "the site's own is no other's"


def test_a_zone_that_is_not_ours(platform: Platform, refused: Callable[..., str]) -> None:
    del platform.ovh.zones["shop.example"]
    assert "zone shop.example: is none of this account, wanted one that its key may change" in refused()


def test_a_page_that_says_not_found_is_not_the_apis_word(platform: Platform, refused: Callable[..., str]) -> None:
    spoil(platform, r"/domain/zone/", http.Reply(404, "", spoiled(404, {}).headers, b"<html>not found</html>"))
    told = refused()
    assert "answered 404" in told and "is none of this account" not in told


def test_name_servers_are_looked_up_where_nobody_names_them(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    asked: list[str] = []

    def nobody(name: str, *_: Any) -> Any:
        asked.append(name)
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", nobody)
    told = refused("--answer", "endpoints.name_servers=[]")
    assert "name servers dns101.ovh.net, ns101.ovh.net: have no address that this machine's resolver knows" in told
    assert asked == ["dns101.ovh.net", "ns101.ovh.net"]
    monkeypatch.setattr("socket.getaddrinfo", lambda name, *_: [(0, 0, 0, "", (f"192.0.2.{len(name)}", 53))])
    assert init(platform, "--yes", "--answer", "endpoints.name_servers=[]") == ExitCode.DONE
    servers = platform.written("Pulumi.yaml")["config"]["dr:dns"]["value"]["servers"]
    assert servers == ["192.0.2.14:53", "192.0.2.13:53"]


def test_a_project_without_a_vrack(platform: Platform, refused: Callable[..., str]) -> None:
    platform.account(vrack="")
    assert "vRack of project 0123456789abcdef0123456789abcdef: found none, wanted one" in refused()


def test_a_region_without_object_storage(platform: Platform, refused: Callable[..., str]) -> None:
    platform.account(storage_regions=("GRA", "DE"))
    told = refused()
    assert "storage region SBG of project 0123456789abcdef0123456789abcdef: found no such region" in told


def test_a_region_that_does_not_answer_is_one_reason(platform: Platform, refused: Callable[..., str]) -> None:
    spoil(platform, r"203.0.113.2:9292", spoiled(503, {}))
    told = refused()
    assert "203.0.113.2:9292, GET /v2/images: answered 503" in told and told.count("against:") == 1


def test_a_password_that_is_wrong(
    platform: Platform, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_PASSWORD", "a-wrong-password")
    told = refused()
    assert "nothing is known of region GRA11; check OS_USERNAME and OS_PASSWORD" in told
    assert "a-wrong-password" not in told


def test_the_witness_in_a_region_of_the_shop(platform: Platform, refused: Callable[..., str]) -> None:
    told = refused("--answer", "witness.storage_region=GRA")
    assert "witness.region is 'gra'; wanted a third region" in told or "OVH_INIT_CONSUMER_KEY: may not ask" in told


def test_plain_http_is_for_a_rehearsal_and_nobody_is_asked_by_it(
    platform: Platform, refused: Callable[..., str]
) -> None:
    told = refused("--answer", "rehearsal=false")
    for name in ("endpoints.auth_url", "endpoints.ovh", "witness.s3_endpoint"):
        assert f"{name}: found 'http://192.0.2.1" in told
    assert platform.asked == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("dns", "shop.example"), ("regions", ["a", "b"]), ("regions", {"a": 7}), ("app", 2), ("witness", "x")],
)
def test_a_part_of_the_file_that_is_none_is_a_sentence(
    platform: Platform, refused: Callable[..., str], name: str, value: Any
) -> None:
    path = platform.folder / "Pulumi.yaml"
    document = yaml.safe_load(path.read_text())
    document["config"][f"dr:{name}"]["value"] = value
    path.write_text(yaml.safe_dump(document))
    assert f"file {path}: dr:{name}" in refused(code=ExitCode.USAGE)


def test_name_servers_in_another_order_are_the_same(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    order = {"dns101.ovh.net": "192.0.2.9", "ns101.ovh.net": "192.0.2.8"}
    monkeypatch.setattr("socket.getaddrinfo", lambda name, *_: [(0, 0, 0, "", (order[name], 53))])
    words = ("--answer", "endpoints.name_servers=[]")
    assert init(platform, "--yes", *words) == ExitCode.DONE
    text = (platform.folder / "Pulumi.yaml").read_text()
    order.update({"dns101.ovh.net": "192.0.2.8", "ns101.ovh.net": "192.0.2.9"})
    assert init(platform, "--yes", *words) == ExitCode.DONE
    assert (platform.folder / "Pulumi.yaml").read_text() == text


def test_keys_of_both_regions_in_a_stack_file_would_win(platform: Platform, refused: Callable[..., str]) -> None:
    path = platform.folder / "Pulumi.region-b.yaml"
    path.write_text(yaml.safe_dump({"config": {"dr:site": "b", "dr:dns": {"zone": "x"}}}))
    assert f"stack file {path}: holds dr:dns, wanted them in Pulumi.yaml alone" in refused()


def test_a_machine_without_pulumi_is_told_before_anything_is_made(
    platform: Platform, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(platform.folder))
    assert "pulumi: is not there, wanted version 3.272 or newer in PATH" in refused()


def test_a_state_that_lies_where_it_must_not_is_told_before_anything_is_made() -> None:
    settings = real_settings()
    answers, _ = given.read({**ANSWERS, "witness": {"storage_region": "DE"}})
    assert answers is not None
    for environment, against, warnings in (
        ({PASSPHRASE: LONG, "PULUMI_BACKEND_URL": "s3://shop-witness?region=de"}, "is the witness bucket", ""),
        ({PASSPHRASE: "", "PULUMI_BACKEND_URL": THIRD}, "PULUMI_CONFIG_PASSPHRASE is empty", ""),
        ({PASSPHRASE: "short", "PULUMI_BACKEND_URL": THIRD}, "", "has fewer than 20 characters"),
        ({PASSPHRASE: LONG, "PULUMI_BACKEND_URL": "file:///x"}, "", "is a folder of this machine"),
        ({PASSPHRASE: LONG, "PULUMI_HOME": "/nowhere"}, "", ""),
    ):
        world = World(third=None, settings={"a": settings})  # type: ignore[arg-type]
        Backend(answers, {**environment, "PATH": os.environ["PATH"]}, Path("/nowhere")).judge(world)
        said = [it for it in world.against if not it.startswith("pulumi: ")]
        assert len(said) == bool(against) and against in "".join(said), environment
        assert len(world.warnings) == bool(warnings) and warnings in "".join(world.warnings), environment


# --- the third region


def test_a_page_in_the_bucket_of_something_else_is_refused(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    before = platform.made()
    assert init(platform, "--yes", "--answer", f"witness.page_bucket={BUCKET}") == ExitCode.REFUSED
    assert "would hold what anybody may read beside what nobody may" in capsys.readouterr().out
    assert platform.made() == before


def test_a_bucket_name_that_somebody_else_has(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    platform.storage.foreign.add(BUCKET)
    assert init(platform, "--yes") == ExitCode.PARTIAL
    told = capsys.readouterr().err
    assert f"bucket {BUCKET}: cannot be made, because somebody has one of that name" in told
    assert "answer witness.bucket (or .state_bucket, .page_bucket) with another name" in told
    assert not platform.pulumi.stacks and not (platform.folder / "state.env").exists()


def test_a_bucket_that_keeps_no_versions_keeps_them_afterwards(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.storage.create_bucket("de", BUCKET)
    assert init(platform, "--yes") == ExitCode.DONE
    assert platform.storage.buckets["de", BUCKET]["versioning"] is True
    assert f"warning:  bucket {BUCKET}: has no object lock" in capsys.readouterr().out


def test_a_bucket_with_a_lock_of_its_own_is_left_as_it_is(platform: Platform) -> None:
    lock = {"status": "enabled", "rule": {"mode": "compliance", "period": "P30D"}}
    body = {"name": BUCKET, "versioning": {"status": "enabled"}, "objectLock": lock}
    _ask_ovh(platform, "POST", "/region/DE/storage", body)
    assert init(platform, "--yes") == ExitCode.DONE
    assert platform.storage.buckets["de", BUCKET]["retention"] == Retention("COMPLIANCE", 30)


def _ask_ovh(platform: Platform, method: str, path: str, body: Any) -> Any:
    """By the account's owner."""
    from tests.lab.ovh.fakes import Api

    granted = platform.ovh.config.granted
    platform.account(granted=next(iter(platform.ovh.config.further.values())))
    status, answer = Api(platform.ovh)(method, f"/cloud/project/{platform.answers['service_name']}{path}", body)
    platform.account(granted=granted)
    assert status == 200, answer
    return answer


@pytest.mark.parametrize(
    ("ignored", "said"),
    [
        ("if-none-match", "a second create with `If-None-Match: *` was accepted, wanted 412"),
        ("if-match", "took an overwrite with an `If-Match` that does not fit, wanted 412"),
    ],
)
def test_a_store_that_ignores_a_condition_is_no_witness(
    platform: Platform, capsys: pytest.CaptureFixture[str], ignored: str, said: str
) -> None:
    platform.store.ignores.add(ignored)
    before = {name: text for name, text in platform.made()["files"].items()}
    assert init(platform, "--yes") == ExitCode.PARTIAL
    assert said in capsys.readouterr().err
    assert platform.made()["files"] == before and not platform.pulumi.stacks, "nothing is configured"
    assert init(platform, "--yes") == ExitCode.REFUSED, "and it is asked again"


def test_a_store_that_knows_no_lifecycle_is_a_warning(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    platform.store.knows_lifecycles = False
    assert init(platform, "--yes") == ExitCode.DONE
    assert f"the store of bucket {BUCKET} knows no rules of a lifecycle" in capsys.readouterr().err


def test_a_fresh_key_that_the_store_does_not_know_yet_is_waited_for(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.store.unknown_for = 5
    assert init(platform, "--yes") == ExitCode.DONE
    other = platform.folder / "other"
    other.mkdir()
    later = Platform(monkeypatch, other)
    later.store.unknown_for = 10**9
    monkeypatch.setattr(steps, "KNOWN_S", 0.0)
    assert init(later, "--yes") == ExitCode.PARTIAL
    assert "is not known to http://192.0.2.12:7070 after 0 s" in capsys.readouterr().err


def test_a_user_that_never_becomes_one(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.account(user_polls=10**9)
    monkeypatch.setattr(account, "READY_S", 0.0)
    assert init(platform, "--yes") == ExitCode.PARTIAL
    assert "is creating after 0 s, wanted ok" in capsys.readouterr().err


def test_ctrl_c_in_the_middle_is_a_sentence_and_the_next_run_goes_on(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps.Steps, "_prove", interrupted)
        assert init(platform, "--yes") == ExitCode.PARTIAL
    said = capsys.readouterr().err
    assert "beginning: was interrupted (at: proof that" in said and "the same command goes on from here" in said
    assert init(platform, "--yes") == ExitCode.DONE


@pytest.mark.parametrize("quoted", [False, True])
def test_a_condition_may_want_its_quotes_or_not(platform: Platform, quoted: bool) -> None:
    platform.store.quoted = quoted
    assert init(platform, "--yes") == ExitCode.DONE


def test_two_users_of_one_name_are_nobodys_to_choose_from(platform: Platform, refused: Callable[..., str]) -> None:
    for _ in range(2):
        _ask_ovh(platform, "POST", "/user", {"description": f"{BUCKET} db.a", "roles": ["objectstore_operator"]})
    told = refused()
    assert f"users called {BUCKET} db.a in project" in told and "found 2 (1001, 1002)" in told


def test_a_policy_that_somebody_has_changed_is_put_right(platform: Platform) -> None:
    init(platform, "--yes")
    number = next(it["id"] for it in platform.ovh.users.values() if it["description"] == f"{BUCKET} app.b")
    whole, before = platform.ovh.policies[number], platform.changes
    _ask_ovh(platform, "POST", f"/user/{number}/policy", {"policy": '{"Statement":[]}'})
    assert init(platform, "--yes") == ExitCode.DONE
    assert platform.ovh.policies[number] == whole and platform.changes == before + 1


def test_a_user_that_somebody_has_removed_is_made_again_and_its_old_key_told(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    init(platform, "--yes")
    assert "has no key any more" not in capsys.readouterr().out
    number = next(it["id"] for it in platform.ovh.users.values() if it["description"] == f"{BUCKET} app.b")
    _ask_ovh(platform, "DELETE", f"/user/{number}", None)
    secrets = dict(platform.pulumi.stacks)
    assert init(platform, "--yes") == ExitCode.DONE
    told = capsys.readouterr().out
    assert told.count("has no key any more") == 1 and f"user '{BUCKET} app.b': has no key any more" in told
    assert platform.pulumi.stacks == secrets, "a set that hosts go by is nobody's to exchange"


@pytest.mark.parametrize("secret", ["a'b\nexport X=1", "", None, "x" * 200, 7])
def test_a_key_that_is_no_key_reaches_no_file(
    platform: Platform, capsys: pytest.CaptureFixture[str], secret: Any
) -> None:
    spoil(platform, r"/secret$", lambda document: {**document, "secret": secret}, method="POST")
    assert init(platform, "--yes") == ExitCode.PARTIAL
    assert f"key of user {BUCKET} rules" in capsys.readouterr().err
    assert not (platform.folder / "state.env").exists() and not platform.pulumi.stacks


def test_an_answer_that_ends_in_the_middle_is_a_sentence(platform: Platform, refused: Callable[..., str]) -> None:
    spoil(platform, r"/vrack$", http.Reply(200, "", spoiled(200, {}).headers, b'{"na'))
    assert "GET /cloud/project/0123456789abcdef0123456789abcdef/vrack: answered 200 with" in refused()


def test_the_state_bucket_is_never_the_witness(platform: Platform, refused: Callable[..., str]) -> None:
    assert STATE != BUCKET
    told = refused("--answer", f"witness.state_bucket={BUCKET}")
    assert f"bucket {BUCKET}: would hold witness and Pulumi's state" in told
