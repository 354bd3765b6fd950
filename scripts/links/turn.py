"""Hosts are told their role side by side, and that is no failure, whatever becomes of it: the engine begins nothing more once a link has failed, and
one host that is dead, or reboots at this moment, must not keep the shop from selling on the others. Behind the proof each is asked once more by a link
of its own, whose failure is one.

A host that is cut off is asked until it answers: its connection may have broken before, during or after the work, and the same again changes nothing
where all is done.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from contract.errors import DrError, ExitCode
from contract.limits import LINKS_S, REACHED_S
from contract.links.turn import Document
from contract.plain import phrase
from scripts.clients.hosts import Hosts, Unreachable

PAUSE_S = 0.5  # before one that is cut off is asked again
ATTEMPTS = 2  # of one that answers, and not well; a refusal is an answer


def run(told: Document) -> dict[str, Any]:
    """Returns {"schema", "site", "service", "hosts"}: who was asked. Raises Refused where no host can be reached from this machine."""
    with Hosts(told.ssh) as hosts:
        asked = [
            threading.Thread(target=_turn, args=(hosts, told, host, text), name=host, daemon=True)
            for host, text in told.documents.items()
        ]
        for each in asked:
            each.start()
        for each in asked:
            each.join()
    return {"schema": 1, "site": told.site, "service": told.service, "hosts": sorted(told.documents)}


def _turn(hosts: Hosts, told: Document, host: str, text: str) -> None:
    until, failed = time.monotonic() + REACHED_S, 0
    while True:
        try:
            done = hosts.execute(host, told.site, told.program, text.encode(), LINKS_S[told.service])
        except Unreachable as error:
            if time.monotonic() > until:
                _say(
                    f"WARNING turn: {error}; asked for {REACHED_S} s; the others go on, and the link of this host tells what became of it"
                )
                return
            time.sleep(PAUSE_S)
            continue
        except (DrError, OSError) as error:  # of this machine: there is nobody to ask another way
            _say(f"WARNING turn: host {host} was not asked ({phrase(str(error))}); the others go on")
            return
        for line in done.stderr.decode(errors="replace").splitlines():
            _say(f"{phrase(line)} ({host})")
        failed += done.returncode != ExitCode.DONE
        if done.returncode in (ExitCode.DONE, ExitCode.REFUSED) or failed == ATTEMPTS:
            return


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
