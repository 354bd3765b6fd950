"""Which way objects are copied: what is done in which order, what the copier is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.assets.config import parse
from scripts.host.assets import EPOCH, JOB, RECONCILE, SYNC, Assets, Desired, Facts, plan
from scripts.host.errors import Usage
from scripts.host.layout import Layout
from tests.host.test_frame import BUCKET, DOCUMENT

UNIT = f"/etc/systemd/system/{SYNC}.timer"


def document(active: str = "a", **block: Any) -> dict[str, Any]:
    peer = BUCKET | {"endpoint": "http://peer", "region": "sbg"}
    return {**DOCUMENT, "host": "control-1", "epoch": {**DOCUMENT["epoch"], "epoch": 3, "active": active}, "assets": {"source": peer, "target": BUCKET} | block}


def steps(facts: Facts, *, active: bool) -> list[str]:
    return [str(step) for step in plan(facts, active, 3)]


def test_a_host_that_is_as_wanted_is_left_alone() -> None:
    assert steps(Facts(timers=(SYNC,), role="standby", role_epoch=3), active=False) == []
    assert steps(Facts(timers=(RECONCILE,), role="primary", role_epoch=3), active=True) == []


def test_the_pull_ends_before_anything_else_when_the_site_becomes_active() -> None:
    found = steps(Facts(stale=(EPOCH, UNIT), timers=(SYNC,), role="standby", role_epoch=2), active=True)
    assert found == [f"stop {SYNC}", f"write {EPOCH}", f"write {UNIT}", "daemon-reload", "role primary", f"start {RECONCILE}"]


def test_a_new_epoch_starts_the_same_timer_anew_so_that_it_runs_at_once() -> None:
    assert steps(Facts(stale=(EPOCH,), timers=(SYNC,), role="standby", role_epoch=1), active=False) == [f"write {EPOCH}", "role standby", f"start {SYNC}"]


@pytest.mark.parametrize(("active", "says"), [("a", {"epoch": 3, "active": "a"}), ("b", {"epoch": 3, "active": "b"})])
def test_the_copier_takes_what_it_is_told(active: str, says: dict[str, Any]) -> None:
    files = {str(file.path): file for file in Assets(Desired.read(document(active)), Layout(), None).files()}  # type: ignore[arg-type]
    job = parse(json.loads(files[JOB].content))
    assert (job.source.endpoint, job.target.endpoint) == ("http://peer", "http://s3")
    assert (job.source_site, job.target_site) == ("b", "a")
    assert str(job.epoch_file) == EPOCH
    assert json.loads(files[EPOCH].content) == says
    assert files[JOB].mode == 0o600
    assert [path for path, file in files.items() if "A-SECRET" in file.content] == [JOB]


def test_a_bucket_without_keys_is_named() -> None:
    with pytest.raises(Usage, match=r"document\.assets\.source\.secret_key: found nothing"):
        Desired.read(document(source={key: value for key, value in BUCKET.items() if key != "secret_key"}))
