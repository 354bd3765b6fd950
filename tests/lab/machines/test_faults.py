"""Faults by name: what is meant, what is refused, what an API under a fault answers. No root, no machine."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.request
from types import SimpleNamespace
from typing import Any

import pytest

from lab import preflight
from lab.child import ChildError
from lab.cloud.web import Call, Reply, Server, Service
from lab.control import answer
from lab.faults import Faults, Site
from lab.namespace import LabError, places
from tests.lab.cloud.tenant import REGION, Tenant


class Recorder:
    """Stands for a part of the lab: notes what it is told."""

    def __init__(self, **attributes: Any) -> None:
        self.told: list[tuple[Any, ...]] = []
        vars(self).update(attributes)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments: self.told.append((name, *arguments))


class Parts:
    def __init__(self) -> None:
        self.compute = Service("GRA11")
        self.compute.route("GET", "/servers")(lambda call: Reply(200, {"servers": []}))
        self.storage = Recorder(
            addresses={"gra": ("203.0.113.3", 7070), "sbg": ("198.51.100.3", 7070), "de": ("192.0.2.12", 7070)}
        )
        self.networks = Recorder()
        self.dns = Recorder(servers=("one", "two"))
        self.knobs = SimpleNamespace(refresh="ok")
        hosts = {
            ("GRA11", name): SimpleNamespace(spec=SimpleNamespace(name=name, server_id=f"id-{name}"))
            for name in ("shop-a-db-1", "shop-b-db-1")
        }
        sites = {"a": Site("a", "GRA11", "gra", ("203.0.113.2",)), "b": Site("b", "SBG5", "sbg", ("198.51.100.2",))}
        machines: Any = SimpleNamespace(hosts=hosts, networks=self.networks)
        ovh: Any = SimpleNamespace(knobs=self.knobs)
        storage: Any = self.storage
        dns: Any = self.dns
        self.faults = Faults(sites, machines, services={"compute@a": self.compute}, storage=storage, ovh=ovh, dns=dns)

    def ask(self) -> int:
        return self.compute.handle(Call("GET", "/servers", {}, {}, None, b"", "/servers")).status


@pytest.fixture
def parts() -> Parts:
    return Parts()


def test_an_uplink_is_cut_for_the_site_that_was_named(parts: Parts) -> None:
    parts.faults.kill("uplink", "a")
    parts.faults.restore("uplink", "GRA11")
    assert parts.networks.told == [("cut_uplink", "GRA11", True), ("cut_uplink", "GRA11", False)]
    with pytest.raises(LabError, match="site"):
        parts.faults.kill("uplink", "c")


@pytest.mark.parametrize(("mode", "status"), [("", 503), ("503", 503), ("500", 500), ("429", 429)])
def test_an_api_under_a_fault_answers_with_it_and_recovers(parts: Parts, mode: str, status: int) -> None:
    parts.faults.kill("api", "compute@GRA11", mode)
    assert parts.ask() == status
    assert parts.faults.active() == [{"kind": "api", "target": "compute@a", "detail": mode or "503"}]
    parts.faults.restore("api", "compute@a")
    assert parts.ask() == 200


def test_an_api_that_hangs_answers_nothing_until_the_fault_ends(parts: Parts) -> None:
    parts.faults.kill("api", "compute@a", "timeout")
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(parts.ask()), daemon=True)
    asking.start()
    assert answers == []
    parts.faults.restore("api", "compute@a")
    asking.join(10)
    assert answers == [503]


def test_an_api_that_answers_by_halves_does_what_it_is_asked(parts: Parts) -> None:
    parts.faults.kill("api", "compute@a", "half")
    server = Server(parts.compute, "127.0.0.1").start()
    try:
        with (
            pytest.raises(http.client.IncompleteRead),
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/servers") as answer,
        ):
            answer.read()
        parts.faults.restore("api", "compute@a")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/servers") as answer:
            assert answer.status == 200
            assert json.loads(answer.read())
    finally:
        server.stop()


def test_a_link_is_cut_in_the_direction_that_was_named(parts: Parts) -> None:
    parts.faults.kill("link", "b->a")
    assert parts.networks.told == [("cut_links", "SBG5", "GRA11")]
    parts.faults.kill("link")
    parts.faults.restore("link", "b->a")
    parts.faults.restore("link", "both")
    assert parts.networks.told[1:3] == [("cut_links", "GRA11", "SBG5"), ("cut_links", "SBG5", "GRA11")]
    assert parts.networks.told[3:] == [
        ("join_links", "SBG5", "GRA11"),
        ("join_links", "GRA11", "SBG5"),
        ("join_links", "SBG5", "GRA11"),
    ]


def test_a_fault_without_a_target_takes_the_next_word_as_its_detail(parts: Parts) -> None:
    parts.faults.kill("slow-link", "2mbit")
    parts.faults.kill("dns-refresh", "ignored")
    assert parts.networks.told == [("set_rate", "2mbit")]
    assert parts.knobs.refresh == "ignored"
    assert [fault["kind"] for fault in parts.faults.restore_all()] == ["dns-refresh", "slow-link"], "the latest first"
    assert parts.knobs.refresh == "ok"
    assert parts.networks.told[-1] == ("set_rate", None)


def test_a_storage_region_goes_by_its_site_too_and_a_name_server_by_its_number(parts: Parts) -> None:
    parts.faults.kill("storage", "b")
    with pytest.raises(LabError, match="in force already"):
        parts.faults.kill("storage", "sbg")
    parts.faults.kill("name-server", "2")
    parts.faults.restore_all()
    assert parts.storage.told == [("cut", "sbg"), ("restore", "sbg")]
    assert parts.dns.told == [("stop_server", 1), ("start_server", 1)]


@pytest.mark.parametrize(
    ("kind", "target", "detail", "said"),
    [
        ("host", "db-1", "", "names 2 servers, wanted one of: shop-a-db-1, shop-b-db-1"),
        ("host", "c-db-1", "", "names 0 servers"),
        ("region", "c", "", "wanted one of a, b"),
        ("region", "", "", "wanted one of a, b"),
        ("api", "compute@b", "", "wanted one of compute@a"),
        ("api", "compute@a", "418", "wanted one of 503"),
        ("storage", "waw", "", "wanted one of gra, sbg, de"),
        ("link", "a->a", "", "wanted `both`"),
        ("slow-link", "fast", "", "wanted a number"),
        ("clock", "a", "ten", "wanted whole minutes"),
        ("clock", "c", "", "wanted one of a, b"),
        ("dns-refresh", "no", "", "wanted one of refused"),
        ("name-server", "3", "", "wanted one of 1, 2"),
        ("meteor", "", "", "wanted one of host"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(
    parts: Parts, kind: str, target: str, detail: str, said: str
) -> None:
    with pytest.raises(LabError, match=said) as caught:
        parts.faults.kill(kind, target, detail)
    assert caught.value.code == 2
    assert parts.faults.active() == []


def test_a_fault_that_is_not_in_force_cannot_end(parts: Parts) -> None:
    parts.faults.kill("storage", "de")
    with pytest.raises(LabError, match=r"not in force \(in force: storage de\)"):
        parts.faults.restore("storage", "gra")


def test_a_fault_ends_also_when_its_target_is_gone_and_one_that_cannot_end_holds_up_no_other(parts: Parts) -> None:
    parts.faults.kill("storage", "de")
    parts.faults.kill("name-server", "1")
    vars(parts.dns)["servers"] = ()

    def fail(region: str) -> None:
        raise ChildError(f"versitygw {region}: does not start")

    vars(parts.storage)["restore"] = fail
    with pytest.raises(LabError, match="versitygw de: does not start"):
        parts.faults.restore_all()
    assert parts.dns.told == [("stop_server", 0), ("start_server", 0)]
    assert [fault["kind"] for fault in parts.faults.active()] == ["storage"]


def test_the_control_socket_answers_every_line() -> None:
    def refuse() -> None:
        raise LabError("no", 3)

    operations: dict[str, Any] = {"add": lambda x, y: x + y, "refuse": refuse}
    assert answer(operations, b'{"op": "add", "arguments": {"x": 1, "y": 2}}') == {"result": 3}
    assert answer(operations, b'{"op": "refuse"}') == {"error": "no", "code": 3}
    assert answer(operations, b"nonsense")["code"] == 2
    assert "one of add, refuse" in answer(operations, b'{"op": "explode"}')["error"]
    assert answer(operations, b'{"op": "add", "arguments": {}}')["code"] == 1


def test_a_labs_places_bear_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRLAB_RUN", raising=False)
    monkeypatch.setenv("DRLAB_NAME", "other")
    where = places()
    assert (str(where.run), str(where.disks), where.cgroup.name, where.netns.name) == (
        "/run/other",
        "/var/lib/other",
        "other",
        "other",
    )
    for wrong in ("Dr lab", "a", "x" * 17, "../x"):
        monkeypatch.setenv("DRLAB_NAME", wrong)
        with pytest.raises(LabError, match="wanted 2 to 16 lower-case letters"):
            places()


def test_preflight_tells_all_missing_packages_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(
        "shutil.which", lambda tool, path=None: None if tool in ("nft", "knotd") else f"/usr/bin/{tool}"
    )
    with pytest.raises(LabError, match="apt-get install --no-install-recommends knot nftables") as caught:
        preflight.check(places())
    assert caught.value.code == 2


def test_preflight_wants_room_for_the_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2**30))
    with pytest.raises(LabError, match=r"1\.0 GiB free .* wanted 6"):
        preflight.check(places())


class WholeCompute:
    """Faults over a real compute API, with a server in it that a host stands behind."""

    def __init__(self) -> None:
        self.tenant = Tenant()
        self.server = self.tenant.server({"uuid": self.tenant.network()})
        spec = SimpleNamespace(name="shop-a-db-1", server_id=self.server, region=REGION)
        machines: Any = SimpleNamespace(hosts={(REGION, self.server): SimpleNamespace(spec=spec)})
        other: Any = None
        services = {"compute@a": self.tenant.openstack.services["compute", REGION]}
        sites = {"a": Site("a", REGION, "gra", ("203.0.113.2",))}
        self.faults = Faults(sites, machines, services=services, storage=other, ovh=other, dns=other)

    def listed(self) -> list[str]:
        return [row["status"] for row in self.tenant.ok("compute", "GET", "/v2.1/servers/detail")]


def test_the_platform_s_own_states_of_a_server() -> None:
    lab = WholeCompute()
    assert lab.faults.kill("server-state", "db-1", "paused")["detail"] == "PAUSED"
    assert lab.listed() == ["PAUSED"]
    lab.faults.restore("server-state", "db-1.a")
    assert lab.listed() == ["ACTIVE"]
    with pytest.raises(LabError, match="wanted one of PAUSED, SUSPENDED"):
        lab.faults.kill("server-state", "db-1", "tired")


def test_a_cell_and_a_page_from_outside() -> None:
    lab = WholeCompute()
    lab.faults.kill("cell-down", "db-1")
    assert lab.listed() == []
    lab.faults.restore_all()
    assert lab.listed() == ["ACTIVE"]
    assert lab.faults.kill("page-limit", "a", "1")["detail"] == "1"
    reply = lab.tenant.ask("compute", "GET", "/v2.1/servers/detail")
    assert reply.body["servers_links"][0]["rel"] == "next"
    lab.faults.restore_all()
    with pytest.raises(LabError, match="wanted how many rows"):
        lab.faults.kill("page-limit", "a", "none")
