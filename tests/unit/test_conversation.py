"""What the fence tells a host line by line: answers, silence, and an end that says why. The host's side is a process of this machine."""

from __future__ import annotations

import json
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
    made = Conversation([sys.executable, "-c", HOST], "db-1.b", "postgres takeover")
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


LISTENER = """
import json, sys
answers = iter(json.loads(sys.argv[1]))
for line in sys.stdin:
    assert json.loads(line) == {}
    print(json.dumps(next(answers)), flush=True)
"""


def listener(*answers: object) -> Conversation:
    return Conversation([sys.executable, "-c", LISTENER, json.dumps(answers)], "db-1.a", "postgres listen")


def test_facts_are_those_of_the_moment_and_in_their_form() -> None:
    asked = listener(
        {"facts": {"running": True, "later": "x"}}, {"facts": {"running": False, "checkpoint_lsn": "0/28"}}
    )
    assert asked.facts(20)["running"] is True
    told = asked.facts(20)
    assert (told["running"], told["checkpoint_lsn"]) == (False, "0/28")
    asked.close()


@pytest.mark.parametrize(
    "answer", [{"facts": {"running": "no"}}, {"facts": {"checkpoint_lsn": "0/28\nx"}}, {"facts": None}, {"fact": {}}]
)
def test_facts_of_another_form_are_no_answer(answer: object) -> None:
    asked = listener(answer)
    with pytest.raises(Failed, match=r"host db-1\.a, answer of dr-host postgres listen.*nothing is concluded from it"):
        asked.facts(20)
    asked.close()
