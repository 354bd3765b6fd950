"""Certificates of `dr:secrets` have an end, and it is told in time."""

from __future__ import annotations

import datetime
import logging
from typing import Any, cast

import pytest

from components import certificates as reader
from components import config
from contract.buckets import Bucket
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl.stacks.secrets import CA_DAYS, LEAF_DAYS, Authority, generate, host_names
from scripts.links import certificates, preflight
from scripts.links.agreement import Side
from tests.components import stack

NOW = datetime.datetime(2029, 1, 1, 12, tzinfo=datetime.UTC)


def at(days: float) -> str:
    return (NOW + datetime.timedelta(days=days)).isoformat()


def made(apps: int) -> dict[str, Any]:
    values = {f"dr:{name}": value for name, value in stack.configuration(app={"hosts": apps}).items()}
    return generate(host_names(values), "www.shop.example", {})


def days_of(certificate: dict[str, str]) -> int:
    return (datetime.datetime.fromisoformat(reader.end(certificate["cert"])) - datetime.datetime.now(datetime.UTC)).days


@pytest.mark.parametrize("apps", [2, 9])
def test_a_set_of_secrets_ends_one_after_another_and_never_in_both_regions_at_once(apps: int) -> None:
    tls = made(apps)["tls"]
    days = {host: days_of(pair) for host, pair in tls["hosts"].items()}
    assert len(set(days.values())) == len(days) == 2 * (5 + apps), "hosts end together"
    assert all(abs(days[host] - days[f"{host[:-1]}b"]) >= 30 for host in days if host.endswith(".a")), (
        "a kind of host ends in both regions within one month"
    )
    assert min(days.values()) > 650 and max(days.values()) <= days_of(tls["shop"]) <= LEAF_DAYS < CA_DAYS - 1


def test_the_end_of_a_chain_is_its_first_one() -> None:
    authority = Authority("x")
    short, long = authority.issue(["a"], 10)["cert"], authority.issue(["a"], 20)["cert"]
    assert reader.end(long + short) == reader.end(short) < reader.end(long)


def test_every_certificate_of_the_secrets_is_looked_at() -> None:
    settings = config.parse(stack.configuration())
    secrets = settings.secrets
    assert set(reader.ends(settings)) == {
        "tls.ca",
        "tls.shop",
        "tls.database.ca",
        "tls.cache.ca",
        "tls.cache.clients.shop",
        *(f"tls.database.clients.{role}" for role in ("shop", "shop_worker", "dr_replication")),
        *(f"tls.hosts.{host}" for host in secrets.host_certificates),
        *(f"tls.cache.hosts.{host}" for host in secrets.cache.hosts),
    }
    assert set(reader.ends(settings).values()) == {""}, "those of the example are no certificates"


def test_what_ends_soon_is_named_with_its_day_the_first_one_first() -> None:
    ends = {"tls.ca": at(3000), "tls.hosts.db-1.b": at(59.5), "tls.shop": at(12.5), "tls.hosts.db-1.a": at(60.5)}
    said = certificates.warning(ends, NOW)
    assert said.startswith(
        "certificates: dr:secrets tls.shop ends on 2029-01-14 (in 12 days), dr:secrets tls.hosts.db-1.b ends on 2029-03-02 (in 59 days); "
    )
    assert "`Certificates end` in docs/failover.md" in said and "db-1.a" not in said
    assert certificates.warning({"tls.ca": at(61)}, NOW) == ""


def test_many_are_counted_and_one_that_cannot_be_read_is_told() -> None:
    said = certificates.warning({**{f"tls.hosts.app-{n}.a": at(n) for n in range(1, 10)}, "tls.shop": ""}, NOW)
    assert "app-6.a" in said and "app-7.a" not in said and "and 3 more; wanted" in said
    assert said.endswith("the end of tls.shop in dr:secrets cannot be read, so nothing warns of it")


def test_a_preview_tells_of_it_also_while_the_witness_is_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def silent(_: object) -> None:
        raise WitnessDown("witness: no answer")

    monkeypatch.setattr(preflight, "Witness", silent)
    side = Side(site="a", digests={}, word=None, certificates={"tls.hosts.db-1.a": "2020-01-01T00:00:00+00:00"})
    with caplog.at_level(logging.WARNING):
        preflight.check(side, "a", cast("Bucket", None))
    assert "dr:secrets tls.hosts.db-1.a has ended on 2020-01-01" in caplog.text and "no answer" in caplog.text


def test_what_a_move_needs_is_of_its_target_or_of_both() -> None:
    ends = {"tls.ca": at(-1), "tls.shop": at(1), "tls.hosts.db-1.a": at(-1), "tls.hosts.db-1.b": at(-2)}
    assert certificates.ended(ends, "b", NOW) == [
        "dr:secrets tls.ca has ended on 2028-12-31",
        "dr:secrets tls.hosts.db-1.b has ended on 2028-12-30",
    ]
    assert certificates.ended({**ends, "tls.ca": "", "tls.hosts.db-1.b": at(1)}, "b", NOW) == []
