"""The records as `drctl status` sees them: by one listing, and each record that is new to this machine read once.

What was found to hold is remembered (`persons/memory.py`); an object that was written over since has two versions, and one that went is missed. Whether
each holds the digest of the one before is seen by `drctl report verify`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from components.render import documents
from components.settings import Settings
from contract import fields
from contract.dataclass import dataclass
from contract.errors import DrError, Failed
from contract.report import RECORDS
from scripts.clients.chain_bucket import strange
from scripts.clients.report_bucket import ReportBucket
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl.persons import memory
from scripts.ctl.reports import book, kept
from scripts.ctl.reports.standing import Brief, brief, stand

AT_ONCE, MOST_READ = 8, 200  # records at once, and of the newest at most
ANSWER_S = 2.0
FORM = 2  # of what is remembered


@dataclass(frozen=True, kw_only=True)
class Glance:
    """`signed`: who has signed a record off, by its number; `breaks`: what does not hold; `waiting`: records on this machine that are not written yet."""

    records: tuple[Brief, ...]
    signed: Mapping[int, tuple[str, ...]]
    breaks: tuple[str, ...]
    waiting: int


def glance(settings: Settings) -> Glance:
    """Raises DrError where the witness is silent, or signatures cannot be tried."""
    place, allowed = documents.witness(settings), book.signers(settings)
    bucket = ReportBucket(place, answer_s=ANSWER_S, attempts=1)
    versions = bucket.versions(RECORDS.folder)
    names = sorted(set(versions))
    known = _remembered(_file(settings, allowed))
    breaks = strange(names, versions) + _missing(names, known)
    found = {name: known[name] for name in names if name in known}
    unread = [name for name in names if name not in known]
    new = unread[-MOST_READ:]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as together:
        for name, one in zip(new, together.map(lambda it: _one(bucket, it, allowed), new), strict=True):
            if isinstance(one, Brief):
                found[name] = one
            else:
                breaks.append(one)
    if new:
        _remember(_file(settings, allowed), found)
    records = tuple(sorted(found.values(), key=lambda it: it.number))
    standing = stand(records)
    wrong = standing.breaks if new == unread else ()  # of a record that was not read yet nobody can say anything
    return Glance(records=records, signed=standing.signed, breaks=(*breaks, *wrong), waiting=len(kept.waiting(place)))


def _one(bucket: ReportBucket, name: str, allowed: Sequence[tuple[str, str]]) -> Brief | str:
    """A sentence where it does not hold. Raises WitnessDown, OutcomeUnknown where nobody can tell."""
    number = RECORDS.number_of(name)
    try:
        if not number:
            raise Failed(f"{name}: found a name of no record; somebody else has written it")
        body = bucket.stored(number)
        if body is None:
            raise Failed(f"{name}: was removed: older versions of it are there")
        found = brief(book.read(name, body, allowed))
    except WitnessDown:  # nobody knows, and that is no word against it
        raise
    except Failed as error:
        return str(error)
    if found.number != number:
        return f"{name}: found number {found.number} in it, wanted {number}: it was written for another place"
    return found


def _missing(names: Sequence[str], known: Mapping[str, Brief]) -> list[str]:
    """What has gone: this machine has seen it, or there is a gap. One sentence, of the first."""
    numbers = sorted({number for name in names if (number := RECORDS.number_of(name))})
    gap = [RECORDS.name_of(wanted) for wanted, number in enumerate(numbers, 1) if wanted != number]
    gone = sorted([*gap[:1], *(set(known) - set(names))])
    return [f"{gone[0]}: found none, wanted it: it was removed"] if gone else []


def _file(settings: Settings, allowed: Sequence[tuple[str, str]]) -> Path | None:
    """One for each set of keys and each form of what is remembered: with another one nothing is known any more."""
    of = hashlib.sha256(repr((FORM, sorted(allowed))).encode()).hexdigest()[:8]
    with suppress(RuntimeError):
        return memory.place_of("records", documents.witness(settings)).with_suffix(f".{of}.json")
    return None


def _remembered(file: Path | None) -> dict[str, Brief]:
    """By the objects' names; empty where nothing is, or nothing that can be read."""
    with suppress(OSError, ValueError, DrError):
        if file is not None:
            return {
                name: fields.heard(Brief, told, f"file {file}", "it is read anew")
                for name, told in memory.read(file).items()
            }
    return {}


def _remember(file: Path | None, found: Mapping[str, Brief]) -> None:
    """Best effort."""
    with suppress(OSError):
        if file is not None:
            memory.write(file, {name: fields.write(it) for name, it in found.items()})
