"""What sshd of a host is told: its rules, its CAs and the list of who is shut out, as OpenSSH reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Usage
from contract.hosts import KINDS
from contract.services.setup import Block
from scripts.host.frame.desired import read
from scripts.host.frame.layout import Layout
from scripts.host.host.sshd import AUTHORITIES, EXEMPT, OPERATORS, PRINCIPALS, REVOKED, RULES, Sshd, revocations
from tests.components import stack
from tests.host.frame.test_frame import DOCUMENT, SETUP

ADDRESSES = ["10.1.0.31", "10.100.0.131", "10.100.0.31", "10.2.0.31"]  # of both bastions


def sshd(host: str = "db-1", **block: Any) -> Sshd:
    hosts = {
        f"{kind}-1.{site}": {
            "name": f"{kind}-1.{site}.dr.internal",
            "vrack": f"10.100.0.{octet + offset}",
            "front": f"10.{number}.0.{octet}",
        }
        for kind, octet in (("db", 11), ("cache", 21), ("control", 31), ("app", 41))
        for site, offset, number in (("a", 0, 1), ("b", 100, 2))
    }
    document = {**DOCUMENT, "host": host, "hosts": hosts, "setup": {**SETUP, **block}}
    return Sshd.of(*read(document, "setup", Block, with_epoch=False))


def told(it: Sshd, *, penalties: bool = True) -> dict[str, list[str]]:
    """What each word of the rules says."""
    found: dict[str, list[str]] = {}
    for line in it.rules(penalties=penalties).splitlines():
        if not line.startswith("#"):
            found.setdefault(line.split()[0], []).append(line.partition(" ")[2])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_no_word_is_said_twice_for_the_first_one_counts(kind: str) -> None:
    found = told(sshd(f"{kind}-1", ssh_authorities=[stack.public_key(1)], ssh_revoked=["serial:1"]))
    assert {name: said for name, said in found.items() if len(said) > 1} == {}
    assert found["AllowUsers"] == ["root"] and found["AuthenticationMethods"] == ["publickey"]


@pytest.mark.parametrize("kind", KINDS)
def test_root_is_opened_by_certificates_of_one_principal_alone(tmp_path: Path, kind: str) -> None:
    it = sshd(f"{kind}-1", ssh_authorities=[stack.public_key(1), stack.public_key(2)])
    assert told(it)["TrustedUserCAKeys"] == [str(AUTHORITIES)]
    assert told(it)["AuthorizedPrincipalsFile"] == [f"{PRINCIPALS}/%u"]
    assert told(it)["AuthorizedPrincipalsCommand"] == ["none"]
    files = {str(file.path.relative_to(tmp_path)): file.content for file in it.files(Layout(tmp_path), penalties=True)}
    assert files[str(AUTHORITIES)[1:]] == f"{stack.public_key(1)}\n{stack.public_key(2)}\n"
    rights = "restrict,pty,port-forwarding" if kind == "control" else "restrict,pty"
    assert files[f"{str(PRINCIPALS)[1:]}/root"] == f"{rights} dr-operator\n"
    assert [path for path in files if path.startswith(str(PRINCIPALS)[1:])] == [f"{str(PRINCIPALS)[1:]}/root"]


def test_a_host_that_was_told_of_no_ca_trusts_none(tmp_path: Path) -> None:
    assert told(sshd())["TrustedUserCAKeys"] == ["none"] and "RevokedKeys" not in told(sshd())
    assert [file.path.name for file in sshd().files(Layout(tmp_path), penalties=True)] == [RULES.name]


@pytest.mark.parametrize("kind", KINDS)
def test_root_is_opened_by_the_programs_keys_beside_that_of_the_first_boot(tmp_path: Path, kind: str) -> None:
    it = sshd(f"{kind}-1", ssh_operators=[stack.public_key(1), stack.public_key(2)], ssh_revoked=[stack.public_key(3)])
    assert told(it)["AuthorizedKeysFile"] == [f".ssh/authorized_keys {OPERATORS}"]
    files = {file.path.name: file.content for file in it.files(Layout(tmp_path), penalties=True)}
    assert list(files) == [OPERATORS.name, REVOKED.name, RULES.name], "the rules last, for they name the others"
    assert files[OPERATORS.name] == f"{stack.public_key(1)}\n{stack.public_key(2)}\n"


def test_the_list_lies_there_before_a_rule_names_it(tmp_path: Path) -> None:
    """Without it sshd would let nobody in."""
    names = [file.path.name for file in sshd(ssh_revoked=["serial:1"]).files(Layout(tmp_path), penalties=True)]
    assert names == [REVOKED.name, RULES.name]


@pytest.mark.parametrize("kind", KINDS)
def test_bastions_are_not_made_to_wait_where_sshd_knows_of_waiting(kind: str) -> None:
    assert told(sshd(f"{kind}-1"))[EXEMPT] == [",".join(ADDRESSES)]
    assert EXEMPT not in told(sshd(f"{kind}-1"), penalties=False)


@pytest.mark.parametrize("key", ["ssh_authorities", "ssh_operators", "ssh_revoked"])
@pytest.mark.parametrize("value", ["none\nPermitRootLogin yes", f"cert-authority {stack.public_key(1)}", "", 7])
def test_a_document_with_anything_but_keys_is_refused(key: str, value: object) -> None:
    with pytest.raises(Usage, match=f"setup.{key}"):
        sshd("db-1", **{key: [value]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca` and `other` sign; certificates of `person`, and the key `gone`."""
    found = tmp_path_factory.mktemp("keys")

    def keygen(*words: str) -> None:
        subprocess.run(["ssh-keygen", "-q", *words], cwd=found, check=True)

    for name in ("ca", "other", "person", "gone"):
        keygen("-t", "ed25519", "-N", "", "-f", name)
    for name, ca, identity, serial, key in (
        ("good", "ca", "alice", "1", "person"),
        ("number", "ca", "alice", "4711", "person"),
        ("id", "ca", "mallory", "2", "person"),
        ("id-of-other", "other", "mallory", "3", "person"),
        ("of-gone", "other", "alice", "4", "gone"),
    ):
        (found / f"{name}.pub").write_bytes((found / f"{key}.pub").read_bytes())
        keygen("-s", ca, "-I", identity, "-z", serial, "-n", "dr-operator", f"{name}.pub")
    return found


