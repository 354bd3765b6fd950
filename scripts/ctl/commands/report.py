"""`drctl report`: records of moves, drills, deploys and rotations are listed, shown, walked, signed off and added (docs/reports.md)."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from components.render import documents
from components.settings import Settings
from contract import fields
from contract.chain import digest
from contract.dataclass import dataclass
from contract.errors import ExitCode, Failed, Refused, Usage
from contract.forms import MOST_BYTES
from contract.plain import phrase
from contract.report import DEFICIENCY, MOST_TEXT, NAMESPACE, RECORDS, SIGN_OFF, Event, Lack, Signed, SignOff
from contract.wire import document
from scripts.clients import ssh_signature
from scripts.clients.report_bucket import ReportBucket
from scripts.ctl import output
from scripts.ctl.output import say
from scripts.ctl.persons import key_file
from scripts.ctl.reports import book, page, table, writing
from scripts.ctl.reports.book import Book
from scripts.ctl.stacks.stack import Stack


@dataclass(frozen=True)
class Desk:
    """What a command works with."""

    settings: Settings
    bucket: ReportBucket

    def opened(self) -> Book:
        """All records. Raises DrError."""
        return book.opened(self.bucket, self.settings)

    def event(self, found: Book, number: int) -> tuple[Signed, Event]:
        """Raises Usage where there is none that holds."""
        it = found.event(number)
        if it is None or it.record.event is None:
            raise Usage(
                f"record {number}: is none of an event that holds, wanted one of `drctl report list`; nothing was written; `drctl report verify` says what "
                "does not hold"
            )
        return it, it.record.event


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    settings = Stack.chosen(chosen).settings()
    if chosen.what == "list":
        writing.killed(settings, say)
    desk = Desk(settings, ReportBucket(documents.witness(settings)))
    what: Mapping[str, Callable[[Desk, argparse.Namespace], ExitCode]] = {
        "list": _list, "show": _show, "verify": _verify, "sign": _sign, "deficiency": _deficiency, "add": _add, "push": _push,
    }  # fmt: skip
    return what[chosen.what](desk, chosen)


def _list(desk: Desk, chosen: argparse.Namespace) -> ExitCode:
    found = desk.opened()
    if chosen.html:
        _write(chosen.html, page.history(found))
    elif chosen.json:
        told = [_document(found, it) for it in found.records if it.record.event]
        output.write_json(
            {"schema": 1, "records": told, "breaks": list(found.breaks), "head": found.head}, "the records"
        )
    else:
        for line in table.history(found):
            print(line)
    _warn(found)
    return ExitCode.DONE


def _show(desk: Desk, chosen: argparse.Namespace) -> ExitCode:
    found = desk.opened()
    it, event = desk.event(found, chosen.number)
    if chosen.html:
        _write(chosen.html, page.one(found, it, event))
    if chosen.json:
        output.write_json({"schema": 1, **_document(found, it)}, "the record")
    elif not chosen.html:
        for line in table.one(found, it, event):
            print(line)
    _warn(found)
    return ExitCode.DONE


def _document(found: Book, it: Signed) -> dict[str, object]:
    """A record with what is about it; `payload` and `signature` are what `ssh-keygen -Y verify` takes."""
    return {
        "number": it.number,
        "digest": it.digest,
        "record": fields.write(it.record),
        "payload": it.sealed.payload,
        "signature": it.sealed.signature,
        "namespace": NAMESPACE,
        "signed_off_by": list(found.standing.signed.get(it.number, ())),
        "about": [fields.write(each) for each in found.about(it.number)],
    }


def _warn(found: Book) -> None:
    if found.breaks:
        print(
            f"warning: {len(found.breaks)} places do not hold, see `drctl report verify`: {phrase(found.breaks[0], 600)}",
            file=sys.stderr,
        )


def _verify(desk: Desk, chosen: argparse.Namespace) -> ExitCode:
    """Raises Failed with the first place that does not hold."""
    objects, strange = (list(_folder(chosen.folder_of)), []) if chosen.folder_of else desk.bucket.whole()
    found = book.walk(objects, strange, book.signers(desk.settings))
    for it in found.records:
        about = (
            f" of record {it.record.of}" if it.record.of else f" {it.record.event.scenario}" if it.record.event else ""
        )
        print(
            phrase(
                f"{it.number:8d}  {it.record.at}  {it.record.kind}{about}, signed by the key of {it.record.signer}", 200
            )
        )
    print(f"head {found.head or 'none: there are no records'}")
    breaks = list(found.breaks)
    if chosen.head and not _holds(chosen.head, objects):
        breaks.append(
            f"head {phrase(chosen.head, 80)}: found no such record, wanted the one that was noted: the last ones were taken away, or all was written anew"
        )
    if breaks:
        more = f" ({len(breaks) - 1} more places do not hold)" if len(breaks) > 1 else ""
        raise Failed(
            f"records: found a chain that does not hold, first at {breaks[0]}{more}; docs/reports.md says what each means"
        )
    return ExitCode.DONE


def _holds(head: str, objects: list[tuple[str, bytes]]) -> bool:
    number, _, noted = head.partition(":")
    return any(str(RECORDS.number_of(name)) == number and digest(body) == noted for name, body in objects)


def _folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Objects that were copied to this machine, by the names that they have below `reports/`."""
    try:
        for path in folder.iterdir():
            with path.open("rb") as stream:
                yield f"{RECORDS.folder}{path.name}", stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Usage(
            f"folder {folder}: cannot be read ({error.strerror}), wanted copies of the objects below {RECORDS.folder}; name it"
        ) from None


