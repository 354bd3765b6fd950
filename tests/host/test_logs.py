"""How copies of journals are set up on a host and taken away, what is told to whom, how an upload that hangs is seen, and what is shown of a copy."""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract import fields
from contract.documents import Envelope, Tls
from contract.errors import Failed, Usage
from contract.services.logs import Block, Forward, Kept, packages
from scripts.host.frame import plan
from scripts.host.frame.call import Call
from scripts.host.frame.commands import PATH
from scripts.host.frame.figures import Figures
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.host import journal
from scripts.host.host.logs import config, reading, verbs, watching
from scripts.host.host.logs.verbs import Desired, Logs
from scripts.host.host.logs.watching import MOST_PATIENCE_S, PATIENCE_S, Seen
from tests.host.test_monitoring import HOSTS, Units

TAKES = [config.socket_of(f"{name}.b") for name in ("app-1", "control-1", "db-1")]
NOW = 1_800_000_000.0


def document(
    host: str, *, enabled: bool = True, cert: str = "own cert\n", store: Forward | None = None
) -> dict[str, Any]:
    told = Envelope(site="a", peer="b", host=host, hosts=HOSTS, tls=Tls(ca="the ca\n", cert=cert, key="own key\n"))
    takes = host == "control-1" and enabled
    block = Block(
        enabled=enabled,
        kept=Kept() if takes else None,
        stored=enabled and store is not None,
        store=store if takes else None,
    )
    return {
        **{k: v for k, v in fields.write(told).items() if k not in ("epoch", "request")},
        "logs": fields.write(block),
    }


class Ground:
    """A host below a scratch folder."""

    def __init__(self, root: Path, host: str) -> None:
        self.layout, self.host, self.units, self.installed = Layout(root), host, Units(), list[str]()
        for folder in ("etc/dr", "var/lib/dr", "run/dr", "var/lib/dpkg", "etc/systemd/system"):
            (root / folder).mkdir(parents=True)
        self.install([])

    def install(self, names: Sequence[str]) -> None:
        """As a package does it: what it brings is started at once, with what is there."""
        self.installed += names
        if "haproxy" in names:
            assert (self.layout.units / "haproxy.service.d/dr.conf").is_file(), "it would listen where it likes"
        text = "\n\n".join(f"Package: {it}\nStatus: install ok installed\nVersion: 1" for it in self.installed)
        self.layout.at("/var/lib/dpkg/status").write_text(text)

    def converge(self, **changes: Any) -> list[str]:
        """Names of the steps that were done."""
        told = document(self.host, **changes)
        service = Logs(Desired.read(told), self.layout, self.units, self.install)
        done = plan.converge(service, Call("logs", "converge", told, self.layout, Log(io.StringIO(), "logs converge")))
        return [it.split()[0] for it in done.actions]


