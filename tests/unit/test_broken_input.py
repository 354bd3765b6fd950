"""A secret in a document that is cut, doubled, mistyped or has it in the wrong place: whatever is said of the fault, the secret is not in it."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components import config
from contract import fields, forms
from contract.checks import Check, Unwanted
from contract.errors import ConfigError, DrError
from contract.links import fence, pointer, replication, verify
from contract.services import app, archive, assets, postgres, redis, setup
from scripts.host.frame.cli import main as dr_host
from scripts.host.frame.layout import Layout
from scripts.host.services import SERVICES
from scripts.links import __main__ as links
from scripts.links.table import LINKS
from tests.components import stack
from tests.unit.test_hostile import SAMPLES, changed

SECRET = "s3cr3t-W0rd/that+nobody=sees"
BLOCKS: dict[str, type[Any]] = {
    "postgres": postgres.Block, "redis": redis.Block, "app": app.Block, "archive": archive.Block, "assets": assets.Block, "setup": setup.Block,
    "fence": fence.Document, "pointer": pointer.Document, "verify": verify.Document, "replication": replication.Document,
}  # fmt: skip
WRONG: dict[str, Any] = {
    "as it is": SECRET,
    "in a list": [SECRET],
    "as a value": {"x": SECRET},
    "as a key": {SECRET: 1},
    "nested": {"a": [{SECRET: SECRET}]},
}


MORE = (
    "3.3",
    "copy",
    ["10.1.0.0/24"],
    "/opt/x",
    "2026-11-29T14:05Z",
    "256mb",
    "shop.example",
    "ops@shop.example",
    "ovh-eu",
    17,
    "4GB",
    "a.b",
    "Sun *-*-* 02:30:00 UTC",
    "10.1.0.0/24",
    "192.0.2.1:53",
    ["192.0.2.1:53"],
    ["192.0.2.1"],
    "volatile-lru",
    "single",
    0,
    2,
    "async",
    60,
    ["db-1"],
    ["db-1.a"],
    ["200"],
    "orders",
    None,
)


def good(check: Check[Any]) -> Any:
    """A value that the check takes."""
    for value in (*SAMPLES, *MORE):
        try:
            check(value)
        except Unwanted:
            continue
        return value
    raise AssertionError(f"no sample for {check.wanted}")


def sample(cls: type[Any]) -> dict[str, Any]:
    """A document with every field of the dataclass."""
    made: dict[str, Any] = {}
    for name, (_, it) in fields.keys(cls).items():
        one = sample(it.of) if it.of is not None else good(it.check or forms.ID)
        made[name] = one if it.names == () else {each: one for each in it.names or ("a",)}
    return made


def paths(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Of every value, and of every object as a whole."""
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, Mapping):
            yield from paths(value, (*path, key))


def said(read: Callable[[], object]) -> str:
    """All that a reader says of a document, whether it takes it or not."""
    try:
        read()
    except DrError as error:
        faults = getattr(error, "faults", ())
        return f"{error} {error!r} {[str(fault) for fault in faults]} {[vars(fault) if hasattr(fault, '__dict__') else repr(fault) for fault in faults]}"
    return ""


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("name", BLOCKS)
def test_no_value_of_a_document_is_shown_wherever_it_stands(name: str, how: str) -> None:
    cls = BLOCKS[name]
    whole = sample(cls)
    shown = {
        ".".join(path)
        for path in paths(whole)
        if SECRET in said(partial(fields.read, cls, changed(whole, path, WRONG[how]), "document"))
    }
    assert shown == set()


@pytest.mark.parametrize("name", BLOCKS)
def test_no_key_that_nobody_knows_is_shown_it_may_be_a_value(name: str) -> None:
    cls = BLOCKS[name]
    whole = sample(cls)
    assert SECRET not in said(lambda: fields.read(cls, {**whole, SECRET: 1}, "document"))
    for path in paths(whole):
        inner: Any = whole
        for step in path:
            inner = inner[step]
        if isinstance(inner, Mapping):
            wrong = changed(whole, path, {**inner, SECRET: 1})
            assert SECRET not in said(partial(fields.read, cls, wrong, "document")), path


def broken(document: Mapping[str, Any]) -> Iterator[str]:
    """The text cut at every tenth place, twice in a row, with a stray sign, with one key twice, as a list, as a text of itself."""
    text = json.dumps(document)
    yield from (text[:end] for end in range(1, len(text), 10))
    yield from (
        text + text,
        text.replace(":", "", 1),
        text.replace('"', "'"),
        f"[{text}]",
        json.dumps(text),
        text[:-1] + f', "schema": {json.dumps(SECRET)}}}',
    )
    yield f'{{"{SECRET}": }}'


@pytest.mark.parametrize("service", SERVICES)
def test_a_host_says_nothing_of_a_document_that_is_no_json(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {"schema": 1, service: {"password": SECRET}, "tls": {"key": SECRET}}
    for text in broken(document):
        out, err = io.StringIO(), io.StringIO()
        code = dr_host(
            [service, "converge"], SERVICES, stdin=io.StringIO(text), stdout=out, stderr=err, layout=Layout(tmp_path)
        )
        assert code != 0
        assert SECRET not in out.getvalue() + err.getvalue() + "".join(capsys.readouterr())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in path.read_text()]


@pytest.mark.parametrize("link", LINKS)
def test_a_link_says_nothing_of_a_document_that_is_no_json(
    link: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in broken({"schema": 1, "keys": {"secret_key": SECRET}, "ssh": {"private_key": SECRET}}):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert links.main([link]) != 0
        assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize("how", [*WRONG, "null", "number"])
def test_a_fault_in_the_secrets_shows_none_of_them(how: str) -> None:
    values = stack.configuration()
    wrong = {**WRONG, "null": None, "number": 7}[how]
    shown = set()
    for path in paths(values["secrets"]):
        tried = {**values, "secrets": changed(copy.deepcopy(values["secrets"]), path, wrong)}
        if SECRET in said(partial(config.parse, tried)):
            shown.add(".".join(path))
    assert shown == set()


def test_secrets_that_are_cut_show_nothing() -> None:
    values = stack.configuration()
    whole = json.dumps({**values["secrets"], "openstack_password": SECRET})
    for end in range(0, len(whole), len(whole) // 40):
        for text in (whole[:end], whole[end:]):
            assert SECRET not in said(partial(config.parse, {**values, "secrets": text}))


def test_a_secret_that_stands_in_another_key_of_the_configuration_is_not_shown_there() -> None:
    """A person pastes into the wrong line: what is found there is not repeated into pulumi's log."""
    values = stack.configuration()
    values["secrets"]["openstack_password"] = SECRET
    shown, refused = set(), 0
    for path in paths({key: value for key, value in values.items() if key != "secrets"}):
        for wrong in (SECRET, [SECRET], {SECRET: 1}, f"https://user:{SECRET}@host"):
            tried = changed(copy.deepcopy(values), path, wrong)
            try:
                config.parse(tried)
            except ConfigError:
                refused += 1
            if SECRET in said(partial(config.parse, tried)):
                shown.add(".".join(path))
    assert refused > 100
    assert shown == set()
