"""A text of Ruby, as far as it is read without Ruby: what of it is code, what a comment, and what stands in its literals. Nothing of it is run.

Whatever looks for words in a program goes by this: a `#` in a string is no comment, and a word in a here document is no call.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

_HERE = re.compile(r"<<([~-]?)(?:(['\"`])([^'\"`\n]+)\2|([A-Za-z_]\w*))")
_PERCENT = re.compile(r"%([qQwWiIrsx]?)([^\w\s])")
_PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_BEGIN, _END = re.compile(r"=begin\b"), re.compile(r"^=end\b.*$", re.M)
_BEFORE_PATTERN = re.compile(r"(?:^|[(,=~!|&{;\[?:<>+*]|\b(?:if|unless|when|and|or|not|return|while|until|then))\s*$")
_SPELLED = {"n": "\n", "t": " ", "s": " ", "\n": ""}


@dataclass(frozen=True, kw_only=True)
class Literal:
    """Text of one, in which `x` stands for each word that Ruby puts in. `at`, `end`: where it begins in the source, and what follows it; `lines`: of the
    source, from 1, of each of its own; `tag`: of a here document.
    """

    at: int
    end: int
    text: str
    lines: tuple[int, ...]
    tag: str = ""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Both texts are as long as what was read. `code`: without comments and without what stands in literals; `bare`: without comments; `literals`: by where
    they begin; `left`: the line of one that is not seen to end, so that nobody knows what is code behind it.
    """

    code: str
    bare: str
    literals: Mapping[int, Literal]
    left: int | None = None


def read(text: str) -> Source:
    """Never fails: what cannot be told apart is `left`."""
    return _Reader(text).all()


