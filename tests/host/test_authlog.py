"""What a host keeps of its sign-ins: each entry once and in order, whatever the journal, the witness and the power do; and the job that does it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from contract.authlog import MOST_LINES, Line, read, walk
from contract.buckets import Bucket
from contract.errors import ExitCode, Failed, Usage
from contract.witness import LOCKED_DAYS
from scripts.host.frame.files import make_folder
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.witness import Silent, Witness
from scripts.host.host import authlog, journal, sending
from scripts.host.host.sending import Sender
from scripts.host.host.service import Base, Desired
from tests.host.frame.test_frame import HOST, SETUP, call
from tests.host.test_hardening import Units as Told
from tests.unit.test_witness import endpoint, place

__all__ = ["endpoint", "place"]  # fixtures


def entry(number: int, text: str = "Accepted", journal_id: str = "aa", **more: Any) -> dict[str, Any]:
    """As journalctl prints one."""
    return {
        "__CURSOR": f"s={journal_id};i={number:x};b=b0;m=1;t=2;x=3",
        "__REALTIME_TIMESTAMP": str(1_764_406_512_000_000 + number),
        "_COMM": "sshd-session",
        "_UID": "0",
        "_PID": "812",
        "_SYSTEMD_UNIT": "ssh.service",
        "MESSAGE": text,
        **more,
    }


@dataclass
class Journal:
    """Answers as journalctl does: from the entry at the cursor on, or from what comes behind it where that is gone."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    asked: list[Sequence[str]] = field(default_factory=list)

    def __call__(self, words: Sequence[str]) -> Iterator[str]:
        self.asked.append(words)
        cursor = next((it.partition("=")[2] for it in words if it.startswith("--cursor=")), "")
        (journal_id, at) = _place(cursor) if cursor else ("", 0)
        others = any(_place(it["__CURSOR"])[0] != journal_id for it in self.entries)
        rows = self.entries if others else [it for it in self.entries if _place(it["__CURSOR"])[1] >= at]
        yield from (json.dumps(it) + "\n" for it in rows)


def _place(cursor: str) -> tuple[str, int]:
    journal_id, number = (part.partition("=")[2] for part in cursor.split(";")[:2])
    return journal_id, int(number, 16)


@dataclass
class Store:
    """A witness that takes each name once, and is silent while it is told to be; `lost`: it takes what it does not answer."""

    objects: dict[str, bytes] = field(default_factory=dict)
    silent: bool = False
    lost: bool = False
    calls: int = 0

    def __call__(self, key: str, text: str) -> None:
        self.calls += 1
        if not self.silent:
            self.objects.setdefault(key, text.encode())
        if self.silent or self.lost:
            raise Silent("witness: found no answer")

    def texts(self) -> list[str]:
        return [it.text for it in walk(self.objects.items()).lines]


@pytest.fixture
def store() -> Store:
    return Store()


def sender(folder: Path, rows: Journal, store: Store, host: str = "db-1") -> Sender:
    return Sender(site="a", host=host, folder=folder, rows=rows, store=store)


def well(store: Store) -> None:
    found = walk(store.objects.items())
    assert not found.breaks and not found.gaps


def test_each_entry_is_put_once_and_nothing_when_nothing_was_said(tmp_path: Path, store: Store) -> None:
    rows = Journal([entry(1, "one"), entry(2, "two")])
    assert sender(tmp_path, rows, store).go() == 1
    assert sender(tmp_path, rows, store).go() == 0 and store.calls == 1, "the witness is not even asked"
    rows.entries.append(entry(9, "three"))
    assert sender(tmp_path, rows, store).go() == 1
    assert store.texts() == ["one", "two", "three"]
    well(store)
    assert all("SYSLOG_FACILITY=10" in words and "_COMM=sshd-session" in words for words in rows.asked)


