"""The archive's rules and files, without a server."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract import sites
from contract.errors import Failed, Refused, Usage
from lab.pairs.postgres import Manual
from scripts.host.archive.backup import LONGEST_S, damaged_pages, due, held_back, keep, wanted
from scripts.host.archive.check import follows, metrics, to_fill
from scripts.host.archive.config import managed_files, pgbackrest
from scripts.host.archive.desired import Desired, Memory
from scripts.host.archive.drain import Beyond, beyond
from scripts.host.archive.elsewhere import reaching
from scripts.host.archive.fetch import window
from scripts.host.archive.holes import hole
from scripts.host.archive.inherit import mark, owed
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.archive.order import Order, Source, choose, room
from scripts.host.archive.push import Push, Verdict, judge, may_write, waiting
from scripts.host.archive.rehearse import Rehearsal, fault_of
from scripts.host.archive.state import State, change, load
from scripts.host.archive.tool import GIVEN_UP, Backup, Info, PgBackRest, explain, read_info, read_wal, run_while
from scripts.host.archive.verbs import Archive, Facts, refuse_other
from scripts.host.frame import plan
from scripts.host.frame.call import Call
from scripts.host.frame.commands import TIMED_OUT, Done
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.plan import Step
from scripts.host.frame.rolefile import FENCED, PRIMARY, STANDBY, Role
from scripts.host.postgres.archiving import archive_command, restore_command
from scripts.host.postgres.layout import PostgresLayout

MEMORY = Memory("b", "a", 17, 5432, 2 << 30)
DAY = 86400
START = 1_764_000_000
BACKUPS = (
    Backup("F1", "full", START - 60, START, f"{1:024X}"),
    Backup("I1", "incr", START + DAY - 60, START + DAY, "00000002" + f"{9:016X}"),
)


def document(**changes: Any) -> dict[str, Any]:
    hosts = {
        f"db-1.{site}": {"name": f"db-1.{site}.dr.internal", "vrack": "10.0.0.1", "front": "10.1.0.1"} for site in "ab"
    }
    repositories = {site: {"region": site, "bucket": f"shop-{site}-wal"} for site in "ab"}
    block = {
        "version": 17,
        "repositories": repositories,
        "endpoints": {site: f"https://s3.{site}.example" for site in "ab"},
        "keys": {"access_key": "AK", "secret_key": "hidden-key"},
        "passphrase": "hidden passphrase",
    }
    return {
        "schema": 1,
        "site": "a",
        "peer": "b",
        "host": "db-1",
        "hosts": hosts,
        "tls": {"ca": "", "cert": "", "key": ""},
        "epoch": {"epoch": 1, "active": "a", "previous": None},
        "archive": {**block, **changes},
    }


def layout(root: Path) -> ArchiveLayout:
    return ArchiveLayout(PostgresLayout(Layout(root), user="root"))


# --- who stores what


@pytest.mark.parametrize(
    ("failed", "bytes_waiting", "verdict"),
    [
        ([], 5000, Verdict((), True)),
        (["b"], 1000, Verdict((), False)),
        (["b"], 1001, Verdict(("b",), True)),
        (["b", "a"], 1001, Verdict(("a", "b"), True)),
    ],
)
def test_a_failing_repository_is_left_out_when_the_disk_is_at_stake_and_not_before(
    failed: list[str], bytes_waiting: int, verdict: Verdict
) -> None:
    assert judge(failed, bytes_waiting, 1000) == verdict


@pytest.mark.parametrize("role", [None, Role("a", "b", STANDBY, 3), Role("a", "b", FENCED, 3)])
def test_only_a_primary_may_write(role: Role | None) -> None:
    with pytest.raises(Refused, match="nothing was written to the archive"):
        may_write(role, State())


def test_a_primary_of_an_old_epoch_may_not_write() -> None:
    primary = Role("a", "b", PRIMARY, 3)
    with pytest.raises(Refused, match="the witness has 4 with site b active"):
        may_write(primary, State(hold={"epoch": 4, "active": "b"}))
    assert may_write(primary, State(hold={"epoch": 3, "active": "b"})) == primary, "it has been given an epoch since"


def test_a_promoted_standby_owes_whole_segments_of_its_own_past_before_the_fork() -> None:
    def segment(timeline: int, number: int) -> str:
        return f"{timeline:08X}{0:08X}{number:08X}"

    here = [
        segment(1, 6),
        segment(1, 7),
        segment(1, 8),
        segment(2, 8),
        segment(3, 1),
        "00000002.history",
        "00000009.history",
        "archive_status",
    ]
    ancestors = [(1, "0/8000148")]
    assert owed(here, [{segment(1, 6)}, {segment(1, 6)}], ancestors, 2, 16 << 20) == [segment(1, 7), "00000002.history"]
    assert owed(here, [{segment(1, 6), segment(1, 7), "00000002.history"}, set()], ancestors, 2, 16 << 20)[
        0
    ] == segment(1, 6), "one repository lacks it"


def test_what_is_owed_waits_for_the_archiver(tmp_path: Path) -> None:
    status = tmp_path / "pg_wal" / "archive_status"
    status.mkdir(parents=True)
    for name in ("1.done", "2.ready", "4.done"):
        (status / name).touch()
    mark(ArchiveLayout(PostgresLayout(Layout(tmp_path), user=getpass.getuser())), tmp_path / "pg_wal", ["1", "2", "3"])
    assert sorted(path.name for path in status.iterdir()) == ["1.ready", "2.ready", "3.ready", "4.done"]


def test_a_gap_is_filled_from_the_receivers_own_beginning_on() -> None:
    a, b, c = (f"00000001{0:08X}{number:08X}" for number in (4, 5, 6))
    there = {a: 1, b: 2, c: 3, "00000002.history": 4}
    assert to_fill(there, {b: 1}) == [c, "00000002.history"]
    assert to_fill(there, {}) == sorted(there)


def test_a_standby_fetches_only_after_a_minute_without_its_stream() -> None:
    assert follows(False, 100.0, 160.0)
    assert not follows(False, 100.0, 159.0)
    assert not follows(True, 100.0, 900.0)
    assert not follows(None, 100.0, 900.0), "a server that does not answer is not told to fetch"


def test_waiting_files_are_read_from_the_servers_own_marks(tmp_path: Path) -> None:
    status = layout(tmp_path).postgres.data / "pg_wal/archive_status"
    status.mkdir(parents=True)
    for name in ("000000010000000000000002.ready", "000000010000000000000001.ready", "000000010000000000000000.done"):
        (status / name).touch()
    assert waiting(layout(tmp_path)) == ["000000010000000000000001", "000000010000000000000002"]


def test_state_survives_and_an_unreadable_one_is_empty(tmp_path: Path) -> None:
    it = layout(tmp_path)
    it.folder.mkdir(parents=True)
    with change(it) as state:
        state.suspended["b"] = {"from": "1", "since": "now", "why": "down"}
    assert load(it).suspended["b"]["why"] == "down"
    it.state.write_text("{")
    assert load(it) == State()


class Deaf(PgBackRest):
    """Repositories of which none takes anything."""

    def call_while(
        self, keep: Callable[[], bool], repository: str, stanza: str, command: str, *arguments: str, limit_s: float
    ) -> Done:
        return Done(103, "", "ERROR: [103]: no answer")


def test_wal_that_nobody_takes_waits_up_to_the_limit_and_is_dropped_beyond_with_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = layout(tmp_path)
    Role("b", "a", PRIMARY, 1).write(it.postgres.base)
    it.folder.mkdir(parents=True)
    status = it.postgres.data / "pg_wal/archive_status"
    status.mkdir(parents=True)
    monkeypatch.setattr("scripts.host.archive.push.stanza", lambda layout: "dr-1")

    def push(name: str, queue: int) -> None:
        (status / f"{name}.ready").touch()
        (status.parent / name).write_bytes(b"x" * 100)
        made = Push(it, Memory("b", "a", 17, 5432, queue), Log(io.StringIO(), "archive push"))
        made.tool = Deaf(it)
        made.segment(f"pg_wal/{name}")

    with pytest.raises(Failed, match="no answer"):
        push("000000010000000000000001", 150)
    assert load(it) == State()
    push("000000010000000000000002", 150)
    assert sorted(load(it).suspended) == ["a", "b"] and load(it).dropped == {
        "from": "000000010000000000000002",
        "to": "000000010000000000000002",
    }
    with pytest.raises(Failed, match="no answer"):
        push("000000010000000000000003", 1000)
    push("000000010000000000000003", 150)
    assert load(it).dropped == {"from": "000000010000000000000002", "to": "000000010000000000000003"}


@pytest.mark.parametrize(
    ("held", "found"),
    [
        (["1:FE", "1:FF", "1:100"], None),
        (["1:FE", "1:100", "1:101"], ("1:FF", "1:FF")),
        (["1:FE", "1:101", "1:103"], ("1:FF", "1:102")),
        (["1:10", "1:FE", "1:FF"], None),  # before what a restore needs
        (["1:FE", "2:FF", "2:100"], None),
        (["1:FE", "3:FF", "2:100"], ("1:FF", "1:FF")),  # only somebody else's
        (["1:FE", "1:FF"], None),
        (["1:100"], ("1:FE", "1:FF")),
        (["1:FE", "1:FF", "1:FFFFFFFFFF"], ("1:100", "1:FFFFFFFFFE")),  # somebody's
        ([], None),
    ],
)
def test_a_hole_is_what_no_repository_has_before_what_one_has(held: list[str], found: tuple[str, str] | None) -> None:
    def name(short: str) -> str:
        timeline, number = short.split(":")
        return f"{int(timeline):08X}{int(number, 16) // 256:08X}{int(number, 16) % 256:08X}"

    names = {name(short) for short in held} | {"00000002.history", name("1:102") + ".partial"}
    wanted = None if found is None else {"from": name(found[0]), "to": name(found[1])}
    assert hole(names, {1, 2}, name("1:FE"), 16 << 20) == wanted


# --- commands that PostgreSQL calls


@pytest.mark.parametrize(("code", "becomes"), [(0, 0), (1, 1), (2, 2), (3, 255)])
def test_a_refusal_ends_the_archiver_and_a_failure_is_tried_again(tmp_path: Path, code: int, becomes: int) -> None:
    tool = tmp_path / "tool"
    tool.write_text(f'#!/bin/sh\ncat > {tmp_path}/stdin\necho "$@" > {tmp_path}/argv\necho noise\nexit {code}\n')
    tool.chmod(0o755)
    it = layout(tmp_path)
    Role("a", "b", PRIMARY, 1).write(it.postgres.base)
    line = archive_command(it.postgres, str(tool)).replace("%p", "pg_wal/000000010000000000000001")
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (becomes, "")
    assert json.loads((tmp_path / "stdin").read_text()) == {"wal": "pg_wal/000000010000000000000001"}
    assert (tmp_path / "argv").read_text() == "archive push\n"


@pytest.mark.parametrize("role", [FENCED, STANDBY])
def test_a_host_that_is_not_the_primary_does_not_even_start_the_tool(tmp_path: Path, role: sites.Role) -> None:
    it = layout(tmp_path)
    line = archive_command(it.postgres, f"touch {tmp_path}/started #")
    assert subprocess.run(["sh", "-c", line], capture_output=True, check=False).returncode == 255, "no role at all"
    Role("a", "b", role, 1).write(it.postgres.base)
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 255 and "not the primary" in done.stderr and not (tmp_path / "started").exists()


def test_a_push_under_way_ends_when_the_host_is_fenced() -> None:
    asked = iter([True, True, False])
    assert run_while(lambda: next(asked), ["sleep", "600"], limit_s=300, user="root").code == GIVEN_UP
    assert run_while(lambda: True, ["sh", "-c", "echo ERROR: [103]: x >&2; exit 103"], limit_s=60, user="root") == Done(
        103, "", "ERROR: [103]: x\n"
    )
    assert run_while(lambda: True, ["sleep", "600"], limit_s=0.1, user="root").code == TIMED_OUT


def test_a_running_standby_asks_the_archive_only_when_told_to_follow_it(tmp_path: Path) -> None:
    it = layout(tmp_path)
    it.postgres.data.mkdir(parents=True)
    it.folder.mkdir(parents=True)
    line = restore_command(it.postgres, "cat #")

    def fetched() -> bool:
        shown = line.replace(">/dev/null", "").replace("cat #", "cat; #")
        return "wal" in subprocess.run(["sh", "-c", shown], capture_output=True, text=True, check=False).stdout

    assert fetched(), "pg_rewind of a stopped server may"
    (it.postgres.data / "postmaster.pid").touch()
    assert not fetched()
    assert subprocess.run(["sh", "-c", line], check=False).returncode == 1, "as if there were none"
    it.follow.touch()
    assert fetched()


def test_a_repository_that_cannot_be_read_ends_whatever_is_no_standby(tmp_path: Path) -> None:
    it = layout(tmp_path)
    it.postgres.data.mkdir(parents=True)

    def asked(answer: int) -> int:
        tool = tmp_path / "tool"
        tool.write_text(f"#!/bin/sh\nexit {answer}\n")
        tool.chmod(0o755)
        return subprocess.run(["sh", "-c", restore_command(it.postgres, str(tool))], check=False).returncode

    assert (asked(0), asked(1), asked(5), asked(3)) == (0, 1, 255, 255), "taken for the end, rows would be lost"
    (it.postgres.data / "standby.signal").touch()
    assert (asked(0), asked(1), asked(5)) == (0, 1, 5), "a standby asks again, and lives"


# --- a take-over's drain


def segments(timeline: int, *numbers: int) -> set[str]:
    return {f"{timeline:08X}{0:08X}{number:08X}" for number in numbers}


@pytest.mark.parametrize(
    ("names", "past", "position", "found"),
    [
        (set(), [1], 3 << 24, Beyond()),
        (segments(1, 1, 2), [1], 3 << 24, Beyond()),
        (segments(1, 3), [1], (3 << 24) + 500, Beyond("0" * 7 + "1" + "0" * 15 + "3")),
        (segments(1, 3), [1], 4 << 24, Beyond()),
        (segments(1, 3, 4, 6), [1], 3 << 24, Beyond("0" * 7 + "1" + "0" * 15 + "4", "0" * 7 + "1" + "0" * 15 + "5")),
        (segments(1, 5), [1], 3 << 24, Beyond(None, "0" * 7 + "1" + "0" * 15 + "3")),
        (segments(1, 3) | segments(2, 4), [1, 2], 3 << 24, Beyond("0" * 7 + "2" + "0" * 15 + "4")),
        (segments(1, 3) | segments(2, 4), [1], 3 << 24, Beyond("0" * 7 + "1" + "0" * 15 + "3")),
    ],
)
def test_what_is_beyond_the_stream_ends_at_the_first_hole(
    names: set[str], past: list[int], position: int, found: Beyond
) -> None:
    assert beyond(names, past, position, 16 << 20) == found


def test_a_drain_that_was_killed_ends_by_its_own_limit_and_by_a_boot() -> None:
    drain = {"began": 100.0, "until": 160.0, "repositories": ["a"], "fetched": {}, "absent": None}
    assert window(drain, 100.0) == drain == window(drain, 160.0)
    assert window(drain, 160.1) is None and window(drain, 5.0) is None and window(None, 100.0) is None


# --- files


def test_keys_and_passphrase_are_in_two_files_that_others_cannot_read(tmp_path: Path) -> None:
    desired = Desired.read(document())
    files = managed_files(desired, layout(tmp_path))
    secret = [file for file in files if "hidden" in file.content]
    assert [file.path.name for file in secret] == ["a.conf", "b.conf"]
    assert {file.mode for file in secret} == {0o640}
    assert "hidden" not in repr(desired) + desired.memory.text()


def test_the_configuration_of_one_repository(tmp_path: Path) -> None:
    desired = Desired.read(document(retention_full=3, process_max=4))
    lines = pgbackrest(desired, layout(tmp_path), "b").splitlines()
    wanted = {
        "repo1-s3-bucket=shop-b-wal",
        "repo1-s3-endpoint=s3.b.example",
        "repo1-cipher-type=aes-256-cbc",
        "repo1-cipher-pass=hidden passphrase",
        "archive-async=y",
        "repo1-retention-full=3",
        "expire-auto=n",
        "process-max=4",
    }
    assert wanted <= set(lines)
    assert not [
        line for line in lines if line.startswith(("repo2", "archive-push-queue-max", "repo1-storage-verify-tls"))
    ]
    port = Desired.read(document(endpoints=dict.fromkeys("ab", "https://10.0.0.9:7443")))
    assert {"repo1-s3-endpoint=10.0.0.9", "repo1-storage-port=7443"} <= set(
        pgbackrest(port, layout(tmp_path), "a").splitlines()
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"endpoints": {"a": "http://x", "b": "https://x"}},
            r"endpoints\.a: found a string.*TLS only",
        ),
        ({"passphrase": "short"}, "passphrase: found a string, wanted 12 or more"),
        ({"passphrase": " blanks at the ends "}, "without blanks at the ends"),
        ({"queue_max": "lots"}, "queue_max"),
        ({"retention_full": 0}, "retention_full: found a number, wanted a whole number from 1"),
        ({"full": "daily\nExecStart=x"}, "archive.full"),
    ],
)
def test_bad_documents_are_refused_by_name_without_their_secrets(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(Usage, match=says) as refused:
        Desired.read(document(**changes))
    assert "hidden" not in str(refused.value)


def test_backups_are_timed_in_the_active_site_alone(tmp_path: Path) -> None:
    active, units = document(), Manual()
    standby = {**active, "site": "b", "peer": "a"}
    log = Log(io.StringIO(), "archive converge")

    def steps(wanted: dict[str, Any], on: tuple[str, ...]) -> list[str]:
        return [str(step) for step in Archive(Desired.read(wanted), layout(tmp_path), units, log).plan(Facts((), on))]

    backups = ("dr-archive-due.path", "dr-archive-full.timer", "dr-archive-incremental.timer")
    every = ("dr-archive-check.timer", *backups)
    assert steps(active, every[:1]) == [f"timer-on {name}" for name in backups]
    assert steps(standby, every) == [f"timer-off {name}" for name in backups]
    assert steps(active, every) == [] == steps(standby, every[:1])


def test_jobs_of_which_a_busy_service_manager_has_not_heard_are_told_to_it_again(tmp_path: Path) -> None:
    """After an upgrade the jobs that it goes on starting are root's."""
    it, units = ArchiveLayout(PostgresLayout(Layout(tmp_path), 17, getpass.getuser())), Manual()
    log, heard = Log(io.StringIO(), "archive prepare"), list[str]()

    def prepare() -> list[str]:
        service = Archive(Desired.read(document(), with_epoch=False), it, units, log)
        steps = list(service.plan(service.facts()))
        for step in steps:
            service.apply(step)
        return [step.name for step in steps]

    def busy() -> None:
        raise Failed("program systemctl: no end within 60 s")

    units.daemon_reload = busy  # type: ignore[method-assign]
    with pytest.raises(Failed):
        prepare()
    units.daemon_reload = lambda: heard.append("daemon-reload")  # type: ignore[method-assign]
    assert prepare() == ["files"] and heard == ["daemon-reload"] and prepare() == []


