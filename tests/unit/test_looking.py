"""How a host of the lab is named, and what is said when there is none to look into. No lab runs here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import looking
from lab.__main__ import main, parser
from lab.control import Server
from lab.faults import Faults, Site
from lab.looking import Seen, chosen, label
from lab.namespace import LabError


def seen(name: str, site: str, leader: int | None = 7) -> Seen:
    return Seen(name, site, Path("/nowhere") / name, leader)


HOSTS = [seen("shop-a-db-1", "a"), seen("shop-a-cache-1", "a"), seen("shop-b-db-1", "b"), seen("host-gra11", "a")]


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What a daemon tells of its hosts; none to begin with."""
    rows: list[dict[str, Any]] = []
    monkeypatch.setenv("DRLAB_RUN", str(tmp_path))
    server = Server(tmp_path / "control.sock", {"hosts": lambda: rows})
    server.start()
    yield rows
    server.stop()


def add(hosts: list[dict[str, Any]], folder: Path, name: str = "shop-a-db-1", leader: int | None = None) -> None:
    hosts.append({"name": name, "site": "a", "folder": str(folder), "leader": leader})


@pytest.mark.parametrize(
    ("name", "site", "called"),
    [
        ("shop-a-db-1", "a", "db-1.a"),
        ("my-a-shop-b-app-12", "b", "app-12.b"),
        ("shop-a-a-db-1", "a", "db-1.a"),
        ("host-gra11", "a", "host-gra11"),
        ("shop-b-db-1", "a", "shop-b-db-1"),
    ],
)
def test_people_call_a_server_by_host_and_site(name: str, site: str, called: str) -> None:
    assert label(name, site) == called


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("db-1.a", "shop-a-db-1"),
        ("shop-b-db-1", "shop-b-db-1"),
        ("b-db-1", "shop-b-db-1"),
        ("cache-1", "shop-a-cache-1"),
        ("host-gra11", "host-gra11"),
    ],
)
def test_a_host_is_found_by_every_name_that_is_its_own(wanted: str, name: str) -> None:
    assert chosen(HOSTS, wanted).name == name


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("db-1", "'db-1' names 2 hosts, wanted one of db-1.a, db-1.b; nothing done"),
        ("db-9.a", "'db-9.a' names 0 hosts, wanted one of cache-1.a, db-1.a, db-1.b, host-gra11; nothing done"),
        ("", "'' names 0 hosts"),
    ],
)
def test_a_name_of_none_or_of_several_is_answered_with_those_that_are(wanted: str, said: str) -> None:
    with pytest.raises(LabError) as caught:
        chosen(HOSTS, wanted)
    assert said in str(caught.value)
    assert caught.value.code == 2


@pytest.mark.parametrize("command", ["ssh", "logs", "console"])
def test_a_lab_without_hosts_says_what_makes_them(
    command: str, hosts: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "db-1.a"]) == 2
    assert "the lab has no hosts yet; `pulumi up` of a stack makes them" in capsys.readouterr().err


def test_a_shell_in_a_host_without_power_is_refused_with_what_can_be_seen(
    hosts: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(hosts, tmp_path)
    assert main(["ssh", "db-1.a"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("host db-1.a: has no power, wanted a running one for a shell, nothing done")
    assert "`lab console db-1.a`" in said


def test_the_journal_of_a_host_without_power_cannot_be_followed(
    hosts: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(hosts, tmp_path)
    assert main(["logs", "db-1.a", "--follow"]) == 3
    assert "nothing to follow" in capsys.readouterr().err
    assert main(["logs", "db-1.a"]) == 3
    assert "no journal on its disk" in capsys.readouterr().err


def test_the_console_is_a_file_that_needs_no_power(
    hosts: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("shop-a-db-1", b"first\r\nsecond \xff\r\n"), ("shop-a-app-1", b"1\n" * 99)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "console.log").write_bytes(text)
        add(hosts, tmp_path / name, name)
    add(hosts, tmp_path / "never", "shop-a-app-2")
    assert main(["console", "db-1.a"]) == 0
    assert capsys.readouterr().out == "first\nsecond \ufffd\n"
    assert main(["console", "db-1.a", "-n", "1"]) == 0
    assert capsys.readouterr().out == "second \ufffd\n"
    assert main(["console"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "==> db-1.a (no power) <=="
    assert told.count("1") == looking.GLANCE
    assert told[-1] == "==> app-2.a (no power) <=="


def test_the_command_begins_after_the_two_dashes() -> None:
    for words, command in (
        (["ssh", "db-1.a", "--", "ls", "-l", "--", "x"], ["ls", "-l", "--", "x"]),
        (["ssh", "db-1.a", "ls"], ["ls"]),
        (["ssh", "db-1.a"], []),
        (["exec", "--", "ls", "-l"], ["ls", "-l"]),
    ):
        assert looking.after_dashes(parser().parse_args(words).argv) == command


def test_a_command_in_a_guest_has_none_of_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "secret")
    monkeypatch.setenv("TERM", "xterm")
    command = looking.inside(4711, ["psql", "-c", "select 1"])
    assert command[:2] == ["nsenter", "--target=4711"]
    assert command[-3:] == ["psql", "-c", "select 1"]
    assert "-i" in command
    assert "TERM=xterm" in command
    assert "secret" not in " ".join(command)


def test_who_may_not_ask_the_lab_is_told_who_may(
    hosts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.connect", refused)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["console"]) == 2
    assert "found uid 1000, wanted root" in capsys.readouterr().err


def test_a_fault_takes_the_same_name() -> None:
    site = Site("a", "GRA11", "gra", ())
    other = Site("b", "SBG5", "sbg", ())
    machines = SimpleNamespace(
        hosts={
            (region, str(number)): SimpleNamespace(
                spec=SimpleNamespace(name=name, region=region, server_id=str(number))
            )
            for number, (name, region) in enumerate((("shop-a-db-1", "GRA11"), ("shop-b-db-1", "SBG5")))
        }
    )
    nothing: Any = SimpleNamespace()
    faults = Faults(
        {"a": site, "b": other}, cast(Any, machines), services={}, storage=nothing, ovh=nothing, dns=nothing
    )
    with pytest.raises(LabError, match=r"not in force") as caught:
        faults.restore("host", "db-1.b")
    assert "shop-b-db-1" in str(caught.value)
