"""A throw-away Pulumi stack for tests: a folder with a program and a state of its own, driven through the real CLI."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.toolchain.tools import Toolchain

LIMIT_S = 180


@dataclass
class Run:
    """One call of the CLI. `counts`: of the summary's `2 created`, `1 updated`, `1 replaced`, `1 deleted`, `3 unchanged`."""

    code: int
    output: str
    counts: dict[str, int] = field(default_factory=dict)

    def changed(self) -> dict[str, int]:
        """The counts without what stayed as it was."""
        return {what: count for what, count in self.counts.items() if what not in {"unchanged", "same"}}


class Stack:
    """`program` is the text of `.__main__.py`; secrets are encrypted with a fixed passphrase."""

    def __init__(self, folder: Path, toolchain: Toolchain, program: str, options: str = "") -> None:
        self.folder = folder
        self.toolchain = toolchain
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state").mkdir()
        (folder / "Pulumi.yaml").write_text(f"name: trial\nruntime:\n  name: python\n{options}")
        self.write(program)
        self.call("stack", "init", "trial", check=True)

    def write(self, program: str) -> None:
        """Replace the program."""
        (self.folder / "__main__.py").write_text(program)

    def environment(self) -> dict[str, str]:
        """The CLI's environment: nothing of the machine's own Pulumi, and no ssh agent."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "SSH_", "OS_", "OVH_"))
        }
        ours = {
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "trial",
            "PULUMI_HOME": str(self.toolchain.home),
        }
        return {**kept, **self.toolchain.environment(), **ours}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the CLI; its output, both streams, on `stdout`."""
        command = [str(self.toolchain.pulumi), *arguments, "--non-interactive", "--color", "never"]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def call(self, *arguments: str, check: bool = False) -> Run:
        """Run the CLI to its end."""
        process = self.start(*arguments)
        try:
            output, _ = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            raise AssertionError(f"pulumi {' '.join(arguments)} did not end within {LIMIT_S} s:\n{output}") from None
        counts = {
            what: int(count)
            for count, what in re.findall(r"^\s+(?:[-+~=]{1,2}\s?)?(\d+) (?:to )?(\w+)", output, re.MULTILINE)
        }
        assert not check or process.returncode == 0, output
        return Run(process.returncode, output, counts)

    def up(self) -> Run:
        """`pulumi up`, which must succeed."""
        return self.call("up", "--yes", "--skip-preview", check=True)

    def fail(self) -> Run:
        """`pulumi up`, which must fail."""
        run = self.call("up", "--yes", "--skip-preview")
        assert run.code != 0, run.output
        return run

    def destroy(self) -> Run:
        """`pulumi destroy`, which must succeed."""
        return self.call("destroy", "--yes", "--skip-preview", check=True)

    def resources(self) -> dict[str, Any]:
        """The state's custom resources by name, as they are stored (secrets encrypted)."""
        exported = json.loads(self.call("stack", "export", check=True).output)
        return {
            row["urn"].rsplit("::", 1)[1]: row
            for row in exported["deployment"].get("resources", [])
            if row.get("custom")
        }


def secret(value: Any) -> bool:
    """Whether a value of the state is stored as a secret."""
    return isinstance(value, dict) and "ciphertext" in value


def interpreter() -> str:
    """The interpreter that runs the tests, and the programs."""
    return sys.executable