@pytest.mark.parametrize("upgraded", [True, False])
def test_a_check_of_roots_does_not_put_its_figures_in_the_place_of_the_link(tmp_path: Path, upgraded: bool) -> None:
    """An older version's, which was at work when this one came: it would end by that, and nobody would read anything newer."""
    it, units = ArchiveLayout(PostgresLayout(Layout(tmp_path), 17, getpass.getuser())), Manual()
    if upgraded:
        it.figures.link.parent.mkdir(parents=True)
        it.figures.link.write_text("dr_archive_hold 0\n")
    stopped = list[tuple[str, bool]]()

    def stop(unit: str, limit_s: float) -> bool:
        stopped.append((unit, it.figures.placed()))
        return limit_s > 0

    units.stop = stop  # type: ignore[method-assign]
    log = Log(io.StringIO(), "archive prepare")
    Archive(Desired.read(document(), with_epoch=False), it, units, log).apply(Step("files"))
    assert it.figures.placed() and stopped == ([("dr-archive-check.service", False)] if upgraded else [])


@pytest.mark.parametrize("verb", ["prepare", "converge"])
def test_another_major_version_is_refused_before_anything_is_written_while_the_cluster_is_the_old_one(
    tmp_path: Path, verb: str
) -> None:
    base, log, units = Layout(tmp_path), Log(io.StringIO(), f"archive {verb}"), Manual()

    def asked(version: int) -> None:
        wanted = document(version=version)
        desired = Desired.read(wanted, with_epoch=verb == "converge")
        it = ArchiveLayout(PostgresLayout(base, version, "root"))
        plan.converge(Archive(desired, it, units, log), Call("archive", verb, wanted, base, log))

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    units.restart = units.start = lambda unit, limit_s: units.on.add(unit)  # type: ignore[method-assign]
    asked(17)
    old = PostgresLayout(base, 17).data
    old.mkdir(parents=True)
    (old / "PG_VERSION").write_text("17\n")
    before = files()
    with pytest.raises(
        Refused, match=r"found 18, while the cluster of this host is of version 17.*nothing was changed"
    ):
        asked(18)
    assert files() == before
    new = PostgresLayout(base, 18).data
    new.mkdir(parents=True)
    (new / "PG_VERSION").write_text("18\n")
    asked(18)
    memory = Memory.read(layout(tmp_path))
    assert memory is not None and memory.version == 18, "the data are of the new version now"


