"""One `pulumi up` of one stack, watched: the same program, the same command as by hand, with the engine's events as they come.

The command itself and not the Automation API's `Stack.up`: that one selects the stack before and asks for outputs after, each a start of pulumi of its own,
and the first of them would stand in the way of a failover. The events are those that it reads (decision 25).
"""

from __future__ import annotations

import codecs
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.plain import phrase
from scripts.ctl.output import ending, log
from scripts.ctl.stacks.stack import Stack
from scripts.links.epochs import STAYS

LOOK_S = 0.05
# What a move is limited to: commands, by which hosts and links are told of it. Nothing of a platform is made, changed, replaced or deleted by it.
LIMITED = ("--target", "**command:**")
# Such a run keeps its state once, at its end, and not before and behind each link, which waits for it: what was told to a host is told again by whoever
# finds the run killed, and nothing that a state alone knows comes of it (decision 53).
KEPT_ONCE: Mapping[str, str] = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
PIECE_BYTES = 65536  # of pulumi's streams, at each look
# What a link is called for people; it is told when it runs. In the order of a move.
LINKS: Mapping[str, str] = {
    "fence-claim": "fence",
    "postgres-converge": "database",
    "redis-turn": "cache",
    "sync-converge": "files",
    "app-turn": "app hosts",
    "verify-order": "the proof that the shop sells",
    "dns-pointer": "name",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """Of a link: begun, or ended (`done`), or failed; `at_s`: since the run began."""

    link: str
    state: str
    at_s: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`errors`: what the program and its links said, each once. `interrupted`: somebody wanted it to end. `begun`: pulumi did begin; where it found the stack
    locked, or no backend, nothing was changed.
    """

    ok: bool
    code: int
    seconds: float
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    interrupted: bool = False
    begun: bool = True


Watch = Callable[[Step], None]


def up(
    stack: Stack, watch: Watch, *, why: str = "", limited: bool = False, also: Sequence[str] = (), stays: bool = False
) -> Outcome:
    """Runs it to its end, whoever presses Ctrl-C meanwhile: pulumi is told, and ends by itself. `limited`: to what a move is, and to resources
    whose names fit one of `also`. `stays`: it moves the shop nowhere, whoever has moved it since the request was written. Raises Failed where there is no
    pulumi.
    """
    with ExitStack() as made:
        # Events name the inputs of every resource: nobody else reads them, and they are gone with the run.
        folder = Path(made.enter_context(tempfile.TemporaryDirectory(prefix="drctl-")))
        events, said = folder / "events", folder / "said"
        command = stack.argv("up", "--yes", "--skip-preview", "--event-log", str(events), *stack.file_words)
        command += (*LIMITED, *(word for it in also for word in ("--target", it))) if limited else ()
        of_stack = os.environ if stack.environment is None else stack.environment
        environment = {**of_stack, "PULUMI_DEBUG_COMMANDS": "true", **({"DR_WHY": why} if why else {})}
        if stays:
            environment[STAYS] = "1"
        if limited and not also:  # keys that a run makes are known to its state alone
            environment |= KEPT_ONCE
        began = time.monotonic()
        with said.open("wb") as out:
            try:
                with ending.deaf():
                    process = subprocess.Popen(
                        command, cwd=stack.folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
                    )
            except OSError as error:
                raise Failed(
                    f"{command[0]}: cannot be run ({error.strerror}), wanted pulumi; nothing was changed; install it, or put it into PATH"
                ) from None
        seen, spoken = Seen(watch, began), _Tail(said)
        wanted = threading.Event()
        made.callback(_told_on(process, wanted))
        while True:
            try:
                ended = process.poll() is not None
                seen.read(events)
                while piece := spoken.more():
                    log.pulumi(piece)
                if ended:
                    break
                time.sleep(LOOK_S)
            except KeyboardInterrupt:  # pulumi has heard it, too, and takes back what was begun
                wanted.set()
        failed = process.returncode != 0
        return Outcome(
            ok=not failed,
            code=process.returncode,
            seconds=round(time.monotonic() - began, 1),
            errors=tuple(_errors(seen, process.returncode, wanted.is_set(), said, stack)) if failed else (),
            warnings=tuple(seen.warnings),
            interrupted=wanted.is_set(),
            begun=process.returncode == 0 or seen.any,
        )


class _Tail:
    """Of a file that grows."""

    def __init__(self, file: Path) -> None:
        self._file, self._read = file, 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def more(self) -> str:
        """What was added to it since."""
        try:
            with self._file.open("rb") as stream:
                stream.seek(self._read)
                piece = stream.read(PIECE_BYTES)
        except OSError:
            return ""
        self._read += len(piece)
        return self._decoder.decode(piece)


class Seen:
    """What the events have told so far."""

    def __init__(self, watch: Watch, began: float) -> None:
        self._watch, self._began, self._read, self._left = watch, began, 0, b""
        self.any = False
        self.errors: dict[str, None] = {}
        self.warnings: dict[str, None] = {}

    def read(self, file: Path) -> None:
        """What has been added to it since."""
        try:
            with file.open("rb") as events:
                events.seek(self._read)
                piece = events.read()
        except OSError:
            return
        self._read += len(piece)
        *lines, self._left = (self._left + piece).split(b"\n")
        for line in lines:
            with suppress(ValueError):
                self.take(json.loads(line))

    def take(self, event: Mapping[str, Any]) -> None:
        """One event of the engine."""
        self.any = True
        for kind, state in (("resourcePreEvent", "begun"), ("resOutputsEvent", "done"), ("resOpFailedEvent", "failed")):
            about = event.get(kind)
            metadata = about.get("metadata") if isinstance(about, Mapping) else None
            if isinstance(metadata, Mapping) and metadata.get("op") not in ("same", "read", None):
                name = str(metadata.get("urn", "")).rsplit("::", 1)[-1]
                if name in LINKS:
                    self._watch(Step(link=LINKS[name], state=state, at_s=round(time.monotonic() - self._began, 1)))
        said = event.get("diagnosticEvent")
        if isinstance(said, Mapping) and said.get("severity") in ("error", "warning"):
            name = str(said.get("urn", "")).rsplit("::", 1)[-1]
            for text in _sentences(str(said.get("message", "")), LINKS.get(name, name)):
                (self.errors if said["severity"] == "error" else self.warnings).setdefault(text)


_UNMADE = re.compile(
    r"Resource '\S*::([^':]+)' depends on '\S*::([^':]+)' which was (?:was )?not specified in --target list"
)
# Of pulumi's page about operations that a run before has left: the type and the name of each.
_LEFT = re.compile(r"^\s*\* urn:pulumi:\S*::(\S+)::(\S+), interrupted while", re.MULTILINE)
# Of a link that went without a word, which its plugin does to it as well where the run is told to end.
_SIGNALLED, _ENDED = re.compile(r"signal: ([a-z ]+): running "), "was ended by a signal"
_UNKEPT = re.compile(r"failed to save snapshot: (.+)")
_HOLDER = re.compile(r"created by (.+ at \S+)$")
# What pulumi says around a sentence of ours: that it ended, how the command was called, whose text is pages long, and what went well before it failed.
_AROUND = (
    "update failed",
    "Resource monitor has terminated",
    "exit status",
    "Process exited with status",
    "INFO ",
    'running "',
    "Program failed",
    "an unhandled error",
)


def _sentences(message: str, of: str) -> Iterator[str]:
    """`of`: what the resource is called."""
    if (left := set(_LEFT.findall(message))) and all("command:" in kind for kind, _ in left):
        names = ", ".join(sorted(name for _, name in left))
        yield phrase(
            f"a run before this one was ended at once while it was at {names}; hosts and links are told again by this one, and nothing has to be done",
            500,
        )
        return
    for line in message.splitlines():
        text = line.strip()
        if found := _UNMADE.search(text):
            yield (
                f"{found[1]}: stands on {found[2]}, which this stack has not made yet, wanted all of it there before a move; a move makes nothing of the "
                "platform; make it by `pulumi up` of this region with the request as it was, or the same command again with --with-changes"
            )
        elif found := _SIGNALLED.match(text):
            yield phrase(
                f"{of}: {_ENDED} ({found[1]}) before it could say why: this machine ran out of memory, or somebody ended it; the same again goes on",
                500,
            )
        elif text and not text.startswith(_AROUND):
            yield phrase(text, 2000)


def _errors(seen: Seen, code: int, wanted: bool, said: Path, stack: Stack) -> Iterator[str]:
    """Of a run that failed: what its links have said, and what pulumi says of itself, on its streams alone."""
    again = "what was told to hosts and links stays, and the next run tells it again"
    unkept = _UNKEPT.search(said.read_text(errors="replace"))
    errors = [it for it in seen.errors if not (wanted and _ENDED in it)]
    yield from errors
    if unkept:
        yield (
            f"stack {stack.name}: its backend did not take the state at the end of the run ({phrase(unkept[1], 300)}), wanted it kept; {again}; see that the "
            "backend answers (`drctl check`), free the stack with `drctl unlock` and the region's letter, then `pulumi up` of it"
        )
    elif code < 0:
        yield (
            f"stack {stack.name}: pulumi was killed (signal {-code}), wanted its own end; its state may be the one from before; {again}; free the stack with "
            "`drctl unlock` and the region's letter"
        )
    elif wanted and seen.any and not errors:
        yield f"stack {stack.name}: its run was told to end before all was done, and has ended; {again}"
    elif not errors:
        yield _said(said, stack)


def _said(said: Path, stack: Stack) -> str:
    """Why a run ended that told no event: before it began."""
    lines = [line.strip() for line in said.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if any("is currently locked by" in line for line in errors):
        holders = [found[1] for line in lines if (found := _HOLDER.search(line))]
        return phrase(
            f"stack {stack.name}: is locked by {' and '.join(holders) or 'somebody whom pulumi does not name'}, wanted it free; nothing was changed; where "
            "that run was killed, `drctl unlock` with the region's letter frees it, and refuses where one lives; else wait for its end",
            500,
        )
    return phrase((errors or lines[-1:] or ["it said nothing"])[0], 500)


def _told_on(process: subprocess.Popen[bytes], wanted: threading.Event) -> Callable[[], None]:
    """SIGTERM and a terminal that goes are told to pulumi as Ctrl-C, which takes back what was begun. Returns what puts back the handlers of before."""

    def tell(_: int, __: FrameType | None) -> None:
        wanted.set()
        with suppress(OSError):
            process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, tell) for number in ending.minded()}

    def back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return back
