"""The set-up: what it needs to start, which steps it has, and what it says when one fails. Nothing is installed here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import setup
from lab.machines.image import ImageError
from lab.progress import Report, Task
from lab.toolchain import cache, go, tools
from lab.toolchain.go import ToolchainError
from tests.unit.test_pipes import unread

PROJECT = Path(__file__).resolve().parents[2]


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it: `bin` is all of PATH."""
    for name, folder in (("HOME", "home"), ("XDG_CACHE_HOME", "cache"), ("PATH", "bin")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.delenv("PULUMI_HOME", raising=False)
    return tmp_path


@pytest.fixture
def one_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Report], object]], int]:
    """Run the set-up with this one step."""

    def run(make: Callable[[Report], object]) -> int:
        step = Task(name="tools", rough_s=60, there=lambda: False, make=make)
        monkeypatch.setattr(setup, "check_machine", lambda: None)
        monkeypatch.setattr(setup, "tasks", lambda: [step])
        monkeypatch.setattr(tools, "ensure", lambda python: None)
        return setup.main()

    return run


def test_it_starts_with_the_standard_library_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import lab.setup"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_its_steps_are_in_the_order_in_which_they_need_each_other(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "missing_packages", lambda: ["debootstrap"])
    monkeypatch.setattr(go, "version", lambda candidate: None)
    steps = setup.tasks()
    assert [step.name for step in steps] == [
        "Debian packages",
        "Python packages",
        "Go",
        "pulumi",
        "plugin command",
        "plugin ovh",
        "plugin openstack",
        "S3 server",
        "guests' image",
    ]
    assert not any(step.there() for step in steps)


def test_go_is_not_fetched_for_tools_that_are_there(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go, "version", lambda candidate: None)
    steps = {step.name: step for step in tools.tasks(lambda: sys.executable)}
    assert not steps["Go"].there()
    for tool in (tools.cli_tool(), *tools.PLUGINS.values(), tools.VERSITYGW):
        cache.build(tool.name, tool.recipe(), lambda folder: None)
    assert all(step.there() for step in steps.values())


def test_packages_are_asked_of_dpkg(machine: Path) -> None:
    program(machine / "bin" / "dpkg-query", "printf 'ii git\\nii  make\\nrc knot\\n'")
    assert set(setup.PACKAGES) - set(setup.missing_packages()) == {"git", "make"}


def test_a_machine_that_is_no_debian_is_told_so(machine: Path) -> None:
    with pytest.raises(setup.SetupError, match="dpkg-query not found, wanted Debian 12 or 13") as caught:
        setup.missing_packages()
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (setup.SetupError("apt: no"), 3, "set-up: apt: no\n"),
        (cache.CacheError("cache: full"), 3, "set-up: cache: full\n"),
        (
            ToolchainError("pulumi: x.go:1: no"),
            1,
            "pulumi: x.go:1: no\nset-up: failed, the message is above; run the same",
        ),
        (ImageError("image: no"), 1, "image: no\nset-up: failed, the message is above; run the same"),
        (KeyboardInterrupt(), 130, "set-up: interrupted; steps that were done are kept"),
    ],
)
def test_a_step_that_fails_is_a_sentence_and_a_code(
    fault: BaseException,
    code: int,
    said: str,
    one_step: Callable[[Callable[[Report], object]], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def make(report: Report) -> None:
        raise fault

    assert one_step(make) == code
    told = capsys.readouterr()
    assert told.err.startswith(said)
    assert "Traceback" not in told.err
    assert told.out.splitlines()[-1] == "step 1 of 1, tools: begins, roughly 1 min"


def test_a_set_up_that_nobody_listens_to_ends_before_it_changes_anything(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom contract import pipes\nfrom lab import setup\nfrom lab.progress import Task\n"
        f"made = Path({str(tmp_path / 'made')!r})\n"
        "setup.check_machine = lambda: None\n"
        "setup.tasks = lambda: [Task(name='x', rough_s=1, there=made.exists, make=lambda report: made.touch())]\n"
        "sys.exit(pipes.status(setup.main))"
    )
    done = unread(sys.executable, "-c", code)
    assert (done.returncode, done.stderr) == (141, "")
    assert not (tmp_path / "made").exists()


GO = """\
case $1 in
version) echo go version go{version} linux/amd64 ;;
list) echo go: downloading golang.org/x/sys v0.30.0 >&2
  printf 'stale a build ID mismatch\\nstale b stale dependency: a\\nstale c not installed but available in build cache\\n' ;;
build) printf 'a\\nb\\n' >&2; {build} ;;
esac"""


def fake_go(machine: Path, build: str) -> None:
    version = ".".join(map(str, go.wanted()))
    program(machine / "bin" / "go", GO.format(version=version, build=build))


def test_a_build_counts_what_gos_cache_has_not(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(machine, "while [ $# -gt 0 ]; do [ $1 = -o ] && : > $2; shift; done")
    told: list[tuple[str, float | None]] = []

    class Heard(Report):
        def __call__(self, text: str, part: float | None = None) -> None:
            told.append((text, part))

    built = tools.VERSITYGW.build(Heard())
    assert built.exists()
    assert told == [
        ("fetched 1 modules: golang.org/x/sys", None),
        ("compiling 0 of 2 packages", 0.0),
        ("compiling 1 of 2 packages", 0.5),
        ("linking", 1.0),
    ]


def test_a_build_that_fails_shows_gos_last_words_and_no_count(machine: Path) -> None:
    fake_go(machine, "printf '# b\\nb.go:7:2: undefined: x\\n' >&2; exit 1")
    with pytest.raises(ToolchainError) as caught:
        tools.VERSITYGW.build()
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"versitygw: `go build {tools.VERSITYGW.package}` in ")
    assert lines[0].endswith(" ended with 1:")
    assert lines[1:] == ["# b", "b.go:7:2: undefined: x"]
    assert not tools.VERSITYGW.there()


def test_a_list_that_fails_leaves_the_word_to_the_build(machine: Path) -> None:
    fake_go(machine, "echo 'go: no such module' >&2; exit 1")
    script = (machine / "bin" / "go").read_text()
    (machine / "bin" / "go").write_text(script.replace("list)", "list) echo 'go: no such module' >&2; exit 1;"))
    with pytest.raises(ToolchainError) as caught:
        tools.VERSITYGW.build()
    assert str(caught.value).splitlines()[1:] == ["a", "b", "go: no such module"]


def test_what_pip_complains_of_stands_above_the_sentence(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "executable", str(program(machine / "bin" / "python", "echo Collecting x; echo ERROR: no x >&2; exit 1"))
    )
    with pytest.raises(setup.SetupError, match="failed, its message is above; mend it and run the same again"):
        setup.environment(Report())
    assert capsys.readouterr().err == "Collecting x\nERROR: no x\n"
    assert not setup.environment_there()


def test_the_interpreter_is_the_one_of_the_link(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "PROJECT", machine)
    (machine / "requirements.txt").write_text("")
    assert setup.python() == str(machine / ".venv/bin/python")
    assert (machine / ".venv").readlink() == cache.entry("venv", setup.environment_recipe())
