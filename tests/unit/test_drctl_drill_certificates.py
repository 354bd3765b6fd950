"""`drctl drill certificates`: hosts greet each other for real, the shop's pair is tried, nothing is changed; it is recorded however it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from components import config
from contract.epoch import Epoch
from contract.errors import ExitCode, Failed
from contract.hosts import certificate_names
from contract.report import Event
from contract.rotation import Stage
from contract.services.certificate import Keys
from scripts.clients.hosts import Answer, Hosts, Unreachable, answer_of
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl import cli
from scripts.ctl.commands import drill_certificates
from scripts.ctl.moves import challenge, greeting, recorded
from scripts.ctl.persons import reach
from scripts.ctl.reports import book, writing
from scripts.ctl.stacks.secrets import Authority, certificates
from scripts.ctl.stacks.stack import Stack
from scripts.host.frame.layout import Layout
from tests.components import stack as example
from tests.unit.played_greeting import Line, hosts
from tests.unit.played_reports import Shelf, its

ITS = its()
SHOP = "www.shop.example"
ENDS = 1_900_000_000.0


class World:
    """The witness, both stacks' values, and the hosts behind both bastions."""

    def __init__(self, layouts: dict[str, Layout], values: dict[str, Any]) -> None:
        self.epoch: Epoch | None = Epoch(epoch=3, active="a", previous="b", planned=True)
        self.values, self.layouts = values, layouts
        self.dead, self.tried = set[tuple[str, str]](), list[tuple[str, str, dict[str, Any]]]()
        self.refuses: set[str] = set()  # app hosts
        self.answer: dict[str, Any] = {"ends": ENDS}
        self.records = Shelf()
        self.talked: dict[str, int] = {}
        self.interrupt: Callable[[], None] = lambda: None

    def newest(self) -> Epoch | None:
        return self.epoch

    def addresses(self, site: str) -> dict[str, str]:
        return {"bastion": f"198.51.100.{site == 'b'}"}

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def routes(self, host: str) -> list[str]:
        return sorted("ab", key=lambda site: site == host[-1])

    def call(self, host: str, via: str, command: str, document: dict[str, Any], limit_s: int, **_: Any) -> Answer:
        if (host, via) in self.dead:
            raise Unreachable(f"host {host} through the bastion of {via}: no ssh session")
        if command == "certificate status":
            return Answer(0, {"facts": {}}, "")
        assert command == "certificate try"
        self.tried.append((host, via, document))
        if host in self.refuses:
            return Answer(1, None, "ERROR certificate try: nginx does not take it")
        return Answer(0, answer_of(json.dumps({"facts": self.answer}).encode(), host, command), "")

    must: Any = Hosts.must

    def talk(self, host: str, via: str, command: str, limit_s: int) -> Line:
        assert (command, (host, via) in self.dead) == ("certificate greet", False)
        self.talked[host] = limit_s
        self.interrupt()
        return Line(self.layouts[host], host)

    def event(self) -> Event:
        (signed,) = book.opened(self.records, ITS).records  # type: ignore[arg-type]
        assert signed.record.kind == "drill" and signed.record.event is not None
        return signed.record.event


@pytest.fixture(scope="module")
def secrets() -> dict[str, Any]:
    names = {key: certificate_names(host) for key, host in ITS.hosts.items()}
    names |= {key: [f"{key}.dr.internal"] for key in example.HOSTS if key not in names}
    return {**example.secrets(), "tls": certificates(names, SHOP)}


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory, secrets: dict[str, Any]) -> dict[str, Layout]:
    return hosts(tmp_path_factory.mktemp("hosts"), secrets["tls"])


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secrets: dict[str, Any], layouts: dict[str, Layout]
) -> World:
    it = World(layouts, example.configuration(secrets=json.loads(json.dumps(secrets))))
    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    monkeypatch.setattr(Stack, "values", lambda _: (it.values, {"secrets"}))
    monkeypatch.setattr(Stack, "keep_secrets", lambda *_: pytest.fail("it stores something"))
    for module in (reach, recorded):
        monkeypatch.setattr(module, "Witness", lambda *_, **__: it)
    monkeypatch.setattr(drill_certificates, "Hosts", lambda _: it)
    # All of them: test_greeting.py.
    monkeypatch.setattr(greeting, "CASES", (greeting.CASES[0], *greeting.CASES[3:]))
    monkeypatch.setattr(drill_certificates, "doors", lambda *told: islice(greeting.doors(*told), 0, None, 7))
    monkeypatch.setattr(writing, "ReportBucket", lambda *_, **__: it.records)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return it


def drill(*words: str) -> int:
    return cli.main(["drill", "certificates", *words])


