"""The app host's job: nginx shows the newest certificate that a bastion has handed over, and never one that is worse than what it shows.

A pair lies in a folder of its own below /etc/shop, and `shown` is a link to the one of now: it turns in one step, so certificate and key always belong
together. nginx is reloaded, which ends no request: workers of before finish what they have.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from contract.dataclass import dataclass
from contract.services.certificate import Pair
from contract.wire import document

from ...app.names import SHOP, SHOWN, TAKEN
from ...frame.files import make_folder, read_own, write_atomically
from ...frame.layout import Layout
from ...frame.links import turn
from ...frame.log import Log
from .job import Job, objects, signer
from .sealed import Closed, Own, opened
from .shown import Fit, Unfit, fit

FILE = "taken.json"


@dataclass(frozen=True)
class Taking:
    """One run. `look`: bodies at the witness by name, raises Silent; `reload`: has nginx read it, raises Failed."""

    job: Job
    own: Own
    layout: Layout
    folder: Path
    look: Callable[[], Mapping[str, bytes]]
    reload: Callable[[], object]
    log: Log

    def go(self) -> dict[str, Any]:
        """Facts: which one is shown, until when, and what kept a newer one away. Raises Silent, Failed."""
        bodies, why = self.look(), list[str]()
        found = [
            it for site, name in objects().items() if name in bodies and (it := self._read(site, bodies[name], why))
        ]
        best, now = max(found, key=lambda it: it.ends, default=None), shown_now(self.job, self.layout)
        if best is not None and (now is None or now.ends < best.ends):
            self._show(best)
            now = best
        if now is not None and self._reloaded() != now.digest:
            self.reload()
            write_atomically(self.folder / FILE, (json.dumps({"schema": 1, "shown": now.digest}) + "\n").encode())
            self._tidy(now)
        error = "; ".join(why) or (None if bodies else "none was handed over yet")
        for each in why:
            self.log.warning(f"{each}; what is shown stays")
        return {"shown": now.digest if now else None, "ends": now.ends if now else None, "error": error}

    def _read(self, site: str, body: bytes, why: list[str]) -> Fit | None:
        try:
            return fit(opened(body, self.own, signer(site)), self.job.shop, self.job.ca)
        except (Closed, Unfit) as error:
            why.append(f"what the bastion of site {site} has handed over: {error}")
            return None

    def _show(self, it: Fit) -> None:
        """Both files are there, whole, before the link leads to them. Raises OSError, the one before still shown."""
        shop = self.layout.at(SHOP)
        folder = shop / f"{TAKEN}{it.digest[:16]}"
        make_folder(folder, 0o700)
        write_atomically(folder / "tls.crt", it.pair.cert.encode(), 0o644)
        write_atomically(folder / "tls.key", it.pair.key.encode(), 0o600)
        turn(self.layout.at(SHOWN), folder.name)

    def _reloaded(self) -> str | None:
        """Which one nginx was told of last."""
        try:
            return str(document.mapping(read_own(self.folder / FILE)).get("shown"))
        except (OSError, ValueError):
            return None

    def _tidy(self, it: Fit) -> None:
        for old in self.layout.at(SHOP).glob(f"{TAKEN}*"):
            if old.name != f"{TAKEN}{it.digest[:16]}":
                shutil.rmtree(old, ignore_errors=True)


def shown_now(job: Job, layout: Layout) -> Fit | None:
    """The one that is shown, where it may be; None for that of the secrets."""
    link = layout.at(SHOWN)
    try:
        if not link.readlink().name.startswith(TAKEN):
            return None
        pair = Pair(shop=job.shop, cert=(link / "tls.crt").read_text(), key=(link / "tls.key").read_text())
        return fit(pair, job.shop, job.ca)
    except (OSError, ValueError, Unfit):
        return None
