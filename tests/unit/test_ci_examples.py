"""The examples for a team's own CI: their platform takes them, their shell runs, every command in them is one, and no key is where it need not be."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from scripts.ctl import cli
from scripts.ctl.beginning.backend import Backend
from scripts.ctl.releases.build import card_file
from tests.components.stack import ROOT

FOLDER = ROOT / "examples/ci"
GITHUB, GITLAB = sorted(FOLDER.glob("github/*.yml")), sorted(FOLDER.glob("gitlab/*.yml"))
FILES = [*GITHUB, *GITLAB]
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
KEYS = {"PULUMI_BACKEND_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "PULUMI_CONFIG_PASSPHRASE"}
WAIT_S = 60


def read(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """By their names. Of GitLab with what they take from templates and defaults."""
    told = read(path)
    if path in GITHUB:
        return dict(told["jobs"])
    hidden = {name: it for name, it in told.items() if name.startswith(".")}
    shown = {name: it for name, it in told.items() if isinstance(it, dict) and "script" in it}
    return {name: {**told["default"], **hidden.get(it.get("extends", ""), {}), **it} for name, it in shown.items()}


def scripts(path: Path) -> dict[str, str]:
    """What a shell is given, by the name of its step or job."""
    if path in GITHUB:
        return {it["name"]: it["run"] for job in jobs(path).values() for it in job["steps"] if "run" in it}
    return {name: "\n".join([*job["before_script"], *job["script"]]) for name, job in jobs(path).items()}


def typed(path: Path) -> Iterator[list[str]]:
    """Every command of `drctl` in it, its words."""
    for script in scripts(path).values():
        for line in re.findall(r"scripts/drctl ([^;|&\n]+)", script):
            yield shlex.split(line)


def checked(path: Path, schema: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT_S)


def test_both_platforms_have_their_examples() -> None:
    assert [it.stem for it in GITHUB] == ["deliver", "drill", "preview"] and len(GITLAB) == 1


@pytest.mark.parametrize("path", FILES, ids=named)
def test_its_platform_takes_it(path: Path, tmp_path: Path) -> None:
    schema = SCHEMAS[path.parent.name]
    done = checked(path, schema)
    assert done.returncode == 0, done.stdout
    spoiled = tmp_path / path.name
    spoiled.write_text(path.read_text().replace("stages:", "stags:").replace("runs-on:", "run-on:"))
    assert checked(spoiled, schema).returncode == 1, "a name that nobody knows is seen"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_what_a_shell_is_given_is_shell(path: Path) -> None:
    for name, script in scripts(path).items():
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False, timeout=WAIT_S)
        assert done.returncode == 0, f"{name}: {done.stderr}"


@pytest.mark.tools
@pytest.mark.parametrize("path", FILES, ids=named)
def test_shellcheck_has_nothing_to_say(path: Path) -> None:
    for name, script in scripts(path).items():
        command = ["shellcheck", "--shell", "bash", "--enable", "all", "--exclude", "SC2312,SC2250,SC2154", "-"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False, timeout=WAIT_S)
        assert done.returncode == 0, f"{name}: {done.stdout}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_command_of_drctl_is_one(path: Path) -> None:
    found = list(typed(path))
    assert found
    for words in found:
        assert cli.parser().parse_args(words).command == words[0], words


@pytest.mark.parametrize("path", GITHUB, ids=named)
def test_what_others_have_written_is_pinned_by_its_commit(path: Path) -> None:
    uses = re.findall(r"uses: *(.*)", path.read_text())
    assert uses and all(re.fullmatch(r"actions/checkout@[0-9a-f]{40} # v[0-9.]+", it) for it in uses), uses


@pytest.mark.parametrize("path", GITHUB, ids=named)
def test_a_workflow_may_no_more_than_it_needs(path: Path) -> None:
    wanted = "write" if path.stem == "deliver" else "read"
    assert read(path)["permissions"] == {"contents": wanted}
    for job in jobs(path).values():
        assert "permissions" not in job
        keeps = [it.get("with", {}).get("persist-credentials", True) for it in job["steps"] if "uses" in it]
        assert keeps == [False], "what a gem does while it is built finds no token in the folder"
        given = [it["name"] for it in job["steps"] if "github.token" in str(it.get("env"))]
        assert given == (["The configuration says so"] if wanted == "write" else [])


@pytest.mark.parametrize("path", GITHUB, ids=named)
def test_keys_are_given_to_the_steps_that_need_them(path: Path) -> None:
    told, steps = read(path), [step for job in jobs(path).values() for step in job["steps"]]
    assert "secrets." not in str([told.get("env"), [job.get("env") for job in jobs(path).values()]])
    for step in steps:
        given = {name for name, value in step.get("env", {}).items() if "secrets." in value}
        run = step.get("run", "")
        needs = "pulumi " in run or re.search(r"drctl (releases|deploy|drill)", run)
        assert given == (KEYS if needs else set()), step.get("name")
        assert all(step["env"][name] == f"${{{{ secrets.{name} }}}}" for name in given)


@pytest.mark.parametrize("path", GITHUB, ids=named)
def test_what_an_outsider_may_write_is_no_shell(path: Path) -> None:
    """A branch's or a person's name that is pasted into a script is run by it."""
    assert not [name for name, script in scripts(path).items() if "${{" in script]


def test_a_change_from_a_fork_is_given_no_key() -> None:
    (job,) = jobs(FOLDER / "github/preview.yml").values()
    assert job["if"] == "github.event.pull_request.head.repo.full_name == github.repository"


def test_keys_are_those_that_a_run_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `state.env` of `drctl init` holds, and the passphrase."""
    third: Any = SimpleNamespace(
        region="DE",
        people=dict.fromkeys,
        secret=lambda _: {"access_key": "", "secret_key": ""},
    )
    answers: Any = SimpleNamespace(state_bucket="state")
    monkeypatch.setattr("scripts.ctl.beginning.backend.state_user", lambda _: "state")
    monkeypatch.setattr("scripts.ctl.beginning.backend.state_url", lambda _: "s3://state")
    made = re.findall(r"^export (\w+)=", Backend(answers, {}, Path("/none")).text(third), re.MULTILINE)
    assert {*made, "PULUMI_CONFIG_PASSPHRASE"} == KEYS


