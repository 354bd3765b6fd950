"""Nobody takes the active site down in passing: the real engine, asked in every way that it knows, and what stays possible all the same.

One stack for all of it, in the order of the tests. What a destroy would delete is seen at the platform, not in what the engine says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from contract.accept import HOUR_S, seconds, spelled
from lab.toolchain.tools import Toolchain
from tests.components.stack import PROTECTED
from tests.providers.test_program import Clouds, Program

EPOCHS: dict[str, dict[str, Any]] = {
    "a": {"epoch": 1, "active": "a", "previous": None, "planned": True},
    "b": {"epoch": 2, "active": "b", "previous": "a", "planned": True},
}
WAYS = {
    "plain": [],
    "the unprotected alone": ["--exclude-protected"],
    "on after an error": ["--continue-on-error"],
    "one server": ["--target", "**region-db-1-server", "--target-dependents"],
    "one rule": ["--target", "**region-network-app-*", "--target-dependents"],
}


class Standing:
    """A site that stands, active."""

    def __init__(self, clouds: Clouds, program: Program) -> None:
        self.clouds, self.program = clouds, program
        self.active("a")
        first = program.up()
        assert first.returncode == 0, first.stdout[-3000:]

    def active(self, site: str) -> None:
        number = EPOCHS[site]["epoch"]
        self.clouds.witness.epochs[f"epochs/{number:08d}.json"] = EPOCHS[site]

    def there(self) -> dict[str, list[str]]:
        """Ids at both platforms, by region and kind."""
        found = json.loads(json.dumps(self.clouds.all(), default=str))
        flat = {**found["openstack"], "ovh": found["ovh"]}
        return {
            f"{place} {kind}": sorted(map(str, those))
            for place, kinds in flat.items()
            for kind, those in kinds.items()
            if isinstance(those, dict | list)
        }

    def destroy(self, *how: str) -> str:
        done = self.program.run("destroy", *self.program.on, "--yes", "--skip-preview", *how)
        return f"{done.returncode} {done.stdout} {done.stderr}"

    def protected(self) -> set[str]:
        return {it["urn"].rsplit("::", 1)[1] for it in self.program.state() if it.get("protect")}

    def word(self, epoch: int, at: str = "") -> dict[str, Any]:
        return {"site": "a", "epoch": epoch, "at": at or spelled(), "reason": "the shop is closed for good"}

    def must_up(self) -> None:
        done = self.program.up()
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.fixture(scope="module")
def site(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    clouds = Clouds()
    clouds.start()
    try:
        yield Standing(clouds, Program(tmp_path_factory.mktemp("destroy"), toolchain, clouds.configuration()))
    finally:
        clouds.stop()


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_the_active_site_goes_whatever_the_engine_is_asked(way: str, site: Standing) -> None:
    before = site.there()
    site.destroy(*WAYS[way])
    assert site.there() == before


def test_protection_that_somebody_has_lifted_leaves_the_keeper_who_asks_the_witness(site: Standing) -> None:
    before = site.there()
    site.program.must("state", "unprotect", "--all", "--yes", "--stack", "region-a")
    assert site.protected() == set()
    said = site.destroy("--continue-on-error")
    assert site.there() == before
    assert "destroy of region a: it is active (epoch 1)" in said and "Traceback" not in said


def test_a_plain_run_puts_protection_back(site: Standing) -> None:
    site.must_up()
    assert site.protected() == PROTECTED


def test_what_a_configuration_may_change_changes(site: Standing) -> None:
    """A server of a new generation, a host less, another rule: none of it is held up by what guards the rest."""
    values = site.program.values
    values["regions"] = site.program.regions(host_generation={"db-1": 2})
    values["operator_cidrs"] = ["192.0.2.0/25"]
    values["app"] = {**values["app"], "hosts": 1}
    before = site.there()
    site.program.configure()
    site.must_up()
    after = site.there()
    assert len(after["GRA11 servers"]) == len(before["GRA11 servers"]) - 1
    assert after["GRA11 volumes"] == before["GRA11 volumes"]
    assert site.program.preview() == {}


def test_what_would_take_addresses_away_is_refused_by_a_preview_and_by_a_run_without_one(site: Standing) -> None:
    """A run that has no preview has begun with what does not depend on it: rules, which the next one puts right."""
    before = site.there()
    site.program.configure(regions=site.program.regions(front_cidr="10.77.0.0/24"))
    refused = site.program.run("preview", *site.program.on), site.program.up()
    site.program.configure()
    for each in refused:
        assert each.returncode != 0 and "currently marked for protection" in each.stdout + each.stderr
    after = site.there()
    assert {kind for kind in before if before[kind] != after[kind]} <= {"GRA11 rules"}


def test_a_word_that_is_over_lifts_nothing(site: Standing) -> None:
    site.program.configure(destroy=site.word(1, spelled(seconds(spelled()) - HOUR_S - 61)))
    site.must_up()
    assert site.protected() == PROTECTED


def test_a_standby_goes_by_its_word_and_its_data_stay(site: Standing) -> None:
    site.active("b")
    site.program.configure(failover_region="b", destroy=site.word(2))
    site.must_up()
    assert site.protected() == set()
    said = site.destroy()
    assert said.startswith("0 "), said[-3000:]
    left = {kind: those for kind, those in site.there().items() if kind.startswith("GRA11") or kind.startswith("ovh")}
    assert left["GRA11 servers"] == left["GRA11 ports"] == left["GRA11 floating_ips"] == []
    assert len(left["GRA11 volumes"]) == 1