def test_the_archive_stays_with_the_server_that_runs_while_its_successor_is_being_made() -> None:
    with pytest.raises(Refused, match="version 17"):
        refuse_other(18, {17: True, 18: False})
    refuse_other(18, {17: False, 18: False})
    refuse_other(18, {})
    refuse_other(17, {17: True})


@pytest.mark.parametrize(
    ("backups", "timeline", "kind"),
    [(0, None, "full"), (2, 1, "incr"), (2, 2, None)],
)
def test_a_repository_without_a_backup_of_this_timeline_gets_one_at_once(
    backups: int, timeline: int | None, kind: str | None
) -> None:
    assert due({"backups": backups, "backup_timeline": timeline}, 2) == kind


def failed(tries: int, *damage: dict[str, str]) -> dict[str, Any]:
    return {"at": START, "kind": "full", "tries": tries, "why": "it failed", "damage": list(damage)}


def test_a_backup_that_failed_is_tried_again_later_each_time_and_a_damaged_page_is_left_to_the_timers() -> None:
    def waits(entry: dict[str, Any] | None) -> int:
        """Whole minutes until the next one."""
        return next(minute for minute in range(1000) if not held_back(entry, START + 60 * minute))

    assert [waits(it) for it in (None, failed(1), failed(2), failed(3), failed(99))] == [
        0,
        1,
        2,
        4,
        int(LONGEST_S) // 60,
    ]
    assert waits(failed(1, {"file": "base/1/2", "pages": "3"})) == LONGEST_S // 60
    assert not held_back(failed(99), START - 1), "the clock was set back"
    none = {"backups": 0, "backup_timeline": None, "failed_backup": failed(3)}
    assert wanted(none, 1, START + 61) is None and wanted(none, 1, START + 241) == "full"


