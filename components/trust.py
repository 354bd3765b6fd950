"""What the certificates of `dr:secrets` have to be to each other: rules that a preview tells, before a take-over finds out.

What cannot be read here is passed over: those who read it are OpenSSL's, and take what this reader may not.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from components import settings as s

Row = tuple[str, str, str, str, str]  # key, found, wanted, consequence, remedy
_RENEW = "renew them as `Certificates end` in docs/failover.md says"
_PUBLIC = "put it in as `A public certificate` in docs/failover.md says"


def faults(settings: s.Settings) -> Iterator[Row]:
    """Of all that were read. No row shows more than a place in the secret and names."""
    yield from _entrance(settings.secrets, settings.shop.host)


def _entrance(secrets: s.Secrets, host: str) -> Iterator[Row]:
    key, shop = "secrets.tls.shop", secrets.shop
    chain = _read(shop.cert)
    if not chain:
        return
    if not _belong(chain[0], shop.key):
        yield (
            f"{key}.key",
            "the key of another certificate",
            "that of secrets.tls.shop.cert",
            "nginx does not start",
            _PUBLIC,
        )
    if not _names(chain[0], host):
        yield (
            f"{key}.cert",
            "one of another name",
            f"a certificate of {host!r}, whose own comes first in its chain",
            "customers would be warned of the shop, and the proof of each move would fail",
            _PUBLIC,
        )
    if shop.ca and not goes_back(chain, _read(shop.ca)):
        yield (
            f"{key}.ca",
            "a CA that has signed nothing of secrets.tls.shop.cert",
            "the one that its chain ends at; none where that is a public one",
            "the proof of each move would fail",
            _PUBLIC,
        )


def goes_back(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> bool:
    """Whether one of a chain is signed by one of `roots`, or is one; true where those cannot be read."""
    return not roots or any(it == root or _signed(it, root) for it in chain for root in roots)


def _signed(it: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        it.verify_directly_issued_by(by)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _read(text: str | None) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates((text or "").encode())
    except ValueError:
        return []


def _belong(it: x509.Certificate, key: str | None) -> bool:
    try:
        own = load_pem_private_key((key or "").encode(), None).public_key()
    except (ValueError, TypeError):
        return True
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return own.public_bytes(*form) == it.public_key().public_bytes(*form)


def _names(it: x509.Certificate, host: str) -> bool:
    """By name, or by the star in the place of its first word."""
    try:
        found = it.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    wanted = {host, f"*.{host.partition('.')[2]}"}
    return any(name.lower() in wanted for name in found.get_values_for_type(x509.DNSName))
