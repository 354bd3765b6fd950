"""With Pulumi's backend lost, an operator still sees how both regions stand, what is wrong, and what a failover would do: nothing of it asks pulumi."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from components.state import PASSPHRASE
from contract.errors import ExitCode
from contract.heartbeat import Heartbeat
from scripts.ctl import cli
from scripts.ctl.commands import arguments
from scripts.ctl.stacks import sealed
from tests.components import stack
from tests.unit.test_asking import PlayedOffer, World, deeper, world

__all__ = ["deeper", "world"]  # fixtures

ROOT = Path(__file__).resolve().parents[2]
SALT, PHRASE, TRIES = b"saltsalt", "long enough to be one", 10


def _secure(text: str) -> str:
    """As pulumi's passphrase provider writes it."""
    key = hashlib.pbkdf2_hmac("sha256", PHRASE.encode(), SALT, TRIES, sealed.KEY_BYTES)
    nonce = os.urandom(12)
    return "v1:" + ":".join(
        base64.b64encode(it).decode() for it in (nonce, AESGCM(key).encrypt(nonce, text.encode(), None))
    )


@pytest.fixture
def asked(world: World, deeper: type[PlayedOffer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose backend is a bucket that does not answer; the file that says what pulumi was called with."""
    folder, calls = tmp_path / "project", tmp_path / "calls"
    folder.mkdir()
    (tmp_path / "bin").mkdir()
    pulumi = tmp_path / "bin" / "pulumi"
    pulumi.write_text(f'#!/bin/sh\necho "$@" >> {calls}\necho "error: could not reach the backend" >&2\nexit 255\n')
    pulumi.chmod(0o755)
    shutil.copy(ROOT / "Pulumi.yaml", folder)
    for site in "ab":
        salt = f"v1:{base64.b64encode(SALT).decode()}:{_secure(sealed.KNOWN)}"
        values = {f"dr:{name}": value for name, value in stack.configuration(site).items() if name != "secrets"}
        config = {**values, "dr:secrets": {"secure": _secure(json.dumps(stack.secrets()))}}
        (folder / f"Pulumi.region-{site}.yaml").write_text(yaml.safe_dump({"encryptionsalt": salt, "config": config}))
    monkeypatch.setattr(sealed, "ITERATIONS", TRIES)
    monkeypatch.setattr(arguments, "PROJECT", folder)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://shop-state?endpoint=http://127.0.0.1:9&region=de")
    monkeypatch.setenv(PASSPHRASE, PHRASE)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    return calls


def test_status_shows_both_regions(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == ExitCode.DONE
    told = capsys.readouterr()
    assert "region a is active, epoch 3" in told.out and "primary of epoch 3" in told.out and told.err == ""
    assert not asked.exists()


def test_check_judges_all_the_rest_and_names_the_backend(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check"]) == ExitCode.REFUSED
    lines = capsys.readouterr().out.splitlines()
    assert [
        line
        for line in lines
        if line.startswith("unknown  state.backend  backend: Pulumi's backend, bucket shop-state")
    ]
    assert [line for line in lines if line.startswith("ok       pg.role  db-1.a")]
    assert [line for line in lines if line.startswith("ok       pg.identity")]
    assert not asked.exists()


def test_a_failover_is_planned_with_its_loss(
    asked: Path, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(world, "heartbeat", lambda *_: Heartbeat(document={}, age_s=4.0))
    assert cli.main(["failover", "b", "--dry-run"]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert "region a to region b, epoch 3 to 4" in told and "loss: " in told
    assert not asked.exists()


def test_a_stack_whose_secrets_no_passphrase_opens_here_asks_pulumi_and_says_so(
    asked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(PASSPHRASE)
    assert cli.main(["status"]) == ExitCode.FAILED
    told = capsys.readouterr()
    assert "could not reach the backend" in told.err and told.err.count("\n") == 1
    assert asked.read_text().startswith("config get dr:secrets")
