"""No secret in what is kept of a run: one filter for its log and for its record.

A secret that is known is hidden wherever it stands: as it is, as JSON, in a URL, in base64 or hexadecimal, wrapped over lines, cut over pieces. One that
is not known is hidden by its form: what stands behind a name like `password`, user and password of a URL, ids of AWS, tokens, private keys. Hiding too
much is no fault here.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from contract.reading import HIDDEN

SHORTEST = 6  # characters: what is shorter stands in other words
SHORTEST_ENCODED = 8
MARGIN = 40  # characters that were said, and are looked at with what follows
MOST = 65536  # characters that wait for what follows them
_SURE = 3  # characters at an end that may be a secret's first ones: fewer are at the end of every other line
# Of a set of secrets, what says where it is in its life: a day stands in every line of a log.
_ABOUT = ("since", "stage")
_OPEN_TO_ALL = ("ssh-", "-----BEGIN CERTIFICATE", "-----BEGIN PUBLIC KEY")
# What may stand between two characters of a secret that somebody has wrapped: ends of lines, a table's edge, colours.
_GAP = re.compile(r"(?:\x1b\[[0-9;?]{0,20}[A-Za-z]|[\s│┃║])+")
_NAME = (
    r"(?:pass(?:word|phrase|wd|code)|pwd|secret(?!s:)|token|credential|signature|cookie|authorization|"
    r"(?:api|access|private|consumer|application|signing|encryption)[_\-]?key)[\w\-]{0,40}"
)
_QUOTE = r"\\*[\"']"
_TEXT = rf"(?P<d>{_QUOTE})(?P<x>(?:(?!(?<!\\)(?P=d))[\s\S])*)"
_RUN = r"[\w\-=+/.~]"
# Of each, group `x` is hidden; none where all of it is.
_FORMS = tuple(
    re.compile(text, re.IGNORECASE if number < 6 else 0)
    for number, text in enumerate(
        (
            rf"{_NAME}(?:{_QUOTE})?\s*[:=]>?\s*{_TEXT}",  # "password": "...", also within a string of JSON
            rf"{_NAME}{_QUOTE}\s*:\s*(?P<x>[^\s\"',\]}}{{\[]+)",
            rf"{_NAME}\s*=\s*(?P<x>[^\s\"'&;,]+)",
            rf"{_NAME}[ \t]*:[ \t]*(?:\n[ \t]+)?(?P<x>[^\n\"']+)",  # a header, a line of YAML: to its end
            rf"--[\w\-]{{0,40}}?{_NAME}\s+(?P<x>[^\s\-]\S*)",
            r"\b(?:bearer|basic)\s+(?P<x>[\w\-=+/.~]{8,})",
            r"[A-Za-z][\w+.\-]{0,20}://(?P<x>[^\s\"'<>]{1,2000}(?:\n[ \t│┃]*[^\s\"'<>]{1,2000})?)@",
            rf"\b(?:gAAAAA|eyJ|pul-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-){_RUN}{{12,}}(?:\n[ \t│┃]*{_RUN}{{12,}}(?=\s))*",
        )
    )
)
# The same in a text without its gaps.
_KEY = re.compile(
    r"-----BEGIN[A-Z0-9]{0,20}PRIVATEKEY(?:BLOCK)?-----[\s\S]*?(-----END[A-Z0-9]{0,20}PRIVATEKEY(?:BLOCK)?-----|\Z)"
)
_SOLID_FORMS = (re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}"), _KEY)
# What may become one of them with the next piece, at the end of a text ...
_BEGUN = (
    re.compile(rf"{_NAME}(?:{_QUOTE})?\s*[:=]?>?\s*\Z", re.IGNORECASE),
    re.compile(r"[A-Za-z][\w+.\-]{0,20}://[^\s\"'<>@]*\s*\Z"),
)
# ... and of one without its gaps.
_SOLID_BEGUN = (
    re.compile(r"-{1,5}\Z|-----B(?:E(?:G(?:I(?:N[A-Z0-9]{0,40}-{0,5})?)?)?)?\Z"),
    re.compile(r"A(?:[KS](?:I(?:A[A-Z0-9]{0,15})?)?)?\Z"),
)
_OPEN = "-----BEGIN PRIVATE KEY-----"


@dataclasses.dataclass(frozen=True)
class _Found:
    """`begin`: of all that tells it; `start`, `end`: of what is hidden."""

    begin: int
    start: int
    end: int


class Words:
    """The secrets that are known; there may be more of them with time."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._spelled: list[str] = []
        self.know(words)

    def know(self, words: Iterable[str]) -> None:
        """From now on these, too."""
        fresh = {line for word in words for line in _lines(word)} - self._known
        if fresh:
            self._known |= fresh
            told = {_solid(it)[0] for word in fresh for it in _spellings(word)}
            self._spelled = sorted({*self._spelled, *(it for it in told if len(it) >= SHORTEST)})

    def found(self, text: str) -> list[_Found]:
        """All that is to be hidden in a text."""
        ranges = [_Found(it.start(), *it.span("x" if "x" in it.re.groupindex else 0)) for it in _matches(_FORMS, text)]
        solid, index = _solid(text)
        spans = [it.span() for it in _matches(_SOLID_FORMS, solid)]
        for word in self._spelled:
            at = solid.find(word)
            while at >= 0:
                spans.append((at, at + len(word)))
                at = solid.find(word, at + 1)
        ranges += [_Found(index[start], index[start], index[end - 1] + 1) for start, end in spans]
        return [it for it in ranges if it.end > it.start]

    def begun(self, text: str) -> int:
        """From where on it may become a secret with what follows; its length where nothing may."""
        least = min((it.start() for it in _matches(_BEGUN, text)), default=len(text))
        solid, index = _solid(text)
        starts = [it.start() for it in _matches(_SOLID_BEGUN, solid)]
        longest = max(map(len, self._spelled), default=0)
        for start in range(max(len(solid) - longest + 1, 0), len(solid) - _SURE + 1):
            tail = solid[start:]
            at = bisect_left(self._spelled, tail)
            if at < len(self._spelled) and self._spelled[at].startswith(tail):
                starts.append(start)
                break
        return min([least, *(index[start] for start in starts)])

    def hide(self, text: str) -> str:
        """A text that is whole."""
        return _without(text, self.found(text), 0, len(text))


