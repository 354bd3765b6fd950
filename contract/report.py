"""What is kept of each move, drill, deploy and rotation, and of who has read it: records in a chain at the witness, each signed.

An object of the chain is `Sealed`: the record as the very text that was signed, and the signature. Null is unknown, and unknown is never shown as good.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from . import fields
from .chain import BEFORE, MOST, Chain, digest
from .checks import Check, Unwanted, integer, listing, mapping, one_of, optional, text
from .dataclass import dataclass
from .errors import Failed
from .fields import key, part
from .forms import COUNT, EPOCH, ID, PHRASE, SECONDS, TREE
from .sites import A_SITE
from .ssh_keys import PERSON
from .wire import document

T = TypeVar("T")
RECORDS = Chain("reports/", "record", "records")
NAMESPACE = "report@shop-dr"  # of the signatures: one that was made for anything else is none
EVENTS = ("move", "drill", "deploy", "rotation")
CERTIFICATES = "certificates"  # a drill's scenario
SIGN_OFF, DEFICIENCY = "signoff", "deficiency"
OUTCOMES = ("done", "failed", "refused", "partial", "unknown", "interrupted")
MOST_TEXT = 500_000  # characters of a record: as a text of JSON, each of them quoted, it is still read whole
MOST_STAGES, MOST_POINTS, MOST_DEFICIENCIES = 200, 1200, 100
MOST_NUMBER = MOST
NUMBER = integer(1, MOST)


def _spelled(pattern: str, wanted: str) -> Check[str]:
    """A time or a day that there is."""
    form = text(pattern, wanted)

    def check(value: object) -> str:
        found = form(value)
        try:
            datetime.datetime.fromisoformat(found)
        except ValueError:
            raise Unwanted(wanted) from None
        return found

    return Check(wanted, check)


def _rows(of: type[T], most: int) -> Check[tuple[T, ...]]:
    """A list of such parts."""
    wanted = f"a list of {most} at most, each with {', '.join(fields.keys(of))}"

    def check(value: object) -> tuple[T, ...]:
        if not isinstance(value, list | tuple) or len(value) > most:
            raise Unwanted(wanted)
        try:
            return tuple(fields.heard(of, row, f"entry {number}", "it is none") for number, row in enumerate(value))
        except Failed as error:
            raise Unwanted(f"{wanted} ({error})") from None

    return Check(wanted, check)


def _offset(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 <= value <= 1e9:
        raise Unwanted(OFFSET.wanted)
    return value


TIME = _spelled(
    r"20[0-9]{2}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}(\.[0-9]{1,6})?Z", "a time in UTC, like 2026-11-29T10:15:00Z"
)
DAY = _spelled(r"20[0-9]{2}(-[0-9]{2}){2}", "a day, like 2026-12-31")
OFFSET = Check("seconds from the beginning, negative before it", _offset)
SHA256 = text(r"[0-9a-f]{64}", "a SHA-256 in hexadecimal digits")
_ARMOUR = text(
    r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=]{1,76}\n){1,100}-----END SSH SIGNATURE-----\n",
    "a signature as `ssh-keygen -Y sign` makes it",
)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """An objective, and what came of it."""

    declared_s: float | None = key(optional(SECONDS), "what was promised; null: not declared", default=None, unit="s")
    measured_s: float | None = key(optional(SECONDS), "what was so; null: not known", default=None, unit="s")
    method: str = key(PHRASE, "how it was measured, or why it was not", default="")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A link of the chain, in one run. Seconds are since the beginning."""

    run: int = key(integer(1, 99), "which `pulumi up` of the event, from 1", default=1)
    site: str | None = key(optional(A_SITE), "whose run", default=None)
    link: str = key(PHRASE, "what it is called")
    begun_s: float | None = key(optional(OFFSET), "when it began", default=None, unit="s")
    ended_s: float | None = key(optional(OFFSET), "when it ended; null: nobody has seen it end", default=None, unit="s")
    state: str = key(one_of("begun", "done", "failed"), "how it stands")


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one piece of time has seen."""

    at_s: float = key(OFFSET, "its begin, in seconds since the beginning", unit="s")
    done: int = key(COUNT, "how many were answered well")
    failed: int = key(COUNT, "how many were not")


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What customers have met meanwhile."""

    what: str = key(one_of("order", "probe"), "orders, or health probes")
    source: str = key(SHA256, "SHA-256 of the file with all of them")
    count: int = key(COUNT, "how many there are of this kind")
    failed: int = key(COUNT, "how many of them failed")
    every_s: int = key(integer(1, 999_999), "length of a piece of time", unit="s", default=1)
    points: tuple[Point, ...] = key(_rows(Point, MOST_POINTS), "what was seen, piece by piece", default=())


