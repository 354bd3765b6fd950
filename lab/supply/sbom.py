"""The list of parts as CycloneDX 1.6: `python -m lab.supply.sbom [FILE]`, which is `make sbom`.

The same parts give the same bytes: no time, no random number.
"""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract import pipes
from contract.version import VERSION
from lab.supply import lock, parts
from lab.supply.parts import Part

PLACE = Path(".build/sbom.json")
# CycloneDX: what the product needs to run, and what only tests and the lab do.
SCOPES = {parts.PROGRAM: "required", parts.TOOLS: "excluded", parts.GUEST: "excluded"}


def component(part: Part) -> dict[str, Any]:
    """One part as CycloneDX has it. A lock file holds a digest for each kind of machine, so digests are listed as distributions' own."""
    told: dict[str, Any] = {
        "type": "library",
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
        "scope": SCOPES[part.used_by],
        "properties": [{"name": "shop-dr:used-by", "value": part.used_by}],
    }
    if part.digests:
        told["externalReferences"] = [
            {"type": "distribution", "url": part.purl, "hashes": [{"alg": "SHA-256", "content": digest}]}
            for digest in part.digests
        ]
    if part.checksum:
        told["properties"].append({"name": "go:sum", "value": part.checksum})
    told["properties"] += [{"name": "rubygems", "value": gem} for gem in part.gems]
    if part.source is not None:
        told["properties"].append({"name": "debian:source", "value": " ".join(part.source)})
    return told


def document(found: Sequence[Part]) -> dict[str, Any]:
    """The whole list. Its serial number is made from what is in it."""
    components = [component(part) for part in found]
    digest = hashlib.sha256(json.dumps(components, sort_keys=True).encode()).digest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=5)}",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "shop-dr", "name": "shop-dr", "version": VERSION}},
        "components": components,
        "dependencies": [
            {"ref": "shop-dr", "dependsOn": [part.purl for part in found if part.used_by == parts.PROGRAM]},
        ],
    }


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    if len(arguments) > 1 or any(each.startswith("-") for each in arguments):
        print(f"sbom: found {' '.join(arguments)!r}, wanted one file to write, or nothing for {PLACE}", file=sys.stderr)
        return 2
    path = Path(arguments[0]) if arguments else lock.PROJECT / PLACE
    try:
        found = parts.every()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document(found), indent=1, sort_keys=True) + "\n")
    except (lock.LockError, OSError) as error:
        print(f"sbom: {error}; nothing else was written", file=sys.stderr)
        return 1
    counts = ", ".join(
        f"{sum(part.ecosystem == name for part in found)} {name}" for name in (parts.PYPI, parts.GO, parts.DEBIAN)
    )
    print(f"{path}: {len(found)} parts ({counts})")
    unlisted = sum(part.ecosystem == parts.DEBIAN and not part.digests for part in found)
    if unlisted:
        print(
            f"sbom: {unlisted} Debian packages of the guests' image are in another version than is listed, so their digests are missing; look at them,"
            " and `make lock` lists them",
            file=sys.stderr,
        )
    if not any(part.ecosystem == parts.DEBIAN for part in found):
        print(
            "sbom: the guests' image is not in the cache, so its Debian packages are missing; run `make setup` first",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(pipes.status(lambda: main(sys.argv[1:])))
