"""The program's edge: what stops a run before anything is declared, and how it is said."""

from __future__ import annotations

import gc
import json
import runpy
import threading
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import config as runtime

from components import bundle, config
from components.remote import interpreter
from contract.buckets import Bucket
from contract.errors import Refused
from contract.services.processes import processes
from scripts.clients import run_lease
from scripts.links import power, preflight
from scripts.links.agreement import Side
from tests.components import engine, stack
from tests.conftest import Kept


def stored(values: dict[str, Any]) -> dict[str, str]:
    """A configuration as the engine hands it to a program: strings, structured ones as JSON."""
    return {f"dr:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for the leases of runs; returns the sites whose were taken."""
    sites: list[str] = []
    monkeypatch.setattr(run_lease.RunLease, "take", lambda lease: sites.append(lease._run.site))
    return sites


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, taken: list[str]) -> list[tuple[str, str, str]]:
    """Stands in for the witness, for the compute API and for packing; returns what was asked."""
    questions: list[tuple[str, str, str]] = []

    def check(side: Side, request: str, place: Bucket, _: object, destroy: object, *, runs: bool) -> preflight.Told:
        assert runs is not pulumi.runtime.is_dry_run(), "a preview looks alone"
        questions.append((side.site, request, place.bucket))
        return preflight.Told(mends=2, servers={"shop-b-db-1": "id-7"})

    monkeypatch.setattr(preflight, "check", check)
    monkeypatch.setattr(
        power, "start", lambda _, region, names, ids: questions.append((region, names[0], ids.get(names[0], "")))
    )
    packed = bundle.Bundle(path=".build/x", digest="0" * 12)
    monkeypatch.setattr(bundle, "dr_host", lambda _: packed)
    monkeypatch.setattr(bundle, "release", lambda *_: packed)
    return questions


def run(values: dict[str, Any], secret: tuple[str, ...] = ("dr:secrets",)) -> list[engine.Registered]:
    def program() -> None:
        runtime.set_all_config(stored(values), list(secret))
        runpy.run_path(str(stack.ROOT / "__main__.py"), run_name="__main__")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "disable", lambda: None)  # of this process, which lives on
        patch.setattr(pulumi, "get_stack", lambda: f"region-{values['site']}")
        found = engine.build(program, f"region-{values['site']}")
        for thread in threading.enumerate():
            if thread.name == "servers":
                thread.join(10)
        return found


def test_a_good_stack_asks_the_witness_and_declares(asked: list[tuple[str, str, str]]) -> None:
    resources = run(stack.configuration("b"))
    assert asked == [("b", "a", "shop-witness"), ("SBG5", "shop-b-db-1", "id-7")], (
        "its servers run before they are needed"
    )
    assert any(it.name == "dns-pointer" for it in resources)