class Stream:
    """A text that comes in pieces: what is said of it is said once nothing that follows can make a secret of it."""

    def __init__(self, words: Words) -> None:
        self._words, self._waits = words, ""
        self._said = ""  # the last of it: the first letters of a secret may have been

    def take(self, piece: str) -> str:
        """What can be said now."""
        self._waits += piece
        text, said = self._said + self._waits, len(self._said)
        if len(text) > MOST:
            return self._left_out(text)
        if "\n" not in piece:  # a line that is not whole tells nothing of its form
            return ""
        end, found = text.rfind("\n") + 1, self._words.found(text)
        end = min(end, self._words.begun(text[:end]))
        whole = len(text[:end].rstrip())
        for it in sorted(found, key=lambda one: one.begin, reverse=True):
            if it.end >= min(end, whole):  # it may go on
                end = min(end, it.begin)
        end = max(end, said)
        self._waits = text[end:]
        if end > said:
            self._said = text[:end][-MARGIN:]
        return _without(text, found, said, end)

    def end(self) -> str:
        """The rest."""
        text, said = self._said + self._waits, len(self._said)
        self._waits = self._said = ""
        return _without(text, self._words.found(text), said, len(text))

    def _left_out(self, text: str) -> str:
        """All that waits; a private key that has not ended goes on."""
        solid = _solid(text)[0]
        self._said, self._waits = "", _OPEN if any(not it[1] for it in _KEY.finditer(solid)) else ""
        return f"({len(text)} characters were left out)\n"


def of(it: Any) -> Iterator[str]:
    """Secrets in a value: of a dataclass the fields that it prints nowhere, of a plain structure every text that is long enough to be one."""
    if isinstance(it, Mapping):
        for name, each in it.items():
            yield from () if name in _ABOUT else of(each)
    elif isinstance(it, list | tuple):
        for each in it:
            yield from of(each)
    elif isinstance(it, str):
        if not it.startswith(_OPEN_TO_ALL):
            yield it
    elif dataclasses.is_dataclass(it) and not isinstance(it, type):
        for field in dataclasses.fields(it):
            value = getattr(it, field.name)
            if field.name not in _ABOUT and (not field.repr or not isinstance(value, str)):
                yield from of(value)


def _lines(word: str) -> Iterator[str]:
    """Each line of it by itself, and the whole where one of them is too short for that."""
    lines = [line.strip() for line in word.splitlines()]
    for text in (*lines, *([word] if any(len(line) < SHORTEST for line in lines) else [])):
        if len(text) >= SHORTEST and not text.startswith("-----"):
            yield text


def _spellings(word: str) -> Iterator[str]:
    """As others write it."""
    plain = {word, html.escape(word), word.replace("'", "'\"'\"'"), repr(word)[1:-1]}
    for _ in range(2):  # a document within a document
        plain |= {json.dumps(it, ensure_ascii=ascii)[1:-1] for it in plain for ascii in (True, False)}
    yield from plain
    for escaped in (quote(word, safe=""), quote(word), quote_plus(word)):
        yield from (escaped, re.sub(r"%..", lambda it: it[0].lower(), escaped))
    raw = word.encode()
    yield from (raw.hex(), raw.hex().upper())
    for before in range(3):  # it may begin at any place of what is encoded
        text = base64.b64encode(b"\0" * before + raw).decode()
        inner = text[(0, 2, 3)[before] : (before + len(raw)) * 8 // 6]
        if len(inner) >= SHORTEST_ENCODED:
            yield from (inner, inner.translate(str.maketrans("+/", "-_")))


def _solid(text: str) -> tuple[str, list[int]]:
    """The text without its gaps, and where each of its characters stands in it."""
    pieces, index, at = list[str](), list[int](), 0
    for gap in (*(it.span() for it in _GAP.finditer(text)), (len(text), len(text))):
        pieces.append(text[at : gap[0]])
        index.extend(range(at, gap[0]))
        at = gap[1]
    return "".join(pieces), index


def _matches(forms: Iterable[re.Pattern[str]], text: str) -> Iterator[re.Match[str]]:
    for form in forms:
        yield from form.finditer(text)


def _without(text: str, found: Iterable[_Found], start: int, end: int) -> str:
    """From `start` to `end`."""
    pieces, at = list[str](), start
    for it in sorted(found, key=lambda one: one.start):
        if it.end > at and it.start < end:
            if it.start >= at:
                pieces += [text[at : it.start], HIDDEN]
            elif not pieces:
                pieces.append(HIDDEN)
            at = min(it.end, end)
    return "".join([*pieces, text[at:end]])
