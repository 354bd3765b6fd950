"""The turn of several hosts on paper: whatever becomes of one, the others are asked, and the link ends well."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import subprocess
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from contract import fields
from contract.errors import ExitCode, Refused
from contract.limits import LINKS_S, REACHED_S
from contract.links.turn import Document
from scripts.clients.hosts import Unreachable
from scripts.links import __main__ as link
from scripts.links import turn
from scripts.links.interrupts import Interrupted
from scripts.links.table import LINKS

Said = Callable[[], int]
LINE = "python3 /opt/dr/dr-host.pyz app converge"
APPS = {"app-1.b": '{"a": 1}', "app-2.b": '{"a": 2}'}


class PlayedHosts:
    """`script`: what happens at a host when it is asked, time after time; the last of it goes on."""

    def __init__(self, script: dict[str, list[int | None]]) -> None:
        self.script, self.asked, self.now = script, list[tuple[str, str, str, bytes]](), itertools.count(0, 10)

    def __enter__(self) -> PlayedHosts:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def execute(self, host: str, via: str, line: str, stdin: bytes, limit_s: int) -> subprocess.CompletedProcess[bytes]:
        assert limit_s == LINKS_S["app"]
        self.asked.append((host, via, line, stdin))
        codes = self.script[host]
        code = codes.pop(0) if len(codes) > 1 else codes[0]
        if code is None:
            raise Unreachable(f"host {host} through the bastion of b: no ssh session (cut)")
        return subprocess.CompletedProcess([], code, b"", f"INFO app converge: ended with {code}\n\x1b[2Jx\n".encode())

    def times(self, host: str) -> int:
        return sum(asked[0] == host for asked in self.asked)


def played(patch: pytest.MonkeyPatch, **script: list[int | None]) -> PlayedHosts:
    hosts = PlayedHosts({name.replace("_", "-") + ".b": codes for name, codes in script.items()})
    patch.setattr(turn, "Hosts", lambda _: hosts)
    patch.setattr(turn, "PAUSE_S", 0.0)
    return hosts


def document() -> dict[str, Any]:
    ssh: dict[str, Any] = {"private_key": "KEY", "hosts": {}, "bastions": {"b": "198.51.100.9"}}
    keys = {"endpoint": "https://s3.example", "region": "de", "bucket": "w", "access_key": "k", "secret_key": "s"}
    return {"site": "b", "service": "app", "program": LINE, "documents": APPS, "ssh": ssh, "witness": keys}


def told() -> Document:
    return fields.read(Document, document(), "document")


def test_every_host_is_told_its_own_document_by_the_own_bastion(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = played(monkeypatch, app_1=[0], app_2=[0])
    assert turn.run(told()) == {"schema": 1, "site": "b", "service": "app", "hosts": ["app-1.b", "app-2.b"]}
    assert sorted(hosts.asked) == [(host, "b", LINE, text.encode()) for host, text in APPS.items()]


@pytest.mark.parametrize(
    ("codes", "times"),
    [
        ([0], 1),
        ([1, 0], 2),
        ([1], 2),
        ([124, 124, 0], 2),
        ([ExitCode.REFUSED], 1),
        ([None, None, 0], 3),
        ([None, 1, None, 0], 4),
    ],
)
def test_one_that_fails_is_asked_again_one_that_is_cut_off_until_it_answers_and_a_refusal_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, codes: list[int | None], times: int
) -> None:
    hosts = played(monkeypatch, app_1=codes, app_2=[0])
    turn.run(told())
    assert (hosts.times("app-1.b"), hosts.times("app-2.b")) == (times, 1)


def test_one_that_is_dead_is_told_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = played(monkeypatch, app_1=[None], app_2=[0])
    monkeypatch.setattr("scripts.links.turn.time.monotonic", lambda: float(next(hosts.now)))
    turn.run(told())
    assert 1 < hosts.times("app-1.b") <= REACHED_S / 10 + 1
    assert (
        "WARNING turn: host app-1.b through the bastion of b: no ssh session (cut); asked for 120 s"
        in capsys.readouterr().err
    )


def test_what_a_host_says_is_shown_and_moves_no_cursor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played(monkeypatch, app_1=[0], app_2=[0])
    turn.run(told())
    said = capsys.readouterr().err
    assert "INFO app converge: ended with 0 (app-1.b)" in said and "\x1b" not in said


def test_a_machine_that_reaches_nobody_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: Any) -> None:
        raise Refused("user id 7 of this process: has no entry")

    monkeypatch.setattr(turn, "Hosts", nobody)
    with pytest.raises(Refused, match="has no entry"):
        turn.run(told())


def test_a_refusal_is_one_line_and_noted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def nobody(_: Any) -> None:
        raise Refused("user id 7 of this process: has no entry")

    noted = list[tuple[str, str]]()

    class Noted:
        def __init__(self, _: Any, what: str, site: str, **more: Any) -> None:
            noted.append((what, site))

        def lost(self, _: float) -> str:
            return ""

    monkeypatch.setattr(turn, "Hosts", nobody)
    monkeypatch.setattr(link, "Note", Noted)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(document())))
    assert link.main(["turn"]) == ExitCode.REFUSED
    assert capsys.readouterr().err == "ERROR turn: user id 7 of this process: has no entry\n"
    assert noted == [("refused", "b")]


def test_who_is_told_to_end_while_the_refusal_is_noted_ends_as_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(_: Any) -> None:
        raise Refused("user id 7 of this process: has no entry")

    class Slow:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def lost(self, _: float) -> str:
            raise Interrupted

    monkeypatch.setattr(turn, "Hosts", nobody)
    monkeypatch.setattr(link, "Note", Slow)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(document())))
    assert link.main(["turn"]) == ExitCode.REFUSED
    assert "WARNING turn: was told to end before it was noted in the audit trail" in capsys.readouterr().err


@pytest.mark.parametrize("name", LINKS)
def test_every_link_is_told_of_whom_and_where_its_end_is_noted(name: str) -> None:
    """`scripts/links/__main__.py` notes a refusal of any of them."""
    known = {each.name for each in dataclasses.fields(import_module(LINKS[name]).Document)}
    assert known >= {"site", "witness"}
