"""Signatures of a text by keys of ssh, made and tried by ssh-keygen in a private folder: the program's key is in memory alone, and in no argument."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from contract.errors import Failed, OutcomeUnknown
from contract.plain import phrase
from scripts.clients import ssh_folder

ANSWER_S = 20.0
TYPED_S = 120.0  # where a person types a passphrase, or touches a key
MOST = 40_000  # bytes of a signature


def sign(text: str, namespace: str, private: str) -> str:
    """By a key in memory. Nobody is asked for anything. Raises Failed, and Refused where no private folder can be made."""
    with ExitStack() as made:
        folder = ssh_folder.make(0, made)
        key = ssh_folder.keep(private, folder, made)
        return _signed(["-f", key, "-n", namespace], text, ANSWER_S, alone=True)


def sign_by(text: str, namespace: str, key: Path) -> str:
    """By a person's key: its public file, with the private one beside it or in an agent. Its passphrase is asked for at the terminal. Raises Failed."""
    return _signed(["-f", str(key), "-n", namespace], text, TYPED_S, alone=False)


def holds(text: str, signature: str, namespace: str, signer: str, signers: Iterable[tuple[str, str]]) -> str:
    """Why the signature is not that of `signer`; empty where it is. `signers`: name and public key, in the forms of `contract.ssh_keys`. Raises OutcomeUnknown
    where that cannot be tried.
    """
    with ExitStack() as made:
        folder = ssh_folder.make(0, made)
        allowed, given = folder / "allowed", folder / "signature"
        allowed.write_text("".join(f"{name} {key}\n" for name, key in signers))
        given.write_text(signature)
        words = ["verify", "-f", str(allowed), "-I", signer, "-n", namespace, "-s", str(given)]
        try:
            done = _run(words, text, ANSWER_S, alone=True)
        except Failed as error:
            raise OutcomeUnknown(str(error)) from None
    return "" if done.returncode == 0 else _last(done)


def _signed(words: Sequence[str], text: str, limit_s: float, *, alone: bool) -> str:
    done = _run(["sign", *words], text, limit_s, alone=alone)
    said = done.stdout.decode(errors="replace")
    if done.returncode or not said.startswith("-----BEGIN SSH SIGNATURE-----\n") or len(said) > MOST:
        raise _failed(_last(done))
    return said


def _run(words: Sequence[str], text: str, limit_s: float, *, alone: bool) -> subprocess.CompletedProcess[bytes]:
    """`alone`: without the terminal, where somebody would be asked."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["ssh-keygen", "-q", "-Y", *words],
            input=text.encode(),
            capture_output=True,
            timeout=limit_s,
            check=False,
            start_new_session=alone,
            env={**environment, "SSH_ASKPASS_REQUIRE": "never"} if alone else environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(type(error).__name__) from None


def _last(done: subprocess.CompletedProcess[bytes]) -> str:
    said = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
    return phrase(said[-1] if said else f"exit code {done.returncode}", 200)


def _failed(why: str) -> Failed:
    return Failed(
        f"ssh-keygen: {why}, wanted its answer about a signature; nothing was written; see that OpenSSH 8.2 or newer is on this machine and that the key can "
        "be used"
    )
