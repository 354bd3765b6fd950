"""The mechanism of the contract: what is written is read back, every fault is told at once, and no message shows a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from contract import checks, fields
from contract.checks import boolean, integer, listing, mapping, one_of, optional, password, text
from contract.errors import Fault, Usage
from contract.fields import Contradiction, key, part, parts, table
from contract.reading import Section, Told


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A part."""

    size: int = key(integer(1, 9), "how large", default=3, unit="GB")
    word: str = key(password, "to open it", secret=True)


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A document of all kinds of fields."""

    name: str = key(text(r"[a-z]+", "lower-case letters"), "its name")
    mode: str = key(one_of("on", "off"), "whether", default="off")
    names: tuple[str, ...] = key(listing(text(r"[a-z]+", "a word")), "others", default=())
    sizes: Mapping[str, int] = key(mapping(r"[a-z]+", integer(0, 9)), "by name", default={})
    perhaps: int | None = key(optional(integer(0, 9)), "or nothing", default=None)
    sure: bool = key(boolean, "yes or no", default=False)
    inner: Inner = part(Inner, "a part")
    more: Inner | None = part(Inner, "another, or none", optional=True)
    lease: Inner | None = part(Inner, "or off", off=True)
    each: Mapping[str, Inner] = parts(Inner, "one for each", names=None)
    sites: Mapping[str, str] = table(text(r"\S+", "a word"), "by site", names=("a", "b"))

    def contradictions(self) -> Iterator[Contradiction]:
        """One rule between two keys."""
        if self.mode == "on" and not self.names:
            yield Contradiction("mode", "'on'", "names, or off", "nobody is named", "name somebody")


GOOD: dict[str, Any] = {
    "name": "abc",
    "inner": {"word": "s3cret"},
    "lease": {"word": "s3cret"},
    "each": {"x": {"size": 1, "word": "w"}},
    "sites": {"a": "one", "b": "two"},
}


def test_what_is_written_is_read_back_through_json() -> None:
    read = fields.read(Whole, GOOD, "document")
    assert (read.inner.size, read.more, read.each["x"].size, read.sites["b"]) == (3, None, 1, "two")
    written = json.loads(json.dumps(fields.write(read)))
    assert fields.read(Whole, written, "document") == read
    assert set(written) == set(fields.keys(Whole)), "every key is written, defaults too"


def test_every_fault_is_told_at_once_by_its_path() -> None:
    bad = {
        **GOOD,
        "name": 7,
        "inner": {"size": 10, "word": "", "colour": "red"},
        "each": {"x": {"word": "w"}, "y": []},
        "sites": {"a": "one", "c": "three"},
        "sizes": {"x": "1"},
    }
    with pytest.raises(Usage) as refused:
        fields.read(Whole, bad, "document.x")
    said = str(refused.value)
    for subject in ("name", "inner.size", "inner.word", "inner.colour", "each.y", "sites.b", "sites.c", "sizes"):
        assert f"document.x.{subject}: found " in said
    assert said.count("; nothing was changed") == 1 and "\n" not in said


@pytest.mark.parametrize("document", [None, [], "x", 7, True])
def test_what_is_no_object_is_said_so(document: object) -> None:
    with pytest.raises(Usage, match=r"document: found .*, wanted an object"):
        fields.read(Whole, document, "document")


def test_a_contradiction_is_told_where_its_part_has_no_fault_and_not_before() -> None:
    with pytest.raises(Usage, match=r"document\.mode: found 'on', wanted names, or off"):
        fields.read(Whole, {**GOOD, "mode": "on"}, "document")
    with pytest.raises(Usage) as refused:
        fields.read(Whole, {**GOOD, "mode": "on", "name": 7}, "document")
    assert "document.mode" not in str(refused.value)


SECRET = "s3cret-that-nobody-sees"


def holds(secret: object) -> list[dict[str, Any]]:
    """A secret in every wrong place: of another type, misplaced, doubled, as a key's value that is checked, in a part that is none."""
    return [
        {**GOOD, "inner": {"word": [secret]}},
        {**GOOD, "inner": {"word": f"{secret}\nsecond line"}},
        {**GOOD, "inner": {"word": {"value": secret}}},
        {**GOOD, "name": secret},
        {**GOOD, "inner": secret},
        {**GOOD, "each": {"x": secret}},
        {**GOOD, "sites": {"a": [secret], "b": secret}},
        {**GOOD, "names": [secret]},
        {**GOOD, "sizes": {"x": secret}},
        {**GOOD, "perhaps": secret},
    ]


