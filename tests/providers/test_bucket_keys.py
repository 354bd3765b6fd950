"""Keys of the buckets' users are made and taken away by the runs of a rotation, with the real engine and plugin, and a move in between needs none of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.toolchain.tools import Toolchain
from scripts.ctl.commands.rotate import ALSO
from scripts.ctl.moves import engine
from scripts.ctl.stacks.stack import Stack as Chosen
from tests.components.stack import ROOT
from tests.providers.test_ovh import Trial, policy

PROGRAM = f"""
import json
import sys
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, {str(ROOT)!r})

import pulumi
import pulumi_ovh as ovh
from pulumi_command import local
from components.asset_buckets import AssetBuckets
from components.settings import BucketKeys

given = json.loads(Path("given.json").read_text())
provider = ovh.Provider("ovh", **given["provider"])


class Users(pulumi.ComponentResource):
    _user = AssetBuckets._user

    def __init__(self):
        super().__init__("dr:index:AssetBuckets", "assets", {{}}, pulumi.ResourceOptions(providers=[provider]))
        secrets = SimpleNamespace(buckets=BucketKeys(**given["numbers"]))
        self._settings = SimpleNamespace(service_name="project0123", project="shop", site="a", secrets=secrets)
        self.ready = []
        self.keys = self._user("assets-user", "buckets", given["policy"], [])


users = Users()
told = users.keys.apply(lambda keys: f"echo {{keys['access_key']}} > told")
local.Command("app-turn", create=told, update=told, opts=pulumi.ResourceOptions(depends_on=users.ready))
local.Command("keeper-asks", create="true", opts=pulumi.ResourceOptions(depends_on=[users, *users.ready]))
pulumi.export("releases", users.keys)
"""


class Pair(Trial):
    """One user of a bucket, and one host that is told its key."""

    def __init__(self, folder: Path, toolchain: Toolchain) -> None:
        super().__init__(folder, toolchain)
        self.stack.write(PROGRAM)
        self._chosen = Chosen(name="trial", folder=self.stack.folder, program=str(toolchain.pulumi))

    def told(self, used: int, beside: int | None = None) -> None:
        given = {"provider": self.provider, "policy": policy("rw1"), "numbers": {"used": used, "beside": beside}}
        (self.stack.folder / "given.json").write_text(json.dumps(given))

    def run(self, also: tuple[str, ...] = ()) -> None:
        done = engine.up(self._chosen, lambda _: None, limited=True, also=also)
        assert done.ok, done.errors

    @property
    def keys(self) -> set[str]:
        """That the platform takes."""
        return set(self.api.credentials)

    @property
    def shown(self) -> str:
        """By the host."""
        return (self.stack.folder / "told").read_text().strip()

    def output(self) -> Any:
        told = self.stack.call("stack", "output", "releases", "--show-secrets", "--json", check=True)
        return json.loads(told.output)["access_key"]


@pytest.fixture
def pair(tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    it = Pair(tmp_path / "stack", toolchain)
    for name, value in it.stack.environment().items():
        monkeypatch.setenv(name, value)
    try:
        yield it
    finally:
        it.server.stop()


def test_two_keys_are_good_while_hosts_turn_and_a_move_makes_and_takes_away_none(pair: Pair) -> None:
    rotate: Callable[[], None] = lambda: pair.run(ALSO["buckets"])  # noqa: E731 - one word for a run of a rotation
    pair.told(1)
    pair.stack.up()
    (old,) = pair.keys
    assert pair.shown == old == pair.output()
    pair.told(1, 2)
    pair.run()  # a failover before the rotation's own run
    assert pair.keys == {old} and pair.shown == old
    rotate()
    (new,) = pair.keys - {old}
    assert pair.shown == old, "nobody shows it yet"
    pair.told(2, 1)
    pair.run()
    assert pair.keys == {old, new} and pair.shown == new
    pair.told(2)
    rotate()
    assert pair.keys == {new} and pair.output() == new, "whoever puts releases goes by what the stack gives out"
    assert pair.stack.up().changed() == {}, "a run of all of it finds nothing to do"
