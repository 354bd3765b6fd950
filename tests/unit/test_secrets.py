"""The generated secrets are what ssh and TLS accept."""

import subprocess

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from scripts.ctl.stacks.secrets import generate

HOSTS = {"db-1.a": ["db-1.a.dr.internal", "10.100.0.11"], "db-1.b": ["db-1.b.dr.internal", "10.100.0.111"]}
OUTSIDE = {
    "openstack_password": "x",
    "ovh": {"application_key": "k"},
    "witness": {"access_key": "a", "secret_key": "s"},
}


def test_every_host_has_a_certificate_of_its_ca_with_all_its_names():
    tls = generate(HOSTS, "www.shop.example", OUTSIDE)["tls"]
    for pair, ca, names in [
        *((tls["hosts"][name], tls["ca"], names) for name, names in HOSTS.items()),
        (tls["shop"], tls["shop"]["ca"], ["www.shop.example"]),
    ]:
        authority = x509.load_pem_x509_certificate(ca.encode())
        certificate = x509.load_pem_x509_certificate(pair["cert"].encode())
        certificate.verify_directly_issued_by(authority)
        assert load_pem_private_key(pair["key"].encode(), None).public_key() == certificate.public_key()
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = san.get_values_for_type(x509.DNSName) + [str(item) for item in san.get_values_for_type(x509.IPAddress)]
        assert found == list(names)


def test_ssh_keys_are_read_by_openssh(tmp_path):
    made = generate(HOSTS, "www.shop.example", OUTSIDE)
    for name, pair in {**{name: made["ssh"][name] for name in ("operator", "ca")}, **made["ssh"]["hosts"]}.items():
        key = tmp_path / name
        key.touch(mode=0o600)
        key.write_text(pair["private"])
        said = subprocess.run(["ssh-keygen", "-y", "-f", str(key)], capture_output=True, text=True, check=True).stdout
        assert said.split()[:2] == pair["public"].split()[:2]


def test_no_two_sets_and_no_two_passwords_are_alike():
    first, second = generate(HOSTS, "www.shop.example", OUTSIDE), generate(HOSTS, "www.shop.example", OUTSIDE)
    passwords = [
        *first["postgres"].values(),
        *first["redis"].values(),
        *second["postgres"].values(),
        *second["redis"].values(),
    ]
    assert len(set(passwords)) == len(passwords)
    assert first["openstack_password"] == "x"


EVERYWHERE = {
    f"{name}.{site}": [f"{name}.{site}.dr.internal"]
    for site in "ab"
    for name in ("control-1", "db-1", "cache-1", "app-1")
}
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def good_for(pair):
    certificate = x509.load_pem_x509_certificate(pair["cert"].encode())
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_each_purpose_has_a_ca_of_its_own():
    tls = generate(EVERYWHERE, "www.shop.example", OUTSIDE)["tls"]
    authorities = {tls["ca"], tls["cache"]["ca"], tls["database"]["ca"], tls["shop"]["ca"]}
    assert len(authorities) == 4
    for pairs, ca in (
        (tls["hosts"], tls["ca"]),
        (tls["cache"]["hosts"], tls["cache"]["ca"]),
        (tls["cache"]["clients"], tls["cache"]["ca"]),
        (tls["database"]["clients"], tls["database"]["ca"]),
    ):
        for pair in pairs.values():
            certificate = x509.load_pem_x509_certificate(pair["cert"].encode())
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.encode()))


def test_each_certificate_is_good_for_what_it_is_needed_for():
    tls = generate(EVERYWHERE, "www.shop.example", OUTSIDE)["tls"]
    assert good_for(tls["shop"]) == {SERVER}, "what customers see is no way in"
    for host, pair in tls["hosts"].items():
        assert good_for(pair) == {SERVER, CLIENT}, host
    assert set(tls["cache"]["hosts"]) == {"cache-1.a", "cache-1.b"}
    assert all(good_for(pair) == {SERVER, CLIENT} for pair in tls["cache"]["hosts"].values())
    assert set(tls["database"]["clients"]) == {"shop", "shop_worker", "dr_replication"}
    for pair in (*tls["cache"]["clients"].values(), *tls["database"]["clients"].values()):
        assert good_for(pair) == {CLIENT}
