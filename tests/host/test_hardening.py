"""What a host closes, as steps of `host converge`: nothing where it is closed already, and never a sshd that would not start again."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Failed
from scripts.host.frame.commands import TIMED_OUT, Done
from scripts.host.frame.files import make_folder
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.host import hardening
from scripts.host.host.service import Base, Desired
from scripts.host.host.sshd import revocations
from tests.components import stack
from tests.host.frame.test_frame import HOST, SETUP

RULES = "etc/ssh/sshd_config.d/00-dr.conf"


@dataclass
class Units:
    """A service manager that does what it is told and remembers it."""

    told: list[str] = field(default_factory=list)
    started: set[str] = field(default_factory=set)

    def enabled(self, unit: str) -> bool:
        return unit in self.started

    def enable(self, unit: str) -> None:
        self.started.add(unit)

    def __getattr__(self, verb: str) -> Any:
        return lambda *words: self.told.append(" ".join([verb, *(str(it) for it in words[:1])]))


@dataclass
class Programs:
    """nft shows a table once its unit was started; sshd takes its rules or does not."""

    units: Units
    sshd: int = 0
    penalties: bool = True
    slow: bool = False

    def __call__(self, argv: list[str], **_: Any) -> Done:
        if argv[0] == "nft":
            there = f"restart {hardening.UNIT}" in self.units.told
            return Done(0, hardening.NFT, "") if there else Done(1, "", "No such file or directory")
        if "-o" in argv and self.slow:
            return Done(TIMED_OUT, "", "no end within 15 s")
        if "-o" in argv and not self.penalties:
            return Done(1, "", "command-line: line 0: Bad configuration option: PerSourcePenaltyExemptList")
        return Done(self.sshd, "", "Bad configuration option: Allow" if self.sshd else "")


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> Units:
    units = Units()
    monkeypatch.setattr(hardening, "run", Programs(units))
    return units


def base(root: Path, units: Units, host: str = "db-1", *, hardened: bool = True, **setup: Any) -> Base:
    hosts = {
        f"{name}.{site}": {
            "name": f"{name}.{site}.dr.internal",
            "vrack": f"10.100.0.{octet + offset}",
            "front": f"10.{number}.0.{octet}",
        }
        for name, octet in (("db-1", 11), ("control-1", 31))
        for site, offset, number in (("a", 0, 1), ("b", 100, 2))
    }
    document = {**HOST, "host": host, "hosts": hosts, "setup": {**SETUP, "hardened": hardened, **setup}}
    layout = Layout(root)
    make_folder(layout.run)
    return Base(Desired.read(document), layout, Log(io.StringIO(), "host converge"), units)


def names(base: Base) -> list[str]:
    return [step.name for step in base.plan(base.facts())]


def done(base: Base) -> None:
    for step in base.plan(base.facts()):
        base.apply(step)


def test_an_open_host_is_closed_and_then_left_alone(tmp_path: Path, units: Units) -> None:
    host = base(tmp_path, units)
    assert names(host) == ["files", "closed-files", "closed-ssh", "closed-metadata"]
    done(host)
    assert names(host) == []
    assert host.verify(host.facts())["closed"] == ["metadata", "ssh"]
    assert units.told == ["reload ssh.service", "daemon_reload", f"restart {hardening.UNIT}"]


def test_a_host_that_is_not_asked_for_it_is_left_as_it_is(tmp_path: Path, units: Units) -> None:
    host = base(tmp_path, units, hardened=False)
    done(host)
    assert not (tmp_path / RULES).exists() and units.told == []
    assert "closed" not in host.verify(host.facts())


def test_a_file_that_somebody_has_changed_is_written_and_told_again(tmp_path: Path, units: Units) -> None:
    host = base(tmp_path, units)
    done(host)
    (tmp_path / RULES).write_text("PasswordAuthentication yes\n")
    assert names(host) == ["closed-files", "closed-ssh"]
    done(host)
    assert "PasswordAuthentication no" in (tmp_path / RULES).read_text()


def test_a_sshd_that_was_not_told_yet_is_told(tmp_path: Path, units: Units) -> None:
    """The run was killed between the file and the reload."""
    host = base(tmp_path, units)
    done(host)
    (tmp_path / "run/dr/sshd-told").unlink()
    assert names(host) == ["closed-ssh"]


def test_a_rule_that_is_gone_is_put_back_and_seen_to_be_gone(tmp_path: Path, units: Units) -> None:
    host = base(tmp_path, units)
    done(host)
    units.told.clear()
    with pytest.raises(Failed, match="still open: metadata service"):
        host.verify(host.facts())
    assert names(host) == ["closed-metadata"]


def test_rules_with_which_sshd_would_not_start_do_not_stay(
    tmp_path: Path, units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardening, "run", Programs(units, sshd=255))
    host = base(tmp_path, units)
    with pytest.raises(Failed, match=r"Bad configuration option.*removed again.*sshd -t"):
        done(host)
    assert not (tmp_path / RULES).exists()
    assert "reload ssh.service" not in units.told


def test_a_sshd_that_knows_no_penalties_is_told_of_none(
    tmp_path: Path, units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not start with a word that it does not know."""
    done(base(tmp_path, units))
    assert "PerSourcePenaltyExemptList 10.1.0.31," in (tmp_path / RULES).read_text()
    monkeypatch.setattr(hardening, "run", Programs(units, penalties=False))
    older = base(tmp_path, units)
    assert names(older) == ["closed-files", "closed-ssh"]
    done(older)
    assert "PerSource" not in (tmp_path / RULES).read_text() and names(older) == []


