"""The configuration's files: one source for both regions, the older layout turned into it, and nothing lost on the way."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import config
from contract.errors import ExitCode, Refused, Usage
from scripts.ctl import cli
from scripts.ctl.stacks import configuration
from scripts.ctl.stacks.configuration import SHARED, load, merged, share, shared_values, stack_file, write
from tests.components import stack

# Of what both share, what the example has: nobody watches the rehearsal cloud unless a run says so.
THERE = tuple(name for name in SHARED if name not in ("dr:logs", "dr:monitoring", "dr:watch"))
SEALED = {"secure": "v1:abc=="}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An installation in the older layout: every key in both stack files, nothing shared."""
    whole = {site: merged(stack_file(stack.ROOT, site)) for site in "ab"}
    (tmp_path / "Pulumi.yaml").write_text("name: dr\nruntime:\n  name: python\n")
    for site, values in whole.items():
        document = {"encryptionsalt": f"salt of {site}", "config": {**values, "dr:secrets": SEALED, "other:key": site}}
        stack_file(tmp_path, site).write_text(yaml.safe_dump(document))
    return tmp_path


def change(folder: Path, site: str, **values: Any) -> None:
    file = stack_file(folder, site)
    document = load(file)
    document["config"].update({f"dr:{key}": value for key, value in values.items()})
    file.write_text(yaml.safe_dump(document))


def test_what_both_files_say_alike_moves_to_one_place_and_means_the_same(folder: Path) -> None:
    before = {site: merged(stack_file(folder, site)) for site in "ab"}
    found = share(folder)
    write(found.files)
    assert found.moved == THERE
    assert {site: merged(stack_file(folder, site)) for site in "ab"} == before
    for site in "ab":
        document = load(stack_file(folder, site))
        assert document["encryptionsalt"] == f"salt of {site}"
        assert set(document["config"]) == {"dr:site", "dr:failover_region", "dr:lab", "dr:secrets", "other:key"}
        assert document["config"]["dr:secrets"] == SEALED
    assert set(shared_values(folder)) == set(THERE)
    assert load(folder / "Pulumi.yaml")["runtime"] == {"name": "python"}


def test_again_moves_nothing_and_changes_no_byte(folder: Path) -> None:
    write(share(folder).files)
    texts = {path: path.read_text() for path in share(folder).files}
    again = share(folder)
    assert again.moved == () and again.files == texts


