"""The lab's OpenStack plugin has the published one's tokens, properties, secrets and replacement rules.

What is published lies beside the checkout, in `../shared/plugin-schemas`; without it these tests fail, they do not skip.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.toolchain import tools

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "plugin-schemas" / "openstack.json"
# Texts for people, and hints for generators of SDKs.
IGNORED = {"description", "deprecationMessage", "language"}
# Differences that are meant, as `path: why`. There are none.
EXEMPT: dict[str, str] = {}


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(PUBLISHED.read_text())
    return schema


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    said = subprocess.run(
        [tools.OPENSTACK_SCHEMA.build()],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.defpath, "HOME": "/nonexistent"},
    )
    schema: dict[str, Any] = json.loads(said.stdout)
    return schema


def differences(wanted: Any, found: Any, path: str) -> Iterator[str]:
    """Every place where the two differ; lists are sets here (required, aliases)."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in sorted((wanted.keys() | found.keys()) - IGNORED):
            here = f"{path}/{key}"
            if key not in found:
                yield f"{here}: missing"
            elif key not in wanted:
                yield f"{here}: not in the published one"
            else:
                yield from differences(wanted[key], found[key], here)
    elif isinstance(wanted, list) and isinstance(found, list):
        if sorted(map(json.dumps, wanted)) != sorted(map(json.dumps, found)):
            yield f"{path}: {found}, published {wanted}"
    elif wanted != found:
        yield f"{path}: {found}, published {wanted}"


@pytest.mark.parametrize("part", ["resources", "types", "provider", "config"])
def test_schema_is_the_published_one(part: str, published: dict[str, Any], ours: dict[str, Any]) -> None:
    found = list(differences(published[part], ours[part], part))
    assert [row for row in found if row.split(":")[0] not in EXEMPT] == []
    stale = [
        path for path in EXEMPT if path.startswith(f"{part}/") and not any(row.startswith(f"{path}:") for row in found)
    ]
    assert stale == []
