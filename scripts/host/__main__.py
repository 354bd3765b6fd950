"""`python3 dr-host.pyz` and `python3 -m scripts.host` start here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from contract import pipes

from .frame import cli
from .services import SERVICES


def main(argv: Sequence[str], **streams: Any) -> int:
    """`frame.cli.main` with this program's services."""
    return cli.main(argv, SERVICES, **streams)


if __name__ == "__main__":
    sys.exit(pipes.status(lambda: main(sys.argv[1:])))
