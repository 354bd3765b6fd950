"""When the certificates of `dr:secrets` end."""

from __future__ import annotations

from cryptography import x509

from components.settings import Settings


def ends(settings: Settings) -> dict[str, str]:
    """By place in the secret, like "tls.hosts.db-1.a": the first end of its chain, as RFC 3339 in UTC; empty where it cannot be read here. That of the shop
    is none of them where an ACME CA issues another.

    Such a one is no fault of the configuration: what reads it is OpenSSL, which takes what this reader may not.
    """
    secrets = settings.secrets
    texts = {"tls.ca": secrets.ca}
    if settings.shop.acme is None:
        texts |= {"tls.shop": secrets.shop.cert} | ({"tls.shop.ca": secrets.shop.ca} if secrets.shop.ca else {})
    texts |= {"tls.database.ca": secrets.database.ca, "tls.cache.ca": secrets.cache.ca}
    for place, pairs in (
        ("hosts", secrets.host_certificates),
        ("database.clients", secrets.database.clients),
        ("cache.clients", secrets.cache.clients),
        ("cache.hosts", secrets.cache.hosts),
    ):
        texts |= {f"tls.{place}.{name}": it.cert for name, it in pairs.items()}
    return {name: end(text) for name, text in texts.items()}


def end(chain: str) -> str:
    """Of a PEM text; see `ends`."""
    try:
        return min(it.not_valid_after_utc for it in x509.load_pem_x509_certificates(chain.encode())).isoformat()
    except ValueError:
        return ""
