"""`drctl ssh`, `logs`, `psql`, `redis`, `run`: what runs where, as whom, and what is refused before anything is asked."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.settings import Settings
from contract.errors import ExitCode
from contract.services.logs import Keys as Logs
from scripts.clients.hosts import LOST, Hosts, Unreachable
from scripts.clients.ssh_certificate import Wanted
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl import cli
from scripts.ctl.commands import arguments
from scripts.ctl.persons import certificates, reach
from scripts.ctl.stacks.stack import Stack
from tests.unit.played_survey import settings

BASTIONS = {"a": "203.0.113.7", "b": "198.51.100.7"}


class World:
    """What is outside: ssh, the witness, and what the trail was told."""

    def __init__(self) -> None:
        self.settings: Settings = settings()
        self.dead: set[str] = set()  # bastions that lead nowhere
        self.lost: set[str] = set()  # hosts to which none leads
        self.ran: list[tuple[str, str, str, bool]] = []
        self.identity: list[str] = []  # of each certificate, as ssh-keygen shows it
        self.noted: list[str] = []
        self.code, self.says = 0, list[str]()  # what a command ends with, and lines that are shown
        self.silent = False  # the witness

    def addresses(self, site: str) -> dict[str, str]:
        if self.silent:
            raise WitnessDown("witness: does not answer")
        return {"bastion": BASTIONS[site]}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    it = World()

    def execute(hosts: Hosts, host: str, via: str, line: str, *_: Any, **__: Any) -> subprocess.CompletedProcess[bytes]:
        if via in it.dead or host in it.lost:
            raise Unreachable(f"host {host} through the bastion of {via}: no ssh session (refused)")
        folder = hosts._folder
        if hosts._certificate:
            shown = ["ssh-keygen", "-L", "-f", str(folder / "certificate")]
            it.identity.append(subprocess.run(shown, capture_output=True, text=True, check=True).stdout)
            assert f"CertificateFile {folder}/certificate" in (folder / "config").read_text()
        return subprocess.CompletedProcess([], 0, b"", b"")

    def attach(_: Hosts, host: str, via: str, line: str, *, terminal: bool) -> int:
        it.ran.append((host, via, line, terminal))
        return it.code

    monkeypatch.setattr(Stack, "settings", lambda _: it.settings)
    monkeypatch.setattr(reach, "Witness", lambda *_, **__: it)

    def note(_: Settings, wanted: Wanted) -> str:
        it.noted.append(wanted.identity)
        return ""

    monkeypatch.setattr(certificates, "note", note)
    monkeypatch.setattr(Hosts, "execute", execute)

    def show(_: Hosts, host: str, via: str, line: str, row: Callable[[str], None]) -> int:
        it.ran.append((host, via, line, False))
        for text in it.says:
            row(text)
        return it.code if via == host[-1] and not host.startswith("control") else 0

    monkeypatch.setattr(Hosts, "attach", attach)
    monkeypatch.setattr(Hosts, "show", show)
    monkeypatch.setattr(arguments, "PROJECT", tmp_path)
    monkeypatch.setenv("DR_WHO", "ann")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SSH_USER_AUTH", raising=False)
    return it


@pytest.fixture
def signed(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The set of secrets has a CA that signs."""
    ca = tmp_path / "ca"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(ca)], check=True)
    monkeypatch.setattr(certificates, "authority", lambda *_: ca.read_text())
    assert world.settings.secrets.ssh_ca is not None
    return world


def test_a_command_runs_on_the_host_that_was_named_by_a_certificate_of_an_hour_in_a_persons_name(signed: World) -> None:
    signed.code = 7
    assert cli.main(["ssh", "db-1.b", "--", "cat", "a file"]) == 7, "the command's own exit code"
    assert signed.ran == [("db-1.b", "b", "cat 'a file'", False)]
    (shown,) = signed.identity
    assert 'Key ID: "ann+' in shown and "dr-operator" in shown
    assert len(signed.noted) == 1 and signed.noted[0].startswith("ann+"), "the audit trail has it"


