"""Rung 2: every server of the peer that keeps a lease is off at its own API. And the way back: the own servers are started before anything needs
them.

Those that only work (app hosts) are asked to stop as well and not waited for, as the rung of the lease does not wait for them: a database lets in
no worker but its own site's, and their own database and cache are off.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from contract.access import OpenStack
from contract.limits import LOGIN_S, POWER_S
from contract.links.fence import Servers
from scripts.clients.compute import Compute, Sight
from scripts.clients.openstack import ApiDown
from scripts.clients.server_states import Server
from scripts.links.rungs import Proof, Rung, RungFailed

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 1.0  # between two looks
PATIENCE_S = 1.0  # a database host that answers at all has done so by then
AGAIN_S = 3.0  # between two requests for one server: the first was refused, or came to nothing
# Asking again may help: no answer in time, a fault of the service, too many requests, a proxy's word for either.
PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}


class Attempts:
    """Looks, and requests where the look shows that one is due, until the servers are as wanted. Answers that may pass are asked for again."""

    def __init__(
        self,
        compute: Compute,
        names: Sequence[str],
        ids: Mapping[str, str],
        limit_s: float,
        *,
        over: threading.Event | None = None,
        beside: Sequence[str] = (),
    ) -> None:
        """`over`: set when nobody needs the answer any more. `beside`: see `Compute.look`."""
        self._compute, self._names, self._ids, self._beside = compute, tuple(names), dict(ids), tuple(beside)
        self._began, self._limit_s = time.monotonic(), limit_s
        self._pause = FIRST_PAUSE_S
        self._asked: dict[str, float] = {}  # when, by id
        self._said: dict[str, str] = {}  # the platform's last words for a refusal, by id
        self._over = over or threading.Event()
        self.sight: Sight | None = None  # the last look that succeeded
        self.answers: bool | None = None  # whether the last question was answered; None before the first one has ended
        self.requested: list[str] = []  # names of servers that were asked for it

    def connect(self) -> None:
        """Log in; its time begins here. An API that never answers is given up after a part of the whole. Raises ApiDown."""
        self._began = time.monotonic()
        while not self._try(self._compute.connect, min(LOGIN_S, self._limit_s)):
            self._rest()

    def look(self) -> Sight:
        """Raises ApiDown at the limit, or where asking again cannot help."""
        while not self._try(self._look, self._limit_s):
            self._rest()
        assert self.sight is not None
        return self.sight

    def ask(self, servers: Sequence[Server], action: str) -> None:
        """Send the action to those that have none under way and were not asked a moment ago. Raises ApiDown where asking again cannot help."""
        for server in servers:
            if server.task is not None or time.monotonic() - self._asked.get(server.id, float("-inf")) < AGAIN_S:
                continue
            self._asked[server.id] = time.monotonic()
            label = server.name or server.id
            try:
                said = self._compute.act(server, action)
            except ApiDown as error:
                if not _passes(error):
                    raise
                said = str(error)
            self._said[server.id] = said
            if label not in self.requested:
                self.requested.append(label)

    def rest(self, still: str) -> None:
        """Until the next look. Raises ApiDown, with what was last seen and said, at the limit or when nobody needs it any more."""
        if time.monotonic() - self._began > self._limit_s:
            said = [f"the API says of {each}: {words}" for each, words in self._said.items() if words]
            raise ApiDown(f"region {self._compute.region}: after {self._limit_s:.0f} s {'; '.join([still, *said])}")
        self._rest()

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._began, 1)

    def _look(self) -> None:
        self.sight = self._compute.look(self._names, self._ids, self._beside)

    def _try(self, question: Any, limit_s: float) -> bool:
        try:
            question()
        except ApiDown as error:
            self.answers = False  # also with a status that may pass: who is told to ask later sees nothing now
            if not _passes(error) or time.monotonic() - self._began > limit_s:
                raise
            return False
        self.answers = True
        return True

    def _rest(self) -> None:
        if self._over.wait(self._pause):
            raise ApiDown("was not needed any more")
        self._pause = min(self._pause * 1.5, LONGEST_PAUSE_S)


def _passes(error: ApiDown) -> bool:
    return error.status is None or error.status in PASSING or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR


class PowerOff(Rung):
    """The peer's servers that keep a lease, named by the ids that its last run has left, and by their names for what bears one besides."""

    number, name = 2, "OpenStack stop"

    def __init__(self, openstack: Servers, peer: str, ids: Mapping[str, str]) -> None:
        super().__init__()
        self._openstack, self._region, names = openstack, openstack.regions[peer], openstack.servers[peer]
        self._compute = Compute(openstack, self._region)
        own = {name: ids[name] for name in names if name in ids}
        self._attempts = Attempts(self._compute, names, own, POWER_S, over=self.over, beside=openstack.workers[peer])
        self._workers: list[str] = []  # names of those that were asked
        self._ended = threading.Event()
        self.claiming = False  # from the moment in which the epoch may be at the witness: their own stack follows then

    def prove(self, tried: Sequence[str]) -> Proof:
        """As of `Rung`. Servers that it has stopped stay so, whatever comes of the move: the next run of their own stack starts them.

        Where one of them cannot be stopped from here, none is asked.
        """
        attempts = self._attempts
        try:
            attempts.connect()
            while True:
                sight = attempts.look()
                if sight.proven:
                    self._ask_workers(sight)
                    evidence = {**sight.document(), "asked": self._requested, "seconds": attempts.seconds}
                    return Proof(rung=self.number, evidence=evidence)
                if sight.unseen or not sight.servers or any(server.hopeless for server in sight.servers):
                    raise ApiDown(f"region {self._region}: {sight.words()}; wanted every one of them off")
                self._ask_workers(sight)
                attempts.ask([each for each in sight.servers if not each.stopped and each.state.stoppable], "os-stop")
                attempts.rest(f"{sight.words()}; wanted every one of them off")
        except ApiDown as error:
            raise RungFailed(str(error)) from None
        finally:
            self._ended.set()

    def _ask_workers(self, sight: Sight) -> None:
        """Once, and beside everything else: nothing waits for what they do, nor for the API's answer."""
        if self._workers:
            return
        running = [server for server in sight.beside if server.state.stoppable and not server.locked]
        self._workers = [server.name or server.id for server in running]
        for server in running:
            threading.Thread(target=self._ask_worker, args=(server,), name=server.id, daemon=True).start()

    def _ask_worker(self, server: Server) -> None:
        with suppress(ApiDown):
            self._compute.act(server, "os-stop")

    @property
    def _requested(self) -> list[str]:
        return [*self._attempts.requested, *self._workers]

    @property
    def changed(self) -> str:
        """For the end of a refusal."""
        asked = ", ".join(self._requested)
        return f"{asked} were asked to stop, and `pulumi up` of their own stack starts them again" if asked else ""

    def leave(self) -> str:
        """As of `Rung`: what was stopped stays so."""
        return "" if self.claiming else self.changed

    def against_lease(self) -> str:
        """Why the silence of these servers proves nothing; empty when nothing is seen against it.

        Waits while the API answers and this rung is still at work: what can be seen comes before what can be inferred. A machine that stands
        still is silent and not stopped: it goes on where it was, with a lease that has not run out by its own clock.
        """
        while not self._ended.wait(FIRST_PAUSE_S) and self._attempts.answers is not False:
            continue
        sight = self._attempts.sight
        standing = [server for server in sight.servers if server.stands] if sight else []
        return ", ".join(f"{server.name or server.id} is {server.words()}" for server in standing)


