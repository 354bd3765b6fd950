"""What a stack file holds encrypted, opened by its passphrase on this machine: pulumi's own command asks the backend of the state first, and that may
lie in the region that is lost.

The form is that of pulumi's passphrase secrets (pulumi/pulumi, `sdk/go/common/resource/config/crypt.go`): AES-256-GCM with a key that PBKDF2 makes of
the passphrase and the file's salt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from components.state import PASSPHRASE, PASSPHRASE_FILE
from contract.errors import Usage

ITERATIONS, KEY_BYTES = 1_000_000, 32
KNOWN = "pulumi"  # what the salt's own check says once it is opened
_FORM = "v1"


class Seal:
    """Of one stack file."""

    def __init__(self, key: bytes, file: Path) -> None:
        self._cipher, self._file = AESGCM(key), file

    @classmethod
    def of(cls, document: Mapping[str, Any], file: Path, environment: Mapping[str, str] = os.environ) -> Seal | None:
        """`document`: the file's. None where another provider than a passphrase keeps its secrets, or no passphrase was given to this process: pulumi
        is to be asked then. Raises Usage for one that does not fit.
        """
        salt, phrase = document.get("encryptionsalt"), _passphrase(environment)
        if not isinstance(salt, str) or phrase is None:
            return None
        try:
            form, salted, check = salt.split(":", 2)
            if form != _FORM:
                return None
            key = hashlib.pbkdf2_hmac(
                "sha256", phrase.encode(), base64.b64decode(salted, validate=True), ITERATIONS, KEY_BYTES
            )
            seal = cls(key, file)
            fits = seal._open(check) == KNOWN
        except (ValueError, binascii.Error):
            raise Usage(
                f"stack file {file}: its encryptionsalt is cut or changed, wanted it as pulumi has written it; its secrets cannot be opened, so nothing "
                "was done; restore the file"
            ) from None
        except InvalidTag:
            fits = False
        if not fits:
            raise Usage(
                f"passphrase of stack file {file}: does not fit, wanted the one that its secrets were stored with; nothing was done; set {PASSPHRASE} or "
                f"{PASSPHRASE_FILE} to that"
            )
        return seal

    def opened(self, value: Any, key: str) -> Any:
        """A value of the file with everything that is encrypted in it in clear. `key`: for the message. Raises Usage."""
        if isinstance(value, Mapping):
            if set(value) == {"secure"}:
                return self._clear(value["secure"], key)
            return {name: self.opened(it, key) for name, it in value.items()}
        return [self.opened(it, key) for it in value] if isinstance(value, list) else value

    def _clear(self, value: object, key: str) -> str:
        try:
            return self._open(str(value))
        except (ValueError, binascii.Error, InvalidTag):
            raise Usage(
                f"stack file {self._file}, {key}: was encrypted by another key than the file's others, or is cut; nothing was done; set it again with "
                f"`pulumi config set --secret {key}`, or restore the file"
            ) from None

    def _open(self, text: str) -> str:
        """Raises ValueError for what has another form, InvalidTag."""
        form, nonce, sealed = text.split(":")
        if form != _FORM:
            raise ValueError
        return self._cipher.decrypt(
            base64.b64decode(nonce, validate=True), base64.b64decode(sealed, validate=True), None
        ).decode()


def _passphrase(environment: Mapping[str, str]) -> str | None:
    """As pulumi finds it; None where it would ask a person. Raises Usage."""
    if PASSPHRASE in environment:
        return environment[PASSPHRASE]
    file = environment.get(PASSPHRASE_FILE)
    if not file:
        return None
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or "is no text"
        raise Usage(
            f"{PASSPHRASE_FILE} {file}: cannot be read ({found}), wanted the passphrase of the stacks; nothing was done; name the file that has it"
        ) from None
