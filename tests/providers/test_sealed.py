"""What the pinned pulumi encrypts in a stack file is opened without it."""

from __future__ import annotations

from pathlib import Path

import yaml

from components.state import PASSPHRASE
from lab.toolchain.tools import Toolchain
from scripts.ctl.stacks.sealed import Seal
from tests.providers.stacks import Stack


def test_values_and_parts_of_values_are_opened(tmp_path: Path, toolchain: Toolchain) -> None:
    stack = Stack(tmp_path / "stack", toolchain, "")
    stack.call("config", "set", "--secret", "whole", 'Größe "1"', check=True)
    stack.call("config", "set", "--secret", "--path", "partly.of.it", "deep", check=True)
    file = stack.folder / "Pulumi.trial.yaml"
    document = yaml.safe_load(file.read_text())
    seal = Seal.of(document, file, {PASSPHRASE: stack.environment()[PASSPHRASE]})
    assert seal is not None
    found = {key: seal.opened(value, key) for key, value in document["config"].items()}
    assert found == {"trial:whole": 'Größe "1"', "trial:partly": {"of": {"it": "deep"}}}
