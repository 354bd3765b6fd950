"""A standby gets its full copy over a slow link under writes, once, and a cut of that link costs no second one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.pairs.redis import SERVERS

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("server", SERVERS)
def test_a_full_copy_gets_through_a_slow_link_once(tmp_path, server):
    command = ["unshare", "--net", sys.executable, "-m", "lab.pairs.slow_link", str(tmp_path), server]
    done = subprocess.run(
        command, cwd=Path(__file__).resolve().parents[3], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["first"] == {"sync_full": 1, "sync_partial_ok": 0}
    assert found["then"] == {"sync_full": 1, "sync_partial_ok": 1} and found["linked"]
    assert found["written_during_the_copy"] > 100