def test_damaged_backups_push_no_good_one_out() -> None:
    def made(number: int, kind: str = "full") -> Backup:
        return Backup(f"{kind}{number}", kind, START + number, START + number, f"{1:024X}")

    good, bad = (made(1), made(2), made(3, "incr")), (made(4), made(5), made(6))
    assert keep(Info(good, damaged=bad), 1) == 4, "three damaged ones, and the good one behind them"
    assert keep(Info((*good, made(7)), damaged=bad), 2) == 5
    assert keep(Info(good), 2) == 2 and keep(Info(good), 1) == 1
    assert keep(Info(good, damaged=bad), 3) is None, "nothing is too many"


def test_pages_that_do_not_fit_their_checksums_are_named() -> None:
    said = (
        "WARN: invalid page checksum found in file /d/base/5/1259 at page 3\n"
        "WARN: invalid page checksums found in file /d/base/5/2619 at pages 1, 7-8\nINFO: x\n"
    )
    assert damaged_pages(said, "/d") == {"base/5/1259": "3", "base/5/2619": "1, 7-8"}


# --- restores


def order(**changes: Any) -> Order:
    return Order.read({"directory": "/srv/back", **changes}, MEMORY)


def at(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


def test_a_repository_is_read_as_of_a_time_with_its_zone() -> None:
    """Whole seconds of UTC: pgBackRest takes a time without a zone as the host's own."""
    made = order(repository_at="2026-11-25T11:15:00.900+01:00")
    tool = PgBackRest(ArchiveLayout(), at=made.repository_at)
    assert tool.past == ["--repo=1", "--repo-target-time=2026-11-25 10:15:00+00"]
    assert PgBackRest(ArchiveLayout(), at=order().repository_at).past == []
    for wrong in ("yesterday", "2026-11-25T11:15:00"):
        with pytest.raises(Usage, match="repository_at"):
            order(repository_at=wrong)


@pytest.mark.parametrize(
    ("says", "reads"),
    [
        ("2.45", False),
        ("2.53.1", False),
        ("2.54.0", True),
        ("2.55.1", True),
        ("2.60dev", True),
        ("3.0", True),
        ("", False),
    ],
)
def test_a_program_that_cannot_read_the_past_is_refused_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, says: str, reads: bool
) -> None:
    answer = Done(0, f"pgBackRest {says}\n" if says else "", "")
    monkeypatch.setattr("scripts.host.archive.tool.run", lambda *_, **__: answer)
    PgBackRest(ArchiveLayout()).refuse_old()
    asked = PgBackRest(ArchiveLayout(), at=order(repository_at="2026-11-25T10:15:00+00:00").repository_at)
    if reads:
        asked.refuse_old()
    else:
        with pytest.raises(Refused, match=r"wanted 2\.54 or newer.*nothing was restored"):
            asked.refuse_old()


