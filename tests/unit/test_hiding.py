"""The filter before whatever is kept of a run, attacked: known secrets in every spelling and cut anywhere, unknown ones by their form."""

from __future__ import annotations

import base64
import json
import random
import time
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import pytest

from contract.reading import HIDDEN
from scripts.ctl.output.hiding import MOST, Stream, Words, of

PASSPHRASE = 'corréct "horse" b\\attery <s& täple'
PLAIN = "Zq7/x+Lm29vT"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "\n".join(
    base64.b64encode(random.Random(n).randbytes(48)).decode() for n in range(5)
)
KEY += "\n-----END OPENSSH PRIVATE KEY-----\n"
LINE = KEY.splitlines()[2]
KNOWN = (PASSPHRASE, PLAIN, KEY)


def wrapped(text: str, width: int) -> str:
    """As a table of a narrow terminal."""
    return "\n".join(f"│ {text[at : at + width]} │" for at in range(0, len(text), width))


SPELLED = {
    "as it is": PLAIN,
    "in a sentence": f"it was {PLAIN}, they said",
    "as JSON": json.dumps({"x": PASSPHRASE}),
    "as JSON, in its own letters": json.dumps({"x": PASSPHRASE}, ensure_ascii=False),
    "as JSON within JSON": json.dumps({"x": json.dumps({"y": PASSPHRASE})}),
    "as Python": repr(PASSPHRASE),
    "in a path": f"GET /v1/{quote(PLAIN, safe='')}",
    "in a query": f"?x={quote_plus(PASSPHRASE)}&y=1",
    "in small letters": f"?x={quote_plus(PLAIN).lower().replace('zq7', 'Zq7').replace('lm29vt', 'Lm29vT').replace('x%2b', 'x%2b')}",
    "in hexadecimal": PLAIN.encode().hex(),
    "in capitals": PLAIN.encode().hex().upper(),
    "in base64": base64.b64encode(PLAIN.encode()).decode(),
    "behind a user in base64": base64.b64encode(f"me:{PLAIN}".encode()).decode(),
    "behind another user": base64.b64encode(f"you:{PLAIN}:x".encode()).decode(),
    "for a URL": base64.urlsafe_b64encode(f"y:{PLAIN}".encode()).decode(),
    "in colours": f"\x1b[31m{PLAIN[:5]}\x1b[0m{PLAIN[5:]}",
    "on two lines": f"{PLAIN[:4]}\n   {PLAIN[4:]}",
    "in a column": wrapped(f"the word is {PLAIN} and no other", 5),
    "a letter a line": "\n".join(PLAIN),
    "one line of a key": f"note {LINE} end",
    "half a key in JSON": json.dumps(KEY)[:-30],
    "a key in a column": wrapped(KEY, 30),
}


def leaks(text: str) -> list[str]:
    """Parts of secrets, in whatever spelling, that can be read in it."""
    solid = "".join(text.replace("│", "").replace("\x1b[31m", "").replace("\x1b[0m", "").split())
    parts = [
        PLAIN, PLAIN[:6], PLAIN[-6:], "battery", "horse", "t\\u00e4ple", "täple", "t%C3%A4ple", PLAIN.encode().hex()[:12], quote(PLAIN, safe="")[3:],
        base64.b64encode(PLAIN.encode()).decode()[:10], base64.b64encode(f"me:{PLAIN}".encode()).decode()[6:14],
        base64.b64encode(f"you:{PLAIN}:x".encode()).decode()[8:16], *(line for line in KEY.splitlines()[1:-1]),
    ]  # fmt: skip
    return [it for it in parts if it.lower() in solid.lower()]


def streamed(text: str, cut: random.Random, words: Words) -> str:
    stream, out, at = Stream(words), "", 0
    while at < len(text):
        size = cut.choice((1, 2, 7, 30, 500))
        out, at = out + stream.take(text[at : at + size]), at + size
    return out + stream.end()


def test_the_attack_finds_what_is_not_hidden() -> None:
    assert all(leaks(text) for name, text in SPELLED.items() if name not in ("for a URL", "behind another user"))


@pytest.mark.parametrize("name", SPELLED)
def test_a_known_secret_is_read_in_no_spelling_however_it_comes(name: str) -> None:
    words, text = Words(KNOWN), f"before\n{SPELLED[name]}\nafter\n"
    whole = words.hide(text)
    assert HIDDEN in whole and not leaks(whole), whole
    for seed in range(20):
        told = streamed(text, random.Random(seed), words)
        assert HIDDEN in told and not leaks(told), told
        assert told.startswith("before\n") and (told.endswith("after\n") or "half" in name), "what is no secret is kept"


