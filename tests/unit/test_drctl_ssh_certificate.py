"""`drctl ssh-certificate`: one person, some hours, that person's own key, and nothing of the CA left anywhere."""

from __future__ import annotations

import datetime
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.audit import Entry
from contract.errors import ExitCode
from scripts.clients import ssh_certificate as signing
from scripts.clients import trail
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl import cli
from scripts.ctl.commands import arguments, ssh_certificate
from scripts.ctl.persons.key_file import KeyFile
from scripts.ctl.stacks.secrets import generate
from scripts.ctl.stacks.stack import Stack
from tests.components import stack

BASTION = "203.0.113.7"
MADE = generate({host: [f"{host}.dr.internal"] for host in stack.HOSTS}, "www.shop.example", {})["ssh"]


class World:
    """What is outside: the stack's secrets, the witness, and what the trail was told."""

    def __init__(self) -> None:
        self.secrets = {**stack.secrets(), "ssh": dict(MADE)}
        self.bastion: str | None = BASTION
        self.silent = False
        self.entries: list[Entry] = []

    def addresses(self, site: str) -> dict[str, str]:
        if self.silent:
            raise WitnessDown("witness: does not answer")
        return {"bastion": self.bastion} if self.bastion else {}

    def append(self, _: Any, entry: Entry) -> Entry:
        if self.silent:
            raise WitnessDown("witness: does not answer")
        self.entries.append(entry)
        return entry


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    it = World()
    monkeypatch.setattr(ssh_certificate, "Witness", lambda *_, **__: it)
    monkeypatch.setattr(trail, "append", it.append)
    monkeypatch.setattr(Stack, "_json", lambda *_: it.secrets)
    monkeypatch.setattr(arguments, "PROJECT", tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    for name in ("DR_WHO", "SSH_USER_AUTH"):
        monkeypatch.delenv(name, raising=False)
    configure(tmp_path)
    return it


def configure(folder: Path, **more: Any) -> None:
    for site in "ab":
        values = stack.configuration(site, **more)
        values.pop("secrets")
        text = yaml.safe_dump({"config": {f"dr:{key}": value for key, value in values.items()}})
        (folder / f"Pulumi.region-{site}.yaml").write_text(text)
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "dr"}))


@pytest.fixture(params=["ed25519"])
def key(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A person's public key."""
    folder = tmp_path / "home"
    folder.mkdir()
    private = folder / f"id_{request.param}"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", request.param, "-N", "", "-C", "alice's, #1", "-f", str(private)], check=True
    )
    return private.with_suffix(".pub")


def call(key: Path, *words: str) -> int:
    return cli.main(["ssh-certificate", "--key", str(key), *words])


def certificate(key: Path) -> Path:
    return key.with_name(f"{key.stem}-cert.pub")


def read(key: Path) -> str:
    """As ssh-keygen shows it, in UTC."""
    done = subprocess.run(
        ["ssh-keygen", "-L", "-f", str(certificate(key))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "UTC"},
    )
    return done.stdout


def of(text: str, what: str) -> list[str]:
    """The lines below a title of it."""
    found = re.search(rf"^ +{what}: *\n((?: {{16,}}\S.*\n)*)", text, re.MULTILINE)
    assert found, text
    return found[1].split()


@pytest.mark.parametrize("key", ["ed25519", "ecdsa", "rsa"], indirect=True)
def test_a_person_is_given_root_for_some_hours_and_nothing_beside_it(
    world: World, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0, tzinfo=None)
    assert call(key, "--person", "alice", "--hours", "3") == ExitCode.DONE
    text = read(key)
    assert "user certificate" in text
    assert of(text, "Principals") == ["dr-operator"]
    assert set(of(text, "Extensions")) == {"permit-pty", "permit-port-forwarding"}
    assert "Critical Options: (none)" in text
    identity = re.search(r'Key ID: "(alice\+\d{8}T\d{6}Z)"', text)
    serial = re.search(r"Serial: (\d+)", text)
    assert identity and serial and int(serial[1]) > 0
    begins, ends = (
        datetime.datetime.fromisoformat(it) for it in re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text)[:2]
    )
    assert ends - begins == datetime.timedelta(hours=3, minutes=5)
    assert before <= begins + signing.LAG <= before + datetime.timedelta(minutes=2)
    out = capsys.readouterr().out
    assert f"{identity[1]}, serial {serial[1]}, until {ends:%Y-%m-%dT%H:%M:%SZ}: {certificate(key)}" in out
    assert f"ssh -J root@{BASTION} root@10.100.0.11    # db-1.a" in out
    assert f"{BASTION} {MADE['hosts']['control-1.a']['public'].rpartition(' ')[0]}\n" in out
    assert "PRIVATE" not in out