def revoked(folder: Path, listed: list[str], name: str) -> bool:
    """As ssh-keygen reads the list."""
    (folder / "krl").write_bytes(revocations(listed))
    done = subprocess.run(
        ["ssh-keygen", "-Q", "-f", "krl", f"{name}.pub"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert name in done.stdout, f"the list was not read: {done.stderr}"
    return done.returncode != 0


def key(folder: Path, name: str) -> str:
    return (folder / f"{name}.pub").read_text().rpartition(" ")[0]


@pytest.mark.parametrize(
    ("listed", "shut_out"),
    [
        (["serial:4711"], {"number-cert"}),
        (["serial:5", "serial:4711", "serial:5"], {"number-cert"}),
        (["id:mallory"], {"id-cert", "id-of-other-cert"}),
        (["id:mall", "id:mallory2", "id:Mallory"], set()),
        (["gone"], {"gone", "of-gone-cert"}),
        (["gone", "id:mallory", "serial:4711"], {"gone", "of-gone-cert", "number-cert", "id-cert", "id-of-other-cert"}),
    ],
)
def test_openssh_reads_the_list_as_it_is_meant(folder: Path, listed: list[str], shut_out: set[str]) -> None:
    lines = [it if ":" in it else key(folder, it) for it in listed]
    names = ("person", "gone", "good-cert", "number-cert", "id-cert", "id-of-other-cert", "of-gone-cert")
    assert {name for name in names if revoked(folder, lines, name)} == shut_out


def test_the_same_list_is_the_same_file_in_whatever_order(folder: Path, tmp_path: Path) -> None:
    """So that one which somebody has changed shows."""
    lines = ["id:b", "serial:9", key(folder, "gone"), "id:a", "serial:1"]
    assert revocations(lines) == revocations([*reversed(lines), "id:a"])
    file = next(sshd(ssh_revoked=lines).files(Layout(tmp_path), penalties=True))
    file.write()
    assert not file.differs() and file.path.read_bytes() == revocations(lines)
    file.path.write_bytes(revocations(lines[:-1]))
    assert file.differs()
