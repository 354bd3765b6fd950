"""Copies of states at the witness: what is kept, what is refused, and that nothing of it is changed by a refusal."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from components.render import documents
from contract.buckets import Bucket
from contract.errors import ExitCode, Failed, OutcomeUnknown
from scripts.clients.state_copies import Copy, StateCopies, digest_of, named
from scripts.ctl import cli
from scripts.ctl.commands import state
from scripts.ctl.stacks import state_copying as copying
from scripts.ctl.stacks import state_stored as stored
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.stacks.state_copying import Exported
from scripts.ctl.stacks.state_stored import Lock
from tests.conftest import Kept
from tests.unit.played_survey import settings
from tests.unit.test_witness import endpoint
from tests.unit.test_witness import place as bucket

__all__ = ["bucket", "endpoint"]  # fixtures

ITS = settings()
INSTANCE = "openstack:compute/instance:Instance"


def text(at: str, *servers: str) -> bytes:
    """A state as pulumi exports it, written at that hour."""
    rows = [
        {
            "urn": f"urn:pulumi:region-a::shop::{INSTANCE}::{it}",
            "type": INSTANCE,
            "id": f"id-{it}",
            "inputs": {"key": {"ciphertext": "v1:abc"}},
        }
        for it in servers
    ]
    deployment = {"manifest": {"time": f"2026-11-29T{at}:00Z"}, "resources": rows} if servers else None
    return json.dumps({"version": 3, "deployment": deployment}).encode()


OLD, NEW = text("10:00", "db-1", "app-1"), text("12:00", "db-1")


class World:
    """Both stacks' states, as a pulumi that is played has them."""

    def __init__(self) -> None:
        self.states: dict[str, bytes | Failed] = {"region-a": OLD, "region-b": text("10:00", "db-1")}
        self.imported: list[str] = []
        self.locks: tuple[Lock, ...] | Failed = ()
        self.loses = False

    def export(self, stack: str) -> bytes:
        found = self.states[stack]
        if isinstance(found, Failed):
            raise found
        return found

    def put(self, stack: str, given: bytes) -> None:
        self.imported.append(stack)
        self.states[stack] = text("10:00") if self.loses else given

    def held(self, *_: Any) -> tuple[Lock, ...]:
        if isinstance(self.locks, Failed):
            raise self.locks
        return self.locks


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> World:
    it = World()
    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    monkeypatch.setattr(Stack, "exported", lambda stack: it.export(stack.name))
    monkeypatch.setattr(Stack, "imported", lambda stack, given: it.put(stack.name, given))
    monkeypatch.setattr(stored, "locks", it.held)
    monkeypatch.setattr(state, "opened", lambda *_: None)
    monkeypatch.setattr(documents, "witness", lambda _: bucket)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return it


def short(body: bytes) -> str:
    return digest_of(body)[:12]


def test_both_states_are_copied_as_they_are_and_an_unchanged_one_once(
    world: World, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["state", "backup"]) == ExitCode.DONE
    assert f"region a: {short(OLD)}, 2 resources" in capsys.readouterr().out
    copies = StateCopies(bucket)
    (made,) = copies.copies("a")
    assert copies.copy(made) == OLD and made.digest == digest_of(OLD)
    later = copying.backup(copies, "a", Exported.of(OLD, "state"), made.at + 3600)
    assert later == made and copies.copies("a") == [made], "it is there already"
    world.states["region-a"] = NEW
    assert cli.main(["state", "backup", "--site", "a"]) == ExitCode.DONE
    assert {it.digest for it in copies.copies("a")} == {digest_of(OLD), digest_of(NEW)}
    assert len(copies.copies("b")) == 1


