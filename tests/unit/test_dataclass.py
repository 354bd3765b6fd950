"""The product's own `@dataclass(frozen=True)` beside the standard library's: the same to whoever uses a class, and cheaper to declare."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest

from contract.dataclass import dataclass

ROOT = Path(__file__).resolve().parents[2]
BOTH = (dataclasses.dataclass, dataclass)
# What is started while somebody waits for a shop that stands still, and the most classes that it may declare by the standard library.
STARTED = {
    "scripts.links.fence": 6,
    "scripts.links.turn": 6,
    "scripts.links.verify": 6,
    "scripts.links.pointer": 6,
    "scripts.ctl.commands.status": 12,
    "scripts.ctl.commands.move": 12,
    "scripts.host.postgres.verbs": 6,
    "scripts.host.app.verbs": 6,
    "scripts.host.redis.verbs": 6,
}


@dataclass(frozen=True, kw_only=True)
class Kept:
    one: int
    two: str = "two"
    three: dict[str, int] = field(default_factory=dict)


def declared(by: Any) -> tuple[type[Any], type[Any]]:
    """A class whose fields have names, and one whose fields have places."""

    class Named:
        one: int
        two: str = "two"
        three: list[int] = field(default_factory=list)
        hidden: str = field(default="hidden", repr=False)
        aside: int = field(default=0, compare=False)

    class Placed:
        one: int
        two: int = 2
        last: int = field(default=3, kw_only=True)

        def __post_init__(self) -> None:
            if self.one < 0:
                raise ValueError("one")

    return by(frozen=True, kw_only=True)(Named), by(frozen=True)(Placed)


def what_comes(of: Callable[[type[Any], type[Any]], Any], by: Any) -> Any:
    """What it gives, or the kind of error that refuses it."""
    try:
        return of(*declared(by))
    except Exception as error:
        return type(error)


@pytest.mark.parametrize(
    "use",
    [
        lambda named, placed: repr((named(one=1), placed(1, 5, last=7))).replace(" ", ""),
        lambda named, placed: [named(one=1) == named(one=1, aside=4), named(one=1) == named(one=2), placed(1) == 1],
        lambda named, placed: [len({placed(1), placed(1), placed(2)}), hash(placed(1)) == hash(placed(1, 2))],
        lambda named, _: hash(named(one=1)),  # holds a list
        lambda named, _: named(one=1).three is named(one=1).three,
        lambda named, _: dataclasses.asdict(dataclasses.replace(named(one=1), two="2")),
        lambda named, _: dataclasses.replace(named(one=1), none=3),
        lambda named, _: named.two,
        lambda named, _: [(it.name, it.default, it.kw_only) for it in dataclasses.fields(named)][:2],
        lambda named, placed: [dataclasses.is_dataclass(named), named.__match_args__, placed.__match_args__],
        lambda named, _: named(1),
        lambda named, _: named(),
        lambda named, _: named(one=1, none=2),
        lambda _, placed: placed(),
        lambda _, placed: placed(1, 2, 3),
        lambda _, placed: placed(1, one=1),
        lambda _, placed: placed(-1),
        lambda named, _: setattr(named(one=1), "one", 2),
        lambda named, _: setattr(named(one=1), "none", 2),
        lambda named, _: delattr(named(one=1), "one"),
        lambda _, placed: copy.deepcopy(placed(1)) == placed(1),
    ],
)
def test_a_class_is_used_as_the_standard_librarys(use: Callable[[type[Any], type[Any]], Any]) -> None:
    assert what_comes(use, dataclass) == what_comes(use, dataclasses.dataclass)


@pytest.mark.parametrize("by", BOTH)
def test_what_a_class_writes_itself_is_its_own(by: Any) -> None:
    class Alike:  # noqa: PLW1641 — what comes of it is what is tested
        one: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Alike)

        def __repr__(self) -> str:
            return "alike"

    of = by(frozen=True)(Alike)
    assert of(1) == of(2) and repr(of(1)) == "alike" and hash(of(1)) == hash(of(1))


@pytest.mark.parametrize("by", BOTH)
def test_a_class_below_another_has_the_fields_of_both(by: Any) -> None:
    named, _ = declared(by)

    class Below(named):  # type: ignore[misc, valid-type]
        own: int = 9

    of = by(frozen=True, kw_only=True)(Below)
    made = of(one=1)
    assert (made.one, made.own, made.two) == (1, 9, "two") and made != named(one=1)
    assert repr(made).endswith("two='two', three=[], aside=0, own=9)")


def test_what_holds_itself_can_be_shown_and_what_is_kept_comes_back() -> None:
    made = Kept(one=1)
    assert pickle.loads(pickle.dumps(made)) == made == copy.copy(made)
    made.three["again"] = made  # type: ignore[assignment]
    assert repr(made).endswith("three={'again': ...})")


def test_a_wrong_call_names_what_there_is_and_no_value() -> None:
    with pytest.raises(TypeError, match=r"^Kept: found two, wanted one, two, three$"):
        Kept(two="a secret")  # type: ignore[call-arg]


@pytest.mark.parametrize("module", STARTED)
def test_a_program_that_is_waited_for_declares_its_classes_cheaply(module: str) -> None:
    told = f"""
import dataclasses, json
made, process = [], dataclasses._process_class
def counted(cls, init, *others, **more):
    if init and cls.__module__.partition(".")[0] in ("contract", "components", "scripts"):
        made.append(f"{{cls.__module__}}.{{cls.__qualname__}}")
    return process(cls, init, *others, **more)
dataclasses._process_class = counted
import {module}
print(json.dumps(made))
"""
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, cwd=ROOT)
    made = json.loads(done.stdout)
    assert len(made) <= STARTED[module], f"by the standard library, 0.4 ms each: {made}"
