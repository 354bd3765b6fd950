"""An application that nobody here wrote: Redmine with Sidekiq, in both regions by configuration alone, with and without the gem shop_dr."""

from __future__ import annotations

import contextlib
import http.client
import re
import shlex
import ssl
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import yaml

from contract.sites import SITES
from lab.client.connect import Link, Resolver
from lab.client.redmine import BEGIN, Browser, Crowd, Programs
from lab.namespace import LabError
from lab.rehearsal import redmine
from lab.rehearsal.drills import drill
from lab.rehearsal.stage import FILES_S, Record, Stage
from lab.rehearsal.world import PROJECT, wait_for
from scripts.ctl.commands.host import ONCE as WORDS
from scripts.ctl.stacks.secrets import host_names

ONCE = shlex.join(WORDS) + " "
RATE, BEFORE, AFTER, SERVED_S, MAILED_S = 8.0, 24, 48, 240.0, 60.0
NOTE = b"a file of a user's"
FILE_LOOKS = 8  # of two app hosts each has to have it
# One of each mail that its workers have sent, whichever release did: `[Shop - Bug #7] (New) the subject`.
MAILS = "sh -c 'grep -hs ^Subject: /opt/shop/releases/*/log/mail/* || true'"
_MAIL = re.compile(r"^Subject: \[[^\]#]* #\d+\] \(New\) (\S.*?)\s*$", re.MULTILINE)
# Waiting or at work, to be tried again, given up.
_JOBS = "require 'sidekiq/api'; s = Sidekiq::Stats.new; puts ['jobs', s.enqueued + s.workers_size, s.retry_size, s.dead_size].join(' ')"


def configured(*, gem: bool) -> dict[str, Any]:
    """What both regions have otherwise: the example's own file, and its release, built here. Raises RedmineError and LabError.

    `gem`: with the gem shop_dr.
    """
    file = f".build/redmine-{'gem' if gem else 'plain'}.tar.gz"
    command = ["scripts/drctl", "build", str(redmine.release(gem=gem)), "--out", file]
    done = subprocess.run(command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"drctl build of Redmine ended with {done.returncode}: {done.stderr.strip()}")
    told = yaml.safe_load((redmine.MAKER / "configuration.yaml").read_text())["config"]
    return {**{name.removeprefix("dr:"): value["value"] for name, value in told.items()}, "shop": {"release": file}}


WITH_GEM, WITHOUT_GEM = partial(configured, gem=True), partial(configured, gem=False)


