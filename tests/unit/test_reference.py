"""The made parts of the documents are those of the contract: who adds a key has added it to its reference."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract import fields, reference
from contract.errors import Usage
from contract.fields import Key, keys
from contract.installation import Configuration
from contract.monitoring import grafana
from scripts.ctl.manual import reference as made
from tests.components.stack import ROOT


def parts(cls: type[Any]) -> Iterator[tuple[type[Any], str, Key]]:
    """Every key of a part and of what is below."""
    for name, (_, it) in keys(cls).items():
        yield cls, name, it
        if it.of is not None:
            yield from parts(it.of)


TOLD: list[type[Any]] = [Configuration, *(block for block, _ in reference.SERVICES.values()), *reference.LINKS.values()]
KEYS = [row for cls in TOLD for row in parts(cls)]


def test_the_documents_and_the_example_say_what_the_contract_says() -> None:
    assert made.stale(ROOT) == [], "run `make reference` and look at what it changed"


def test_every_key_is_in_the_reference() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    missing = [name for _, name, _ in parts(Configuration) if f"`{name}`" not in text and f"`dr:{name}`" not in text]
    assert not missing


@pytest.mark.parametrize(("cls", "name", "it"), KEYS, ids=lambda value: getattr(value, "__qualname__", None) or "")
def test_every_key_says_what_it_means(cls: type[Any], name: str, it: Key) -> None:
    assert it.doc and not it.doc.endswith("."), (
        f"{cls.__qualname__}.{name}: its meaning stands in a table, without a full stop"
    )
    assert it.why
    seconds = name.endswith("_s") and it.check is not None
    assert not seconds or it.unit == "s", f"{cls.__qualname__}.{name}: a time says its unit"


def test_what_is_secret_is_not_printed() -> None:
    for cls, name, it in KEYS:
        shown = next(field for field in dataclasses.fields(cls) if field.name == name).repr
        assert shown is not it.secret, f"{cls.__qualname__}.{name}"
        hidden = any(
            word in name for word in ("password", "secret", "passphrase", "private_key", "access_key", "consumer")
        )
        assert not (hidden and it.check is not None and not it.secret), f"{cls.__qualname__}.{name} is no secret?"


def test_a_document_that_has_lost_its_marks_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in made.DOCUMENTS:
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    shutil.copytree(ROOT / grafana.FOLDER, tmp_path / grafana.FOLDER)
    assert made.stale(tmp_path) == []
    for board in ("hosts.json", "cache.json"):
        (tmp_path / grafana.FOLDER / board).unlink()
    (tmp_path / grafana.FOLDER / "cache.json").write_text("{}")
    assert {it.name for it in made.stale(tmp_path)} == {"hosts.json", "cache.json"}
    file = tmp_path / "docs/interfaces.md"
    file.write_text(file.read_text().replace("<!-- made: kinds -->\n", ""))
    with pytest.raises(Usage, match=r"made: kinds.*nothing was changed"):
        made.texts(tmp_path)


def test_a_new_key_is_seen_as_a_stale_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the test: with one key more in the contract the files in the tree are not good any more."""
    known = fields.keys(Configuration)
    more = {**known, "invented": known["project"]}
    monkeypatch.setattr(reference, "keys", lambda cls: more if cls.__name__ == "Shared" else fields.keys(cls))
    assert {path.name for path in made.stale(ROOT)} == {"configuration.md"}