@dataclass
class _Reader:
    text: str
    at: int = 0
    left: int | None = None
    literals: dict[int, Literal] = field(default_factory=dict)
    pending: list[tuple[re.Match[str], int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.code, self.bare = list(self.text), list(self.text)
        self._starts = [0, *(it.end() for it in re.finditer("\n", self.text))]

    def all(self) -> Source:
        while self.at < len(self.text):
            self._one()
        return Source(code="".join(self.code), bare="".join(self.bare), literals=self.literals, left=self.left)

    def _line(self, at: int) -> int:
        return bisect_right(self._starts, at)

    def _blank(self, begin: int, end: int, *, comment: bool = False) -> None:
        for which in (self.code, self.bare) if comment else (self.code,):
            which[begin:end] = ["\n" if it == "\n" else " " for it in which[begin:end]]

    def _one(self) -> None:
        at, text = self.at, self.text
        each, first = text[at], at == 0 or text[at - 1] == "\n"
        if first and (_BEGIN.match(text, at) or re.compile(r"__END__\r?$", re.M).match(text, at)):
            found = _END.search(text, at) if each == "=" else None
            self._comment(found.end() if found else len(text))
        elif each == "#":
            end = text.find("\n", at)
            self._comment(len(text) if end < 0 else end)
        elif each == "\n" and self.pending:
            self._here_documents()
        elif each == "<" and (here := _HERE.match(text, at)) and self._ends(here):
            self.pending.append((here, at))
            self.at = here.end()
        elif each in "'\"`" and not self._is_name(at):
            self._literal(at, at + 1, each, each, raw=each == "'")
        elif each == "%" and (opened := _PERCENT.match(text, at)) and self._begins(at, opened):
            closed = _PAIRS.get(opened[2], opened[2])
            self._literal(
                at, opened.end(), opened[2], closed, raw=opened[1] in ("q", "w", "i", "s") and opened[1] != ""
            )
        elif each == "/" and (end := self._pattern(at)):
            self._blank(at + 1, end - 1)
            self.at = end
        else:
            self.at += 1

    def _comment(self, end: int) -> None:
        self._blank(self.at, end, comment=True)
        self.at = end

    def _is_name(self, at: int) -> bool:
        """`$'`, or a single character as `?'`."""
        before, one = self.text[max(at - 2, 0) : at], self.text[at - 1 : at]
        return one == "$" or (one == "?" and not re.match(r"[\w)\]]\?", before))

    def _begins(self, at: int, opened: re.Match[str]) -> bool:
        """Whether a `%` is no operator: nothing stands before it that could be divided, or a word with a gap, as of a call."""
        before = "".join(self.code[max(at - 200, 0) : at])
        if not before.strip() or not re.search(r"[\w)\]}'\"`]\s*$", before):
            return True
        return re.search(r"[A-Za-z_]\w*[?!]?[ \t]+$", before) is not None and opened[0] != "%="

    def _pattern(self, at: int) -> int:
        """Behind a regular expression that begins here; 0 where it is a division, or goes on over the line."""
        before = "".join(self.code[max(at - 200, 0) : at])
        call = re.search(r"[A-Za-z_]\w*[?!]? $", before) and self.text[at + 1 : at + 2] not in (" ", "=", "")
        if not call and not _BEFORE_PATTERN.search(before):
            return 0
        found = re.compile(r"/(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/").match(self.text, at)
        return found.end() if found else 0

    def _ends(self, here: re.Match[str]) -> bool:
        """Whether it is a here document. Without a mark, a quote or an end it is an operator."""
        if re.compile(rf"^[ \t]*{re.escape(here[3] or here[4])}\r?$", re.M).search(self.text, here.end()):
            return True
        if here[1] or here[2]:
            self.left = self.left or self._line(here.start())
        return False

    def _here_documents(self) -> None:
        begin = self.at + 1
        for here, at in self.pending:
            tag = here[3] or here[4]
            found = re.compile(rf"^{'[ 	]*' if here[1] else ''}{re.escape(tag)}\r?$", re.M).search(self.text, begin)
            end = found.start() if found else len(self.text)
            text, lines, _ = self._said(begin, end, "", "", raw=here[2] == "'")
            self.literals[at] = Literal(at=at, end=here.end(), text=text, lines=lines, tag=tag)
            self.left = self.left if found else self.left or self._line(at)
            behind = found.end() if found else end
            self._blank(begin, behind)
            begin = min(behind + 1, len(self.text))
        self.pending = []
        self.at = begin

    def _literal(self, at: int, begin: int, opened: str, closed: str, *, raw: bool) -> None:
        text, lines, end = self._said(begin, len(self.text), opened, closed, raw=raw)
        if end >= len(self.text):
            self.left = self.left or self._line(at)
        self._blank(begin, end)
        self.at = min(end + 1, len(self.text))
        self.literals[at] = Literal(at=at, end=self.at, text=text, lines=lines)

    def _said(self, at: int, end: int, opened: str, closed: str, *, raw: bool) -> tuple[str, tuple[int, ...], int]:
        """What a literal says, its lines, and where it ends: at its close, or at `end` where it has none."""
        said, lines, depth = list[str](), [self._line(at)], 0
        while at < end:
            one, step = self.text[at], 1
            if one == "\\" and at + 1 < end:
                one, step = self._escaped(self.text[at + 1], opened + closed, raw=raw), 2
            elif not raw and self.text.startswith("#{", at):
                one, step = "x", self._put_in(at + 2, end) - at
            elif closed and one == closed:
                if not depth:
                    break
                depth -= 1
            elif opened and one == opened:
                depth += 1
            at += step
            said.append(one)
            lines += [self._line(at)] * one.count("\n")
        return "".join(said), tuple(lines), at

    @staticmethod
    def _escaped(one: str, ends: str, *, raw: bool) -> str:
        if raw:
            return one if one == "\\" or one in ends else f"\\{one}"
        return _SPELLED.get(one, one)

    def _put_in(self, at: int, end: int) -> int:
        """Behind the brace that closes what Ruby puts in."""
        depth = 1
        while at < end and depth:
            one = self.text[at]
            if one in "'\"":
                _, _, at = self._said(at + 1, end, one, one, raw=one == "'")
            depth += {"{": 1, "}": -1}.get(one, 0)
            at += 1
        return min(at, end)
