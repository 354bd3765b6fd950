"""A watcher looks at the pair (`dr-watch`), and nobody else touches anything: what it says, what it leaves alone, and what it does."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab.rehearsal import stacks
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.lost import evidence, loss_is_counted
from lab.rehearsal.drills.planned import nothing_lost
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import wait_for

PAGED_S, MOVED_S = 120, 180
LOST = "is lost"


class Receiver:
    """Who is told: a webhook on this machine, each page with the moment in which it came."""

    def __init__(self) -> None:
        self.pages: list[tuple[float, dict[str, Any]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.pages.append((time.monotonic(), json.loads(body)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/pages"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, words: str) -> list[tuple[float, dict[str, Any]]]:
        """Pages whose title has these words."""
        return [it for it in self.pages if words in it[1]["title"]]


@contextmanager
def watching(stage: Stage, mode: str) -> Iterator[tuple[Receiver, Path]]:
    """A watcher in this mode, for whom both stacks name a receiver; and its log. Afterwards nothing of it is left."""
    receiver = Receiver()
    told = {**stage.world.secrets, "monitoring": {"webhook": receiver.url}}
    for site in "ab":
        stage.pulumi.config_set(site, "secrets", stacks.to_stdin(told), secret=True)
    try:
        with watcher(stage, mode) as log:
            yield receiver, log
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        for site in "ab":
            stage.pulumi.config_set(site, "secrets", stacks.to_stdin(stage.world.secrets), secret=True)


@contextmanager
def watcher(stage: Stage, mode: str) -> Iterator[Path]:
    """A watcher on the operator's machine, in this mode, who tells whom both stacks name; and its log."""
    log = stage.pulumi.run / f"dr-watch-{mode}.log"
    before = {site: stage.world.configure(site, "watch", {"mode": mode}) for site in "ab"}
    try:
        with log.open("w") as out:
            process = subprocess.Popen(
                ["scripts/dr-watch", "--config-dir", str(stage.pulumi.files["a"].parent)],
                cwd=stage.pulumi.project,
                env=stage.pulumi.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        try:
            wait_for("the watcher watches", lambda: f"mode {mode}" in log.read_text(), 60, 0.2)
            yield log
        finally:
            process.terminate()
            process.wait(120)
    finally:
        for site in "ab":
            stage.world.configure(site, "watch", before[site])


@drill("watched-move-and-loss")
def watched_move_and_loss(stage: Stage, record: Record) -> None:
    """`automatic`: a planned move is no alarm; then the active region's power goes, and people are told, and orders flow again, by nobody's hand."""
    with watching(stage, "automatic") as (people, log):
        target, left = stage.standby, stage.active
        with stage.shopping(record) as shop:
            stage.ask(target)
            stage.must(stage.pulumi.up(target), target)
            stage.world.request(left, target)
            stage.must(stage.pulumi.up(left), left)
            shop.flow(f"orders flow from region {target}")
        nothing_lost(record)
        record.expect(
            not people.of(LOST), f"a planned move was taken for a loss: {people.pages}; {log.read_text()[-600:]}"
        )
        lost, target, epoch = stage.active, stage.standby, stage.epoch().epoch
        seen = evidence(stage, lost)
        with stage.shopping(record) as shop:
            began = time.monotonic()
            stage.fault("region-hosts", "kill", lost)
            wait_for("people are told", lambda: bool(people.of(LOST)), PAGED_S, 0.2)
            wait_for("the shop was moved", lambda: bool(people.of("the shop was")), MOVED_S, 0.2)
            shop.flow(f"orders flow from region {target}")
            record.figures |= {
                "paged_after_s": round(people.of(LOST)[0][0] - began, 1),
                "outage_s": shop.gap(began),
            }
            newest = stage.epoch()
            record.expect(
                (newest.epoch, newest.active, newest.planned) == (epoch + 1, target, False), f"after the loss: {newest}"
            )
            record.expect(
                len(people.of(LOST)) == 1 and len(people.of("the shop was moved")) == 1,
                f"pages: {[it['title'] for _, it in people.pages]}; {log.read_text()[-900:]}",
            )
            stage.settle()
            shop.flow("orders flow while the old region follows")
        loss_is_counted(stage, record, lost, seen)


@drill("watched-word")
def watched_word(stage: Stage, record: Record) -> None:
    """`assist`: the region's power goes, a page comes, and one word of a person moves the shop."""
    with watching(stage, "assist") as (people, log):
        lost, target, seen = stage.active, stage.standby, evidence(stage, stage.active)
        with stage.shopping(record) as shop:
            began = time.monotonic()
            stage.fault("region-hosts", "kill", lost)
            wait_for("people are told", lambda: bool(people.of(LOST)), PAGED_S, 0.2)
            paged, page = people.of(LOST)[0]
            record.expect(stage.active == lost, "the shop was moved without a word")
            alarm = page["text"].partition("`drctl confirm ")[2].partition("`")[0]
            confirmed = time.monotonic()
            done = stage.pulumi.typed("confirm", alarm, "--yes", "--config-file", str(stage.pulumi.files[target]))
            record.expect(done.returncode == 0, f"drctl confirm {alarm}: {done.stdout[-600:]}{done.stderr[-900:]}")
            wait_for("the shop was moved", lambda: bool(people.of("the shop was")), MOVED_S, 0.2)
            shop.flow(f"orders flow from region {target}")
            first = shop.first_after(confirmed)
            record.figures |= {
                "paged_after_s": round(paged - began, 1),
                "confirmed_to_first_order_s": first,
                "outage_s": shop.gap(began),
            }
            record.expect(stage.active == target, f"region {stage.active} is active; {log.read_text()[-900:]}")
            stage.settle()
            shop.flow("orders flow while the old region follows")
        loss_is_counted(stage, record, lost, seen)
