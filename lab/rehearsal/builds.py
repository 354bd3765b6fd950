"""Builds of the product in which some text is another: what a fault of the program itself would do, shown by the real `pulumi up`.

Nothing in the product knows of them: a build is a copy of its folders, thrown away with the lab.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDERS, FILES = ("components", "contract", "examples", "scripts"), ("Pulumi.yaml", "__main__.py")


@dataclass(frozen=True)
class Change:
    """In one file of the product, `old` becomes `new`. The text must be there exactly once: a product that has changed is told of, not missed."""

    file: str
    old: str
    new: str

    def of(self, text: str) -> str:
        """Raises RuntimeError when the text is not there once."""
        found = text.count(self.old)
        if found != 1:
            raise RuntimeError(f"{self.file} has changed: found {found} places like {self.old!r}, wanted one")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Strike:
    """In one file of the product, these statements come before the one line that reads so."""

    file: str
    line: str
    statements: tuple[str, ...]

    def of(self, text: str) -> str:
        """Raises RuntimeError when the line is not there once."""
        lines = text.split("\n")
        at = [number for number, each in enumerate(lines) if each.strip() == self.line]
        if len(at) != 1:
            raise RuntimeError(f"{self.file} has changed: found {len(at)} lines {self.line!r}, wanted one")
        indent = lines[at[0]][: -len(self.line)]
        return "\n".join([*lines[: at[0]], *(indent + each for each in self.statements), *lines[at[0] :]])


def build(project: Path, folder: Path, changes: Iterable[Change | Strike]) -> Path:
    """A copy of the product in `folder`, which must not be there yet, with these changes. Raises RuntimeError as they do."""
    for name in FOLDERS:
        shutil.copytree(project / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(project / name, folder / name)
    (folder / ".venv").symlink_to((project / ".venv").resolve())
    for change in changes:
        file = folder / change.file
        file.write_text(change.of(file.read_text()))
    return folder
