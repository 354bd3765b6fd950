"""The configuration's files: one source for both regions, the older layout turned into it, and nothing lost on the way."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import config
from contract.errors import ExitCode, Refused, Usage
from scripts.ctl import cli, configuration
from scripts.ctl.configuration import SHARED, load, merged, share, shared_values, stack_file, write
from tests.components import stack

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
    assert found.moved == SHARED
    assert {site: merged(stack_file(folder, site)) for site in "ab"} == before
    for site in "ab":
        document = load(stack_file(folder, site))
        assert document["encryptionsalt"] == f"salt of {site}"
        assert set(document["config"]) == {"dr:site", "dr:failover_region", "dr:lab", "dr:secrets", "other:key"}
        assert document["config"]["dr:secrets"] == SEALED
    assert set(shared_values(folder)) == set(SHARED)
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
