"""A drill that cannot fail proves nothing: each guard is switched off in a copy of the product, and the drill that watches it must turn red.

The copy is what `pulumi up` runs then, so hosts get the weakened software too; afterwards the product itself puts everything right.
"""

from __future__ import annotations

import shutil

import pytest

from lab.rehearsal.drills import DRILLS
from lab.rehearsal.stage import Record
from lab.rehearsal.world import PROJECT

pytestmark = [pytest.mark.lab, pytest.mark.proof]

# guard: (file, what stands there, what stands there without the guard, drill that must see it, words with which it must)
GUARDS = {
    "fence: nobody waits until the lease has run out": (
        "scripts/ctl/rungs.py",
        "silent = self._await(epoch, self._silence_s - min(granted.values()))",
        "silent = {}",
        "isolated-region",
        "two writers at once",
    ),
    "witness: an epoch may be claimed twice": (
        "scripts/ctl/witness.py",
        'self._s3.put_object(Bucket=self.bucket, Key=key, Body=_bytes(body), IfNoneMatch="*", ContentType="application/json")',
        '__import__("time").sleep(5); self._s3.put_object(Bucket=self.bucket, Key=key, Body=_bytes(body), ContentType="application/json")',
        "two-operators",
        "claimed more than once",
    ),
    "guard: a service starts whatever the witness says": (
        "scripts/host/guard.py",
        "    if found.active is not None and found.active != Active(role.epoch, role.site):",
        "    if role:\n        return 'whatever the witness says'\n    if found.active is not None and found.active != Active(role.epoch, role.site):",
        "region-returns-without-agent",  # the agent would stop what the guard has let start
        "the guard has refused: not within",
    ),
    "budget: any loss is within it": (
        "scripts/ctl/loss.py",
        "    found = []\n    if loss.bytes > budget.max_lag_bytes:",
        "    return []\n    if loss.bytes > budget.max_lag_bytes:",
        "loss-over-budget",
        "was not refused",
    ),
    "checkpoint: nobody waits for the old primary's last record": (
        "scripts/host/postgres.py",
        "            server.wait_replayed(checkpoint.lsn, checkpoint.timeline, limit)\n",
        "",
        "planned-move-stream-cut-at-the-stop",
        "was not refused",
    ),
    "age: a heartbeat is as old as its host's own clock says": (
        "scripts/ctl/witness.py",
        'age_s=(now - answer["LastModified"]).total_seconds()',
        'age_s=(now - __import__("datetime").datetime.fromisoformat(json.loads(body)["at"])).total_seconds()',
        "clock-off-on-one-side",
        "the age of the last heartbeat is not a true one",
    ),
    "follow: a region may take over before it has followed": (
        "scripts/ctl/epochs.py",
        "    if followed == newest.epoch:",
        "    if newest.epoch:",
        "stale-stack-file",
        "was not refused",
    ),
}


@pytest.fixture
def weakened(stage, tmp_path):
    """`weakened(file, old, new)`: from now on `pulumi up` runs a copy of the product with that change, on both sides."""
    copy = tmp_path / "project"

    def weaken(file, old, new):
        for folder in ("components", "examples", "scripts"):
            shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(PROJECT / name, copy / name)
        (copy / ".venv").symlink_to((PROJECT / ".venv").resolve())
        text = (copy / file).read_text()
        assert text.count(old) == 1, f"{file} has changed: found {text.count(old)} places like {old!r}, wanted one"
        (copy / file).write_text(text.replace(old, new))
        stage.pulumi.project = copy
        for site in (stage.active, stage.standby):
            stage.must(stage.pulumi.up(site), site)

    yield weaken
    stage.pulumi.project = PROJECT
    stage.settle()
    for site in (stage.active, stage.standby):
        stage.must(stage.pulumi.up(site), site)


@pytest.mark.parametrize("guard", GUARDS)
def test_without_its_guard_the_drill_turns_red(stage, weakened, guard):
    file, old, new, name, words = GUARDS[guard]
    weakened(file, old, new)
    record = Record(name)
    try:
        DRILLS[name].play(stage, record)
        stage.settle(record)
    except (RuntimeError, AssertionError) as error:
        record.faults.append(str(error))
    print(guard, record.faults)
    assert any(words in fault for fault in record.faults), (
        f"{name} does not say {words!r} although {guard}: {record.faults}"
    )
