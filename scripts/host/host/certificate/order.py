"""The bastion's job: while its site is the active one, by the witness, the shop has a certificate of the CA that is good for more than a third of its life.

Each run asks the witness first. Who is not active orders nothing; who takes over takes what the other has ordered for its own while that is good. Two that both
believe to be active each put theirs under their own name there, and app hosts show the one that ends last: that costs one order, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from contract import fields
from contract.dataclass import dataclass
from contract.errors import DrError, Failed, say
from contract.services.certificate import Pair

from ...frame.files import read_own, write_atomically
from ...frame.log import Log
from ...frame.witness import Glance, Silent
from . import memory
from .job import Job, objects, signer
from .lego import NoCertificate
from .memory import Memory
from .sealed import Closed, Own, marked, opened, seal
from .shown import Fit, Unfit, fit

PENDING = "pending.json"  # ordered, sealed, and not at the witness yet
CLOCK_S = 3600.0  # by which a clock may be off before no date of a certificate means anything


@dataclass(frozen=True)
class Ordering:
    """One run. `look`: the witness's word, raises Silent; `put`: stores at it, raises Silent; `order`: raises NoCertificate."""

    job: Job
    own: Own
    folder: Path
    look: Callable[[], Glance]
    put: Callable[[str, bytes], object]
    order: Callable[[], Pair]
    log: Log
    now: Callable[[], float] = time.time

    def go(self) -> Memory:
        """What is remembered afterwards; its `state` is a sentence. A silent witness, a refusal and a limit are no failure of the run: the next one is soon."""
        known = memory.load(self.folder)
        try:
            known = self._went(known)
        except Silent as error:
            known = replace(known, state=f"the witness is silent, so nobody knows who orders: {error}")
        except NoCertificate as error:
            known = replace(memory.load(self.folder), state="the last order failed")
            self.log.warning(str(error))
        memory.save(self.folder, known)
        return known

    def _went(self, known: Memory) -> Memory:
        assert self.job.order is not None
        seen = self.look()
        if seen.active is None or seen.active.site != self.job.site:
            which = "no site is active yet" if seen.active is None else f"site {seen.active.site} is active, and orders"
            return replace(known, state=which)
        if abs(seen.ahead) > CLOCK_S:
            raise NoCertificate(
                f"this host's clock is {abs(seen.ahead):.0f} s {'behind' if seen.ahead > 0 else 'ahead of'} the witness's, so nothing was asked of the CA",
                "see `timedatectl` there",
            )
        there, mine = self._there(seen), self._pending()
        best = max((it for it in (there, mine) if it), key=lambda it: it.ends, default=None)
        if best is None or best.due(self.now()):
            waits = known.waits_s(self.now())
            if waits > 0:
                if best:  # what there is must be where app hosts look for it
                    known = self._hand_over(known, best, there)
                return replace(known, state=f"one is to be ordered, and the CA is asked again in {waits:.0f} s")
            best = self._ordered(known)
            known = memory.load(self.folder)
        known = self._hand_over(known, best, there)
        return replace(known, state="handed over", error=None)

    def _there(self, seen: Glance) -> Fit | None:
        """The one at the witness that ends last, of those that may be shown."""
        found = list[Fit]()
        for site, name in objects().items():
            if name not in seen.bodies:
                continue
            try:
                found.append(fit(opened(seen.bodies[name], self.own, signer(site)), self.job.shop, self.job.ca))
            except (Closed, Unfit) as error:
                self.log.warning(f"witness object {name}: {error}; it counts for nothing here")
        return max(found, key=lambda it: it.ends, default=None)

    def _pending(self) -> Fit | None:
        try:
            body = read_own(self.folder / PENDING)
            return fit(opened(body, self.own, signer(self.job.site)), self.job.shop, self.job.ca)
        except (OSError, Closed, Unfit):
            return None

    def _ordered(self, known: Memory) -> Fit:
        """Raises NoCertificate. Remembered before the CA is asked, and again afterwards."""
        assert self.job.order is not None
        try:
            memory.save(self.folder, known.begun(self.now()))
        except OSError as error:  # a try that cannot be remembered would be made again and again
            raise NoCertificate(
                f"what is tried cannot be remembered ({error.strerror}), so nothing was asked of the CA",
                "make room on this host",
            ) from None
        known = memory.load(self.folder)
        try:
            pair = self.order()
            made = self._judged(pair)
        except NoCertificate as error:
            memory.save(self.folder, known.failed(self.now(), str(error), error.limited_s))
            raise
        # Nothing of it lies here that others could read, and it is not lost while the witness is silent.
        write_atomically(self.folder / PENDING, seal(pair, self.own, self.job.order.opened_by))
        memory.save(self.folder, known.got(self.now()))
        return made

    def _judged(self, pair: Pair) -> Fit:
        try:
            # Through the same form as from the witness: what the CA has sent is nobody's word yet.
            return fit(fields.read(Pair, fields.write(pair), "what the CA has sent"), self.job.shop, self.job.ca)
        except (Unfit, DrError) as error:
            raise NoCertificate(
                f"the CA has issued one that cannot be shown: {error}", "see dr:shop.acme.directory and dr:shop.acme.ca"
            ) from None

    def _hand_over(self, known: Memory, it: Fit, there: Fit | None) -> Memory:
        """Puts it where app hosts look, where it is not there, or was sealed for others than those of now. Raises Silent, Failed."""
        assert self.job.order is not None
        mark = marked(self.job.order.opened_by)
        if there is None or there.digest != it.digest or known.marked != mark:
            self.put(objects()[self.job.site], seal(it.pair, self.own, self.job.order.opened_by))
        (self.folder / PENDING).unlink(missing_ok=True)
        return replace(known, ordered=it.digest, ends=it.ends, marked=mark)


def refuse_bystander(job: Job) -> None:
    """Raises Failed on a host that orders nothing."""
    if job.order is None:
        raise Failed(
            say(
                subject=f"host {job.host}.{job.site}",
                found="one that orders no certificate",
                wanted="a bastion",
                consequence="nothing was ordered",
                remedy="`dr-host certificate take` is this host's job",
            )
        )
