"""What the agent keeps in memory for as long as its host runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LOADED = "import sys, scripts.host.agent.run; print(*sys.modules)"
HEAVY = {
    "bz2",
    "email",
    "http.client",
    "lzma",
    "random",
    "secrets",
    "shutil",
    "tempfile",
    "urllib.request",
    "uuid",
    "zipfile",
}


def test_the_agent_loads_none_of_what_it_can_do_without() -> None:
    """A compressor behind `shutil`, a table of random numbers behind `secrets`: some hundred kilobytes each, on every host."""
    told = subprocess.run([sys.executable, "-S", "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(told.stdout.split())
    assert "scripts.host.agent.loop" in loaded
    assert not loaded & HEAVY
