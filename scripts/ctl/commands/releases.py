"""`drctl releases`: what lies in the buckets of both regions, put there, looked at, mended (docs/releases.md)."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from components import fitting
from components.settings import Settings
from contract import fields
from contract.errors import ExitCode, Failed
from contract.plain import phrase
from contract.services.processes import processes
from contract.sites import SITES
from scripts.ctl import output
from scripts.ctl.releases.store import WELL, Row, Store
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.asking import look


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    stack = Stack.chosen(chosen)
    settings = stack.settings()
    store = Store(settings, keys_of(stack))
    what: Mapping[str, Callable[[Settings, Store, argparse.Namespace], ExitCode]] = {
        "list": _list, "push": _push, "verify": _verify,
    }  # fmt: skip
    return what[chosen.what](settings, store, chosen)


def keys_of(stack: Stack) -> dict[str, str]:
    """Of the user who puts releases into both buckets. Raises Failed."""
    told = stack.output("releases")
    names = ("access_key", "secret_key")
    if not isinstance(told, dict) or not all(isinstance(told.get(name), str) and told[name] for name in names):
        raise Failed(
            f"stack {stack.name}, output releases: found none that holds keys, wanted those that `pulumi up` leaves there; nothing was changed; run it once "
            "with this version, or name the other region's stack with --site"
        )
    return {name: told[name] for name in names}


def _list(settings: Settings, store: Store, chosen: argparse.Namespace) -> ExitCode:
    rows, silent = store.rows()
    if len(silent) == len(SITES):
        raise Failed("; ".join(silent.values()))
    at_work, unknown = _at_work(settings)
    if chosen.json:
        told = [{**_document(row), "runs_on": at_work.get(row.digest, [])} for row in rows]
        output.write_json(
            {"schema": 1, "releases": told, "silent": silent, "configured": settings.shop.release, "unknown": unknown},
            "them",
        )
        return ExitCode.DONE
    for row in rows:
        runs = at_work.pop(row.digest, [])
        wanted = " configured" if settings.shop.release == row.digest else ""
        print(f"{_line(row)}{wanted}{' runs on ' + ', '.join(runs) if runs else ''}")
    for name, hosts in at_work.items():
        print(f"{name[:12]:<12}  in no bucket; runs on {', '.join(hosts)}")
    for why in (*silent.values(), *unknown):
        output.say(f"warning: {why}")
    return ExitCode.DONE


def _at_work(settings: Settings) -> tuple[dict[str, list[str]], list[str]]:
    """App hosts by the release that runs there; and a sentence for each that does not say."""
    found, unknown = dict[str, list[str]](), list[str]()
    survey = look(settings)
    for host, release in survey.releases.items():
        if release:
            found.setdefault(release, []).append(host)
        else:
            name, _, site = host.rpartition(".")
            why = survey.regions[site].hosts[name].why
            unknown.append(f"{host} does not say which release runs there ({why or 'none does'})")
    return found, unknown


def _push(settings: Settings, store: Store, chosen: argparse.Namespace) -> ExitCode:
    card = store.push(chosen.file)
    found, _ = processes(card.procfile(), settings.app.processes)
    for fault in fitting.misfits(settings, found):
        output.say(f"warning: with this release {fault}")
    if chosen.json:
        output.write_json({"schema": 1, **fields.write(card)}, "the release")
        return ExitCode.DONE
    print(f"release {card.digest}: lies in both regions, read back")
    if settings.shop.release != card.digest:
        print(f"to run it: dr:shop.release: {card.digest}, then pulumi up, the standby region first")
    return ExitCode.DONE


def _verify(settings: Settings, store: Store, chosen: argparse.Namespace) -> ExitCode:
    rows = store.verify(repair=chosen.repair)
    if chosen.json:
        output.write_json({"schema": 1, "releases": [_document(row) for row in rows]}, "them")
    else:
        for row in rows:
            print(_line(row))
    wrong = [row for row in rows if set(row.states.values()) != {WELL}]
    if wrong:
        states = ", ".join(f"{site} {state}" for site, state in wrong[0].states.items())
        remedy = "see that region, then run the same again" if chosen.repair else "run `drctl releases verify --repair`"
        raise Failed(
            f"releases: found {len(wrong)} that do not lie well in both regions, first {wrong[0].digest[:12]} ({states}), wanted all of them; hosts take them "
            f"from the region where they do; {remedy}"
        )
    return ExitCode.DONE


def _document(row: Row) -> dict[str, object]:
    return {"digest": row.digest, "in": dict(row.states), "card": fields.write(row.card) if row.card else None}


def _line(row: Row) -> str:
    where = ", ".join(f"{site} {state}" for site, state in row.states.items())
    card = row.card
    if card is None:
        return f"{row.digest[:12]}  no card  {where}"
    git = f"{(card.revision or 'no git')[:12]}{'+changes' if card.dirty else ''}"
    return phrase(f"{row.digest[:12]}  {card.built or '?'}  git {git}  {card.bytes / 2**20:.2f} MB  {where}", 200)
