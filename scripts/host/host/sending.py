"""Verb `host authlog`: puts what the journal says of people who come in at the witness. Runs each minute, as a user that has nothing else.

What is to be put lies in its state first, name and all: after a lost answer, a crash or a day of silence the very same is put again, and a name that is
taken then was taken by it. Nothing is put when nothing was said, and nothing is asked.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from contract import fields
from contract.authlog import MOST, Head, Line, Name, body
from contract.chain import digest
from contract.checks import integer, prose
from contract.dataclass import dataclass
from contract.errors import Refused, Usage, say
from contract.fields import key
from contract.forms import HOST
from contract.sites import A_SITE
from contract.version import VERSION
from contract.witness import LOCKED_DAYS

from ..frame.boots import boot
from ..frame.call import Call
from ..frame.files import write_atomically
from ..frame.layout import Layout
from ..frame.own import read_back
from ..frame.result import Result
from . import journal

STATE, CREDENTIAL, SELF = "state.json", "witness", "authlog.json"
MOST_OBJECTS = 4  # in one go
FIRST = "nothing was kept from here before"
UNREADABLE = "what it remembered of its chain could not be read"
STARTED = "the machine was started"

Store = Callable[[str, str], object]


@dataclass(frozen=True, kw_only=True)
class State:
    """What the job remembers of its chain."""

    host: str = key(prose, "`db-1.a`: a disk that was copied is another host's")
    chain: str = key(prose, "of now")
    boot: str = key(prose, "in which it was begun")
    number: int = key(integer(1, MOST), "of the object that comes next", default=1)
    before: str = key(prose, "digest of the one before it", default="")
    begun: str = key(prose, "why the chain was begun", default="")
    cursor: str = key(prose, "where the journal was read to", default="")
    stored_as: str = key(prose, "key of what is to be put, once it was made", default="")
    text: str = key(prose, "what is to be put", default="")


@dataclass(frozen=True, kw_only=True)
class Self:
    """Whose job this is."""

    site: str = key(A_SITE, "of this host")
    host: str = key(HOST, "its name")


@dataclass(frozen=True, kw_only=True)
class Sender:
    """`folder`: of the state. `store`: at the witness, raises Failed while it is silent."""

    site: str
    host: str
    folder: Path
    rows: journal.Rows
    store: Store

    def go(self) -> int:
        """Puts what there is, some objects of it at most. Returns how many. Raises Failed."""
        state, put, more = self.load(), 0, True
        while put < MOST_OBJECTS and (state.stored_as or more):
            if not state.stored_as:
                state, more = self._next(state)
            if state.stored_as:
                self.store(state.stored_as, state.text)
                done = digest(state.text.encode())
                state = replace(state, number=state.number + 1, before=done, begun="", stored_as="", text="")
                put += 1
                self._save(state)
        return put

    def load(self) -> State:
        """A new chain where there is none, or none that can be relied on."""
        try:
            text = (self.folder / STATE).read_text()
        except FileNotFoundError:
            return self._begin(FIRST)
        except OSError:
            return self._begin(UNREADABLE)
        try:
            found = fields.read(State, json.loads(text), STATE)
        except (ValueError, Usage):
            return self._begin(UNREADABLE)
        return found if found.host == f"{self.host}.{self.site}" else self._begin(UNREADABLE)

    def _begin(self, why: str, cursor: str = "", before: str = "") -> State:
        """A chain of this boot. `before`: where it is known what was put last."""
        own, chain = f"{self.host}.{self.site}", secrets.token_hex(4)
        return State(host=own, chain=chain, boot=_boot(), begun=why, cursor=cursor, before=before)

    def _next(self, state: State) -> tuple[State, bool]:
        """With an object where the journal has something for one; whether there is more behind it."""
        found, old = journal.read(state.cursor, self.rows), state
        if state.boot != _boot():  # also of a disk that was set back: what it has put since is no part of this chain
            state = self._begin(STARTED, state.cursor, state.before)
        state = replace(state, cursor=found.cursor)
        if found.lines or found.gone:
            head = self._head(state, after=old.cursor if found.gone else "", lost=found.lost)
            state = self._made(state, head, found.lines)
        if state != old:
            self._save(state)
        return state, found.more

    def _head(self, state: State, *, after: str, lost: int | None) -> Head:
        return Head(
            site=self.site,
            host=self.host,
            chain=state.chain,
            number=state.number,
            before=state.before,
            begun=state.begun,
            boot=state.boot,
            after=after,
            lost=lost,
            version=VERSION,
        )

    def _made(self, state: State, head: Head, lines: tuple[Line, ...]) -> State:
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = Name(site=self.site, host=self.host, at=at, chain=state.chain, number=state.number)
        return replace(state, stored_as=str(name), text=body(head, lines).decode())

    def _save(self, state: State) -> None:
        write_atomically(self.folder / STATE, json.dumps(fields.write(state), sort_keys=True).encode())


def send(call: Call) -> Result:
    """Verb `authlog`. A witness that is silent is no failure: what was said waits, and is tried again by the next run. Refused for whoever else calls it."""
    from ..frame.witness import Silent, Witness  # noqa: PLC0415 - most runs find nothing to tell, and ask nobody

    layout, environment = call.layout, os.environ
    site, host = _self(layout)
    folder = Path(environment.get("STATE_DIRECTORY", layout.at("/var/lib/dr-authlog")))
    _refuse_others(folder)
    keys = Path(environment.get("CREDENTIALS_DIRECTORY", layout.etc))
    file = keys / (CREDENTIAL if "CREDENTIALS_DIRECTORY" in environment else "witness.json")

    def store(key: str, text: str) -> None:
        """One that is there already is this one: an earlier try has put it, and was not answered."""
        Witness.of_file(file).create(key, text.encode(), LOCKED_DAYS * 86_400)

    sender = Sender(site=site, host=host, folder=folder, rows=journal.journalctl, store=store)
    try:
        return Result({"put": sender.go()})
    except Silent as error:
        call.log.warning(f"{error}; what was said since waits here, and is put by the next run")
        return Result({"put": None})


def _refuse_others(folder: Path) -> None:
    """Two at once would each put their own under one number, which looks like a host that is somebody else's; and what root leaves there, the job cannot
    read. Raises Refused.
    """
    if not folder.exists() or folder.stat().st_uid == os.geteuid():
        return
    raise Refused(
        say(
            subject=f"state {folder}",
            found=f"one of user {folder.stat().st_uid}",
            wanted=f"one of user {os.geteuid()}, who runs this",
            consequence="nothing was put: the job's own chain of sign-ins would break",
            remedy="`systemctl start dr-authlog` runs it now",
        )
    )


def _self(layout: Layout) -> tuple[str, str]:
    found = read_back(
        Self,
        layout.etc / SELF,
        wanted="site and name of this host",
        consequence="who signs in here is kept nowhere else",
        remedy="run `pulumi up` for this site",
    )
    return found.site, found.host


def _boot() -> str:
    return boot() or "0"
