"""Keys of ssh as people write them: what becomes a line of a host's file is a key and nothing beside it."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from components import config
from contract.checks import Check, Unwanted
from contract.errors import ConfigError
from contract.ssh_keys import PERSON, PUBLIC, REVOKED
from tests.components import stack

KEY = stack.public_key(9)
BODY = KEY.split()[1]


def blob(*texts: bytes) -> str:
    return base64.b64encode(b"".join(len(it).to_bytes(4, "big") + it for it in texts)).decode()


@pytest.mark.parametrize("kind", [("ed25519",), ("ecdsa", "-b", "256"), ("ecdsa", "-b", "521"), ("rsa", "-b", "2048")])
def test_what_ssh_keygen_makes_is_taken_without_its_comment(tmp_path: Path, kind: Sequence[str]) -> None:
    key = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-N", "", "-C", "alice's laptop, #2 \u00e9", "-t", *kind, "-f", str(key)], check=True
    )
    text = key.with_suffix(".pub").read_text().rstrip("\n")
    assert PUBLIC(text) == " ".join(text.split()[:2]) == REVOKED(text)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("sk-ssh-ed25519@openssh.com", (b"k" * 32, b"ssh:")),
        ("sk-ecdsa-sha2-nistp256@openssh.com", (b"nistp256", b"k" * 65, b"ssh:")),
    ],
)
def test_keys_in_a_token_are_taken(kind: str, texts: tuple[bytes, ...]) -> None:
    assert PUBLIC(f"{kind} {blob(kind.encode(), *texts)} yubikey").startswith(kind)


NO_KEYS = [
    f"{KEY}\n",
    f"{KEY}\n{KEY}",
    f"{KEY}\ncert-authority {KEY}",
    f"{KEY} alice\r",
    f"{KEY} alice\u2028{KEY}",
    f" {KEY}",
    f"cert-authority {KEY}",
    f'command="sh" {KEY}',
    f"# {KEY}",
    f"@revoked {KEY}",
    f"{KEY},{KEY}",
    KEY.replace(" ", "\t"),
    f"ssh-ed25519 {BODY[:-8]}",
    f"ssh-ed25519 {BODY}AAAA",
    f"ssh-rsa {BODY}",
    f"ssh-ed25519 {blob(b'ssh-ed25519', b'short')}",
    f"ssh-ed25519 {blob(b'ssh-rsa', b'k' * 32)}",
    f"ssh-rsa {blob(b'ssh-rsa', b'3', b'n' * 128)}",
    f"ssh-dss {blob(b'ssh-dss', b'p', b'q', b'g', b'y')}",
    f"ssh-ed25519-cert-v01@openssh.com {blob(b'ssh-ed25519-cert-v01@openssh.com', b'k' * 32)}",
    "ssh-ed25519 ////",
    "ssh-ed25519",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "",
    None,
    7,
    [KEY],
]


@pytest.mark.parametrize("value", NO_KEYS)
@pytest.mark.parametrize("check", [PUBLIC, REVOKED])
def test_what_is_more_or_less_than_a_key_is_none(check: Check[str], value: object) -> None:
    with pytest.raises(Unwanted, match="a public key in one line"):
        check(value)


@pytest.mark.parametrize(
    "value",
    ["serial:1", "serial:9223372036854775807", "serial:18446744073709551615", "id:alice+20261129T090000Z", "id:a@b.c"],
)
def test_a_certificate_is_named_by_its_serial_number_or_its_id(value: str) -> None:
    assert REVOKED(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *("serial:0", "serial:-1", "serial:1-9", "serial: 1", "serial:1\n", "serial:99999999999999999999", "serial:"),
        *("id:", "id: alice", "id:alice bob", "id:alice\nserial:1", "id:alice#x", "id:-alice", "id:a,b", 'id:"a"'),
        *("key:x", "sha256:abc", "hash:SHA256:x", f"key: {KEY}", "alice", 4711),
    ],
)
def test_nothing_else_names_one(value: object) -> None:
    with pytest.raises(Unwanted, match="serial:4711 or id:alice"):
        REVOKED(value)


@pytest.mark.parametrize("key", ["authorities", "revoked"])
@pytest.mark.parametrize("value", [f"{KEY}\nssh-ed25519 {BODY}", f"cert-authority {KEY}", "# none", f"{KEY},{KEY}"])
def test_a_configuration_with_more_than_keys_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.parse(stack.configuration(ssh={key: [KEY, value]}))
    (fault,) = raised.value.faults
    assert fault.subject == f"dr:ssh.{key}" and "entry 1" in fault.wanted


@pytest.mark.parametrize("value", ["alice", "a.smith", "alice@example.org", "A-1_b"])
def test_a_person_is_one_word(value: str) -> None:
    assert PERSON(value) == value


@pytest.mark.parametrize(
    "value", ["", " alice", "alice smith", "alice\n", "-alice", "a,b", "a+b", "a#b", "a:b", "\u00e9", "x" * 65, None]
)
def test_a_person_is_nothing_that_a_log_or_a_list_reads_in_two_ways(value: object) -> None:
    with pytest.raises(Unwanted):
        PERSON(value)
