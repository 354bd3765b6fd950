"""Which parts have a known vulnerability, by a file that was fetched before: `python -m lab.supply.audit FILE...`, which is `make audit OSV=FILE`.

A file is in the form of OSV (https://ossf.github.io/osv-schema): one entry, a list of them, one a line, or a zip of such files as the ecosystems'
`all.zip`. Nothing is asked over the network, so it works on a machine without a way out, and two runs with one file say the same.
Exit codes: 0 none is known, 1 some are, 2 a file that cannot be read.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract import pipes
from lab.supply import lock, parts, versions
from lab.supply.parts import Part

NONE, SOME, UNREADABLE = 0, 1, 2
ORDERS: dict[str, Callable[[str], Any]] = {
    parts.PYPI: versions.python,
    parts.GO: versions.semver,
    parts.DEBIAN: versions.debian,
}


class AuditError(Exception):
    """A file that is no OSV. One line."""


@dataclass(frozen=True, order=True)
class Finding:
    """A part that an entry is about. `fixed`: the first version without it, empty where none is known."""

    part: Part
    entry: str
    fixed: str
    summary: str

    def line(self) -> str:
        remedy = f"fixed in {self.fixed}" if self.fixed else "no fixed version is known"
        return f"{self.entry}  {self.part.name} {self.part.version} ({self.part.used_by}): {remedy}: {self.summary}"


def entries(path: Path) -> Iterator[Mapping[str, Any]]:
    """Each entry of a file. Raises AuditError for what is none: half a list must not look like a clean one."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                texts = [
                    (f"{path}:{name}", archive.read(name).decode())
                    for name in sorted(archive.namelist())
                    if name.endswith(".json")
                ]
        else:
            texts = [(str(path), path.read_text())]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise AuditError(f"{path}: {error}; nothing was looked up; fetch the file again") from None
    for name, text in texts:
        for entry in _parsed(name, text):
            if not _is_entry(entry):
                raise AuditError(
                    f"{name}: found an entry without `id` and `affected`, wanted OSV; nothing was looked up; fetch the file again"
                )
            yield entry


def _is_entry(entry: object) -> bool:
    """Whether all that is looked at has its form: what has another would be passed over in silence."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return False
    rows = entry.get("affected") or []
    return isinstance(rows, list) and all(
        isinstance(row, dict)
        and isinstance(row.get("package", {}), dict)
        and isinstance(row.get("versions") or [], list)
        and isinstance(row.get("ranges") or [], list)
        and all(
            isinstance(each, dict) and isinstance(each.get("events") or [], list) for each in row.get("ranges") or []
        )
        for row in rows
    )


def _parsed(name: str, text: str) -> list[Any]:
    try:
        try:
            whole = json.loads(text)
        except ValueError:
            whole = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise AuditError(
            f"{name}: {error}, wanted JSON in the form of OSV; nothing was looked up; fetch the file again"
        ) from None
    if not text.strip():
        raise AuditError(
            f"{name}: found nothing, wanted JSON in the form of OSV; nothing was looked up; fetch the file again"
        )
    found = whole["vulns"] if isinstance(whole, dict) and isinstance(whole.get("vulns"), list) else whole
    return found if isinstance(found, list) else [found]


def findings(found: Iterable[Part], known: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Every pair of a part and an entry that is about its version."""
    by_name: dict[tuple[str, str], list[Part]] = {}
    for part in found:
        by_name.setdefault((part.ecosystem, part.known_as[0]), []).append(part)
    hits = set()
    for entry in known:
        if entry.get("withdrawn"):
            continue
        for affected in entry.get("affected") or []:
            package = affected.get("package", {})
            name = str(package.get("name", ""))
            key = lock.canonical(name) if package.get("ecosystem") == parts.PYPI else name
            for part in by_name.get((str(package.get("ecosystem")), key), []):
                fixed = about(part, affected)
                if fixed is not None:
                    summary = str(entry.get("summary") or entry.get("details") or "no summary").splitlines()[0]
                    hits.add(Finding(part, entry["id"], fixed, summary[:160]))
    return sorted(hits)


def about(part: Part, affected: Mapping[str, Any]) -> str | None:
    """The first version that is fixed, empty where none is told; None when this version is not affected.

    A range that cannot be understood counts as one that covers the part: silence would be taken for safety.
    """
    version, order = part.known_as[1], ORDERS[part.ecosystem]
    ranges = [each for each in affected.get("ranges") or [] if each.get("type") in ("ECOSYSTEM", "SEMVER")]
    for each in ranges:
        try:
            covered, fixed = _covers(each.get("events") or [], version, order)
        except (ValueError, TypeError, AttributeError):
            covered, fixed = True, ""
        if covered:
            return fixed
    listed = affected.get("versions") or []
    if version in listed or part.version in listed:
        return ""
    return None if ranges or listed else ""


def _covers(events: Sequence[Mapping[str, str]], version: str, order: Callable[[str], Any]) -> tuple[bool, str]:
    """Whether the version lies in what the events tell of, in their order of versions, and the fix that ends it."""
    own, inside, fix = order(version), False, ""
    steps = [
        (kind, text)
        for event in events
        for kind, text in event.items()
        if kind in ("introduced", "fixed", "last_affected")
    ]
    steps.sort(key=lambda step: (step[1] != "0", order(step[1])))
    for kind, text in steps:
        beginning = text == "0" or order(text) <= own
        if kind == "introduced" and beginning:
            inside, fix = True, ""
        elif (kind == "fixed" and beginning) or (kind == "last_affected" and order(text) < own):
            inside = False
        elif kind == "fixed" and inside and not fix:
            fix = text
    return inside, fix


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    if not arguments:
        print(
            "audit: found no file, wanted one in the form of OSV; nothing was looked up; run `make audit OSV=FILE`",
            file=sys.stderr,
        )
        return UNREADABLE
    try:
        known = [entry for path in arguments for entry in entries(Path(path))]
        found = parts.every()
        hits = findings(found, known)
    except (AuditError, lock.LockError) as error:
        print(f"audit: {error}", file=sys.stderr)
        return UNREADABLE
    for hit in hits:
        print(hit.line())
    print(f"audit: {len(found)} parts, {len(known)} entries, {len(hits)} found")
    return SOME if hits else NONE


if __name__ == "__main__":
    sys.exit(pipes.status(lambda: main(sys.argv[1:])))
