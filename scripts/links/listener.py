"""A host that a move asks the same more than once: its verb is started once, and each further answer costs a line instead of a session and a process."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from contract.errors import Failed
from contract.limits import QUICK_S, TALK_S
from scripts.clients.hosts import Conversation, Hosts


class Listener:
    """With `dr-host <service> listen` on one host, which answers with the facts of `status` as they are when it is asked."""

    def __init__(self, hosts: Hosts, host: str, via: str, service: str, answer_s: float = QUICK_S) -> None:
        """`answer_s`: for one answer of that process, which may have to be started first."""
        self._hosts, self._where, self._service, self._answer_s = hosts, (host, via), service, answer_s
        self._talk: Conversation | None = hosts.talk(host, via, f"{service} listen", TALK_S)
        self._one = threading.Lock()  # each question has the answer that follows it

    def facts(self) -> dict[str, Any]:
        """As they are now: by the process that was started for it or, where that one has gone, by another. Raises DrError."""
        with self._one:
            talk, self._talk = self._talk, None  # one that has not answered may do so yet, to another question
            if talk is not None:
                with suppress(Failed):
                    told = talk.facts(self._answer_s)
                    self._talk = talk
                    return told
        return self._hosts.must(*self._where, f"{self._service} status", {"schema": 1}, QUICK_S).facts
