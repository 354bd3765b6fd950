"""What a migration of Rails does to the release that still runs beside it, by its text: nothing of the application is run.

A release that comes is at work together with the one before, in both regions, and a move may come between. So what is new in the schema has to be there
for both of them (expand), and what the old one still needs goes with a later release (contract). What blocks a table for long is told as well: orders wait
for it. Rails' own words are known, and SQL by its statements (`statements.py`); what is made up while a migration runs is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from contract.plain import phrase
from scripts.ctl.releases import statements

FILE = re.compile(r"db/[A-Za-z0-9_]*migrate/\d+_\w+\.rb")
_DOWN = re.compile(r"^(\s*)def (?:self\.)?down\b")
_CREATED = re.compile(r"\b(?:create_table|create_join_table)[\s(]+[:\"']([A-Za-z0-9_.]+)")
_CALL = re.compile(r"\b(?:(t)\.)?([a-z_]+)[\s(]+(?=[:\"'])[:\"']([A-Za-z0-9_.]+)")
BREAKS, BLOCKS = "the release that still runs needs it", "orders wait until it has ended"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`breaks`: the release that still runs, else it blocks a table."""

    file: str
    line: int
    text: str
    breaks: bool

    def sentence(self) -> str:
        name = self.file.rpartition("/")[2]
        return phrase(f"{name}, line {self.line}: {self.text}: {BREAKS if self.breaks else BLOCKS}", 300)


def of_release(files: Collection[str]) -> set[str]:
    """Which of a release's files are migrations."""
    return {name for name in files if FILE.fullmatch(name)}


def lint(texts: Mapping[str, str]) -> list[Finding]:
    """Of new migrations, by their names, the oldest first."""
    return [finding for name in sorted(texts) for finding in _of(name, texts[name])]


_GONE = frozenset(
    {
        *("remove_column", "remove_columns", "remove_reference", "remove_belongs_to", "remove_timestamps"),
        *("rename_column", "rename_table", "drop_table", "drop_join_table", "change_column"),
        *("drop_enum", "rename_enum", "rename_enum_value", "disable_extension"),
    }
)
_GONE_OF_TABLE = frozenset(
    {"remove", "rename", "change", "remove_references", "remove_belongs_to", "remove_timestamps"}
)


def _of(name: str, text: str) -> Iterator[Finding]:
    lines = _upwards(text)
    created = {table for _, line in lines for table in _CREATED.findall(line)}
    for number, line in lines:
        whole = _statement(lines, number)
        for breaks, told in _called(whole, line, created):
            yield Finding(file=name, line=number, text=told, breaks=breaks)
    code = dict(lines)
    for said in statements.judge("\n".join(code.get(at, "") for at in range(1, max(code, default=0) + 1)), created):
        yield Finding(file=name, line=said.line, text=said.sentence(), breaks=said.breaks)


def _upwards(text: str) -> list[tuple[int, str]]:
    """Lines without comments and without `def down`, with their numbers."""
    found, until = list[tuple[int, str]](), None
    for number, line in enumerate(text.splitlines(), 1):
        if until is not None:
            until = None if line.startswith(f"{until}end") else until
            continue
        if it := _DOWN.match(line):
            until = it[1]
            continue
        code = "" if line.lstrip().startswith("#") else re.sub(r"\s#\s.*$", "", line)
        found.append((number, code))
    return found


def _statement(lines: list[tuple[int, str]], number: int) -> str:
    """The line, with those that go on behind its comma."""
    rest = [line for at, line in lines if at >= number]
    told = rest[0]
    for line in rest[1:]:
        if not told.rstrip().endswith((",", "(", "\\")):
            break
        told += f" {line.strip()}"
    return told


def _called(whole: str, line: str, created: Collection[str]) -> Iterator[tuple[bool, str]]:
    """Rails' own words, of tables that were there before."""
    for it in _CALL.finditer(line):
        of_table, word, table = it[1], it[2], it[3]
        if of_table and word in _GONE_OF_TABLE:
            yield True, f"t.{word} {table}"
        if of_table or table in created:
            continue
        if word in _GONE:
            yield True, f"{word} {table}"
        if word == "change_column_null" and re.search(r",\s*false\b", whole):
            yield True, f"{word} {table}"
        lacks = re.search(r"null:\s*false", whole) and not re.search(r"default:", whole)
        if word in ("add_column", "add_reference", "add_belongs_to") and lacks:
            yield True, f"{word} {table} without a default: rows of the old code have no value for it"
        if word == "add_timestamps" and not re.search(r"null:\s*true|default:", whole):
            yield True, f"{word} {table} without a default: rows of the old code have no value for it"
        if word in ("add_index", "remove_index") and not re.search(r"algorithm:\s*:concurrently", whole):
            yield False, f"{word} {table} without algorithm: :concurrently"
        if word == "add_unique_constraint" and not re.search(r"using_index:", whole):
            yield False, f"{word} {table} without using_index:"
        if word in ("add_foreign_key", "add_check_constraint") and not re.search(r"validate:\s*false", whole):
            yield False, f"{word} {table} without validate: false"
