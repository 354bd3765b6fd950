"""The generated secrets are what ssh and TLS accept."""

import subprocess

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from scripts.ctl.secrets import generate

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
    for name, pair in {"operator": made["ssh"]["operator"], **made["ssh"]["hosts"]}.items():
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
