"""What SQL in a migration of Rails does to the release that still runs, as squawk judges it: a linter of PostgreSQL's own grammar, pinned beside us.

Found are the statements that stand in the text: what `execute` and its like are given, and what stands in a here document. A word that Ruby puts in while
it runs is a name to us; a call that is given something else than what stands there is told as one that nobody has read. Rules of squawk's that are about
style or repetition are left out; those that are told are the table below.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.plain import phrase
from scripts.ctl.releases.ruby import Literal, Source

VERSION = "17"  # of PostgreSQL, which hosts have
LIMIT_S, MOST = 10.0, 200  # of one judgement; statements of one migration

# What the old code may still ask for, or may not know that it has to give.
BREAKS = frozenset(
    {
        *(
            "ban-drop-column",
            "ban-drop-table",
            "ban-drop-view",
            "ban-drop-schema",
            "ban-drop-type",
            "ban-drop-function",
        ),
        *("ban-drop-database", "ban-drop-sequence", "ban-drop-domain", "ban-drop-extension"),
        *("ban-set-schema", "ban-truncate-cascade", "ban-revoke", "ban-drop-generated-expression"),
        *("renaming-column", "renaming-table", "renaming-object", "changing-column-type"),
        *("adding-required-field", "adding-not-nullable-field"),
    }
)
# What holds a table up for as long as it has rows to be read or written.
BLOCKS = frozenset(
    {
        *("require-concurrent-index-creation", "require-concurrent-reindex"),
        *("adding-foreign-key-constraint", "constraint-missing-not-valid", "disallowed-unique-constraint"),
        *("adding-field-with-default", "adding-serial-primary-key-field", "require-concurrent-partition-detach"),
    }
)
UNREADABLE = "syntax-error"
MADE_UP, IN_BLOCK = "made-up", "in-a-block"  # of ours: what no linter is given
_TOLD = BREAKS | BLOCKS | {UNREADABLE}
_UNREAD = {
    UNREADABLE: "SQL that squawk cannot read",
    MADE_UP: "SQL that is not in this text as it will run, so nobody reads it here",
    IN_BLOCK: "SQL in a block of PL/pgSQL, which squawk does not look into",
}

# Calls that are given SQL. `exec` is that of a connection where it is given a text.
_CALL = re.compile(
    r"(?<![\w$@])(?P<name>execute(?:_batch)?|exec_(?:query|update|delete|insert|params)|async_exec(?:_params)?|exec)\b(?![?!=:])(?!\s*=[^=~>])"
)
_SAME = re.compile(r"(?:\.(?:squish|strip|lstrip|rstrip|chomp|strip_heredoc|freeze|to_s)\b(?:\(\))?)+")
_NEXT = re.compile(r"[ \t]*(?:\\\r?\n\s*)?(?:(?:\+|<<(?=\s))\s*)?")
_OVER = re.compile(r"\s*(?:$|[),;}\]]|(?:if|unless|end|rescue|while|until|do|and|or)\b)|[ \t]*\r?\n(?!\s*\.\w)")
_NAME = re.compile(r"[A-Za-z_]\w*")
# What a block of PL/pgSQL may do that a linter of SQL does not see.
_DO = re.compile(r"\bdo\s+(?:language\s+\w+\s+)?(\$\w*\$|')(.*?)(?:\1|\Z)", re.I | re.S)
_RISKY = re.compile(r"\b(?:alter|drop|rename|truncate|revoke|execute|index|lock|reindex)\b", re.I)
# What is let pass has a reason in the record of its deploy: `--unsafe`.
_IGNORE = re.compile(r"squawk-ignore[a-z-]*", re.I)


@dataclass(frozen=True, kw_only=True)
class Said:
    """One rule that a statement does not keep. `line`: in the text that was looked at, from 1."""

    line: int
    rule: str

    @property
    def breaks(self) -> bool:
        """Or holds a table up. What nobody can read may do either."""
        return self.rule in BREAKS or self.rule in _UNREAD

    def sentence(self) -> str:
        return _UNREAD.get(self.rule, f"SQL, squawk's {self.rule}")


def judge(source: Source, created: Collection[str], lines: Collection[int]) -> list[Said]:
    """Of the SQL in a text of Ruby, as far as it begins in one of `lines`. `created`: tables that the same migration makes, which nobody uses yet. Raises
    Failed where squawk does not answer.
    """
    given, unread = _statements(source)
    # What was not read may be anything.
    found = {(line, MADE_UP) for line in unread}
    given = [it for it in given if it.lines[0] in lines or it.call in lines]
    found |= {(it.lines[0], UNREADABLE) for it in given[MOST : MOST + 1]}
    for it in given[:MOST]:
        sql = _IGNORE.sub("", it.text)
        told = _asked(sql, created)
        if any(rule == UNREADABLE for _, rule in told):
            # What `execute` gets is SQL; a here document may be anything.
            told = [(0, UNREADABLE)] if it.sure else []
        told += [(sql.count("\n", 0, do.start()), IN_BLOCK) for do in _DO.finditer(sql) if _RISKY.search(do[2])]
        found |= {(it.lines[min(at, len(it.lines) - 1)], rule) for at, rule in told}
    return [Said(line=line, rule=rule) for line, rule in sorted(found) if line in lines or source.left]


@dataclass(frozen=True, kw_only=True)
class _Given:
    """`call`: the line of what it is given to; `sure`: it must be SQL."""

    call: int
    text: str
    lines: tuple[int, ...]
    sure: bool


def _statements(source: Source) -> tuple[list[_Given], set[int]]:
    """What is given to calls and what stands in here documents; lines of calls whose SQL is not in the text."""
    made, unread, used = list[_Given](), set[int](), set[int]()
    if source.left:
        unread.add(source.left)
    for call in _CALL.finditer(source.code):
        if re.search(r"\bdef\s+(?:\w+\.)?$", source.code[: call.start()]):
            continue
        line = source.code.count("\n", 0, call.start()) + 1
        texts, whole = _arguments(source, call)
        for joined in texts:
            used |= {it.at for it in joined}
            text, lines = _one(joined)
            made.append(_Given(call=line, text=text, lines=lines, sure=True))
        if not whole and (texts or call["name"] != "exec"):
            unread.add(line)
    for it in source.literals.values():
        if it.tag and it.at not in used:
            call_line = source.code.count("\n", 0, it.at) + 1
            made.append(_Given(call=call_line, text=it.text, lines=it.lines, sure="SQL" in it.tag.upper()))
    return made, unread


def _one(pieces: list[Literal]) -> tuple[str, tuple[int, ...]]:
    """Their text and its lines: a piece goes on in the row in which the one before has ended."""
    text, lines = "", list[int]()
    for it in pieces:
        goes_on = bool(text) and not text.endswith("\n")
        lines = [*lines, *it.lines[1:]] if goes_on else [*lines[:-1], *it.lines]
        text += it.text
    return text, tuple(lines)


def _arguments(source: Source, call: re.Match[str]) -> tuple[list[list[Literal]], bool]:
    """Texts that a call may be given, each of pieces; whether that is all that it is given."""
    code, at = source.code, call.end()
    while at < len(code) and code[at] in " \t":
        at += 1
    if code[at : at + 1] == "(" or (code[call.start() - 1] == ":" and code[at : at + 1] == ","):
        at += 1
        while at < len(code) and code[at].isspace():
            at += 1
    if at in source.literals:
        joined, whole = _joined(source, at)
        return [joined], whole
    if re.compile(r"[)\r\n;}]|$").match(code, at):
        return [], True  # another call of that name, which is given nothing
    name = _NAME.match(code, at)
    if name is None or not _OVER.match(code, name.end()):
        return [], False
    return _assigned(source, name[0])


def _assigned(source: Source, name: str) -> tuple[list[list[Literal]], bool]:
    """What a variable of the text may hold."""
    texts, whole = list[list[Literal]](), True
    for it in re.finditer(rf"(?<![\w.@:]){name}\s*(\|\|=|\+=|=(?![=~>])|<<)\s*", source.code):
        if it[1] in ("=", "||=") and it.end() in source.literals:
            joined, all_of_it = _joined(source, it.end())
            texts.append(joined)
            whole = whole and all_of_it
        else:
            whole = False
    return texts, whole and bool(texts)


def _joined(source: Source, at: int) -> tuple[list[Literal], bool]:
    """Literals that stand one behind the other, or with a `+` between them; whether nothing else follows."""
    joined = list[Literal]()
    while at in source.literals:
        joined.append(source.literals[at])
        at = joined[-1].end
        if same := _SAME.match(source.code, at):
            at = same.end()
        behind = _NEXT.match(source.code, at)
        if behind and behind.end() in source.literals:
            at = behind.end()
    return joined, _OVER.match(source.code, at) is not None


def _asked(sql: str, created: Collection[str]) -> list[tuple[int, str]]:
    """Lines from 0 and rules."""
    head = "".join(f"create table {name}(); " for name in sorted(created) if re.fullmatch(r"[A-Za-z0-9_.]+", name))
    words = [
        str(Path(sys.executable).with_name("squawk")),
        *("--reporter", "json", "--pg-version", VERSION, "--assume-in-transaction"),
        *(f"--include={rule}" for rule in sorted(BREAKS | BLOCKS)),  # some are for those alone who ask for them
    ]
    try:
        done = subprocess.run(
            words, input=(head + sql).encode(), capture_output=True, check=False, timeout=LIMIT_S, env={}, cwd="/"
        )
        told = json.loads(done.stdout)
        if not isinstance(told, list) or done.returncode not in (0, 1):
            raise ValueError(f"ended with {done.returncode}")
        return [(int(it["line"]), str(it["rule_name"])) for it in told if str(it["rule_name"]) in _TOLD]
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError, KeyError) as error:
        raise Failed(
            f"squawk: {phrase(str(error) or type(error).__name__, 200)}, wanted its judgement of a migration's SQL; nobody knows what that takes from the "
            "release that runs; nothing was changed; `make environment` installs it beside drctl"
        ) from None
