"""The maps of the documents are those of the tree: whoever moves a wall has moved it on the maps, too."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from scripts.ctl.commands import COMMANDS
from scripts.host.services import SERVICES
from scripts.links.table import LINKS
from tests.components.stack import ROOT

MAPS = ("README.md", "components/README.md", "docs/architecture.md", "docs/contributing.md", "docs/interfaces.md")
COMMANDS_IN = ("docs/configuration.md", "docs/failover.md", "docs/status.md")
# Folders whose own folders are rooms that a newcomer looks for by name.
HOUSES = ("", "scripts", "scripts/host", "lab", "tests")
NO_ROOMS = {"__pycache__", "commands"}


def tracked() -> set[Path]:
    said = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    files = {Path(line) for line in said.splitlines() if (ROOT / line).is_file()}
    return files | {parent for file in files for parent in file.parents if parent != Path()}


TREE = tracked()


def named(text: str) -> set[str]:
    """What stands in backticks and looks like a path of the project: with a slash at its end, or a file's name with one before it."""
    words = {word for word in re.findall(r"`([\w./_-]+)`", text) if "/" in word and not word.startswith(("/", "."))}
    return {word for word in words if word.split("/")[0] in {path.parts[0] for path in TREE}}


@pytest.mark.parametrize("document", MAPS)
def test_every_place_that_a_map_names_is_there(document: str) -> None:
    gone = sorted(word for word in named((ROOT / document).read_text()) if Path(word.rstrip("/")) not in TREE)
    assert not gone, f"{document} names {gone}"


@pytest.mark.parametrize("house", HOUSES)
def test_every_room_is_on_the_architectures_map(house: str) -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    rooms = {
        path for path in TREE if (ROOT / path).is_dir() and path.parent == Path(house) and path.name not in NO_ROOMS
    }
    missing = [
        path.as_posix()
        for path in rooms
        if not path.name.startswith(".")
        and f"`{path.as_posix()}/`" not in text
        and not re.search(rf"`{path.name}/?`", text)
    ]
    assert not missing, f"docs/architecture.md has no row or word for {sorted(missing)}"


def test_every_component_has_its_line() -> None:
    text = (ROOT / "components/README.md").read_text()
    files = [path.name for path in TREE if path.parent == Path("components") and path.suffix == ".py"]
    missing = [name for name in files if name != "__init__.py" and f"`{name}`" not in text]
    assert not missing, f"components/README.md lacks {sorted(missing)}"


def test_services_and_links_are_those_of_the_interfaces() -> None:
    text = (ROOT / "docs/interfaces.md").read_text()
    assert [service for service in SERVICES if f"`{service} " not in text] == []
    assert f"-m scripts.links <{'|'.join(LINKS)}>" in text


def test_every_command_is_named_for_those_who_look_for_it() -> None:
    text = "".join((ROOT / name).read_text() for name in (*MAPS, "CHANGELOG.md", *COMMANDS_IN))
    assert [command for command in COMMANDS if f"drctl {command}" not in text] == []


def test_the_contributing_table_has_enough_to_find_ones_way() -> None:
    rows = re.findall(r"^\| .* \| .* \| .*\|$", (ROOT / "docs/contributing.md").read_text(), re.MULTILINE)
    assert (
        len([row for row in rows if "contract/" in row or "scripts/" in row or "lab/" in row or "components/" in row])
        >= 12
    )


def test_a_room_that_nobody_mapped_is_seen() -> None:
    """The test of this test."""
    assert named("`scripts/nowhere/thing.py` and `contract/`") == {"scripts/nowhere/thing.py", "contract/"}
    assert Path("scripts/nowhere/thing.py") not in TREE and Path("contract") in TREE
