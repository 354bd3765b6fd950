"""The program itself fails at a step of a move: it raises, hangs, or is killed there. The shop is left in one of two states, and plain runs finish it.

Each point is a build of the product in which something stands before one line (`lab/rehearsal/builds.py`), and `pulumi up` of that build is the move.
What comes after it is the product's own, as an operator would type it: no `dr:repair`, no word.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from contract.sites import other
from lab.rehearsal.builds import Change, Strike, build
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.lost import evidence, loss_is_counted
from lab.rehearsal.drills.planned import nothing_lost
from lab.rehearsal.engine import Run
from lab.rehearsal.stage import Record, Shop, Stage
from lab.rehearsal.world import wait_for
from scripts.ctl.stacks.secrets import host_names

RETURNS_S = 120.0
# The fence's limit, where a step hangs: its usual one is longer than a drill may be.
SHORT_LIMIT = Change("components/remote.py", ' {LINKS_S[link]}"', ' {min(60, LINKS_S[link])}"')
SHORT_PATIENCE = Change("components/remote.py", "{KILLS_AFTER_S[link]} ", "5 ")

FENCE, PLANNED, POWER, SILENCE = (f"scripts/links/{name}.py" for name in ("fence", "planned", "power", "silence"))
KILLED = "signal: killed"
KILL = ("__import__('os').kill(__import__('os').getpid(), 9)",)
HANG = ("__import__('time').sleep(3600)",)
DEAF = ("__import__('signal').pthread_sigmask(0, {15})", *HANG)


def raising(error: str) -> tuple[str, ...]:
    return (f"raise {error}",)


@dataclass(frozen=True)
class Point:
    """Where the build is struck, and with which words the run tells of it."""

    name: str
    changes: tuple[Change | Strike, ...]
    words: str


# In the order of a move.
QUIESCED = Point(
    "raises once the workers are quiet",
    (Strike(PLANNED, "self._stopping = True", raising("OSError(28, 'No space left on device')")),),
    "No space left on device",
)
STOPPED = Strike(PLANNED, 'self.checkpoint = stopped.facts["checkpoint"]', ())
RAISES = Point(
    "raises once the database is stopped", (Strike(STOPPED.file, STOPPED.line, raising("KeyError('lsn')")),), "KeyError"
)
HANGS = Point(
    "hangs once the database is stopped", (Strike(STOPPED.file, STOPPED.line, HANG), SHORT_LIMIT), "was told to end"
)
HANGS_DEAF = Point(
    "hangs and hears no signal once the database is stopped",
    (Strike(STOPPED.file, STOPPED.line, DEAF), SHORT_LIMIT, SHORT_PATIENCE),
    KILLED,
)
UNCLAIMED = Point(
    "is killed between the old primary's last word and the claim",
    (Strike(FENCE, "epoch = self._next(proof, checkpoint=clean.checkpoint)", KILL),),
    KILLED,
)
CLAIMED = Point("is killed between the claim and the promotion", (Strike(FENCE, "settled()", KILL),), KILLED)
CLAIMED_RAISES = Point(
    "raises between the claim and the promotion",
    (Strike(FENCE, "settled()", raising("TypeError('NoneType')")),),
    "TypeError",
)
PROMOTED = Point("is killed once the database is promoted", (Strike(FENCE, "return claimed", KILL),), KILLED)
NAME = Point(
    "is killed before the name is turned",
    (Strike("scripts/links/pointer.py", "settings, peer = told.dns, other(told.site)", KILL),),
    KILLED,
)
PROOF = Point(
    "raises in the proof",
    (
        Strike(
            "scripts/links/verify.py",
            "shop = Shop(told.shop_host, told.address, told.ca, public=told.public)",
            raising("KeyError('ca')"),
        ),
    ),
    "KeyError",
)
# A run that comes to its end tells nothing of it, so the host keeps a mark.
MARK = "/run/drill-struck"
PROMOTING = Point(
    "the database's host kills its own promotion",
    (Strike("scripts/host/postgres/verbs.py", "return server.promote()", (f"open('{MARK}', 'w').close()", *KILL)),),
    "",
)
HANDOVER = Point(
    "raises while the old cache's writers are held",
    (Strike("scripts/host/redis/handover.py", "_turn(peer, own)", raising("KeyError('role')")),),
    "KeyError",
)
RUNG_2 = Point(
    "raises once servers were asked to stop",
    (Strike(POWER, 'attempts.rest(f"{sight.words()}; wanted every one of them off")', raising("KeyError('status')")),),
    "",
)
HALF = Point(
    "is killed once half of the servers were asked to stop",
    (Strike(POWER, "self._said[server.id] = said", (f"if len(self._asked) == 1: {KILL[0]}",)),),
    KILLED,
)
RUNG_3 = Point(
    "hangs in the lease's rung",
    (Strike(SILENCE, "silent = self._await(min(granted.values()))", HANG), SHORT_LIMIT),
    "was told to end",
)


@contextlib.contextmanager
def struck(stage: Stage, point: Point) -> Iterator[None]:
    """Within it `pulumi up` runs the build that is struck at this point."""
    product, folder = stage.pulumi.project, stage.world.places.run / "struck"
    shutil.rmtree(folder, ignore_errors=True)
    stage.pulumi.project = build(product, folder, point.changes)
    try:
        yield
    finally:
        stage.pulumi.project = product


def moved(stage: Stage, record: Record, point: Point, *, fails: bool = True) -> Run:
    """A move to the standby with the build that is struck there."""
    with struck(stage, point):
        done = stage.take_over(stage.standby)
    record.expect(done.ok is not fails, f"{point.name}: pulumi up ended with {done.code}:\n{done.diagnostics}")
    record.expect(point.words in done.output, f"{point.name}: not told by {point.words!r}:\n{done.diagnostics}")
    record.expect("Traceback" not in done.output, f"{point.name}: told by a traceback:\n{done.diagnostics}")
    return done


def finished(stage: Stage, record: Record, shop: Shop, point: Point, *, at: str, epoch: int) -> None:
    """A plain run of the side that shall write, then of the other: it writes there, and workers work there alone."""
    there = other(at)
    for site in (at, there):
        stage.world.request(site, at)
        stage.must(stage.pulumi.up(site), site)
        if site == at:
            shop.flow(f"{point.name}: orders flow from {at}")
    _whole(stage, record, point, at, epoch, when="after plain runs")


def _whole(stage: Stage, record: Record, point: Point, at: str, epoch: int, *, when: str) -> None:
    newest, writers = stage.epoch(), stage.world.writers()
    apps = [tuple(key.split(".")) for key in host_names(stage.world.config) if key.startswith("app-")]
    workers = sorted(f"{app}.{site}" for app, site in apps if stage.world.status(site, "app", app).get("worker"))
    found = (newest.epoch, newest.active, sorted(writers), workers)
    wanted = (epoch, at, [at], sorted(f"{app}.{site}" for app, site in apps if site == at))
    record.expect(found == wanted, f"{point.name}: {when} epoch, site, writers, workers are {found}, wanted {wanted}")


def goes_on(stage: Stage, record: Record, shop: Shop, point: Point, *, fails: bool = True) -> None:
    """The move is struck and finished."""
    target, epoch = stage.standby, stage.epoch().epoch
    moved(stage, record, point, fails=fails)
    finished(stage, record, shop, point, at=target, epoch=epoch + 1)


def stays(stage: Stage, record: Record, shop: Shop, point: Point, *, taken_back: bool) -> None:
    """The move is struck before its claim, and the operator stays where the shop was. `taken_back`: it sells there before anybody types anything."""
    source, epoch = stage.active, stage.epoch().epoch
    moved(stage, record, point)
    if taken_back:
        shop.flow(f"{point.name}: orders flow from {source} before any other run")
        _whole(stage, record, point, source, epoch, when="before any other run")
    else:
        record.expect(not stage.world.writers(), f"{point.name}: {sorted(stage.world.writers())} write")
    finished(stage, record, shop, point, at=source, epoch=epoch)


@drill("fault-point-taken-back")
def taken_back(stage: Stage, record: Record) -> None:
    """A planned move raises before and after the old primary's stop, and hangs there until its limit: each is taken back, workers too."""
    with stage.shopping(record) as shop:
        for point in (QUIESCED, RAISES, HANGS):
            stays(stage, record, shop, point, taken_back=True)
    nothing_lost(record)


