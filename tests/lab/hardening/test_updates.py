"""What unattended-upgrades of the guests' image makes of the policy that `dr-host host converge` writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.host.host.hardening import HELD, UPDATES
from scripts.host.redis.engine import ENGINES
from tests.lab.rooted import rooted

pytestmark = pytest.mark.lab


# What another image's maker, or a person, may have left beside ours.
OTHER = """\
APT::Periodic::Update-Package-Lists "0";
APT::Periodic::Unattended-Upgrade "0";
Unattended-Upgrade::Automatic-Reboot "true";
Unattended-Upgrade::Origins-Pattern { "origin=Debian,codename=${distro_codename}"; };
Unattended-Upgrade::Package-Blacklist { "^openssl"; };
"""


def said(folder: Path, script: str) -> str:
    """Below what the package itself brings, and somebody else; without a network, so that nothing can be fetched."""
    policy = folder / "tree/etc/apt/apt.conf.d/90-dr-updates"
    policy.parent.mkdir(parents=True)
    policy.write_text(UPDATES)
    policy.with_name("60-other").write_text(OTHER)
    command = ["unshare", "--net", *rooted(folder / "place", folder / "tree", script)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_security_updates_alone_come_and_not_what_starts_a_server_again(tmp_path: Path) -> None:
    told = said(tmp_path, "unattended-upgrade --dry-run --verbose")
    assert "Allowed origins are: origin=Debian,codename=trixie-security,label=Debian-Security\n" in told
    assert f"Initial blacklist: {' '.join(f'^{name}' for name in HELD)}\n" in told


def test_each_server_of_data_is_held_back() -> None:
    """Whichever of the engines a host has."""
    assert {"postgresql", "pgbackrest", *(engine.name for engine in ENGINES)} <= set(HELD)


def test_apt_looks_every_day_and_starts_no_machine_again(tmp_path: Path) -> None:
    told = said(tmp_path, "apt-config dump").splitlines()
    for line in (
        'APT::Periodic::Update-Package-Lists "1";',
        'APT::Periodic::Unattended-Upgrade "1";',
        'Unattended-Upgrade::Automatic-Reboot "false";',
        'Unattended-Upgrade::InstallOnShutdown "false";',
        'Unattended-Upgrade::Remove-Unused-Dependencies "false";',
    ):
        assert line in told
