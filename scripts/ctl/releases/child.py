"""Programs of others that a build starts: with an end to their time, in an environment that holds no secret of ours, and with their words in a log."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from contract.dataclass import dataclass
from contract.errors import Failed, Refused
from contract.plain import phrase

# What such a program may know of this process: where programs lie, who asks, by which way to the registry of gems.
_KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE",
    "GEM_HOME", "GEM_PATH",
)  # fmt: skip
_TAIL = 2000  # bytes of the log that a message may quote


@dataclass(frozen=True, kw_only=True)
class Child:
    """`folder`: where they start; `log`: a file that all of them write on; `limit_s`: for each of them, with all that it starts."""

    folder: Path
    log: Path
    limit_s: float

    def run(
        self, what: str, words: Sequence[str], environment: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> bytes:
        """What it prints, which must be all that was asked for. Raises Refused where there is no such program, Failed where it does not end well."""
        told = {name: os.environ[name] for name in _KEPT if name in os.environ} | dict(environment or {})
        with self.log.open("ab") as log:
            log.write(f"$ {shlex.join(words)}\n".encode())
            log.flush()
            try:
                made = subprocess.Popen(
                    words,
                    cwd=self.folder,
                    env=told,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise Refused(
                    f"{what}: found no program {words[0]} that starts ({error.strerror}), wanted it on this machine; no release was made; install it, or build "
                    "where it is"
                ) from None
            try:
                said, _ = made.communicate(stdin, timeout=self.limit_s)
            except subprocess.TimeoutExpired:
                raise self._failed(what, f"not at its end after {self.limit_s:g} s") from None
            finally:
                with suppress(OSError):
                    os.killpg(made.pid, signal.SIGKILL)
                made.wait()
            log.write(said)
        if made.returncode:
            raise self._failed(what, f"ended with {made.returncode} ({self._last()})")
        return said

    def _failed(self, what: str, found: str) -> Failed:
        return Failed(f"{what}: {found}, wanted its end without a fault; no release was made; see {self.log}")

    def _last(self) -> str:
        """The last words that say something."""
        with self.log.open("rb") as stream:
            stream.seek(max(stream.seek(0, os.SEEK_END) - _TAIL, 0))
            lines = [it for it in stream.read().decode(errors="replace").splitlines() if it.strip()]
        return phrase(lines[-1] if lines else "nothing said", 300)
