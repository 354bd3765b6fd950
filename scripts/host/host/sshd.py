"""What sshd of a host goes by: its rules, the CAs whose certificates open root, and who is shut out. Pure; `hardening` writes it and tells sshd.

sshd reads the files beside its rules anew for each connection: who is shut out is so from the moment in which the list lies there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from contract.dataclass import dataclass
from contract.hosts import CONTROL, SSH, kind_of
from contract.services.setup import Block
from contract.ssh_keys import PRINCIPAL, body

from ..frame.desired import Envelope
from ..frame.files import ManagedFile
from ..frame.layout import Layout

FOLDER = PurePosixPath("/etc/ssh")
RULES = FOLDER / "sshd_config.d/00-dr.conf"  # before what the image or cloud-init say: the first value counts
AUTHORITIES, PRINCIPALS, REVOKED = FOLDER / "dr-user-ca.pub", FOLDER / "dr-principals", FOLDER / "dr-revoked.krl"
OPERATORS = FOLDER / "dr-operators"
EXEMPT = "PerSourcePenaltyExemptList"  # OpenSSH 9.8 and newer
# Whoever comes in this way is root, by the program's key or by a certificate; between hosts a bastion passes connections on to their ssh and to nothing
# else. The log names each by key or certificate, also one that is refused.
_RULES = """\
# Written by dr-host host converge; changes made here are lost.
AllowUsers root
PermitRootLogin prohibit-password
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
PermitUserEnvironment no
AllowAgentForwarding no
AllowStreamLocalForwarding no
GatewayPorts no
PermitTunnel no
X11Forwarding no
LogLevel VERBOSE
AuthorizedPrincipalsCommand none
"""


@dataclass(frozen=True)
class Sshd:
    """Of one host. `authorities`, `revoked`, `operators`: as in its document."""

    envelope: Envelope
    authorities: Sequence[str] = ()
    revoked: Sequence[str] = ()
    operators: Sequence[str] = ()

    @classmethod
    def of(cls, envelope: Envelope, block: Block) -> Sshd:
        """From what the host is told."""
        return cls(envelope, block.ssh_authorities, block.ssh_revoked, block.ssh_operators)

    @property
    def bastion(self) -> bool:
        """Whether it passes connections on."""
        return kind_of(self.envelope.host) == CONTROL

    @property
    def bastions(self) -> list[str]:
        """All addresses from which a bastion of the pair may come."""
        return self._addresses(CONTROL)

    def rules(self, *, penalties: bool) -> str:
        """`penalties`: whether this sshd makes an address wait from which somebody was refused. All come from the bastions' addresses: one person's mistakes
        would shut out everybody, and the program in the middle of a move.
        """
        lines = [
            f"TrustedUserCAKeys {AUTHORITIES if self.authorities else 'none'}",
            f"AuthorizedPrincipalsFile {PRINCIPALS}/%u",
        ]
        if (
            self.operators
        ):  # what the first boot has put into the other file stays there; who is shut out is so wherever it stands
            lines.append(f"AuthorizedKeysFile .ssh/authorized_keys {OPERATORS}")
        if self.revoked:
            lines.append(f"RevokedKeys {REVOKED}")
        if penalties and self.bastions:
            lines.append(f"{EXEMPT} {','.join(self.bastions)}")
        if self.bastion:
            ways = " ".join(f"{address}:{SSH.number}" for address in self._addresses())
            lines += ["AllowTcpForwarding local", f"PermitOpen {ways}"]
        else:
            lines.append("AllowTcpForwarding no")
        return _RULES + "".join(f"{line}\n" for line in lines)

    def files(self, layout: Layout, *, penalties: bool) -> Iterator[ManagedFile]:
        """The rules last: without the list that they name sshd would let nobody in. A list that they name no more stays, for sshd is told of that later."""
        if self.operators:
            text = "".join(f"{key}\n" for key in dict.fromkeys(self.operators))
            yield ManagedFile(path=layout.at(str(OPERATORS)), content=text)
        if self.authorities:
            text = "".join(f"{key}\n" for key in dict.fromkeys(self.authorities))
            yield ManagedFile(path=layout.at(str(AUTHORITIES)), content=text)
            rights = "restrict,pty,port-forwarding" if self.bastion else "restrict,pty"
            yield ManagedFile(path=layout.at(str(PRINCIPALS / "root")), content=f"{rights} {PRINCIPAL}\n")
        if self.revoked:
            content = revocations(self.revoked).decode("latin-1")
            yield ManagedFile(path=layout.at(str(REVOKED)), content=content, encoding="latin-1")
        yield ManagedFile(path=layout.at(str(RULES)), content=self.rules(penalties=penalties))

    def _addresses(self, kind: str | None = None) -> list[str]:
        hosts = [host for key, host in self.envelope.hosts.items() if kind in (None, kind_of(key))]
        return sorted({address for host in hosts for address in (host.front, host.vrack)})


# OpenSSH's PROTOCOL.krl. ssh-keygen writes its clock into one, so that two of the same list differ, and a list that somebody has changed would not show.
_MAGIC, _FORMAT = b"SSHKRL\n\0", 1
_OF_CERTIFICATES, _OF_KEYS, _SERIALS, _IDS = b"\x01", b"\x02", b"\x20", b"\x23"


def revocations(revoked: Sequence[str]) -> bytes:
    """A key revocation list. Serial numbers and ids count whichever CA has signed; a key counts for every certificate of it."""
    serials = sorted({int(it.partition(":")[2]) for it in revoked if it.startswith("serial:")})
    ids = sorted({it.partition(":")[2] for it in revoked if it.startswith("id:")})
    keys = sorted({body(it) for it in revoked if " " in it})
    of_any_ca = _text(b"") + _text(b"")
    if serials:
        of_any_ca += _SERIALS + _text(b"".join(_number(it, 8) for it in serials))
    if ids:
        of_any_ca += _IDS + _text(b"".join(_text(it.encode()) for it in ids))
    found = _MAGIC + _number(_FORMAT, 4) + 3 * _number(0, 8) + _text(b"") + _text(b"")
    if serials or ids:
        found += _OF_CERTIFICATES + _text(of_any_ca)
    return found + (_OF_KEYS + _text(b"".join(map(_text, keys))) if keys else b"")


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def _text(value: bytes) -> bytes:
    return _number(len(value), 4) + value
