"""`drctl build` of an application without gems: what it prints and leaves, and what it refuses; with gems: `tests/host/servers/test_release_build.py`."""

from __future__ import annotations

import argparse
import fcntl
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract import artefact, release
from contract.errors import ExitCode
from scripts.ctl import output
from scripts.ctl.commands import build
from scripts.ctl.releases.build import card_file


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop/Procfile").write_text("web: bundle exec puma -p $PORT\n")
    (folder / "Pulumi.yaml").write_text("name: shop\nconfig: {}\n")
    return folder


def call(project: Path, **told: Any) -> int:
    chosen = {
        "application": project / "shop",
        "out": None,
        "ruby": None,
        "no_assets": False,
        "json": False,
        "folder": project,
    }
    return output.to_the_end(lambda: build.run(argparse.Namespace(**chosen | told)))


def test_it_leaves_the_artefact_and_its_card_and_says_what_they_are(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(project, json=True) == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    path = Path(told["path"])
    assert path == project / f".build/shop-{told['digest'][:12]}.tar.gz" and artefact.sha256(path) == told["digest"]
    card = release.card(card_file(path).read_bytes(), "card")
    assert (card.digest, card.bytes, card.count) == (told["digest"], path.stat().st_size, 1) and card.built
    assert call(project, out=project / "here/it.tar.gz") == ExitCode.DONE
    assert (project / "here/it.tar.gz").read_bytes() == path.read_bytes(), "the time is beside it alone"
    said = capsys.readouterr().out
    assert said.startswith(f"release {told['digest']}\n") and " s (look " in said and "0 native extensions" in said


def test_it_says_which_revision_it_is_and_whether_somebody_has_changed_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        return subprocess.run(["git", *who, *words], cwd=project, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "x")
    call(project, json=True)
    clean = json.loads(capsys.readouterr().out)
    assert (clean["revision"], clean["dirty"]) == (git("rev-parse", "HEAD").strip(), False)
    (project / "elsewhere").write_text("of no matter")
    (project / "shop/more.rb").write_text("x")
    call(project, json=True)
    assert json.loads(capsys.readouterr().out)["dirty"] is True


@pytest.mark.parametrize(
    ("keys", "told", "code", "words"),
    [
        ({}, {"application": Path("none")}, ExitCode.USAGE, "folder none: is none"),
        ({}, {"ruby": "3"}, ExitCode.USAGE, "dr:app.ruby: found '3'"),
        ({"ruby": 7}, {}, ExitCode.USAGE, "dr:app.ruby: found 7"),
        ({"release_max_mb": 0}, {}, ExitCode.USAGE, "dr:app.release_max_mb: found 0"),
        (
            {"release_max_mb": 1},
            {},
            ExitCode.REFUSED,
            "found 2 MB of files, wanted 1 MB at most (dr:app.release_max_mb)",
        ),
        ({"ruby": "3.4"}, {}, ExitCode.REFUSED, "asks for Ruby 3.3.8, wanted 3.4, which hosts have"),
        ({}, {"out": Path("/proc/x.tar.gz")}, ExitCode.FAILED, "artefact /proc/x.tar.gz: cannot be written"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], keys: dict[str, Any], told: dict[str, Any], code: int, words: str
) -> None:
    (project / "Pulumi.yaml").write_text(yaml.safe_dump({"config": {"dr:app": {"value": keys}}}))
    (project / "shop/.ruby-version").write_text("3.3.8\n")
    (project / "shop/large").write_bytes(b"x" * 2 * 2**20)
    assert call(project, **told) == code
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and said.out == ""
    assert not list(project.rglob("*.tar.gz*"))


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        (None, {}, "release of the shop is no Procfile"),
        ("worker: bin/jobs\n", {}, "release of the shop is a Procfile without web"),
        ("web: puma\n", {"clock": {}}, "dr:app.processes.clock is no process of the release"),
        ("web: puma && true\n", {}, "Procfile of the release, line 1"),
    ],
)
def test_an_application_whose_processes_nobody_could_run_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], text: str | None, keys: dict[str, Any], words: str
) -> None:
    (project / "shop/Procfile").unlink()
    (project / "shop/config.ru").write_text("run Shop\n")
    if text is not None:
        (project / "shop/Procfile").write_text(text)
    (project / "Pulumi.yaml").write_text(yaml.safe_dump({"config": {"dr:app": {"value": {"processes": keys}}}}))
    assert call(project) == ExitCode.REFUSED
    said = capsys.readouterr().err
    assert words in said and "No release was made" in said and said.count("\n") == 1
    told = {"dr:app": {"value": {"processes": {"web": {"command": "puma"}}}}}
    (project / "Pulumi.yaml").write_text(yaml.safe_dump({"config": told}))
    (project / "shop/Procfile").write_text("")
    assert call(project) == ExitCode.DONE, "it may be named by the configuration, too"


def test_a_gemfile_without_its_lock_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "shop/Gemfile").write_text("")
    assert call(project) == ExitCode.REFUSED
    assert "found a Gemfile without Gemfile.lock" in capsys.readouterr().err


def test_gems_without_a_ruby_here_are_refused(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (project / "shop/Gemfile").write_text("")
    (project / "shop/Gemfile.lock").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call(project) == ExitCode.REFUSED
    assert "found no program ruby that starts" in capsys.readouterr().err


def test_a_build_that_fails_half_way_leaves_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefact, "listed", lambda _: {"Procfile": release.File(0o644, 9, "0" * 64)})
    assert call(project) == ExitCode.FAILED
    assert "other contents than a moment ago" in capsys.readouterr().err
    assert [it.name for it in (project / ".build").iterdir()] == ["release-stage.lock"]


def test_two_builds_at_once_do_not_meet(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".build").mkdir()
    with (project / ".build/release-stage.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert call(project) == ExitCode.REFUSED
    assert "another build is at work there" in capsys.readouterr().err
    assert call(project) == ExitCode.DONE