@pytest.mark.parametrize("number", range(len(holds(SECRET))))
def test_no_message_of_a_document_shows_a_value(number: int) -> None:
    with pytest.raises(Usage) as refused:
        fields.read(Whole, holds(SECRET)[number], "document")
    assert SECRET not in str(refused.value)


def test_a_configuration_shows_values_but_those_of_secrets() -> None:
    faults: list[Fault] = []
    values = {**GOOD, "name": "UPPER", "inner": {"size": 10, "word": f"{SECRET}\n"}}
    with Section("dr:", values, faults) as at:
        fields.take(at, Whole)
    found = {fault.subject: fault.found for fault in faults}
    assert found == {"dr:name": "'UPPER'", "dr:inner.size": "10", "dr:inner.word": "(hidden)"}
    assert SECRET not in repr(fields.read(Whole, {**GOOD, "inner": {"word": SECRET}}, "document"))


@pytest.mark.parametrize("value", ["off", False, "false"])
def test_off_is_none(value: object) -> None:
    faults: list[Fault] = []
    with Section("dr:", {**GOOD, "lease": value}, faults) as at:
        assert fields.take(at, Whole).lease is None
    assert not faults


def test_what_the_cli_stored_as_a_text_is_read_from_a_configuration_and_refused_in_a_document() -> None:
    values = {**GOOD, "sure": "true", "perhaps": "7"}
    faults: list[Fault] = []
    with Section("dr:", values, faults) as at:
        read = fields.take(at, Whole)
    assert read.sure is True and [fault.subject for fault in faults] == ["dr:perhaps"], (
        "optional numbers are typed in files"
    )
    with pytest.raises(Usage, match="sure: found a string"):
        fields.read(Whole, values, "document")


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.cidr(24), ["10.1.0.0/24"], ["10.1.0.1/24", "10.1.0.0/16", "10.1.0.0/33", "x", 7, None]),
        (checks.address, ["192.0.2.1"], ["192.0.2.256", "192.0.2.1/32", "::1", "", 7]),
        (checks.socket, ["192.0.2.1:53"], ["192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536", "x:53", ":53", 53]),
        (checks.url, ["http://x", "https://x:1/y"], ["ftp://x", "http://", "http://x/", "http:// x", "x", None]),
        (checks.password, ["p w", "é"], ["", "a\nb", "a\0b", "a\rb", 7, None]),
        (checks.boolean, [True, False], [0, 1, "true", None, "yes"]),
        (checks.integer(0, 3), [0, 3], [-1, 4, True, 1.0, "2", None]),
    ],
)
def test_each_check_takes_what_it_says_and_nothing_else(check: Any, good: list[Any], bad: list[Any]) -> None:
    assert [check(value) for value in good] == good
    for value in bad:
        with pytest.raises(checks.Unwanted) as refused:
            check(value)
        assert str(refused.value), value


def test_a_word_that_stands_for_a_look_up_is_no_value() -> None:
    with pytest.raises(checks.Unwanted):
        text(r".*", "anything")(checks.PLACEHOLDER)


def test_a_part_that_is_not_readable_is_one_fault() -> None:
    faults: list[Fault] = []
    with Told("document", {**GOOD, "inner": []}, faults) as at:
        fields.take(at, Whole)
    assert [fault.subject for fault in faults] == ["document.inner"]