def test_files_that_disagree_are_named_by_key_and_left_alone(folder: Path) -> None:
    change(folder, "b", postgres={"version": 16}, project="other")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Refused, match=r"dr:project, dr:postgres differ .*nothing was changed"):
        share(folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_stack_file_that_says_other_than_the_shared_one_is_a_disagreement_too(folder: Path) -> None:
    write(share(folder).files)
    change(folder, "a", project="mine")
    with pytest.raises(Refused, match="dr:project differ"):
        share(folder)


# As pulumi takes them: a value alone, one by default, names without the namespace, a type without a value; and keys that are a stack's own, for both.
SHORT = """\
name: dr
runtime: python
config:
  dr:project: myshop
  protect: false
  dr:service_name: {default: 0123456789abcdef0123456789abcdef}
  dr:why: {value: ticket 12}
  lab: true
  dr:dns: {type: object, description: the zone}
  other:key: {value: [1, 2]}
"""


def test_whatever_else_pulumi_takes_in_the_shared_file_is_read_and_outlives_what_is_written(folder: Path) -> None:
    (folder / "Pulumi.yaml").write_text(SHORT)
    for site in "ab":
        change(folder, site, project="myshop", protect=False)
    before = {site: merged(stack_file(folder, site)) for site in "ab"}
    assert before["a"]["dr:why"] == "ticket 12" and before["a"]["dr:lab"] is True
    assert shared_values(folder)["dr:project"] == "myshop" and shared_values(folder)["dr:protect"] is False
    assert shared_values(folder)["dr:service_name"] == "0123456789abcdef0123456789abcdef"
    write({folder / "Pulumi.yaml": configuration.project_text(folder, shared_values(folder))})
    assert load(folder / "Pulumi.yaml")["config"]["dr:dns"] == {"type": "object", "description": "the zone"}
    assert {site: merged(stack_file(folder, site)) for site in "ab"} == before
    write(share(folder).files)
    assert {site: merged(stack_file(folder, site)) for site in "ab"} == before
    kept = load(folder / "Pulumi.yaml")["config"]
    assert kept["other:key"] == {"value": [1, 2]} and kept["dr:why"] == {"value": "ticket 12"} and kept["lab"] is True


def test_a_name_without_the_namespace_in_a_stack_file_is_the_same_key(folder: Path) -> None:
    for site in "ab":
        file = stack_file(folder, site)
        document = load(file)
        document["config"]["project"] = document["config"].pop("dr:project")
        file.write_text(yaml.safe_dump(document))
    assert merged(stack_file(folder, "a"))["dr:project"] == "shop"
    found = share(folder)
    assert "dr:project" in found.moved
    write(found.files)
    assert shared_values(folder)["dr:project"] == "shop"
    assert "project" not in load(stack_file(folder, "a"))["config"]


def test_what_the_regions_may_differ_in_stays_where_it_is(folder: Path) -> None:
    change(folder, "a", loss_budget={"max_lag_s": 5})
    change(folder, "b", loss_budget={"max_lag_s": 60}, ssh={"revoked": ["id:alice"]})
    before = {site: merged(stack_file(folder, site)) for site in "ab"}
    found = share(folder)
    assert "dr:loss_budget" not in found.moved and "dr:project" in found.moved
    write(found.files)
    assert {site: merged(stack_file(folder, site)) for site in "ab"} == before
    assert share(folder).moved == ()


def test_stacks_may_have_any_word_before_their_site(folder: Path) -> None:
    for site in "ab":
        stack_file(folder, site).rename(folder / f"Pulumi.shop-{site}.yaml")
    before = {site: merged(folder / f"Pulumi.shop-{site}.yaml") for site in "ab"}
    write(share(folder).files)
    assert {site: merged(folder / f"Pulumi.shop-{site}.yaml") for site in "ab"} == before
    assert "dr:project" in shared_values(folder)
    (folder / "Pulumi.staging-a.yaml").write_text("config: {}")
    with pytest.raises(Usage, match=r"Pulumi\.region-a\.yaml: cannot be read"):
        share(folder)


def test_a_text_that_pulumi_stored_is_read_as_the_program_reads_it(folder: Path) -> None:
    """`pulumi config set dr:app '{...}'` leaves a text in the file, and so does `pulumi config set dr:protect false`."""
    change(folder, "a", app='{"hosts": 3}', protect="false", project="12")
    told = merged(stack_file(folder, "a"))
    assert told["dr:app"] == {"hosts": 3} and told["dr:protect"] is False and told["dr:project"] == "12"


def test_a_key_in_a_stack_file_wins_whole(folder: Path) -> None:
    write(share(folder).files)
    change(folder, "a", redis={"maxmemory": "1gb"})
    assert merged(stack_file(folder, "a"))["dr:redis"] == {"maxmemory": "1gb"}
    assert merged(stack_file(folder, "b"))["dr:redis"]["maxmemory"] == "256mb"


def test_modes_stay_and_what_is_half_written_is_never_seen(folder: Path) -> None:
    stack_file(folder, "a").chmod(0o600)
    write(share(folder).files)
    assert stack_file(folder, "a").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [
        "Pulumi.region-a.yaml",
        "Pulumi.region-b.yaml",
        "Pulumi.yaml",
    ]


def test_a_file_is_written_beside_itself_with_its_mode_and_through_no_link(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Who killed the one before, or put a link there, has no say in where it goes or who reads it; a stack file that is a link stays one."""
    away = tmp_path_factory.mktemp("away")
    real = away / "a.yaml"
    stack_file(folder, "a").rename(real)
    stack_file(folder, "a").symlink_to(real)
    real.chmod(0o600)
    (away / ".a.yaml.partial").write_text("of a run that was killed")
    victim = away / "victim"
    victim.write_text("somebody's")
    (folder / ".Pulumi.region-b.yaml.partial").symlink_to(victim)
    modes, replaced = dict[str, int](), Path.replace

    def watched(path: Path, target: Path) -> Path:
        modes[target.name] = path.stat().st_mode & 0o777
        return replaced(path, target)

    monkeypatch.setattr(Path, "replace", watched)
    write(share(folder).files)
    assert stack_file(folder, "a").is_symlink() and load(real)["config"]["dr:site"] == "a"
    assert modes["a.yaml"] == 0o600 and victim.read_text() == "somebody's"
    assert [it.name for it in away.iterdir() if "partial" in it.name] == []


def test_a_full_disk_is_one_sentence_and_the_file_is_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(["config", "share", str(folder)]) == ExitCode.FAILED
    said = capsys.readouterr().err
    sentence, log = said.splitlines()
    assert "cannot be written (No space left on device)" in sentence and log.startswith("log of this run: ")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_shared_keys_are_all_that_the_program_knows_but_a_stacks_own() -> None:
    values = stack.configuration("a")
    known = {f"dr:{key}" for key in values}
    assert known - set(SHARED) == {"dr:site", "dr:failover_region", "dr:lab", "dr:secrets"}
    assert config.parse(values).site == "a"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("", "is no mapping"),
        ("[]", "is no mapping"),
        ("config: [", "is no YAML (line 1)"),
        ("config: {a: 1}\nconfig:\n\t- b", "is no YAML"),
        ("\udcff", "is no YAML"),
        ("x: 1", "has no `config:`"),
        ("config: []", "has no `config:`"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(tmp_path: Path, text: str | None, says: str) -> None:
    shutil.copy(stack.ROOT / "Pulumi.yaml", tmp_path)
    file = stack_file(tmp_path, "a")
    if text is not None:
        file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Usage) as refused:
        merged(file)
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_a_project_file_whose_config_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: dr\nconfig: 7\n")
    with pytest.raises(Usage, match="config is no mapping"):
        configuration.shared_values(tmp_path)


def test_the_command_says_what_it_moves_and_with_check_moves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert cli.main(["config", "share", "--check", str(folder)]) == ExitCode.REFUSED
    assert "dr:postgres" in capsys.readouterr().err and before == {path: path.read_bytes() for path in folder.iterdir()}
    assert cli.main(["config", "share", str(folder)]) == ExitCode.DONE
    assert "dr:postgres" in capsys.readouterr().out
    assert cli.main(["config", "share", "--check", str(folder)]) == ExitCode.DONE
    assert "nothing to move" in capsys.readouterr().out


def test_a_folder_without_stack_files_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "share", str(tmp_path)]) == ExitCode.USAGE
    assert capsys.readouterr().err.count("\n") == 1
