"""`dr-host monitoring page`: what a timer of a control host runs, and how that job is put there.

It runs as a user that is there while it runs, and keeps nothing: all that it knows of before lies at the store, so a new machine goes on where another
one has ended. It asks its own Prometheus alone. What the other region has seen stands in the document.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from contract import fields
from contract.checks import integer
from contract.dataclass import dataclass
from contract.errors import Failed
from contract.fields import key, part
from contract.forms import COUNT, HOST
from contract.hosts import fqdn_of
from contract.monitoring.status_page import Document, Move, View
from contract.services.monitoring import Watch
from contract.services.status_page import StatusPage
from contract.sites import A_SITE

from ....frame.call import Call
from ....frame.files import ManagedFile
from ....frame.layout import Layout
from ....frame.log import Log
from ....frame.own import read_back
from ....frame.result import Result
from ....frame.systemd import Units, sandbox, verified_line
from ....frame.witness import Silent, Witness
from .. import asking, config
from . import html, seen
from .merged import Writer, merged, past
from .store import Store

TOOL = "/opt/dr/dr-host.pyz"
SERVICE, TIMER = "dr-status-page.service", "dr-status-page.timer"
TERMS, PLACE = "status-page.json", "status-page-store.json"  # in /etc/dr
STOP_S = 30.0
_HEAD = "# Written by dr-host monitoring converge; changes made here are lost.\n"
_GIVEN = ("ca.pem", "host.crt", "host.key", PLACE)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """`/etc/dr/status-page.json`: whose job it is, and what the page is to be."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    site: str = key(A_SITE, "of this host")
    host: str = key(HOST, "its name")
    max_lag_bytes: int = key(COUNT, "what may be missing in the second place")
    page: StatusPage = part(StatusPage, "what is configured")


def wanted(layout: Layout, place: config.Place, watch: Watch | None) -> list[ManagedFile]:
    """Files of the job; none where there is no page."""
    if watch is None or watch.status_page is None or watch.page_store is None:
        return []
    it = watch.status_page
    terms = Terms(site=place.site, host=place.host, max_lag_bytes=watch.max_lag_bytes, page=it)
    store = fields.write(watch.page_store)
    given = [*_GIVEN, *(["witness.json"] if (layout.etc / "witness.json").exists() else [])]
    unit = (
        f"{_HEAD}[Unit]\nDescription=Write the page that tells customers how the shop is\nAfter=network-online.target\nWants=network-online.target\n\n"
        "[Service]\nType=oneshot\nDynamicUser=yes\nUMask=0077\nNice=10\nMemoryMax=96M\nTimeoutStartSec=60\n"
        "StandardOutput=null\nStandardError=journal\nSyslogLevel=notice\nLogLevelMax=notice\n"
        f"{''.join(f'LoadCredential={name}:/etc/dr/{name}{chr(10)}' for name in given)}"
        f"{verified_line(TOOL)}ExecStart=/usr/bin/python3 {TOOL} monitoring page\n{sandbox([])}"
    )
    timer = (
        f"{_HEAD}[Timer]\nOnActiveSec=5\nOnUnitInactiveSec={it.every_s - 1}\nRandomizedDelaySec=1\nAccuracySec=1s\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    return [
        ManagedFile(path=layout.etc / TERMS, content=json.dumps(fields.write(terms), sort_keys=True) + "\n"),
        ManagedFile(path=layout.etc / PLACE, content=json.dumps(store, sort_keys=True) + "\n", mode=0o600),
        ManagedFile(path=layout.units / SERVICE, content=unit),
        ManagedFile(path=layout.units / TIMER, content=timer),
    ]


def every(layout: Layout) -> list[Path]:
    """Whatever of it may be on a host; the terms go last, for they say that there is anything."""
    return [layout.units / SERVICE, layout.units / TIMER, layout.etc / PLACE, layout.etc / TERMS]


def left(layout: Layout, files: list[ManagedFile]) -> bool:
    """Whether there is some of it that is not wanted."""
    return not files and any(path.exists() for path in every(layout))


def remove(layout: Layout, units: Units) -> None:
    """What lies at the store stays, and gets old by itself."""
    if units.enabled(TIMER):
        units.disable(TIMER)
    for unit in (TIMER, SERVICE):
        units.stop(unit, STOP_S)
    for path in every(layout):
        path.unlink(missing_ok=True)
    units.daemon_reload()


# --- the job


@dataclass(frozen=True)
class Job:
    """One run. `look`: what this region has seen, by the store's clock; `planned`: of an epoch, raises Silent."""

    terms: Terms
    look: Callable[[int], View]
    planned: Callable[[int], bool]
    log: Log

    def go(self, store: Store) -> tuple[Document, bool]:
        """The document, and whether the page was written. Raises Silent, Failed."""
        made = store.tell(self._make)
        return made, store.show(made, html.page(made, self.terms.page))

    def _make(self, old: Document | None, now: int) -> Document:
        own, old = self.look(now), past(old, now)
        return merged(old, Writer(self.terms.site, self.terms.page.every_s), own, now, self._move(old, own))

    def _move(self, old: Document | None, own: View) -> Move | None:
        """A move that the document does not know of. While the witness is silent, none: the next run asks again."""
        known = old.moved if old else None
        if own.epoch is None or (known is not None and own.epoch <= known.epoch):
            return None
        if known is None:
            return Move(epoch=own.epoch, at=own.at)
        try:
            return Move(epoch=own.epoch, at=own.at, planned=self.planned(own.epoch))
        except Silent as error:
            self.log.warning(f"{error}; nobody knows yet whether the move to epoch {own.epoch} was a planned one")
            return None


def page(call: Call) -> Result:
    """Verb `page`. Raises Failed where nothing could be written; the page of before gets old then, and says so by itself."""
    layout = call.layout
    terms = _terms(layout)
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    folder = Path(given) if given else layout.etc

    def look() -> seen.Figures | None:
        try:
            with asking.Prometheus(fqdn_of(terms.host, terms.site), config.PROMETHEUS, folder) as prometheus:
                return seen.figures(prometheus.now, terms.max_lag_bytes)
        except Failed as error:
            call.log.warning(f"{error}; what is seen from here is written as not known")
            return None

    began = time.monotonic()
    found = look()

    def view(now: int) -> View:
        return View(at=now) if found is None else seen.view(found, now - (time.monotonic() - began))

    job = Job(terms, view, lambda epoch: Witness.of_file(folder / "witness.json").planned(epoch), call.log)
    with Store(Witness.of_file(folder / PLACE), public=terms.page.public, log=call.log) as store:
        made, shown = job.go(store)
    return Result({"as_of": made.as_of, "revision": made.revision, "written": shown, "shop": made.shop.state})


def _terms(layout: Layout) -> Terms:
    return read_back(
        Terms,
        layout.etc / TERMS,
        found="none that says what page is to be written",
        wanted="the one that `monitoring converge` writes",
        consequence="nothing was written",
        remedy="set dr:monitoring.status_page and run pulumi up for this region",
    )