def test_one_job_holds_both_regions_and_nothing_is_cancelled_while_it_works() -> None:
    for path in GITHUB:
        told = read(path)
        assert len(jobs(path)) == 1 and told["concurrency"]["cancel-in-progress"] is False
        if path.stem != "preview":
            assert (told["concurrency"]["group"], told["concurrency"]["queue"]) == ("shop", "max")
    for path in GITLAB:
        for name, job in jobs(path).items():
            assert job["interruptible"] is False
            assert job.get("resource_group") == (None if name in ("preview", "build") else "shop"), name
            assert ("environment" in job) == (name != "build"), "its variables are keys"


def test_a_drill_ends_before_its_job_is_killed() -> None:
    github = next(iter(jobs(FOLDER / "github/drill.yml").values()))["timeout-minutes"] / 60
    gitlab = int(jobs(GITLAB[0])["restore"]["timeout"].removesuffix("h"))
    for words in (it for path in FILES for it in typed(path) if it[:2] == ["drill", "restore"]):
        assert cli.parser().parse_args(words).hours < min(github, gitlab)


def test_the_card_goes_with_its_release() -> None:
    release = Path(".build/release.tar.gz")
    assert jobs(GITLAB[0])["build"]["artifacts"]["paths"] == [str(release), str(card_file(release))]


DRCTL = """#!/bin/sh
echo "drctl $*" >> "$CALLS"
case "$1" in
  build) mkdir -p .build; echo release > .build/release.tar.gz ;;
  deploy) sed -i "s/release: .*/release: $2/" Pulumi.yaml ;;
esac
"""


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=WAIT_S)
    assert done.returncode == 0, f"git {words}: {done.stderr}"
    return done.stdout.strip()