def _sign(desk: Desk, chosen: argparse.Namespace) -> ExitCode:
    """Raises Refused where the key is nobody's of the configuration, or this person has run it."""
    found = desk.opened()
    it, event = desk.event(found, chosen.number)
    with key_file.opened(chosen.key) as key:
        signer = next((name for name, public in book.signers(desk.settings) if public == key.key), None)
        told = desk.settings.reports
        if signer is None or told is None or signer not in told.signers:
            raise Refused(
                f"key {chosen.key}: is nobody's of dr:reports.signers, wanted a person's who may sign records off; nothing was written; name it there, or "
                "another with --key"
            )
        made = book.draft(
            SIGN_OFF, signer, signoff=SignOff(of=it.number, digest=it.digest, note=phrase(chosen.note, 500))
        )
        if why := book.against(made, it):
            raise Refused(f"sign-off of record {it.number}: {why}; nothing was written; somebody else signs it off")
        for line in table.one(found, it, event):
            print(line)
        number = book.append(desk.bucket, made, partial(ssh_signature.sign_by, namespace=NAMESPACE, key=key.path))
    print(f"record {number}: {signer} has signed off record {it.number}")
    return ExitCode.DONE


def _deficiency(desk: Desk, chosen: argparse.Namespace) -> ExitCode:
    it, _ = desk.event(desk.opened(), chosen.number)
    told = {"of": it.number, "owner": chosen.owner, "until": chosen.until, "text": chosen.text}
    made = book.draft(DEFICIENCY, deficiency=fields.read(Lack, told, "deficiency"))
    number = book.append(desk.bucket, made, book.by_program(desk.settings))
    print(f"record {number}: a deficiency of record {it.number}")
    return ExitCode.DONE


def _add(desk: Desk, chosen: argparse.Namespace) -> ExitCode:
    """Kept on this machine where the witness is silent. Raises Usage."""
    event = fields.read(Event, _told(chosen.file), f"file {chosen.file}")
    if datetime.datetime.fromisoformat(event.began) > datetime.datetime.now(datetime.UTC):
        raise Usage(
            f"file {chosen.file}:began: found {event.began}, wanted a time that is over; nothing was written; see the clock of whoever wrote it"
        )
    writing.write(desk.settings, book.draft(chosen.kind, event=event), say)
    return ExitCode.DONE


def _told(file: Path) -> object:
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_TEXT + 1)
        return document.mapping(content if len(content) <= MOST_TEXT else b"")
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
    except ValueError:
        why = f"found no JSON object of at most {MOST_TEXT} bytes"
    raise Usage(
        f"file {file}: {why}, wanted a record's event (docs/reports.md); nothing was written; name it with --from"
    )


def _push(desk: Desk, chosen: argparse.Namespace) -> ExitCode:
    del chosen
    left = writing.push(desk.settings, say)
    if left:
        raise Failed(
            f"records of this machine: found {left} that could not be written, which are told above, wanted none; they wait here; run the same again"
        )
    return ExitCode.DONE


def _write(file: Path, text: str) -> None:
    """A page, for this user alone until somebody hands it on. Raises Failed."""
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as stream:  # noqa: PTH123 - private from its first moment
            stream.write(text)
    except OSError as error:
        raise Failed(
            f"file {file}: cannot be written ({error.strerror}), wanted the page in it; nothing was kept; name another one"
        ) from None
    print(f"written: {file}")
