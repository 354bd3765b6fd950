"""Writing into the audit trail (`contract/audit.py`): beside the work, within a limit, and never a reason for the work to fail."""

from __future__ import annotations

import base64
import datetime
import getpass
import json
import os
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from contract import fields
from contract.audit import Entry
from contract.buckets import Bucket
from contract.errors import DrError, ExitCode
from contract.plain import phrase
from contract.version import VERSION
from scripts.clients import chain_bucket
from scripts.clients.trail_bucket import TrailBucket

ANSWER_S = 3.0  # of the witness, for each request
MOST_SAID = 600  # characters of a sentence that is kept
WHO, WHY = "DR_WHO", "DR_WHY"


def person(environment: Mapping[str, str]) -> str:
    """The same name alone: without the time that our own certificates bear behind it, and the user's where there is no other."""
    named = _certificate(environment.get("SSH_USER_AUTH", "")) or environment.get(WHO, "")
    return named.partition("+")[0] or _user().partition("@")[0]


def who(environment: Mapping[str, str]) -> str:
    """The name in the ssh certificate by which somebody has logged in here, else what `DR_WHO` says, else user@host."""
    named = _certificate(environment.get("SSH_USER_AUTH", "")) or environment.get(WHO, "")
    return phrase(f"{named} ({_user()})" if named else _user(), 200)


def place(environment: Mapping[str, str]) -> str:
    """From where."""
    came = environment.get("SSH_CONNECTION", "").split()[:1]
    return phrase(" via ".join([*came, socket.gethostname()]), 200)


def _user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a container's user may have no name
        return f"uid {os.getuid()}@{socket.gethostname()}"


def _certificate(path: str) -> str:
    """The key id of the certificate that sshd names (`ExposeAuthInfo yes`); empty where there is none."""
    try:
        words = Path(path).read_text().split() if path else []
        blob = next((base64.b64decode(word) for kind, word in pairwise(words) if "-cert-v01@" in kind), b"")
        kind, rest = _field(blob)
        parts = 1 + (b"ecdsa" in kind or b"rsa" in kind) + kind.startswith(b"sk-")
        for _ in range(1 + parts):  # nonce, and the parts of the key
            _, rest = _field(rest)
        return _field(rest[12:])[0].decode()  # behind serial number and type
    except (OSError, ValueError, struct.error, IndexError):
        return ""


def _field(blob: bytes) -> tuple[bytes, bytes]:
    """A text of ssh's binary form, and what is behind it."""
    (length,) = struct.unpack(">I", blob[:4])
    return blob[4 : 4 + length], blob[4 + length :]


def draft(
    what: str,
    site: str,
    *,
    epoch: int | None = None,
    why: str = "",
    said: str = "",
    facts: Mapping[str, str] | None = None,
) -> Entry:
    """An entry without its place in the chain. `why`: where the environment gives none."""
    return Entry(
        what=what,
        site=site,
        epoch=epoch,
        who=who(os.environ),
        place=place(os.environ),
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        token=uuid.uuid4().hex,
        why=phrase(os.environ.get(WHY) or why, 500),
        said=phrase(said, MOST_SAID),
        version=VERSION,
        facts=dict(facts or {}),
    )


def ended(error: DrError) -> str:
    """What an error is in the trail."""
    return "refused" if error.code in (ExitCode.REFUSED, ExitCode.USAGE) else "failed"


def append(witness: TrailBucket, entry: Entry) -> Entry:
    """Returns it as it stands there. Raises Failed."""
    placed = [entry]

    def made(number: int, before: str) -> bytes:
        placed.append(replace(entry, number=number, before=before))
        return json.dumps(fields.write(placed[-1]), sort_keys=True).encode()

    chain_bucket.append(witness, made, "audit trail")
    return placed[-1]


class Note:
    """An entry that is being written beside the work. Nobody has to wait for it: it has its own limit, and says when it was not written.

    All of it is done by a thread of its own, from finding out who this is: whatever goes wrong with the record is no reason to end what it is about.
    """

    def __init__(
        self, bucket: Bucket, what: str, site: str, *, tell: Callable[[str], None] | None = None, **more: Any
    ) -> None:
        """`more`: as of `draft`. `tell`: is told by the writing itself when it did not succeed, and the process ends after it, not before."""
        self._subject = f"audit trail: entry '{what}' of site {site}"
        self._bucket, self._tell, self._error, self._draft = bucket, tell, "", partial(draft, what, site, **more)
        self._thread = threading.Thread(target=self._write, name="audit", daemon=tell is None)
        try:
            self._thread.start()
        except RuntimeError as error:  # this machine has no thread to give
            self._error = str(error)

    def lost(self, wait_s: float) -> str:
        """A sentence when it is not written by then, empty when it is."""
        if self._thread.ident is not None:
            self._thread.join(wait_s)
        why = f"not within {wait_s} s" if self._thread.is_alive() else self._error
        return self._sentence(why) if why else ""

    def _sentence(self, why: str) -> str:
        return f"{self._subject} could not be written ({why}); what was done stands; note it by hand, with your name and the time"

    def _write(self) -> None:
        try:
            append(TrailBucket(self._bucket, answer_s=ANSWER_S, attempts=1), self._draft())
        except DrError as error:
            self._error = str(error)
        except Exception as error:
            self._error = type(error).__name__
        if self._error and self._tell is not None:
            self._tell(self._sentence(self._error))