@drill("fault-point-stopped-stays")
def stopped_stays(stage: Stage, record: Record) -> None:
    """A planned move hangs after the stop, hears no signal and is killed at its limit: the next `up` of the old side sells there."""
    with stage.shopping(record) as shop:
        stays(stage, record, shop, HANGS_DEAF, taken_back=False)
    nothing_lost(record)


@drill("fault-point-unclaimed")
def unclaimed(stage: Stage, record: Record) -> None:
    """A planned move is killed between the stop and the claim: the same again finishes it."""
    with stage.shopping(record) as shop:
        goes_on(stage, record, shop, UNCLAIMED)
    nothing_lost(record)


@drill("fault-point-claimed")
def claimed(stage: Stage, record: Record) -> None:
    """Planned moves are killed, and raise, between claim and promotion: the same again promotes."""
    with stage.shopping(record) as shop:
        for point in (CLAIMED, CLAIMED_RAISES):
            goes_on(stage, record, shop, point)
    nothing_lost(record)


@drill("fault-point-promoted")
def promoted(stage: Stage, record: Record) -> None:
    """Planned moves are killed behind the promotion, and before the name: the same again goes on from there."""
    with stage.shopping(record) as shop:
        for point in (PROMOTED, NAME):
            goes_on(stage, record, shop, point)
    nothing_lost(record)


