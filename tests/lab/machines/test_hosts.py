"""Hosts boot as a cloud's do, keep their volumes, and lose and regain their power."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cloud.backend import BackendError
from lab.machines import disks
from lab.machines.power import power_off, power_on
from tests.lab.machines.bench import GRA, SBG, Bench, wait_for

pytestmark = pytest.mark.lab
VOLUME = "6f1de2a4-0b7b-4f0c-9d38-2f6a3f1f9a10"


def test_a_host_has_its_name_its_addresses_its_user_and_its_host_key(bench: Bench, host_key: Path) -> None:
    assert bench.ssh(GRA, "hostname") == "host-gra11"
    assert bench.addresses(GRA) == {"ens3": [bench.front(GRA)], "ens4": [bench.vrack(GRA)]}
    assert bench.ssh(GRA, "sudo id -u") == "0"
    assert (
        bench.ssh(GRA, "cat /etc/ssh/ssh_host_*_key.pub").split()[:2]
        == host_key.with_suffix(".pub").read_text().split()[:2]
    )
    assert bench.ssh(GRA, "cat /etc/resolv.conf").splitlines()[0] == "nameserver 192.0.2.53"


def test_hosts_run_apart_from_each_other_and_start_no_service_of_the_shop(bench: Bench) -> None:
    assert bench.ssh(GRA, "cat /etc/machine-id") != bench.ssh(SBG, "cat /etc/machine-id")
    running = bench.ssh(GRA, "systemctl list-units --type=service --state=running --plain --no-legend")
    assert not [name for name in ("postgresql", "redis", "nginx", "haproxy", "puma") if name in running]
    assert bench.ssh(GRA, "ls /etc/postgresql /var/lib/postgresql 2>/dev/null | grep -c main || true") == "0"


def test_a_volume_survives_stop_and_start_and_is_mounted_again(bench: Bench) -> None:
    server, link = bench.servers[GRA].server_id, f"/dev/disk/by-id/virtio-{VOLUME[:20]}"
    bench.machines.create_volume(GRA, VOLUME, 1)
    assert bench.machines.attach_volume(GRA, server, VOLUME) == "/dev/vdb"
    assert bench.machines.attach_volume(GRA, server, VOLUME) == "/dev/vdb", "attaching again is no second device"
    bench.ssh(
        GRA,
        f"sudo mkfs.ext4 -q {link} && sudo mkdir -p /srv/data && echo '{link} /srv/data ext4 defaults,nofail 0 2' | sudo tee -a /etc/fstab",
    )
    bench.ssh(GRA, "sudo mount /srv/data && echo kept | sudo tee /srv/data/file && sync")
    unit = f"[Mount]\\nWhat={link}\\nWhere=/srv/unit\\nType=ext4\\n[Install]\\nWantedBy=multi-user.target\\n"
    bench.ssh(
        GRA,
        f"printf '{unit}' | sudo tee /etc/systemd/system/srv-unit.mount && sudo systemctl enable -q --now srv-unit.mount",
    )
    bench.machines.stop_server(GRA, server)
    assert not bench.machines.server_running(GRA, server)
    bench.machines.start_server(GRA, server)
    bench.await_ssh(GRA)
    wait_for("the mount unit", lambda: bench.try_ssh(GRA, "test -e /srv/unit/file").returncode == 0)
    assert bench.ssh(GRA, "findmnt -no SOURCE /srv/data; cat /srv/data/file").splitlines() == ["/dev/vdb", "kept"]
    bench.machines.extend_volume(GRA, VOLUME, 2)
    assert bench.ssh(GRA, "sudo blockdev --getsize64 /dev/vdb") == str(2 * 2**30)
    with pytest.raises(BackendError, match="cannot shrink"):
        bench.machines.extend_volume(GRA, VOLUME, 1)
    full_and_emptied(bench)
    bench.ssh(
        GRA,
        "sudo systemctl disable -q --now srv-unit.mount; sudo umount /srv/data && sudo sed -i /srv.data/d /etc/fstab",
    )
    bench.machines.detach_volume(GRA, server, VOLUME)
    assert bench.try_ssh(GRA, f"ls {link} /dev/vdb").stdout == ""
    bench.machines.delete_volume(GRA, VOLUME)


def full_and_emptied(bench: Bench) -> None:
    """The disk-full fault, on a mounted volume."""
    host = bench.machines.hosts[GRA, bench.servers[GRA].server_id]
    disks.fill(host)
    refused = bench.try_ssh(GRA, "echo 1 | sudo dd of=/srv/data/more bs=64k count=1 conv=fsync status=none")
    assert "No space left on device" in refused.stderr
    disks.empty(host)
    assert bench.ssh(GRA, "echo fits | sudo tee /srv/data/more") == "fits"


def test_a_power_cut_kills_at_once_and_the_host_comes_back_by_itself(bench: Bench) -> None:
    host = bench.machines.hosts[GRA, bench.servers[GRA].server_id]
    bench.ssh(GRA, "sudo touch /var/lib/before-the-cut")
    assert bench.pings(SBG, bench.vrack(GRA))
    power_off([host], "a test")
    assert not host.running
    assert not bench.pings(SBG, bench.vrack(GRA))
    with pytest.raises(BackendError, match="a test"):
        bench.machines.start_server(GRA, bench.servers[GRA].server_id)
    power_on([host], "a test")
    bench.await_ssh(GRA)
    assert bench.ssh(GRA, "ls /var/lib/before-the-cut") == "/var/lib/before-the-cut"


def test_a_host_switched_off_during_a_power_cut_stays_off(bench: Bench) -> None:
    server = bench.servers[GRA].server_id
    host = bench.machines.hosts[GRA, server]
    power_off([host], "a test")
    bench.machines.stop_server(GRA, server)
    power_on([host], "a test")
    assert not bench.machines.server_running(GRA, server)
    bench.machines.start_server(GRA, server)
    bench.await_ssh(GRA)


def test_a_host_that_reboots_itself_comes_back_and_one_that_powers_off_stays_off(bench: Bench) -> None:
    server = bench.servers[GRA].server_id
    before = bench.machines.hosts[GRA, server].leader()
    bench.try_ssh(GRA, "sudo systemctl reboot")
    wait_for("another first process", lambda: bench.machines.hosts[GRA, server].leader() not in (None, before))
    bench.await_ssh(GRA)
    bench.try_ssh(GRA, "sudo systemctl poweroff")
    wait_for("power off", lambda: not bench.machines.server_running(GRA, server))
    bench.machines.start_server(GRA, server)
    bench.await_ssh(GRA)
    assert bench.addresses(GRA) == {"ens3": [bench.front(GRA)], "ens4": [bench.vrack(GRA)]}


def test_a_frozen_host_stands_still_answers_nothing_and_goes_on_where_it_was(bench: Bench) -> None:
    """As a paused server: not a process of it runs, and nobody answers in its name."""
    server = bench.servers[GRA].server_id
    host = bench.machines.hosts[GRA, server]
    leader = host.leader()
    bench.ssh(GRA, "sudo systemd-run --unit=ticks sh -c 'while :; do date +%s%N >/var/tmp/ticks; sleep 0.05; done'")
    ticks = host.root / "var/tmp/ticks"
    wait_for("a process at work", lambda: ticks.exists() and ticks.read_text() != "")
    bench.machines.freeze_server(GRA, server)
    before = ticks.read_text()
    assert host.running
    assert not bench.pings(SBG, bench.vrack(GRA)), "the kernel answered for a machine that stands still"
    assert ticks.read_text() == before
    bench.machines.thaw_server(GRA, server)
    wait_for("the process at work again", lambda: ticks.read_text() not in (before, ""))
    bench.await_ssh(GRA)
    assert bench.pings(SBG, bench.vrack(GRA))
    assert host.leader() == leader, "it was booted anew"
    bench.ssh(GRA, "sudo systemctl stop ticks")


def test_a_frozen_host_is_stopped_at_once_and_boots_thawed(bench: Bench) -> None:
    server = bench.servers[GRA].server_id
    bench.machines.freeze_server(GRA, server)
    bench.machines.stop_server(GRA, server)
    assert not bench.machines.server_running(GRA, server)
    bench.machines.start_server(GRA, server)
    bench.await_ssh(GRA)
    assert bench.pings(SBG, bench.vrack(GRA))
