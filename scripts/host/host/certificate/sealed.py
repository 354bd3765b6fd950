"""What is handed over at the witness: signed by the bastion that ordered it, encrypted for the hosts that may open it. By `openssl cms`, keys in files.

Signed by the host's own certificate, which its CA vouches for, and opened by the own key of each host: so there is no further secret, whoever reads the bucket
reads nothing, and whoever writes there without a bastion's key is not believed.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from contract import fields
from contract.dataclass import dataclass
from contract.errors import Failed, Usage
from contract.services.certificate import Pair, Sealed
from contract.wire import document

from ...frame.commands import run

LIMIT_S = 20.0
MOST_BYTES = 300_000
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)
_SIGN = ("-sign", "-binary", "-nodetach", "-nosmimecap", "-md", "sha256", "-outform", "PEM")
_ENCRYPT = ("-encrypt", "-binary", "-aes-256-gcm", "-outform", "PEM")


class Closed(Failed):
    """It cannot be opened, or is none of a bastion's; the text says which."""


@dataclass(frozen=True)
class Own:
    """What this host proves itself with: files."""

    cert: Path
    key: Path
    ca: Path


def seal(pair: Pair, own: Own, opened_by: Mapping[str, str]) -> bytes:
    """The object for the witness. `opened_by`: PEM certificates by host, of each as many as it has. Raises Failed."""
    said = json.dumps(fields.write(pair), sort_keys=True)
    signed = _openssl([*_SIGN, "-signer", str(own.cert), "-inkey", str(own.key)], said, "be signed")
    with tempfile.TemporaryDirectory(prefix="dr-certificate-") as folder:
        words = list[str]()
        for number, cert in enumerate(each for _, told in sorted(opened_by.items()) for each in _PEM.findall(told)):
            path = Path(folder) / f"{number}.crt"
            path.write_text(cert)
            words += ["-recip", str(path), "-keyopt", "ecdh_kdf_md:sha256"]
        sealed = _openssl([*_ENCRYPT, *words], signed, "be encrypted")
    return json.dumps(fields.write(Sealed(sealed=sealed)), sort_keys=True).encode()


def opened(body: bytes, own: Own, signer: str) -> Pair:
    """Raises Closed. `signer`: the name of the bastion that must have signed it."""
    if len(body) > MOST_BYTES:
        raise Closed(f"{len(body)} bytes, wanted {MOST_BYTES} at most")
    try:
        it = fields.read(Sealed, document.mapping(body), "object")
    except (ValueError, Usage):
        raise Closed("no object of this form") from None
    with tempfile.TemporaryDirectory(prefix="dr-certificate-") as folder:
        try:
            words = ["-decrypt", "-inform", "PEM", "-recip", str(own.cert), "-inkey", str(own.key)]
            signed = _openssl(words, it.sealed, "be opened with this host's key")
            shown = Path(folder) / "signer.pem"
            words = ["-verify", "-inform", "PEM", "-CAfile", str(own.ca), "-purpose", "any", "-signer", str(shown)]
            said = _openssl(words, signed, "be trusted: no host of the pair has signed it")
        except Failed as error:
            raise Closed(str(error)) from None
        if shown.read_text().count("-----BEGIN CERTIFICATE-----") != 1 or not _is(shown, signer, own.ca):
            raise Closed(f"signed by another than {signer}")
    try:
        return fields.read(Pair, document.mapping(said), "content")
    except (ValueError, Usage):
        raise Closed("something else in it than a certificate and its key") from None


def marked(opened_by: Mapping[str, str]) -> str:
    """Tells other recipients from these."""
    return sha256(json.dumps(dict(opened_by), sort_keys=True).encode()).hexdigest()


def _is(cert: Path, name: str, ca: Path) -> bool:
    words = ["openssl", "verify", "-no-CApath", "-no-CAstore", "-CAfile", str(ca), "-verify_hostname", name, str(cert)]
    return run(words, limit_s=LIMIT_S, check=False).code == 0


def _openssl(words: Sequence[str], said: str, wanted: str) -> str:
    """Raises Failed, without what openssl says: it may quote what it was given."""
    done = run(["openssl", "cms", *words], limit_s=LIMIT_S, stdin=said, check=False)
    if done.code != 0:
        raise Failed(f"it cannot {wanted} (openssl cms ended with {done.code})")
    return done.out
