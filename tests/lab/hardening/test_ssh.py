"""The sshd of the guests' image under the rules that `dr-host host converge` writes: a row for each way in that must be refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from contract.services.setup import Block
from contract.ssh_keys import PRINCIPAL
from lab.machines.shell import add_netns, drop_netns, ip
from lab.namespace import NETNS, inside
from scripts.host.frame.desired import read
from scripts.host.frame.layout import Layout
from scripts.host.frame.wait import until
from scripts.host.host.sshd import EXEMPT, Sshd
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
TrustedUserCAKeys /etc/ssh/image-ca.pub
"""
SERVE = """
mkdir -p /run/sshd
useradd -m -s /bin/bash debian
cp -r /root/.ssh /home/debian/
chown -R debian:debian /home/debian
printf "root:known\\ndebian:known\\n" | chpasswd
ssh-keygen -q -A
exec /usr/sbin/sshd -D -e"""


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
        certificate: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """With the program's key, unless told otherwise; or with a certificate of the key `person`. Bounded."""
        key = "person" if certificate else key
        words = ["timeout", "20", "ssh", "-F", "none", "-i", str(self.folder / key), *flags]
        words += ["-o", f"CertificateFile={self.folder / certificate}.pub"] if certificate else []
        words += [part for option in (*options, *USUAL) for part in ("-o", option)]
        return subprocess.run(
            inside(NETNS / self.netns, [*words, f"{user}@{ADDRESS}", *command]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def forwards(self, target: str, certificate: str = "") -> bool:
        """Whether it passes a connection on: what answers there is its own sshd's greeting."""
        return self.ssh("root", flags=("-W", target), command=(), certificate=certificate).stdout.startswith("SSH-2.0")

    def opens(self, *way: str) -> bool:
        """Whether it opens something for this caller."""
        return self.ssh("root", "ExitOnForwardFailure=yes", flags=way).returncode == 0

    @property
    def log(self) -> str:
        """What its sshd has said so far."""
        return (self.folder / "sshd.log").read_text()


def keygen(folder: Path, *words: str) -> None:
    subprocess.run(["ssh-keygen", "-q", *words], cwd=folder, check=True)


def certify(folder: Path, name: str, *words: str, ca: str = "ca", key: str = "person") -> None:
    """A certificate of this key, under a name of its own."""
    (folder / f"{name}.pub").write_text((folder / f"{key}.pub").read_text())
    keygen(folder, "-s", ca, *words, f"{name}.pub")
    (folder / f"{name}-cert.pub").rename(folder / f"{name}.pub")


GOOD = ("-n", PRINCIPAL, "-V", "-5m:+8h")
OTHER_CA, REVOKED_KEY = {"ca": "other"}, {"key": "gone"}
CERTIFICATES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "alice": (("-I", "alice+20261129T090000Z", "-z", "77", *GOOD), {}),
    "of-the-team": (("-I", "vault-token-alice", *GOOD), {"ca": "team"}),
    "with-everything": (("-I", "alice", "-O", "permit-agent-forwarding", "-O", "permit-X11-forwarding", *GOOD), {}),
    "of-another-ca": (("-I", "alice", *GOOD), OTHER_CA),
    "of-the-images-ca": (("-I", "alice", "-n", f"root,{PRINCIPAL}", "-V", "-5m:+8h"), {"ca": "image"}),
    "of-root-by-name": (("-I", "alice", "-n", "root", "-V", "-5m:+8h"), {}),
    "of-another-principal": (("-I", "alice", "-n", f"{PRINCIPAL}s,dr", "-V", "-5m:+8h"), {}),
    "of-no-principal": (("-I", "alice", "-V", "-5m:+8h"), {}),
    "ended": (("-I", "alice", "-n", PRINCIPAL, "-V", "20200101:20200102"), {}),
    "not-yet-begun": (("-I", "alice", "-n", PRINCIPAL, "-V", "+1d:+2d"), {}),
    "of-a-host": (("-h", "-I", "alice", *GOOD), {}),
    "revoked-by-its-serial": (("-I", "alice", "-z", "4711", *GOOD), {}),
    "revoked-by-its-id": (("-I", "mallory+20261129T090000Z", *GOOD), {}),
    "of-the-team-revoked-by-its-id": (("-I", "mallory+20261129T090000Z", *GOOD), {"ca": "team"}),
    "for-elsewhere": (("-I", "alice", "-O", "source-address=10.99.0.0/16", *GOOD), {}),
    "of-debian": (("-I", "alice", "-n", f"{PRINCIPAL},debian", "-V", "-5m:+8h"), {}),
}
REFUSED = [name for name in CERTIFICATES if name not in ("alice", "of-the-team", "with-everything", "of-debian")]


def papers(folder: Path) -> None:
    """Every key and certificate of the tests."""
    for name in ("known", "next", "former", "other", "person", "gone", "ca", "team", "image"):
        keygen(folder, "-t", "ed25519", "-N", "", "-C", name, "-f", name)
    for name, (words, more) in CERTIFICATES.items():
        certify(folder, name, *words, **more)
    certify(folder, "of-a-revoked-key", "-I", "alice", *GOOD, **REVOKED_KEY)


def line(folder: Path, name: str) -> str:
    """A public key without its comment."""
    return (folder / f"{name}.pub").read_text().rpartition(" ")[0]


def serve(folder: Path, host: str, stack: ExitStack, *, closed: bool = True, trusting: bool = True) -> Door:
    """The rules of this host, above those of an image that has everything open. `trusting`: whether it knows CAs, and who is shut out."""
    door = Door(folder, f"drssh{os.getpid()}-{host}{'' if closed else '-open'}{'' if trusting else '-lone'}")
    add_netns("tests", door.netns)
    stack.callback(drop_netns, "tests", door.netns)
    ip("tests", [f"address add {ADDRESS}/32 dev lo", "address add 10.1.0.99/32 dev lo"], door.netns)
    tree = folder / "tree"
    papers(folder)
    (tree / "root/.ssh").mkdir(parents=True, mode=0o700)
    (tree / "root").chmod(0o700)
    # As the first boot has left it, with a key that the program had then and has no more.
    first = "".join((folder / f"{name}.pub").read_text() for name in ("known", "former"))
    (tree / "root/.ssh/authorized_keys").write_text(first)
    rules = tree / "etc/ssh/sshd_config.d/50-image.conf"
    rules.parent.mkdir(parents=True)
    rules.write_text(OPEN)
    if closed:
        hosts = {
            f"{name}.a": {"name": f"{name}.a.dr.internal", "vrack": "10.100.0.11", "front": ADDRESS}
            for name in ("db-1", "control-1")
        }
        more = {
            "ssh_operators": [line(folder, name) for name in ("known", "next")],
            "ssh_authorities": [line(folder, name) for name in ("ca", "team")],
            "ssh_revoked": ["serial:4711", "id:mallory+20261129T090000Z", line(folder, "gone"), line(folder, "former")],
        }
        setup = {**SETUP, **(more if trusting else {})}
        envelope, block = read(
            {**DOCUMENT, "host": host, "hosts": hosts, "setup": setup}, "setup", Block, with_epoch=False
        )
        for file in Sshd.of(envelope, block).files(Layout(tree), penalties=True):
            file.write()
    (tree / "etc/ssh/image-ca.pub").write_text((folder / "image.pub").read_text())
    log = (folder / "sshd.log").open("wb")
    stack.callback(log.close)
    process = subprocess.Popen(
        # Where nothing is said of them, whoever is refused would wait, and everybody of that address.
        inside(
            NETNS / door.netns, rooted(folder / "place", tree, SERVE if closed else f"{SERVE} -o PerSourcePenalties=no")
        ),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    assert until(lambda: process.poll() is not None or door.ssh("root").returncode == 0, 30), door.log
    assert process.poll() is None, door.log
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


@pytest.fixture(scope="module")
def lone(stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Door:
    return serve(tmp_path_factory.mktemp("lone"), "db-1", stack, trusting=False)


@pytest.fixture(params=["db-1", "control-1"])
def door(request: pytest.FixtureRequest, database: Door, bastion: Door) -> Door:
    return database if request.param == "db-1" else bastion


def test_the_operators_key_opens_root(door: Door) -> None:
    assert door.ssh("root", command=("id", "-u")).stdout.strip() == "0"


def test_while_it_is_rotated_the_next_one_does_too_and_one_of_before_does_not_though_the_first_boot_named_it(
    door: Door,
) -> None:
    assert door.ssh("root", key="next", command=("id", "-u")).stdout.strip() == "0"
    assert "Permission denied (publickey)" in door.ssh("root", key="former").stderr


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


@pytest.mark.parametrize("certificate", ["alice", "of-the-team", "with-everything"])
def test_a_certificate_of_a_ca_that_is_trusted_opens_root(door: Door, certificate: str) -> None:
    assert door.ssh("root", command=("id", "-u"), certificate=certificate).stdout.strip() == "0"


def test_the_key_of_a_certificate_opens_nothing_by_itself(door: Door) -> None:
    assert "Permission denied (publickey)" in door.ssh("root", key="person").stderr


@pytest.mark.parametrize("certificate", REFUSED)
def test_every_other_certificate_opens_nothing(door: Door, certificate: str) -> None:
    done = door.ssh("root", certificate=certificate)
    assert done.returncode == 255 and "Permission denied (publickey)" in done.stderr


def test_a_key_that_is_shut_out_is_so_with_every_certificate_of_it(door: Door) -> None:
    done = door.ssh("root", f"CertificateFile={door.folder}/of-a-revoked-key.pub", key="gone")
    assert done.returncode == 255 and "Permission denied (publickey)" in done.stderr
    assert "revoked" in door.log


@pytest.mark.parametrize("user", ["debian", "postgres", "nobody"])
def test_a_certificate_opens_nobody_but_root_whatever_it_says(door: Door, user: str) -> None:
    done = door.ssh(user, certificate="of-debian")
    assert done.returncode == 255 and "Permission denied" in done.stderr


def test_the_log_says_whose_certificate_it_was_and_which_key_the_program_has(door: Door) -> None:
    assert door.ssh("root", certificate="alice").returncode == 0 and door.ssh("root").returncode == 0
    accepted = [entry for entry in door.log.splitlines() if entry.startswith("Accepted publickey for root")]
    certified = [entry for entry in accepted if "ED25519-CERT" in entry and "CA ED25519 SHA256:" in entry]
    assert any("ID alice+20261129T090000Z (serial 77)" in entry for entry in certified)
    assert any(" ID " not in entry and "ED25519 SHA256:" in entry for entry in accepted), "the program's has no name"


def test_the_log_says_whose_certificate_was_refused(door: Door) -> None:
    door.ssh("root", certificate="ended")
    assert "expired" in door.log


@pytest.mark.parametrize("certificate", ["alice", "with-everything"])
def test_a_certificate_opens_at_a_bastion_the_ways_of_everybody_and_no_other(bastion: Door, certificate: str) -> None:
    assert bastion.forwards(f"{ADDRESS}:22", certificate)
    for target in ("10.1.0.99:22", "127.0.0.1:22", f"{ADDRESS}:5432"):
        assert not bastion.forwards(target, certificate), target


def test_a_certificate_passes_nothing_on_elsewhere_and_brings_no_agent(database: Door, tmp_path: Path) -> None:
    assert not database.forwards(f"{ADDRESS}:22", "with-everything")
    place = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    try:
        assert until(place.exists, 10)
        says = ("echo", "agent:$SSH_AUTH_SOCK:")
        done = database.ssh("root", f"ForwardAgent={place}", command=says, certificate="with-everything")
        assert done.stdout.strip() == "agent::"
    finally:
        agent.terminate()
        agent.wait()


@pytest.mark.parametrize("certificate", ["alice", "of-the-images-ca"])
def test_a_host_that_was_told_of_no_ca_trusts_none_the_images_included(lone: Door, certificate: str) -> None:
    assert "Permission denied (publickey)" in lone.ssh("root", certificate=certificate).stderr
    assert lone.ssh("root").returncode == 0


def test_a_bastion_from_which_many_were_refused_is_not_made_to_wait(door: Door) -> None:
    """All come from its address, and one of them may be a program in the middle of a move."""
    asked = partial(door.ssh, "root", key="other")
    assert {asked().returncode for _ in range(6)} == {255}
    assert door.ssh("root").returncode == 0


@pytest.mark.parametrize(("option", "known"), [(EXEMPT, True), ("PerSourceExemption", False)])
def test_sshd_says_whether_it_knows_an_option(tmp_path: Path, option: str, *, known: bool) -> None:
    """As `host converge` asks it: one that does not know a word of its rules does not start."""
    script = f"mkdir -p /run/sshd; ssh-keygen -q -A; sshd -t -o {option}=127.0.0.1"
    (tmp_path / "tree").mkdir()
    done = subprocess.run(
        rooted(tmp_path / "place", tmp_path / "tree", script), capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is known, done.stderr


def test_an_image_that_has_everything_open_is_the_other_case(
    stack: ExitStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is refused above is refused by the rules, and not by something else."""
    door = serve(tmp_path_factory.mktemp("open"), "db-1", stack, closed=False)
    assert door.ssh("debian").returncode == 0
    assert door.ssh("debian", certificate="of-debian").returncode == 255, "of a CA that it does not know"
    certify(door.folder, "images", "-I", "x", "-n", "root", "-V", "-5m:+8h", ca="image")
    assert door.ssh("root", certificate="images").returncode == 0
    assert door.forwards("10.1.0.99:22")
    assert "password" in door.ssh("root", "PreferredAuthentications=password").stderr
    assert door.opens("-R", "2222:127.0.0.1:22")
