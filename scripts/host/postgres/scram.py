"""Passwords as PostgreSQL keeps them. Pure, but for the salt."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata


def verifier(password: str, salt: bytes | None = None, iterations: int = 4096) -> str:
    """A SCRAM-SHA-256 verifier as PostgreSQL stores it, so that no clear password goes over a wire or into a log."""
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored64}:{server64}"


def matches(password: str, stored: str | None) -> bool:
    """Whether `stored` is a SCRAM verifier of this password."""
    found = re.fullmatch(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+", stored or "")
    if not found:
        return False
    return hmac.compare_digest(verifier(password, base64.b64decode(found[2]), int(found[1])), stored or "")


def prepared(password: str) -> str:
    """SASLprep (RFC 4013) as PostgreSQL applies it: a password that it forbids is used as it is."""
    mapped = "".join(
        " " if stringprep.in_table_c12(mark) else mark for mark in password if not stringprep.in_table_b1(mark)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    forbidden = (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
        stringprep.in_table_a1,
    )
    if not normal or any(test(mark) for mark in normal for test in forbidden):
        return password
    if any(map(stringprep.in_table_d1, normal)):
        edges = stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1])
        if not edges or any(map(stringprep.in_table_d2, normal)):
            return password
    return normal
