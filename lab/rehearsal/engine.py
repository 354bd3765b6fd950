"""The real `pulumi`, as a user would call it: one method a command, each with its log in the run folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.rehearsal.stacks import stack_name


@dataclass(frozen=True)
class Run:
    """One finished command."""

    code: int
    seconds: float
    output: str  # stdout and stderr as they came

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def diagnostics(self) -> str:
        """What pulumi says at the end of a failed run."""
        return self.output[max(self.output.find("Diagnostics:"), 0) :][:3000]


class Pulumi:
    """`project`: the program's folder; `state`: a folder for the backend; `files`: stack files by site; `environment`: where the tools are."""

    def __init__(
        self, project: Path, run: Path, files: Mapping[str, Path], environment: Mapping[str, str], passphrase: str
    ) -> None:
        self.project, self.run, self.files = project, run, dict(files)
        self.state = run / "pulumi-state"
        self.state.mkdir(parents=True, exist_ok=True)
        self.log = run / "pulumi.log"
        self.environment = {
            **environment,
            # Without files of metadata beside each object: they are not written in one step, and a kill in between makes the stack unreadable.
            "PULUMI_BACKEND_URL": f"file://{self.state}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE": passphrase,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "NO_COLOR": "1",
        }

    @property
    def passphrase(self) -> str:
        """Of both stacks."""
        return self.environment.get("PULUMI_CONFIG_PASSPHRASE", "")

    @classmethod
    def of_another(cls, first: Pulumi, run: Path) -> Pulumi:
        """Somebody else at a desk of their own: the same project, stack files and passphrase, a state of their own in `run`."""
        return cls(first.project, run, first.files, first.environment, first.passphrase)

    def create(self, secrets: bytes) -> None:
        """Make both stacks. `stack init` writes into a project folder, so it is given one of its own, and the checkout stays as it is."""
        folder = self.run / "pulumi-init"
        folder.mkdir(exist_ok=True)
        (folder / "Pulumi.yaml").write_text((self.project / "Pulumi.yaml").read_text())
        for site in self.files:
            self._must(["-C", str(folder), "stack", "init", stack_name(site)])
            self.config_set(site, "secrets", secrets, secret=True)

    def config_set(self, site: str, key: str, value: bytes, *, secret: bool = False) -> None:
        """`pulumi config set KEY`, the value on stdin."""
        kind = ["--secret"] if secret else []
        self._must([*self._on(site), "config", "set", *kind, key], stdin=value)

    def config_get(self, site: str, key: str) -> str:
        """`pulumi config get KEY`: nothing of it is in the log, for it may be a secret."""
        command = [self.environment.get("DRLAB_PULUMI", "pulumi"), *self._on(site), "config", "get", key]
        done = subprocess.run(
            command, cwd=self.project, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"pulumi config get {key} of {stack_name(site)} ended with {done.returncode}")
        return done.stdout

    def output(self, site: str, name: str) -> Any:
        """One that the stack gives out, in clear. Apart from the log, which keeps what it is told."""
        words = ["stack", "output", name, "--show-secrets", "--json", "-s", stack_name(site)]
        command = [self.environment.get("DRLAB_PULUMI", "pulumi"), *words]
        done = subprocess.run(
            command, cwd=self.project, env=self.environment, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    def up(self, site: str, *arguments: str, on_line: Callable[[str], None] | None = None) -> Run:
        """`pulumi up`, no questions asked."""
        return self.call([*self._on(site), "up", "--yes", "--skip-preview", *arguments], on_line=on_line)

    def preview_changes(self, site: str) -> dict[str, int]:
        """What `pulumi preview` would do, by kind, without what stays the same."""
        done = self.call([*self._on(site), "preview", "--json"], quiet_stderr=True)
        if not done.ok:
            raise RuntimeError(f"pulumi preview of {stack_name(site)} ended with {done.code}:\n{done.output[-2000:]}")
        summary: dict[str, Any] = json.loads(done.output)["changeSummary"]
        return {kind: count for kind, count in summary.items() if kind != "same"}

    def destroy(self, site: str) -> Run:
        """`pulumi destroy`, no questions asked."""
        return self.call([*self._on(site), "destroy", "--yes", "--skip-preview"])

    def cancel(self, site: str) -> Run:
        """`pulumi cancel`: take the lock of a run that was killed."""
        return self.call(["cancel", "--yes", "-s", stack_name(site)])

    def typed(self, *words: str, exported: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """`drctl` as an operator types it, without a terminal. `exported`: variables for this command alone."""
        return subprocess.run(
            ["scripts/drctl", *words],
            cwd=self.project,
            env={**self.environment, **(exported or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def call(
        self,
        arguments: list[str],
        *,
        stdin: bytes = b"",
        on_line: Callable[[str], None] | None = None,
        quiet_stderr: bool = False,
    ) -> Run:
        """Any command; never interactive."""
        command = [self.environment.get("DRLAB_PULUMI", "pulumi"), *arguments, "--non-interactive", "--color", "never"]
        began, lines = time.monotonic(), []
        with self.log.open("a") as log:
            log.write(f"$ pulumi {' '.join(arguments)}\n")
            stderr = log if quiet_stderr else subprocess.STDOUT
            with subprocess.Popen(
                command,
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            ) as process:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(stdin.decode())
                process.stdin.close()
                for line in process.stdout:
                    lines.append(line)
                    log.write(line)
                    log.flush()
                    if on_line is not None:
                        on_line(line.rstrip("\n"))
            seconds = time.monotonic() - began
            log.write(f"-> {process.returncode} after {seconds:.1f} s\n")
        return Run(process.returncode, seconds, "".join(lines))

    def start(self, site: str, *arguments: str) -> subprocess.Popen[str]:
        """`pulumi up` in the background, for those who want to kill it."""
        command = [
            self.environment.get("DRLAB_PULUMI", "pulumi"),
            *self._on(site),
            "up",
            "--yes",
            "--skip-preview",
            "--non-interactive",
            *arguments,
        ]
        with self.log.open("a") as log:
            return subprocess.Popen(
                command,
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    @staticmethod
    def kill(process: subprocess.Popen[str]) -> None:
        """`kill -9` of what `start` gave back, and of its process group: the engine. Plugins and links are in groups of their own, as on any machine."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    @staticmethod
    def links(process: subprocess.Popen[str]) -> list[int]:
        """Ids of the links on this machine that a run of `start` has begun and that are at work, also when it was killed."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                _, _, fields = (folder / "stat").read_text().rpartition(") ")
                command = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended meanwhile
            if int(fields.split()[3]) == process.pid and b"scripts.links" in command and command[0] != b"timeout":
                found.append(int(folder.name))
        return sorted(found)

    def _on(self, site: str) -> list[str]:
        return ["-s", stack_name(site), "--config-file", str(self.files[site])]

    def _must(self, arguments: list[str], stdin: bytes = b"") -> Run:
        done = self.call(arguments, stdin=stdin)
        if not done.ok:
            raise RuntimeError(f"pulumi {' '.join(arguments)} ended with {done.code}:\n{done.output[-2000:]}")
        return done