def test_all_of_it_is_proven_and_recorded(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    told = ["--reason", "of the quarter", "--ticket", "12", "--approved-by", "bob", "--witnessed-by", "eve"]
    assert drill(*told) == ExitCode.DONE
    said = capsys.readouterr()
    assert f"handshakes of {len(ITS.hosts)} hosts, old to new and new to old" in said.out
    assert "not proven: that its CA issues one" in said.out
    assert {(host, via) for host, via, _ in world.tried} == {(f"app-{n}.{site}", site) for n in (1, 2) for site in "ab"}
    assert set(world.talked) == set(ITS.hosts)
    assert "PRIVATE KEY" not in said.out + said.err
    it = world.event()
    assert (it.scenario, it.outcome, it.exit_code, it.errors) == ("certificates", "done", 0, ())
    assert (it.reason, it.ticket, it.approved_by, it.witnessed_by) == ("of the quarter", "12", "bob", "eve")
    assert any("handshakes" in line for line in it.warnings)
    assert b"PRIVATE KEY" not in b"".join(body for bodies in world.records.objects.values() for body in bodies)


def test_a_pair_that_is_given_is_tried_with_the_names_and_ca_of_the_shop(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = Authority("somebody").issue([ITS.shop.host])
    for name in ("cert", "key"):
        (tmp_path / name).write_text(pair[name])
    assert drill("--shop-cert", str(tmp_path / "cert"), "--shop-key", str(tmp_path / "key")) == ExitCode.DONE
    (document, *_) = [it for _, _, it in world.tried]
    assert document["new"] == pair and document["names"] == [ITS.shop.host] and document["ca"] == ITS.entrance_cas
    said = capsys.readouterr().out
    assert "the pair that was given, for www.shop.example, on 4 app hosts, it ends on 2030-03-17" in said
    assert "not proven" not in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--shop-cert", "{}/cert"], "found one of them, wanted both or none"),
        (["--shop-cert", "{}/cert", "--shop-key", "{}/none"], "No such file"),
        (["--shop-cert", "{}/large", "--shop-key", "{}/cert"], "no text of 200000 bytes at most"),
        (["--shop-cert", "{}/cert", "--shop-key", "{}/cert"], "wanted a PEM private key"),
        (["--window", "2-4"], "wanted two times of a day"),
    ],
)
def test_what_is_typed_wrong_is_refused_before_anything_is_asked(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    (tmp_path / "cert").write_text(Authority("somebody").issue(["x"])["cert"])
    (tmp_path / "large").write_text("x" * 200_001)
    assert drill(*(word.replace("{}", str(tmp_path)) for word in words)) == ExitCode.USAGE
    assert says in capsys.readouterr().err
    assert (world.talked, world.records.objects) == ({}, {})


@pytest.mark.parametrize(("why", "code"), [("", ExitCode.DONE), ("403: not granted", ExitCode.FAILED)])
def test_with_an_acme_ca_a_challenge_is_tried_as_well(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], why: str, code: ExitCode
) -> None:
    def rehearsed(settings: Any, _: object) -> str:
        assert settings.shop.acme is not None
        if why:
            raise Failed(why)
        return "a challenge: written"

    acme = replace(ITS, shop=replace(ITS.shop, acme=Keys(contact="ops@shop.example")))
    monkeypatch.setattr(Stack, "settings", lambda _: acme)
    monkeypatch.setattr(challenge, "world", lambda _: None)
    monkeypatch.setattr(challenge, "rehearsed", rehearsed)
    assert drill() == code
    said = capsys.readouterr().out
    assert "not proven: that the ACME CA issues one" in said and "that its CA issues one" not in said
    assert ("AGAINST  403: not granted" in said) is bool(why) and ("a challenge: written" in said) is not bool(why)


def test_an_app_host_whose_nginx_refuses_is_told_and_recorded(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.refuses = {"app-2.b"}
    assert drill() == ExitCode.FAILED
    said = capsys.readouterr()
    assert "AGAINST  host app-2.b" in said.out and "nginx does not take it" in said.out
    assert "found 1 that would not be taken" in said.err
    it = world.event()
    assert it.outcome == "failed" and any("app-2.b" in line for line in it.errors)


def test_an_answer_of_another_form_is_no_proof(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.answer = {"ends": "never"}
    assert drill() == ExitCode.FAILED
    assert "AGAINST" in capsys.readouterr().out


def test_a_host_that_is_not_reached_by_any_way_is_told_and_all_others_are_asked(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.dead = {("cache-1.b", "a"), ("cache-1.b", "b"), ("app-1.b", "b")}
    assert drill() == ExitCode.FAILED
    said = capsys.readouterr().out
    assert "AGAINST  host cache-1.b through the bastion of b: no ssh session" in said
    assert ("app-1.b", "a") in {(host, via) for host, via, _ in world.tried}, "by the other region's bastion"
    assert set(world.talked) == set(ITS.hosts) - {"cache-1.b"}


def test_one_that_the_configuration_would_refuse_is_told(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = config.parse

    def refused(values: dict[str, Any], hidden: set[str]) -> Any:
        if values["secrets"].get("rotation", {}).get("cache-certificates", {}).get("stage") == Stage.TURNED:
            values = {**values, "secrets": {**values["secrets"], "tls": {}}}
        return parse(values, hidden)

    monkeypatch.setattr(config, "parse", refused)
    assert drill() == ExitCode.FAILED
    assert "AGAINST  cache-certificates, stage turned: the configuration refuses it" in capsys.readouterr().out


def test_it_is_refused_while_one_of_them_is_rotated(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.values["secrets"]["rotation"] = {"host-certificates": {"stage": "beside", "applied": False}}
    assert drill() == ExitCode.REFUSED
    assert "`drctl rotate host-certificates` takes it to its end" in capsys.readouterr().err
    assert (world.talked, world.records.objects) == ({}, {})


def test_nothing_is_begun_where_nothing_is_known_or_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drill("--dry-run") == ExitCode.DONE
    world.epoch = None
    assert drill() == ExitCode.REFUSED

    def silent() -> None:
        raise WitnessDown("witness: does not answer")

    monkeypatch.setattr(world, "newest", silent)
    assert drill() == ExitCode.FAILED
    assert (world.talked, world.tried, world.records.objects) == ({}, [], {})


def test_ctrl_c_ends_it_and_is_recorded(world: World) -> None:
    def pressed() -> None:
        raise KeyboardInterrupt

    world.interrupt = pressed
    with pytest.raises(KeyboardInterrupt):
        drill()
    assert world.event().outcome == "interrupted"


def test_a_machine_whose_ssh_does_not_work_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise Failed("ssh: not there")

    monkeypatch.setattr(drill_certificates, "Hosts", broken)
    assert drill() == ExitCode.FAILED
    assert world.event().outcome == "failed"
