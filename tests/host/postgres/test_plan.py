"""Plans of the database host from facts in files: tests/fixtures/facts/postgres/<case>.json, one story each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.epoch import Checkpoint, InForce
from contract.errors import DrError
from contract.sites import Role as Kind
from scripts.host.frame.rolefile import Role
from scripts.host.postgres.facts import Cluster, Facts, Live
from scripts.host.postgres.mark import Mark
from scripts.host.postgres.peer import Peer
from scripts.host.postgres.plan import Want, plan
from scripts.host.postgres.volume import Volume

CASES = sorted(Path(__file__).parents[2].joinpath("fixtures/facts/postgres").glob("*.json"))


def facts_of(document: dict[str, Any]) -> Facts:
    kinds: dict[str, Any] = {
        "role": Role,
        "mark": Mark,
        "volume": Volume,
        "cluster": Cluster,
        "live": Live,
        "peer": Peer,
    }
    values = {key: kinds[key](**_tuples(value)) if key in kinds and value else value for key, value in document.items()}
    return Facts(**_tuples(values))


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Lists of JSON as the tuples that facts are made of."""

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    return {key: frozen(value) for key, value in values.items()}


def want_of(case: dict[str, Any]) -> Want:
    site, epoch = case["site"], case["epoch"]
    peer = "b" if site == "a" else "a"
    checkpoint = Checkpoint(**epoch["checkpoint"]) if epoch["checkpoint"] else None
    role = Role(site, peer, Kind.PRIMARY if epoch["active"] == site else Kind.STANDBY, epoch["epoch"])
    return Want(
        role,
        InForce(
            epoch=epoch["epoch"],
            active=epoch["active"],
            previous=epoch["previous"],
            planned=epoch["planned"],
            checkpoint=checkpoint,
        ),
        f"db-1.{peer}.dr.internal",
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_plan_of(path: Path) -> None:
    case = json.loads(path.read_text())
    if "refused" in case:
        with pytest.raises(DrError) as refusal:
            plan(want_of(case), facts_of(case["facts"]))
        assert refusal.value.code == case["refused"]["code"]
        assert case["refused"]["says"] in str(refusal.value)
    else:
        assert [str(step) for step in plan(want_of(case), facts_of(case["facts"]))] == case["steps"]


def test_there_are_cases() -> None:
    assert len(CASES) > 30


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_no_plan_starts_a_standby_as_primary(path: Path) -> None:
    """Whatever the story: a host of the standby site starts PostgreSQL only with the role file and a standby.signal in place."""
    case = json.loads(path.read_text())
    if "steps" not in case or case["epoch"]["active"] == case["site"]:
        return
    steps = [step.split()[0] for step in case["steps"]]
    if "start" in steps:
        before = steps[: steps.index("start")]
        facts = case["facts"]
        assert facts.get("role", {}).get("role") == "standby" or "role" in before
        assert (facts.get("cluster") or {}).get("standby_signal") or "swap" in before or "standby-signal" in before
