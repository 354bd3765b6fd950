"""The rounds of a watcher: look, judge, act; and beside them the pages on their way, so that a receiver that hangs holds up no look, and no other page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from contract.errors import DrError
from contract.plain import phrase
from scripts.watch.acting import Acting
from scripts.watch.judging import Judge
from scripts.watch.looking import Looking
from scripts.watch.pages import Telling, Way
from scripts.watch.pulse import Pulse, State
from scripts.watch.renewing import Renewing

TELL_S = 2.0  # between two tries of what waits


def rounds(
    looking: Looking, acting: Acting, renewing: Renewing, end: threading.Event, say: Callable[[str], None]
) -> None:
    """Until `end`. What one round cannot do is said, and the next one comes."""
    judge, state = Judge(acting.terms), State.WELL
    while not end.is_set():
        began = time.monotonic()
        _renew(looking, acting, renewing, say)
        try:
            pulse = looking.look()
            state = _said(pulse, state, say)
            if event := judge.feed(pulse):
                acting.event(event)
            acting.look(pulse)
        except DrError as error:
            say(f"this look came to nothing: {phrase(str(error), 600)}")
        except Exception as error:  # whatever it is: a watcher that ends watches nothing
            say(f"this look came to nothing: {type(error).__name__}: {phrase(str(error), 300)}")
        end.wait(max(acting.terms.every_s - (time.monotonic() - began), 0.5))


def _renew(looking: Looking, acting: Acting, renewing: Renewing, say: Callable[[str], None]) -> None:
    """Where that cannot be, it is looked on by the keys of before."""
    try:
        settings = renewing.look()
        if settings is None:
            return
        looking.go_by(settings)
        acting.go_by(settings)
        say("the set of secrets is another one: the next looks go by it")
    except Exception as error:  # as in a round
        say(f"the set of secrets cannot be read: {phrase(str(error), 300)}; looks go by the one of before")


def _said(pulse: Pulse, before: State, say: Callable[[str], None]) -> State:
    """A line where it is another state than before."""
    if pulse.state is not before:
        working = f"; at work: {pulse.working}" if pulse.working else ""
        say(f"{pulse.state}: {phrase('; '.join(pulse.lines()), 900)}{working}")
    return pulse.state


def pages(telling: Telling, end: threading.Event, say: Callable[[str], None]) -> list[threading.Thread]:
    """The threads that deliver, one for each way, so that a receiver that hangs keeps no other one from its page; they end soon after `end`, when
    everything is told.
    """

    def deliver(way: Way) -> None:
        last = ""
        while not (end.is_set() and not telling.waiting_for(way)):
            told = "; ".join(telling.deliver(way))
            if told and told != last:
                say(told)
            last = told
            if end.wait(TELL_S) and told:
                return  # what a receiver has not taken by now it may never take

    threads = [
        threading.Thread(target=deliver, args=(way,), name=f"pages by {way.name}", daemon=True) for way in telling.ways
    ]
    for thread in threads:
        thread.start()
    return threads
