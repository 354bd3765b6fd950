"""After a move the app hosts of the region that was left forward to this one, as they will once their own stack runs.

Until that run, customers whose name server still says the old address are served there, by a shop that writes here: what they upload would lie in the
bucket that was left until the copier brings it over. Nothing depends on it, so nothing that is seen here fails: a region that is lost has nobody to tell.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from contract.errors import DrError, ExitCode
from contract.limits import QUICK_S
from contract.links.forward import Document
from contract.plain import phrase
from contract.sites import other
from scripts.clients.hosts import Answer, Hosts, Unreachable
from scripts.clients.witness import Witness


def run(told: Document) -> dict[str, Any]:
    """Returns {"schema", "site", "epoch", "left"}: the region that was left, or null where none was. Raises Refused where ssh cannot work here."""
    peer, epoch = other(told.site), told.epoch
    left = peer if epoch.active == told.site and epoch.previous == peer else None
    if left is not None:
        bastion = None
        with suppress(DrError):  # the own bastion leads there over the vRack
            bastion = Witness(told.witness).addresses(peer).get("bastion")
        ssh = replace(told.ssh, bastions={**told.ssh.bastions, **({peer: bastion} if bastion else {})})
        with Hosts(ssh) as hosts, ThreadPoolExecutor(len(told.apps) or 1) as pool:
            for line in pool.map(lambda app: _told(hosts, f"{app}.{peer}", epoch.epoch), told.apps):
                if line:
                    print(f"INFO forward: {line}", file=sys.stderr)
    return {"schema": 1, "site": told.site, "epoch": epoch.epoch, "left": left}


def _told(hosts: Hosts, host: str, epoch: int) -> str:
    """Why it does not forward, and what that means; empty when it does."""
    try:
        answer = _asked(hosts, host, epoch)
    except (DrError, OSError) as error:
        return f"{phrase(str(error))}; {host} forwards once the stack of its region has run"
    if answer.code == ExitCode.DONE:
        return ""
    return (
        f"host {host}: exit code {answer.code} ({answer.message or 'no message'}), wanted its requests forwarded; what customers upload there lies in "
        "its region's bucket and is copied from there; it forwards once the stack of its region has run"
    )


def _asked(hosts: Hosts, host: str, epoch: int) -> Answer:
    """By the first way that leads there. Raises Unreachable with what the last one said."""
    *ways, last = hosts.routes(host)
    for way in ways:
        with suppress(Unreachable):
            return hosts.call(host, way, "app forward", {"schema": 1, "epoch": epoch}, QUICK_S)
    return hosts.call(host, last, "app forward", {"schema": 1, "epoch": epoch}, QUICK_S)