def test_an_api_of_its_own_that_does_not_answer_holds_up_no_declaration(
    asked: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is told of resources once the program has returned: what is waited for in it is a part of each outage."""
    declared, waited = threading.Event(), list[bool]()
    monkeypatch.setattr(power, "start", lambda *_: waited.append(declared.wait(10)))

    def program() -> None:
        runtime.set_all_config(stored(stack.configuration("b")), ["dr:secrets"])
        runpy.run_path(str(stack.ROOT / "__main__.py"), run_name="__main__")
        declared.set()

    monkeypatch.setattr(gc, "disable", lambda: None)
    monkeypatch.setattr(pulumi, "get_stack", lambda: "region-b")
    engine.build(program, "region-b")
    for thread in threading.enumerate():
        if thread.name == "servers":
            thread.join(20)
    assert waited == [True]


def test_a_run_is_noted_with_what_it_brings_and_a_refusal_with_its_sentence(
    asked: list[tuple[str, str, str]], kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(stack.configuration("b", why="the autumn release"))
    assert kept.told() == [("run", "b")]
    (begun,) = (json.loads(body) for body in kept.objects.values())
    assert (begun["what"], begun["site"], begun["why"]) == ("run", "b", "the autumn release")
    assert begun["facts"].keys() == {"request", "release", "tool", "configuration", "secrets", "words"}
    assert not [marker for marker in ("secret-", "PRIVATE KEY", "5ec2e7") if marker in json.dumps(begun)]

    def refuse(*_: object, **__: object) -> None:
        raise Refused("region b has not taken over")

    monkeypatch.setattr(preflight, "check", refuse)
    with pytest.raises(pulumi.RunError):
        run(stack.configuration())
    assert kept.told() == [("run", "b"), ("refused", "a")]


def test_a_preview_is_not_noted_and_takes_no_lease(
    asked: list[tuple[str, str, str]], taken: list[str], kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    run(stack.configuration("b"))
    assert (kept.told(), taken) == ([], [])


def test_while_another_run_of_the_stack_lives_nothing_is_asked_or_declared(
    asked: list[tuple[str, str, str]], taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(stack.configuration("b"))
    assert taken == ["b"]
    asked.clear()

    def refuse(_: object) -> None:
        raise Refused("stack region-b: bob is at work there")

    monkeypatch.setattr(run_lease.RunLease, "take", refuse)
    with pytest.raises(pulumi.RunError, match="bob is at work there"):
        run(stack.configuration("b"))
    assert asked == []


def test_another_password_is_another_fingerprint_and_the_same_set_has_the_same() -> None:
    changed = stack.secrets()
    changed["redis"]["app"] = "another-password"
    one, same = (config.parse(stack.configuration()).fingerprint for _ in range(2))
    assert one == same != config.parse(stack.configuration(secrets=changed)).fingerprint


def test_a_refusal_of_the_witness_stops_the_run_with_one_sentence(
    asked: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Refused("region b has not taken over; run `pulumi up -s region-b`")

    monkeypatch.setattr(preflight, "check", refuse)
    with pytest.raises(pulumi.RunError, match=r"^region b has not taken over; run `pulumi up -s region-b`$"):
        run(stack.configuration())


def test_a_bad_stack_file_never_reaches_the_witness(asked: list[tuple[str, str, str]]) -> None:
    with pytest.raises(pulumi.RunError, match=r"2 faults(.|\n)*dr:failover_region(.|\n)*dr:project"):
        run(stack.configuration(failover_region="B", project="Shop"))
    assert asked == []


def test_what_does_not_fit_stops_a_preview(asked: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    app = {**stack.configuration()["app"], "threads": 64}
    with pytest.raises(pulumi.RunError, match=r"max_connections is 100, of which the shop may hold 94"):
        run(stack.configuration(app=app))
    jobs = bundle.Bundle(path=".build/x", digest="0" * 12, processes=tuple(processes("jobs: sidekiq", {})[0]))
    monkeypatch.setattr(bundle, "release", lambda *_: jobs)
    with pytest.raises(pulumi.RunError, match=r"dr:redis\.scripting is false, while jobs runs Sidekiq"):
        run(stack.configuration())


@pytest.mark.parametrize("dry", [False, True])
def test_what_does_not_fit_keeps_no_region_from_taking_over(
    asked: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch, *, dry: bool
) -> None:
    """Nor a run that goes on with what another one has begun: it is told."""
    warned = list[str]()
    monkeypatch.setattr(pulumi, "warn", lambda text, *_: warned.append(text))
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: dry)
    monkeypatch.setattr(preflight, "check", lambda *_, **__: preflight.Told(servers={}, takes_over=dry))
    run(stack.configuration(app={**stack.configuration()["app"], "threads": 64}))
    assert any("max_connections is 100, of which the shop may hold 94" in text for text in warned)


def test_secrets_in_clear_are_refused(asked: list[tuple[str, str, str]]) -> None:
    with pytest.raises(pulumi.RunError, match="dr:secrets is stored in clear"):
        run(stack.configuration(), secret=())
    assert asked == []


def test_text_where_a_structure_belongs_is_refused_by_name(asked: list[tuple[str, str, str]]) -> None:
    with pytest.raises(pulumi.RunError, match="dr:vrack is 'vlan 42'; wanted a mapping"):
        run(stack.configuration(vrack="vlan 42"))


def test_the_interpreter_of_a_checkout_is_named_without_its_path() -> None:
    assert interpreter("/srv/shop/.venv/bin/python", Path("/srv/shop")) == ".venv/bin/python"
    assert interpreter("/usr/bin/python3", Path("/srv/shop")) == "/usr/bin/python3"
