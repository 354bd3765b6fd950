"""What is searched for: each secret as it is, as base64, as part of a URL, as JSON writes it, and of a PEM each line by itself. Pure, but for `grep`.

A name is all that is ever told of a secret.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

SHORTEST = 12  # characters: what is shorter is found in anything
# Of the object of `dr:secrets`: what everybody may see.
PUBLIC = frozenset({"cert", "ca", "public", "access_key", "application_key"})
_GREP_S = 120


@dataclass(frozen=True, order=True)
class Secret:
    """`name`: where it stands in `dr:secrets`, or what it is ("ssh.hosts.db-1.a.private")."""

    name: str
    value: str = field(repr=False, compare=False)


def secrets_of(document: Mapping[str, Any], name: str = "") -> Iterator[Secret]:
    """Every leaf that is not public."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from secrets_of(value, f"{name}{key}.")
        elif isinstance(value, str) and key not in PUBLIC:
            yield Secret(f"{name}{key}", value)


def forms(value: str) -> set[bytes]:
    """The pieces by which a secret is known, whoever has encoded it. None shorter than `SHORTEST`."""
    if "-----BEGIN" in value:
        return _of_key(value)
    whole = value.strip()
    found = {
        whole.encode(),
        quote(whole, safe="").encode(),
        json.dumps(whole)[1:-1].encode(),
        whole.encode().hex().encode(),
    }
    return {piece for piece in found | _base64(whole.encode()) if len(piece) >= SHORTEST}


def _of_key(pem: str) -> set[bytes]:
    """A key's private number, and what of it stands in each line: the rest of a PEM is the same in all of them, or public."""
    number, lines = _private(pem), [line for line in pem.splitlines() if not line.startswith("-----")]
    body = "".join(lines)
    at = base64.b64decode(body).find(number)
    first, last = (at * 8 + 5) // 6, (at + len(number)) * 8 // 6
    found, begins = {number, number.hex().encode(), *_base64(number)}, 0
    for line in lines:
        piece = body[max(first, begins) : min(last, begins + len(line))] if last > begins else ""
        begins += len(line)
        if len(piece) >= SHORTEST:
            found |= {piece.encode(), *_in_urls(piece), *_base64(piece.encode())}
    return {piece for piece in found if len(piece) >= SHORTEST and b"\n" not in piece}


def _in_urls(text: str) -> set[bytes]:
    """In a part of one, and in a path."""
    return {quote(text, safe="").encode(), quote(text).encode()}


def _private(pem: str) -> bytes:
    """The number that is the secret: of a curve of NIST, or of Ed25519. Raises ValueError for another kind of key."""
    load = load_ssh_private_key if "OPENSSH" in pem else load_pem_private_key
    key = load(pem.encode(), None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.private_bytes_raw()
    raise ValueError(
        f"a key of kind {type(key).__name__}, wanted one that is known here: say in lab/rehearsal/leaks what of it is secret"
    )


def _base64(whole: bytes) -> set[bytes]:
    """What is surely in the base64 of any text in which this one stands, wherever it begins."""
    found = set()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + whole)
        inner = text[(before * 8 + 5) // 6 : (before + len(whole)) * 8 // 6]
        # Of something long a piece is enough, and a line break may be in the rest.
        for piece in (inner, inner.replace(b"+", b"-").replace(b"/", b"_")):
            found.add(piece[-60:] if len(piece) > 60 else piece)
    return found


class Needles:
    """All secrets of a rehearsal, to be searched for at once. A context manager: what is searched for lies in a file of its own meanwhile."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._names: dict[bytes, set[str]] = {}
        for secret in secrets:
            for piece in forms(secret.value):
                self._names.setdefault(piece, set()).add(secret.name)
        self.count = len(self._names)

    def __enter__(self) -> Needles:
        descriptor, name = tempfile.mkstemp(prefix="needles-")
        self._file = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"\n".join(self._names) + b"\n")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.unlink()

    def within(self, data: bytes) -> set[str]:
        """Names of the secrets that stand in these bytes."""
        return self._told(self._grep(["-h", "-"], data), named=False).get("", set())

    def below(self, places: Iterable[Path], without: Iterable[str] = ()) -> dict[str, set[str]]:
        """The same by file, of all files in these places; links and devices are not followed. `without`: names of folders."""
        there = [str(place) for place in places if place.exists()]
        if not there:
            return {}
        options = ["-rHZ", "-D", "skip", *(f"--exclude-dir={name}" for name in without), "--", *there]
        return self._told(self._grep(options), named=True)

    def _grep(self, options: Sequence[str], data: bytes | None = None) -> bytes:
        command = ["grep", "-aoF", "-f", str(self._file), "-s", *options]
        done = subprocess.run(
            command, input=data, capture_output=True, check=False, timeout=_GREP_S, env={**os.environ, "LC_ALL": "C"}
        )
        return done.stdout

    def _told(self, output: bytes, *, named: bool) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for line in output.split(b"\n"):
            place, _, piece = line.partition(b"\0") if named else (b"", b"", line)
            if piece in self._names:
                found.setdefault(place.decode(errors="replace"), set()).update(self._names[piece])
        return found


def masked(text: str) -> str:
    """A path without the digits that differ from lab to lab."""
    return re.sub(r"\.[0-9a-f]{8}-[0-9a-f-]{27}", "", text)