def test_a_state_that_holds_nothing_takes_no_copys_place(
    world: World, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    world.states["region-a"] = text("10:00")
    assert cli.main(["state", "backup", "--site", "a"]) == ExitCode.DONE
    assert "holds nothing" in capsys.readouterr().out and StateCopies(bucket).copies("a") == []


def test_a_stack_that_cannot_be_exported_keeps_nothing_from_the_other(
    world: World, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    world.states["region-a"] = Failed("pulumi stack export of stack region-a: ended with 255")
    assert cli.main(["state", "backup"]) == ExitCode.PARTIAL
    assert "stack region-a: ended with 255" in capsys.readouterr().err and len(StateCopies(bucket).copies("b")) == 1
    assert cli.main(["state", "backup", "--site", "a"]) == ExitCode.FAILED


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"deployment": 7}', b'{"deployment": {"resources": [7]}}'], ids=range(4)
)
def test_what_pulumi_did_not_export_is_not_copied(world: World, bucket: Bucket, body: bytes) -> None:
    world.states["region-a"] = body
    assert cli.main(["state", "backup", "--site", "a"]) == ExitCode.FAILED
    assert StateCopies(bucket).copies("a") == []


def test_copies_are_listed_with_their_digests(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["state", "list"]) == ExitCode.DONE
    assert "no state was ever copied" in capsys.readouterr().out
    cli.main(["state", "backup"])
    capsys.readouterr()
    assert cli.main(["state", "list", "--json"]) == ExitCode.DONE
    rows = json.loads(capsys.readouterr().out)["copies"]
    assert (rows[0]["site"], rows[0]["digest"]) == ("a", digest_of(OLD))
    assert cli.main(["state", "list", "--site", "b"]) == ExitCode.DONE
    assert capsys.readouterr().out.startswith("b  ")


def restore(*more: str) -> int:
    return cli.main(["state", "restore", short(OLD), "--site", "a", *more])


def test_a_copy_is_put_back_into_an_empty_backend_and_told_in_the_audit_trail(
    world: World, kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["state", "backup"])
    world.states["region-a"] = text("10:00")
    assert restore("--yes", "--reason", "the bucket burned") == ExitCode.DONE
    assert world.imported == ["region-a"] and world.states["region-a"] == OLD
    assert kept.told() == [("state", "a")]
    (told,) = map(json.loads, kept.objects.values())
    assert (told["why"], told["facts"]["restored"]) == ("the bucket burned", digest_of(OLD))
    assert "pulumi preview --refresh" in capsys.readouterr().out


def test_a_dry_run_says_what_would_give_way_and_refuses_what_would_be_refused(
    world: World, kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["state", "backup"])
    world.states["region-a"] = text("10:00")
    assert restore("--dry-run") == ExitCode.DONE
    assert f"give way to the 2 of {short(OLD)}" in capsys.readouterr().out
    world.states["region-a"] = NEW
    assert restore("--dry-run") == ExitCode.REFUSED
    assert (world.imported, kept.told()) == ([], [])


def test_a_newer_state_gives_way_only_where_it_was_named_and_is_copied_first(
    world: World, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["state", "backup"])
    world.states["region-a"] = NEW
    assert restore("--yes") == ExitCode.REFUSED
    assert f"--over {short(NEW)}" in capsys.readouterr().err
    assert restore("--yes", "--over", short(OLD)) == ExitCode.REFUSED, "another one was named"
    assert restore("--yes", "--over", "") == ExitCode.REFUSED and world.imported == []
    assert len(StateCopies(bucket).copies("a")) == 1, "a refusal copies nothing"
    assert restore("--yes", "--over", short(NEW)) == ExitCode.DONE
    assert world.states["region-a"] == OLD
    assert {it.digest for it in StateCopies(bucket).copies("a")} == {digest_of(OLD), digest_of(NEW)}


def test_nothing_is_put_back_while_a_run_is_at_work_whatever_was_named(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["state", "backup"])
    world.states["region-a"] = NEW
    world.locks = (Lock(who="ann@desk, process 7", since=None),)
    assert restore("--yes", "--over", short(NEW)) == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert "locked by ann@desk, process 7" in told and "drctl unlock a" in told and world.imported == []
    assert restore("--over", short(NEW)) == ExitCode.REFUSED, "nobody is asked to agree to it"


