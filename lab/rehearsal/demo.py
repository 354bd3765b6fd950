"""`make demo`: two regions come up, sell, lose the active one, sell on in the other, take the first back, and move home. Told as it happens.

Exit code 0 only if everything is as it should be: no order lost in a planned move, every loss of the unplanned one explained by when it was acknowledged,
nothing duplicated, both previews empty after each move.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from contract import pipes
from lab.client.client import Client
from lab.client.goods import Goods
from lab.client.ledger import compare, first_ack_after, longest_gap, read
from lab.namespace import LabError
from lab.rehearsal.engine import Run
from lab.rehearsal.report import Report
from lab.rehearsal.world import World, running_lab, wait_for
from scripts.clients.witness_bucket import WitnessDown

ORDERS_EACH, ORDERS_S = 60, 60  # orders to see between two events, and how long they may take
LOSS_WINDOW_S = 30.0  # an order acknowledged earlier than this before the kill must have been replicated
# Both addresses in DNS: clients find the living site without waiting for a TTL. Nothing protected: the lab is thrown away.
CHANGES = {"dns": {"mode": "dual"}, "protect": False}


class StoryError(Exception):
    """The story cannot go on; what was found so far is reported all the same."""


class Demo:
    """The story in `run`, its pieces in the order of their telling."""

    def __init__(self, world: World, memory_before: float) -> None:
        self.world, self.report, self.memory_before = world, Report(), memory_before
        self.ledger = world.places.run / "orders.jsonl"
        self.ledger.unlink(missing_ok=True)
        resolver = world.lab["dns"]["resolver"]
        self.client = Client(world.shop_url, resolver, world.ca_file, self.ledger, rate=20.0, connections=4)
        self.aside = world.places.run / "aside.jsonl"
        self.aside.unlink(missing_ok=True)
        self.goods = Goods(world.shop_url, resolver, world.ca_file, self.aside)
        self._began = time.monotonic()
        self.killed: tuple[float, float] | None = None  # wall clock and monotonic, of the kill

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)

    def run(self) -> None:
        self.bring_up()
        self.client.start()
        self.goods.start()
        try:
            self.orders_flow("orders flow: region a sells")
            self.lose_region_a()
            self.take_region_a_back()
            self.move_home()
        finally:
            self.client.stop()
            self.goods.stop()
        self.count()

    def bring_up(self) -> None:
        """Region b starts to build once region a owns its epoch: the rest of a's bring-up and most of b's need not wait for each other."""
        began = time.monotonic()
        first: dict[str, Run] = {}
        self.say("pulumi up -s region-a, and -s region-b as soon as region a is active")
        builder = threading.Thread(target=lambda: first.update(a=self.world.pulumi.up("a")))
        builder.start()
        wait_for("region a owns epoch 1", lambda: self._epoch() == 1 or not builder.is_alive(), 300)
        second = self.up("b", "both regions up") if self._epoch() == 1 else None
        builder.join()
        self._must(first["a"], "region-a")
        took = time.monotonic() - began
        self.report.step(
            "both regions up from nothing",
            took,
            150,
            f"a {first['a'].seconds:.0f} s, b {second.seconds if second else 0:.0f} s",
        )
        self.report.step(
            "memory of the lab with both regions", detail=f"{memory_used_gib() - self.memory_before:.1f} GiB, goal 6"
        )
        self.previews("after both came up")
        unchanged = self.up("a", "again, without a change")
        self.report.step("pulumi up without changes", unchanged.seconds, 8)

    def lose_region_a(self) -> None:
        self.world.fault("region-hosts", "kill", "a")
        self.killed = (time.time(), time.monotonic())
        self.say("region a: power and network are gone; its OpenStack API still answers")
        self.world.request("b", "b")
        began = time.monotonic()
        taken = self.up("b", "pulumi config set failover_region b; pulumi up -s region-b: region b takes over")
        self.orders_flow("orders flow again: region b sells")
        first = first_ack_after(read(self.ledger), began)
        fence = self.world.witness.newest()
        rung = fence.fence.get("rung") if fence else None
        self.report.expect(
            rung == 2, f"the fence of the take-over was rung {rung}, wanted 2 (servers stopped through OpenStack)"
        )
        self.report.step("take-over: pulumi up", taken.seconds, None, f"fence rung {rung}")
        self.report.step("take-over: first order after `pulumi up` began", None if first is None else first - began, 20)
        self.report.step(
            "take-over: longest gap between orders",
            longest_gap(read(self.ledger), self.killed[1] - 1, time.monotonic()),
        )

    def take_region_a_back(self) -> None:
        self.world.fault("region-hosts", "return", "a")
        self.say("region a has power and network again")
        self.world.request("a", "b")
        followed = self.up("a", "pulumi up -s region-a: region a follows")
        self.report.step("region a returns and follows", followed.seconds)
        self.report.expect(
            self.world.status("a").get("in_recovery") is True, "region a's database is not a standby after it returned"
        )
        self.orders_flow("orders flow, region a streams")
        self.previews("after region a followed")

    def move_home(self) -> None:
        self.world.request("a", "a")
        began = time.monotonic()
        moved = self.up("a", "pulumi config set failover_region a; pulumi up -s region-a: planned move back")
        self.world.request("b", "a")
        self.up("b", "pulumi up -s region-b: region b follows")
        self.orders_flow("orders flow: region a sells again")
        gap = longest_gap(read(self.ledger), began - 1, time.monotonic())
        self.report.step("planned move: pulumi up", moved.seconds)
        self.report.step("planned move: longest gap between orders", gap, 3)
        newest = self.world.witness.newest()
        self.report.expect(
            newest is not None and newest.planned and newest.active == "a", "the move home was not a planned one"
        )
        self.previews("after the move home")

    def count(self) -> None:
        rows, events = self.world.rows("a"), read(self.ledger)
        found = compare(events, rows)
        assert self.killed is not None
        unexplained = [
            ack for ack in found.lost if not self.killed[0] - LOSS_WINDOW_S <= ack["at"] <= self.killed[0] + 1
        ]
        self.report.orders.update(
            {"acknowledged": found.acknowledged, "lost": len(found.lost), "duplicated": len(found.duplicated)}
        )
        self.report.orders.update(self.world.kept("a", read(self.aside)))
        for ack in found.lost:
            before = self.killed[0] - ack["at"]
            self.report.orders[f"lost {ack['key']}"] = (
                f"acknowledged {before * 1000:.0f} ms before the kill, not yet replicated"
            )
        self.report.expect(
            not unexplained,
            f"{len(unexplained)} orders were lost that the replication lag at the kill does not explain",
        )
        self.report.expect(not found.duplicated, f"{len(found.duplicated)} orders stand twice in the database")
        self.report.expect(found.acknowledged >= 4 * ORDERS_EACH, f"only {found.acknowledged} orders were acknowledged")

    def orders_flow(self, text: str) -> None:
        """Wait for some more acknowledged orders."""
        goal = self.client.acknowledged + ORDERS_EACH
        wait_for(f"{ORDERS_EACH} more orders", lambda: self.client.acknowledged >= goal, ORDERS_S)
        self.say(f"{text} ({self.client.acknowledged} acknowledged so far)")

    def previews(self, when: str) -> None:
        changes = {site: self.world.pulumi.preview_changes(site) for site in ("a", "b")}
        self.report.expect(not any(changes.values()), f"pulumi preview {when} is not empty: {changes}")
        self.say(f"pulumi preview of both stacks {when}: {'empty' if not any(changes.values()) else changes}")

    def up(self, site: str, text: str) -> Run:
        self.say(text)
        return self._must(self.world.pulumi.up(site), f"region-{site}")

    def _must(self, done: Run, stack: str) -> Run:
        if not done.ok:
            raise StoryError(f"pulumi up -s {stack} ended with {done.code}:\n{done.diagnostics}")
        return done

    def _epoch(self) -> int:
        try:
            newest = self.world.witness.newest()
        except WitnessDown:
            return 0
        return newest.epoch if newest else 0


def memory_used_gib() -> float:
    """Of the whole machine, caches that can be dropped left out: what grows while the lab runs is the lab."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    kib = {name: int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable")}
    return (kib["MemTotal"] - kib["MemAvailable"]) / 2**20


def tell() -> Report:
    """Bring a lab up, tell the story, take the lab down."""
    began, memory = time.monotonic(), memory_used_gib()
    with running_lab() as where:
        demo = Demo(World(where, CHANGES), memory)
        demo.report.step("lab up", time.monotonic() - began)
        try:
            demo.run()
        except (StoryError, RuntimeError) as error:
            demo.report.faults.append(str(error))
        demo.report.step("the whole story", time.monotonic() - began, 360)
        return demo.report


def main() -> int:
    """Returns the exit code. A lab that does not come up is one line: there is no story to tell of it."""
    try:
        report = tell()
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"\n{report.text()}")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(pipes.status(main))
