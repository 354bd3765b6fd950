"""A verb that is told one JSON object a line and answers each with one: what it takes to start is over when the question comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from contract.errors import Usage

from .call import Call
from .result import Result


def told(call: Call) -> Iterator[dict[str, object]]:
    """The objects, as they come, until stdin ends. Raises Usage on a line that is none."""
    for line in call.lines or ():
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Usage(
                "stdin: found a line that is no JSON object, wanted one object a line; nothing more was done; see docs/interfaces.md"
            )
        yield document


def answer(document: dict[str, Any]) -> None:
    """To the line that was told last."""
    print(json.dumps(document, sort_keys=True), flush=True)


def listening(status: Callable[[Call], Result]) -> Callable[[Call], Result]:
    """The verb `listen` of a service with this `status`: its facts as they are at each line, one JSON object `{}`, answered by one `{"facts"}`."""

    def listen(call: Call) -> Result:
        for _ in told(call):
            answer({"facts": status(call).facts})
        return Result({})

    return listen
