"""A record on its way to the witness: first onto this machine's disk, then signed and put into its place. Never a reason for what it is about to fail."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from components.render import documents
from components.settings import Settings
from contract.errors import DrError, ExitCode
from contract.report import Event, Record
from scripts.clients.report_bucket import ReportBucket
from scripts.clients.witness import Witness
from scripts.ctl.reports import book, kept, samples
from scripts.ctl.reports.hidden import without
from scripts.ctl.reports.recording import Recording, end_of

ANSWER_S = 3.0  # of the witness, for each request
Tell = Callable[[str], None]


def move_ended(recording: Recording, code: ExitCode | None, error: BaseException | None, tell: Tell) -> None:
    """The record of a move, however that has ended. Raises nothing: whoever presses Ctrl-C meanwhile ends the writing alone."""
    if not recording.runs:  # nothing was run: there is nothing to keep
        return
    recording.ended()
    said = ""
    if error is not None:
        code, said = end_of(error)
    try:
        write(recording.settings, book.draft("move", event=_event(recording, code, said, tell)), tell)
    except KeyboardInterrupt:
        tell("the record of this move: its writing was ended; `drctl report push` writes what is kept on this machine")
    except Exception as wrong:
        why = str(wrong) if isinstance(wrong, DrError) else type(wrong).__name__
        tell(
            f"warning: the record of this move could not be made ({why}); what was done stands; note it by hand, with your name and the time"
        )


def undertaking_begun(settings: Settings, kind: str, event: Event, token: str, tell: Tell) -> bool:
    """What its record says if it is killed from here on. Returns whether that is kept: it is no reason for another end."""
    try:
        kept.begin(documents.witness(settings), without(settings.secrets, book.draft(kind, event=event, token=token)))
    except (OSError, RuntimeError, DrError) as wrong:
        tell(
            f"warning: it cannot be noted that this {kind} has begun ({type(wrong).__name__}); if it is killed it leaves no record"
        )
        return False
    return True


def undertaking_ended(settings: Settings, kind: str, event: Event, tell: Tell, token: str = "") -> None:
    """The record of what is no move, a drill, a deploy, a rotation, however that has ended, and no reason for another end."""
    try:
        made = book.draft(kind, event=event)
        write(settings, replace(made, token=token) if token else made, tell)
    except (OSError, RuntimeError, DrError) as wrong:
        tell(
            f"warning: the record of this {kind} could not be made ({type(wrong).__name__}); note it by hand, with your name and the time"
        )
    if token:
        kept.end(documents.witness(settings), token)


def killed(settings: Settings, tell: Tell) -> None:
    """Records of what was begun on this machine and killed. What has none at the witness already waits for `push`. Raises nothing."""
    for it in kept.killed(documents.witness(settings)):
        tell(
            f"a {it.kind} that was begun here, {it.at}, was killed: its record waits on this machine, and is written now or by `drctl report push`"
        )


def _event(recording: Recording, code: ExitCode | None, said: str, tell: Tell) -> Event:
    settings, taken, newest = recording.settings, None, None
    with suppress(DrError):
        newest = Witness(documents.witness(settings), answer_s=ANSWER_S, attempts=1).newest()
    if recording.told.samples:
        try:
            taken = samples.take(recording.told.samples)
        except DrError as error:
            tell(f"warning: {error}")
    return recording.event(code, said, newest, taken)


def write(settings: Settings, made: Record, tell: Tell) -> None:
    """Kept on this machine until it stands at the witness, whose silence is told. Raises OSError, RuntimeError where it cannot be kept either."""
    place, made = documents.witness(settings), without(settings.secrets, made)
    file = kept.keep(place, made)
    try:
        number = book.append(ReportBucket(place, answer_s=ANSWER_S, attempts=1), made, book.by_program(settings))
    except DrError as error:
        tell(
            f"warning: the record is kept in {file}, and is not at the witness ({error}); `drctl report push` writes it there"
        )
        return
    kept.drop(file)
    tell(f"record {number} is at the witness; somebody else signs it off with `drctl report sign {number}`")


def push(settings: Settings, tell: Tell) -> int:
    """What waits on this machine. Returns how many of them wait on. Raises DrError where the witness is silent."""
    place = documents.witness(settings)
    killed(settings, tell)
    files = kept.waiting(place)
    bucket = ReportBucket(place)
    there = {it.record.token for it in book.opened(bucket, settings).records} if files else set()
    left = 0
    for file in files:
        try:
            made = kept.read(file)
            if made.token in there:  # the answer was lost, and not the record
                tell(f"record of {made.at}: is at the witness already")
            else:
                number = book.append(bucket, made, book.by_program(settings))
                tell(f"record {number}, made {made.at}, is at the witness")
            kept.drop(file)
        except DrError as error:
            left += 1
            tell(f"warning: {error}")
    return left