class Glance:
    """Whether the peer's database is off at its own API, asked once and beside the questions to that host: one that is off has no ssh server to wait for.

    It proves nothing: the rungs look for themselves. An API is not troubled for a host that answers soon.
    """

    def __init__(self, openstack: Servers, peer: str, ids: Callable[[], Mapping[str, str]]) -> None:
        """`ids`: asks the witness for those of the peer's servers, by name."""
        self._compute, self._ids = Compute(openstack, openstack.regions[peer]), ids
        self._name = openstack.servers[peer][0]  # the database comes first
        self._since, self._begun, self._seen = time.monotonic(), False, ""

    def begin(self) -> None:
        """Once. Not waited for: an API that is slow or dead is one that says nothing."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._look, name="glance", daemon=True).start()

    def off(self) -> str:
        """What was seen, for a sentence; empty unless it is off. The look begins with a question that comes after `PATIENCE_S`, at the latest."""
        if time.monotonic() - self._since > PATIENCE_S:
            self.begin()
        return self._seen

    def _look(self) -> None:
        with suppress(
            BaseException
        ):  # whatever it is: nothing was seen then, and the rungs tell of the API what is wrong with it
            ids = self._ids()
            self._compute.connect()
            sight = self._compute.look([self._name], {name: ids[name] for name in (self._name,) if name in ids})
            if sight.proven:
                states = " and ".join(sorted({server.status for server in sight.servers}))
                self._seen = f"{self._name} is {states} at the API of region {self._compute.region}, so its ssh server was not waited for"


def start(openstack: OpenStack, region: str, names: Sequence[str], ids: Mapping[str, str]) -> None:
    """Start those of the own servers that are off: a fence may have stopped them. Their guards keep databases from coming up as writers.

    One that is on its way there is waited for: a fence that was ended a moment ago has left it so. Who needs a host waits for its ssh, so nothing waits
    for this. A run must not need this API (it may be down while all hosts run): a warning then.
    """
    attempts = Attempts(Compute(openstack, region), names, {name: ids[name] for name in names if name in ids}, LOGIN_S)
    until = time.monotonic() + POWER_S
    try:
        attempts.connect()
        while True:
            sight = attempts.look()
            attempts.ask([server for server in sight.servers if server.status == "SHUTOFF"], "os-start")
            if all(server.task is None for server in sight.servers):
                return
            if time.monotonic() > until:
                print(f"WARNING servers: region {region}: {sight.words()}, after {POWER_S} s", file=sys.stderr)
                return
            time.sleep(LONGEST_PAUSE_S)
    except ApiDown as error:
        print(f"WARNING servers: could not see whether those of region {region} are on: {error}", file=sys.stderr)
