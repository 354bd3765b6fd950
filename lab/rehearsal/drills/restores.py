"""A backup that nobody has restored is a hope: it is restored aside, and counted, while the shop sells."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contract.names import bucket_name
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.lost import all_archived, archive
from lab.rehearsal.drills.planned import nothing_lost
from lab.rehearsal.stacks import SITES
from lab.rehearsal.stage import DATABASE_HOST, Record, Shop, Stage
from lab.rehearsal.world import lab, wait_for

ASIDE = "/var/lib/postgresql/rehearsal"
COUNT = "select count(*) from orders"
STARTED = "select pg_postmaster_start_time()"


@dataclass(frozen=True)
class Archived:
    """What a rehearsal must bring back: `before`, the orders that were there before the customers came, and all that they were promised until `stored`
    (monotonic), when `segment` was closed.
    """

    before: int
    stored: float
    segment: str


@drill("restore-rehearsal")
def restore_rehearsal(stage: Stage, record: Record) -> None:
    """The newest backup is restored aside on the standby's host while the shop sells: all that was archived is there, and a damaged one is told."""
    active, standby = stage.active, stage.standby
    wait_for(
        "there is a backup in both repositories",
        lambda: all(found["backups"] for found in archive(stage, active)["repositories"].values()),
        180,
        1.0,
    )
    before, server = int(stage.sql(active, COUNT)), stage.sql(standby, STARTED)
    with stage.shopping(record) as shop:
        began, stored = time.time(), time.monotonic()  # what was acknowledged up to here will be in the archive
        segment = all_archived(stage, active)
        facts = _rehearsed(stage, record)
        if facts is not None:
            _all_is_there(stage, record, shop, facts, Archived(before, stored, segment))
            _damage_is_told(stage, record, facts["restored"])
        shop.flow("orders flow on")
        record.expect(shop.failures(stored) == 0, f"{shop.failures(stored)} requests failed while it was rehearsed")
    broken = [sample for sample in stage.samples(active, began) if not sample["writer"]]
    record.expect(not broken, f"the writer paused {len(broken)} times while it was rehearsed")
    record.expect(stage.sql(standby, STARTED) == server, "the standby's server was started anew")
    record.expect(stage.world.status(standby).get("streaming") is True, "the standby does not stream any more")
    nothing_lost(record)


def rehearse(stage: Stage, **order: Any) -> tuple[int, str, str]:
    """On the standby's host: exit code, stdout, stderr. Through its namespaces: an ssh of the stage does not wait for so long."""
    document = json.dumps({"directory": ASIDE, "repository": stage.standby, **order})
    # No echo: that of a plain shell makes lines of a certificate's escapes.
    text = f"printf %s '{document}' | python3 /opt/dr/dr-host.pyz archive rehearse"
    done = lab("ssh", f"{DATABASE_HOST}.{stage.standby}", "--", "sh", "-c", text, check=False)
    return done.returncode, done.stdout, done.stderr


def _rehearsed(stage: Stage, record: Record) -> dict[str, Any] | None:
    """Facts of a rehearsal that has to be whole."""
    code, said, why = rehearse(stage)
    record.expect(code == 0, f"the rehearsal ended with {code}: {why.strip()[-500:]}")
    if code:
        return None
    facts: dict[str, Any] = json.loads(said)["facts"]
    record.figures["rehearsal"] = {
        "restore_s": facts["restore_s"],
        "all_s": facts["all_s"],
        "blocks": facts["checksums"]["blocks"],
        "orders": facts["databases"]["shop"]["by_table"]["public.orders"],
    }
    return facts


def _all_is_there(stage: Stage, record: Record, shop: Shop, facts: dict[str, Any], archived: Archived) -> None:
    found = record.figures["rehearsal"]["orders"]
    promised = sum(event["event"] == "ack" and event["mono"] <= archived.stored for event in shop.events())
    least = archived.before + promised
    record.expect(
        found >= least,
        f"{found} orders were restored, {least} were acknowledged before their segment was archived",
    )
    now = int(stage.sql(stage.active, COUNT))
    record.expect(found <= now, f"{found} orders were restored, and there are {now}")
    restored = facts["restored"]
    record.expect(
        (restored["archived_to"] or "") >= archived.segment and not restored["short"],
        f"the rehearsal was to reach {restored['archived_to']} (short: {restored['short']}), wanted {archived.segment} at least",
    )
    record.expect(facts["checksums"]["bad"] == 0, f"pages that do not fit: {facts['checksums']}")
    left = stage.line(f"{DATABASE_HOST}.{stage.standby}", f"sh -c 'ls -d {ASIDE}* || true'").split()
    record.expect(not left, f"the rehearsal has left {left}")


def _damage_is_told(stage: Stage, record: Record, restored: dict[str, Any]) -> None:
    """A rehearsal of a backup with one wrong byte fails with words that name the repository and the other one."""
    with _damaged(stage, restored):
        code, _, why = rehearse(stage)
    stage.line(f"{DATABASE_HOST}.{stage.standby}", f"sh -c 'rm -rf {ASIDE} {ASIDE}.*'")
    record.figures["rehearsal"]["damaged"] = why.strip()[-300:]
    record.expect(code == 1, f"a rehearsal of a damaged backup ended with {code}, wanted 1")
    for word in (f"restore from repository {stage.standby}", f"try `repository` {stage.active}"):
        record.expect(word in why, f"the rehearsal of a damaged backup does not say {word!r}: {why.strip()[-500:]}")


@contextlib.contextmanager
def _damaged(stage: Stage, restored: dict[str, Any]) -> Iterator[None]:
    """While the block runs one byte of the largest object of that backup is another."""
    site = restored["repository"]
    s3, bucket = (
        stage.world.s3(SITES[site][1]),
        bucket_name("shop", stage.world.lab["ovh"]["service_name"], site, "wal"),
    )
    prefix = f"pgbackrest/backup/{restored['cluster']}/{restored['backup']}/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}pg_data/")
    objects = [row for page in pages for row in page.get("Contents", ())]
    key = max(objects, key=lambda row: int(row["Size"]))["Key"]
    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    middle = len(body) // 2
    s3.put_object(Bucket=bucket, Key=key, Body=body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :])
    try:
        yield
    finally:
        s3.put_object(Bucket=bucket, Key=key, Body=body)
