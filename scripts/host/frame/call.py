"""One call of one verb: what every service's table `VERBS` is made of."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import field
from typing import Any, TextIO

from contract.dataclass import dataclass

from .layout import Layout
from .log import Log
from .result import Result


@dataclass(frozen=True)
class Call:
    """One call of a verb. `document` is stdin (empty for verbs that read none); `lines` is stdin itself, for a verb that is told line by line."""

    service: str
    verb: str
    document: dict[str, Any] = field(repr=False)
    layout: Layout
    log: Log
    check: bool = False
    lines: TextIO | None = None

    @property
    def op(self) -> str:
        return f"{self.service} {self.verb}"


@dataclass(frozen=True)
class Verb:
    """What a service's table `VERBS` holds."""

    run: Callable[[Call], Result]
    locked: bool = True  # one such run per service at a time; False for verbs that only look
    apart: bool = False  # locked against itself alone: long work in the background, which no converge has to wait for
    reads: bool = True  # takes a document on stdin


def elsewhere(module: str, name: str) -> Callable[[Call], Result]:
    """A verb that stands in another module, which is read when somebody asks for it: a timer runs `monitoring metrics` twice a minute on every host, and
    most of what that takes is what it reads.
    """

    def ask(call: Call) -> Result:
        found: Callable[[Call], Result] = getattr(importlib.import_module(module), name)
        return found(call)

    return ask