@dataclass(frozen=True, kw_only=True)
class Fence:
    """Which proof the epoch stands on."""

    rung: int | None = key(optional(integer(0, 4)), "rung of the fence ladder", default=None)
    evidence: dict[str, Any] = key(TREE, "what was seen", default={})


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What is not there any more. Null is unknown."""

    bytes: int | None = key(optional(COUNT), "of WAL that had not arrived", default=None, unit="bytes")
    seconds: float | None = key(optional(SECONDS), "of writes", default=None, unit="s")
    unseen_s: float | None = key(
        optional(SECONDS), "how long was written at most after the last that was heard", default=None, unit="s"
    )
    transactions: int | None = key(optional(COUNT), "committed and lost, as the evidence counts them", default=None)
    cache_bytes: int | None = key(optional(COUNT), "of the cache's stream", default=None, unit="bytes")
    cache_offset: int | None = key(optional(COUNT), "of the lost master's stream", default=None)
    assets: int | None = key(optional(COUNT), "files that had not been brought over", default=None)
    assets_until: str | None = key(optional(TIME), "uploads from then on are not here", default=None)
    method: str = key(PHRASE, "how it was counted, or why it was not", default="")


@dataclass(frozen=True, kw_only=True)
class Shortcoming:
    """Something to be mended, by whom and until when."""

    owner: str = key(PHRASE, "who mends it")
    until: str = key(DAY, "the day until which")
    text: str = key(PHRASE, "what is to be mended")


@dataclass(frozen=True, kw_only=True)
class Event:
    """A move, a drill, a deploy or a rotation: what `drctl report add` takes."""

    scenario: str = key(PHRASE, "its id: `switchover`, `failover`, the name of a drill")
    outcome: str = key(one_of(*OUTCOMES), "how it ended")
    exit_code: int | None = key(optional(integer(0, 255)), "of the command", default=None)
    began: str = key(TIME, "when")
    seconds: float | None = key(optional(SECONDS), "how long it took in all", default=None, unit="s")
    ran_by: str = key(PHRASE, "who has run it")
    approved_by: str = key(PHRASE, "who has agreed to it beforehand", default="")
    witnessed_by: str = key(PHRASE, "who has watched it", default="")
    reason: str = key(PHRASE, "why", default="")
    ticket: str = key(PHRASE, "its number", default="")
    plan: str = key(PHRASE, "digest of the plan", default="")
    plan_lines: tuple[str, ...] = key(listing(PHRASE), "the plan as it was agreed to", default=())
    source: str | None = key(optional(A_SITE), "the region that was active", default=None)
    target: str | None = key(optional(A_SITE), "the region that was to be", default=None)
    epoch_before: int | None = key(optional(EPOCH), "in force before", default=None)
    epoch: int | None = key(optional(EPOCH), "in force after it", default=None)
    rto: Figure | None = part(Figure, "recovery time", optional=True)
    rpo: Figure | None = part(Figure, "what was lost, in time", optional=True)
    outage: Figure | None = part(Figure, "how long no order was taken", optional=True)
    fence: Fence | None = part(Fence, "the proof", optional=True)
    loss: Loss | None = part(Loss, "what was lost", optional=True)
    timeline: tuple[Stage, ...] = key(_rows(Stage, MOST_STAGES), "links as they ran", default=())
    samples: tuple[Samples, ...] = key(_rows(Samples, 2), "what customers met", default=())
    deviations: tuple[str, ...] = key(listing(PHRASE), "what was otherwise than planned or promised", default=())
    errors: tuple[str, ...] = key(listing(PHRASE), "what failed", default=())
    warnings: tuple[str, ...] = key(listing(PHRASE), "what the runs warned of", default=())
    deficiencies: tuple[Shortcoming, ...] = key(
        _rows(Shortcoming, MOST_DEFICIENCIES), "what is to be mended", default=()
    )
    versions: Mapping[str, str] = key(mapping(r"[a-z_]{1,30}", PHRASE), "of what took part", default={})


@dataclass(frozen=True, kw_only=True)
class SignOff:
    """That somebody else has read a record and stands for it."""

    of: int = key(NUMBER, "the record's number")
    digest: str = key(SHA256, "SHA-256 of that record's object, as it is stored")
    note: str = key(PHRASE, "what is said with it", default="")


@dataclass(frozen=True, kw_only=True)
class Lack(Shortcoming):
    """A shortcoming that came to light later."""

    of: int = key(NUMBER, "the record's number")


@dataclass(frozen=True, kw_only=True)
class Record:
    """The text that is signed. Who, where and when are what the machine of that person says."""

    schema: int = key(integer(1, 1), "form of the record", default=1)
    number: int = key(NUMBER, "its place in the chain, from 1", default=1)
    before: str = key(BEFORE, "SHA-256 of the object before it, as it is stored; nothing for the first", default="")
    kind: str = key(one_of(*EVENTS, SIGN_OFF, DEFICIENCY), "what it is of")
    at: str = key(TIME, "when it was made")
    signer: str = key(PERSON, "by whose key it is signed: a name of `dr:reports.signers`, or `drctl`")
    who: str = key(PHRASE, "who has made it, as in the audit trail")
    place: str = key(PHRASE, "from where, as in the audit trail")
    token: str = key(ID, "of this record alone")
    version: str = key(PHRASE, "of the program", default="")
    event: Event | None = part(Event, "of a move, a drill, a deploy, a rotation", optional=True)
    signoff: SignOff | None = part(SignOff, "of a sign-off", optional=True)
    deficiency: Lack | None = part(Lack, "of a deficiency", optional=True)

    @property
    def of(self) -> int | None:
        """The record that this one is about; None of an event."""
        about = self.signoff or self.deficiency
        return None if about is None else about.of


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """`reports/<number>.json`, created once."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    payload: str = key(text(rf"[ -~]{{2,{MOST_TEXT}}}", "the record as JSON in one line, in ASCII"), "what is signed")
    signature: str = key(_ARMOUR, f"of the payload's bytes, for the namespace `{NAMESPACE}`")


