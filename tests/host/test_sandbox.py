"""Units of this software as systemd itself judges them: how much of the machine is open to each, from 0 to 10."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from contract.lease import Lease
from scripts.host.agent import config as agent
from scripts.host.app import config as app
from scripts.host.archive import config as archive
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.assets import _service as copier
from scripts.host.frame.layout import Layout
from scripts.host.host import hardening
from scripts.host.postgres.layout import PostgresLayout

MOST = 3.0
NOWHERE = Layout(Path("/nowhere"))
UNITS = {
    **app.UNITS,
    hardening.UNIT: hardening.METADATA_UNIT,
    "dr-assets-sync.service": copier("Pull assets", ["ExecStart=/usr/bin/true"]),
    "dr-archive-check.service": archive._service(
        ArchiveLayout(PostgresLayout(NOWHERE)), archive.CHECK, "Look after", "check", "{}"
    ).content,
    agent.UNIT: agent.unit_file(NOWHERE, Lease()).content,
    agent.DEADMAN: agent.deadman_files(NOWHERE, "postgres")[1].content,
}


@pytest.mark.parametrize("name", UNITS)
def test_little_of_the_machine_is_open_to_a_unit(tmp_path: Path, name: str) -> None:
    unit = tmp_path / name
    unit.write_text(UNITS[name])
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    told = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told.stdout)
    assert found is not None, told.stderr
    assert float(found[1]) <= MOST
    unknown = set(re.findall(r"Unknown key '(\w+)'", told.stderr)) - {"RestartMode"}  # since systemd 254
    assert not unknown and "Failed to parse" not in told.stderr