class Played:
    """Redmine's people and programs, and what became of what they did."""

    def __init__(self, stage: Stage, record: Record) -> None:
        self.stage, self.record = stage, record
        self.resolver = Resolver(stage.world.lab["dns"]["resolver"])
        self._tls = ssl.create_default_context(cafile=str(stage.world.ca_file))
        self.browser = Browser(self.door)
        self.acknowledged = list[str]()
        self._before = set[str]()  # issues of whoever played here before

    def door(
        self, method: str, path: str, body: str | bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Through the public entrance, by a connection of its own, as somebody who has never been here."""
        link = Link(self.stage.world.config["dr:shop"]["host"], 443, self.resolver, self._tls, 60.0)
        try:
            return link.exchange(method, path, body, dict(headers))
        except (OSError, http.client.HTTPException):
            return 0, http.client.HTTPMessage(), b""
        finally:
            link.drop()

    def prepare(self) -> None:
        """What an administrator does first."""
        self.stage.line(f"app-1.{self.stage.active}", ONCE + "bin/with-gems bin/rails runner -", BEGIN)

    def begin(self) -> None:
        """The same; somebody signs in, and writes an issue with a file."""
        self.prepare()
        self._before = set(self.subjects())
        self.browser.sign_in()
        self.write(NOTE)
        self.signed_in("at first")

    def write(self, file: bytes | None = None) -> None:
        """An issue of that person's, with a file."""
        subject = str(uuid.uuid4())
        self.browser.write(subject, file)
        self.acknowledged.append(subject)

    def signed_in(self, when: str) -> None:
        """The session of before goes on, and its file comes from every app host."""
        self.record.expect(self.browser.who() == "admin", f"{when}: the session is over")
        found = [self.browser.file() for _ in range(FILE_LOOKS)]
        missed = sum(it != (200, NOTE) for it in found)
        self.record.expect(
            not missed, f"{when}: {missed} of {FILE_LOOKS} requests did not get the file: {found[-1][0]}"
        )

    @contextlib.contextmanager
    def at_work(self, name: str) -> Iterator[dict[str, Any]]:
        """Programs until the end of the block and some more requests; the figures of `name` are theirs."""
        told: dict[str, Any] = {}
        self.record.figures[name] = told
        with Crowd(self.door, RATE) as crowd:
            crowd.served(BEFORE)
            yield told
            self.record.expect(crowd.served(AFTER, SERVED_S), f"{name}: requests are not served")
        self.acknowledged += crowd.written
        found = Counter(self.subjects())
        told |= {
            "requests": len(crowd.answers),
            "failed": len(crowd.failed),
            "failed_with": sorted({it.status for it in crowd.failed}),
            "longest_s": round(max(it.took for it in crowd.answers), 2),
            "longest_gap_s": round(crowd.gap_s, 2),
            "issues": {
                "acknowledged": len(crowd.written),
                "lost": sum(subject not in found for subject in crowd.written),
                "twice": sum(found[subject] > 1 for subject in crowd.written),
            },
        }
        self.record.expect(not told["issues"]["twice"], f"{name}: {told['issues']['twice']} issues are there twice")

    def subjects(self) -> list[str]:
        """Of all issues there are."""
        return Programs(self.door).subjects()

    def mailed(self) -> dict[str, int]:
        """What became of Sidekiq's jobs, of which each issue has one, a mail, once it has nothing more to do: by all that lies on hosts of both regions."""
        issues = set(self.subjects()) - self._before
        sent = list[str]()

        def all_sent() -> bool:
            nonlocal sent
            sent = [subject for site in SITES for subject in self._mails(site) if subject not in self._before]
            return issues <= set(sent)

        with contextlib.suppress(RuntimeError):  # what is missing by then is told
            wait_for("a mail of each issue", all_sent, MAILED_S, 2)
        return jobs(issues, sent, set(self.acknowledged)) | self._left()

    def _left(self) -> dict[str, int]:
        """Sidekiq's own count of jobs that are not done. Raises RuntimeError."""
        line = ONCE + f"bin/with-gems ruby -e {shlex.quote(_JOBS)}"
        said = self.stage.line(f"app-1.{self.stage.active}", line)
        found = re.search(r"^jobs (\d+) (\d+) (\d+)$", said, re.MULTILINE)  # beside what Sidekiq itself tells there
        if found is None:
            raise RuntimeError(f"Sidekiq's jobs: found {said[-500:]!r}, wanted three figures")
        return dict(zip(("waiting", "to_be_tried_again", "given_up"), map(int, found.groups()), strict=True))

    def _mails(self, site: str) -> list[str]:
        """Subjects of the issues of all mails that workers of a site have sent."""
        hosts = [
            host
            for host in host_names(self.stage.world.config)
            if host.startswith("app-") and host.endswith(f".{site}")
        ]
        return [subject for host in hosts for subject in mails(self.stage.line(host, MAILS))]


def mails(text: str) -> list[str]:
    """Subjects of the new issues that mails tell of, as Rails writes them to a file one after the other. Pure."""
    return _MAIL.findall(text)


def jobs(issues: Collection[str], sent: Iterable[str], acknowledged: Collection[str]) -> dict[str, int]:
    """How many issues there are, and what was mailed of which. Pure.

    One that is there and was not acknowledged may have none: its request failed between its commit and its job, and said so.
    """
    times = Counter(sent)
    return {
        "issues": len(issues),
        "mailed_once": sum(times[subject] == 1 for subject in issues),
        "not_mailed": sum(times[subject] == 0 for subject in issues),
        "acknowledged_not_mailed": sum(times[subject] == 0 for subject in issues if subject in acknowledged),
        "mailed_twice": sum(times[subject] > 1 for subject in issues),
        "mailed_of_lost_issues": sum(subject not in issues for subject in times),
    }


def _moved(stage: Stage, record: Record) -> None:
    """To the other region on purpose, and back because that one dies."""
    played = Played(stage, record)
    played.begin()
    target = stage.standby
    with played.at_work("planned_move") as told:
        told["up_s"] = round(stage.must(stage.take_over(target), target).seconds, 1)
        record.expect(stage.epoch().planned, f"epoch after the planned move: {stage.epoch()}")
    record.expect(not told["issues"]["lost"], f"planned move: {told['issues']['lost']} acknowledged issues are lost")
    told["file_whole_s"] = round(wait_for("the file is there", lambda: played.browser.file()[0] == 200, FILES_S, 1), 1)
    played.signed_in("after the planned move")
    played.write()
    told["jobs"] = found = played.mailed()
    untold = found["acknowledged_not_mailed"] + found["mailed_twice"]
    record.expect(not untold, f"planned move: jobs of acknowledged issues did not run once each: {found}")
    stage.settle()
    old, target = stage.active, stage.standby
    with played.at_work("region_lost") as told:
        began = time.monotonic()
        stage.fault("region-hosts", "kill", old)
        told["up_s"] = round(stage.must(stage.take_over(target), target).seconds, 1)
        told["led_after_s"] = round(time.monotonic() - began, 1)
    played.signed_in("after the loss")
    played.write()
    stage.settle()
    record.figures["jobs"] = played.mailed()
    lost = set(played.acknowledged) - set(played.subjects())
    record.figures["issues"] = {"acknowledged": len(played.acknowledged), "lost": len(lost)}


@drill("redmine-moved", configured=WITH_GEM)
def redmine_moved(stage: Stage, record: Record) -> None:
    """Redmine, which nobody here wrote, with the gem, moves on purpose, then its region dies: one session, every file; failed requests and jobs are counted."""
    _moved(stage, record)


@drill("redmine-in-a-browser", configured=WITH_GEM)
def redmine_in_a_browser(stage: Stage, record: Record) -> None:
    """In Chromium: somebody signs in and writes an issue with a file; the region dies with the page open; the same person reads it, and writes on."""
    from lab.client.chromium import browsing  # noqa: PLC0415 - the other drills do without a browser

    played = Played(stage, record)
    played.prepare()
    note = stage.world.places.run / "note.txt"
    note.write_bytes(NOTE)
    old, target = stage.active, stage.standby
    with browsing(stage.world.shop_url, played.resolver) as person:
        person.sign_in()
        issue = person.write("before the loss", note)
        there = stage.world.uploads
        wait_for("the file is in both regions", lambda: set(there(old)) <= set(there(target)), FILES_S, 1)
        began = time.monotonic()
        stage.fault("region-hosts", "kill", old)
        stage.must(stage.take_over(target), target)
        found = person.read(issue)
        record.figures["read_again_s"] = round(time.monotonic() - began, 1)
        record.expect(found == ("admin", "before the loss"), f"the page after the loss: found {found}")
        record.expect(person.download() == NOTE, "the file after the loss is another one")
        person.write("after the loss")


@drill("redmine-moved-without-the-gem", configured=WITHOUT_GEM)
def redmine_moved_without_the_gem(stage: Stage, record: Record) -> None:
    """The same without a line of ours in it: more requests fail while nobody writes, all else holds."""
    _moved(stage, record)
