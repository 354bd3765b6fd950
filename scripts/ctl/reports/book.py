"""The records at the witness as a whole: a new one is signed and put behind the last one; all are read, their signatures tried, their places seen."""

from __future__ import annotations

import datetime
import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from components.settings import Settings
from contract import fields, report
from contract.chain import Walked
from contract.dataclass import dataclass
from contract.errors import Failed
from contract.objectives import PROGRAM
from contract.report import NAMESPACE, RECORDS, Record, Sealed, Signed, text_of
from contract.version import VERSION
from scripts.clients import chain_bucket, ssh_signature
from scripts.clients.report_bucket import ReportBucket
from scripts.clients.trail import place, who
from scripts.ctl.reports import standing
from scripts.ctl.reports.standing import Brief, Standing, brief, stand

Sign = Callable[[str], str]
_NUMBER = re.compile(rf"{RECORDS.folder}(\d{{8}})")


def signers(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Whose signature counts: names and public keys. The program's own under its name, with those that it had before."""
    own, told = " ".join(settings.secrets.operator.public.split()[:2]), settings.reports
    former, persons = ((), ()) if told is None else (told.former or (), tuple((told.signers or {}).items()))
    return tuple((PROGRAM, key) for key in dict.fromkeys((own, *settings.secrets.operator_former, *former))) + persons


def by_program(settings: Settings) -> Sign:
    """Signs with the program's key, which is in memory alone."""
    return partial(ssh_signature.sign, namespace=NAMESPACE, private=settings.secrets.operator.private)


def draft(kind: str, signer: str = PROGRAM, **parts: object) -> Record:
    """A record without its place in the chain; `parts`: what it is of."""
    made = Record(
        kind=kind,
        at=now(),
        signer=signer,
        who=who(os.environ),
        place=place(os.environ),
        token=uuid.uuid4().hex,
        version=VERSION,
    )
    return replace(made, **parts)  # type: ignore[arg-type]


def now() -> str:
    """In the form of a record's times."""
    return spelled(datetime.datetime.now(datetime.UTC))


def spelled(at: datetime.datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def append(bucket: ReportBucket, made: Record, sign: Sign) -> int:
    """Signed for its place, which is part of what is signed. Returns its number. Raises Failed."""

    def body(number: int, before: str) -> bytes:
        payload = text_of(replace(made, number=number, before=before))
        return json.dumps(fields.write(Sealed(payload=payload, signature=sign(payload))), sort_keys=True).encode()

    return chain_bucket.append(bucket, body, "records")


def read(name: str, body: bytes, allowed: Sequence[tuple[str, str]]) -> Signed:
    """One object whose signature holds. Raises Failed, and OutcomeUnknown where that cannot be tried."""
    found = report.read(name, body)
    signer = found.record.signer
    if why := ssh_signature.holds(found.sealed.payload, found.sealed.signature, NAMESPACE, signer, allowed):
        raise Failed(
            f"witness object {name}: found a signature that is not of {signer} ({why}), wanted one by a key of dr:secrets or dr:reports; nobody vouches "
            "for this record; see the object's older versions, and whether that key was taken out of dr:reports"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Book:
    """`breaks`: a sentence for each place that does not hold, the first one first."""

    records: tuple[Signed, ...]
    standing: Standing
    breaks: tuple[str, ...]
    head: str

    def event(self, number: int) -> Signed | None:
        """A record that can be signed off; None where none of that number holds."""
        return next((it for it in self.records if it.number == number and it.record.event is not None), None)

    def about(self, number: int) -> list[Record]:
        """Sign-offs that count and deficiencies, of one record."""
        counted = self.standing.counted
        return [
            it.record
            for it in self.records
            if it.record.of == number and (it.record.signoff is None or it.number in counted)
        ]


def walk(objects: Iterable[tuple[str, bytes]], strange: Iterable[str], allowed: Sequence[tuple[str, str]]) -> Book:
    """`strange`: what the store itself says is wrong with them. Raises OutcomeUnknown where signatures cannot be tried."""
    found: Walked[Signed] = RECORDS.walk(objects, lambda name, body: read(name, body, allowed))
    stands = stand([brief(it) for it in found.entries])
    breaks = sorted([*strange, *found.breaks, *stands.breaks], key=_position)
    return Book(records=found.entries, standing=stands, breaks=tuple(breaks), head=found.head)


def opened(bucket: ReportBucket, settings: Settings) -> Book:
    """All that lies at the witness. Raises DrError."""
    objects, strange = bucket.whole()
    return walk(objects, strange, signers(settings))


def against(made: Record, it: Signed) -> str:
    """Why a sign-off that is about to be made would not count; empty where it would."""
    one = Brief(
        number=it.number + 1, kind=made.kind, at=made.at, digest="", signer=made.signer, of=made.of, of_digest=it.digest
    )
    return standing.against(one, brief(it))


def _position(sentence: str) -> int:
    found = _NUMBER.search(sentence)
    return int(found[1]) if found else 0
