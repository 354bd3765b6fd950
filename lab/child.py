"""A daemon that the lab starts: logs to a file, is waited for by a condition, and is stopped within a limit."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

STOP_WITHIN_S = 5.0
POLL_S = 0.05


class ChildError(Exception):
    """A daemon did not start, did not become ready, or ended by itself. The text names it and its log."""


class Child:
    """One process. `start` and `stop` may be repeated; the pid stands in `<pid_file>` while it runs, for a clean-up after a crash of the lab."""

    def __init__(
        self, name: str, argv: Sequence[str], log: Path, pid_file: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.argv, self.log, self.pid_file = name, list(argv), log, pid_file
        self._environment = dict(environment or {})  # added to the lab's own; secrets go here, never into argv
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, ready: Callable[[], bool], within_s: float = 15.0) -> None:
        """Start and wait until `ready` says so. Raises `ChildError`, with the process stopped, when it does not within the limit."""
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            try:
                self._process = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self._environment},
                    start_new_session=True,
                )
            except OSError as error:
                raise ChildError(
                    f"{self.name}: {self.argv[0]} cannot be started ({error}); build or install it first"
                ) from error
        self.pid_file.write_text(f"{self._process.pid}\n")
        deadline = time.monotonic() + within_s
        while not ready():
            if not self.running:
                code = self._process.returncode
                self.stop()
                raise ChildError(f"{self.name}: ended with status {code} before it was ready; its log: {self.log}")
            if time.monotonic() > deadline:
                self.stop()
                raise ChildError(f"{self.name}: not ready after {within_s:g} s, stopped again; its log: {self.log}")
            time.sleep(POLL_S)

    def reload(self) -> None:
        """SIGHUP: read the configuration again. On one that does not run: nothing."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGHUP)

    def stop(self, hard: bool = False) -> None:
        """SIGTERM, SIGKILL after a limit; `hard`: SIGKILL at once, as a power cut does."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            if hard:
                process.kill()
            else:
                process.terminate()
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_WITHIN_S)
        self.pid_file.unlink(missing_ok=True)
        self._process = None
