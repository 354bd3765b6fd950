"""Records in a chain: what is signed and placed holds, and whoever changes, drops, moves or forges one is seen at that very place."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.render import documents
from contract import report
from contract.buckets import Bucket
from contract.chain import digest
from contract.errors import ExitCode, Failed
from contract.report import DEFICIENCY, RECORDS, SIGN_OFF, Lack, Record, SignOff
from contract.wire.s3 import content_md5
from scripts.clients import ssh_signature
from scripts.clients.report_bucket import ReportBucket
from scripts.clients.ssh_signature import holds
from scripts.ctl import cli
from scripts.ctl.commands import report as command
from scripts.ctl.persons import memory
from scripts.ctl.reports import book, kept, writing
from scripts.ctl.stacks.stack import Stack
from tests.unit.played_reports import Shelf, added, changed, draft, event, its, pair, sealed
from tests.unit.test_hostile import HOSTILE, check_at, fault, leaves, needs, sample, takes
from tests.unit.test_hostile import changed as at
from tests.unit.test_trail import store
from tests.unit.test_witness import endpoint
from tests.unit.test_witness import place as bucket

__all__ = ["bucket", "endpoint"]  # fixtures

ITS = its()


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shelf:
    """A witness in memory, for whoever asks one; what is remembered is in `tmp_path`."""
    found = Shelf()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    for module in (command, writing):
        monkeypatch.setattr(module, "ReportBucket", lambda *_, **__: found)
    return found


def opened(shelf: Shelf) -> book.Book:
    return book.opened(shelf, ITS)  # type: ignore[arg-type]


def signed_off(shelf: Shelf, number: int, by: str = "bob", **told: Any) -> Record:
    body = shelf.objects[RECORDS.name_of(number)][-1]
    about = SignOff(**{"of": number, "digest": digest(body), **told})
    return draft(SIGN_OFF, by, signoff=about)


def test_records_are_signed_each_for_its_place_and_hold_together(shelf: Shelf) -> None:
    assert [added(shelf) for _ in range(3)] == [1, 2, 3]
    added(shelf, signed_off(shelf, 2), "bob")
    found = opened(shelf)
    assert found.breaks == () and [it.number for it in found.records] == [1, 2, 3, 4]
    assert found.standing.signed == {2: ("bob",)} and found.head.startswith("4:")


def forged(shelf: Shelf, number: int, key: str, **told: Any) -> bytes:
    """A record of its own for that place, whole but for the key."""
    before = digest(shelf.objects[RECORDS.name_of(number - 1)][-1]) if number > 1 else ""
    return sealed(replace(draft(**told), number=number, before=before), key)


def edited(shelf: Shelf) -> bytes:
    """The second record with another outcome, and the signature of before."""
    return changed(shelf.objects[RECORDS.name_of(2)][-1], outcome="failed")


def for_another_purpose(shelf: Shelf) -> bytes:
    """By the program's key, as one signs a commit."""
    return sealed(replace(draft(), number=4, before=digest(shelf.objects[RECORDS.name_of(3)][-1])), namespace="git")


def anew(shelf: Shelf) -> bytes:
    """Another second record, by the program's key."""
    return forged(shelf, 2, "program", event=event(outcome="failed"))


