"""A failover without Pulumi's backend: a state of its own from a copy at the witness, gone on with, kept again; refused where the backend answers."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from contract.buckets import Bucket
from contract.errors import Failed, Refused, Usage
from scripts.clients.state_copies import Copy, StateCopies, digest_of
from scripts.ctl.stacks import state_aside
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.stacks.state_aside import Aside
from tests.unit.test_state_copies import text
from tests.unit.test_witness import endpoint
from tests.unit.test_witness import place as bucket

__all__ = ["bucket", "endpoint"]  # fixtures

STATE, LATER = text("10:00", "db-1", "app-1"), text("12:00", "db-1", "app-1")
SALT = "encryptionsalt: v1:abc\nconfig:\n  dr:site: b\n"
# Keeps a state in the folder that the backend's URL names, as far as `stack ls`, `init`, `export` and `import` of the real one go.
PULUMI = """#!PYTHON
import json, os, pathlib, sys, urllib.parse
place = pathlib.Path(urllib.parse.urlsplit(os.environ["PULUMI_BACKEND_URL"]).path)
words, name = sys.argv[1:3], sys.argv[sys.argv.index("--stack") + 1] if "--stack" in sys.argv else ""
with open(LOG, "a") as log:
    log.write(json.dumps([*words, os.getcwd(), str(place)]) + "\\n")
file = place / name
if words == ["stack", "ls"]:
    print(json.dumps([{"name": it.name} for it in place.iterdir()]))
elif words == ["stack", "init"]:
    assert "abc" in pathlib.Path(f"Pulumi.{name}.yaml").read_text()
    pathlib.Path(f"Pulumi.{name}.yaml").write_text("made anew")
    file.write_text('{"version": 3, "deployment": null}')
elif words == ["stack", "export"]:
    sys.stdout.write(file.read_text())
elif words == ["stack", "import"]:
    file.write_text(sys.stdin.read())
"""


class World:
    """A project with a pulumi that is played; `calls`: what it was asked."""

    def __init__(self, folder: Path, witness: Bucket) -> None:
        self.folder, self.witness, self.log = folder / "project", witness, folder / "calls"
        self.folder.mkdir()
        (self.folder / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        self.file = self.folder / "Pulumi.region-b.yaml"
        self.file.write_text(SALT)
        program = folder / "pulumi"
        program.write_text(PULUMI.replace("PYTHON", sys.executable).replace("LOG", repr(str(self.log))))
        program.chmod(0o755)
        self.stack = Stack(name="region-b", folder=self.folder, program=str(program))
        self.copies = StateCopies(witness)

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def copy(self, state: bytes) -> str:
        made = Copy(site="b", at=time.time(), digest=digest_of(state))
        self.copies.keep(made, state)
        return made.digest

    def chosen(self, digest: str) -> Aside:
        return Aside.chosen(self.witness, self.stack, "b", digest, state_aside.silence(self.stack))


@pytest.fixture
def world(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Its backend is a folder that is not there."""
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/backend")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return World(tmp_path, bucket)


def places(tmp_path: Path) -> list[Path]:
    return [it for it in (tmp_path / "state").rglob("*") if it.is_file()]


def test_the_run_has_the_copy_for_its_state_and_the_stack_file_stays_as_it_is(world: World, tmp_path: Path) -> None:
    aside = world.chosen(world.copy(STATE)[:12])
    assert world.calls == [] and places(tmp_path) == [], "nothing is made before somebody agrees"
    placed = aside.make()
    assert placed.exported() == STATE and world.file.read_text() == SALT
    assert [it.name for it in places(tmp_path)] == ["region-b"]
    assert stat.S_IMODE(aside.folder.stat().st_mode) == 0o700
    assert placed.folder == world.folder and placed.environment is not None
    assert placed.environment["PULUMI_BACKEND_URL"] == f"file://{aside.folder}?metadata=skip"
    assert os.environ["PULUMI_BACKEND_URL"].endswith("/backend")


def test_a_second_one_goes_on_with_what_the_first_has_left(world: World) -> None:
    digest = world.copy(STATE)
    world.chosen(digest).make().imported(LATER)
    assert world.chosen(digest).make().exported() == LATER
    assert [it[:2] for it in world.calls].count(["stack", "init"]) == 1


def test_what_a_run_has_left_is_kept_at_the_witness_and_told(world: World, tmp_path: Path) -> None:
    aside, said = world.chosen(world.copy(STATE)), list[str]()
    aside.make().imported(LATER)
    aside.keep(said.append)
    assert {it.digest for it in world.copies.copies("b")} == {digest_of(STATE), digest_of(LATER)}
    (line,) = said
    assert f"`drctl state restore {digest_of(LATER)[:12]} --site b`" in line and str(aside.folder) in line


def test_a_witness_that_is_gone_then_is_a_warning_that_says_where_the_state_lies(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside, said = world.chosen(world.copy(STATE)), list[str]()
    aside.make().imported(LATER)

    def gone(*_: Any) -> None:
        raise Failed("witness: does not answer")

    monkeypatch.setattr(StateCopies, "keep", gone)
    aside.keep(said.append)
    (line,) = said
    assert line.startswith("warning: ") and f"{aside.folder} alone" in line and "does not answer" in line


def test_a_backend_that_answers_is_used(world: World, tmp_path: Path) -> None:
    digest = world.copy(STATE)
    (tmp_path / "backend" / ".pulumi").mkdir(parents=True)
    assert state_aside.silence(world.stack) == ""
    with pytest.raises(Refused, match=r"backend answers.*nothing was changed"):
        world.chosen(digest)
    assert world.calls == [] and places(tmp_path) == []


def test_of_a_backend_that_pulumi_alone_can_ask_the_operators_word_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "azblob://states")
    assert state_aside.silence(world.stack) == ""
    assert world.chosen(world.copy(STATE)).make().exported() == STATE


@pytest.mark.parametrize("digest", ["", "0" * 12, digest_of(STATE)[:11]])
def test_a_digest_that_names_no_copy_is_refused(world: World, tmp_path: Path, digest: str) -> None:
    world.copy(STATE)
    with pytest.raises(Usage, match=r"drctl state list"):
        world.chosen(digest)
    assert places(tmp_path) == []


def test_a_copy_that_holds_nothing_is_refused(world: World) -> None:
    with pytest.raises(Failed, match="holds no resources"):
        world.chosen(world.copy(text("10:00")))


def test_a_folder_that_cannot_be_made_is_a_sentence(world: World, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(Failed, match="XDG_STATE_HOME"):
        world.chosen(world.copy(STATE)).make()