COPY = {
    "endpoint": "https://s3.elsewhere.example:8443",
    "region": "eu",
    "bucket": "copy-of-a",
    "access_key": "READER",
    "secret_key": "reader-secret-0123",
}


def test_a_copy_elsewhere_is_configured_while_it_is_needed_and_shares_the_passphrase(tmp_path: Path) -> None:
    layout = ArchiveLayout(PostgresLayout(Layout(tmp_path), 17, getpass.getuser()))
    it = order(**{"from": COPY}).outside
    assert it is not None and "reader-secret" not in repr(it)
    with pytest.raises(Refused, match="whose passphrase the copy shares"), reaching(it, MEMORY, layout):
        pass
    own = layout.config(MEMORY.site)
    own.parent.mkdir(parents=True)
    own.write_text(pgbackrest(Desired.read(document(), with_epoch=False), layout, MEMORY.site))
    made = layout.config("outside")
    with contextlib.suppress(Failed), reaching(it, MEMORY, layout):
        lines = made.read_text().splitlines()
        assert made.stat().st_mode & 0o777 == 0o640
        raise Failed("the restore does not work")
    assert not made.exists(), "whatever became of it"
    there = dict(line.split("=", 1) for line in lines if "=" in line)
    here = dict(line.split("=", 1) for line in own.read_text().splitlines() if "=" in line)
    assert (there["repo1-s3-endpoint"], there["repo1-storage-port"]) == ("s3.elsewhere.example", "8443")
    assert (there["repo1-s3-bucket"], there["repo1-s3-region"]) == ("copy-of-a", "eu")
    assert (there["repo1-s3-key"], there["repo1-s3-key-secret"]) == ("READER", "reader-secret-0123")
    assert there["repo1-cipher-pass"] == here["repo1-cipher-pass"] and there["repo1-path"] == here["repo1-path"]
    assert not {there[name] for name in ("spool-path", "lock-path", "log-path")} & set(here.values())
    assert here["repo1-s3-key-secret"] not in made.name + str(lines)


