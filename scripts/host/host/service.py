"""The `host` service: what every host has whatever its role. Packages, names of the other hosts, certificates, the witness's address, and what is
closed (`hardening`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from contract import fields
from contract.dataclass import dataclass
from contract.errors import Failed, say
from contract.services.certificate import Certificate
from contract.services.setup import Block

from ..agent import install as agent_install
from ..agent.config import Config
from ..frame import bytecode, plan
from ..frame.call import Call
from ..frame.commands import run
from ..frame.desired import Envelope, read
from ..frame.files import ManagedFile, differing, make_folder, with_block
from ..frame.layout import Layout
from ..frame.log import Log
from ..frame.plan import Step
from ..frame.result import Result
from ..frame.systemd import Systemd, Units
from . import authlog as keeping
from . import hardening, packages
from .certificate import install as certificate_install
from .sshd import Sshd

# What messages and documents call it, for whoever has come by ssh.
CALL = "/usr/local/sbin/dr-host"
COMMAND = """\
#!/bin/sh
# Written by dr-host host converge; changes made here are lost.
exec python3 /opt/dr/dr-host.pyz "$@"
"""
BLOCK = "dr hosts"
INSTALL_S = 900.0
WITNESS = "witness.json"
# A package's own start of a service would come before its role, and PostgreSQL's would make a cluster of its own.
_CREATE_CLUSTER = "create_main_cluster = false\nstart_conf = 'manual'\n"


@dataclass(frozen=True)
class Desired:
    """`witness`: the text of the file; None on a host that asks nothing there, and has no key to it."""

    envelope: Envelope
    packages: tuple[str, ...]
    witness: str | None = field(repr=False)
    sshd: Sshd
    agent: Config | None = None
    hardened: bool = False
    signed_in: bool = False
    certificate: Certificate | None = None

    @classmethod
    def read(cls, document: dict[str, Any]) -> Desired:
        """Raises Usage that names every fault."""
        envelope, block = read(document, "setup", Block, with_epoch=False)
        witness = None if block.witness is None else json.dumps(fields.write(block.witness), sort_keys=True) + "\n"
        agent = agent_install.wanted(envelope, block.lease)
        sshd = Sshd.of(envelope, block)
        return cls(envelope, block.packages, witness, sshd, agent, block.hardened, block.signed_in, block.certificate)


@dataclass(frozen=True)
class Facts:
    """`missing`: packages; `files`: those that differ; `source_only`: this software has no bytecode of this Python yet."""

    missing: tuple[str, ...]
    files: tuple[str, ...]
    installed: tuple[str, ...] = ()
    agent: agent_install.Facts = field(default_factory=agent_install.Facts)
    source_only: bool = False
    not_ours: tuple[str, ...] = ()  # files with a key that this host has no need of any more
    closed: hardening.Facts = field(default_factory=hardening.Facts)
    authlog: keeping.Facts = field(default_factory=keeping.Facts)
    certificate: certificate_install.Facts = field(default_factory=certificate_install.Facts)


class Base:
    """`plan.Service` of every host."""

    def __init__(self, desired: Desired, layout: Layout, log: Log, units: Units | None = None) -> None:
        self.desired, self.layout, self.log = desired, layout, log
        self.agent = agent_install.Installation(desired.agent, layout, units or Systemd())
        self.closed = hardening.Hardening(desired.hardened, desired.sshd, layout, units or Systemd())
        it = desired.envelope
        self.authlog = keeping.Installation(desired.signed_in, it.site, it.host, layout, units or Systemd())
        self.certificate = certificate_install.Installation(it, desired.certificate, layout, units or Systemd())

    def facts(self) -> Facts:
        installed = installed_packages(self.layout)
        missing = tuple(name for name in self.desired.packages if name not in installed)
        present = tuple(name for name in self.desired.packages if name in installed)
        source_only = bytecode.wanted(self.layout.tool)
        files = tuple(differing(self.files()))
        not_ours, closed = tuple(map(str, self._not_ours())), self.closed.facts()
        authlog, certificate = self.authlog.facts(), self.certificate.facts()
        agent = self.agent.facts()
        return Facts(missing, files, present, agent, source_only, not_ours, closed, authlog, certificate)

    def plan(self, facts: Facts) -> Sequence[Step]:
        # Files first: a package that is installed next finds its configuration.
        steps = [Step("files", ", ".join(facts.files))] if facts.files else []
        if not self.authlog.wanted:  # before the key that it starts with
            steps += self.authlog.plan(facts.authlog)
        if self.desired.certificate is None:
            steps += self.certificate.plan(facts.certificate)
        if facts.not_ours:
            steps.append(Step("forget", ", ".join(facts.not_ours)))
        if facts.missing:
            steps.append(Step("install", ", ".join(facts.missing)))
        if facts.source_only:
            steps.append(Step("compile", str(self.layout.tool)))
        # After the packages, of which one is what the rules are written for.
        steps += self.closed.plan(facts.closed)
        steps += self.agent.plan(facts.agent, renewed=bool(facts.files) or facts.source_only)
        steps += self.authlog.plan(facts.authlog) if self.authlog.wanted else ()
        return [*steps, *(self.certificate.plan(facts.certificate) if self.desired.certificate else ())]

    def apply(self, step: Step) -> None:
        if step.name.startswith("agent-"):
            self.agent.apply(step)
        elif step.name.startswith("authlog-"):
            self.authlog.apply(step)
        elif step.name.startswith("certificate-"):
            self.certificate.apply(step)
        elif step.name.startswith("closed-"):
            self.closed.apply(step)
        elif step.name == "compile":
            try:
                bytecode.add(self.layout.tool)
            except OSError as error:  # it costs time and nothing else
                self.log.warning(f"host: no bytecode beside {step.detail} ({error}); each call compiles it anew")
        elif step.name == "files":
            make_folder(self.layout.var, 0o700)
            for file in self.files():
                if file.differs():
                    file.write()
        elif step.name == "forget":
            for path in self._not_ours():
                path.unlink()
        else:
            install(step.detail.split(", "))

    def verify(self, facts: Facts) -> dict[str, Any]:
        left = facts.missing + facts.files + facts.not_ours
        if left:
            raise Failed(
                f"host: found {', '.join(left)} still not as wanted; the host is not ready; run the same again"
            )
        agent = self.agent.verify(facts.agent)
        return {
            **agent,
            **self.closed.verify(facts.closed),
            **self.authlog.verify(facts.authlog),
            **self.certificate.verify(facts.certificate),
            "packages": sorted(facts.installed),
            "name": self.desired.envelope.at(self.desired.envelope.own_key).name,
        }

    def files(self) -> list[ManagedFile]:
        """In the order in which they are written."""
        tls, etc = self.desired.envelope.tls, self.layout.etc
        files = [
            ManagedFile(path=etc / "ca.pem", content=tls.ca),
            ManagedFile(path=etc / "host.crt", content=tls.cert),
            ManagedFile(path=etc / "host.key", content=tls.key, mode=0o600),
            ManagedFile(path=self.layout.at(CALL), content=COMMAND, mode=0o755),
            self._hosts(),
        ]
        if self.desired.witness is not None:
            files.insert(-1, ManagedFile(path=etc / WITNESS, content=self.desired.witness, mode=0o600))
        if any(name.startswith("postgresql-") for name in self.desired.packages):
            files.append(
                ManagedFile(path=self.layout.at("/etc/postgresql-common/createcluster.conf"), content=_CREATE_CLUSTER)
            )
        return files

    def _not_ours(self) -> list[Path]:
        path = self.layout.etc / WITNESS
        return [path] if self.desired.witness is None and os.path.lexists(path) else []

    def _hosts(self) -> ManagedFile:
        path = self.layout.at("/etc/hosts")
        try:
            text = path.read_text()
        except FileNotFoundError:
            text = "127.0.0.1 localhost\n"
        lines = [f"{host.vrack} {host.name}" for _, host in sorted(self.desired.envelope.hosts.items())]
        return ManagedFile(path=path, content=with_block(text, BLOCK, lines))


def installed_packages(layout: Layout) -> set[str]:
    """Names. Empty where dpkg has no status file."""
    return set(packages.versions(layout) or ())


def install(names: Sequence[str]) -> None:
    """By apt, without questions; the packages' own configuration files keep what is there. Raises Failed."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    lock = ["-o", "DPkg::Lock::Timeout=300"]
    keep = ["-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Options::=--force-confdef"]
    run(
        ["apt-get", "-qq", *lock, "update"], limit_s=INSTALL_S, environment=quiet, check=False
    )  # a mirror may be down, the cache may do
    done = run(
        ["apt-get", "-qq", "-y", *lock, *keep, "--no-install-recommends", "install", *names],
        limit_s=INSTALL_S,
        environment=quiet,
        check=False,
    )
    if done.code != 0:
        raise Failed(
            say(
                subject="packages",
                found=f"{', '.join(names)} not installed ({done.reason})",
                wanted="all of them",
                consequence="the host cannot take its role",
                remedy="see whether it reaches a Debian mirror, or use an image that has them; run the same again",
            )
        )


def converge(call: Call) -> Result:
    """Under a second when nothing differs."""
    return plan.converge(Base(Desired.read(call.document), call.layout, call.log), call)