def test_what_a_silent_witness_did_not_take_waits_and_is_put_as_it_was(tmp_path: Path, store: Store) -> None:
    rows = Journal([entry(1, "one")])
    store.silent = True
    for _ in range(3):
        with pytest.raises(Silent):
            sender(tmp_path, rows, store).go()
        rows.entries.append(entry(len(rows.entries) + 1, "later"))
    store.silent = False
    assert sender(tmp_path, rows, store).go() == 2
    assert store.texts() == ["one", "later", "later", "later"]
    well(store)


def test_an_answer_that_was_lost_puts_nothing_twice(tmp_path: Path, store: Store) -> None:
    rows = Journal([entry(1, "one")])
    store.lost = True
    with pytest.raises(Silent):
        sender(tmp_path, rows, store).go()
    store.lost = False
    rows.entries.append(entry(2, "two"))
    sender(tmp_path, rows, store).go()
    assert store.texts() == ["one", "two"] and len(store.objects) == 2
    well(store)


def test_many_entries_are_put_in_pieces_over_several_goes(tmp_path: Path, store: Store) -> None:
    rows = Journal([entry(number, str(number)) for number in range(1, 5 * MOST_LINES + 2)])
    assert sender(tmp_path, rows, store).go() == sending.MOST_OBJECTS
    assert sender(tmp_path, rows, store).go() == 2
    assert store.texts() == [str(number) for number in range(1, 5 * MOST_LINES + 2)]
    well(store)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([entry(9, "later")], "up to 6 entries of its journal were gone"),
        ([entry(8, "later", "bb")], "its journal was emptied or is another one"),
        ([], "its journal was emptied or is another one"),
    ],
)
def test_what_the_journal_has_lost_is_told_once(
    tmp_path: Path, store: Store, entries: list[dict[str, Any]], told: str
) -> None:
    """Rotated away, or wiped by somebody who did not want it read: then also where nothing came behind it."""
    sender(tmp_path, Journal([entry(1, "one"), entry(2, "two")]), store).go()
    rows = Journal(entries)
    assert sender(tmp_path, rows, store).go() == 1 and sender(tmp_path, rows, store).go() == 0
    (gap,) = walk(store.objects.items()).gaps
    assert told in gap and store.texts() == ["one", "two", *(it["MESSAGE"] for it in entries)]


def test_a_journal_that_cannot_be_read_is_no_empty_one(tmp_path: Path, store: Store) -> None:
    sender(tmp_path, Journal([entry(1, "one")]), store).go()

    def broken(_: Sequence[str]) -> Iterator[str]:
        yield from ()
        raise Failed("journal: found journalctl ended with code 1")

    with pytest.raises(Failed):
        Sender(site="a", host="db-1", folder=tmp_path, rows=broken, store=store).go()
    assert len(store.objects) == 1


def test_a_journal_that_is_read_slowly_is_read_on_from_where_it_was_left(tmp_path: Path, store: Store) -> None:
    """A large one on a host at work; but one of which nothing comes is no empty one."""
    rows = Journal([entry(number, str(number)) for number in range(1, 5)])

    def slow(words: Sequence[str]) -> Iterator[str]:
        for number, row in enumerate(rows(words)):
            if number == 2:
                raise journal.Slow("journal: found journalctl ended with code 124")
            yield row

    for _ in range(3):
        Sender(site="a", host="db-1", folder=tmp_path, rows=slow, store=store).go()
    assert store.texts() == ["1", "2", "3", "4"]
    well(store)

    def stuck(_: Sequence[str]) -> Iterator[str]:
        yield from ()
        raise journal.Slow("journal: found journalctl ended with code 124")

    with pytest.raises(journal.Slow):
        Sender(site="a", host="db-1", folder=tmp_path, rows=stuck, store=store).go()


