"""`python -m lab.rehearsal.redmine_moved`: Redmine in both regions by configuration alone, moved with and without the gem, and its region lost.

What it tells are figures: how many requests of programs fail, the longest time in which no issue was written, what Sidekiq has sent how often, whether a
person's session and file are there on the other side.
Exit code 0 only where the session went on and no acknowledged issue of a planned move is lost. It has not been seen through yet, only to the builds of
both releases.
"""

from __future__ import annotations

import http.client
import json
import re
import shlex
import shutil
import ssl
import sys
import time
from collections.abc import Mapping

import yaml

from contract import pipes
from lab.client.connect import Link, Resolver
from lab.client.redmine import BEGIN, Browser, Crowd, Programs
from lab.namespace import LabError
from lab.rehearsal import redmine
from lab.rehearsal.engine import Run
from lab.rehearsal.stacks import stack_name
from lab.rehearsal.world import PROJECT, World, running_lab, wait_for
from scripts.clients.hosts import Unreachable
from scripts.ctl.commands.host import ONCE as WORDS

ONCE = shlex.join(WORDS) + " "
RATE, BEFORE, AFTER, SERVED_S = 8.0, 24, 48, 240.0
NOTE = b"a file of a user's"


class Rehearsal:
    """`files`, `digests`: of the releases with the gem (True) and without it. `faults`: what should have been otherwise."""

    def __init__(self, world: World, files: Mapping[bool, str], digests: Mapping[bool, str]) -> None:
        self.world, self._files, self._digests, self.faults = world, files, digests, list[str]()
        self._resolver = Resolver(world.lab["dns"]["resolver"])
        self._tls = ssl.create_default_context(cafile=str(world.ca_file))
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)

    def door(
        self, method: str, path: str, body: str | bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Through the public entrance, by a connection of its own, as somebody who has never been here."""
        link = Link(self.world.config["dr:shop"]["host"], 443, self._resolver, self._tls, 60.0)
        try:
            return link.exchange(method, path, body, dict(headers))
        except (OSError, http.client.HTTPException):
            return 0, http.client.HTTPMessage(), b""
        finally:
            link.drop()

    def run(self) -> None:
        for site in "ab":
            self.up(site)
        for file in self._files.values():
            self.drctl("releases", "push", file)
        self.on("app-1.a", ONCE + "bin/with-gems bin/rails runner -", BEGIN)
        browser = Browser(self.door)
        browser.sign_in()
        browser.write("before the moves", NOTE)
        self.session(browser, "region a")
        self.planned(browser, "b", gem=True)
        self.deliver(gem=False)
        self.planned(browser, "a", gem=False)
        self.deliver(gem=True)
        self.lost(browser)

    def planned(self, browser: Browser, target: str, *, gem: bool) -> None:
        """To the other region, with programs at work."""
        which = f"planned move to {target} {'with' if gem else 'without'} the gem"
        with Crowd(self.door, RATE) as crowd:
            crowd.served(BEFORE)
            seconds = self.up(target, request=target).seconds
            self.expect(crowd.served(AFTER, SERVED_S), f"{which}: requests are not served")
        self.tell(which, crowd, seconds, target, loses=False)
        self.session(browser, which)
        browser.write(which)
        self.up("a" if target == "b" else "b", request=target)

    def lost(self, browser: Browser) -> None:
        """Region a dies with programs at work, and b takes over."""
        which = "region a lost, with the gem"
        with Crowd(self.door, RATE) as crowd:
            crowd.served(BEFORE)
            self.world.fault("region-hosts", "kill", "a")
            seconds = self.up("b", request="b").seconds
            self.expect(crowd.served(AFTER, SERVED_S), f"{which}: requests are not served")
        self.tell(which, crowd, seconds, "b", loses=True)
        self.session(browser, which)
        browser.write(which)

    def deliver(self, *, gem: bool) -> None:
        """The other release, in the region that stands by first."""
        newest = self.world.witness.newest()
        for site in "ba" if newest is not None and newest.active == "a" else "ab":
            self.world.configure(site, "shop", {**self.world.config["dr:shop"], "release": self._digests[gem]})
            self.up(site)

    def tell(self, which: str, crowd: Crowd, seconds: float, site: str, *, loses: bool) -> None:
        """Figures of a move, and what is lost or there twice."""
        subjects = Programs(self.door).subjects()
        lost = set(crowd.written) - set(subjects)
        statuses = sorted({it.status for it in crowd.failed})
        self.say(f"{which}: pulumi up {seconds:.1f} s; {crowd.told()}; failed with {statuses or 'nothing'}")
        self.say(
            f"{which}: {len(crowd.written)} issues acknowledged, {len(lost)} of them lost, {len(subjects) - len(set(subjects))} there twice"
        )
        self.expect(loses or not lost, f"{which}: {len(lost)} acknowledged issues are lost")
        try:
            wait_for("jobs", lambda: self.jobs(site)[0] == 0, 60, 2)
        except RuntimeError as error:
            self.faults.append(f"{which}: {error}")
        waiting, retrying, dead = self.jobs(site)
        mails = [issue for each in "ab" for issue in self.mails(each)]
        issues = json.loads(Programs(self.door).call("GET", "/issues.json?limit=1&status_id=*")[1])["total_count"]
        self.say(
            f"{which}: {issues} issues, mails sent for {len(set(mails))} of them, {len(mails) - len(set(mails))} sent twice; jobs waiting {waiting}, "
            f"to be tried again {retrying}, given up {dead}"
        )

    def session(self, browser: Browser, which: str) -> None:
        """Whether a person is still signed in, and has the file."""
        self.expect(browser.who() == "admin", f"{which}: the session is over")
        found = [browser.file() for _ in range(8)]
        there = sum(it == (200, NOTE) for it in found)
        self.say(
            f"{which}: signed in; the uploaded file came with {there} of {len(found)} requests, else {sorted({status for status, _ in found} - {200})}"
        )

    def jobs(self, site: str) -> tuple[int, int, int]:
        """Of Sidekiq: waiting or at work, to be tried again, given up."""
        ruby = "require 'sidekiq/api'; s = Sidekiq::Stats.new; puts [s.enqueued + s.workers_size, s.retry_size, s.dead_size].join(' ')"
        found = self.on(f"app-1.{site}", ONCE + f'bin/with-gems ruby -e "{ruby}"').split()
        return int(found[0]), int(found[1]), int(found[2])

    def mails(self, site: str) -> list[str]:
        """The issue of each mail that workers of a site have sent; of a region without power none is told."""
        found: list[str] = []
        for host in (f"app-1.{site}", f"app-2.{site}"):
            try:
                text = self.on(host, "cat /opt/shop/releases/*/log/mail/* 2>/dev/null || true")
            except (RuntimeError, Unreachable) as error:
                self.say(f"{host}: mails unknown ({type(error).__name__})")
                continue
            found += re.findall(r"^X-Redmine-Issue-Id: (\d+)", text, re.MULTILINE)
        return found

    def on(self, host: str, line: str, stdin: str = "") -> str:
        """Of a shell line on a host. Raises RuntimeError with what it said."""
        with self.world.hosts(host[-1]) as run:
            done = run(host, line, stdin.encode())
        if done.returncode:
            raise RuntimeError(
                f"{host}: {line[:60]} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-1500:]}"
            )
        return str(done.stdout.decode(errors="replace"))

    def drctl(self, *words: str) -> None:
        """With region a's configuration. Raises RuntimeError with what it said."""
        where = ("--stack", stack_name("a"), "--config-file", str(self.world.pulumi.files["a"]))
        done = self.world.pulumi.typed(*words, *where)
        if done.returncode:
            raise RuntimeError(f"drctl {' '.join(words)} ended with {done.returncode}: {done.stderr}")

    def up(self, site: str, *, request: str | None = None) -> Run:
        if request is not None:
            self.world.request(site, request)
        done = self.world.pulumi.up(site)
        if not done.ok:
            raise RuntimeError(f"pulumi up of region-{site} ended with {done.code}:\n{done.diagnostics}")
        self.say(f"pulumi up -s region-{site}: {done.seconds:.1f} s")
        return done

    def expect(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)


def changes(release: str) -> dict[str, object]:
    """Of the project's configuration: the example's own file, and the release."""
    told = yaml.safe_load((redmine.MAKER / "configuration.yaml").read_text())["config"]
    its = {name.removeprefix("dr:"): value["value"] for name, value in told.items()}
    return {**its, "shop": {"release": release}, "protect": False, "archive": {"lock_days": 0}}


def main() -> int:
    """Returns the exit code."""
    try:
        folders = {gem: redmine.release(gem=gem) for gem in (True, False)}
        with running_lab() as where:
            files = {gem: f".build/redmine-{'gem' if gem else 'plain'}.tar.gz" for gem in folders}
            world = World(where, changes(files[True]))
            digests = {}
            for gem, folder in folders.items():
                built = world.pulumi.typed("build", str(folder), "--out", files[gem], "--json")
                if built.returncode:
                    raise RuntimeError(f"drctl build ended with {built.returncode}: {built.stderr}")
                card = json.loads(built.stdout)
                digests[gem] = card["digest"]
                print(
                    f"drctl build: {card['bytes'] / 2**20:.1f} MB, {card['count']} files, {card['digest'][:12]}",
                    flush=True,
                )
            rehearsal = Rehearsal(world, files, digests)
            try:
                rehearsal.run()
            except RuntimeError as error:
                rehearsal.faults.append(str(error))
                shutil.copy(world.pulumi.log, PROJECT / ".build/redmine-pulumi.log")
    except (LabError, redmine.RedmineError) as error:
        print(f"redmine: {error}", file=sys.stderr)
        return 1
    for fault in rehearsal.faults:
        print(f"FAULT {fault}")
    return 1 if rehearsal.faults else 0


if __name__ == "__main__":
    sys.exit(pipes.status(main))
