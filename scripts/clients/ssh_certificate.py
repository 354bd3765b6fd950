"""A certificate of ssh for one person's key, signed by ssh-keygen in a private folder: the CA's key is in memory alone, and in no argument."""

from __future__ import annotations

import datetime
import os
import re
import secrets
import subprocess
from contextlib import ExitStack
from dataclasses import field

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.plain import phrase
from contract.ssh_keys import PRINCIPAL
from scripts.clients import ssh_folder

SIGN_S = 20.0
LAG = datetime.timedelta(minutes=5)  # a host's clock may be behind
# What it allows beside a command: a terminal, and at a bastion the way on to the hosts.
ALLOWED = ("clear", "permit-pty", "permit-port-forwarding")
_LINE = re.compile(r"[a-z0-9@.-]{1,60}-cert-v01@openssh\.com [A-Za-z0-9+/]{1,8000}={0,2}")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """`key`: a public key in the form of `contract.ssh_keys.PUBLIC`; `person` in that of `PERSON`; `at`: now, in UTC."""

    key: str
    person: str
    hours: int
    at: datetime.datetime
    serial: int = field(default_factory=lambda: secrets.randbelow(2**63 - 1) + 1)

    @property
    def identity(self) -> str:
        """What logs call it, and `dr:ssh.revoked`."""
        return f"{self.person}+{self.at:%Y%m%dT%H%M%SZ}"

    @property
    def until(self) -> datetime.datetime:
        """Its end."""
        return self.at + datetime.timedelta(hours=self.hours)


def sign(wanted: Wanted, ca: str) -> str:
    """The line of a `-cert.pub` file. `ca`: the CA's private key. Raises Failed, and Refused where no private folder can be made."""
    with ExitStack() as made:
        folder = ssh_folder.make(0, made)
        public = folder / "person.pub"
        public.write_text(f"{wanted.key}\n")
        # Its clock times are local ones, and "now" of its own would be another than the one that is recorded.
        span = f"{wanted.at - LAG:%Y%m%d%H%M%S}:{wanted.until:%Y%m%d%H%M%S}"
        command = ["ssh-keygen", "-q", "-s", ssh_folder.keep(ca, folder, made), "-I", wanted.identity, "-n", PRINCIPAL]
        command += ["-z", str(wanted.serial), "-V", span]
        command += [word for allowed in ALLOWED for word in ("-O", allowed)]
        try:
            done = subprocess.run(
                [*command, str(public)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SIGN_S,
                check=False,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "TZ": "UTC",
                    "LC_ALL": "C",
                    "SSH_ASKPASS_REQUIRE": "never",
                },
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(type(error).__name__) from None
        if done.returncode:
            raise _failed((done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1])
        said = (folder / "person-cert.pub").read_text().strip()
    line = " ".join(said.split()[:2])
    if not _LINE.fullmatch(line):
        raise _failed("it wrote something else")
    return f"{line} {wanted.identity}"


def _failed(why: str) -> Failed:
    return Failed(
        f"ssh-keygen: made no certificate ({phrase(why, 200)}), wanted one; nothing was changed; see that OpenSSH is on this machine and that ssh.ca of "
        "dr:secrets is a key without a passphrase"
    )
