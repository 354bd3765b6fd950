"""`drctl audit verify` walks the audit trail from its first entry and says where its chain breaks (`contract/audit.py`); `logins` is in `logins.py`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from components.render import documents
from contract import fields
from contract.audit import TRAIL, Entry, walk
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
    if chosen.folder_of:
        objects, breaks = list(_folder(chosen.folder_of)), list[str]()
    else:
        objects, breaks = TrailBucket(documents.witness(Stack.chosen(chosen).settings())).whole()
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
    upto = [it for it in objects if str(TRAIL.number_of(it[0])) == number]
    return bool(upto) and walk(upto).head.partition(":")[2] == noted


def _folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Objects that were copied to this machine, by the names that they have below `audit/`."""
    try:
        for path in folder.iterdir():
            yield f"{TRAIL.folder}{path.name}", path.read_bytes()
    except OSError as error:
        raise Usage(
            f"folder {folder}: cannot be read ({error.strerror}), wanted copies of the objects below {TRAIL.folder}; name it"
        ) from None


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
