"""Public keys of ssh as people write them down, and what names one that is shut out: in the configuration, in what hosts are told, in files.

What passes here becomes a line of a file that sshd reads, so a key is its type and its body alone: options before it are refused, a comment behind it
goes. The body is looked into, because one that ssh cannot read would be a host's failure, or would shut nobody out.
"""

from __future__ import annotations

import base64
import binascii
import re

from .checks import Check, Unwanted, text

PRINCIPAL = "dr-operator"  # what a certificate has to bear to open root
MOST_HOURS, HOURS = 24, 8  # of a certificate that `drctl ssh-certificate` makes
# By the type of a key how many texts its body holds, the type itself among them.
_TEXTS = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}
_ED25519_BYTES, _RSA_BYTES = 32, 256
_MOST_SERIAL = 2**64 - 1  # a CA of a team's (Vault, step-ca) draws from all of them
_LINE = re.compile(r"(\S+) ([A-Za-z0-9+/]{1,3000}={0,2})(?: [^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,200})?")
_SERIAL = re.compile(r"serial:([1-9][0-9]{0,19})")
_OURS = re.compile(r"id:.+\+[0-9]{8}T[0-9]{6}Z")  # what `scripts/clients/ssh_certificate.py` makes
_ID = re.compile(r"id:[A-Za-z0-9][A-Za-z0-9._@+:/=-]{0,199}")

PERSON = text(
    r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", "a name of letters, digits and . _ @ -, which does not begin with a sign"
)


def body(key: str) -> bytes:
    """Of a key that `PUBLIC` has taken."""
    return base64.b64decode(key.split()[1])


def others(revoked: str) -> bool:
    """Whether what passes `REVOKED` is an id that no certificate of our own CA has: those bear their time."""
    return revoked.startswith("id:") and not _OURS.fullmatch(revoked)


def _public(value: object) -> str:
    found = _LINE.fullmatch(value) if isinstance(value, str) else None
    if found is None or not _whole(found[1], found[2]):
        raise Unwanted(PUBLIC.wanted)
    return f"{found[1]} {found[2]}"


def _whole(kind: str, encoded: str) -> bool:
    """Whether the body is one of its type, to its end."""
    try:
        left = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return False
    texts = []
    while left:
        size = int.from_bytes(left[:4], "big")
        texts.append(left[4 : 4 + size])
        if len(texts[-1]) != size:
            return False
        left = left[4 + size :]
    if len(texts) != _TEXTS.get(kind) or texts[0] != kind.encode() or not all(texts):
        return False
    return {"ssh-ed25519": len(texts[1]) == _ED25519_BYTES, "ssh-rsa": len(texts[-1]) > _RSA_BYTES}.get(kind, True)


def _serial(value: str) -> bool:
    found = _SERIAL.fullmatch(value)
    return found is not None and int(found[1]) <= _MOST_SERIAL


def _revoked(value: object) -> str:
    if isinstance(value, str) and (_serial(value) or _ID.fullmatch(value)):
        return value
    try:
        return _public(value)
    except Unwanted:
        raise Unwanted(REVOKED.wanted) from None


PUBLIC = Check("a public key in one line, as it stands in a .pub file (ed25519, ecdsa, or rsa of 2048 bits)", _public)
REVOKED = Check(
    "a public key in one line, or of a certificate serial:4711 or id:alice+20261129T090000Z, its whole id", _revoked
)
