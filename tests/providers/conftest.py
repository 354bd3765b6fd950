"""The tools under test: built once, and the sshd that remote commands talk to."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from lab.toolchain import tools
from lab.toolchain.tools import Toolchain

PRIVATE = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
PUBLIC = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return tools.ensure()


@dataclass(frozen=True)
class Key:
    private: str
    public: str


def new_key(kind: str = "ed25519") -> Key:
    private = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 3072)
    return Key(private.private_bytes(*PRIVATE).decode(), private.public_key().public_bytes(*PUBLIC).decode())


@dataclass(frozen=True)
class Sshd:
    """A running sshd that lets `key` in as the user who runs the tests."""

    port: int
    host_key: Key
    key: Key
    log: Path

    def connection(self, **changes: Any) -> dict[str, Any]:
        """Arguments of a ConnectionArgs, in the program's spelling."""
        base = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "private_key": self.key.private,
            "host_key": self.host_key.public,
            "dial_error_limit": 3,
        }
        return {name: value for name, value in {**base, **changes}.items() if value is not None}


@contextlib.contextmanager
def running_sshd(folder: Path, level: str = "VERBOSE") -> Iterator[Sshd]:
    """sshd on loopback with an ed25519 and an RSA host key; a process of this test, gone afterwards. At DEBUG1 its users see debug lines too."""
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    assert Path(program).exists(), "these tests need sshd: apt-get install openssh-server"
    folder.mkdir(parents=True)
    host_key, other, key = new_key(), new_key("rsa"), new_key()
    for name, text in (("host", host_key.private), ("other", other.private), ("authorized", key.public + "\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    Path("/run/sshd").mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # The RSA key comes first: a client that does not ask for the one it knows gets that.
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'other'}\nHostKey {folder / 'host'}\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"
        f"PasswordAuthentication no\nSubsystem sftp internal-sftp\nLogLevel {level}\n"
    )
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=out)
    try:
        wait_for(port, process, log)
        yield Sshd(port, host_key, key, log)
    finally:
        process.terminate()
        process.wait(timeout=10)


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until sshd answers; it says so within a second or has failed."""
    for _ in range(100):
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            if connection.recv(4):
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
    raise AssertionError(f"sshd does not answer on port {port}:\n{log.read_text()}")


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd") / "target") as server:
        yield server


@pytest.fixture(scope="session")
def jump_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd") / "jump", level="DEBUG1") as server:
        yield server
