"""What the rehearsals know of a run of pulumi that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from lab.rehearsal.engine import Pulumi

LINK = (
    f"timeout 600 {sys.executable} -c 'import os, sys; print(os.getpid(), flush=True); sys.stdin.read()' scripts.links"
)


def test_links_are_found_by_their_run_also_when_its_engine_was_killed() -> None:
    run = subprocess.Popen(
        ["sh", "-c", f"{LINK}; true"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdin is not None and run.stdout is not None
    link = int(run.stdout.readline())
    try:
        assert Pulumi.links(run) == [link]
        Pulumi.kill(run)
        assert Pulumi.links(run) == [link], "it is in a process group of its own"
    finally:
        os.kill(link, signal.SIGKILL)
    assert run.stdout.read() == ""  # its output ends with it
    assert Pulumi.links(run) == []
