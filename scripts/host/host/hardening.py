"""What every host closes whatever its role: ways of ssh that nobody here uses, the platform's metadata service, known holes. Steps of `host converge`.

The metadata service tells whoever asks it the first-boot text, and in that the host's own ssh key: it is for root, who has that key anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Failed, say

from ..frame.commands import run
from ..frame.files import ManagedFile, differing, write_atomically
from ..frame.layout import Layout
from ..frame.plan import Step
from ..frame.systemd import Units, sandbox
from .sshd import EXEMPT, RULES, Sshd

METADATA = ("169.254.169.254", "fe80::a9fe:a9fe")
TABLE, UNIT, SSHD = "dr_metadata", "dr-metadata.service", "ssh.service"
QUICK_S, CHANGE_S = 15.0, 60.0
# Replaced as a whole in one step. What has no owner is nobody's either.
NFT = f"""\
# Written by dr-host host converge; changes made here are lost.
table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  chain output {{
    type filter hook output priority 0; policy accept;
    ip daddr {METADATA[0]} meta skuid 0 accept
    ip6 daddr {METADATA[1]} meta skuid 0 accept
    ip daddr {METADATA[0]} reject
    ip6 daddr {METADATA[1]} reject
  }}
}}
"""
# Before whatever runs as somebody else. Stopped by nothing: a rule that goes with a unit is one that `systemctl stop` opens.
METADATA_UNIT = f"""\
[Unit]
Description=The platform's metadata service is root's alone
DefaultDependencies=no
After=local-fs.target nftables.service
Before=basic.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/dr/metadata.nft
{sandbox([], capabilities=["CAP_NET_ADMIN"])}RestrictAddressFamilies=AF_NETLINK

[Install]
WantedBy=basic.target
"""
# Never by themselves: a host's start again is a matter of its role, and a new PostgreSQL or Redis starts its server.
HELD = ("postgresql", "pgbackrest", "redis", "valkey")
UPDATES = (
    """\
// Written by dr-host host converge; changes made here are lost.
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
#clear Unattended-Upgrade::Origins-Pattern;
Unattended-Upgrade::Origins-Pattern { "origin=Debian,codename=${distro_codename}-security,label=Debian-Security"; };
#clear Unattended-Upgrade::Package-Blacklist;
"""
    + "".join(f'Unattended-Upgrade::Package-Blacklist {{ "^{name}"; }};\n' for name in HELD)
    + """\
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::InstallOnShutdown "false";
Unattended-Upgrade::Remove-Unused-Dependencies "false";
"""
)


@dataclass(frozen=True)
class Facts:
    """`files`: those that differ; `ssh`: the sshd that runs was told of its rules; `metadata`: the rule is in force, and comes with the machine."""

    files: tuple[str, ...] = ()
    ssh: bool = True
    metadata: bool = True


@dataclass(frozen=True)
class Hardening:
    """`wanted`: false leaves everything as it is."""

    wanted: bool
    sshd: Sshd
    layout: Layout
    units: Units = field(repr=False)

    def files(self) -> list[ManagedFile]:
        """In the order in which they are written."""
        return [
            *self.sshd.files(self.layout, penalties=self._penalties),
            ManagedFile(path=self.layout.etc / "metadata.nft", content=NFT),
            ManagedFile(path=self.layout.units / UNIT, content=METADATA_UNIT),
            ManagedFile(path=self.layout.at("/etc/apt/apt.conf.d/90-dr-updates"), content=UPDATES),
        ]

    def facts(self) -> Facts:
        """Cheap where nothing is wanted."""
        if not self.wanted:
            return Facts()
        shown = run(["nft", "list", "table", "inet", TABLE], limit_s=QUICK_S, check=False)
        in_force = shown.code == 0 and all(shown.out.count(address) == 2 for address in METADATA)
        return Facts(tuple(differing(self.files())), self._told(), in_force and self.units.enabled(UNIT))

    def plan(self, facts: Facts) -> Sequence[Step]:
        """Files first."""
        steps = [Step("closed-files", ", ".join(facts.files))] if facts.files else []
        changed = [path.rpartition("/")[2] for path in facts.files]
        if not facts.ssh or RULES.name in changed:
            steps.append(Step("closed-ssh"))
        if not facts.metadata or "metadata.nft" in changed or UNIT in changed:
            steps.append(Step("closed-metadata"))
        return steps

    def apply(self, step: Step) -> None:
        """See `plan`."""
        {"closed-files": self._write, "closed-ssh": self._reload, "closed-metadata": self._close}[step.name]()

    def verify(self, facts: Facts) -> dict[str, Any]:
        """What is closed, by name. Raises Failed."""
        if not self.wanted:
            return {}
        if facts.files or not facts.ssh or not facts.metadata:
            open_yet = [
                *facts.files,
                *([] if facts.ssh else ["ssh"]),
                *([] if facts.metadata else ["metadata service"]),
            ]
            raise Failed(
                say(
                    subject="host",
                    found=f"still open: {', '.join(open_yet)}",
                    wanted="ssh by key alone and the metadata service for root alone",
                    consequence="who has one program of this host may have its ssh key",
                    remedy=f"read `journalctl -u {UNIT} -u ssh`, then run the same again",
                )
            )
        return {"closed": ["metadata", "ssh"]}

    @property
    def _rules(self) -> str:
        return self.sshd.rules(penalties=self._penalties)

    @cached_property
    def _penalties(self) -> bool:
        """Whether this sshd knows the word: an older one would not start with it, and has no penalties either. Where it does not say, it is as it was."""
        said = run(["sshd", "-t", "-o", f"{EXEMPT}=127.0.0.1"], limit_s=QUICK_S, check=False)
        if said.code == 0 or f"Bad configuration option: {EXEMPT}" in said.err:
            return said.code == 0
        try:
            return f"\n{EXEMPT} " in self.layout.at(str(RULES)).read_text()
        except OSError:
            return False

    def _write(self) -> None:
        for file in self.files():
            if file.differs():
                file.write()

    def _reload(self) -> None:
        """Nobody is cut off by it, and nothing that sshd would not start with stays: after a boot nobody could come in to mend it."""
        tried = run(["sshd", "-t"], limit_s=QUICK_S, check=False)
        if tried.code != 0:
            rules = self.layout.at(str(RULES))
            rules.unlink(missing_ok=True)
            raise Failed(
                say(
                    subject="sshd",
                    found=f"it takes its configuration with {rules} no more ({tried.reason})",
                    wanted="one that it starts with",
                    consequence="the file was removed again, and ssh is as open as the image has it",
                    remedy="run `sshd -t` on the host, mend what else lies in /etc/ssh/sshd_config.d, run the same again",
                )
            )
        self.units.reload(SSHD, CHANGE_S)
        write_atomically(self._note, self._digest().encode())

    def _close(self) -> None:
        self.units.daemon_reload()
        self.units.enable(UNIT)
        self.units.restart(UNIT, CHANGE_S)

    @property
    def _note(self) -> Path:
        """Of the running sshd: it goes with the machine's power, and asks for one more reload after that."""
        return self.layout.run / "sshd-told"

    def _digest(self) -> str:
        return hashlib.sha256(self._rules.encode()).hexdigest()

    def _told(self) -> bool:
        try:
            return bool(self._note.read_text() == self._digest())
        except OSError:
            return False
