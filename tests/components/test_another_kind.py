"""A kind of host is a row of one table, and a team may add one: its servers, addresses, doors, certificates and fence come from the row."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.components import stack


def test_a_row_is_all_that_a_kind_of_host_takes() -> None:
    # In a process of its own: tables are made of the rows when they are loaded.
    done = subprocess.run(
        [sys.executable, "-m", "tests.components.another_kind"],
        cwd=stack.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    resources = found.pop("resources")
    for number in (1, 2):
        host = f"region-worker-{number}"
        assert {f"Instance {host}-server", f"Port {host}-front", f"Port {host}-vrack", f"Command {host}-converge"} <= {
            *resources
        }
    doors = [name for name in resources if name.startswith("SecGroupRule") and "metrics" in name]
    assert doors == [f"SecGroupRule region-network-worker-metrics-control-1-{side}" for side in ("own", "peer")]
    assert found == {
        "addresses": ["worker-2.a.dr.internal", "10.1.0.52", "10.100.0.52"],
        "certificate": ["worker-2.a.dr.internal", "10.100.0.52", "10.1.0.52", "worker.a.dr.internal"],
        "packages": ["ca-certificates", "nftables", "puma", "unattended-upgrades"],
        "lease": None,
        "stopped_by_a_fence": [
            f"shop-b-{name}" for name in ("db-1", "cache-1", "app-1", "app-2", "worker-1", "worker-2")
        ],
    }
