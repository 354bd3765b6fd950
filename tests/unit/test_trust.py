"""What the certificates of `dr:secrets` have to be to each other, told by a preview."""

from __future__ import annotations

from typing import Any

import pytest

from components import config
from contract.errors import ConfigError
from scripts.ctl.stacks.secrets import Authority, generate
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


def test_a_ca_of_ssh_in_two_halves_and_one_that_is_somebodys_key_are_told() -> None:
    made = secrets()
    made["ssh"]["ca"]["public"] = made["ssh"]["hosts"]["db-1.b"]["public"]
    found = faults(made)
    assert set(found) == {"dr:secrets.ssh.ca.public", "dr:secrets.ssh.ca"}
    assert "secrets.ssh.hosts.db-1.b" in found["dr:secrets.ssh.ca"]
    made = secrets()
    made["ssh"]["ca"] = made["ssh"]["operator"]
    assert set(faults(made)) == {"dr:secrets.ssh.ca"}


@pytest.mark.parametrize("name", [NAME, "*.shop.example"])
def test_a_public_certificate_needs_no_ca(name: str) -> None:
    made = secrets()
    made["tls"]["shop"] = Authority("a public root").issue([name])
    assert faults(made) == {}
    made["tls"]["shop"]["ca"] = None
    assert faults(made) == {}


def test_a_certificate_has_to_name_each_further_name_of_the_shop() -> None:
    shop = {**stack.configuration()["shop"], "aliases": ["shop.example", "loja.example"]}
    made = secrets()

    def told(**tls: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            config.parse(stack.configuration(shop=shop, secrets={**made, "tls": {**made["tls"], **tls}}))
        return "\n".join(str(it) for it in caught.value.faults)

    assert "a certificate of 'shop.example' and 'loja.example'" in told()
    half = told(shop=Authority("a public root").issue([NAME, "shop.example"]))
    assert "a certificate of 'loja.example'," in half
    assert f"a certificate of '{NAME}'," in told(shop=Authority("a public root").issue(["*.example"]))
    outside = {key: made[key] for key in ("openstack_password", "ovh", "witness")}
    hosts = {host: [f"{host}.dr.internal"] for host in stack.HOSTS}
    whole = generate(hosts, NAME, outside, shop["aliases"])
    assert config.parse(stack.configuration(shop=shop, secrets=whole)).shop.aliases == tuple(shop["aliases"])


def test_a_chain_with_blank_lines_in_between_is_taken_as_clients_of_public_cas_write_it() -> None:
    made, root = secrets(), Authority("a public root")
    leaf = root.issue([NAME])
    made["tls"]["shop"] = {**leaf, "cert": f"{leaf['cert']}\n{root.certificate_pem}\n"}
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


LEAFS = (
    (("hosts",), "db-1.a"),
    (("cache", "hosts"), "cache-1.b"),
    (("cache", "clients"), "shop"),
    (("database", "clients"), "shop_worker"),
)


@pytest.mark.parametrize(("way", "name"), LEAFS)
@pytest.mark.parametrize("what", ["certificate", "key"])
def test_each_certificate_goes_back_to_the_ca_of_its_purpose_and_has_its_own_key(
    way: tuple[str, ...], name: str, what: str
) -> None:
    made = secrets()
    section = made["tls"]
    for word in way:
        section = section[word]
    foreign = Authority("a foreign one").issue([name])
    section[name] = foreign if what == "certificate" else {**section[name], "key": foreign["key"]}
    ((key, told),) = faults(made).items()
    assert key == ".".join(("dr:secrets.tls", *way)) and f": {name}" in told


@pytest.mark.parametrize("one", ["", "database", "cache", "shop"])
@pytest.mark.parametrize("two", ["", "database", "cache", "shop"])
def test_no_ca_serves_two_purposes(one: str, two: str) -> None:
    """Whoever holds a certificate of one would come in at the other."""
    made = secrets()
    first, second = (made["tls"][name] if name else made["tls"] for name in (one, two))
    first["ca"] += second["ca"]
    assert bool(faults(made)) == (one != two), "a bundle of an old and a new CA is none of two purposes"


def test_the_certificate_that_customers_see_opens_nothing_inside() -> None:
    for purpose in ("hosts", "cache", "database"):
        made = secrets()
        authority = Authority("x")
        tls = made["tls"]
        place = tls if purpose == "hosts" else tls[purpose]
        place["ca"] += authority.certificate_pem
        tls["shop"] = authority.issue([NAME])
        assert set(faults(made)) == {"dr:secrets.tls.shop.cert"}, purpose


def test_a_client_of_the_database_bears_the_name_of_its_role() -> None:
    made = secrets()
    clients = made["tls"]["database"]["clients"]
    clients["shop"], clients["shop_worker"] = clients["shop_worker"], clients["shop"]
    told = faults(made)
    assert set(told) == {"dr:secrets.tls.database.clients"}
    assert "shop, shop_worker" in told["dr:secrets.tls.database.clients"]


def test_a_set_of_before_is_refused_with_the_way_to_a_new_one() -> None:
    made = secrets()
    del made["tls"]["database"], made["tls"]["cache"]
    told = faults(made)
    assert set(told) == {"dr:secrets.tls.database", "dr:secrets.tls.cache"}
    assert all("`Certificates end` in docs/failover.md" in text and "drctl secrets" in text for text in told.values())