def test_a_copy_elsewhere_that_is_not_fully_named_is_refused() -> None:
    for wrong in ({"endpoint": "http://s3.example"}, {"bucket": "UPPER"}, {"secret_key": ""}, {"more": 1}):
        with pytest.raises(Usage, match=r"document\.from"):
            order(**{"from": {**COPY, **wrong}})
    with pytest.raises(Usage, match="none beside `from`"):
        order(repository="a", **{"from": COPY})


INFO = Info(BACKUPS, f"{1:024X}", "00000002" + f"{12:016X}", "17-1")
HELD = dict.fromkeys(segments(1, *range(1, 13)) | segments(2, 9, 10, 11, 12), START + 2 * DAY)
WAL = {"a": HELD, "b": HELD}
END = "00000002" + f"{12:016X}"


@pytest.mark.parametrize(
    ("wanted", "infos", "source"),
    [
        ({}, {"b": INFO, "a": INFO}, Source("b", BACKUPS[1], END)),
        ({"target": at(START + 10)}, {"b": INFO, "a": INFO}, Source("b", BACKUPS[0])),
        ({"target": at(START + DAY + 10)}, {"b": None, "a": INFO}, Source("a", BACKUPS[1])),
        ({"timeline": 1}, {"b": INFO}, Source("b", BACKUPS[0], f"{1:08X}{12:016X}")),
        ({"target": at(START + DAY + 10), "timeline": 1}, {"b": INFO}, Source("b", BACKUPS[0])),
        ({}, {"b": Info(), "a": INFO}, Source("a", BACKUPS[1], END)),
    ],
)
def test_a_restore_takes_the_last_backup_before_its_target(
    wanted: dict[str, Any], infos: dict[str, Info | None], source: Source
) -> None:
    assert choose(order(**wanted), infos, WAL)[0] == source


