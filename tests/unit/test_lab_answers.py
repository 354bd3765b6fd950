"""The lab gives itself as the cloud of `drctl init`: an answers file without a secret, and what to export beside it."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import pytest
import yaml

from lab import __main__ as lab
from lab import assembly
from lab.namespace import LabError, Places, places
from scripts.ctl.beginning import answers as given


@pytest.fixture
def told(tmp_path: Path) -> tuple[Places, assembly.Credentials]:
    keys = assembly.Credentials()
    where = dataclasses.replace(places(), run=tmp_path)
    description = assembly.description(assembly.cloud_config(keys), keys, ("root", "root-secret"), "")
    where.description.write_text(json.dumps(description))
    return where, keys


def test_the_answers_are_whole_and_hold_no_secret(
    told: tuple[Places, assembly.Credentials], capsys: pytest.CaptureFixture[str]
) -> None:
    where, keys = told
    lab.told(where, credentials=False)
    text = capsys.readouterr().out
    document = yaml.safe_load(text)
    document["endpoints"].pop("archive_ca")  # of a storage that runs
    answers, faults = given.read(document)
    assert faults == [] and answers is not None and answers.rehearsal
    for secret in (*dataclasses.astuple(keys), "root-secret"):
        assert secret not in text


def test_what_to_export_is_what_a_shell_reads(
    told: tuple[Places, assembly.Credentials], capsys: pytest.CaptureFixture[str]
) -> None:
    where, keys = told
    lab.told(where, credentials=True)
    rows = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    found = dict(row[1].split("=", 1) for row in rows if row[0] == "export")
    assert len(found) == len(rows) == 7
    assert found["OVH_CONSUMER_KEY"] == keys.consumer_key
    assert found["OVH_INIT_CONSUMER_KEY"] == keys.init_consumer_key and found["OS_PASSWORD"] == keys.password


def test_where_no_lab_runs_that_is_a_sentence(told: tuple[Places, assembly.Credentials]) -> None:
    where, _ = told
    where.description.unlink()
    with pytest.raises(LabError, match="found none that runs, wanted one; `python -m lab up` starts it"):
        lab.told(where, credentials=False)
