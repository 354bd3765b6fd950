"""`drctl audit verify` walks the audit trail from its first entry and says where its chain breaks (`contract/audit.py`); `logins` is in `logins.py`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from components.render import documents
from contract import fields
from contract.audit import AUDIT, Entry, number_of, walk
from contract.errors import ExitCode, Failed, Usage
from contract.plain import phrase
from scripts.clients.trail_bucket import TrailBucket
from scripts.ctl import output
from scripts.ctl.commands import logins
from scripts.ctl.stacks.stack import Stack

CHANGES = {"release": "deploy", "tool": "hosts' software", "configuration": "configuration", "secrets": "rotation"}


def run(chosen: argparse.Namespace) -> ExitCode:
    """Prints the entries, or all as JSON. Raises Failed where the chain breaks, with every place; Usage."""
    if chosen.what == "logins":
        return logins.run(chosen)
    breaks: list[str] = []
    objects = list(_folder(chosen.folder_of) if chosen.folder_of else _witness(chosen, breaks))
    found = walk(objects)
    breaks += found.breaks
    if chosen.head and not _holds(chosen.head, objects):
        breaks.append(
            f"head {phrase(chosen.head, 80)}: found no such entry, wanted the one that was noted: the trail was cut or written anew"
        )
    if chosen.json:
        told = {"entries": [fields.write(it) for it in found.entries], "breaks": breaks, "head": found.head}
        output.write_json(told, "the trail")
    else:
        for line in _lines(found.entries):
            print(line)
        print(f"head {found.head or 'none: the trail is empty'}")
    if breaks:
        raise Failed(
            "audit trail: found a chain that breaks, wanted each entry with the digest of the one before:\n"
            + "\n".join(f"  - {it}" for it in breaks)
            + "\nlook at the bucket's older versions of these objects, and who has written them"
        )
    return ExitCode.DONE


def _holds(head: str, objects: list[tuple[str, bytes]]) -> bool:
    number, _, noted = head.partition(":")
    upto = [it for it in objects if str(number_of(it[0])) == number]
    return bool(upto) and walk(upto).head.partition(":")[2] == noted


def _folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Objects that were copied to this machine, by the names that they have below `audit/`."""
    try:
        for path in folder.iterdir():
            yield f"{AUDIT}{path.name}", path.read_bytes()
    except OSError as error:
        raise Usage(
            f"folder {folder}: cannot be read ({error.strerror}), wanted copies of the objects below {AUDIT}; name it"
        ) from None


def _witness(chosen: argparse.Namespace, breaks: list[str]) -> Iterator[tuple[str, bytes]]:
    """From the bucket. What is there in two versions was written over, what has versions and is not listed was removed."""
    stack = Stack.chosen(chosen)
    witness = TrailBucket(documents.witness(stack.settings()))
    listed, versions = witness.audited(), witness.versions(AUDIT)
    breaks += [f"{name}: was removed: older versions of it are there" for name in sorted(set(versions) - set(listed))]
    breaks += [
        f"{name}: was written over: there are {count} versions"
        for name in listed
        if (count := versions.count(name)) > 1
    ]
    for name in listed:
        number, body = number_of(name), None
        try:
            body = witness.audit(number) if number else None
        except Failed as error:  # one that cannot be read is a break, and those behind it may be well
            breaks.append(str(error))
        yield name, body or b""


def _lines(entries: tuple[Entry, ...]) -> Iterator[str]:
    """One for each, with what it brought since that site's last run."""
    last: dict[str, dict[str, str]] = {}
    for it in entries:
        facts = dict(it.facts)
        brought = [
            what
            for name, what in CHANGES.items()
            if it.what == "run" and last.get(it.site, facts).get(name) != facts.get(name)
        ]
        if it.what == "run":
            last[it.site] = facts
        told = [
            f"epoch {it.epoch}" if it.epoch else "",
            ", ".join(brought),
            f"why: {it.why}" if it.why else "",
            it.said,
        ]
        yield phrase(
            f"{it.number:8d}  {it.at}  {it.site}  {it.what:8s} {it.who} from {it.place}"
            + "".join(f"; {each}" for each in told if each),
            600,
        )
