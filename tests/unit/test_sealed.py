"""Secrets of a stack file, opened without pulumi: against what pulumi 3.272.0 has written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.state import PASSPHRASE, PASSPHRASE_FILE
from contract.errors import Usage
from scripts.ctl.stacks.sealed import Seal

FILE = Path("Pulumi.region-a.yaml")
WRITTEN: dict[str, Any] = yaml.safe_load("""
encryptionsalt: v1:L6jPgJeYYxU=:v1:zo4CV1IKBk6fGN6C:I5Jr7/tk91QlbYRbCvntXPFTNVEc+g==
config:
  x:a:
    secure: v1:7An9IjZwBLdqsH34:WqxVtxkDLnII6PkNDlABoxQ2zNT+8DOFkvDp
  x:b:
    c:
      secure: v1:duEA8sCwj07xvBSR:9b5sRMjdZpaaloH5cSzKJuG4iIk=
  x:plain: "1"
""")
PHRASE = {PASSPHRASE: "geheim"}


def opened(key: str, environment: dict[str, str]) -> Any:
    seal = Seal.of(WRITTEN, FILE, environment)
    assert seal is not None
    return seal.opened(WRITTEN["config"][key], key)


def test_what_pulumi_has_encrypted_is_opened_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "phrase").write_text("geheim\n")
    for environment in (PHRASE, {PASSPHRASE_FILE: str(tmp_path / "phrase")}):
        assert opened("x:a", environment) == 'Grüße "1"'
        assert opened("x:b", environment) == {"c": "deep"}
        assert opened("x:plain", environment) == "1"


def test_where_no_passphrase_keeps_them_or_none_is_known_here_pulumi_is_to_be_asked() -> None:
    assert Seal.of({"secretsprovider": "awskms://alias/x", "encryptedkey": "AAAA"}, FILE, PHRASE) is None
    assert Seal.of(WRITTEN, FILE, {}) is None
    assert Seal.of({"encryptionsalt": "v2:of:another:form"}, FILE, PHRASE) is None


@pytest.mark.parametrize("phrase", ["Geheim", "", "geheim "])
def test_a_passphrase_that_does_not_fit_is_refused_and_not_shown(phrase: str) -> None:
    with pytest.raises(Usage, match=r"does not fit") as found:
        Seal.of(WRITTEN, FILE, {PASSPHRASE: phrase})
    assert not phrase or phrase not in str(found.value)


@pytest.mark.parametrize(
    "salt", ["v1:L6jPgJeYYxU=", "v1:L6jP:v1:zo4CV1IKBk6fGN6C", "v1:%:v1:zo4CV1IKBk6fGN6C:I5Jr7/tk91Ql", "v1:::::"]
)
def test_a_salt_that_was_cut_is_refused(salt: str) -> None:
    with pytest.raises(Usage, match=r"stack file Pulumi.region-a.yaml: its encryptionsalt is cut or changed"):
        Seal.of({"encryptionsalt": salt}, FILE, PHRASE)


@pytest.mark.parametrize(
    "value", ["", "v1:x", "v1:duEA8sCwj07xvBSR:9b5sRMjdZpaaloH5cSzKJuG4iIk", "v1:duEA8sCwj07xvBSR:AAAA", 7]
)
def test_a_value_of_another_key_or_a_cut_one_is_refused_by_its_name(value: object) -> None:
    seal = Seal.of(WRITTEN, FILE, PHRASE)
    assert seal is not None
    with pytest.raises(Usage, match=r"stack file Pulumi.region-a.yaml, dr:secrets: was encrypted by another key"):
        seal.opened({"secure": value}, "dr:secrets")


def test_a_file_without_its_passphrase_is_told_by_its_name() -> None:
    with pytest.raises(Usage, match=r"PULUMI_CONFIG_PASSPHRASE_FILE /nowhere: cannot be read"):
        Seal.of(WRITTEN, FILE, {PASSPHRASE_FILE: "/nowhere"})
