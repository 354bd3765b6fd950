"""The Python language host as the user of the CLI meets it. Runs against the published one where it is installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grpc  # type: ignore[import-untyped]  # no types come with it
import pytest
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from lab.toolchain import tools
from lab.toolchain.tools import Toolchain
from tests.providers.stacks import Stack

own_only = pytest.mark.skipif(
    tools.installed(tools.LANGUAGE_HOST) is not None, reason="the published language host does as it likes here"
)


@pytest.fixture
def stack(tmp_path: Path, toolchain: Toolchain) -> Stack:
    return Stack(tmp_path / "stack", toolchain, "")


def diagnostics(output: str) -> list[str]:
    return [line.strip() for line in output.split("Diagnostics:")[1].split("Resources:", maxsplit=1)[0].splitlines()]


def test_a_program_knows_its_stack_and_its_output_is_seen(stack: Stack) -> None:
    stack.write(
        "import sys, pulumi\n"
        "print('on stdout')\n"
        "print('on stderr', file=sys.stderr)\n"
        "facts = [pulumi.get_project(), pulumi.get_stack(), pulumi.get_organization(), pulumi.runtime.is_dry_run(), __name__]\n"
        "pulumi.export('facts', facts)\n"
    )
    preview = stack.call("preview", check=True)
    assert "True" in preview.output or "true" in preview.output
    run = stack.up()
    assert {"on stdout", "on stderr"} <= set(diagnostics(run.output.replace("Outputs:", "Resources:")))
    assert json.loads(stack.call("stack", "output", "--json", check=True).output)["facts"] == [
        "trial",
        "trial",
        "organization",
        False,
        "__main__",
    ]


def test_configuration_and_secrets_arrive(stack: Stack) -> None:
    stack.call("config", "set", "plain", "p", check=True)
    stack.call("config", "set", "--secret", "hidden", "hunter2", check=True)
    stack.write(
        "import pulumi\n"
        "config = pulumi.Config()\n"
        "pulumi.export('plain', config.require('plain'))\n"
        "pulumi.export('hidden', config.require_secret('hidden'))\n"
    )
    stack.up()
    assert json.loads(stack.call("stack", "output", "--json", check=True).output) == {
        "hidden": "[secret]",
        "plain": "p",
    }
    shown = json.loads(stack.call("stack", "output", "--json", "--show-secrets", check=True).output)
    assert shown["hidden"] == "hunter2"


@own_only
def test_secrets_of_the_configuration_stay_off_the_process_list(stack: Stack) -> None:
    stack.call("config", "set", "--secret", "hidden", "hunter2", check=True)
    stack.write(
        "import os, pulumi\n"
        "from pathlib import Path\n"
        "seen = b''.join(Path(f'/proc/{pid}/{what}').read_bytes() for pid in ('self', os.getppid()) for what in ('cmdline', 'environ'))\n"
        "pulumi.export('leaked', b'hunter2' in seen)\n"
        "pulumi.export('looked', b'PULUMI_HOME' in seen)\n"
    )
    stack.up()
    assert json.loads(stack.call("stack", "output", "--json", check=True).output) == {"leaked": False, "looked": True}


def test_an_operators_mistake_is_shown_without_a_traceback(stack: Stack) -> None:
    stack.write("import pulumi\nraise pulumi.RunError('site is c, must be a or b; set it')\n")
    said = diagnostics(stack.fail().output)
    assert "error: site is c, must be a or b; set it" in said
    assert "error: an unhandled error occurred: Program exited with non-zero exit code: 1" in said
    assert not any("Traceback" in line for line in said)


def test_any_other_error_is_shown_with_the_programs_own_frames(stack: Stack) -> None:
    stack.write("def broken():\n    return 1 / 0\n\nbroken()\n")
    said = diagnostics(stack.fail().output)
    assert "error: Program failed with an unhandled exception:" in said
    frames = [re.sub(r'.*/(\S+)", line (\d+).*', r"\1:\2", line) for line in said if line.startswith("File ")]
    assert frames == ["__main__.py:4", "__main__.py:2"]
    assert "ZeroDivisionError: division by zero" in said
    assert not any("exit code" in line for line in said)


def test_a_program_that_does_not_parse_names_the_line(stack: Stack) -> None:
    stack.write("x = (\n")
    said = " ".join(diagnostics(stack.fail().output))
    assert "SyntaxError" in said
    assert "line 1" in said


def test_an_exit_code_of_the_programs_own_is_a_failure(stack: Stack) -> None:
    stack.write("import sys\nsys.exit(7)\n")
    assert "Program exited with non-zero exit code: 7" in stack.fail().output


def test_modules_beside_the_program_can_be_imported(stack: Stack) -> None:
    (stack.folder / "beside.py").write_text("WORD = 'found'\n")
    stack.write("import pulumi\nfrom beside import WORD\npulumi.export('word', WORD)\n")
    stack.up()
    assert json.loads(stack.call("stack", "output", "--json", check=True).output) == {"word": "found"}


def test_a_missing_program_is_named(stack: Stack) -> None:
    (stack.folder / "__main__.py").unlink()
    assert "__main__.py" in stack.fail().output


def test_the_program_runs_in_the_virtualenv_of_the_project(tmp_path: Path, toolchain: Toolchain) -> None:
    venv = tmp_path / "stack" / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    packages = next(venv.glob("lib/python3*/site-packages"))
    (packages / "tests.pth").write_text("\n".join(entry for entry in sys.path if entry.endswith("site-packages")))
    stack = Stack(
        tmp_path / "stack",
        toolchain,
        "import pulumi, sys\npulumi.export('prefix', sys.prefix)\n",
        "  options:\n    virtualenv: venv\n",
    )
    stack.up()
    assert json.loads(stack.call("stack", "output", "--json", check=True).output) == {"prefix": str(venv)}


@own_only
def test_a_virtualenv_that_is_not_there_is_one_line(tmp_path: Path, toolchain: Toolchain) -> None:
    stack = Stack(tmp_path / "stack", toolchain, "", "  options:\n    virtualenv: nowhere\n")
    run = stack.fail()
    assert "runtime.options.virtualenv is 'nowhere'" in run.output
    assert "Traceback" not in run.output


def test_plugins_of_the_installed_sdks_are_the_required_ones(stack: Stack) -> None:
    host = shutil.which(tools.LANGUAGE_HOST, path=stack.environment()["PATH"])
    assert host is not None
    with subprocess.Popen(
        [host, "127.0.0.1:1"], stdout=subprocess.PIPE, text=True, cwd=stack.folder, env=stack.environment()
    ) as process:
        assert process.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{process.stdout.readline().strip()}") as channel:
            info = language_pb2.ProgramInfo(
                root_directory=str(stack.folder), program_directory=str(stack.folder), entry_point="."
            )
            asked = language_pb2.GetRequiredPackagesRequest(info=info)
            answer = language_pb2_grpc.LanguageRuntimeStub(channel).GetRequiredPackages(asked, wait_for_ready=True)
        process.terminate()
    assert {row.name: row.version for row in answer.packages if row.kind == "resource"} == tools.pins()


def test_the_program_ends_with_the_engine(stack: Stack) -> None:
    started = stack.folder / "started"
    os.mkfifo(started)
    stack.write(
        f"import os\nwith open({str(started)!r}, 'w') as out:\n    print(os.getpid(), os.getppid(), file=out)\nimport signal\nsignal.pause()\n"
    )
    process = stack.start("up", "--yes", "--skip-preview")
    program, host = (int(word) for word in started.read_text().split())
    process.kill()
    process.wait()
    for pid in (program, host):
        ended = subprocess.run(["tail", f"--pid={pid}", "-f", "/dev/null"], timeout=30, check=False)
        assert ended.returncode == 0
    process.communicate()
