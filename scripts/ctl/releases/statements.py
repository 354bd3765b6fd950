"""What SQL in a migration of Rails does to the release that still runs, as squawk judges it: a linter of PostgreSQL's own grammar, pinned beside us.

Found are the statements that stand in the text: what `execute` is given, and what stands in a here document. A word that Ruby puts in while it runs is a
name to us. Rules of squawk's that are about style or repetition are left out; those that are told are the table below.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from contract.errors import Failed
from contract.plain import phrase

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
_TOLD = BREAKS | BLOCKS | {UNREADABLE}

_HERE = re.compile(r"<<[~-]?(['\"`]?)([A-Z][A-Z0-9_]*)\1")
_EXECUTE = re.compile(r"\bexecute\b[\s(]*(?=['\"%])")
_LITERAL = re.compile(r"[\s+\\]*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|%[qQ]?([({\[|])(.*?)[)}\]|])", re.S)
_PUT_IN = re.compile(r"#\{[^}]*\}")
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
        return self.rule in BREAKS or self.rule == UNREADABLE

    def sentence(self) -> str:
        return "SQL that squawk cannot read" if self.rule == UNREADABLE else f"SQL, squawk's {self.rule}"


def judge(text: str, created: Collection[str]) -> list[Said]:
    """Of the SQL in a text of Ruby. `created`: tables that the same migration makes, which nobody uses yet. Raises Failed where squawk does not answer."""
    statements = _statements(text)
    # What was not read may be anything.
    found = {(line, UNREADABLE) for line, _, _ in statements[MOST : MOST + 1]}
    for line, sql, sure in statements[:MOST]:
        told = _asked(sql, created)
        if any(rule == UNREADABLE for _, rule in told):
            # What `execute` gets is SQL; a here document may be anything.
            told = [(0, UNREADABLE)] if sure else []
        found |= {(line + at, rule) for at, rule in told}
    return [Said(line=line, rule=rule) for line, rule in sorted(found)]


def _statements(text: str) -> list[tuple[int, str, bool]]:
    """Line from 1, SQL, whether it must be some."""
    lines = text.split("\n")
    made = list[tuple[int, str, bool]]()
    for number, line in enumerate(lines, 1):
        for it in _HERE.finditer(line):
            end = next((at for at in range(number, len(lines)) if lines[at].strip() == it[2]), len(lines))
            sure = "execute" in line[: it.start()] or "SQL" in it[2]
            made.append((number + 1, "\n".join(lines[number:end]), sure))
    for it in _EXECUTE.finditer(text):
        sql, at = "", it.end()
        while one := _LITERAL.match(text, at):
            sql, at = sql + next(part for part in (one[1], one[2], one[4]) if part is not None), one.end()
        made.append((text.count("\n", 0, it.end()) + 1, sql.replace("\\n", " ").replace("\\", ""), True))
    return [(number, _IGNORE.sub("", _PUT_IN.sub("x", sql)), sure) for number, sql, sure in made]


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
