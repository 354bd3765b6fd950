"""`drctl audit logins`: who has signed in to which host, as the hosts have told the witness, and what of it is missing (`contract/authlog.py`)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from components.render import documents
from components.settings import Settings
from contract.authlog import Walked, walk
from contract.dataclass import dataclass
from contract.errors import ExitCode, Failed
from contract.hosts import HostAddress, kind_of
from contract.plain import phrase
from contract.witness import user_of
from scripts.clients.login_bucket import Kept, LoginBucket
from scripts.ctl import output
from scripts.ctl.commands import arguments
from scripts.ctl.persons.logins import SECOND, Login, Said, time_of, unanswered, understand
from scripts.ctl.stacks.stack import Stack

MOST_LOGINS = 5_000  # of one host
MARGIN_S = 12 * 3600  # before what is asked for: somebody may have been on a bastion since then


@dataclass(frozen=True, kw_only=True)
class Found:
    """`missing`: everything that makes the exit code 1. `unkept`: hosts that have no key to tell by."""

    said: Mapping[str, Said]
    ages: Mapping[str, float | None]  # of each host's newest object, in seconds; None: it has told nothing
    missing: tuple[str, ...]
    begun: tuple[str, ...]
    unkept: tuple[str, ...]


def run(chosen: argparse.Namespace) -> ExitCode:
    """Prints the sign-ins, or all as JSON. Raises Failed where something is missing, with every place; Usage."""
    since = time.time() - arguments.age(chosen.since)
    settings = Stack.chosen(chosen).settings()
    # Those of both sites in any case: a host is reached through its site's bastion, and told of by it.
    found = gather(settings, LoginBucket(documents.witness(settings)), since, time.time())
    shown = {key: it for key, it in found.said.items() if chosen.site in (None, key.rpartition(".")[2])}
    if chosen.json:
        output.write_json(_document(shown, found, since), "the sign-ins")
    else:
        for line in (*_lines(shown, found, since), *_unkept(found, chosen.site)):
            print(line)
    if found.missing:
        raise Failed(
            "sign-ins: found something missing, wanted each host's chain whole and each sign-in told at both ends:\n"
            + "\n".join(f"  - {it}" for it in found.missing)
            + "\nsee docs/failover.md, `Who has signed in`"
        )
    return ExitCode.DONE


def gather(settings: Settings, witness: LoginBucket, since: float, now: float) -> Found:
    """From the witness, by the hosts of the configuration. Times in seconds."""
    start = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(since - MARGIN_S))
    said, ages, missing, begun = dict[str, Said](), dict[str, float | None](), list[str](), list[str]()
    unkept = list[str]()
    for key, host in settings.hosts.items():
        if user_of(host.role, host.site) not in settings.secrets.witness_hosts:
            unkept.append(key)
            continue
        try:
            kept = witness.kept(host.site, host.name, start)
        except Failed as error:  # of one host, and the others may be well
            missing.append(f"{key}: {error}")
            continue
        told = walk(kept.objects)
        missing += _missing(key, host, kept, told)
        ages[key] = kept.age_s
        begun += told.begun
        if kept.objects:
            said[key] = understand(key, told.lines, int(since * SECOND))
            if len(said[key].logins) > MOST_LOGINS:
                missing.append(
                    f"{key}: tells of {len(said[key].logins)} sign-ins; only the newest {MOST_LOGINS} are told"
                )
                said[key] = replace(said[key], logins=said[key].logins[-MOST_LOGINS:])
    missing += unanswered(said, settings.hosts, int(since * SECOND), int(now * SECOND))
    told_missing = (phrase(it, 600) for it in missing)
    return Found(said=said, ages=ages, missing=tuple(told_missing), begun=tuple(begun), unkept=tuple(unkept))


def _missing(key: str, host: HostAddress, kept: Kept, told: Walked) -> Iterator[str]:
    yield from kept.breaks
    yield from told.breaks
    yield from told.gaps
    if not kept.objects:
        user = user_of(kind_of(host.name), host.site)
        yield (
            f"{key}: has told nothing, wanted who signs in there; its run may still be due, or its key may not put it: attach what "
            f"`drctl rights witness --user {user}` prints, see `journalctl -u dr-authlog` there"
        )


def _document(shown: Mapping[str, Said], found: Found, since: float) -> dict[str, Any]:
    return {
        "logins": [asdict(it) for it in _logins(shown, since)],
        "refused": [
            {"host": key, "address": address, "user": user, "times": times}
            for key, it in shown.items()
            for (address, user), times in it.refused.items()
        ],
        "others": [
            {"host": key, **asdict(line)}
            for key, it in shown.items()
            for line in it.others
            if line.at >= since * SECOND
        ],
        "newest_s": dict(found.ages),
        "begun": list(found.begun),
        "missing": list(found.missing),
        "unkept": list(found.unkept),
    }


def _logins(shown: Mapping[str, Said], since: float) -> list[Login]:
    return sorted(
        (it for said in shown.values() for it in said.logins if it.at >= since * SECOND), key=lambda it: it.at
    )


def _lines(shown: Mapping[str, Said], found: Found, since: float) -> Iterator[str]:
    for it in _logins(shown, since):
        did = f"; {', '.join(it.did)}" if it.did else ""
        end = f"until {time_of(it.until)} ({it.ended})" if it.until is not None else "no end told"
        yield phrase(
            f"{time_of(it.at)}  {it.host:12s} {it.user} by {it.who} from {it.address} port {it.port}{did}; {end}", 600
        )
    for key, each in shown.items():
        for (address, user), times in sorted(each.refused.items()):
            yield phrase(f"{key}: refused {times} times: {user} from {address}", 300)
        for line in each.others:
            if line.at >= since * SECOND:
                yield phrase(
                    f"{time_of(line.at)}  {key:12s} {line.comm}[{line.pid}] of user {line.uid}: {line.text}", 600
                )
    for begun in found.begun:
        yield phrase(begun, 300)
    for key in sorted(shown.keys() | found.ages.keys()):
        if key in shown or found.ages.get(key) is None:
            age = found.ages.get(key)
            yield f"{key}: " + ("told nothing" if age is None else f"told last {age:.0f} s ago")


def _unkept(found: Found, site: str | None) -> Iterator[str]:
    for key in found.unkept:
        name, _, of = key.rpartition(".")
        if site in (None, of):
            yield (
                f"{key}: who signs in there is not kept: dr:secrets witness.hosts has no key of {user_of(kind_of(name), of)}; see docs/security.md, "
                "`Keys to the witness`"
            )
