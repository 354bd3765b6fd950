"""What somebody removes who has come by a key: it is in the versions, which no key removes, and comes back from there, counted."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import subprocess
import sys
import time
import uuid
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from contract.names import bucket_name
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.assets import Bucket
from lab.rehearsal.drills.lost import all_archived, archive
from lab.rehearsal.drills.restores import COUNT, rehearse
from lab.rehearsal.stacks import SITES
from lab.rehearsal.stage import DATABASE_HOST, Record, Stage
from lab.rehearsal.world import PROJECT, lab, wait_for
from lab.s3 import times
from lab.s3.gateway import connect

UPLOADS = 25


class Thief:
    """Somebody with one key, at one bucket of the lab."""

    def __init__(self, stage: Stage, site: str, kind: str, keys: tuple[str, str]) -> None:
        self.region = SITES[site][1]
        self.bucket = bucket_name("shop", stage.world.lab["ovh"]["service_name"], site, kind)
        self._root = stage.world.s3(self.region)
        self._keys, self._server = keys, stage.world.lab["s3"][self.region]["endpoint"]
        self._own = connect(self._server, self.region, *keys)
        self._home = stage.world.places.disks / "s3" / self.region

    @property
    def endpoint(self) -> dict[str, str]:
        """As a document of dr-assets names it."""
        access, secret = self._keys
        place = {"endpoint": self._server, "region": self.region, "bucket": self.bucket}
        return {**place, "access_key": access, "secret_key": secret}

    def empty(self) -> int:
        """All that is current goes; how many objects."""
        keys = list(self.listing())
        for key in keys:
            self._own.delete_object(Bucket=self.bucket, Key=key)
        times.put_right(self._home)
        return len(keys)

    def listing(self) -> dict[str, str]:
        """Etags of all that is current, by key."""
        pages = self._root.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {row["Key"]: row["ETag"] for page in pages for row in page.get("Contents", ())}

    def removed(self, *, root: bool) -> list[str]:
        """Versions that could be removed for good, with the project's own key or with the stolen one."""
        s3, gone = self._root if root else self._own, []
        pages = self._root.get_paginator("list_object_versions").paginate(Bucket=self.bucket)
        for row in [row for page in pages for row in page.get("Versions", ())]:
            try:
                s3.delete_object(Bucket=self.bucket, Key=row["Key"], VersionId=row["VersionId"])
                gone.append(row["Key"])
            except ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDenied", error
        return gone


def before_now() -> str:
    """A moment after all that was done and before all that is to come, in whole seconds, as stores tell times."""
    moment = float(int(time.time()) + 1)
    wait_for("the next second has begun", lambda: time.time() >= moment + 1, 5)
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat()


@drill("repository-emptied")
def repository_emptied(stage: Stage, record: Record) -> None:
    """Both repositories are emptied with the archive's own key: a restore as of before counts every order, and put back they go on as they were."""
    active, before = stage.active, sold(stage, record)
    backed_up(stage, active)
    all_archived(stage, active)
    moment = before_now()
    thieves = [Thief(stage, site, "wal", _archive_keys(stage, site)) for site in "ab"]
    for thief in thieves:
        record.expect(thief.empty() > 0, f"bucket {thief.bucket} had nothing to remove")
        for root in (False, True):
            gone = thief.removed(root=root)
            record.expect(not gone, f"{len(gone)} versions of {thief.bucket} were removed for good (root: {root})")
    for site in "ab":
        code, said, why = rehearse(stage, repository=site, repository_at=moment)
        record.expect(code == 0, f"the restore from {site} as of {moment} ended with {code}: {why.strip()[-500:]}")
        if code == 0:
            facts = json.loads(said)["facts"]
            found = facts["databases"]["shop"]["by_table"]["public.orders"]
            record.figures[f"restored_from_{site}"] = {"orders": found, "restore_s": facts["restore_s"]}
            record.expect(found == before, f"{found} orders came back from {site}, there were {before}")
    for thief, other in (thieves, thieves[::-1]):
        put_back(stage, record, thief, other, moment)
    stage.line(f"{DATABASE_HOST}.{active}", "systemctl start dr-archive-check")
    backed_up(stage, active)
    all_archived(stage, active)


def put_back(stage: Stage, record: Record, at: Thief, beside: Thief, moment: str) -> None:
    """`dr-assets undelete` of one bucket, by a person who holds its key."""
    ends = {"source": beside.endpoint, "target": at.endpoint}
    job = json.dumps({"schema": 1, "state_dir": f"/var/tmp/undelete-{at.region}", **ends})  # noqa: S108 - on a host of the lab
    host = f"control-1.{stage.active}"
    command = f"python3 /opt/dr/dr-assets.pyz undelete --compact --since {moment} --config -"
    done = lab("ssh", host, "--", "sh", "-c", f"printf %s '{job}' | {command}", check=False)
    record.expect(done.returncode == 0, f"undelete of {at.bucket} ended with {done.returncode}: {done.stderr[-500:]}")
    if done.returncode == 0:
        record.figures[f"put_back_{at.region}"] = json.loads(done.stdout)["found"]


def sold(stage: Stage, record: Record) -> int:
    """Customers have ordered, and have gone: how many orders there are."""
    with stage.shopping(record) as shop:
        shop.flow()
    return int(stage.sql(stage.active, COUNT))


