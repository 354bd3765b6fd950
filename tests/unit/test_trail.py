"""The audit trail: a chain that shows what was changed, a number that is never shared, and a record that holds nobody up."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import os
import re
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from typing import Any

import boto3
import pytest

from components.render import documents
from contract import fields
from contract.audit import TRAIL, Entry, walk
from contract.buckets import Bucket
from contract.chain import digest
from contract.errors import DrError, ExitCode, Failed, Refused, Usage
from scripts.clients import chain_bucket, http, trail
from scripts.clients.trail import Note, append, draft, ended, place, who
from scripts.clients.trail_bucket import TrailBucket
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl import cli
from scripts.ctl.commands import audit
from scripts.ctl.stacks.stack import Stack
from tests.conftest import Kept
from tests.unit.test_witness import Between, endpoint
from tests.unit.test_witness import place as bucket

__all__ = ["bucket", "endpoint"]  # fixtures

name_of, number_of = TRAIL.name_of, TRAIL.number_of
NOWHERE = Bucket(endpoint="https://s3.example", region="de", bucket="witness", access_key="k", secret_key="s")


def entry(what: str = "run", **more: Any) -> Entry:
    return draft(what, "a", epoch=3, why="the third rehearsal", **more)


def chain(length: int = 4) -> dict[str, bytes]:
    kept = Kept()
    for _ in range(length):
        append(kept, entry())  # type: ignore[arg-type]
    return kept.objects


def broken(objects: dict[str, bytes]) -> str:
    return "\n".join(walk(objects.items()).breaks)


def test_each_entry_holds_the_digest_of_the_one_before() -> None:
    objects = chain()
    found = walk(objects.items())
    assert [it.number for it in found.entries] == [1, 2, 3, 4] and not found.breaks
    assert [it.before for it in found.entries] == ["", *(digest(body) for body in list(objects.values())[:3])]
    assert found.head == f"4:{digest(objects[name_of(4)])}"
    assert walk([]).head == ""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda it: it.update({name_of(2): it[name_of(2)].replace(b"third", b"fourth")}), "00000003.json: found .* as the digest of the entry before"),
        (lambda it: it.pop(name_of(2)), "00000002.json: found none, wanted the entries up to audit/00000002.json"),
        (lambda it: it.pop(name_of(1)), "00000001.json: found none"),
        (lambda it: it.update({name_of(3): it[name_of(2)]}), "00000003.json: found number 2 in it"),
        (lambda it: it.update({name_of(3): b"<html>"}), "00000003.json: found no JSON object"),
        (lambda it: it.update({name_of(3): b'{"number": 3, "what": "run\\n"}'}), "witness object audit/00000003.json"),
        (lambda it: it.update({"audit/zz.json": b"{}"}), "audit/zz.json: found a name of no entry"),
        (lambda it: it.update({name_of(0): b"{}"}), "audit/00000000.json: found a name of no entry"),
    ],
)  # fmt: skip
def test_whatever_is_changed_shows_where(change: Any, sentence: str) -> None:
    objects = chain()
    change(objects)
    assert re.search(sentence, broken(objects)), broken(objects)


def test_what_comes_behind_a_gap_is_read_all_the_same() -> None:
    objects = chain(5)
    objects.pop(name_of(2))
    assert [it.number for it in walk(objects.items()).entries] == [1, 4, 5]
    assert broken(objects).count("\n") == 0, "one break is told once"


@pytest.mark.parametrize(
    "name", ["audit/1.json", "audit/0000000a.json", "audit/00000001.json.bak", "x00000001.json", "audit/-0000001.json"]
)
def test_a_name_is_an_entrys_or_it_is_none(name: str) -> None:
    assert number_of(name) is None and number_of(name_of(7)) == 7


def test_two_at_once_share_no_number(bucket: Bucket) -> None:
    """Against a store that honours the condition: whoever comes second takes the next number, and the chain holds."""
    barrier = threading.Barrier(3)

    def one(_: int) -> int:
        barrier.wait()
        return append(TrailBucket(bucket), entry()).number

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(one, range(3))) == [1, 2, 3]
    witness = TrailBucket(bucket)
    assert not broken({name: witness.stored(number_of(name) or 0) or b"" for name in witness.listed()})


def store(bucket: Bucket) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=bucket.endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="hidden-secret",
    )


def test_where_the_bucket_has_object_lock_an_entry_is_locked_for_a_year_and_more(bucket: Bucket) -> None:
    s3, locked = store(bucket), dataclasses.replace(bucket, bucket="locked-trail")
    s3.create_bucket(Bucket=locked.bucket, ObjectLockEnabledForBucket=True)
    append(TrailBucket(locked), entry())
    kept = s3.head_object(Bucket=locked.bucket, Key=name_of(1))
    assert kept["ObjectLockMode"] == "COMPLIANCE"
    assert (kept["ObjectLockRetainUntilDate"] - datetime.datetime.now(datetime.UTC)).days >= 399
    append(TrailBucket(bucket), entry())
    assert TrailBucket(bucket).listed() == [name_of(1)], "a bucket without it takes entries as well"


def test_a_key_that_may_lock_nothing_writes_all_the_same(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    really = TrailBucket._ask

    def asked(self: TrailBucket, what: str, method: str, key: str, **more: Any) -> http.Reply:
        if "object-lock" in (more.get("query") or {}):
            return http.Reply(200, "OK", Message(), b"<x><ObjectLockEnabled>Enabled</ObjectLockEnabled></x>")
        if "x-amz-object-lock-mode" in (more.get("headers") or {}):
            return http.Reply(403, "Forbidden", Message(), b"<Error><Code>AccessDenied</Code></Error>")
        return really(self, what, method, key, **more)

    monkeypatch.setattr(TrailBucket, "_ask", asked)
    assert append(TrailBucket(bucket), entry()).number == 1
    assert TrailBucket(bucket).stored(1)


def test_an_answer_that_was_lost_writes_no_second_entry(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    Between(monkeypatch, lost=("PUT",))
    assert append(TrailBucket(bucket), entry()).number == 1
    assert TrailBucket(bucket).listed() == [name_of(1)]


def test_no_entry_is_hung_on_one_that_is_not_handed_out() -> None:
    kept = Kept()
    append(kept, entry())  # type: ignore[arg-type]
    kept.stored = lambda number: None  # type: ignore[method-assign]
    with pytest.raises(Failed, match="found its end in motion, 5 times"):
        append(kept, entry())  # type: ignore[arg-type]
    assert len(kept.objects) == 1


def test_what_somebody_has_put_at_the_end_of_all_numbers_is_told() -> None:
    kept = Kept()
    kept.objects[name_of(99_999_999)] = b"{}"
    with pytest.raises(Failed, match="has the last number there is"):
        append(kept, entry())  # type: ignore[arg-type]


@pytest.mark.parametrize("last", [0, 1, 999, 1000, 1001, 2500, 30_000, 98_765, 1_000_000])
@pytest.mark.parametrize("gap", [0, 700])
def test_the_end_of_a_long_trail_is_found_in_few_questions(last: int, gap: int) -> None:
    """`gap`: numbers that are missing, in the middle."""
    missing, asked = range(last // 2, last // 2 + gap) if last > 2000 else range(0), list[int]()

    def behind(number: int) -> tuple[list[int], bool]:
        asked.append(number)
        found = [it for it in range(number + 1, min(number + 2 * chain_bucket.PAGE, last) + 1) if it not in missing]
        return found[: chain_bucket.PAGE], len(found) > chain_bucket.PAGE

    assert chain_bucket.newest(behind) == last
    assert len(asked) <= 2 + 2 * max(last // chain_bucket.PAGE, 1).bit_length(), asked


def test_a_store_lists_from_where_it_is_asked_and_one_that_does_not_is_told(bucket: Bucket) -> None:
    witness = TrailBucket(bucket)
    assert witness.last() == 0
    for number in (1, 2, 3):
        assert witness.record(number, b"{}")
    assert (witness.last(), witness._behind(2)) == (3, ([3], False))
    ask = witness._ask

    def deaf(what: str, method: str, key: str, query: dict[str, str], **more: Any) -> Any:
        return ask(what, method, key, query={**query, "start-after": ""}, **more)

    witness._ask = deaf  # type: ignore[assignment,method-assign]
    with pytest.raises(Failed, match="its listing begins before what was asked for"):
        witness._behind(2)


class Silent:
    """A witness that answers when it is let."""

    chain = TRAIL
    let = threading.Event()

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def last(self) -> int:
        self.let.wait(30)
        raise WitnessDown("witness: does not answer")


def test_a_witness_that_hangs_holds_nobody_up_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "TrailBucket", Silent)
    monkeypatch.setattr(Silent, "let", threading.Event())
    note = Note(NOWHERE, "claim", "a")
    said = note.lost(0.0)
    Silent.let.set()
    assert "entry 'claim' of site a could not be written (not within 0.0 s); what was done stands" in said
    assert "does not answer" in note.lost(30.0)


def test_one_that_is_told_by_itself_says_so_and_nothing_when_it_is_well(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    assert Note(NOWHERE, "run", "a", tell=told.append).lost(30.0) == "" and kept.told() == [("run", "a")]

    def fault(*_: Any, **__: Any) -> None:
        raise ValueError("secret-of-somebody")

    monkeypatch.setattr(trail, "TrailBucket", fault)
    assert "could not be written (ValueError)" in Note(NOWHERE, "run", "a", tell=told.append).lost(30.0)
    assert len(told) == 1 and "secret-of-somebody" not in told[0]
    monkeypatch.undo()
    monkeypatch.setattr(trail, "place", fault)
    assert "(ValueError)" in Note(NOWHERE, "run", "a").lost(30.0), "nor is anything else of it a reason to end"


@pytest.mark.parametrize(
    ("error", "what"), [(Refused("x"), "refused"), (Usage("x"), "refused"), (Failed("x"), "failed")]
)
def test_a_refusal_is_told_from_a_failure(error: DrError, what: str) -> None:
    assert ended(error) == what


def certificate(kind: str, parts: int, name: str) -> str:
    def field(value: bytes) -> bytes:
        return struct.pack(">I", len(value)) + value

    blob = field(kind.encode()) + b"".join(field(b"x" * 32) for _ in range(1 + parts))
    return base64.b64encode(blob + struct.pack(">QI", 7, 1) + field(name.encode())).decode()


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("ssh-ed25519-cert-v01@openssh.com", 1), ("ecdsa-sha2-nistp256-cert-v01@openssh.com", 2), ("ssh-rsa-cert-v01@openssh.com", 2),
        ("sk-ssh-ed25519-cert-v01@openssh.com", 2), ("sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", 3),
    ],
)  # fmt: skip
def test_whoever_came_by_a_certificate_is_named_by_it(kind: str, parts: int, tmp_path: Path) -> None:
    auth = tmp_path / "auth"
    auth.write_text(f"publickey {kind} {certificate(kind, parts, 'anna@shop')}\n")
    told = {"SSH_USER_AUTH": str(auth), "DR_WHO": "somebody else", "SSH_CONNECTION": "192.0.2.7 50 192.0.2.8 22"}
    assert who(told).startswith("anna@shop (") and place(told).startswith("192.0.2.7 via ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "password\n",
        "publickey ssh-ed25519-cert-v01@openssh.com AAAA\n",
        "publickey ssh-ed25519-cert-v01@openssh.com !\n",
    ],
)
def test_whoever_came_without_one_is_named_as_well_as_can_be(text: str, tmp_path: Path) -> None:
    auth = tmp_path / "auth"
    auth.write_text(text)
    assert who({"SSH_USER_AUTH": str(auth), "DR_WHO": "run 77\nof CI"}).startswith("run 77 of CI (")
    assert "@" in who({"SSH_USER_AUTH": str(tmp_path / "none")})


def test_why_is_the_runs_own_word_before_the_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DR_WHY", raising=False)
    assert entry().why == "the third rehearsal"
    monkeypatch.setenv("DR_WHY", "ticket 12")
    assert entry().why == "ticket 12"


def verified(*arguments: str) -> ExitCode:
    return audit.run(cli.parser().parse_args(["audit", "verify", *arguments]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, body in chain(3).items():
        (tmp_path / name.removeprefix("audit/")).write_bytes(body)
    return tmp_path


def test_a_copy_is_verified_without_the_witness(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verified("--from", str(folder)) == ExitCode.DONE
    said = capsys.readouterr().out
    head = said.splitlines()[-1].removeprefix("head ")
    assert said.count("why: the third rehearsal") == 3 and head.startswith("3:")
    assert verified("--from", str(folder), "--head", head, "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["head"] == head


def test_a_chain_that_was_written_anew_is_whole_and_not_the_one_that_was_noted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verified("--from", str(folder))
    head = capsys.readouterr().out.splitlines()[-1].removeprefix("head ")
    for path in folder.iterdir():
        path.unlink()
    for name, body in chain(3).items():
        (folder / name.removeprefix("audit/")).write_bytes(body)
    assert verified("--from", str(folder)) == ExitCode.DONE
    with pytest.raises(Failed, match="the trail was cut or written anew"):
        verified("--from", str(folder), "--head", head)


def test_where_it_breaks_is_said_and_a_folder_that_is_none_too(folder: Path) -> None:
    (folder / "00000002.json").write_bytes(b"{}")
    with pytest.raises(Failed, match=r"(?s)a chain that breaks.*audit/00000002\.json.*audit/00000003\.json"):
        verified("--from", str(folder))
    with pytest.raises(Usage, match="cannot be read"):
        verified("--from", str(folder / "none"))


def test_at_the_witness_what_was_removed_or_written_over_shows_by_its_versions(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    witness = TrailBucket(bucket)
    for _ in range(3):
        append(witness, entry())
    monkeypatch.setattr(Stack, "settings", lambda _: None)
    monkeypatch.setattr(documents, "witness", lambda _: bucket)
    assert verified() == ExitCode.DONE
    versions = [name_of(n) for n in (1, 2, 2, 3, 4)]
    really = TrailBucket.stored

    def too_long(self: TrailBucket, number: int) -> bytes | None:
        if number == 3:
            raise WitnessDown("witness: read audit/00000003.json: more than 1048576 bytes")
        return really(self, number)

    monkeypatch.setattr(TrailBucket, "stored", too_long)
    monkeypatch.setattr(TrailBucket, "versions", lambda *_: versions)
    with pytest.raises(
        Failed, match=r"(?s)00000004\.json: was removed.*00000002\.json: was written over: there are 2 versions"
    ):
        verified()


def test_a_rotation_and_a_deploy_show_in_the_walk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Kept()
    same = {"release": "r1", "tool": "t1", "configuration": "c1", "secrets": "s1"}
    for facts in (same, same | {"release": "r2"}, same | {"release": "r2", "secrets": "s2"}):
        append(kept, entry(facts=facts))  # type: ignore[arg-type]
    for name, body in kept.objects.items():
        (tmp_path / name.removeprefix("audit/")).write_bytes(body)
    verified("--from", str(tmp_path))
    _, second, third, _ = capsys.readouterr().out.splitlines()
    assert "; deploy;" in second and "; rotation;" in third
    assert os.environ.get("USER", "") in second


def test_every_field_of_an_entry_is_in_its_form() -> None:
    body = json.dumps(fields.write(entry(said="x\x1b[2J" * 3))).encode()
    assert b"\\u001b" not in body
