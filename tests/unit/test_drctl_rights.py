"""`drctl rights`: what it prints is what the policies are made of, and it says what it lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from components.render.policy import witness_policy
from contract.errors import ExitCode
from contract.witness import USERS
from scripts.ctl import cli


def stack_file(folder: Path, config: object) -> str:
    file = folder / "Pulumi.region-a.yaml"
    file.write_text(yaml.safe_dump({"config": config}))
    return str(file)


def test_the_policies_of_all_keys_to_the_witness_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stack_file(tmp_path, {"dr:witness": {"bucket": "third"}})
    assert cli.main(["rights", "witness", file]) == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    assert told == {user: json.loads(witness_policy("third", user)) for user in USERS}
    assert cli.main(["rights", "witness", file, "--user", "cache.b"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == told["cache.b"]


@pytest.mark.parametrize("config", [{}, {"dr:witness": None}, {"dr:witness": {"bucket": ""}}, {"dr:witness": "x"}])
def test_a_configuration_that_does_not_name_the_bucket_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: object
) -> None:
    assert cli.main(["rights", "witness", stack_file(tmp_path, config)]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == "" and "lacks dr:witness.bucket" in captured.err and captured.err.count("\n") == 1