def test_the_latest_is_where_the_archive_reaches_further_by_timeline_then_by_position_without_a_hole() -> None:
    def chosen(own: set[str], other: set[str]) -> tuple[str, str | None]:
        wal = {"b": dict.fromkeys(own, START), "a": dict.fromkeys(other, START)}
        source, told = choose(order(), {"b": one, "a": one}, wal)
        assert f"without a hole up to segment {source.end}" in told
        return source.repository, source.end

    one = Info(BACKUPS[:1], None, None, "17-1")
    assert chosen(segments(1, 1, 2), segments(1, 1, 2)) == ("b", f"{1:08X}{2:016X}"), "the nearer of two equals"
    assert chosen(segments(1, 1, 2), segments(1, 1, 2, 3)) == ("a", f"{1:08X}{3:016X}")
    assert chosen(segments(1, 1, 3, 4, 5), segments(1, 1, 2)) == ("a", f"{1:08X}{2:016X}"), "a hole is the end"
    assert chosen(segments(1, 1, 2, 3, 4), segments(1, 1, 2) | segments(2, 2)) == ("a", f"{2:08X}{2:016X}")
    assert chosen(segments(1, 1, 2) | segments(2, 2), segments(1, 1, 2, 3)) == ("b", f"{2:08X}{2:016X}")
    over = {f"{1:08X}{0:08X}{number:08X}" for number in range(1, 256)} | {f"{1:08X}{1:08X}{0:08X}"}
    assert chosen(segments(1, 1), over) == ("a", f"{1:08X}{1:08X}{0:08X}")


@pytest.mark.parametrize("silent", [{"b": None, "a": INFO}, {"b": INFO, "a": None}])
def test_a_repository_that_is_silent_may_reach_further_so_the_latest_is_refused_until_it_is_left_out_by_name(
    silent: dict[str, Info | None],
) -> None:
    with pytest.raises(Refused, match=r"no answer.*may reach further; nothing was restored.*set `repository` to"):
        choose(order(), silent, WAL)
    with pytest.raises(Refused, match="b: no answer"):
        choose(order(), {"b": INFO, "a": INFO}, {"b": None, "a": HELD})
    alone = next(name for name, info in silent.items() if info is not None)
    assert choose(order(repository=alone), {alone: INFO}, WAL)[0].repository == alone


