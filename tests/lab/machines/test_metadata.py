"""The platform's metadata service tells the first-boot text, with the host's own ssh key: it answers root alone, from the boot on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.host.app.names import USER
from scripts.host.host.hardening import METADATA, METADATA_UNIT, NFT, UNIT
from tests.lab.machines.bench import GRA, Bench, wait_for

pytestmark = pytest.mark.lab


def played(bench: Bench) -> None:
    """The service, at its address, in the host itself: what goes there leaves by the same hook."""
    bench.ssh(GRA, f"sudo ip address replace {METADATA[0]}/32 dev lo")
    bench.ssh(GRA, f"sudo systemd-run -q --unit=metadata python3 -m http.server 80 --bind {METADATA[0]}")
    wait_for("metadata service", lambda: answers(bench, "root"))


def answers(bench: Bench, user: str) -> bool:
    line = f"sudo -u {user} curl -sS -o /dev/null --max-time 2 http://{METADATA[0]}/"
    return bench.try_ssh(GRA, line).returncode == 0


@pytest.fixture
def host(bench: Bench) -> Iterator[Bench]:
    bench.ssh(GRA, f"id -u {USER} || sudo useradd --system --user-group --shell /usr/sbin/nologin {USER}")
    played(bench)
    yield bench
    bench.ssh(
        GRA, f"sudo systemctl disable -q {UNIT}; sudo nft delete table inet dr_metadata; sudo systemctl stop metadata"
    )
    bench.ssh(GRA, f"sudo rm -f /etc/systemd/system/{UNIT}; sudo systemctl daemon-reload")


def write(bench: Bench, path: str, text: str) -> None:
    quoted = text.replace("'", "'\\''")
    bench.ssh(GRA, f"sudo mkdir -p $(dirname {path}) && printf %s '{quoted}' | sudo tee {path} >/dev/null")


def test_the_metadata_service_is_roots_alone_also_after_a_boot(host: Bench) -> None:
    others = (USER, "www-data", "postgres", "redis", "nobody", "debian")
    assert all(answers(host, user) for user in others), "as the image has it"
    write(host, "/etc/dr/metadata.nft", NFT)
    write(host, f"/etc/systemd/system/{UNIT}", METADATA_UNIT)
    host.ssh(GRA, f"sudo systemctl daemon-reload && sudo systemctl enable -q --now {UNIT}")
    assert [user for user in others if answers(host, user)] == []
    assert answers(host, "root")
    host.machines.reboot_server(GRA, host.servers[GRA].server_id, True)
    host.await_ssh(GRA)
    played(host)
    assert [user for user in others if answers(host, user)] == []
    shown = host.ssh(GRA, "sudo nft list table inet dr_metadata")
    assert all(shown.count(address) == 2 for address in METADATA), "as `host converge` looks for it"