def test_a_configuration_is_read_as_the_program_reads_it(
    world: World, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pulumi config set dr:loss_budget '{...}'` stores a text, and with `--secret --path` a part of a key is encrypted."""
    file = tmp_path / "Pulumi.region-a.yaml"
    document = yaml.safe_load(file.read_text())
    project = document["config"]["dr:openstack"]
    user, project["user"] = project["user"], {"secure": "v1:abc"}
    document["config"] |= {"dr:loss_budget": '{"max_lag_s": 5}', "dr:why": {"secure": "v1:def"}, "dr:lab": "true"}
    file.write_text(yaml.safe_dump(document))
    told = {
        "dr:openstack": {"value": "...", "objectValue": {**project, "user": user}, "secret": True},
        "dr:why": {"value": "ticket 12", "secret": True},
    }
    monkeypatch.setattr(Stack, "_json", lambda _, *words: told.get(words[2], world.secrets))
    settings = Stack(name="region-a", folder=tmp_path).settings()
    assert settings.loss_budget.max_lag_s == 5 and settings.why == "ticket 12"
    assert settings.openstack.user == user


def test_it_is_signed_by_the_ca_that_hosts_are_told_of(world: World, key: Path, tmp_path: Path) -> None:
    assert call(key) == ExitCode.DONE
    (tmp_path / "ca.pub").write_text(MADE["ca"]["public"])
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(tmp_path / "ca.pub")], capture_output=True, text=True, check=True
    )
    assert f"Signing CA: ED25519 {done.stdout.split()[1]}" in read(key)


def test_each_is_in_the_trail_with_all_that_shuts_it_out(world: World, key: Path) -> None:
    assert call(key, "--person", "alice", "--site", "b") == ExitCode.DONE
    (entry,) = world.entries
    assert (entry.what, entry.site) == ("certificate", "b")
    shown = read(key)
    assert f'"{entry.facts["id"]}"' in shown and f"Serial: {entry.facts['serial']}\n" in shown
    assert entry.facts["key"] == " ".join(key.read_text().split()[:2])
    fingerprint = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], capture_output=True, text=True, check=True)
    for word in (f"id:{entry.facts['id']}", f"serial:{entry.facts['serial']}", fingerprint.stdout.split()[1]):
        assert word in entry.said


def test_a_witness_that_is_silent_holds_nobody_up_and_is_told(
    world: World, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.silent = True
    assert call(key, "--person", "alice") == ExitCode.DONE
    out = capsys.readouterr().out
    assert "entry 'certificate' of site a could not be written" in out and "pulumi stack output" in out
    assert certificate(key).exists() and "ssh -J root@BASTION root@10.100.0.11" in out


def test_the_certificate_is_its_owners_alone_and_an_older_one_is_replaced(world: World, key: Path) -> None:
    certificate(key).write_text("old")
    certificate(key).chmod(0o644)
    assert call(key) == ExitCode.DONE
    assert certificate(key).stat().st_mode & 0o777 == 0o600
    assert certificate(key).stat().st_uid == key.stat().st_uid
    assert sorted(it.name for it in key.parent.iterdir()) == ["id_ed25519", "id_ed25519-cert.pub", "id_ed25519.pub"]


def test_what_root_makes_for_somebody_is_that_persons(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, ...]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _, *ids: given.append(ids))
    folder = os.open(key.parent, os.O_RDONLY)
    try:
        KeyFile(key, "ssh-ed25519 x", folder, (65534, 65533)).write("certificate")
    finally:
        os.close(folder)
    assert given == [(65534, 65533)] and certificate(key).read_text() == "certificate\n"


def test_nothing_of_the_ca_is_on_disk_or_in_an_argument_while_it_signs(
    world: World, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, seen = subprocess.run, []
    secret = MADE["ca"]["private"].splitlines()[1]

    def ran(command: list[str], **more: Any) -> subprocess.CompletedProcess[Any]:
        if "-s" in command:
            texts = [it.read_bytes() for it in (tmp_path / "t").rglob("*") if it.is_file()]
            seen.append(texts)
            assert not any(secret.encode() in text for text in texts), "the kernel's memory holds it"
            assert secret not in " ".join(command) and secret not in " ".join(more["env"].values())
            assert "SSH_AUTH_SOCK" not in more["env"]
        return really(command, **more)

    monkeypatch.setattr(subprocess, "run", ran)
    assert call(key) == ExitCode.DONE
    assert len(seen) == 1 and list((tmp_path / "t").iterdir()) == []


def test_where_there_is_no_such_memory_the_key_is_gone_behind_it(
    world: World, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert call(key) == ExitCode.DONE and "user certificate" in read(key)
    assert list((tmp_path / "t").iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [({"DR_WHO": "alice"}, "alice"), ({"DR_WHO": "alice+20261129T090000Z"}, "alice"), ({}, None)],
)
def test_who_it_is_for_is_who_the_trail_says(
    world: World, key: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wanted: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert call(key) == ExitCode.DONE
    assert f'Key ID: "{wanted or trail.person({})}+2' in read(key)


def test_who_came_by_such_a_certificate_is_known_by_its_name(
    world: World, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As sshd of the operators' machine tells it (`ExposeAuthInfo yes`): the name goes on, the time of the first one does not."""
    assert call(key, "--person", "alice") == ExitCode.DONE
    first = re.search(r'Key ID: "(.*)"', read(key))
    (tmp_path / "auth").write_text(f"publickey {' '.join(certificate(key).read_text().split()[:2])}\n")
    monkeypatch.setenv("SSH_USER_AUTH", str(tmp_path / "auth"))
    assert first and trail.who(os.environ).startswith(first[1])
    assert call(key) == ExitCode.DONE
    assert re.search(r'Key ID: "alice\+\d{8}T\d{6}Z"', read(key))
    assert [entry.facts["id"].partition("+")[0] for entry in world.entries] == ["alice", "alice"]


@pytest.mark.parametrize(
    "person",
    ["alice smith", "alice\n", "a,b", "a#b", "-alice", "alice+x", "x" * 65, "al\x1b[2Jice", "\u202ealice", "a:b"],
)
def test_a_name_that_a_log_or_a_list_reads_in_two_ways_is_refused(
    world: World, key: Path, capsys: pytest.CaptureFixture[str], person: str
) -> None:
    assert call(key, f"--person={person}") == ExitCode.USAGE
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "--person" in err and "\x1b" not in err and "\u202e" not in err
    assert not certificate(key).exists() and not world.entries


@pytest.mark.parametrize("hours", ["0", "-1", "25", "8760"])
def test_hours_beyond_a_day_are_refused(
    world: World, key: Path, capsys: pytest.CaptureFixture[str], hours: str
) -> None:
    assert call(key, "--hours", hours) == ExitCode.USAGE
    assert "wanted 1 to 24" in capsys.readouterr().err
    assert not certificate(key).exists() and not world.entries


def refused(world: World, key: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """One sentence, with nothing made."""
    code = call(key, "--person", "alice")
    said = capsys.readouterr()
    assert code in (ExitCode.USAGE, ExitCode.REFUSED) and said.err.count("\n") == 1 and not said.out
    assert "nothing was made" in said.err and not world.entries
    assert not certificate(key).is_file()
    return said.err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{key}\n{key}\n",
        "cert-authority {key}\n",
        'command="x" {key}\n',
        "# {key}\n",
        "{key}\x00\n",
        "ssh-ed25519 AAAA alice\n",
        "\xff\xfe",
    ],
)
def test_a_file_with_more_or_less_than_a_key_is_refused(
    world: World, key: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    key.write_text(text.format(key=" ".join(key.read_text().split()[:2])), encoding="latin-1")
    assert "wanted a public key in one line" in refused(world, key, capsys)


def test_a_home_that_nobody_has_is_one_sentence(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert "found no such home" in refused(world, Path("~no-such-user/id_ed25519.pub"), capsys)


def test_a_pipe_in_a_keys_place_is_refused_and_not_waited_for(
    world: World, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = key.with_name("pipe.pub")
    os.mkfifo(pipe)
    ends = [os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)]
    ends.append(os.open(pipe, os.O_WRONLY))  # somebody who holds it and says nothing
    try:
        assert call(pipe) == ExitCode.USAGE
    finally:
        for end in ends:
            os.close(end)
    assert "found 0 bytes that are none" in capsys.readouterr().err


def test_a_private_key_is_refused_unread(world: World, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"name {key}" in refused(world, key.with_suffix(""), capsys)
    key.write_text(key.with_suffix("").read_text())
    said = refused(world, key, capsys)
    assert "found a private key" in said and key.read_text().splitlines()[1] not in said


def test_no_link_is_followed_neither_to_the_key_nor_to_the_certificate(
    world: World, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    target.write_text("somebody else's")
    certificate(key).symlink_to(target)
    assert "is a link" in refused_beside(world, key, capsys)
    certificate(key).unlink()
    certificate(key).mkdir()
    assert "is a link or no file" in refused_beside(world, key, capsys)
    certificate(key).rmdir()
    there = key.rename(tmp_path / "elsewhere.pub")
    key.symlink_to(there)
    assert "it is a link" in refused(world, key, capsys)
    key.unlink()
    os.mkfifo(key)
    assert "found 0 bytes" in refused(world, key, capsys)
    assert target.read_text() == "somebody else's"


def refused_beside(world: World, key: Path, capsys: pytest.CaptureFixture[str]) -> str:
    code = call(key, "--person", "alice")
    said = capsys.readouterr().err
    assert code == ExitCode.USAGE and not world.entries and said.count("\n") == 1
    return said


def test_a_link_that_comes_between_looking_and_writing_leads_nowhere(
    world: World, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is somebody else's: it is exchanged while the CA signs."""
    really = signing.sign
    away = tmp_path / "etc"
    away.mkdir()

    def signed(*words: Any) -> str:
        key.parent.rename(tmp_path / "moved")
        key.parent.symlink_to(away)
        return really(*words)

    monkeypatch.setattr(ssh_certificate, "sign", signed)
    assert call(key) == ExitCode.DONE
    assert list(away.iterdir()) == []
    assert (tmp_path / "moved" / certificate(key).name).exists()


def test_a_set_without_a_ca_is_told_how_to_get_one(world: World, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del world.secrets["ssh"]["ca"]
    assert "docs/failover.md" in refused(world, key, capsys)


@pytest.mark.parametrize("whose", ["operator", "ca"])
def test_the_programs_own_key_gets_no_persons_name(
    world: World, key: Path, capsys: pytest.CaptureFixture[str], whose: str
) -> None:
    key.write_text(MADE[whose]["public"] + "\n")
    assert "wanted a person's own" in refused(world, key, capsys)


def test_a_key_that_was_shut_out_gets_none(
    world: World, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(tmp_path, ssh={"revoked": [f"{key.read_text().strip()}"]})
    assert "dr:ssh.revoked" in refused(world, key, capsys)


def test_what_ssh_keygen_cannot_do_is_one_sentence(
    world: World, key: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert call(key) == ExitCode.FAILED
    said = capsys.readouterr()
    assert "ssh-keygen: made no certificate" in said.err and said.err.count("\n") == 1
    assert not certificate(key).exists() and not world.entries


@pytest.mark.parametrize(("place", "added"), [(".ssh", False), (".", True), ("my keys", True)])
def test_a_key_that_ssh_does_not_try_by_itself_is_named(
    world: World,
    key: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
    added: bool,
) -> None:
    """It tries keys of some names, in one folder."""
    monkeypatch.setenv("HOME", str(key.parent))
    there = key.parent / place / key.name
    there.parent.mkdir(exist_ok=True)
    key.rename(there)
    assert call(there) == ExitCode.DONE
    line = f"ssh-add {shlex.quote(str(there.with_suffix('')))}\n"
    assert (line in capsys.readouterr().out) == added
    named = there.rename(there.with_name("alice.pub"))
    assert call(named) == ExitCode.DONE
    assert f"ssh-add {shlex.quote(str(named.with_suffix('')))}\n" in capsys.readouterr().out
