"""`python3 dr-host.pyz` and `python3 -m scripts.host` start here."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