@pytest.mark.parametrize("program", ["exit 1", "sleep 9"])
def test_a_journalctl_that_fails_or_hangs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    make_folder(tmp_path / "bin")
    (tmp_path / "bin/journalctl").write_text(f"#!/bin/sh\necho '{{}}'\n{program}\n")
    (tmp_path / "bin/journalctl").chmod(0o755)
    monkeypatch.setattr(journal, "PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(journal, "READ_S", 0.2)
    with pytest.raises(Failed, match=r"journal: found journalctl ended with code (1|124|137)"):
        list(journal.journalctl([]))


def test_a_start_of_the_machine_begins_a_chain_that_names_the_one_before(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Journal([entry(1, "one")])
    sender(tmp_path, rows, store).go()
    monkeypatch.setattr(sending, "_boot", lambda: "another")
    rows.entries.append(entry(2, "two"))
    sender(tmp_path, rows, store).go()
    found = walk(store.objects.items())
    assert {it.rpartition("(")[2] for it in found.begun} == {f"{sending.FIRST})", f"{sending.STARTED})"}
    heads = [read(key, text)[0] for key, text in sorted(store.objects.items())]
    assert len({it.chain for it in heads}) == 2 and sum(bool(it.before) for it in heads) == 1
    well(store)


def test_a_disk_that_was_set_back_breaks_no_chain(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Journal([entry(1, "one")])
    sender(tmp_path, rows, store).go()
    kept = (tmp_path / sending.STATE).read_bytes()
    rows.entries.append(entry(2, "two"))
    sender(tmp_path, rows, store).go()
    (tmp_path / sending.STATE).write_bytes(kept)
    monkeypatch.setattr(sending, "_boot", lambda: "rolled-back")
    rows.entries.append(entry(3, "three"))
    sender(tmp_path, rows, store).go()
    assert store.texts() == ["one", "two", "two", "three"], "told twice rather than not at all"
    well(store)


@pytest.mark.parametrize("state", ["", "{", "[]", '{"chain": 3}', '{"host": "db-1.b"}'])
def test_a_state_that_is_none_begins_a_chain_and_says_so(tmp_path: Path, store: Store, state: str) -> None:
    (tmp_path / sending.STATE).write_text(state)
    sender(tmp_path, Journal([entry(1, "one")]), store).go()
    assert sending.UNREADABLE in walk(store.objects.items()).begun[0] and store.texts() == ["one"]


def test_a_state_of_another_host_is_none(tmp_path: Path, store: Store) -> None:
    """A server that was made of another's disk."""
    sender(tmp_path, Journal([entry(1, "one")]), store).go()
    sender(tmp_path, Journal([entry(1, "one")]), store, host="db-2").go()
    assert {read(key, text)[0].host for key, text in store.objects.items()} == {"db-1", "db-2"}


def test_whoever_is_not_root_and_says_much_neither_holds_up_what_root_says_nor_fills_the_witness(
    tmp_path: Path, store: Store
) -> None:
    """A service's user claims a facility of sign-ins, as often as it likes; what is kept is locked for a year."""
    noise = [entry(number, f"noise {number}", _UID="998", _COMM="logger") for number in range(1, 3001)]
    rows = Journal([*noise, entry(3001, "Accepted")])
    assert sender(tmp_path, rows, store).go() == 1
    kept = store.texts()
    assert "Accepted" in kept and len(kept) == journal.MOST_OF_OTHERS + 2
    (left,) = [it for it in kept if "left out" in it]
    assert left == "2950 more entries of users other than root were left out, the last of them of user 998"
    well(store)


def test_no_object_has_more_lines_than_it_may_however_they_are_mixed(tmp_path: Path, store: Store) -> None:
    noise = [entry(number, "noise", _UID="998") for number in range(1, 2 * journal.MOST_OF_OTHERS)]
    rows = Journal([*noise, *(entry(number, str(number)) for number in range(1000, 1000 + 2 * MOST_LINES))])
    while sender(tmp_path, rows, store).go():
        pass
    assert [int(it) for it in store.texts() if it.isdecimal()] == list(range(1000, 1000 + 2 * MOST_LINES))
    assert all(len(read(key, text)[1]) <= MOST_LINES for key, text in store.objects.items())
    well(store)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"MESSAGE": [65, 255, 10, 27]}, Line(at=0, text="A\ufffd \\x1b")),
        ({"MESSAGE": None}, Line(at=0, text="")),
        ({"MESSAGE": ["one", "two"]}, Line(at=0, text="one two")),
        ({"MESSAGE": "x" * 9000}, Line(at=0, text="x" * 400 + "...")),
        ({"MESSAGE": "a\u202eb"}, Line(at=0, text="a\\u202eb")),
        ({"_COMM": "cron"}, None),
        (
            {"_COMM": "systemd", "UNIT": "dr-agent.service", "MESSAGE_ID": journal.FAILED_UNITS[0]},
            Line(at=0, unit="dr-agent.service", text="Accepted"),
        ),
        ({"_COMM": "systemd", "UNIT": "man-db.service", "MESSAGE_ID": journal.FAILED_UNITS[0]}, None),
        ({"_UID": "-1", "_PID": "x"}, Line(at=0, text="Accepted", pid=0)),
    ],
)
def test_an_entry_is_made_plain_and_short_and_of_no_use_to_nobody(
    tmp_path: Path, more: dict[str, Any], line: Line | None
) -> None:
    found = journal.read("", Journal([entry(1) | more])).lines
    assert [(it.text, it.pid) for it in found] == (
        [] if line is None else [(line.text, line.pid or (812 if "_PID" not in more else 0))]
    )
    assert not line or not line.unit or found[0].unit == line.unit


