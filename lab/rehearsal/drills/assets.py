"""Objects that were uploaded around the loss of a region."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from lab.rehearsal.drills import drill
from lab.rehearsal.drills.lost import evidence, loss_is_counted, take_over
from lab.rehearsal.drills.planned import move, nothing_lost
from lab.rehearsal.stacks import SITES
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import wait_for


class Bucket:
    """The asset bucket of one site, as the shop of that site would reach it."""

    def __init__(self, stage: Stage, site: str) -> None:
        self.name = f"shop-{stage.world.lab['ovh']['service_name'][:8]}-{site}-assets"
        self.s3 = stage.world.s3(SITES[site][1])

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=body, ContentType="text/plain", CacheControl="max-age=60")

    def holds(self, key: str) -> bool:
        return self.get(key) is not None

    def get(self, key: str) -> bytes | None:
        try:
            return bytes(self.s3.get_object(Bucket=self.name, Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise


@drill("upload-before-the-kill")
def upload_before_the_kill(stage: Stage, record: Record) -> None:
    """What was uploaded in time is in the other region; what was uploaded in the last moment comes over when the region is back."""
    old, new, before = stage.active, stage.standby, evidence(stage, stage.active)
    mine, theirs, name = Bucket(stage, old), Bucket(stage, new), uuid.uuid4().hex
    with stage.shopping(record) as shop:
        mine.put(f"{name}/early", b"early")
        wait_for("the early upload is in the other region", lambda: theirs.get(f"{name}/early") == b"early", 60, 0.5)
        mine.put(f"{name}/late", b"late")
        stage.fault("region", "kill", old)
        take_over(stage, record, shop, rung=3)
        told = (stage.epoch().loss or {}).get("assets") or {}
        record.expect(
            told.get("replicated_until") is not None, f"the epoch does not say until when uploads were copied: {told}"
        )
        theirs.put(f"{name}/early", b"newer, written by the shop after the take-over")
        record.figures["late_upload_was_there"] = theirs.get(f"{name}/late") is not None
        stage.settle()
        wait_for("the late upload came over", lambda: theirs.get(f"{name}/late") == b"late", 240, 1.0)
        wait_for(
            "the newer object went back", lambda: (mine.get(f"{name}/early") or b"").startswith(b"newer"), 120, 1.0
        )
        record.expect(
            (theirs.get(f"{name}/early") or b"").startswith(b"newer"), "an older object was laid over a newer one"
        )
    loss_is_counted(stage, record, old, before)


@drill("assets-native")
def assets_native(stage: Stage, record: Record) -> None:
    """Mode native: the platform's own rules carry what is uploaded, and turn round with the shop."""
    copying = stage.world.config["dr:assets"]
    _mode(stage, {**copying, "mode": "native"})
    name = uuid.uuid4().hex
    with stage.shopping(record) as shop:
        for turn in ("there", "back"):
            key = f"{name}/{turn}"
            Bucket(stage, stage.active).put(key, turn.encode())
            wait_for(f"the platform has carried {turn}", partial(Bucket(stage, stage.standby).holds, key), 120, 0.5)
            if turn == "there":
                move(stage, record, shop)
                stage.settle()
    nothing_lost(record)
    _mode(stage, copying)


def _mode(stage: Stage, assets: dict[str, Any]) -> None:
    """Both stacks copy assets like this from now on."""
    for site in (stage.active, stage.standby):
        stage.world.configure(site, "assets", assets)
        stage.must(stage.pulumi.up(site), site)
