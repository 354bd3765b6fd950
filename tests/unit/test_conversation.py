"""What the fence tells a host line by line: answers, silence, and an end that says why. The host's side is a process of this machine."""

import sys

import pytest

from contract.errors import Failed
from scripts.clients.hosts import Conversation

HOST = """
import json, sys, time
for line in sys.stdin:
    told = json.loads(line)
    if told["do"] == "answer":
        print(json.dumps({"told": told}), flush=True)
    elif told["do"] == "babble":
        print("not an object", flush=True)
    elif told["do"] == "fail":
        print("ERROR postgres takeover: found this, wanted that", file=sys.stderr)
        sys.exit(3)
    else:
        time.sleep(60)
"""


@pytest.fixture
def talk():
    made = Conversation([sys.executable, "-c", HOST], "host db-1.b, dr-host postgres takeover")
    yield made
    made.close()
    assert made._process.poll() is not None, "it outlives its conversation"


def test_each_line_has_its_answer(talk):
    for number in (1, 2):
        assert talk.say({"do": "answer", "number": number}, 20) == {"told": {"do": "answer", "number": number}}


@pytest.mark.parametrize(
    ("do", "says"),
    [("fail", "exit code 3: ERROR postgres takeover: found this, wanted that"), ("babble", "no message")],
)
def test_what_is_no_answer_is_an_error_that_names_the_host_and_its_reason(talk, do, says):
    with pytest.raises(Failed, match=f"host db-1.b, dr-host postgres takeover: .*{says}"):
        talk.say({"do": do}, 20)


def test_silence_ends_at_the_limit(talk):
    with pytest.raises(Failed, match=r"no answer within 0\.2 s"):
        talk.say({"do": "nothing"}, 0.2)


def test_a_host_that_has_gone_says_so_every_time(talk):
    for _ in range(2):
        with pytest.raises(Failed, match="exit code 3"):
            talk.say({"do": "fail"}, 20)
