"""`drctl drill certificates`: whether every certificate could be renewed today and would be taken, by all that would have to take it, with a record of it.

What `drctl rotate` would make is made, held against the rules of the configuration stage by stage, and shown by the hosts of both regions to each other, old
to new and new to old; the shop's is held against a browser's rules and nginx on every app host. Nothing that serves is touched, nothing is stored, and no CA
that was made for it is trusted by anybody.

Exit codes: 0 all would be taken; 1 something would not, or could not be asked: the last lines say what; 3 refused, nothing was begun.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from components import config
from components.render.links import ssh
from components.settings import Settings
from contract import fields
from contract.epoch import Epoch
from contract.errors import ConfigError, DrError, ExitCode, Failed, Refused, Usage
from contract.greeting import Fresh, Tried, Try
from contract.hosts import APP
from contract.plain import phrase, shown
from contract.report import CERTIFICATES, Event
from scripts.clients.hosts import Conversation, Hosts, Unreachable
from scripts.ctl.commands import drill_switchover
from scripts.ctl.moves import challenge
from scripts.ctl.moves.greeting import CACHES, HOSTS, LOGINS, all_greeted, doors
from scripts.ctl.moves.recorded import in_force
from scripts.ctl.output import say
from scripts.ctl.persons.reach import bastions
from scripts.ctl.reports import writing
from scripts.ctl.reports.recording import end_of, of_run
from scripts.ctl.stacks import rotation
from scripts.ctl.stacks.secrets import SERVER, Authority, names_of
from scripts.ctl.stacks.stack import Stack

KINDS = (HOSTS, CACHES, LOGINS)  # of `drctl rotate`, whose certificates hosts show each other
WHOLE_S, ASK_S, TRY_S = (
    600,
    20,
    90,
)  # of all of it, for the window and a host's own limit; a question; nginx on one host
MOST_FILE = 200_000  # bytes of a certificate with its chain
MOST_TOLD = 20


@dataclass(kw_only=True)
class Drill:
    """What came of it. `proven`: a line each; `wrong`: what was otherwise; `left_out`: what nobody has proven by it."""

    told: argparse.Namespace
    newest: Epoch
    at: datetime.datetime
    began: float
    proven: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def event(self, code: ExitCode | None, error: str) -> Event:
        told = self.told
        return replace(
            of_run(CERTIFICATES, told, self.at, self.began, code),
            source=self.newest.active,
            epoch_before=self.newest.epoch,
            epoch=self.newest.epoch,
            errors=tuple(filter(None, (error, *self.wrong[:MOST_TOLD]))),
            warnings=(*self.proven, *self.left_out),
        )


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    now = datetime.datetime.now(datetime.UTC)
    drill_switchover.in_window(chosen.window, 0, WHOLE_S, now)
    given = _given(chosen)
    stack = Stack.chosen(chosen)
    settings = stack.settings()
    newest = in_force(settings)
    for line in _plan(settings, given):
        print(phrase(line, 600))
    if chosen.dry_run:
        return ExitCode.DONE
    drill = Drill(told=chosen, newest=newest, at=now, began=time.monotonic())
    try:
        _rehearsed(stack, settings, given, drill)
    except BaseException as error:
        code, text = end_of(error)
        if code is not ExitCode.REFUSED:  # of one that was refused there is none: nothing was begun
            writing.undertaking_ended(settings, "drill", drill.event(code, text), say)
        raise
    return _told(settings, drill)


def _plan(settings: Settings, given: Fresh | None) -> Iterator[str]:
    apps = ", ".join(key for key, it in settings.hosts.items() if it.role == APP)
    yield f"new CAs and certificates of {', '.join(KINDS)} are made in memory, and each stage of their rotation is held against the configuration's rules"
    yield f"{len(settings.hosts)} hosts of both regions greet each other with them by TLS, through this machine's ssh: no port is opened, nothing is stored"
    whose = "the pair that was given" if given else "a pair that is made for it"
    yield f"{apps}: {whose} is held against a customer's rules for the shop's names, and read by nginx -t in a folder of its own, which is removed"
    if settings.shop.acme is not None:
        zone = settings.shop.acme.zone or settings.dns.zone
        yield f"a record like an ACME challenge, under a name of its own, is written into zone {zone}, waited for at its name servers, and taken back"
    yield "nothing that serves is changed; Ctrl-C ends it at any moment"


def _given(chosen: argparse.Namespace) -> Fresh | None:
    """The pair of the shop that is to be tried. Raises Usage."""
    files: tuple[Path | None, Path | None] = (chosen.shop_cert, chosen.shop_key)
    if files == (None, None):
        return None
    cert, key = files
    if cert is None or key is None:
        raise Usage("--shop-cert, --shop-key: found one of them, wanted both or none; nothing was begun")
    return fields.read(Fresh, {"cert": _text(cert), "key": _text(key)}, "--shop-cert and --shop-key")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            body = stream.read(MOST_FILE + 1)
        if len(body) > MOST_FILE:
            raise ValueError
        return body.decode("ascii")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else f"no text of {MOST_FILE} bytes at most"
        raise Usage(f"file {shown(str(path))}: {why}, wanted PEM; nothing was begun") from None


def _rehearsed(stack: Stack, settings: Settings, given: Fresh | None, drill: Drill) -> None:
    made, secrets = _made(stack, settings, drill)
    with _lines(settings, drill) as (hosts, ways, lines):
        number, wrong = all_greeted(doors(settings, made, secrets), lines)
        drill.wrong += wrong
        drill.proven.append(f"{number} handshakes of {len(lines)} hosts, old to new and new to old")
        say(drill.proven[-1])
        _shop(hosts, ways, settings, given, drill)
    if settings.shop.acme is not None:
        _acme(settings, drill)


def _made(stack: Stack, settings: Settings, drill: Drill) -> tuple[dict[str, Mapping[str, Any]], Mapping[str, Any]]:
    """What is new by kind, and the set that is in use; each stage was held against the rules. Raises Refused where one is under way."""
    values, hidden = stack.values()
    secrets, names = values["secrets"], names_of(settings)
    made = dict[str, Mapping[str, Any]]()
    for kind in KINDS:
        if rotation.number(secrets, kind):
            raise Refused(
                f"rotation of {kind}: is under way, wanted none; nothing was begun; `drctl rotate {kind}` takes it to its end, and proves more than this would"
            )
        made[kind] = rotation.fresh(secrets, kind, names)
        beside = rotation.begun(secrets, kind, names)
        turned = rotation.turned(beside, kind, f"{drill.at:%Y-%m-%d}")
        for stage, found in (("beside", beside), ("turned", turned), ("ended", rotation.ended(turned, kind))):
            try:
                config.parse({**values, "secrets": found}, hidden)
            except ConfigError as error:
                drill.wrong.append(phrase(f"{kind}, stage {stage}: the configuration refuses it: {error}", 400))
    drill.proven.append(f"{', '.join(KINDS)}: made, and taken by the configuration at each stage of their rotation")
    return made, secrets


@contextmanager
def _lines(settings: Settings, drill: Drill) -> Iterator[tuple[Hosts, Mapping[str, str], Mapping[str, Conversation]]]:
    """The hosts, the site by whose bastion each is reached, and a conversation with each that is. Raises DrError where ssh cannot work here."""
    with Hosts(ssh(settings, bastions(settings))) as hosts:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda key: _way(hosts, key), settings.hosts))
        ways = {key: way for key, way in zip(settings.hosts, found, strict=True) if isinstance(way, str)}
        drill.wrong += [phrase(str(it), 400) for it in found if isinstance(it, DrError)]
        yield hosts, ways, {key: hosts.talk(key, way, "certificate greet", WHOLE_S) for key, way in ways.items()}


def _way(hosts: Hosts, host: str) -> str | DrError:
    """By the bastion of its own region, and by the other one where that leads nowhere."""
    silent: DrError | None = None
    for way in reversed(hosts.routes(host)):
        try:
            hosts.must(host, way, "certificate status", {}, ASK_S)
        except Unreachable as error:
            silent = silent or error
        except DrError as error:
            return error
        else:
            return way
    return silent or Failed(f"host {host}: no bastion is known that leads there, wanted one; see `drctl status`")


def _shop(hosts: Hosts, ways: Mapping[str, str], settings: Settings, given: Fresh | None, drill: Drill) -> None:
    names = (settings.shop.host, *(settings.shop.aliases or ()))
    new, ca = (given, settings.entrance_cas) if given else _pair(names)
    document = fields.write(Try(names=names, ca=ca, new=new))
    ends = set[float]()
    asked = [key for key, it in settings.hosts.items() if it.role == APP and key in ways]
    for key in asked:
        try:
            answer = hosts.must(key, ways[key], "certificate try", document, TRY_S)
            ends.add(fields.heard(Tried, answer.facts, f"host {key}", "nothing is concluded from it").ends)
        except DrError as error:
            drill.wrong.append(phrase(str(error), 400))
    end = f", it ends on {datetime.datetime.fromtimestamp(min(ends), datetime.UTC):%Y-%m-%d}" if given and ends else ""
    whose = "the pair that was given" if given else "a pair made for it"
    drill.proven.append(f"the shop's certificate: {whose}, for {', '.join(names)}, on {len(asked)} app hosts{end}")
    if settings.shop.acme is None and not given:
        drill.left_out.append(
            "not proven: that its CA issues one; `--shop-cert` and `--shop-key` try a pair that it has issued"
        )


def _acme(settings: Settings, drill: Drill) -> None:
    say("a record like an ACME challenge is written, and waited for at the zone's name servers")
    try:
        drill.proven.append(challenge.rehearsed(settings, challenge.world(settings)))
    except DrError as error:
        drill.wrong.append(phrase(str(error), 400))
    drill.left_out.append(
        "not proven: that the ACME CA issues one; `drctl check`, certs.ordered, says what its last order came to"
    )


def _pair(names: Sequence[str]) -> tuple[Fresh, str]:
    by = Authority("shop entrance")
    made = by.issue(list(names), purposes=(SERVER,))
    return Fresh(cert=made["cert"], key=made["key"]), by.certificate_pem


def _told(settings: Settings, drill: Drill) -> ExitCode:
    """Raises Failed where something would not be taken."""
    for line in (*drill.proven, *drill.left_out):
        print(phrase(line, 400))
    for line in drill.wrong[:MOST_TOLD]:
        print(f"  AGAINST  {line}")
    code = ExitCode.FAILED if drill.wrong else ExitCode.DONE
    writing.undertaking_ended(settings, "drill", drill.event(code, ""), say)
    if drill.wrong:
        raise Failed(
            f"rehearsal of certificates: found {len(drill.wrong)} that would not be taken, or could not be asked, which are listed above, wanted none; "
            "nothing was changed; mend them before you renew anything (docs/runbook/certificates.md)"
        )
    return code