# --- at the witness


def witness(place: Bucket) -> Witness:
    return Witness(place.endpoint, place.region, place.bucket, place.access_key, place.secret_key)


def owner(place: Bucket) -> Any:
    return boto3.client(
        "s3", endpoint_url=place.endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )


def test_an_object_is_created_once_and_locked_where_the_bucket_locks(place: Bucket) -> None:
    for body in (b"1", b"2"):
        witness(place).create("logs/x", body, 86_400)
    assert owner(place).get_object(Bucket=place.bucket, Key="logs/x")["Body"].read() == b"1"
    owner(place).create_bucket(Bucket="locking", ObjectLockEnabledForBucket=True)
    locking = Witness(place.endpoint, place.region, "locking", "k", "s")
    locking.create("logs/x", b"1", LOCKED_DAYS * 86_400)
    assert owner(place).head_object(Bucket="locking", Key="logs/x")["ObjectLockMode"] == "COMPLIANCE"


# --- on the host


class Units(Told):
    """The timer runs from its start on."""

    def active(self, unit: str) -> bool:
        return f"restart {unit}" in self.told


def base(root: Path, units: Units, *, signed_in: bool = True, key: bool = True) -> Base:
    setup = {**SETUP, "signed_in": signed_in, **({} if key else {"witness": None})}
    layout = Layout(root)
    make_folder(layout.run)
    return Base(Desired.read({**HOST, "setup": setup}), layout, Log(io.StringIO(), "host converge"), units)


def names(base: Base) -> list[str]:
    return [step.name for step in base.plan(base.facts())]


def converge(base: Base) -> None:
    for step in base.plan(base.facts()):
        base.apply(step)


@pytest.fixture
def units() -> Units:
    return Units()


def test_the_job_is_put_there_and_then_left_alone(tmp_path: Path, units: Units) -> None:
    host = base(tmp_path, units)
    assert names(host) == ["files", "authlog-files", "authlog-start"]
    converge(host)
    assert names(host) == [] and host.verify(host.facts())["signed_in"] == "kept at the witness"
    assert units.told == ["daemon_reload", f"restart {authlog.TIMER}"]
    assert json.loads((tmp_path / "etc/dr/authlog.json").read_text()) == {"host": "db-1", "site": "a"}
    assert (tmp_path / "etc/dr/witness.json").stat().st_mode & 0o777 == 0o600, "the key stays root's"


