"""What the certificates of `dr:secrets` have to be to each other, told by a preview."""

from __future__ import annotations

from typing import Any

import pytest

from components import config
from contract.errors import ConfigError
from scripts.ctl.secrets import Authority, generate
from tests.components import stack

NAME = "www.shop.example"


def secrets() -> dict[str, Any]:
    """As `drctl secrets` makes them."""
    outside = {key: value for key, value in stack.secrets().items() if key in ("openstack_password", "ovh", "witness")}
    return generate({host: [f"{host}.dr.internal"] for host in stack.HOSTS}, NAME, outside)


def faults(made: dict[str, Any]) -> dict[str, str]:
    """By key."""
    try:
        config.parse(stack.configuration(secrets=made))
    except ConfigError as error:
        assert all("PRIVATE" not in str(it) and "BEGIN" not in str(it) for it in error.faults)
        return {it.subject: str(it) for it in error.faults}
    return {}


def test_what_drctl_makes_has_no_fault() -> None:
    assert faults(secrets()) == {}


@pytest.mark.parametrize("name", [NAME, "*.shop.example"])
def test_a_public_certificate_needs_no_ca(name: str) -> None:
    made = secrets()
    made["tls"]["shop"] = Authority("a public root").issue([name])
    assert faults(made) == {}
    made["tls"]["shop"]["ca"] = None
    assert faults(made) == {}


def test_a_key_of_another_certificate_a_name_of_another_shop_and_a_ca_of_nobody_are_told() -> None:
    made = secrets()
    made["tls"]["shop"]["key"] = made["tls"]["hosts"]["db-1.a"]["key"]
    assert set(faults(made)) == {"dr:secrets.tls.shop.key"}
    made = secrets()
    for name in ("shop.example", "a.www.shop.example", "*.example"):
        made["tls"]["shop"] = Authority("a public root").issue([name])
        assert set(faults(made)) == {"dr:secrets.tls.shop.cert"}, name
    made = secrets()
    made["tls"]["shop"]["ca"] = Authority("shop entrance").certificate_pem
    assert set(faults(made)) == {"dr:secrets.tls.shop.ca"}


def test_two_cas_of_an_entrance_that_changes_its_own_are_one_too_many_for_nobody() -> None:
    made = secrets()
    made["tls"]["shop"]["ca"] = Authority("the next").certificate_pem + made["tls"]["shop"]["ca"]
    assert faults(made) == {}
