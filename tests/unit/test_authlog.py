"""What hosts keep at the witness of people who sign in: a chain of each host in which nothing is missing unseen, whoever has written it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from contract import authlog
from contract.authlog import MOST_LINES, MOST_TEXT, Head, Line, Name, body, named, read, walk
from contract.chain import digest
from contract.errors import Failed
from contract.forms import MOST_BYTES

Objects = dict[str, bytes]


def said(text: str = "Accepted", at: int = 1, **more: Any) -> Line:
    return Line(at=at, comm="sshd-session", uid=0, pid=7, unit="ssh.service", text=text, **more)


def chain(length: int = 4, token: str = "00000001", hour: int = 8, before: str = "", **first: Any) -> Objects:
    objects = Objects()
    for number in range(1, length + 1):
        name = Name(site="a", host="db-1", at=f"20261129T{hour:02d}{number:02d}00Z", chain=token, number=number)
        more = first if number == 1 else {}
        head = Head(site="a", host="db-1", chain=token, number=number, before=before, **more)
        objects[str(name)] = body(head, [said(at=100 * hour + number)])
        before = digest(objects[str(name)])
    return objects


def key(number: int) -> str:
    return sorted(chain())[number - 1]


def test_a_whole_chain_is_told_in_the_order_of_time() -> None:
    found = walk(reversed(chain(begun="nothing was kept from here before").items()))
    assert [it.at for it in found.lines] == [801, 802, 803, 804]
    assert not found.breaks and not found.gaps
    assert found.begun == ("db-1.a: a chain begins at 20261129T080100Z (nothing was kept from here before)",)


def test_what_lies_before_the_time_that_is_asked_for_is_not_missed() -> None:
    late = dict(sorted(chain().items())[2:])
    assert not walk(late.items()).breaks
    joined = chain(2, "00000002", 9, before=digest(chain()[key(4)]))
    assert not walk({**late, **joined}.items()).breaks and not walk(joined.items()).breaks


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda it: it.pop(key(2)), "found none of number 2 of chain 00000001, wanted all: removed"),
        (lambda it: [it.pop(key(number)) for number in (2, 3)], "found none of numbers 2 to 3 of chain 00000001"),
        (lambda it: it.update({key(2): it[key(2)].replace(b"Accepted", b"Refused ")}), f"{key(3)}: found "),
        (lambda it: it.update({key(2): it[key(1)]}), f"{key(2)}: found another host, chain or number in it"),
        (lambda it: it.update({key(2).replace("0802", "0812"): it[key(2)]}), "found a second object of that number"),
        (lambda it: it.update({key(2): b"{}\n"}), f"witness object {key(2)}"),
        (lambda it: it.update({key(2): b""}), f"witness object {key(2)}: found nothing in it"),
        (lambda it: it.update({key(2): b"no JSON\n"}), "found a line that is no JSON object"),
        (lambda it: it.update({key(2): it[key(2)][:-1]}), "found no object of whole lines"),
        (lambda it: it.update({"logs/a/db-1/x": b""}), "logs/a/db-1/x: found a name of no such object"),
        # The tail of a chain is gone, and its host has begun another one since.
        (
            lambda it: it.update(chain(1, "00000002", 9, before=digest(it.pop(key(4))))),
            "as the digest of the object before, and no such object: one was changed or removed",
        ),
    ],
)
def test_a_change_shows(harm: Callable[[Objects], object], told: str) -> None:
    objects = chain()
    assert not walk(objects.items()).breaks
    harm(objects)
    assert told in "\n".join(walk(objects.items()).breaks)


def test_a_clock_that_was_put_back_breaks_no_chain() -> None:
    objects = chain()
    objects |= chain(2, "00000002", 7, before=digest(objects[key(4)]), begun="the machine was started")
    assert not walk(objects.items()).breaks


def test_the_end_of_a_chain_that_another_one_follows_is_no_break() -> None:
    objects = chain()
    objects |= chain(2, "00000000", 9, before=digest(objects[key(4)]), begun="the machine was started")
    assert not walk(objects.items()).breaks


@pytest.mark.parametrize(
    ("lost", "told"),
    [(7, "up to 7 entries of its journal were gone"), (None, "its journal was emptied or is another one")],
)
def test_what_a_host_could_not_keep_is_told_as_a_gap(lost: int | None, told: str) -> None:
    (gap,) = walk(chain(1, after="s=1;i=2", lost=lost).items()).gaps
    assert told in gap


@pytest.mark.parametrize(
    "name",
    [
        "logs/c/db-1/20261129T080100Z-00000001-00000001.jsonl",
        "logs/a/../20261129T080100Z-00000001-00000001.jsonl",
        "logs/a/db-1/20261129T080100Z-00000001-1.jsonl",
        "logs/a/db-1/20261129T080100Z-00000001-00000001.jsonl\n",
        "logs/a/db-0/20261129T080100Z-00000001-00000001.jsonl",
        "audit/00000001.json",
    ],
)
def test_no_other_name_is_one(name: str) -> None:
    assert named(name) is None
    assert str(named(key(1))) == key(1)


def test_a_message_orders_no_terminal_about_whoever_wrote_it() -> None:
    name, evil = key(1), "Accepted\x1b[2J\u202e\n  fake line"
    head = json.dumps({"site": "a", "host": "db-1", "chain": "00000001", "number": 1})
    stored = f"{head}\n{json.dumps({'at': 1, 'text': evil, 'comm': evil, 'later': 1})}\n".encode()
    (line,) = read(name, stored)[1]
    assert line.text == "Accepted\\x1b[2J\\u202e   fake line" == line.comm


@pytest.mark.parametrize(
    "line", [{"at": -1}, {"at": "1"}, {"at": 1, "uid": "root"}, {"text": "x"}, {"at": 1, "text": ["x"]}, {"at": True}]
)
def test_a_line_of_another_form_is_a_break_and_no_traceback(line: dict[str, Any]) -> None:
    objects = chain(1)
    objects[key(1)] += json.dumps(line).encode() + b"\n"
    with pytest.raises(Failed, match="its host has not written it so"):
        read(key(1), objects[key(1)])
    assert walk(objects.items()).breaks


def test_the_largest_object_is_one_that_is_read() -> None:
    """Of any text: the widest character has four bytes."""
    widest = Line(
        at=2**62, comm="\U0001d54a" * 40, uid=2**32, pid=2**22, unit="\U0001d54a" * 80, text="\U0001d54a" * MOST_TEXT
    )
    stored = body(Head(site="a", host="db-1", chain="00000001", number=1), [widest] * MOST_LINES)
    assert len(stored) < MOST_BYTES and len(read(key(1), stored)[1]) == MOST_LINES
    with pytest.raises(Failed, match=f"wanted at most {MOST_LINES} behind a first"):
        read(key(1), stored + stored)
    assert authlog.prefix("a", "db-1") == "logs/a/db-1/"
