"""`drctl drill lab` and `drctl chaos`: the lab's own program, told what the operator told, with its end as ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import ExitCode
from scripts.ctl import cli
from scripts.ctl.commands import rehearse

LAB = """
import sys
print("lab", *sys.argv[1:])
sys.exit({"broken": 1, "unknown": 2}.get(sys.argv[2], 0))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/__main__.py").write_text(LAB)
    return tmp_path


def typed(folder: Path, *words: str) -> ExitCode:
    chosen = cli.parser().parse_args(words)
    chosen.folder = folder
    return rehearse.run(chosen)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["drill", "lab"], "lab drill list --runs 1"),
        (
            ["drill", "lab", "region-killed", "host-killed", "--runs", "3"],
            "lab drill region-killed host-killed --runs 3",
        ),
        (["chaos", "--seed", "40", "42", "--show"], "lab chaos --seed 40 42 --runs 1 --show"),
        (["chaos", "--runs", "10"], "lab chaos --seed 1 --runs 10"),
    ],
)
def test_the_lab_is_told_what_was_typed(
    project: Path, capfd: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert typed(project, *words) is ExitCode.DONE
    assert capfd.readouterr().out.strip() == told


@pytest.mark.parametrize(("name", "code"), [("broken", ExitCode.FAILED), ("unknown", ExitCode.USAGE)])
def test_its_end_is_ours(project: Path, name: str, code: ExitCode) -> None:
    assert typed(project, "drill", "lab", name) is code


def test_a_program_without_a_lab_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.ctl.commands.arguments.PROJECT", tmp_path)
    assert cli.main(["chaos"]) == ExitCode.REFUSED
    assert "found no lab in" in capsys.readouterr().err


def test_the_real_lab_takes_those_words(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["chaos", "--seed", "40", "--show"]) == ExitCode.DONE
    assert cli.main(["drill", "lab"]) == ExitCode.DONE
    told = capfd.readouterr().out
    assert "40" in told and "region-killed" in told
