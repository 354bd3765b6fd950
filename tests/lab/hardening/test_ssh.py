"""The sshd of the guests' image under the rules that `dr-host host converge` writes: a row for each way in that must be refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract.services.setup import Block
from lab.machines.shell import add_netns, drop_netns, ip
from lab.namespace import NETNS, inside
from scripts.host.frame.desired import read
from scripts.host.frame.layout import Layout
from scripts.host.frame.systemd import Systemd
from scripts.host.frame.wait import until
from scripts.host.host.hardening import Hardening
from tests.host.frame.test_frame import DOCUMENT, SETUP
from tests.lab.rooted import rooted

pytestmark = pytest.mark.lab

ADDRESS = "10.1.0.11"
USUAL = (
    *(
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "ConnectTimeout=5",
        "LogLevel=ERROR",
        "BatchMode=yes",
    ),
    "IdentitiesOnly=yes",
)
# As a cloud's image might have it: everything open, and a user with sudo.
OPEN = """PasswordAuthentication yes
PermitRootLogin yes
AllowAgentForwarding yes
AllowTcpForwarding yes
PermitTunnel yes
GatewayPorts yes
X11Forwarding yes
"""
SERVE = """
mkdir -p /run/sshd
useradd -m -s /bin/bash debian
cp -r /root/.ssh /home/debian/
chown -R debian:debian /home/debian
printf "root:known\\ndebian:known\\n" | chpasswd
ssh-keygen -q -A
exec /usr/sbin/sshd -D -e -o PerSourcePenalties=no
"""


@dataclass
class Door:
    """A sshd in a namespace of its own, and how it is asked."""

    folder: Path
    netns: str

    def ssh(
        self,
        user: str,
        *options: str,
        flags: Sequence[str] = (),
        command: Sequence[str] = ("true",),
        key: str = "known",
    ) -> subprocess.CompletedProcess[str]:
        """With the operator's key, unless told otherwise. Bounded."""
        words = ["timeout", "20", "ssh", "-F", "none", "-i", str(self.folder / key), *flags]
        words += [part for option in (*options, *USUAL) for part in ("-o", option)]
        return subprocess.run(
            inside(NETNS / self.netns, [*words, f"{user}@{ADDRESS}", *command]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def forwards(self, target: str) -> bool:
        """Whether it passes a connection on: what answers there is its own sshd's greeting."""
        return self.ssh("root", flags=("-W", target), command=()).stdout.startswith("SSH-2.0")

    def opens(self, *way: str) -> bool:
        """Whether it opens something for this caller."""
        return self.ssh("root", "ExitOnForwardFailure=yes", flags=way).returncode == 0


def serve(folder: Path, host: str, stack: ExitStack, *, closed: bool = True) -> Door:
    """The rules of this host, above those of an image that has everything open."""
    door = Door(folder, f"drssh{os.getpid()}-{host}{'' if closed else '-open'}")
    add_netns("tests", door.netns)
    stack.callback(drop_netns, "tests", door.netns)
    ip("tests", [f"address add {ADDRESS}/32 dev lo", "address add 10.1.0.99/32 dev lo"], door.netns)
    tree = folder / "tree"
    for name in ("known", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (tree / "root/.ssh").mkdir(parents=True, mode=0o700)
    (tree / "root").chmod(0o700)
    (tree / "root/.ssh/authorized_keys").write_text((folder / "known.pub").read_text())
    rules = tree / "etc/ssh/sshd_config.d/50-image.conf"
    rules.parent.mkdir(parents=True)
    rules.write_text(OPEN)
    if closed:
        hosts = {
            f"{name}.a": {"name": f"{name}.a.dr.internal", "vrack": "10.100.0.11", "front": ADDRESS}
            for name in ("db-1", "control-1")
        }
        envelope, _ = read({**DOCUMENT, "host": host, "hosts": hosts, "setup": SETUP}, "setup", Block, with_epoch=False)
        Hardening(True, envelope, Layout(tree), Systemd()).files()[0].write()
    log = (folder / "sshd.log").open("wb")
    stack.callback(log.close)
    process = subprocess.Popen(
        inside(NETNS / door.netns, rooted(folder / "place", tree, SERVE)),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    assert until(lambda: process.poll() is not None or door.ssh("root").returncode == 0, 30), (
        folder / "sshd.log"
    ).read_text()
    assert process.poll() is None, (folder / "sshd.log").read_text()
    return door


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def database(stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Door:
    return serve(tmp_path_factory.mktemp("database"), "db-1", stack)


@pytest.fixture(scope="module")
def bastion(stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Door:
    return serve(tmp_path_factory.mktemp("bastion"), "control-1", stack)


@pytest.fixture(params=["db-1", "control-1"])
def door(request: pytest.FixtureRequest, database: Door, bastion: Door) -> Door:
    return database if request.param == "db-1" else bastion


def test_the_operators_key_opens_root(door: Door) -> None:
    assert door.ssh("root", command=("id", "-u")).stdout.strip() == "0"


def test_another_key_does_not(door: Door) -> None:
    assert "Permission denied (publickey)" in door.ssh("root", key="other").stderr


@pytest.mark.parametrize("user", ["debian", "postgres", "redis", "www-data", "nobody"])
def test_nobody_but_root_comes_in_even_by_the_operators_key(door: Door, user: str) -> None:
    done = door.ssh(user)
    assert done.returncode == 255 and "Permission denied" in done.stderr


@pytest.mark.parametrize("way", ["password", "keyboard-interactive", "hostbased", "none"])
@pytest.mark.parametrize("user", ["root", "debian"])
def test_no_password_is_asked_for(door: Door, user: str, way: str) -> None:
    """What is offered is told in the refusal."""
    done = door.ssh(user, f"PreferredAuthentications={way}", "PubkeyAuthentication=no")
    assert done.returncode == 255 and "Permission denied (publickey)" in done.stderr


def test_no_agent_comes_along(door: Door, tmp_path: Path) -> None:
    place = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    try:
        assert until(place.exists, 10)
        done = door.ssh("root", f"ForwardAgent={place}", command=("echo", "agent:$SSH_AUTH_SOCK:"))
        assert done.stdout.strip() == "agent::"
    finally:
        agent.terminate()
        agent.wait()


def test_a_host_that_is_no_bastion_passes_no_connection_on(database: Door) -> None:
    assert not database.forwards(f"{ADDRESS}:22")


def test_a_bastion_passes_connections_on_to_ssh_of_its_hosts_and_to_nothing_else(bastion: Door) -> None:
    assert bastion.forwards(f"{ADDRESS}:22")
    for target in ("10.1.0.99:22", "127.0.0.1:22", "localhost:22", f"{ADDRESS}:5432"):
        assert not bastion.forwards(target), target


@pytest.mark.parametrize("way", [("-R", "2222:127.0.0.1:22"), ("-w", "0:0"), ("-R", "/run/x.sock:127.0.0.1:22")])
def test_nothing_is_opened_on_a_host_for_somebody_elsewhere(door: Door, way: tuple[str, str]) -> None:
    assert not door.opens(*way)


def test_an_image_that_has_everything_open_is_the_other_case(
    stack: ExitStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is refused above is refused by the rules, and not by something else."""
    door = serve(tmp_path_factory.mktemp("open"), "db-1", stack, closed=False)
    assert door.ssh("debian").returncode == 0
    assert door.forwards("10.1.0.99:22")
    assert "password" in door.ssh("root", "PreferredAuthentications=password").stderr
    assert door.opens("-R", "2222:127.0.0.1:22")