def backed_up(stage: Stage, site: str) -> None:
    """Wait until there is a backup in both repositories."""
    wait_for(
        "there is a backup in both repositories",
        lambda: all(found["backups"] for found in archive(stage, site)["repositories"].values()),
        240,
        1.0,
    )


def _archive_keys(stage: Stage, site: str) -> tuple[str, str]:
    """As they lie on the host that archives."""
    text = stage.line(f"{DATABASE_HOST}.{stage.active}", f"cat /etc/dr/archive/{site}.conf")
    found = dict(re.findall(r"^repo1-s3-(key|key-secret)=(.*)$", text, re.MULTILINE))
    return found["key"], found["key-secret"]


@drill("assets-emptied")
def assets_emptied(stage: Stage, record: Record) -> None:
    """The active site's assets are emptied with the copier's key: `dr-assets undelete` brings every object back, the other site keeps all of its own."""
    active, name = stage.active, uuid.uuid4().hex
    mine, theirs = Bucket(stage, active), Bucket(stage, stage.standby)
    for number in range(UPLOADS):
        mine.put(f"{name}/{number:03}", f"upload {number}".encode())
    wait_for("the last upload is in the other region", partial(theirs.holds, f"{name}/{UPLOADS - 1:03}"), 60, 0.5)
    host = f"control-1.{active}"
    job: dict[str, Any] = json.loads(stage.line(host, "cat /etc/dr/assets.json"))
    keys = job["target"]["access_key"], job["target"]["secret_key"]
    thief, other = Thief(stage, active, "assets", keys), Thief(stage, stage.standby, "assets", keys)
    before, there, moment = thief.listing(), other.listing(), before_now()
    record.expect(thief.empty() == len(before) >= UPLOADS, f"bucket {thief.bucket} held {len(before)} objects")
    record.expect(not thief.removed(root=False), "the copier's key removed versions for good")
    command = f"python3 /opt/dr/dr-assets.pyz undelete --compact --config /etc/dr/assets.json --since {moment}"
    done = lab("ssh", host, "--", "sh", "-c", command, check=False)
    record.expect(done.returncode == 0, f"undelete ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    after = thief.listing()
    record.figures["undeleted"] = {"before": len(before), "after": len(after)}
    record.expect(
        after == before, f"{len(after)} objects came back, {len(before)} were there, or their contents differ"
    )
    record.expect(other.listing().items() >= there.items(), "the other site's bucket has lost objects")


@drill("account-lost")
def account_lost(stage: Stage, record: Record) -> None:
    """The storage of both regions is gone with its account: a copy that somebody pulled from outside brings every order back."""
    active, before = stage.active, sold(stage, record)
    kept = stage.world.configure(active, "archive", {**stage.world.config["dr:archive"], "offsite": True})
    stage.must(stage.pulumi.up(active), active)
    backed_up(stage, active)
    all_archived(stage, active)
    ours = Thief(stage, active, "wal", _reader(stage, active))
    refused = "a reader's key removed something"
    with contextlib.suppress(ClientError):
        ours.empty()
        record.faults.append(refused)
    copy = _elsewhere(stage)
    job = {"schema": 1, "state_dir": str(stage.world.places.run / "offsite"), "source": ours.endpoint, "target": copy}
    done = subprocess.run(  # somebody else's machine: this one
        [sys.executable, "-m", "scripts.assets", "offsite", "--compact", "--config", "-"],
        cwd=PROJECT,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
    )
    record.expect(done.returncode == 0, f"the copy ended with {done.returncode}: {done.stderr[-500:]}")
    for site in "ab":
        stage.fault("storage", "kill", site)
    tls = stage.world.lab["s3_tls"]
    outside = {**copy, "endpoint": tls["endpoints"]["de"], "ca": tls["ca"]}
    code, said, why = rehearse(stage, repository=None, **{"from": outside})
    record.expect(code == 0, f"the restore from outside ended with {code}: {why.strip()[-500:]}")
    if code == 0:
        facts = json.loads(said)["facts"]
        found = facts["databases"]["shop"]["by_table"]["public.orders"]
        record.figures["restored_from_outside"] = {"orders": found, "restore_s": facts["restore_s"]}
        record.expect(found == before, f"{found} orders came back from outside, there were {before}")
    stage.world.fault("return-all")
    stage.world.configure(active, "archive", kept)
    stage.must(stage.pulumi.up(active), active)


def _reader(stage: Stage, site: str) -> tuple[str, str]:
    """The keys that the stack gives out."""
    found = stage.pulumi.output(site, "offsite")
    return found["access_key"], found["secret_key"]


def _elsewhere(stage: Stage) -> dict[str, str]:
    """A locked bucket that is none of the project's, and a key of its own account, as a document of dr-assets names them."""
    s3, name, keys = stage.world.s3("de"), f"elsewhere-{uuid.uuid4().hex[:8]}", stage.world.lab["root_s3"]
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=lock)
    place = {"endpoint": stage.world.lab["s3"]["de"]["endpoint"], "region": "de", "bucket": name}
    return {**place, "access_key": keys["access_key"], "secret_key": keys["secret_key"]}
