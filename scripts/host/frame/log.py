"""Log lines on stderr: `LEVEL service verb: message`. One line per message, whatever is in it."""

from __future__ import annotations

from typing import TextIO

from contract.dataclass import dataclass


@dataclass(frozen=True)
class Log:
    """`op` is "service verb"."""

    stream: TextIO
    op: str

    def info(self, message: str) -> None:
        self._write("INFO", message)

    def warning(self, message: str) -> None:
        self._write("WARNING", message)

    def error(self, message: str) -> None:
        self._write("ERROR", message)

    def _write(self, level: str, message: str) -> None:
        print(f"{level} {self.op}: {' '.join(message.split())}", file=self.stream, flush=True)
