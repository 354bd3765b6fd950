"""An agent that is asked again and again whom it grants what: by one process, with what is so at each question."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

import pytest

from contract import fields
from contract.verbs import ANSWERS
from scripts.host.agent.grants import Grants
from scripts.host.agent.verbs import VERBS
from scripts.host.frame.call import Call
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log


def test_each_question_is_answered_with_what_is_so_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(tmp_path)
    layout.run.mkdir(parents=True)

    def lines() -> Iterator[str]:
        yield "{}\n"
        Grants(layout).deny(7, 60.0)
        yield "{}\n"

    call = Call("agent", "listen", {}, layout, Log(io.StringIO(), "x"), lines=cast(TextIO, lines()))
    VERBS["listen"].run(call)
    first, second = (json.loads(line)["facts"] for line in capsys.readouterr().out.splitlines())
    assert (first["denied_below"], second["denied_below"]) == (None, 7)
    status = VERBS["status"].run(Call("agent", "status", {}, layout, call.log)).facts
    assert second.keys() == status.keys() and second["denied_below"] == status["denied_below"]
    assert ANSWERS["agent listen"] is ANSWERS["agent status"]
    fields.heard(ANSWERS["agent listen"], second, "what it says", "nothing is concluded")
