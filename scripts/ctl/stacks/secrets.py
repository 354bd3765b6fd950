"""Everything secret that the two stacks share, made once: `dr:secrets`.

A private CA for each purpose (their keys are thrown away: rotating means making a new set), certificates of hosts, caches, clients and the shop,
ssh host keys, the operator's key and the CA of persons' certificates, passwords. Credentials of outside parties (OpenStack, OVHcloud, the witness) are
handed in. The result goes into both stack files, encrypted by Pulumi.
"""

from __future__ import annotations

import datetime
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.settings import Settings
from contract.hosts import (
    CACHE,
    MAX_APP_HOSTS,
    MAX_CACHE_REPLICAS,
    Place,
    Sizes,
    certificate_names,
    kind_of,
    serves,
    site_hosts,
)
from contract.rotation import KINDS
from contract.services.postgres import APP_ROLE, REPLICATION_ROLE, WORKER_ROLE
from contract.services.redis import SHOP

PASSWORD_BYTES = 32
KEY_BASE_BYTES = 64  # of what Rails signs with, as `rails secret` has it
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
CA_DAYS, LEAF_DAYS = 3650, 825
# Each host's certificate ends this much before the next one's, all of a's before b's: hosts that all fail on one day leave no region to move to.
APART_DAYS = 5


def host_names(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """DNS names and addresses of every host of both sites, from the `config` of a stack file (keys with the prefix `dr:`).

    App hosts of a site share one name more: nginx of the other site checks one name for all members of its upstream.
    """
    regions = config["dr:regions"]
    # Further caches can be added later without a new set of secrets.
    sizes = Sizes(app=config.get("dr:app", {}).get("hosts", 2), cache_replicas=MAX_CACHE_REPLICAS)
    names: dict[str, list[str]] = {}
    for site, region in regions.items():
        place = Place(
            front=region["front_cidr"], vrack=config["dr:vrack"]["cidr"], offset=region["vrack_offset"], sizes=sizes
        )
        names |= {key: certificate_names(host) for key, host in site_hosts(site, place).items()}
    return names


def names_of(settings: Settings) -> dict[str, list[str]]:
    """The same of every host that either site could have."""
    sizes = Sizes(app=MAX_APP_HOSTS, cache_replicas=MAX_CACHE_REPLICAS)
    return {
        key: certificate_names(host)
        for site, region in settings.regions.items()
        for key, host in site_hosts(
            site,
            Place(front=region.front_cidr, vrack=settings.vrack.cidr, offset=region.vrack_offset, sizes=sizes),
        ).items()
    }


def generate(
    hosts: Mapping[str, Sequence[str]], shop_host: str, outside: Mapping[str, Any], aliases: Sequence[str] = ()
) -> dict[str, Any]:
    """`aliases`: further names of the shop's certificate. `hosts`: DNS names and addresses by host ("db-1.a": ["db-1.a.dr.internal", "10.100.0.11", ...]).

    `outside`: {"openstack_password", "ovh": {...}, "witness": {...}}. Returns the object of `dr:secrets` (docs/configuration.md).
    """
    return {
        **outside,
        "ssh": {
            "operator": ssh_pair("operator"),
            "ca": ssh_pair("ca"),
            "hosts": {name: ssh_pair(name) for name in hosts},
        },
        "tls": certificates(hosts, shop_host, aliases),
        "postgres": {"replication": _password(), "app": _password()},
        "redis": {"app": _password(), "replica": _password(), "operator": _password()},
        "archive": {"passphrase": _password()},
        "rails": {"secret_key_base": secrets.token_hex(KEY_BASE_BYTES)},
        "since": dict.fromkeys(
            (name for name, kind in KINDS.items() if kind.dated), f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        ),
    }


def certificates(hosts: Mapping[str, Sequence[str]], shop_host: str, aliases: Sequence[str] = ()) -> dict[str, Any]:
    """The part `tls`. Each purpose has a CA of its own, so that what opens one door is of no use at another; each certificate is good for its needs alone."""
    clients, entrance = (Authority(f"shop {name}") for name in ("database", "entrance"))
    return {
        **certificates_of_hosts(hosts),
        "database": {
            "ca": clients.certificate_pem,
            "clients": {
                role: clients.issue([role], purposes=(CLIENT,)) for role in (APP_ROLE, WORKER_ROLE, REPLICATION_ROLE)
            },
        },
        "cache": certificates_of_caches(hosts),
        "shop": {"ca": entrance.certificate_pem, **entrance.issue([shop_host, *aliases], purposes=(SERVER,))},
    }


def certificates_of_hosts(hosts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The parts `ca` and `hosts` of `tls`, by a CA of their own."""
    own, days = Authority("shop hosts"), _days(hosts)
    return {
        "ca": own.certificate_pem,
        "hosts": {
            name: own.issue(names, days[name], (SERVER, CLIENT) if serves(kind_of(name)) else (CLIENT,))
            for name, names in hosts.items()
        },
    }


def certificates_of_caches(hosts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The part `tls.cache`, of those of these hosts that are caches, by a CA of its own."""
    own, days = Authority("shop caches"), _days(hosts)
    return {
        "ca": own.certificate_pem,
        "clients": {SHOP: own.issue([SHOP], purposes=(CLIENT,))},
        "hosts": {name: own.issue(names, days[name]) for name, names in hosts.items() if kind_of(name) == CACHE},
    }


def _days(hosts: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """For which each host's certificates are good."""
    return {name: LEAF_DAYS - APART_DAYS * number for number, name in zip(range(len(hosts), 0, -1), hosts, strict=True)}


class Authority:
    """A certificate authority that lives as long as this object."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self._certificate = (
            self._builder(self._name, self._key.public_key(), CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate_pem(self) -> str:
        """The CA's certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self,
        names: Sequence[str],
        days: int = LEAF_DAYS,
        purposes: Sequence[x509.ObjectIdentifier] = (SERVER, CLIENT),
    ) -> dict[str, str]:
        """{"cert", "key"} for these DNS names and addresses; the first is the common name. `purposes`: what it is good for."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = (
            self._builder(subject, key.public_key(), days)
            .add_extension(x509.SubjectAlternativeName([_san(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {"cert": certificate.public_bytes(serialization.Encoding.PEM).decode(), "key": private.decode()}

    def _builder(self, subject: x509.Name, public: Any, days: int) -> x509.CertificateBuilder:
        start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=10)  # a host's clock may lag a little
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=days))


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def ssh_pair(comment: str) -> dict[str, str]:
    """An ed25519 pair in OpenSSH's forms."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return {"private": private.decode(), "public": f"{public.decode()} {comment}"}
