"""`dr-host certificate order|take|status`: what the timers of `install` call, and what they have come to; `greet` and `try`: whether what would be new
would be taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from contract import fields
from contract.errors import Failed, Usage
from contract.greeting import MOST, Try, Turn

from ...frame.call import Call, Verb
from ...frame.layout import Layout
from ...frame.result import Result
from ...frame.systemd import Systemd
from ...frame.witness import Witness
from . import memory
from .job import CAS, STATE, Job, given, objects, state
from .lego import Lego
from .order import Ordering, refuse_bystander
from .sealed import Own
from .take import Taking, shown_now

NGINX, RELOAD_S = "nginx.service", 60.0


def _own(layout: Layout) -> Own:
    return Own(layout.etc / "host.crt", given(layout, "host.key"), layout.etc / "ca.pem")


def order(call: Call) -> Result:
    """Verb `order`, on a bastion. A refusal of the CA is no failure: it is told by `status`, and tried again when its time has come."""
    layout = call.layout
    job = Job.of_host(layout)
    refuse_bystander(job)
    witness, folder = Witness.of_file(given(layout, "witness.json")), state(layout)
    cas = layout.etc / CAS if job.ca else None
    done = Ordering(
        job=job,
        own=_own(layout),
        folder=folder,
        look=lambda: witness.glance(0, tuple(objects().values())),
        put=witness.store,
        order=Lego(job, folder, given(layout, "application_key").parent, cas).order,
        log=call.log,
    ).go()
    return Result({"state": done.state, "error": done.error, "ends": done.ends, "ordered": done.ordered})


def take(call: Call) -> Result:
    """Verb `take`, on an app host. Exit 1 while the witness is silent, or nginx does not take it: what is shown stays."""
    layout, units = call.layout, Systemd()
    job = Job.of_host(layout)
    witness = Witness.of_file(given(layout, "witness.json"))

    def reload() -> None:
        if units.active(NGINX):  # else it reads it when it starts
            units.reload(NGINX, RELOAD_S)

    taking = Taking(
        job=job,
        own=_own(layout),
        layout=layout,
        folder=state(layout),
        look=lambda: witness.glance(0, tuple(objects().values())).bodies,
        reload=reload,
        log=call.log,
    )
    return Result(taking.go())


def status(call: Call) -> Result:
    """Verb `status`: never fails. On a bastion what the last run came to, on an app host what is shown."""
    layout = call.layout
    try:
        job = Job.of_host(layout)
    except Failed:
        return Result({"ordered": None, "ends": None, "error": None, "tried": None, "state": None})
    return Result(_ordering(layout) if job.order is not None else _showing(job, layout))


def greet(call: Call) -> Result:
    """One line of stdin is a turn of a handshake, and one of stdout the answer (`contract.greeting`). Ends with its stdin. Raises Failed, Usage."""
    from . import greeting  # noqa: PLC0415 - it knows where each service keeps its own, and no other verb needs them

    for said in greeting.answers(call.layout, _turns(call)):
        print(json.dumps(fields.write(said), sort_keys=True), flush=True)
    return Result({})


def _turns(call: Call) -> Iterator[Turn]:
    while call.lines is not None and (line := call.lines.readline(2 * MOST)):
        try:
            document = json.loads(line)
        except ValueError:
            raise Usage(
                "stdin: found a line that is no JSON object, wanted one object a line; nobody was greeted; see docs/interfaces.md"
            ) from None
        yield fields.read(Turn, document, "line")


def attempt(call: Call) -> Result:
    """Verb `try`, on an app host: a pair is held against customers and nginx, and shown to nobody. Raises Failed where either would not take it."""
    from . import trying  # noqa: PLC0415 - as above

    return Result({"ends": trying.attempt(call.layout, fields.read(Try, call.document, "document"))})


def _ordering(layout: Layout) -> dict[str, Any]:
    it = memory.load(layout.at(STATE).resolve())
    return {"ordered": it.ordered, "ends": it.ends, "error": it.error, "tried": it.tried, "state": it.state or None}


def _showing(job: Job, layout: Layout) -> dict[str, Any]:
    it = shown_now(job, layout)
    return {
        "ordered": it.digest if it else None,
        "ends": it.ends if it else None,
        "error": None if it else "the certificate of the secrets is shown, or one that is over",
        "tried": None,
        "state": None,
    }


VERBS = {
    "order": Verb(order, locked=False, reads=False),
    "take": Verb(take, locked=False, reads=False),
    "status": Verb(status, locked=False, reads=False),
    "greet": Verb(greet, locked=False, reads=False),
    "try": Verb(attempt),
}