def test_a_job_that_was_changed_or_stopped_is_put_right(tmp_path: Path, units: Units) -> None:
    host = base(tmp_path, units)
    converge(host)
    (tmp_path / f"etc/systemd/system/{authlog.UNIT}").write_text("[Service]\nExecStart=/bin/true\n")
    assert names(host) == ["authlog-files", "authlog-start"]
    converge(host)
    units.started.clear()
    assert names(host) == ["authlog-start"]
    with pytest.raises(Failed, match="who signs in here is known to this host alone"):
        host.verify(host.facts())


def test_a_unit_of_which_a_busy_service_manager_has_not_heard_is_told_to_it_again(
    tmp_path: Path, units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    converge(base(tmp_path, units))
    (tmp_path / f"etc/systemd/system/{authlog.UNIT}").write_text("[Service]\nExecStart=/bin/true\n")

    def busy() -> None:
        raise Failed("program systemctl: no end within 60 s")

    with monkeypatch.context() as patch, pytest.raises(Failed, match="no end within"):
        patch.setattr(units, "daemon_reload", busy, raising=False)
        converge(base(tmp_path, units))
    units.told.clear()
    assert names(base(tmp_path, units)) == ["authlog-files", "authlog-start"]
    converge(base(tmp_path, units))
    assert units.told == ["daemon_reload", f"restart {authlog.TIMER}"] and names(base(tmp_path, units)) == []


def test_a_host_that_is_not_asked_for_it_has_none_and_loses_it_before_its_key(tmp_path: Path, units: Units) -> None:
    assert names(base(tmp_path / "new", Units(), signed_in=False)) == ["files"]
    converge(base(tmp_path, units))
    host = base(tmp_path, units, signed_in=False, key=False)
    assert names(host)[:2] == ["authlog-off", "forget"]
    converge(host)
    assert names(host) == [] and not (tmp_path / f"etc/systemd/system/{authlog.TIMER}").exists()


def test_it_is_not_asked_for_without_a_key() -> None:
    with pytest.raises(Usage, match=r"document\.setup\.witness: found nothing, wanted the witness bucket"):
        Desired.read({**HOST, "setup": {**SETUP, "witness": None, "signed_in": True}})


def test_the_verb_says_what_it_lacks_and_a_silent_witness_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = call(tmp_path, "host", "authlog")
    assert code == ExitCode.FAILED and "authlog.json: found none that can be read" in err and "Traceback" not in err
    converge(base(tmp_path, Units()))
    make_folder(tmp_path / "state")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(journal, "journalctl", Journal([entry(1, "one")]))
    monkeypatch.setattr(Witness, "create", lambda *_: (_ for _ in ()).throw(Silent("witness: found no answer")))
    code, out, err = call(tmp_path, "host", "authlog")
    assert code == ExitCode.DONE and json.loads(out)["facts"] == {"put": None} and "waits here" in err
    assert "W-SECRET" not in out + err


def test_whoever_calls_it_past_its_unit_is_refused_before_its_state_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root's state the job could not read: it would begin a chain as if nothing had been kept, and tell the whole journal again."""
    converge(base(tmp_path, Units()))
    state = tmp_path / "var/lib/dr-authlog"
    make_folder(state)
    monkeypatch.setattr(journal, "journalctl", Journal([entry(1, "one")]))
    monkeypatch.setattr(Witness, "create", lambda *_: pytest.fail("nothing is put"))
    monkeypatch.setattr(os, "geteuid", lambda: state.stat().st_uid + 1)
    code, _, err = call(tmp_path, "host", "authlog")
    assert code == ExitCode.REFUSED and "`systemctl start dr-authlog` runs it now" in err
    assert list(state.iterdir()) == []


def test_a_state_that_the_system_does_not_give_is_not_taken_for_a_first_time(tmp_path: Path, store: Store) -> None:
    make_folder(tmp_path / sending.STATE)
    assert sender(tmp_path, Journal(), store).load().begun == sending.UNREADABLE
