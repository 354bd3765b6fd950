"""What the certificates and CAs of `dr:secrets` have to be to each other: rules that a preview tells, before a take-over finds out.

What cannot be read here is passed over: those who read it are OpenSSL's, and take what this reader may not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from cryptography.x509.oid import NameOID

from components import settings as s

Row = tuple[str, str, str, str, str]  # key, found, wanted, consequence, remedy
_RENEW = "renew them as `Certificates end` in docs/failover.md says"
_PUBLIC = "put it in as `A public certificate` in docs/failover.md says"


def faults(settings: s.Settings) -> Iterator[Row]:
    """Of all that were read. No row shows more than a place in the secret and names."""
    secrets = settings.secrets
    yield from _entrance(secrets, (settings.shop.host, *(settings.shop.aliases or ())))
    yield from _members("hosts", secrets.ca, secrets.host_certificates)
    yield from _members("database.clients", secrets.database.ca, secrets.database.clients)
    yield from _members("cache.clients", secrets.cache.ca, secrets.cache.clients)
    yield from _members("cache.hosts", secrets.cache.ca, secrets.cache.hosts)
    yield from _roles(secrets.database.clients)
    yield from _apart(secrets)
    yield from _ssh_ca(secrets)
    yield from _authorities(settings)


def _members(place: str, ca: str, pairs: Mapping[str, s.Certificate]) -> Iterator[Row]:
    """Each is of its purpose's CA, and has its own key."""
    roots, read = _read(ca), {name: _read(it.cert) for name, it in pairs.items()}
    foreign = [name for name, chain in read.items() if chain and not goes_back(chain, roots)]
    keys = [name for name, chain in read.items() if chain and not _belong(chain[0], pairs[name].key)]
    for names, wanted in ((foreign, "certificates of the CA beside them"), (keys, "the key of each certificate")):
        if names:
            yield (
                f"secrets.tls.{place}",
                "others",
                f"{wanted}, and it is another's in: {', '.join(sorted(names))}",
                "those it is meant for would refuse whoever shows it",
                _RENEW,
            )


def _roles(clients: Mapping[str, s.Certificate]) -> Iterator[Row]:
    """The database compares the common name with the role that signs in."""
    read = {name: _read(it.cert) for name, it in clients.items()}
    wrong = sorted(name for name, chain in read.items() if chain and _common_name(chain[0]) != name)
    if wrong:
        yield (
            "secrets.tls.database.clients",
            "others",
            f"certificates whose common name is the role, and it is another in: {', '.join(wrong)}",
            "the database would let none of them in",
            _RENEW,
        )


def _apart(secrets: s.Secrets) -> Iterator[Row]:
    """Whoever holds a certificate of one purpose must not come in at another, least of all by the one that customers see."""
    inside = {"ca": secrets.ca, "database.ca": secrets.database.ca, "cache.ca": secrets.cache.ca}
    cas = {name: _read(text) for name, text in {**inside, "shop.ca": secrets.shop.ca}.items()}
    for (one, first), (two, second) in combinations(cas.items(), 2):
        if set(first) & set(second):
            yield (
                f"secrets.tls.{two}",
                "the same",
                f"none of the CAs of secrets.tls.{one}",
                "what is good for one purpose would open the doors of the other",
                _RENEW,
            )
    chain = _read(secrets.shop.cert)
    for name in inside:
        if cas[name] and chain and goes_back(chain, cas[name]):
            yield (
                "secrets.tls.shop.cert",
                "one of an inner CA",
                f"a certificate that does not go back to secrets.tls.{name}",
                "what every customer sees would be a way in",
                _PUBLIC,
            )


def _ssh_ca(secrets: s.Secrets) -> Iterator[Row]:
    """Hosts know its public part, certificates are made with the other, and neither opens anything by itself."""
    ca, remedy = secrets.ssh_ca, "renew it as `The ssh CA is renewed` in docs/failover.md says"
    if ca is None or ca.public is None:
        return
    if not _ssh_pair(ca):
        yield (
            "secrets.ssh.ca.public",
            "another's",
            "the public part of secrets.ssh.ca.private",
            "hosts would refuse every certificate",
            remedy,
        )
    for name, key in _other_keys(secrets).items():
        if key.public is not None and key.public.split()[1] == ca.public.split()[1]:
            yield (
                "secrets.ssh.ca",
                "the same",
                f"another key than secrets.ssh.{name}",
                "whoever has that one would make certificates of root everywhere",
                remedy,
            )


def _authorities(settings: s.Settings) -> Iterator[Row]:
    """The teams' CAs."""
    bodies = {it.split()[1] for it in settings.authorities}
    for name, key in _other_keys(settings.secrets).items():
        if key.public is not None and key.public.split()[1] in bodies:
            yield (
                "ssh.authorities",
                f"the key secrets.ssh.{name}",
                "keys of CAs that are nothing else",
                "whoever has that one would make certificates of root everywhere",
                "take it out of the list",
            )


def _other_keys(secrets: s.Secrets) -> dict[str, s.SshKey]:
    """Keys of ssh that are no CA's, by their places."""
    return {"operator": secrets.operator, **{f"hosts.{name}": key for name, key in secrets.host_keys.items()}}


def _ssh_pair(key: s.SshKey) -> bool:
    """True where it cannot be read."""
    try:
        own = load_ssh_private_key((key.private or "").encode(), None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return True
    return own.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode().split()[1] == key.public.split()[1]


def _entrance(secrets: s.Secrets, hosts: Sequence[str]) -> Iterator[Row]:
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
    lacking = [host for host in hosts if not _names(chain[0], host)]
    if lacking:
        yield (
            f"{key}.cert",
            "one of other names",
            f"a certificate of {' and '.join(map(repr, lacking))}, whose own comes first in its chain",
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


def _common_name(it: x509.Certificate) -> str | None:
    found = it.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else None


def _names(it: x509.Certificate, host: str) -> bool:
    """By name, or by the star in the place of its first word."""
    try:
        found = it.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    wanted = {host, f"*.{host.partition('.')[2]}"}
    return any(name.lower() in wanted for name in found.get_values_for_type(x509.DNSName))
