"""The pinned pulumi tells the events that `drctl` reads, by the flags that it is asked with."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.toolchain.tools import Toolchain
from scripts.ctl.moves import engine
from scripts.ctl.moves.engine import Step
from scripts.ctl.stacks.stack import Stack as Chosen
from tests.providers.stacks import Stack

PROGRAM = """
import pulumi
from pulumi_command import local
fence = local.Command("fence-claim", create="true")
local.Command("postgres-converge", create="echo 'database: a sentence of ours' >&2; exit 3", opts=pulumi.ResourceOptions(depends_on=[fence]))
"""


def chosen(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Chosen:
    """As `drctl` takes it, in the environment of the trial."""
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    return Chosen(name="trial", folder=stack.folder, program=str(stack.toolchain.pulumi))


def test_links_are_told_as_they_run_and_a_failure_by_its_sentence(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(tmp_path / "stack", toolchain, PROGRAM)
    steps: list[Step] = []
    done = engine.up(chosen(stack, monkeypatch), steps.append)
    assert not done.ok
    assert [(it.link, it.state) for it in steps] == [
        ("fence", "begun"), ("fence", "done"), ("database", "begun"), ("database", "failed"),
    ]  # fmt: skip
    assert any("a sentence of ours" in text for text in done.errors), done


UNMADE = """
import pulumi
import pulumi_openstack as openstack
from pulumi_command import local
silent = openstack.Provider("silent", auth_url="http://127.0.0.1:9/v3", user_name="dr", password="none", tenant_id="none", delayed_auth=True)
server = openstack.networking.Network("region-app-3-server", opts=pulumi.ResourceOptions(provider=silent))
converge = local.Command("region-app-3-converge", create="true", opts=pulumi.ResourceOptions(depends_on=[server]))
local.Command("fence-claim", create="touch claimed", opts=pulumi.ResourceOptions(depends_on=[converge]))
"""


def test_a_move_makes_nothing_of_the_platform_and_ends_before_the_fence_where_something_is_missing(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(tmp_path / "stack", toolchain, UNMADE)
    steps: list[Step] = []
    done = engine.up(chosen(stack, monkeypatch), steps.append, limited=True)
    assert not done.ok and steps == [] and not (stack.folder / "claimed").exists()
    assert any("region-app-3-converge: stands on region-app-3-server" in text for text in done.errors), done


LINKS = """
import pulumi
from pulumi_command import local
turn = pulumi.Config().require("turn")
first = local.Command("fence-claim", create=f"echo turn-{turn} | tee -a claims")
kills = "test ! -e kills || kill -9 $(ps -o ppid= -p $PPID)"  # the engine, which has started who runs this
looks = f"cp state/.pulumi/stacks/trial/trial.json seen-{turn}; {kills}"
local.Command("postgres-converge", create=looks, opts=pulumi.ResourceOptions(depends_on=[first]))
"""


def test_a_move_keeps_its_state_at_its_end_and_one_that_is_killed_is_done_again(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(tmp_path / "stack", toolchain, LINKS)
    trial = chosen(stack, monkeypatch)
    state = stack.folder / "state/.pulumi/stacks/trial/trial.json"

    def moved(turn: int, *, limited: bool) -> str:
        """What was kept of the run while its second link ran."""
        stack.call("config", "set", "turn", str(turn), check=True)
        assert engine.up(trial, lambda _: None, limited=limited).ok
        assert f"turn-{turn}" in state.read_text()
        return (stack.folder / f"seen-{turn}").read_text()

    assert "turn-1" in moved(1, limited=False)
    assert "turn-2" not in moved(2, limited=True), "each link waited for the state to be written"
    (stack.folder / "kills").touch()
    stack.call("config", "set", "turn", "3", check=True)
    assert not engine.up(trial, lambda _: None, limited=True).ok
    assert "turn-3" not in state.read_text()
    stack.call("cancel", "--yes", check=True)  # the lock of the one that was killed
    (stack.folder / "kills").unlink()
    assert stack.call("up", "--yes", "--skip-preview", check=True).changed() == {"updated": 2}
    assert (stack.folder / "claims").read_text().split() == ["turn-1", "turn-2", "turn-3", "turn-3"]


TOLD_TWICE = """
import pulumi
from pulumi_command import local
turn = pulumi.Config().require("turn")
first = local.Command("fence-claim", create=f"echo turn-{turn}")
engine = "$(ps -o ppid= -p $PPID)"
twice = f"rm ends && kill -INT {engine}; while kill -INT {engine}; do sleep 0.5; done"
local.Command("postgres-converge", create=f"echo {turn}; test ! -e ends || ({twice})", opts=pulumi.ResourceOptions(depends_on=[first]))
"""


def test_one_that_is_told_twice_to_end_keeps_what_it_did_and_the_next_one_says_what_was_left(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(tmp_path / "stack", toolchain, TOLD_TWICE)
    trial = chosen(stack, monkeypatch)
    stack.call("config", "set", "turn", "1", check=True)
    (stack.folder / "ends").touch()
    assert not engine.up(trial, lambda _: None, limited=True).ok
    assert "turn-1" in (stack.folder / "state/.pulumi/stacks/trial/trial.json").read_text()
    again = engine.up(trial, lambda _: None, limited=True)
    assert again.ok and any("was ended at once while it was at postgres-converge" in text for text in again.warnings)
    assert not any("pulumi refresh" in text for text in again.warnings)