class Runner:
    """A machine of CI: a fresh checkout, `drctl` and `pip` played, and a colleague who pushes meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, folder / "calls"
        self.origin, self.checkout, others = folder / "origin.git", folder / "checkout", folder / "others"
        git(folder, "init", "--quiet", "--bare", "-b", "main", str(self.origin))
        git(folder, "clone", "--quiet", str(self.origin), str(others))
        began = {"Pulumi.yaml": "release: before\n", "Pulumi.region-a.yaml": "", "Pulumi.region-b.yaml": ""}
        for name, text in {**began, "scripts/drctl": DRCTL}.items():
            (others / name).parent.mkdir(exist_ok=True)
            (others / name).write_text(text)
        (others / "scripts/drctl").chmod(0o755)
        (others / ".gitignore").write_text(".venv\n.build\n")
        self._pushed(others, "begun")
        git(folder, "clone", "--quiet", "--depth", "1", f"file://{self.origin}", str(self.checkout))
        (others / "README.md").write_text("a colleague's\n")
        self._pushed(others, "meanwhile")
        (folder / "bin").mkdir()
        python = folder / "bin/python3"
        python.write_text(
            '#!/bin/sh\nmkdir -p .venv/bin; printf "#!/bin/sh\\n" > .venv/bin/pip; chmod +x .venv/bin/pip\n'
        )
        python.chmod(0o755)
        self.environment = {
            **{name: it for name, it in os.environ.items() if not name.startswith("GIT_")},
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "CALLS": str(self.calls), "GITHUB_ENV": str(folder / "github-env"), "HOME": str(folder),
        }  # fmt: skip

    def _pushed(self, folder: Path, message: str) -> None:
        git(folder, "add", "--all")
        git(folder, "-c", "user.name=eve", "-c", "user.email=eve@shop.example", "commit", "--quiet", "-m", message)
        git(folder, "push", "--quiet", "origin", "HEAD:main")

    def run(self, script: str, **more: str) -> None:
        """As both platforms do. What a step leaves for the next ones is in their environment."""
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        environment = {**self.environment, **more}
        done = subprocess.run(command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False, timeout=WAIT_S)  # fmt: skip
        assert done.returncode == 0, done.stderr
        left = self.folder / "github-env"
        if left.exists():
            self.environment |= dict(line.partition("=")[::2] for line in left.read_text().splitlines())

    def delivered(self) -> tuple[list[str], str, list[str]]:
        """Commands of drctl; what the repository says afterwards; its commits, the newest first."""
        said = git(self.origin, "show", "main:Pulumi.yaml")
        return (
            self.calls.read_text().splitlines(),
            said,
            git(self.origin, "log", "--format=%an: %s", "main").splitlines(),
        )


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def expected(digest: str) -> list[str]:
    return [
        "drctl build examples/shop --out .build/release.tar.gz",
        "drctl releases push .build/release.tar.gz",
        f"drctl deploy {digest} --yes",
    ]


def test_github_builds_delivers_and_writes_down_what_runs(runner: Runner) -> None:
    path = FOLDER / "github/deliver.yml"
    plain = {"APPLICATION": jobs(path)["both-regions"]["env"]["APPLICATION"], "DR_WHO": "eve"}
    for script in scripts(path).values():
        runner.run(script, **plain)
    calls, said, commits = runner.delivered()
    digest = said.removeprefix("release: ")
    assert len(digest) == 64 and calls == expected(digest)
    assert commits == [f"eve: Both regions run release {digest[:12]}", "eve: meanwhile", "eve: begun"]


def test_gitlab_builds_delivers_and_writes_down_what_runs(runner: Runner) -> None:
    path = GITLAB[0]
    plain = {
        "APPLICATION": read(path)["variables"]["APPLICATION"],
        "GITLAB_USER_NAME": "eve",
        "GITLAB_USER_EMAIL": "eve@shop.example",
        "CI_DEFAULT_BRANCH": "main",
    }
    git(runner.checkout, "checkout", "--quiet", "--detach")
    git(runner.origin, "config", "receive.advertisePushOptions", "true")
    for job in ("build", "deliver"):
        runner.run(scripts(path)[job], **plain)
    calls, said, commits = runner.delivered()
    digest = said.removeprefix("release: ")
    assert len(digest) == 64 and calls == expected(digest)
    assert commits == [f"eve: Both regions run release {digest[:12]}", "eve: meanwhile", "eve: begun"]


@pytest.mark.parametrize("drill", ["restore", "switchover", "certificates"])
def test_github_plays_the_drill_that_is_due(runner: Runner, drill: str) -> None:
    for script in scripts(FOLDER / "github/drill.yml").values():
        runner.run(script, DRILL=drill, DR_WHY="https://ci.example/1")
    (call,) = runner.calls.read_text().splitlines()
    assert call.startswith(f"drctl drill {drill} ") and call.endswith("--reason https://ci.example/1")


def test_a_drill_that_nobody_knows_is_no_green_job(runner: Runner) -> None:
    with pytest.raises(
        AssertionError, match="found restor, wanted restore, switchover or certificates; nothing was done"
    ):
        runner.run(scripts(FOLDER / "github/drill.yml")["The drill"], DRILL="restor", DR_WHY="")
