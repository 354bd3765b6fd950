"""Commands of the documents that renew a part of `dr:secrets`: what one of them could not do is not stored, and each stack keeps what is its own."""

from __future__ import annotations

import os
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from scripts.ctl.beginning import answers, backend
from tests.components.stack import ROOT

# What is called, as far as the files go: each tells of itself, and fails when it is asked to.
STUB = """\
#!/bin/sh
name=$(basename "$0")
echo "$name $*" >> "$LOG"
case "$name $*" in "$FAILS"*) exit 1;; esac
case "$name $1 $2" in
  "drctl secrets ") echo '{"new": 1}';;
  "pulumi config get") for word; do last=$word; done; echo "old of $last";;
  "pulumi config set") for word; do last=$word; done; cat > "stored.$last";;
  jq*) for word; do last=$word; done; cat "$last";;
  shred*) shift; rm -f "$@";;
esac
"""


def blocks() -> dict[str, str]:
    """Those that use jq, by where they stand."""
    found = {}
    for name in ("failover", "security"):
        text = (ROOT / f"docs/{name}.md").read_text()
        for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
            for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.MULTILINE):
                if "jq " in block and "secrets" in block and "config set" in block:
                    found[f"{name}: {section.partition(chr(10))[0]}"] = re.sub(r"^    ", "", block, flags=re.MULTILINE)
    return found


BLOCKS = blocks()


def play(folder: Path, block: str, fails: str = "nothing") -> list[str]:
    """What was called, in order."""
    (folder / "scripts").mkdir()
    for name in ("pulumi", "jq", "shred", "scripts/drctl"):
        (folder / name).write_text(STUB)
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(folder / "log"), "FAILS": fails}
    subprocess.run(["bash"], input=block, text=True, cwd=folder, env=environment, check=False, timeout=60)  # as pasted
    return (folder / "log").read_text().splitlines()


def test_the_documents_have_them() -> None:
    sections = {name.partition(": ")[2] for name in BLOCKS}
    assert sections == {"Certificates end", "A public certificate", "The ssh CA is renewed", "Keys to the witness"}


@pytest.mark.parametrize("name", BLOCKS)
def test_each_stack_keeps_its_own_passwords(name: str, tmp_path: Path) -> None:
    """A region may have a user of OpenStack of its own, and then its stack has that user's password."""
    play(tmp_path, BLOCKS[name])
    assert {site: (tmp_path / f"stored.region-{site}").read_text() for site in "ab"} == {
        site: f"old of region-{site}\n" for site in "ab"
    }


FAILING = [
    (name, fails)
    for name, block in BLOCKS.items()
    for fails in ("drctl secrets", "pulumi config get", "jq")
    if fails.split()[0] in block
]


@pytest.mark.parametrize(("name", "fails"), FAILING)
def test_where_one_fails_nothing_is_stored_and_nothing_removed(name: str, fails: str, tmp_path: Path) -> None:
    """An empty new set would make `null` of the part, in both stacks, and the next line would shred the old one."""
    called = play(tmp_path, BLOCKS[name], fails)
    assert called[-1].startswith(fails), "nothing comes after it"
    assert not list(tmp_path.glob("stored.*"))


@pytest.mark.parametrize("name", BLOCKS)
def test_secrets_are_readable_to_their_owner_alone_and_the_shell_keeps_its_mode(name: str, tmp_path: Path) -> None:
    play(tmp_path, f"{BLOCKS[name]}\ntouch after")
    left = list(tmp_path.glob("*.json"))
    assert left and all(it.stat().st_mode & 0o077 == 0 for it in left)
    assert (tmp_path / "after").stat().st_mode & 0o044, "what is made later in that shell is as before"


@pytest.mark.parametrize("name", BLOCKS)
def test_a_file_that_lacks_the_part_is_none(name: str) -> None:
    for given, rest in re.findall(r"(\$(?:new|keys)\[0\][.\w]*)([^)]*\))", BLOCKS[name]):
        assert rest.startswith(" // error("), given


@pytest.mark.parametrize("name", [*BLOCKS, "beginning"])
def test_what_they_leave_in_the_folder_is_in_no_commit(name: str) -> None:
    text = BLOCKS[name] if name in BLOCKS else (ROOT / "docs/beginning.md").read_text()
    kept_out = [line.removeprefix("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    made = {it.replace("$site", "a") for it in re.findall(r"[>-] ?((?:new|old|secrets|keys)[-$a-z]*\.json)", text)}
    assert made and all(any(fnmatch(it, pattern) for pattern in kept_out) for it in made), made


def test_what_a_beginning_leaves_in_the_folder_is_in_no_commit() -> None:
    kept_out = (ROOT / ".gitignore").read_text().splitlines()
    assert {f"/{backend.FILE}", f"/{answers.FILE}"} <= set(kept_out)


@pytest.mark.parametrize("place", ["README.md", "docs/*.md", "scripts/links/*.py"])
def test_a_command_that_changes_a_stacks_own_key_names_the_stack(place: str) -> None:
    """Else it changes the one that was selected last, and the run that follows finds nothing to do."""
    found = [
        line
        for path in ROOT.glob(place)
        for line in re.findall(r"pulumi config set (?:dr:)?(?:failover_region|repair) [^`\n]*", path.read_text())
    ]
    assert found and all(" -s region-" in line for line in found), found
