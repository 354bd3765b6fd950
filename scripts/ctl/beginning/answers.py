"""What the operator wants: from an answers file, from words of the command line, and, at a terminal, by being asked."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from contract import fields
from contract.beginning import FLAVORS, Answers
from contract.checks import Unwanted
from contract.dataclass import dataclass
from contract.errors import Fault, Usage
from contract.fields import Key, default_of, keys
from contract.hosts import KINDS
from contract.plain import phrase, shown
from contract.reading import Section
from scripts.ctl.stacks.configuration import load

FILE = "init.yaml"
MOST_BYTES = 65536
TRIES = 3


class _Given(Section):
    """Answers, as messages name them."""

    def _remedy(self, key: str, fix: str) -> str:
        return fix or f"answer it with `--answer {self.subject(key)}=...`, or in the answers file"


@dataclass(frozen=True, kw_only=True)
class Question:
    """`path`: of the answer; `about`: what it is for; `default`: what is taken for an empty line, None where there is nothing to take."""

    path: str
    about: str
    default: Any
    key: Key | None = None


def given(file: Path | None, words: list[str]) -> dict[str, Any]:
    """What was answered beforehand. `words`: `path=value` each; they win over the file. Raises Usage."""
    found = _file(file) if file is not None else {}
    for word in words:
        path, equals, text = word.partition("=")
        if not equals or not path:
            raise Usage(
                f"--answer {shown(word)}: has no value, wanted key=value, like zone=shop.example; nothing was changed"
            )
        _put(found, path, _value(path, text))
    return found


def read(told: Mapping[str, Any]) -> tuple[Answers | None, list[Fault]]:
    """The answers, or every fault of them."""
    faults: list[Fault] = []
    with _Given("", _named(told), faults) as at:
        found = fields.take(at, Answers)
    return (None if faults else found), [_plain(fault) for fault in faults]


def questions(suggested: Mapping[str, Any]) -> list[Question]:
    """In the order in which they are asked. `suggested`: what a former run, or the platform, gives for a default."""
    asked = [
        "service_name", "zone", "subdomain", "regions.a.compute_region", "regions.b.compute_region", "witness.storage_region", "operator_cidrs",
        *(f"flavors.{kind}" for kind in KINDS), "app_hosts", "db_volume_gb", "vlan",
    ]  # fmt: skip
    return [_question(path, suggested.get(path)) for path in asked]


def ask(told: dict[str, Any], all_questions: list[Question], hear: Callable[[str], str]) -> bool:
    """Put an answer to each question that has none yet into `told`. Returns whether anything was asked. Raises Usage after three wrong ones."""
    some = False
    for question in all_questions:
        if _at(told, question.path) is None:
            _put(told, question.path, _answer(question, hear))
            some = True
    return some


def at_a_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty()


def text(told: Mapping[str, Any]) -> str:
    """An answers file."""
    return "# Answers of `drctl init`; no secret is among them. The next run goes by them.\n" + yaml.safe_dump(
        dict(told), sort_keys=True, width=120
    )


def _file(file: Path) -> dict[str, Any]:
    try:
        size = file.stat().st_size
    except OSError:
        size = 0  # whoever reads it says why
    if size > MOST_BYTES:
        raise Usage(
            f"answers file {file}: has {size} bytes, wanted {MOST_BYTES} at most; nothing was changed; name the file with the answers"
        )
    return copy.deepcopy(load(file))


def _answer(question: Question, hear: Callable[[str], str]) -> Any:
    default = "" if question.default is None else f" [{phrase(_spelled(question.default), 200)}]"
    print(f"\n{question.path}: {question.about}")
    said = ""
    for _ in range(TRIES):
        typed = hear(f"{question.path}{default}: ")
        if not typed and question.default is not None:
            return question.default
        value = _value(question.path, typed)
        try:
            _check(question, value)
        except Unwanted as error:
            said = str(error)
            print(f"  found {shown(typed)}, wanted {said}")
            continue
        return value
    raise Usage(f"answer {question.path}: was wrong {TRIES} times, wanted {said}; nothing was changed; run it again")


def _check(question: Question, value: Any) -> None:
    if question.key is not None and question.key.check is not None:
        name = question.path.rpartition(".")[2]
        question.key.check({name: value} if question.path.startswith("flavors.") else value)


def _question(path: str, suggested: Any) -> Question:
    if path.startswith("flavors."):
        kind = path.rpartition(".")[2]
        about = f"flavor of hosts of kind {kind}, by its name at OVHcloud"
        return Question(path=path, about=about, default=suggested or FLAVORS[kind], key=keys(Answers)["flavors"][1])
    field, it = _key(Answers, path)
    default = default_of(field)
    fallback = None if repr(default).startswith("<dataclasses") else default
    return Question(path=path, about=it.doc, default=suggested if suggested is not None else fallback, key=it)


def _key(of: type[Any], path: str) -> tuple[Any, Key]:
    name, _, rest = path.partition(".")
    field, it = keys(of)[name]
    if not rest:
        return field, it
    assert it.of is not None
    return _key(it.of, rest.partition(".")[2] if it.names else rest)


def _value(path: str, typed: str) -> Any:
    """As a YAML file would say it; several networks may stand behind one another with commas."""
    if path in ("operator_cidrs", "resolvers", "endpoints.name_servers") and not typed.startswith("["):
        return [it.strip() for it in typed.split(",") if it.strip()]
    if path.split(".", maxsplit=1)[0] == "service_name" or path.endswith(".service_name"):
        return typed  # 32 digits are no number
    try:
        found = yaml.safe_load(typed)
    except yaml.YAMLError:
        return typed
    return found if isinstance(found, bool | int | list) or found is None else typed


def _spelled(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _at(told: Mapping[str, Any], path: str) -> Any:
    for name in path.split("."):
        if not isinstance(told, Mapping):
            return None
        told = told.get(name)  # type: ignore[assignment]
    return told


def _put(told: dict[str, Any], path: str, value: Any) -> None:
    """Raises Usage where something else stands on the way."""
    *above, name = path.split(".")
    for each in above:
        inner = told.setdefault(each, {})
        if not isinstance(inner, dict):
            raise Usage(
                f"answer {shown(path)}: {each} is no mapping, wanted one; nothing was changed; correct the answers file"
            )
        told = inner
    told[name] = value


def _named(told: Mapping[str, Any]) -> dict[str, Any]:
    """An absent section as an empty one: each answer that it lacks is named then, and not the section alone."""
    whole = {"regions": {}, "witness": {}, **told}
    if isinstance(whole["regions"], Mapping):
        whole["regions"] = {"a": {}, "b": {}, **whole["regions"]}
    return whole


def _plain(fault: Fault) -> Fault:
    """Without the joint in front of a top-level key."""
    return Fault(
        subject=fault.subject.lstrip("."),
        found=phrase(fault.found, 200),
        wanted=fault.wanted,
        consequence=fault.consequence,
        remedy=fault.remedy.replace("--answer .", "--answer "),
    )
