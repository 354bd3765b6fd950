"""Where the contract's words stand, and the table of checks: the made parts of the documents, the comments of `Pulumi.yaml`, Grafana's boards.

A made part of a document lies between `<!-- made: NAME -->` and `<!-- end -->`; what stands around it is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from contract import reference
from contract.errors import Usage
from contract.monitoring import grafana
from scripts.ctl import cli
from scripts.ctl.manual import page, words
from scripts.ctl.stacks import configuration
from scripts.ctl.survey import checks


def _checks() -> str:
    """Of `drctl check`, in its order."""
    lines = ["| id | | looks at | wanted | then |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| `{row.id}` | {row.severity} | {row.about} | {row.wanted} | {row.next} |" for row in checks.ROWS]
    return "\n".join(lines)


PARTS: Mapping[str, Callable[[], str]] = {
    "configuration": reference.configuration,
    "kinds": reference.kinds,
    "host documents": reference.host_documents,
    "link documents": reference.link_documents,
    "record": reference.record,
    "metrics": reference.metrics,
    "rules": reference.rules,
    "silences": reference.silences,
    "secrets by host": reference.secrets_by_host,
    "kinds of secrets": reference.kinds_of_secrets,
    "witness rights": reference.witness_rights,
    "access rules": reference.access_rules,
    "challenge rules": reference.challenge_rules,
    "answers": reference.answers,
    "beginning rules": reference.beginning_rules,
    "checks": _checks,
    "commands": lambda: page.commands_table(list(words.commands(cli.parser()))),
    "exit codes": page.codes_table,
}
DOCUMENTS = {
    "docs/configuration.md": ("configuration",),
    "docs/interfaces.md": ("kinds", "host documents", "link documents"),
    "docs/monitoring.md": ("metrics", "rules", "silences"),
    "docs/reports.md": ("record",),
    "docs/rotation.md": ("kinds of secrets",),
    "docs/security.md": ("secrets by host", "witness rights", "access rules", "challenge rules"),
    "docs/status.md": ("checks",),
    "docs/drctl.md": ("commands", "exit codes"),
    "docs/beginning.md": ("answers", "beginning rules"),
}
_PART = "<!-- made: {name} -->\n"
_END = "<!-- end -->"


def texts(root: Path) -> dict[Path, str]:
    """Each file that holds made parts, as it is to be. Raises Usage when a document has lost the marks of one."""
    found = {root / name: _document(root / name, parts) for name, parts in DOCUMENTS.items()}
    boards = {root / name: json.dumps(model, indent=1) + "\n" for name, model in grafana.models().items()}
    project = root / configuration.PROJECT
    return {**found, **boards, project: configuration.project_text(root, configuration.shared_values(root))}


def stale(root: Path) -> list[Path]:
    """The files that differ from that."""
    return [path for path, text in texts(root).items() if not path.is_file() or path.read_text() != text]


def _document(path: Path, parts: tuple[str, ...]) -> str:
    text = path.read_text()
    for name in parts:
        mark = _PART.format(name=name)
        pattern = re.compile(f"{re.escape(mark)}.*?{re.escape(_END)}", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise Usage(
                f"file {path}: found {len(pattern.findall(text))} parts between `{mark.strip()}` and `{_END}`, wanted one; nothing was changed; "
                "put the marks back where the table belongs"
            )
        made = f"{mark}\n{PARTS[name]().rstrip()}\n\n{_END}"
        text = pattern.sub(lambda _, made=made: made, text)  # type: ignore[misc]
    return text
