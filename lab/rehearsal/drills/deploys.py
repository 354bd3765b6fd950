"""Releases that come and go while customers order."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from contract import artefact
from contract.release import Manifest
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.planned import nothing_lost
from lab.rehearsal.stage import Record, Shop, Stage

RATE = 50.0
EXPAND = """class AddNote < ActiveRecord::Migration[7.2]
  def change
    add_column :orders, :note, :text
  end
end
"""
CONTRACT = EXPAND.replace("AddNote", "DropNote").replace(
    "add_column :orders, :note, :text", "remove_column :orders, :note"
)
FAILS = EXPAND.replace("AddNote", "Fails").replace("add_column :orders", "add_column :nowhere")
DIES = "web: sh -c 'exit 1'\nworker: ruby bin/worker\nrelease: ruby bin/migrate\n"


@drill("deployed-under-load")
def deployed_under_load(stage: Stage, record: Record) -> None:
    """A release comes to both regions and goes again while customers order 50 a second: no request fails. One whose process ends by itself, and one whose
    migration fails, are taken back.
    """
    shop_key = stage.world.whole("a")["dr:shop"]
    for site in "ab":
        stage.world.configure(site, "shop", dict(shop_key))
    one, two, breaks, fails, dies = (
        release(stage, name, files)
        for name, files in (
            ("one", {"VERSION": "1\n"}),
            ("two", {"VERSION": "2\n", "db/migrate/20260101000002_add_note.rb": EXPAND}),
            ("breaks", {"db/migrate/20260101000003_drop_note.rb": CONTRACT}),
            ("fails", {"db/migrate/20260101000004_fails.rb": FAILS}),
            ("dies", {"Procfile": DIES}),
        )
    )
    for each in (one, two, breaks, fails, dies):
        _typed(stage, record, 0, "releases", "push", str(each), "--config-file", str(stage.pulumi.files["a"]))
    with stage.shopping(record, rate=RATE) as shop:
        began = time.monotonic()
        _timed(stage, record, shop, "first", 0, "deploy", _digest(one), "--yes")
        _timed(stage, record, shop, "deploy", 0, "deploy", _digest(two)[:12], "--yes", "--reason", "a drill")
        runs = _runs(stage)
        record.expect(set(runs.values()) == {_digest(two)}, f"after the deploy hosts run {runs}")
        _timed(stage, record, shop, "dies", 1, "deploy", _digest(dies), "--yes")
        _timed(stage, record, shop, "fails", 1, "deploy", _digest(fails), "--yes")
        runs = _runs(stage)
        record.expect(set(runs.values()) == {_digest(two)}, f"after two that were taken back hosts run {runs}")
        refused = _typed(stage, record, 3, "deploy", _digest(breaks), "--yes")
        record.expect("remove_column orders" in refused, f"the refusal does not name the migration: {refused[-600:]}")
        # Named: the newest record is of one that was taken back, behind which there is nothing to go back from.
        _timed(stage, record, shop, "rollback", 0, "rollback", _digest(one), "--yes")
        runs = _runs(stage)
        record.expect(set(runs.values()) == {_digest(one)}, f"after the rollback hosts run {runs}")
        record.figures |= {"failed_requests": shop.failures(began), "longest_gap_s": shop.gap(began)}
        shop.flow("orders flow by the release before")
    nothing_lost(record)
    record.expect(record.figures["failed_requests"] == 0, f"{record.figures['failed_requests']} requests failed")
    for site in "ab":
        changes = stage.pulumi.preview_changes(site)
        record.expect(not changes, f"a run of region {site} would change {changes}")
        stage.world.configure(site, "shop", None)


def _timed(stage: Stage, record: Record, shop: Shop, name: str, code: int, *words: str) -> None:
    began = time.monotonic()
    _typed(stage, record, code, *words)
    record.figures[f"{name}_s"] = round(time.monotonic() - began, 1)
    record.figures[f"{name}_failed"] = shop.failures(began)


def _typed(stage: Stage, record: Record, code: int, *words: str) -> str:
    where = () if "--config-file" in words else ("--config-dir", str(stage.pulumi.files["a"].parent))
    done = stage.pulumi.typed(*words, *where)
    told = f"{done.stdout}{done.stderr}"
    (stage.world.places.run / f"drctl-{words[0]}-{time.monotonic():.0f}.log").write_text(told)
    record.expect(
        done.returncode == code,
        f"drctl {' '.join(words[:2])} ended with {done.returncode}, wanted {code}: {told[-2500:]}",
    )
    record.expect("Traceback" not in told, f"drctl {words[0]}: {told[-800:]}")
    return told


def release(stage: Stage, name: str, files: dict[str, str]) -> Path:
    """The example, with these files of it otherwise."""
    folder = stage.world.places.run / "releases" / name
    shutil.copytree(stage.pulumi.project / "examples/shop", folder, ignore=shutil.ignore_patterns("tmp", "log"))
    for path, text in files.items():
        (folder / path).write_text(text)
    procfile = dict(line.split(": ", 1) for line in (folder / "Procfile").read_text().splitlines())
    target = folder.with_suffix(".tar.gz")
    artefact.pack(
        Manifest(files={}, processes=procfile),
        {it.relative_to(folder).as_posix(): it for it in sorted(folder.rglob("*")) if it.is_file()},
        target,
    )
    return target


def _digest(file: Path) -> str:
    return artefact.sha256(file)


def _runs(stage: Stage) -> dict[str, str]:
    """By app host of both regions, its release."""
    found = {}
    for site in "ab":
        with stage.world.hosts(site) as run:
            for host in ("app-1", "app-2"):
                told = run(f"{host}.{site}", "readlink /opt/shop/current").stdout.decode().strip()
                found[f"{host}.{site}"] = told.rpartition("/")[2]
    return found
