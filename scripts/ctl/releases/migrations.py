"""What a migration of Rails does to the release that still runs beside it, by its text: nothing of the application is run.

A release that comes is at work together with the one before, in both regions, and a move may come between. So what is new in the schema has to be there
for both of them (expand), and what the old one still needs goes with a later release (contract). What blocks a table for long is told as well: orders wait
for it. Rails' own words are known, and SQL by its statements (`statements.py`); SQL that is made up while a migration runs is told as unread, and words of
Rails' that are called by a name which is made up are not seen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from contract.artefact import MOST_TEXT
from contract.dataclass import dataclass
from contract.plain import phrase
from scripts.ctl.releases import ruby, statements

# As Rails finds them: in folders of that one too, and with the name of the engine that they were copied from (`..._tables.active_storage.rb`).
FILE = re.compile(r"db/[A-Za-z0-9_]*migrate/(?:[^/]+/)*\d+_\w*(?:\.\w*)?\.rb")
_DOWN = re.compile(r"^(\s*)def (?:self\.)?down\b(.*)$")
_CREATED = re.compile(r"\bcreate_table[\s(]+[:\"']([A-Za-z0-9_.]+)")
_BLOCK = re.compile(
    r"\b(create|change|create_join)_table\b[\s(]*(?:[:\"']([A-Za-z0-9_.]+))?.{0,200}(?:\bdo|\{)\s*\|\s*(\w+)"
)
_NEW = ""  # a table that is made under a name which nobody reads here
_CALL = re.compile(r"(?:\b(\w+)\.)?\b([a-z_]+)[\s(]+(?=[:\"'])[:\"']([A-Za-z0-9_.]+)")
_STAMPS = re.compile(r"\b(\w+)\.(timestamps)\b()")
MOST_LINES = 40  # of a call
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
_POINTS = ("add_reference", "add_belongs_to", "references", "belongs_to")
# What a table's block says that is no new column.
_NO_COLUMN = frozenset({"index", "foreign_key", "remove_index", "rename_index", "change_default", "check_constraint"})


def _of(name: str, text: str) -> Iterator[Finding]:
    source = ruby.read(text)
    lines = _upwards(source)
    created, blocks = {_NEW}, dict[str, str]()  # tables that are new, and whose block a variable is of
    found = list[tuple[int, bool, str]]()
    for at, (number, line) in enumerate(lines):
        whole = _statement(lines[at : at + MOST_LINES])
        for it in _BLOCK.finditer(line):
            blocks[it[3]] = {"create": it[2] or _NEW, "change": it[2] or "?"}.get(it[1], _NEW)
        for table in _CREATED.findall(line):
            if re.search(r"force:\s*(?:true|:cascade)", whole):
                found.append((number, True, f"create_table {table} with force: what is in it goes"))
            created.add(table)
        found += [(number, *each) for each in _called(whole, line, created, blocks)]
    said = statements.judge(source, created, {number for number, _ in lines})
    found += [(it.line, it.breaks, it.sentence()) for it in said]
    if len(text.encode(errors="replace")) >= MOST_TEXT:
        found.append((len(lines), True, f"it is longer than {MOST_TEXT} bytes, and was not read to its end"))
    for number, breaks, told in sorted(found, key=lambda it: it[0]):
        yield Finding(file=name, line=number, text=told, breaks=breaks)


def _upwards(source: ruby.Source) -> list[tuple[int, str]]:
    """Lines without comments and without `def down`, with their numbers. What is not seen to end is none."""
    found, until, held = list[tuple[int, str]](), None, list[tuple[int, str]]()
    for number, (bare, code) in enumerate(zip(source.bare.split("\n"), source.code.split("\n"), strict=True), 1):
        if until is not None:
            held.append((number, bare))
            if re.match(rf"{until}end\b", code):
                until, held = None, []
            continue
        if it := _DOWN.match(code):
            if not re.search(r"\bend\s*$|^\s*=|^\s*\([^)]*\)\s*=", it[2]):  # else it is all on this line
                until = it[1]
            continue
        found.append((number, bare))
    return found + held


def _statement(lines: list[tuple[int, str]]) -> str:
    """The first line, with those that go on behind its comma."""
    told = lines[0][1]
    for _, line in lines[1:]:
        if not told.rstrip().endswith((",", "(", "\\")):
            break
        told += f" {line.strip()}"
    return told


def _called(whole: str, line: str, created: Collection[str], blocks: Mapping[str, str]) -> Iterator[tuple[bool, str]]:
    """Rails' own words, of tables that were there before."""
    for it in (*_CALL.finditer(line), *_STAMPS.finditer(line)):
        of, word, about = it[1], it[2], it[3]
        table = blocks.get(of or "")
        if table in created:
            continue
        if table is not None or of == "t":
            if word in _GONE_OF_TABLE:
                yield True, f"{of}.{word} {about}"
            if table is not None:
                yield from _added(f"{of}.{word} {about}".rstrip(), word, whole, column=word not in _NO_COLUMN)
        elif about not in created:
            if word in _GONE:
                yield True, f"{word} {about}"
            named = word in ("add_column", "add_reference", "add_belongs_to", "add_timestamps")
            yield from _added(f"{word} {about}", word, whole, column=named)


def _added(told: str, word: str, whole: str, *, column: bool) -> Iterator[tuple[bool, str]]:
    """What comes to a table: a column that the old code gives no value, or what blocks it for long."""
    if word in ("change_column_null", "change_null") and re.search(r",\s*false\b", whole):
        yield True, told
    must = word in ("add_timestamps", "timestamps") and not re.search(r"null:\s*true", whole)
    if column and (must or re.search(r"null:\s*false", whole)) and not re.search(r"default:", whole):
        yield True, f"{told} without a default: rows of the old code have no value for it"
    concurrently = re.search(r"algorithm:\s*:concurrently", whole)
    unvalidated = re.search(r"validate:\s*false", whole)
    if word in _POINTS and not concurrently and not re.search(r"index:\s*false", whole):
        yield False, f"{told} with an index that is not made concurrently"
    if word in _POINTS and re.search(r"foreign_key:\s*(?!false)", whole) and not unvalidated:
        yield False, f"{told} with a foreign key that is validated at once"
    if word == "add_unique_constraint" and not re.search(r"using_index:", whole):
        yield False, f"{told} without using_index:"
    if word in ("add_index", "index") and not concurrently:
        yield False, f"{told} without algorithm: :concurrently"
    if word in ("add_foreign_key", "foreign_key", "add_check_constraint", "check_constraint") and not unvalidated:
        yield False, f"{told} without validate: false"