@pytest.mark.parametrize(
    ("wanted", "infos"),
    [
        ({"target": at(START - 10)}, {"b": INFO, "a": None}),
        ({"target": at(START + 3 * DAY)}, {"b": INFO, "a": Info()}),
    ],
)
def test_a_target_outside_is_refused_with_the_range_that_exists(
    wanted: dict[str, Any], infos: dict[str, Info | None]
) -> None:
    with pytest.raises(Refused) as refused:
        choose(order(**wanted), infos, WAL)
    text = str(refused.value)
    assert f"b: from {at(START)} to {at(START + 2 * DAY)}" in text and (
        "a: no answer" in text or "a: no backup" in text
    )
    assert "nothing was restored" in text


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"target": "yesterday"}, '"latest" or a time'),
        ({"target": "2026-11-25T10:00:00"}, "with its zone"),
        ({"directory": "back"}, "an absolute path"),
        ({"port": 5432}, "other than 5432"),
        ({"repository": "c"}, "b or a"),
    ],
)
def test_bad_orders_are_refused(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(Usage, match=says):
        order(**wanted)


def test_a_copy_that_would_fill_the_disk_is_refused() -> None:
    room(Path("/srv/back"), 1001, 1000)
    with pytest.raises(Refused, match="found 1000 bytes free on its disk, wanted more than the 1000 of the backup"):
        room(Path("/srv/back"), 1000, 1000)


def test_a_rehearsal_fails_on_a_damaged_page_and_on_an_early_end() -> None:
    whole = {"short": False, "lsn": "0/5000000", "archived_to": f"{1:08X}{9:016X}"}
    pages = {"blocks": 900, "bad": 0}
    assert fault_of(whole, pages) is None and fault_of(whole, {"blocks": None, "bad": None}) is None
    damaged, early = fault_of(whole, {**pages, "bad": 2}), fault_of({**whole, "short": True}, pages)
    assert damaged is not None and "2 of 900" in damaged[1]
    assert early is not None and early[1:] == ("an end at 0/5000000", f"the end of {1:08X}{9:016X}")


# --- what pgBackRest says


def test_answers_of_pgbackrest() -> None:
    backup = {
        "label": "20261125-102931F",
        "type": "full",
        "timestamp": {"start": 1, "stop": 2},
        "archive": {"start": "00000001" + "0" * 16},
    }
    good = [
        {
            "repo": [{"status": {"code": 0}}],
            "archive": [{"id": "15-1", "min": "A", "max": "B"}],
            "backup": [backup, {**backup, "error": True}],
        }
    ]
    info = read_info(json.dumps(good))
    assert info is not None and (info.first, info.last, info.archive, len(info.backups), info.exists) == (
        "A",
        "B",
        "15-1",
        1,
        True,
    )
    empty = read_info(json.dumps([{"repo": [{"status": {"code": 1}}], "archive": [], "backup": []}]))
    assert empty is not None and not empty.exists
    assert read_info(json.dumps([{"repo": [{"status": {"code": 99}}], "archive": [], "backup": []}])) is None, (
        "no answer"
    )
    assert [it.label for it in info.damaged] == ["20261125-102931F"]
    assert read_info("[]") is None
    listing = {
        ".": {"type": "path"},
        "0000000100000000/000000010000000000000001-" + "a" * 40 + ".zst": {"type": "file", "time": 7},
        "00000002.history": {"type": "file", "time": 9},
        "0000000100000000/000000010000000000000009.partial-" + "b" * 40 + ".zst": {"type": "file", "time": 8},
    }
    assert read_wal(json.dumps(listing)) == {
        "000000010000000000000001": 7,
        "00000002.history": 9,
        "000000010000000000000009.partial": 8,
    }
    assert (
        explain(Done(45, "", "P00  ERROR: [045]: WAL file exists\n            HINT: x\n")) == "[045]: WAL file exists"
    )
    assert "no place for this cluster" in explain(
        Done(103, "", "ERROR: [103]: unable\n repo1: [FileMissingError] unable to load info file 'archive.info'")
    )


def test_metrics_leave_out_what_is_unknown() -> None:
    found = {
        "alarm": None,
        "hold": None,
        "dropped": {"from": "1", "to": "2"},
        "waiting": 2,
        "archiver": None,
        "repositories": {
            "a": {
                "reachable": False,
                "left_out": {"from": "1"},
                "gap": None,
                "newest_backup": None,
                "failed_backup": {"damage": [1]},
            }
        },
    }
    lines = metrics(found).splitlines()
    assert (
        'dr_archive_repository_up{repository="a"} 0' in lines
        and 'dr_archive_repository_left_out{repository="a"} 1' in lines
    )
    assert {"dr_archive_split_brain 0", "dr_archive_dropped 1"} <= set(lines)
    assert 'dr_archive_damaged_pages{repository="a"} 1' in lines
    assert not [line for line in lines if "backup_timestamp" in line and "TYPE" not in line]


@pytest.mark.parametrize("bad", [0, 1])
def test_a_rehearsal_that_has_proven_a_restore_is_noted_and_one_that_has_not_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    place = layout(tmp_path)
    place.folder.mkdir(parents=True)
    order = Order(None, None, tmp_path / "rehearsal", 5433, None, None, False)
    played = Rehearsal(place, MEMORY, order, False, Log(io.StringIO(), "archive rehearse"))
    restored = {"short": False, "lsn": "0/1", "archived_to": "1"}
    monkeypatch.setattr(played.restore, "run", lambda: restored)
    monkeypatch.setattr(played.restore, "stop", lambda: None)
    monkeypatch.setattr(played, "_count", dict)
    monkeypatch.setattr(played, "_verify", lambda: {"blocks": 9, "bad": bad})
    with pytest.raises(Failed) if bad else contextlib.nullcontext():
        played.run()
    assert place.rehearsed.exists() is not bool(bad)
    if not bad:
        assert json.loads(place.rehearsed.read_text())["at"] > START
