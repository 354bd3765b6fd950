"""A person looks into hosts by the command line: a shell, the journal and the console, of a host that is well, cut off or without power."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import looking
from lab.control import Server
from lab.machines.power import power_off, power_on
from lab.namespace import Places
from tests.lab.machines.bench import GRA, SBG, Bench, wait_for

pytestmark = pytest.mark.lab
PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def asked(bench: Bench, lab_places: Places) -> Iterator[Bench]:
    """The bench, with the part of a daemon that these commands ask."""
    sites = {GRA: "a", SBG: "b"}
    server = Server(lab_places.socket, {"hosts": lambda: looking.told(bench.machines.hosts, sites)})
    server.start()
    yield bench
    server.stop()


def naming(places: Places) -> dict[str, str]:
    """Which lab the command line means; and one variable that no guest should see."""
    return {"DRLAB_NAME": places.name, "DRLAB_RUN": str(places.run), "PYTHONPATH": str(PROJECT), "OURS": "1"}


def lab(places: Places, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", *words],
        env={**os.environ, **naming(places)},
        cwd=PROJECT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_command_runs_as_root_in_the_guest_and_its_status_is_passed_on(asked: Bench, lab_places: Places) -> None:
    line = 'hostname; id -un; pwd; echo "[$OURS]"; ip -br -4 address; cat /proc/1/comm; exit 7'
    done = lab(lab_places, "ssh", "host-gra11", "--", "sh", "-c", line)
    assert done.returncode == 7, done.stderr
    told = done.stdout.splitlines()
    assert told[:4] == ["host-gra11", "root", "/root", "[]"]
    assert told[-1] == "systemd"
    assert f"{asked.front(GRA)}/24" in done.stdout
    assert lab(lab_places, "ssh", "host-gra11", "--", "no-such-program").returncode == 127


def test_a_shell_reads_what_is_typed(asked: Bench, lab_places: Places) -> None:
    done = lab(lab_places, "ssh", "host-sbg5", stdin="hostname\nsystemctl is-active dbus.service\nexit 3\n")
    assert (done.returncode, done.stdout.splitlines()) == (3, ["host-sbg5", "active"])


def test_a_shell_opens_although_sshd_is_dead(asked: Bench, lab_places: Places) -> None:
    assert lab(lab_places, "ssh", "host-gra11", "--", "systemctl", "stop", "ssh.service", "ssh.socket").returncode == 0
    try:
        assert asked.try_ssh(GRA, "true").returncode != 0
        assert lab(lab_places, "ssh", "host-gra11", "--", "hostname").stdout == "host-gra11\n"
    finally:
        assert lab(lab_places, "ssh", "host-gra11", "--", "systemctl", "start", "ssh.service").returncode == 0
    asked.await_ssh(GRA)


def test_the_journal_is_shown_whole_or_of_one_unit_with_power_and_without(asked: Bench, lab_places: Places) -> None:
    host = asked.machines.hosts[GRA, asked.servers[GRA].server_id]
    asked.ssh(GRA, "sudo systemd-run --quiet --wait --unit=told-by-a-test echo the-unit-says-so")
    asked.ssh(GRA, "logger somebody-else-says-so; sudo journalctl --sync")
    whole, unit = lab(lab_places, "logs", "host-gra11"), lab(lab_places, "logs", "host-gra11", "told-by-a-test")
    assert "somebody-else-says-so" in whole.stdout, whole.stderr
    assert "the-unit-says-so" in unit.stdout, unit.stderr
    assert "somebody-else" not in unit.stdout
    assert len(lab(lab_places, "logs", "host-gra11", "--lines", "3").stdout.splitlines()) == 3
    power_off([host], "a test")
    try:
        off = lab(lab_places, "logs", "host-gra11", "told-by-a-test")
        assert "the-unit-says-so" in off.stdout, off.stderr
        assert off.returncode == 0
        assert lab(lab_places, "logs", "host-gra11", "--follow").returncode == 3
        refused = lab(lab_places, "ssh", "host-gra11", "--", "true")
        assert (refused.returncode, "has no power" in refused.stderr) == (3, True)
        assert lab(lab_places, "console", "host-gra11").returncode == 0
    finally:
        power_on([host], "a test")
    asked.await_ssh(GRA)


def test_the_journal_is_followed(asked: Bench, lab_places: Places, tmp_path: Path) -> None:
    with (tmp_path / "heard").open("w") as out:
        follower = subprocess.Popen(
            [sys.executable, "-m", "lab", "logs", "host-gra11", "--follow", "--lines=0"],
            env={**os.environ, **naming(lab_places)},
            cwd=PROJECT,
            stdout=out,
            start_new_session=True,
        )

    def heard() -> bool:
        asked.ssh(GRA, "logger heard-while-it-happens")
        return "heard-while-it-happens" in (tmp_path / "heard").read_text()

    try:
        wait_for("the follower's line", heard)
        assert follower.poll() is None, "it follows on"
    finally:
        os.killpg(follower.pid, signal.SIGKILL)
        follower.wait()


def test_the_console_shows_what_the_boot_wrote(asked: Bench, lab_places: Places) -> None:
    one, all_of_them = lab(lab_places, "console", "host-gra11"), lab(lab_places, "console")
    assert "cloud-init" in one.stdout, one.stdout + one.stderr
    headings = [line for line in all_of_them.stdout.splitlines() if line.startswith("==> ")]
    assert headings == ["==> host-gra11 (running) <==", "==> host-sbg5 (running) <=="]


def test_a_host_that_is_none_is_answered_with_those_that_are(asked: Bench, lab_places: Places) -> None:
    for words in (("ssh", "db-1.a"), ("logs", "db-1.a"), ("console", "db-1.a")):
        done = lab(lab_places, *words)
        assert done.returncode == 2
        assert done.stderr == "host: 'db-1.a' names 0 hosts, wanted one of host-gra11, host-sbg5; nothing done\n"