@pytest.mark.parametrize("penalties", [True, False])
def test_a_sshd_that_does_not_say_is_left_as_it_was(
    tmp_path: Path, units: Units, monkeypatch: pytest.MonkeyPatch, *, penalties: bool
) -> None:
    monkeypatch.setattr(hardening, "run", Programs(units, penalties=penalties))
    done(base(tmp_path, units))
    monkeypatch.setattr(hardening, "run", Programs(units, slow=True))
    assert names(base(tmp_path, units)) == []


def test_who_is_shut_out_and_let_in_again_is_so_at_once(tmp_path: Path, units: Units) -> None:
    """sshd reads the list itself at each connection; of the rule that names it, it has to be told."""
    key = stack.public_key(1)
    done(base(tmp_path, units, ssh_authorities=[key]))
    out = base(tmp_path, units, ssh_authorities=[key], ssh_revoked=["id:mallory"])
    assert names(out) == ["closed-files", "closed-ssh"]
    done(out)
    assert "RevokedKeys /etc/ssh/dr-revoked.krl\n" in (tmp_path / RULES).read_text()
    longer = base(tmp_path, units, ssh_authorities=[key], ssh_revoked=["id:mallory", "serial:1"])
    assert names(longer) == ["closed-files"]
    done(longer)
    assert (tmp_path / "etc/ssh/dr-revoked.krl").read_bytes() == revocations(["id:mallory", "serial:1"])
    (tmp_path / "etc/ssh/dr-user-ca.pub").write_text(f"{stack.public_key(2)}\n")
    assert names(longer) == ["closed-files"], "somebody has put in a CA of his own"
    empty = base(tmp_path, units, ssh_authorities=[key])
    assert names(empty) == ["closed-files", "closed-ssh"]
    done(empty)
    assert "RevokedKeys" not in (tmp_path / RULES).read_text()
    assert (tmp_path / "etc/ssh/dr-revoked.krl").exists(), "a sshd that was not told yet would let nobody in without it"


def test_a_bastion_passes_connections_on_to_ssh_of_its_own_hosts_and_others_pass_on_none(
    tmp_path: Path, units: Units
) -> None:
    for host, wanted in (("db-1", "AllowTcpForwarding no\n"), ("control-1", "AllowTcpForwarding local\n")):
        done(base(tmp_path, units, host))
        assert wanted in (tmp_path / RULES).read_text()
    opened = (tmp_path / RULES).read_text().partition("PermitOpen ")[2].split()
    assert set(opened) == {
        f"{it}:22"
        for it in (
            "10.1.0.11",
            "10.1.0.31",
            "10.2.0.11",
            "10.2.0.31",
            "10.100.0.11",
            "10.100.0.31",
            "10.100.0.111",
            "10.100.0.131",
        )
    }


def test_updates_come_by_themselves_but_for_what_starts_a_server_again() -> None:
    for name in ("postgresql", "redis", "pgbackrest"):
        assert f'Unattended-Upgrade::Package-Blacklist {{ "^{name}"; }};' in hardening.UPDATES
    assert 'Automatic-Reboot "false"' in hardening.UPDATES