@drill("fault-point-promotion")
def promotion(stage: Stage, record: Record) -> None:
    """The host kills its promotion half-way: the next link of the same run promotes. Then a move raises in the proof."""
    with stage.shopping(record) as shop:
        goes_on(stage, record, shop, PROMOTING, fails=False)
        stage.line(f"db-1.{stage.active}", f"rm {MARK}")
        goes_on(stage, record, shop, PROOF)
    nothing_lost(record)


@drill("fault-point-cache")
def cache(stage: Stage, record: Record) -> None:
    """The cache's handover raises in the middle: the shop is moved and sells, the run says so, and turns the caches when it asks once more."""
    with stage.shopping(record) as shop:
        goes_on(stage, record, shop, HANDOVER, fails=False)
    nothing_lost(record)


@drill("fault-point-lost-claimed")
def lost_claimed(stage: Stage, record: Record) -> None:
    """The region is dead, and its take-over is killed between claim and promotion: the same again promotes."""
    old, before, epoch = stage.active, evidence(stage, stage.active), stage.epoch().epoch
    with stage.shopping(record) as shop:
        stage.fault("region-hosts", "kill", old)
        moved(stage, record, CLAIMED)
        stage.must(stage.pulumi.up(other(old)), other(old))
        shop.flow("orders flow from the other side")
        _returned(stage, old, ("region-hosts",))
        finished(stage, record, shop, CLAIMED, at=other(old), epoch=epoch + 1)
    loss_is_counted(stage, record, old, before)


@drill("fault-point-lost-rung-2")
def lost_rung_2(stage: Stage, record: Record) -> None:
    """The region is cut off, and the second rung raises once servers were asked to stop: the third one holds, in the same run."""
    record.isolates = True
    old, before, epoch = stage.active, evidence(stage, stage.active), stage.epoch().epoch
    with stage.shopping(record) as shop:
        _cut_off(stage, old)
        moved(stage, record, RUNG_2, fails=False)
        fence = stage.epoch().fence
        record.expect(fence.get("rung") == 3, f"the fence was rung {fence.get('rung')}, wanted 3")
        shop.flow("orders flow from the other side")
        _returned(stage, old, ("link", "uplink"))
        finished(stage, record, shop, RUNG_2, at=other(old), epoch=epoch + 1)
    loss_is_counted(stage, record, old, before)


@drill("fault-point-lost-half-stopped")
def lost_half_stopped(stage: Stage, record: Record) -> None:
    """The region is cut off, and its take-over is killed with half of its servers stopped; the region is back, and its own `up` sells there."""
    record.isolates = True
    old, epoch = stage.active, stage.epoch().epoch
    with stage.shopping(record) as shop:
        _cut_off(stage, old)
        moved(stage, record, HALF)
        for fault in ("link", "uplink"):
            stage.fault(fault, "return", "both" if fault == "link" else old)
        finished(stage, record, shop, HALF, at=old, epoch=epoch)
    nothing_lost(record)


@drill("fault-point-lost-rung-3")
def lost_rung_3(stage: Stage, record: Record) -> None:
    """Region and APIs are dead, and the lease's rung hangs until the limit: nothing was claimed, the same again takes over."""
    old, before, epoch = stage.active, evidence(stage, stage.active), stage.epoch().epoch
    with stage.shopping(record) as shop:
        stage.fault("region", "kill", old)
        moved(stage, record, RUNG_3)
        record.expect(stage.epoch().epoch == epoch, f"epoch {stage.epoch().epoch} was claimed without a fence")
        stage.must(stage.pulumi.up(other(old)), other(old))
        shop.flow("orders flow from the other side")
        _returned(stage, old, ("region",))
        finished(stage, record, shop, RUNG_3, at=other(old), epoch=epoch + 1)
    loss_is_counted(stage, record, old, before)


def _cut_off(stage: Stage, site: str) -> None:
    """It lives, its platform answers, and nothing but that leads there."""
    stage.fault("uplink", "kill", site)
    stage.fault("link", "kill", "both")


def _returned(stage: Stage, site: str, faults: tuple[str, ...]) -> None:
    for fault in faults:
        stage.fault(fault, "return", "both" if fault == "link" else site)
    if faults != ("link", "uplink"):
        wait_for(f"region {site} answers", partial(_answers, stage, site), RETURNS_S, 1.0)


def _answers(stage: Stage, site: str) -> bool:
    return bool(stage.world.status(site))