FORMS = {
    "password=hunter2x": "hunter2x",
    "--openstack-password hunter2x": "hunter2x",
    "PGPASSWORD=hunter2x psql": "hunter2x",
    "password: hunter2x and more of it": "more of it",
    "password:\n   hunter2x": "hunter2x",
    '{"secret_key_base": "hunter2x, \\"yes\\", it"}': "it",
    '{\\"password\\": \\"hunter2x\\"}': "hunter2x",
    "{'token': 'hunter2x'}": "hunter2x",
    '{"api_key": 12345678}': "12345678",
    "X-Auth-Token: hunter2x": "hunter2x",
    "X-Ovh-Signature: $1$hunter2x": "hunter2x",
    "Authorization: AWS4-HMAC-SHA256 Credential=AAAA, Signature=hunter2x": "hunter2x",
    "sent bearer hunter2x.abc": "hunter2x",
    "https://s3.example/o?X-Amz-Signature=hunter2x&y=1": "hunter2x",
    "postgres://shop:hunter2x@db-1.a/shop": "hunter2x",
    "https://me:hun/ter@2x@host/path": "hun/ter@2x",
    "redis://:hunt\n   er2x@cache-1.a": "er2x",
    "s3://AKIAIOSFODNN7EXAMPLE": "IOSFODNN",
    "it says ASIAIOSFOD\n  NN7EXAMPLE": "NN7EXAMPLE",
    "gAAAAABmhunter2xhunter2xhunter2x": "hunter2x",
    "gAAAAABmhunter2xhunter2xhunter2x\nhunter2xhunter2xhunter2x\n": "hunter2x",
    "eyJhbGciOiJI.eyJhunter2x.hunter2xhunter2x": "hunter2x",
    "pul-0123456789abcdef0123456789abcdefhunter2x": "hunter2x",
    "-----BEGIN RSA PRIVATE KEY-----\nhunter2x\n-----END RSA PRIVATE KEY-----": "hunter2x",
    "-----BEGIN RSA PRI\nVATE KEY-----\nhunter2x\nwhich never ends": "hunter2x",
    '"-----BEGIN PRIVATE KEY-----\\nhunter2x\\n-----END PRIVATE KEY-----\\n"': "hunter2x",
}


@pytest.mark.parametrize("text", FORMS)
def test_what_nobody_knows_is_hidden_by_its_form(text: str) -> None:
    words, secret = Words(), FORMS[text]
    assert secret in text
    for told in (words.hide(text), *(streamed(f"before\n{text}\n", random.Random(seed), words) for seed in range(20))):
        assert HIDDEN in told and secret not in told and "hunter2x" not in told, told


@pytest.mark.parametrize(
    "text",
    [
        "stack region-a: is locked by root@host, wanted it free; nothing was changed",
        "epoch: found 4, region b active, wanted 3; see https://www.pulumi.com/docs/install and run it again",
        "record 7 is at the witness; somebody else signs it off with `drctl report sign 7`",
        "  1.5 s  database: done",
        "dr:secrets: has no ssh.ca, wanted one",
        "digest 3f2a9c0d4e5b6f708192a3b4c5d6e7f80918273645546372819a0b1c2d3e4f50",
    ],
)
def test_what_is_no_secret_is_kept_as_it_is(text: str) -> None:
    assert Words(KNOWN).hide(text) == text
    assert streamed(f"{text}\n{text}\n", random.Random(1), Words(KNOWN)) == f"{text}\n{text}\n"


def test_a_line_is_said_as_soon_as_it_is_whole() -> None:
    stream = Stream(Words(KNOWN))
    assert stream.take("fence: done") == "" and stream.take("\nnext") == "fence: done\n"


def test_a_secret_that_becomes_known_later_is_hidden_from_then_on() -> None:
    words = Words()
    stream = Stream(words)
    assert "swordfish" in stream.take("it is swordfish\n")
    words.know(["swordfish"])
    assert "swordfish" not in stream.take("it is swordfish\n") + stream.end()


@pytest.mark.parametrize(
    "text",
    ["a" * (3 * MOST), "password" * 20_000, "x://" * 40_000, "A" * (3 * MOST), '\\"' * MOST, "-----BEGIN " * 20_000],
)
def test_a_text_without_an_end_is_bounded_in_time_and_room(text: str) -> None:
    stream, began, out = Stream(Words(KNOWN)), time.monotonic(), ""
    for at in range(0, len(text), 8192):
        out += stream.take(text[at : at + 8192])
    out += stream.end()
    assert time.monotonic() - began < 20.0
    assert "left out" in out


def test_a_private_key_that_is_longer_than_anything_stays_hidden() -> None:
    stream = Stream(Words())
    text = "-----BEGIN PRIVATE KEY-----\n" + "hunter2x\n" * 20_000 + "-----END PRIVATE KEY-----\nafter\n"
    out = "".join(stream.take(text[at : at + 999]) for at in range(0, len(text), 999)) + stream.end()
    assert "hunter2x" not in out and out.endswith("after\n")


@dataclass
class Pair:
    public: str
    private: str = field(repr=False)


def test_of_a_configuration_the_fields_that_are_printed_nowhere_are_secrets() -> None:
    assert list(of({"x": Pair("ssh-ed25519 AAAA", "hidden one")})) == ["hidden one"]
    assert list(of({"key": {"private": "hidden one", "public": "ssh-ed25519 AAAA"}})) == ["hidden one"]


def test_the_day_of_a_secret_and_the_stage_of_its_rotation_are_no_secrets() -> None:
    """They stand in every line of a log."""
    told = {
        "since": {"database": "2026-11-29"},
        "rotation": {"database": {"stage": "beside", "app": "correct-horse"}},
        "postgres": {"app": "battery-staple"},
    }
    assert sorted(of(told)) == ["battery-staple", "correct-horse"]
    shown = Words(of(told)).hide("2026-11-29T10:00:00Z beside battery-staple")
    assert shown == f"2026-11-29T10:00:00Z beside {HIDDEN}"
