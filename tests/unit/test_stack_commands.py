"""What of a stack goes through pulumi's own command: which words, on stdin what, and whose environment."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from contract.errors import Failed
from scripts.ctl.stacks.configuration import shared_values
from scripts.ctl.stacks.stack import Stack

STUB = """\
#!/bin/sh
printf '%s\\n' "$*" >> log
cat >> stdin
printf '%s\\n' "$OF_THE_STACK" >> environment
case "$*" in *"stack ls"*) echo '[{"name": "organization/dr/region-a"}, {"name": null}, 7]';; esac
[ ! -e fails ]
"""


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    program = tmp_path / "pulumi"
    program.write_text(STUB)
    program.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "OF_THE_STACK": "its own"}
    return Stack(name="region-a", folder=tmp_path, program=str(program), environment=environment)


def test_secrets_go_over_on_stdin_and_in_no_argument(stack: Stack) -> None:
    stack.keep_secrets({"rails": {"secret_key_base": "hidden"}})
    assert json.loads((stack.folder / "stdin").read_text()) == {"rails": {"secret_key_base": "hidden"}}
    said = (stack.folder / "log").read_text()
    assert said == "config set --secret dr:secrets --stack region-a --non-interactive --color never\n"
    assert (stack.folder / "environment").read_text() == "its own\n"
    assert "its own" not in repr(stack)


def test_a_stack_is_made_with_the_provider_that_was_named(stack: Stack) -> None:
    stack.make()
    stack.make("awskms://key")
    first, second = (stack.folder / "log").read_text().splitlines()
    assert first.startswith("stack init --no-select --stack region-a")
    assert second.startswith("stack init --no-select --secrets-provider awskms://key --stack region-a")


def test_a_stack_is_known_by_its_name_whatever_stands_before_it(stack: Stack) -> None:
    assert stack.known()
    other = Stack(name="region-b", folder=stack.folder, program=stack.program, environment=stack.environment)
    assert not other.known()
    assert all("--stack" not in line for line in (stack.folder / "log").read_text().splitlines())


def test_a_backend_that_does_not_answer_is_not_one_without_the_stack(stack: Stack) -> None:
    (stack.folder / "fails").touch()
    with pytest.raises(Failed, match="pulumi stack ls of stack region-a: ended with 1"):
        stack.known()


PROJECT = """\
name: dr
runtime: python
config:
  dr:shop:
    value: {host: www.shop.example, release: examples/shop}
"""


def test_a_release_is_named_in_the_projects_file_where_both_regions_share_it(stack: Stack) -> None:
    (stack.folder / "Pulumi.yaml").write_text(PROJECT)
    stack.path.write_text("config: {dr:site: a}\n")
    stack.run_release("f" * 64)
    assert shared_values(stack.folder) == {"dr:shop": {"host": "www.shop.example", "release": "f" * 64}}
    assert stack.path.read_text() == "config: {dr:site: a}\n" and not (stack.folder / "log").exists()


def test_a_release_is_named_in_the_stacks_own_file_where_that_has_the_shop(stack: Stack) -> None:
    (stack.folder / "Pulumi.yaml").write_text(PROJECT)
    stack.path.write_text("config: {dr:site: a, dr:shop: {host: www.shop.example, release: examples/shop}}\n")
    stack.run_release("f" * 64)
    said = (stack.folder / "log").read_text()
    assert said.startswith(f"config set --path dr:shop.release {'f' * 64} --stack region-a")
    assert (stack.folder / "Pulumi.yaml").read_text() == PROJECT