@pytest.fixture(params=["control-1", "db-1"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    return Ground(tmp_path, request.param)


def runs(host: str) -> list[str]:
    return [*((*TAKES, config.ENTRANCE) if host == "control-1" else ()), config.UPLOAD, config.TIMER]


def test_every_host_sends_and_a_control_host_takes_from_each_host_of_the_other_region(ground: Ground) -> None:
    assert ground.converge() == ["files", "install", "place", "start"]
    assert [it for it in ground.units.log if it.startswith("restart")] == [f"restart {it}" for it in runs(ground.host)]
    assert ground.installed == list(packages(ground.host.partition("-")[0]))
    assert ground.converge() == []


def test_a_unit_that_was_stopped_and_a_file_that_was_changed_are_put_right(ground: Ground) -> None:
    ground.converge()
    ground.units.well.discard(config.UPLOAD)
    assert ground.converge() == ["start"]
    (ground.layout.units / config.UPLOAD).write_text("")
    assert ground.converge() == ["files", "start"]


def test_another_certificate_is_taken_by_what_runs_already(ground: Ground) -> None:
    ground.converge()
    ground.units.log.clear()
    assert ground.converge(cert="a new cert\n") == ["files", "start"]
    assert f"restart {config.UPLOAD}" in ground.units.log


def test_what_was_put_there_is_taken_away_but_for_copies_and_packages(ground: Ground) -> None:
    ground.converge()
    wants = ground.layout.units / "sockets.target.wants"
    wants.mkdir()
    for unit in TAKES if ground.host == "control-1" else ():
        (wants / unit).symlink_to(ground.layout.units / config.TAKES)
    copy = ground.layout.at("/var/log/dr-logs/db-1.b/journal.journal")
    copy.parent.mkdir(parents=True)
    copy.touch()
    assert ground.converge(enabled=False) == ["off"]
    left = {str(it.relative_to(ground.layout.root)) for it in ground.layout.root.rglob("*dr-logs*") if it.is_file()}
    assert not left and copy.exists() and not ground.layout.etc.joinpath("logs.json").exists()
    assert {f"stop {it}" for it in runs(ground.host)} <= {*ground.units.log}
    assert not ground.units.well and ground.converge(enabled=False) == []


def test_what_is_not_at_work_is_a_fault_by_name(ground: Ground) -> None:
    ground.converge()
    ground.units.well.discard(config.TIMER)
    service = Logs(Desired.read(document(ground.host)), ground.layout, ground.units, ground.install)
    with pytest.raises(Failed, match=r"found dr-logs-watch\.timer not as wanted"):
        service.verify(service.facts())


def test_a_block_that_makes_no_sense_is_refused() -> None:
    told = document("control-1")
    told["logs"]["kept"] = {"days": 0, "host_mb": 1}
    with pytest.raises(Usage, match=r"days.*host_mb"):
        Desired.read(told)


# --- what is told


def test_a_host_sends_to_the_other_regions_control_host_and_takes_no_end_for_a_failure() -> None:
    text = config.upload(HOSTS["control-1.b"])
    assert "--url=https://control-1.b.dr.internal:443 " in text
    for line in (
        "StartLimitIntervalSec=0",
        "Restart=always",
        "SuccessExitStatus=1",
        "DynamicUser=yes",
        "MemoryMax=96M",
    ):
        assert f"\n{line}\n" in text


def test_a_name_in_a_certificate_leads_to_that_hosts_socket_and_no_other_leads_anywhere() -> None:
    others = [(key, it) for key, it in sorted(HOSTS.items()) if key.endswith(".b")]
    text = config.entrance("10.9.0.1:443", others)
    for key, host in others:
        assert f"  use_backend {key} if {{ ssl_c_s_dn(CN) -m str {host.name} }}\n" in text
        assert f"backend {key}\n  server it unix@/run/dr-logs/{key}.sock" in text
    assert ".a.dr.internal" not in text, "none of the own region"
    assert text.count("  bind ") == 1 and "verify required" in text and "default_backend nobody" in text
    assert "alpn http/1.1" in text, "over HTTP/2 an upload of some length ends itself"


@pytest.mark.parametrize(("host_mb", "file_mb"), [(32, 4), (256, 32)])
def test_a_copy_is_bounded_and_so_is_each_of_its_files(host_mb: int, file_mb: int) -> None:
    text = config.bounds(Kept(host_mb=host_mb))
    assert f"MaxUse={host_mb}M\nMaxFileSize={file_mb}M\n" in text


# --- an upload that hangs


def test_an_upload_that_sends_nothing_is_begun_anew_each_time_after_twice_as_long() -> None:
    seen, at, again = Seen(), 1000.0, []
    for _ in range(60 * 8):
        seen, stuck = seen.next(at, "one", at)
        if stuck:
            again.append(at - 1000)
        at += 60
    assert again[:3] == [PATIENCE_S, 3 * PATIENCE_S, 7 * PATIENCE_S]
    assert seen.patience <= MOST_PATIENCE_S
    seen, stuck = seen.next(at, "two", at)
    assert not stuck and seen.patience == PATIENCE_S, "it moves"


@pytest.mark.parametrize("waits", [0.0, None, PATIENCE_S - 1.0])
def test_one_that_has_nothing_old_to_send_is_left_alone(waits: float | None) -> None:
    seen = Seen("one", 1000.0)
    assert not seen.next(1000.0 + 3600, "one", waits)[1]


def entry(at: float, **more: Any) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": str(int(at * 1e6)), **more}) + "\n"


def rows(*found: str) -> Any:
    def ask(words: Sequence[str]) -> Iterator[str]:
        asked.append(list(words))
        return iter(found)

    asked: list[list[str]] = []
    ask.asked = asked  # type: ignore[attr-defined]
    return ask


def sent(layout: Layout, text: str) -> None:
    path = layout.at(config.STATE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# This is private data. Do not parse.\nLAST_CURSOR={text}\n")


def test_how_far_the_other_region_is_behind_goes_by_the_first_entry_that_it_lacks(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert watching.behind(layout, rows(entry(NOW - 90), entry(NOW)), NOW) == 90.0, "nothing was ever sent"
    sent(layout, "s=0a;i=5;b=aa;m=1;t=2;x=3")
    ask = rows()
    assert watching.behind(layout, ask, NOW) == 0.0
    assert ask.asked[0][-1] == "--after-cursor=s=0a;i=5;b=aa;m=1;t=2;x=3"
    sent(layout, "x --merge")
    ask = rows(entry(NOW - 5))
    assert watching.behind(layout, ask, NOW) == 5.0 and not any("merge" in it for it in ask.asked[0])
    assert watching.behind(layout, rows("no json"), NOW) is None


class World:
    """A host that sends, and is looked at."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout, self.units, self.at, self.behind = Layout(root), Units(), 5000.0, 0.0
        self.behinds = dict[watching.Way, float | None]()
        for folder in ("etc/dr", "run/dr"):
            (root / folder).mkdir(parents=True)
        (self.layout.etc / "logs.json").write_text('{"host": "db-1", "site": "a", "kept": null}')
        self.units.well = {config.UPLOAD}
        sent(self.layout, "one")
        monkeypatch.setattr(watching, "boottime", lambda: self.at)
        monkeypatch.setattr(watching, "behind", lambda _, way=watching.COPY: self.behinds.get(way, self.behind))

    def look(self) -> dict[str, Any]:
        self.at += 60
        return watching.watch(Call("logs", "watch", {}, self.layout, Log(io.StringIO(), "logs watch")), self.units)

    def figure(self) -> str:
        return Figures(self.layout, watching.JOB, "root").path.read_text()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_figure_says_how_far_and_one_that_hangs_is_begun_anew(world: World) -> None:
    world.behind = 400.0
    found = [world.look()["begun_anew"] for _ in range(4)]
    assert found == [[], [], [], [config.UPLOAD]] and world.units.log == [f"restart {config.UPLOAD}"]
    assert "\ndr_logs_behind_seconds 400\n" in world.figure() and "store" not in world.figure()
    sent(world.layout, "two")
    assert not world.look()["begun_anew"]


def test_one_that_waits_for_its_next_try_is_not_begun_anew(world: World) -> None:
    world.behind, world.units.well = 4000.0, set()
    assert not any(world.look()["begun_anew"] for _ in range(9)) and world.units.log == []


def test_where_logs_were_never_put_nobody_watches(world: World) -> None:
    (world.layout.etc / "logs.json").unlink()
    with pytest.raises(Failed, match="set dr:logs"):
        world.look()


# --- copies


def written(path: Path, age_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (NOW - age_s, NOW - age_s))
    return path


def test_what_is_too_old_goes_and_a_copy_begins_a_new_file_each_day(tmp_path: Path) -> None:
    layout, units = Layout(tmp_path), Units()
    folder, notes = layout.at("/var/log/dr-logs/db-1.b"), Figures(layout, watching.JOB, "root").folder
    notes.mkdir(parents=True)
    active = written(folder / "journal.journal", 5)
    old = written(folder / "journal@0001.journal", 3 * 86_400)
    spoilt = written(folder / "journal@0002-0003.journal~", 3 * 86_400)
    young = written(folder / "journal@0004.journal", 86_400)
    elsewhere = written(tmp_path / "elsewhere/journal@0001.journal", 9 * 86_400)
    (folder.parent / "linked").symlink_to(elsewhere.parent)
    assert watching.tidy(layout, Kept(days=2), units, NOW) == 2
    assert not old.exists() and not spoilt.exists() and young.exists() and active.exists() and elsewhere.exists()
    written(notes / "db-1.b.begun", 86_401)
    assert watching.tidy(layout, Kept(days=2), units, NOW) == 0
    assert not active.exists() and len(list(folder.glob("journal@*.journal"))) == 2
    assert units.log == [f"stop {config.service_of('db-1.b')}"], "whoever writes begins the next one"


def test_the_oldest_files_of_a_copy_that_is_too_large_go_and_those_of_another_stay(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    files = [layout.at(f"/var/log/dr-logs/db-1.b/journal@{it}.journal") for it in range(10)]
    other = written(layout.at("/var/log/dr-logs/app-1.b/journal@0.journal"), 5000)
    for number, path in enumerate(files):
        written(path, 0).write_bytes(b"x" * (4 * 2**20))
        os.utime(path, (NOW - 1000 + number, NOW - 1000 + number))
    assert watching.tidy(layout, Kept(host_mb=32), Units(), NOW) == 3
    assert [it.exists() for it in files] == [False] * 3 + [True] * 7 and other.exists()


def test_what_is_closed_bears_a_name_that_systemd_counts() -> None:
    assert re.fullmatch(r"journal@[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{16}\.journal", watching._closed(NOW))


def show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], copies: dict[str, list[str]], *words: str
) -> tuple[list[str], str]:
    for key in copies:
        (tmp_path / key).mkdir()

    def ask(told: Sequence[str]) -> Iterator[str]:
        key = next(it for it in told if it.startswith("--directory=")).rpartition("/")[2]
        if "--field=_SYSTEMD_UNIT" in told:
            return iter(["cron.service\n", "postgresql@17-main.service\n"])
        if "--unit=postgres" in told:
            return iter(())
        return iter(copies[key][-1:] if "--lines=1" in told else copies[key])

    assert reading.main(words, tmp_path, ask) == 0
    said = capsys.readouterr()
    return said.out.splitlines(), said.err


def test_lines_of_several_hosts_come_by_their_time_under_the_name_of_their_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = {
        "db-1.a": [
            entry(NOW, MESSAGE="one", _COMM="postgres", _PID="7", _HOSTNAME="app-1"),
            entry(NOW + 2, MESSAGE="three"),
        ],
        "app-1.a": [entry(NOW + 1.5, MESSAGE="two", SYSLOG_IDENTIFIER="puma")],
    }
    lines, told = show(tmp_path, capsys, copies, "--since=-10m", "db-1.a", "app-1.a", "cache-1.a")
    assert lines == [
        "2027-01-15T08:00:00.000Z db-1.a postgres[7]: one",
        "2027-01-15T08:00:01.500Z app-1.a puma: two",
        "2027-01-15T08:00:02.000Z db-1.a unknown: three",
    ]
    assert (
        "the copy of app-1.a ends at 2027-01-15T08:00:01.500Z" in told and "of cache-1.a there is no copy here" in told
    )


def test_what_a_host_says_is_one_line_of_what_can_be_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\nforged 2027-01-15T08:00:00.000Z db-1.a sshd: Accepted"
    copies = {
        "app-1.a": [
            entry(NOW, MESSAGE=hostile, SYSLOG_IDENTIFIER="x\ny"),
            "no json\n",
            entry(NOW, MESSAGE=[104, 105, 255]),
        ]
    }
    lines, _ = show(tmp_path, capsys, copies, "app-1.a")
    assert len(lines) == 2 and all(" app-1.a " in it[:35] and "\x1b" not in it for it in lines)
    assert lines[1].endswith("unknown: hi\ufffd")


@pytest.mark.parametrize(
    "row", ['{"__REALTIME_TIMESTAMP":"\u00b2"}', '{"__REALTIME_TIMESTAMP":"9999999999999999999"}', "[" * 100_000, "7"]
)
def test_a_row_that_makes_no_sense_holds_back_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str
) -> None:
    lines, told = show(tmp_path, capsys, {"app-1.a": [row, entry(NOW, MESSAGE="said"), row]}, "app-1.a")
    assert len(lines) == 1 and "the copy of app-1.a has no line" in told


def test_what_was_sent_again_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent = [entry(NOW + it, __MONOTONIC_TIMESTAMP=str(it), _BOOT_ID="b", MESSAGE="same") for it in range(3)]
    other = entry(NOW, __MONOTONIC_TIMESTAMP="0", _BOOT_ID="c", MESSAGE="same")
    lines, _ = show(tmp_path, capsys, {"app-1.a": [*sent, *sent, other]}, "app-1.a")
    assert len(lines) == 4


def test_a_copy_that_cannot_be_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "db-1.a").mkdir()

    def fails(_: Sequence[str]) -> Iterator[str]:
        raise Failed("journal: found journalctl ended with code 1")

    assert reading.main(["db-1.a"], tmp_path, fails) == 1
    said = "ERROR logs: copy of db-1.a: journal: found journalctl ended with code 1\n"
    assert capsys.readouterr().err == said * 2


def test_a_copy_that_cannot_be_read_to_its_end_holds_back_nothing_of_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("app-1.a", "db-1.a"):
        (tmp_path / key).mkdir()

    def half(told: Sequence[str]) -> Iterator[str]:
        yield entry(NOW, MESSAGE="first")
        if told[-1].endswith("db-1.a") or f"--directory={tmp_path / 'db-1.a'}" in told:
            raise Failed("journal: found journalctl ended with code 1")
        yield entry(NOW + 9, MESSAGE="last")

    assert reading.main(["db-1.a", "app-1.a"], tmp_path, half) == 1
    said = capsys.readouterr()
    assert [it.split(" ", 1)[1] for it in said.out.splitlines()] == [
        "app-1.a unknown: first",
        "db-1.a unknown: first",
        "app-1.a unknown: last",
    ]
    assert "ERROR logs: copy of db-1.a" in said.err and "the copy of app-1.a ends at" in said.err


def test_without_any_copy_it_does_not_end_well(tmp_path: Path) -> None:
    assert reading.main(["db-1.a"], tmp_path, lambda _: iter(())) == 1


def test_a_unit_without_a_line_is_told_with_those_that_have_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, told = show(tmp_path, capsys, {"db-1.a": [entry(NOW, MESSAGE="one")]}, "--unit=postgres", "db-1.a")
    assert lines == []
    assert "no line of postgres there; units that have any: postgresql@17-main.service, cron.service" in told


def test_whoever_reads_with_a_pager_may_take_hours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A journal that is sent is read in seconds; one that a person reads waits for them, and ended in the middle of a page."""
    program = tmp_path / "journalctl"
    program.write_text("#!/bin/sh\nyes 'a line' | head -n 20000\n")
    program.chmod(0o755)
    monkeypatch.setattr("scripts.host.host.journal.PATH", f"{tmp_path}:{PATH}")
    with pytest.raises(journal.Slow, match="what is shown of it ends there"):
        slowly(journal.journalctl([], 1, "what is shown of it ends there"))
    assert slowly(reading._read([])) == 20_000


def slowly(rows: Iterator[str]) -> int:
    found = next(rows, "")
    assert found
    time.sleep(1.5)  # what the reader takes is the point
    return 1 + sum(1 for _ in rows)


def test_status_says_what_is_there_and_never_fails(tmp_path: Path) -> None:
    call = Call("logs", "status", {}, Layout(tmp_path), Log(io.StringIO(), "logs status"))
    assert verbs.status(call).facts == {"on": False, "upload": None, "behind_s": None, "copies": None}
    (tmp_path / "etc/dr").mkdir(parents=True)
    (tmp_path / "etc/dr/logs.json").write_text("{}")
    written(tmp_path / "var/log/dr-logs/db-1.b/journal.journal", 0)
    found = verbs.status(call).facts["copies"]
    assert list(found) == ["db-1.b"] and found["db-1.b"]["bytes"] > 0