@dataclass(frozen=True)
class Signed:
    """An object of the chain, in its form. Whether its signature holds is not known by this alone."""

    record: Record
    sealed: Sealed
    digest: str

    @property
    def number(self) -> int:
        return self.record.number

    @property
    def before(self) -> str:
        return self.record.before


def text_of(record: Record) -> str:
    """What is signed. Raises Failed where it is too long to be kept, or in no form in which it would be read again."""
    found = json.dumps(fields.write(record), sort_keys=True)
    fields.heard(Record, json.loads(found), f"record of a {record.kind}", "it was not written")
    if len(found) > MOST_TEXT:
        raise Failed(
            f"record of a {record.kind}: found {len(found)} characters, wanted {MOST_TEXT} at most; it was not written; leave out samples or evidence"
        )
    return found


def read(name: str, body: bytes) -> Signed:
    """One object in its form. Raises Failed."""
    subject = f"witness object {name}"
    otherwise = (
        "it is no record, and the chain breaks there; see the object's older versions, and who has written the last one"
    )
    try:
        told = document.mapping(body)
        sealed = fields.heard(Sealed, told, subject, otherwise)
        record = fields.heard(Record, document.mapping(sealed.payload), f"{subject}, payload", otherwise)
    except ValueError:
        raise Failed(f"{subject}: found no JSON object, wanted a record; {otherwise}") from None
    parts = {SIGN_OFF: record.signoff, DEFICIENCY: record.deficiency}
    if (
        parts.get(record.kind, record.event) is None
        or sum(it is not None for it in (record.event, *parts.values())) != 1
    ):
        raise Failed(
            f"{subject}, payload: found other parts than those of a {record.kind}, wanted that one; {otherwise}"
        )
    return Signed(record, sealed, digest(body))