ATTACKS: dict[str, tuple[Callable[[Shelf], None], str]] = {
    "one is edited": (lambda it: it.replaced(2, edited(it)), r"00000002\.json: found a signature that is not of drctl"),
    "one is edited and kept beside": (lambda it: it.put(2, edited(it)), r"00000002\.json: was written over"),
    "one is signed anew by the program's key": (lambda it: it.replaced(2, anew(it)), r"00000003\.json: found \w{64} as the digest of the record before"),
    "one is written by a host's key": (lambda it: it.put(4, b'{"payload": "{}", "signature": "x"}'), r"00000004\.json:signature"),
    "one is no record": (lambda it: it.put(4, b"<html>"), r"00000004\.json: found no JSON object"),
    "one is signed by another key": (lambda it: it.put(4, forged(it, 4, "mallory")), r"00000004\.json: found a signature that is not of drctl"),
    "one is signed for another purpose": (lambda it: it.put(4, for_another_purpose(it)), r"00000004\.json: found a signature"),
    "one is a person's in the program's name": (lambda it: it.put(4, forged(it, 4, "alice")), r"00000004\.json: found a signature that is not of drctl"),
    "two change places": (lambda it: swap(it, 1, 2), r"00000001\.json: found number 2 in it, wanted 1"),
    "one is put twice": (lambda it: it.put(4, it.objects[RECORDS.name_of(3)][-1]), r"00000004\.json: found number 3 in it, wanted 4"),
    "one in the middle goes": (lambda it: drop(it, 2), r"00000002\.json: found none, wanted the records up to reports/00000002\.json"),
    "the first goes": (lambda it: drop(it, 1), r"00000001\.json: found none"),
    "the last goes and its versions stay": (lambda it: it.hidden.add(RECORDS.name_of(3)), r"00000003\.json: was removed"),
    "a name is nobody's": (lambda it: it.objects.update({"reports/x.json": [b"{}"]}), r"reports/x\.json: found a name of no record"),
}  # fmt: skip


def swap(shelf: Shelf, one: int, other: int) -> None:
    names = RECORDS.name_of(one), RECORDS.name_of(other)
    shelf.objects[names[0]], shelf.objects[names[1]] = shelf.objects[names[1]], shelf.objects[names[0]]


def drop(shelf: Shelf, number: int) -> None:
    del shelf.objects[RECORDS.name_of(number)]


