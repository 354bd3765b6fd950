"""A web process begins anew and no request is lost: the wanted one is started beside it first, on a port of its own, and takes requests once it is well.

Only then the one of before ends, when nothing is on its way to it any more, and begins anew with what is on disk; requests come back to it, and the one
beside goes. So a release that does not get well has never had a customer, and the one that runs was never stopped. It asks nothing of the application but
what a Procfile says already: that it listens on `$PORT` and ends at SIGTERM.
"""

from __future__ import annotations

from contract.errors import Failed, say

from ..frame.commands import run
from ..frame.files import make_folder, write_atomically
from ..frame.layout import Layout
from ..frame.log import Log
from ..frame.systemd import Many
from ..frame.wait import until
from . import well
from .names import PUMA, SPARE, SPARE_LEADS, SPARE_PUMA, WEB
from .web import cable

UNIT_S, HEALTHY_S = 60.0, 60.0
DRAIN_S = 20.0  # for requests that are on their way
LOOK_S = 10.0
EVERY_S = 0.2  # each look starts a program, on a machine that loads a shop meanwhile


class Spare:
    """The web process of this host and the one beside it."""

    def __init__(self, layout: Layout, manager: Many, log: Log) -> None:
        self._layout, self._manager, self._log = layout, manager, log
        self._leads = layout.at(SPARE_LEADS)

    @property
    def leads(self) -> bool:
        """Whether nginx sends requests to the one beside."""
        return well.leads(self._layout)

    @property
    def at(self) -> str:
        """Where requests go."""
        return well.at(self._layout)

    def begin(self, release: str) -> None:
        """The one beside is well and takes requests. Raises Failed, and all is as it was: it has taken none."""
        try:
            self._manager.each("restart", [SPARE], UNIT_S)
            until(lambda: self._well(SPARE_PUMA) or self._ended(), HEALTHY_S, EVERY_S)
            # One that has ended and is answered for is somebody else's on its port.
            if self._ended() or not self._well(SPARE_PUMA):
                raise self._ill(release)
        except BaseException:
            self._manager.halt([SPARE], UNIT_S)
            raise
        make_folder(self._leads.parent)
        write_atomically(self._leads, b"As dr-host app converge has it, while the web process begins anew.\n")

    def hand_back(self) -> None:
        """The web process itself begins anew, by what is on disk, and takes requests again. Raises Failed; the one beside goes on taking them then."""
        self._drained(PUMA)
        self._manager.each("restart", [WEB], UNIT_S)
        if not until(lambda: self._well(PUMA), HEALTHY_S, EVERY_S):
            raise Failed(
                say(
                    subject=f"unit {WEB}",
                    found=f"not well {HEALTHY_S:.0f} s after it began anew",
                    wanted="an answer at its health path, as the one beside it gives",
                    consequence=f"{SPARE} takes this host's requests until the next run",
                    remedy=f"read `journalctl -u {WEB}`, then run the same again",
                )
            )
        self.end()

    def end(self) -> None:
        """Requests go to the web process, and nothing is beside it."""
        self._leads.unlink(missing_ok=True)
        self._drained(SPARE_PUMA)
        if not self._manager.halt([SPARE], UNIT_S):
            self._log.warning(f"{SPARE}: not stopped within {UNIT_S:g} s; it takes no requests; the next run stops it")

    def _well(self, at: str) -> bool:
        return well.healthy(self._layout, at)

    def _ended(self) -> bool:
        return not self._manager.look([SPARE])[SPARE].active

    def _ill(self, release: str) -> Failed:
        found = "ended by itself" if self._ended() else f"not well after {HEALTHY_S:.0f} s"
        return Failed(
            say(
                subject=f"web process of release {release.rpartition('/')[2][:12]}",
                found=f"{found} when it was started beside the one that runs",
                wanted="an answer at its health path (dr:app.health_path) as of a shop that is well",
                consequence="it took no request, and what runs on this host goes on as it was",
                remedy=f"read `journalctl -u {SPARE}` there, mend the release or its settings, and run the same again",
            )
        )

    def _drained(self, at: str) -> None:
        """nginx has nothing on its way to it. Websockets are not waited for: they last, and browsers open them again."""
        asked = [
            "ss",
            "--tcp",
            "--no-header",
            "--numeric",
            "state",
            "established",
            "dst",
            at,
            "and",
            "not",
            "src",
            cable.SOURCE,
        ]

        def idle() -> bool:
            done = run(asked, limit_s=LOOK_S, check=False)
            return done.code == 0 and not done.out.strip()  # who cannot look does not know

        if not until(idle, DRAIN_S, EVERY_S):
            self._log.warning(
                f"requests to {at}: some are not answered after {DRAIN_S:.0f} s; they have what its stop takes"
            )
