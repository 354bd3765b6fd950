"""What the fence tells a host line by line: answers, silence, and an end that says why. The host's side is a process of this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from contract.errors import Failed
from scripts.clients import hosts
from scripts.clients.hosts import Conversation

HOST = """
import json, sys, time
for line in sys.stdin:
    told = json.loads(line)
    if told["do"] == "answer":
        print(json.dumps({"told": told}), flush=True)
    elif told["do"] == "babble":
        print("not an object", flush=True)
    elif told["do"] == "begin":
        print('{"told":', end="", flush=True)
        time.sleep(60)
    elif told["do"] == "fail":
        print("ERROR postgres takeover: found this, wanted that", file=sys.stderr)
        sys.exit(3)
    else:
        time.sleep(60)
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a host that does not end by itself."""
    monkeypatch.setattr(hosts, "ENDS_S", 0.2)


@pytest.fixture
def talk() -> Iterator[Conversation]:
    made = Conversation([sys.executable, "-c", HOST], "host db-1.b, dr-host postgres takeover")
    yield made
    made.close()
    assert made._process.poll() is not None, "it outlives its conversation"


def test_each_line_has_its_answer(talk: Conversation) -> None:
    for number in (1, 2):
        assert talk.say({"do": "answer", "number": number}, 20) == {"told": {"do": "answer", "number": number}}


def test_an_end_is_an_error_that_names_the_host_and_its_reason_every_time(talk: Conversation) -> None:
    says = "exit code 3: ERROR postgres takeover: found this, wanted that"
    for _ in range(2):
        with pytest.raises(Failed, match=f"host db-1.b, dr-host postgres takeover: {says}"):
            talk.say({"do": "fail"}, 20)


@pytest.mark.usefixtures("impatient")
def test_what_is_no_object_is_no_answer(talk: Conversation) -> None:
    with pytest.raises(Failed, match=r"host db-1.b, dr-host postgres takeover: .*no message"):
        talk.say({"do": "babble"}, 20)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("do", ["nothing", "begin"])
def test_silence_ends_at_the_limit_and_half_an_answer_too(talk: Conversation, do: str) -> None:
    with pytest.raises(Failed, match=r"no answer within 0\.5 s"):
        talk.say({"do": do}, 0.5)