def test_where_locks_cannot_be_read_pulumi_itself_refuses_and_that_is_said(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["state", "backup"])
    world.states["region-a"] = text("10:00")
    world.locks = Failed("Pulumi's backend: is https://; its states are read by pulumi alone")
    assert restore("--yes") == ExitCode.DONE
    assert "pulumi refuses where somebody is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "code"),
    [("a\n", ExitCode.DONE), ("b\n", ExitCode.REFUSED), ("", ExitCode.USAGE)],
    ids=("own", "other", "none"),
)
def test_the_region_is_typed_at_a_terminal(
    world: World, monkeypatch: pytest.MonkeyPatch, typed: str, code: ExitCode
) -> None:
    cli.main(["state", "backup"])
    world.states["region-a"] = text("10:00")
    assert restore() == ExitCode.USAGE, "nobody can agree without a terminal"
    typing = io.StringIO(typed)
    monkeypatch.setattr(typing, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", typing)
    assert restore() == code
    assert bool(world.imported) is (code is ExitCode.DONE)


def test_a_state_that_lost_resources_on_its_way_is_no_success(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["state", "backup"])
    world.states["region-a"] = text("10:00")
    world.loses = True
    assert restore("--yes") == OutcomeUnknown.code
    assert "found 0 resources after the import, wanted the 2 of the copy" in capsys.readouterr().err


def test_what_is_there_already_is_left_alone(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["state", "backup"])
    assert restore("--yes") == ExitCode.DONE
    assert "is as in this copy" in capsys.readouterr().out and world.imported == []


@pytest.mark.parametrize("digest", ["", "abc", "0" * 12], ids=("none", "short", "other"))
def test_a_digest_that_names_no_copy_is_refused(world: World, digest: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["state", "backup"])
    assert cli.main(["state", "restore", digest, "--site", "a", "--yes"]) == ExitCode.USAGE
    assert "drctl state list" in capsys.readouterr().err and world.imported == []


@pytest.mark.parametrize("body", [b"", gzip.compress(NEW), OLD, gzip.compress(OLD)[:-40]], ids=range(4))
def test_a_copy_that_is_not_what_its_name_says_is_not_put_back(world: World, bucket: Bucket, body: bytes) -> None:
    """Whoever has the key to the witness can write over it."""
    cli.main(["state", "backup"])
    (made,) = StateCopies(bucket).copies("a")
    s3 = boto3.client(
        "s3",
        endpoint_url=bucket.endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="hidden-secret",
    )
    s3.put_object(Bucket=bucket.bucket, Key=made.name, Body=body)
    world.states["region-a"] = text("10:00")
    assert restore("--yes") == ExitCode.FAILED and world.imported == []


def test_a_copy_that_grows_without_end_is_not_unpacked(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.clients import state_copies

    monkeypatch.setattr(state_copies, "MOST_STATE", 1000)
    grown = b" " * 100_000
    it = Copy(site="a", at=1_796_000_000.0, digest=digest_of(grown))
    copies = StateCopies(bucket)
    copies.keep(it, grown)
    with pytest.raises(Failed, match="is not what its name says"):
        copies.copy(it)


def test_names_of_copies_are_read_and_others_passed_over() -> None:
    it = Copy(site="b", at=1_796_000_000.0, digest="0" * 64)
    assert named(it.name) == it
    for name in (
        "states/c/20261129T100000Z-" + "0" * 64 + ".json.gz",
        "states/a/20269929T100000Z-" + "0" * 64 + ".json.gz",
        "states/a/x",
        it.name + "/",
    ):
        assert named(name) is None


def test_a_stack_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    assert cli.main(["state", "list", "--config-file", str(tmp_path / "none.yaml")]) == ExitCode.USAGE
