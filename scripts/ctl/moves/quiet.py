"""While somebody does on purpose what looks like a fault, the Alertmanagers of both regions are quiet about that, and about nothing else.

They are told through the control host of each region that answers, side by side and for seconds at most. Nothing waits for it or ends by it: who cannot be told
tells of what is done here as of any fault, which is one line. A run that is killed leaves silences that end by themselves.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from components.settings import Settings
from contract import fields
from contract.errors import DrError, Failed
from contract.hosts import CONTROL, first
from contract.monitoring.silences import CAUSES, MOST_S, Silence, Undertaking, Unsilence
from contract.plain import phrase
from contract.sites import SITES
from scripts.clients import trail
from scripts.clients.hosts import Hosts
from scripts.ctl.output import say
from scripts.ctl.persons.reach import bastions
from scripts.ctl.survey.asking import Ways
from scripts.ctl.survey.known import Questions

LIMIT_S = 8.0  # of all of it, at the begin and at the end
ANSWER_S = 5


@contextmanager
def quiet(
    settings: Settings,
    undertaking: Undertaking,
    site: str,
    *,
    hosts: Sequence[str] = (),
    seconds: float = MOST_S,
    why: str = "",
) -> Iterator[None]:
    """`site`: the region that it is about; `hosts`: of it, those that are stopped ("db-1.b"); `seconds`: that it may take, its kind's most by default."""
    if settings.monitoring is None or not settings.monitoring.enabled:
        yield
        return
    told = Silence(
        id=secrets.token_hex(6),
        undertaking=undertaking,
        site=site,
        hosts=tuple(hosts),
        seconds=min(int(seconds), CAUSES[undertaking].most_s),
        who=trail.who(os.environ),
        why=phrase(why, 200),
    )
    with Ways() as ways:
        _tell(settings, ways, told, f"what this {undertaking} looks like may be told as a fault")
        try:
            yield
        finally:
            with _uninterrupted():  # it is over, whatever is said of it
                _tell(
                    settings,
                    ways,
                    Unsilence(id=told.id),
                    f"its silences there end by themselves, {told.seconds} s after they were set",
                )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say("silences of it end by themselves")


def _tell(settings: Settings, ways: Ways, document: Silence | Unsilence, otherwise: str) -> None:
    """Both control hosts. Whom it does not reach is said, in one line."""
    verb = "monitoring silence" if isinstance(document, Silence) else "monitoring unsilence"
    questions = Questions(LIMIT_S)
    questions.ask("bastions", partial(bastions, settings))
    known = questions.known("bastions")
    try:
        hosts = ways.to(settings, known.value or {})
    except (DrError, OSError) as error:
        silent = [str(error)]
    else:
        for site in SITES:
            questions.ask(site, partial(_call, hosts, site, verb, fields.write(document)))
        silent = [f"region {site}: {known.why or why}" for site in SITES if (why := questions.known(site).why)]
    if silent:
        say(f"warning: {phrase('; '.join(silent), 700)}; {otherwise}; nothing waits for that")


def _call(hosts: Hosts, site: str, verb: str, document: dict[str, Any]) -> Any:
    name = f"{first(CONTROL)}.{site}"
    if site not in hosts.routes(name):
        raise Failed(f"host {name}: no bastion is known")
    return hosts.must(name, site, verb, document, ANSWER_S).facts