def test_without_a_ca_the_programs_own_key_opens_and_that_is_said(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(world.settings.secrets, "ssh_ca", None)
    assert cli.main(["ssh", "db-1.a"]) == ExitCode.DONE
    assert world.ran == [("db-1.a", "a", "", False)] and world.identity == []
    assert "the hosts' logs will name the program" in capsys.readouterr().err


def test_where_the_own_bastion_is_dead_the_other_regions_leads_there(signed: World) -> None:
    signed.dead = {"b"}
    assert cli.main(["ssh", "db-1.b", "true"]) == ExitCode.DONE
    assert signed.ran[0][1] == "a"


def test_where_no_way_leads_every_reason_is_told(signed: World, capsys: pytest.CaptureFixture[str]) -> None:
    signed.dead = {"a", "b"}
    assert cli.main(["ssh", "db-1.b", "true"]) == ExitCode.FAILED
    told = capsys.readouterr().err
    assert "through the bastion of a: no ssh session" in told and "through the bastion of b" in told
    assert signed.ran == [] and told.count("\n") == 1


def test_a_silent_witness_leaves_the_addresses_that_it_has_said_last(
    signed: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    signed.silent = True
    assert cli.main(["ssh", "db-1.b", "true"]) == ExitCode.FAILED, "nobody has ever said any"
    signed.silent = False
    assert cli.main(["ssh", "db-1.b", "true"]) == ExitCode.DONE
    signed.silent = True
    assert cli.main(["ssh", "db-1.b", "true"]) == ExitCode.DONE
    assert "reached by the addresses of before" in capsys.readouterr().err
    (kept,) = (tmp_path / "state/drctl").iterdir()
    for planted in ('{"a": "127.0.0.1 -oProxyCommand=id"}', "[]", "{"):
        kept.write_text(planted)
        assert cli.main(["ssh", "db-1.b", "true"]) == ExitCode.FAILED, "what is no address leads nowhere"
    assert len(signed.ran) == 2


def test_logs_are_a_hosts_journal_by_unit_and_age(signed: World) -> None:
    assert cli.main(["logs", "db-1.a", "dr-agent", "postgresql@17-main", "--since", "30m", "-f"]) == ExitCode.DONE
    line = signed.ran[0][2]
    assert line == (
        "journalctl --no-pager --output=short-iso --unit dr-agent --unit postgresql@17-main --since=-30m --follow"
    )


def test_psql_and_redis_are_those_of_the_host_and_show_no_password(signed: World) -> None:
    assert cli.main(["psql", "db-1.a", "--", "-c", "select 1"]) == ExitCode.DONE
    assert signed.ran[0][2] == "runuser -u postgres -- psql -X -d shop -c 'select 1'"
    assert cli.main(["redis", "cache-1.b", "info"]) == ExitCode.DONE
    line = signed.ran[1][2]
    assert line.startswith("python3 -c ") and line.endswith(" info")
    assert signed.settings.secrets.redis.operator not in line


def test_a_command_of_the_release_runs_as_the_shops_user_with_its_environment_and_shows_no_secret(
    signed: World,
) -> None:
    assert cli.main(["run", "app-1.a", "--", "bin/rails", "runner", "puts $HOME; `id`"]) == ExitCode.DONE
    line = signed.ran[0][2]
    words = shlex.split(line)
    assert words[0] == "systemd-run" and words[-3:] == ["bin/rails", "runner", "puts $HOME; `id`"]
    assert {"--property=User=shop", "--property=EnvironmentFile=/etc/shop/env", "--expand-environment=no"} <= {*words}
    assert "--setenv=HOME=/opt/shop/current/tmp" in words, "as its processes have it"
    assert signed.settings.secrets.secret_key_base not in line
    assert "--property=RuntimeMaxSec=43200" in words, "a session that dies leaves nothing at work for good"
    assert cli.main(["run", "--limit", "2d", "app-1.a", "--", "bin/rails", "runner", "x"]) == ExitCode.DONE
    assert "--property=RuntimeMaxSec=172800" in shlex.split(signed.ran[1][2])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "app-1.a"], "wanted one of the release, like -- bin/rails console"),
        (["run", "--limit", "ever", "app-1.a", "--", "id"], "--limit: found 'ever', wanted a number"),
        (["run", "db-1.a", "id"], "is no app host, wanted one, like app-1.a"),
        (["ssh", "db-9.a"], "is none of this shop's, wanted one of control-1.a"),
        (["ssh", "db-1.a;id"], "is none of this shop's"),
        (["psql", "cache-1.a"], "is no db host, wanted one, like db-1.a"),
        (["redis", "db-1.a"], "is no cache host"),
        (["logs", "db-1.a", "a b;reboot"], "wanted the name of one, like dr-agent"),
        (["logs", "db-1.a", "--since", "yesterday"], "wanted a number with s, m, h or d"),
        (["logs", "db-1.a", "--until", "2026-11-30"], "--until: found '2026-11-30', wanted a number"),
        (
            ["logs", "db-1.a", "--since", "2026-02-30T05:10:00Z"],
            "--since: found '2026-02-30T05:10:00Z', wanted a number",
        ),
        (["logs", "db-1.a", "--since", "2026-11-30T25:10Z"], "or a time like"),
        (["logs"], "found neither a host nor a region"),
        (["logs", "db-1.a", "--region", "a"], "or both"),
        (["logs", "--region", "a", "-f"], "--follow with a region"),
    ],
)
def test_what_is_no_host_no_unit_and_no_age_is_refused_before_anything(
    signed: World, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert cli.main(arguments) == ExitCode.USAGE
    assert told in capsys.readouterr().err
    assert signed.ran == [] and signed.noted == []


def copied(world: World) -> None:
    object.__setattr__(world.settings, "logs", Logs())


READS = "env PYTHONPATH=/opt/dr/dr-host.pyz python3 -m host.host.logs.reading"


def test_logs_of_a_host_that_does_not_answer_are_read_from_its_copy_in_the_other_region(
    signed: World, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(signed)
    signed.lost = {"db-1.a"}
    arguments = ["logs", "db-1.a", "dr-agent", "--since", "10m", "--until", "2026-11-30T05:10:00Z"]
    assert cli.main(arguments) == ExitCode.DONE
    (ran,) = signed.ran
    line = f"{READS} --since=-10m '--until=2026-11-30 05:10:00 UTC' --unit=dr-agent db-1.a"
    assert ran == ("control-1.b", "b", line, False)
    told = capsys.readouterr().err
    assert "from the copy on control-1.b" in told and "through the bastion of a: no ssh session" in told
    signed.lost = set()
    assert cli.main(arguments) == ExitCode.DONE
    assert signed.ran[-1][0] == "db-1.a" and "--until=2026-11-30 05:10:00 UTC" in shlex.split(signed.ran[-1][2])
    assert "from db-1.a itself" in capsys.readouterr().err


def test_a_session_that_is_lost_in_the_middle_is_gone_on_with_from_the_copy(
    signed: World, capsys: pytest.CaptureFixture[str]
) -> None:
    signed.code = LOST
    assert cli.main(["logs", "db-1.a"]) == LOST
    copied(signed)
    assert cli.main(["logs", "db-1.a"]) == ExitCode.DONE
    assert [it[0] for it in signed.ran[1:]] == ["db-1.a", "control-1.b"]
    assert "the session was lost" in capsys.readouterr().err


def test_a_unit_that_has_no_line_is_told_with_those_that_have(
    signed: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-- No entries --` is what is said of a unit that is called otherwise, too."""
    names = b"cron.service\npostgresql@17-main.service\n\x1b[2Jx.service\n"
    said = subprocess.CompletedProcess([], 0, names, b"")
    monkeypatch.setattr(Hosts, "execute", lambda *_, **__: said)
    signed.says = ["-- Boot 1 --", "-- No entries --"]
    assert cli.main(["logs", "db-1.a", "postgres"]) == ExitCode.DONE
    told = capsys.readouterr().err
    assert "no line of postgres there; units that have any: postgresql@17-main.service, \\x1b[2Jx.service, cron" in told
    signed.says = ["2026-11-30T05:10:00+0000 db-1 postgres[1]: ready"]
    assert cli.main(["logs", "db-1.a", "postgres"]) == ExitCode.DONE
    assert "no line" not in capsys.readouterr().err


def test_logs_of_a_region_are_read_from_the_other_ones_control_host(signed: World) -> None:
    copied(signed)
    signed.dead = {"a"}
    assert cli.main(["logs", "--region", "a", "--since", "10m", "--unit", "shop-web"]) == ExitCode.DONE
    (ran,) = signed.ran
    assert ran[:2] == ("control-1.b", "b")
    hosts = [key for key in signed.settings.hosts if key.endswith(".a")]
    assert ran[2] == f"{READS} --since=-10m --unit=shop-web {' '.join(hosts)}" and len(hosts) > 3


def test_without_copies_a_silent_host_is_told_as_before_and_a_region_is_refused(
    signed: World, capsys: pytest.CaptureFixture[str]
) -> None:
    signed.lost = {"db-1.a"}
    assert cli.main(["logs", "db-1.a"]) == ExitCode.FAILED
    assert cli.main(["logs", "--region", "a"]) == ExitCode.REFUSED
    assert "dr:logs: found absent or not enabled" in capsys.readouterr().err
    copied(signed)
    assert cli.main(["logs", "db-1.a", "-f"]) == ExitCode.FAILED, "a copy has no end to wait at"
    assert signed.ran == []