@pytest.mark.parametrize("how", ATTACKS)
def test_whoever_may_write_is_seen_at_the_place_that_he_has_touched(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    for _ in range(3):
        added(shelf)
    assert cli.main(["report", "verify"]) == ExitCode.DONE
    attack, sentence = ATTACKS[how]
    attack(shelf)
    assert cli.main(["report", "verify"]) == ExitCode.FAILED
    told = capsys.readouterr().err
    assert re.search(f"first at (witness object )?(reports/)?{sentence}", told), told


def test_the_first_place_that_does_not_hold_is_told_first(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(4):
        added(shelf)
    shelf.hidden.add(RECORDS.name_of(4))
    shelf.replaced(2, edited(shelf))
    assert cli.main(["report", "verify"]) == ExitCode.FAILED
    assert "first at witness object reports/00000002.json" in capsys.readouterr().err


def test_a_chain_without_its_last_records_is_whole_and_not_the_one_that_was_noted(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        added(shelf)
    cli.main(["report", "verify"])
    head = capsys.readouterr().out.splitlines()[-1].removeprefix("head ")
    drop(shelf, 3)
    assert cli.main(["report", "verify"]) == ExitCode.DONE
    assert cli.main(["report", "verify", "--head", head]) == ExitCode.FAILED
    assert "the last ones were taken away, or all was written anew" in capsys.readouterr().err


def test_copies_are_walked_without_the_witness(shelf: Shelf, tmp_path: Path) -> None:
    for _ in range(2):
        added(shelf)
    (tmp_path / "copies").mkdir()
    for name, (body,) in shelf.objects.items():
        (tmp_path / "copies" / name.removeprefix(RECORDS.folder)).write_bytes(body)
    shelf.down = True
    assert cli.main(["report", "verify", "--from", str(tmp_path / "copies")]) == ExitCode.DONE
    assert cli.main(["report", "verify", "--from", str(tmp_path / "none")]) == ExitCode.USAGE


def test_a_key_of_before_a_rotation_still_vouches(shelf: Shelf) -> None:
    added(shelf, key="before")
    assert "not of drctl" in opened(shelf).breaks[0]
    rotated = its(former=(pair("before").public,))
    assert book.opened(shelf, rotated).breaks == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("by", "key", "told", "sentence"),
    [
        ("alice", "alice", {}, "by alice, who has run or recorded it"),
        ("drctl", "program", {}, "by the program's key, wanted a person's"),
        ("bob", "bob", {"digest": "0" * 64}, "one of the two was changed"),
        ("bob", "bob", {"of": 7}, "which is no event before it"),
    ],
)
def test_a_sign_off_that_is_none_does_not_count(shelf: Shelf, by: str, key: str, told: Any, sentence: str) -> None:
    added(shelf)
    added(shelf, signed_off(shelf, 1, by, **told), key)
    found = opened(shelf)
    assert found.standing.signed == {} and sentence in "".join(found.breaks)


def test_nobody_signs_in_anothers_name(shelf: Shelf) -> None:
    added(shelf)
    added(shelf, signed_off(shelf, 1, "bob"), "alice")
    found = opened(shelf)
    assert found.standing.signed == {} and "a signature that is not of bob" in found.breaks[0]


def test_a_deficiency_of_nothing_is_told(shelf: Shelf) -> None:
    added(shelf)
    added(shelf, draft(DEFICIENCY, deficiency=Lack(of=2, owner="ann", until="2026-12-31", text="a second bastion")))
    assert "found a deficiency of record 2 which is no event before it" in opened(shelf).breaks[0]
    added(shelf, draft(DEFICIENCY, deficiency=Lack(of=4, owner="ann", until="2026-12-31", text="of what comes later")))
    added(shelf)
    assert "found a deficiency of record 4 which is no event before it" in opened(shelf).breaks[1]


PARTS = {"move": "event", SIGN_OFF: "signoff", DEFICIENCY: "deficiency"}


def of_kind(kind: str) -> dict[str, Any]:
    """A record with every field that one of its kind has."""
    without = {name for name in PARTS.values() if name != PARTS[kind]}
    return {name: it for name, it in sample(Record).items() if name not in without} | {"kind": kind}


def stored(told: dict[str, Any]) -> bytes:
    signature = "-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----\n"
    return json.dumps({"schema": 1, "payload": json.dumps(told), "signature": signature}).encode()


def heard(told: dict[str, Any]) -> Record:
    """As it is read at the witness."""
    return report.read("reports/00000001.json", stored(told)).record


@pytest.mark.parametrize("how", HOSTILE)
@pytest.mark.parametrize("kind", PARTS)
def test_nothing_hostile_in_any_field_of_a_record_is_believed(kind: str, how: str) -> None:
    found, value = {}, HOSTILE[how]
    good = of_kind(kind)
    assert heard(good).kind == kind
    for path in (it for it in leaves(Record) if it[0] in good):
        check = check_at(Record, path)
        whole = how not in ("endless", "long") and not needs(Record, path)
        why = fault(
            partial(heard, at(good, path, value)),
            "reports/00000001.json",
            takes(check, value) and whole,
        )
        if why:
            found[".".join(path)] = why
    assert found == {}


def test_a_record_of_a_kind_has_the_part_of_that_kind_and_no_other() -> None:
    for wrong in (
        {**sample(Record), "kind": "move"},
        {**of_kind(SIGN_OFF), "kind": DEFICIENCY},
        {**of_kind("move"), "event": None},
    ):
        with pytest.raises(Failed, match="found other parts than those of a"):
            heard(wrong)


# --- the commands


@pytest.fixture
def key(tmp_path: Path) -> Callable[[str], str]:
    """A person's key as a pair of files; the public one's path."""

    def made(name: str) -> str:
        private = tmp_path / name
        private.write_text(pair(name).private)
        private.chmod(0o600)
        private.with_suffix(".pub").write_text(f"{pair(name).public} {name}\n")
        return str(private.with_suffix(".pub"))

    return made


def test_somebody_else_signs_a_record_off_by_an_own_key(
    shelf: Shelf, key: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    added(shelf)
    assert cli.main(["report", "sign", "1", "--key", key("bob"), "--note", "read with ann"]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert "recovery      31.5 s, declared 120 s: kept" in told and "record 2: bob has signed off record 1" in told
    assert opened(shelf).standing.signed == {1: ("bob",)}
    assert cli.main(["report", "list"]) == ExitCode.DONE
    assert capsys.readouterr().out.splitlines()[-1].endswith("bob")


@pytest.mark.parametrize(
    ("who", "sentence"),
    [
        ("alice", "who has run or recorded it"),
        ("mallory", "is nobody's of dr:reports.signers"),
        ("program", "is nobody's of"),
    ],
)
def test_whoever_may_not_sign_it_off_writes_nothing(
    shelf: Shelf, key: Callable[[str], str], capsys: pytest.CaptureFixture[str], who: str, sentence: str
) -> None:
    added(shelf)
    assert cli.main(["report", "sign", "1", "--key", key(who)]) == ExitCode.REFUSED
    assert sentence in capsys.readouterr().err and len(shelf.objects) == 1


def test_what_does_not_hold_is_not_signed_off(shelf: Shelf, key: Callable[[str], str]) -> None:
    added(shelf)
    shelf.replaced(1, changed(shelf.objects[RECORDS.name_of(1)][-1], outcome="failed"))
    assert cli.main(["report", "sign", "1", "--key", key("bob")]) == ExitCode.USAGE


def test_a_deficiency_is_a_record_of_its_own(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    added(shelf)
    words = ["report", "deficiency", "1", "--owner", "ann", "--text", "a second bastion", "--until"]
    assert cli.main([*words, "soon"]) == ExitCode.USAGE
    assert "deficiency.until: found a string, wanted a day" in capsys.readouterr().err and len(shelf.objects) == 1
    assert cli.main([*words, "2026-12-31"]) == ExitCode.DONE
    assert cli.main(["report", "show", "1"]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert "deficiency    a second bastion: ann until 2026-12-31" in told and "NOT signed off" in told


def test_a_record_goes_out_as_json_with_what_others_need_to_try_the_signature(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    added(shelf)
    assert cli.main(["report", "show", "1", "--json"]) == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    public = [("drctl", pair("program").public)]
    assert holds(told["payload"], told["signature"], told["namespace"], "drctl", public) == ""
    assert holds(told["payload"] + " ", told["signature"], told["namespace"], "drctl", public) != ""
    assert cli.main(["report", "show", "2"]) == ExitCode.USAGE


DRILL = {"scenario": "region-killed", "outcome": "done", "began": "2026-11-01T10:00:00Z", "ran_by": "CI run 77"}


@pytest.mark.parametrize("kind", report.EVENTS)
def test_what_others_have_done_is_added_from_a_file(shelf: Shelf, tmp_path: Path, kind: str) -> None:
    (tmp_path / "told.json").write_text(json.dumps(DRILL))
    assert cli.main(["report", "add", kind, "--from", str(tmp_path / "told.json")]) == ExitCode.DONE
    (it,) = opened(shelf).records
    assert it.record.kind == kind and it.record.event is not None and it.record.event.ran_by == "CI run 77"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "found no JSON object"),
        ("[]", "found no JSON object"),
        (json.dumps(DRILL | {"rto_s": 3}), "rto_s"),
        (json.dumps(DRILL | {"began": "yesterday"}), "wanted a time in UTC"),
        (json.dumps(DRILL | {"began": "2026-02-31T10:00:00Z"}), "wanted a time in UTC"),
        (json.dumps(DRILL | {"began": "2099-01-01T10:00:00Z"}), "wanted a time that is over"),
        (json.dumps(DRILL | {"outcome": "good"}), "outcome"),
        (json.dumps(DRILL | {"timeline": [{"link": "fence", "state": "sleeping"}]}), "timeline"),
        (json.dumps(DRILL | {"deficiencies": [{"owner": "ann"}] * 101}), "a list of 100 at most"),
        (json.dumps(DRILL | {"ran_by": "a" * 600_000}), "at most 500000 bytes"),
    ],
)  # fmt: skip
def test_a_file_in_another_form_is_refused_and_nothing_is_written(
    shelf: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    (tmp_path / "told.json").write_text(text)
    assert cli.main(["report", "add", "drill", "--from", str(tmp_path / "told.json")]) == ExitCode.USAGE
    assert sentence in capsys.readouterr().err and shelf.objects == {}


def test_what_the_witness_does_not_take_waits_and_is_pushed_once(
    shelf: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = documents.witness(ITS)
    (tmp_path / "told.json").write_text(json.dumps(DRILL))
    shelf.down = True
    assert cli.main(["report", "add", "drill", "--from", str(tmp_path / "told.json")]) == ExitCode.DONE
    assert "`drctl report push` writes it there" in capsys.readouterr().err and len(kept.waiting(place)) == 1
    assert cli.main(["report", "push"]) == ExitCode.FAILED and len(kept.waiting(place)) == 1
    shelf.down = False
    again = kept.read(kept.waiting(place)[0])
    assert cli.main(["report", "push"]) == ExitCode.DONE and kept.waiting(place) == []
    kept.keep(place, again)  # its answer was lost, and it is there
    assert cli.main(["report", "push"]) == ExitCode.DONE
    assert len(opened(shelf).records) == 1 and kept.waiting(place) == []


def test_what_waits_is_read_in_its_form_and_what_is_none_stays_and_is_told(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    place = documents.witness(ITS)
    file = kept.keep(place, draft())
    assert file.stat().st_mode & 0o077 == 0 and file.parent.stat().st_mode & 0o077 == 0
    memory.write(file, {"kind": "move", "who": "x\x1b[2J"})
    assert cli.main(["report", "push"]) == ExitCode.FAILED
    told = capsys.readouterr().err
    assert "found 1 that could not be written" in told and "\x1b" not in told
    assert shelf.objects == {} and kept.waiting(place) == [file]


def test_a_disk_that_lets_go_of_nothing_ends_no_command_and_makes_no_second_record(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is written before a deploy or a rollback decides anything: that it stays here is no reason against one."""
    place = documents.witness(ITS)
    file = kept.keep(place, draft())

    def refused(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        for _ in range(2):
            assert writing.push(ITS, lambda _: None) == 0
    assert file.exists() and len(opened(shelf).records) == 1


def test_what_was_killed_is_found_behind_a_file_that_cannot_be_read(shelf: Shelf) -> None:
    place = documents.witness(ITS)
    kept.begin(place, draft())
    (begun,) = kept._place(place, "x").parent.glob("*.json")
    told = memory.read(begun)
    memory.write(begun, {**told, "machine": "0" * 32})
    folder = begun.with_name("aaaa.json")
    folder.mkdir()
    os.utime(folder, (0, 0))
    assert [it.token for it in kept.killed(place)] == [told["record"]["token"]]


def test_a_full_disk_keeps_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        memory.write(tmp_path / "made" / "x.json", {})
    assert [*(tmp_path / "made").iterdir()] == []


def test_a_key_that_signs_nothing_is_one_sentence_without_it() -> None:
    with pytest.raises(Failed, match=r"ssh-keygen: .*nothing was written") as caught:
        ssh_signature.sign("text", "report@shop-dr", "a-secret-that-is-no-key")
    assert "a-secret" not in str(caught.value)


def test_a_record_that_nobody_could_read_again_is_not_signed() -> None:
    with pytest.raises(Failed, match=r"record of a move:event\.seconds: found .*it was not written"):
        report.text_of(draft(event=event(seconds=-1.0)))


# --- against a store


def test_two_that_write_at_once_share_no_place_and_what_they_wrote_is_locked_and_read_back(bucket: Bucket) -> None:
    place = replace(bucket, bucket="locked-records")
    store(bucket).create_bucket(Bucket=place.bucket, ObjectLockEnabledForBucket=True)
    barrier, one_by_one = threading.Barrier(3), threading.Lock()

    class Honoured(ReportBucket):
        """This store looks at a condition and writes in two steps, which a real one does in one."""

        def record(self, number: int, body: bytes) -> bool:
            with one_by_one:
                return super().record(number, body)

    def one(_: int) -> int:
        barrier.wait()
        return book.append(Honoured(place), draft(), book.by_program(ITS))

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(one, range(3))) == [1, 2, 3]
    assert store(bucket).head_object(Bucket=place.bucket, Key=RECORDS.name_of(2))["ObjectLockMode"] == "COMPLIANCE"
    found = book.opened(ReportBucket(place), ITS)
    assert found.breaks == () and len(found.records) == 3
    store(bucket).put_object(Bucket=place.bucket, Key=RECORDS.name_of(2), Body=b"{}", ContentMD5=content_md5(b"{}"))
    assert [RECORDS.name_of(2) in it for it in book.opened(ReportBucket(place), ITS).breaks][:1] == [True]
