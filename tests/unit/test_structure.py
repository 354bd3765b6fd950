"""Which part of the product may know which: read from the imports themselves, so that the picture in docs/architecture.md stays true."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "contract", "components", "lab", "scripts.assets", "scripts.clients", "scripts.ctl", "scripts.host", "scripts.leftovers", "scripts.links",
    "scripts.watch",
)  # fmt: skip
# Whom the operator's side may import of the product. Its order is: contract, clients, links and leftovers, ctl.
OPERATORS = {
    "scripts.clients": {"contract"},
    "scripts.leftovers": {"contract", "scripts.clients"},
    "scripts.links": {"contract", "scripts.clients"},
    "scripts.ctl": {"contract", "components", "scripts.clients", "scripts.leftovers", "scripts.links"},
    "scripts.watch": {"contract", "components", "scripts.clients", "scripts.ctl", "scripts.links"},
}
ENTRIES = 12  # at the first level of a folder: more cannot be taken in at a glance


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    """Every module of a package by its full name; a package's own by that of its `__init__`."""
    for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts), ast.parse(path.read_text())


def imported(name: str, tree: ast.Module) -> Iterator[str]:
    """Full names of what a module imports, wherever in it that is written; `from x import y` gives `x.y`, for y may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")[: -node.level] if node.level else []
            yield from (".".join([*base, *filter(None, [node.module]), each.name]) for each in node.names)


def within(name: str, places: Iterable[str]) -> str | None:
    """The place that a full name lies in."""
    return next((place for place in places if name == place or name.startswith(f"{place}.")), None)


def known(place: str, places: Iterable[str]) -> dict[str, str]:
    """The other places that `place` imports, each with one module that does."""
    found: dict[str, str] = {}
    for name, tree in modules(place):
        for target in imported(name, tree):
            other = within(target, places)
            if other is not None and other != within(name, places):
                found.setdefault(other, name)
    return found


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """The names of a circle in the graph, each imports the next; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_the_packages_know_each_other_in_one_direction() -> None:
    graph = {place: known(place, PACKAGES) for place in PACKAGES}
    found = circle(graph)
    assert not found, "; ".join(f"{left} imports {right} ({graph[left].get(right)})" for left, right in pairwise(found))


@pytest.mark.parametrize("place", OPERATORS)
def test_the_operators_side_is_in_layers(place: str) -> None:
    too_high = {other: module for other, module in known(place, PACKAGES).items() if other not in OPERATORS[place]}
    assert not too_high, (
        f"{place} may know {sorted(OPERATORS[place])}, and imports besides (first module that does): {too_high}"
    )


def test_the_contract_stands_alone() -> None:
    product = {path.name for path in ROOT.iterdir() if path.is_dir()} | {"__main__"}
    for name, tree in modules("contract"):
        found = [each for each in imported(name, tree) if each.split(".")[0] in product - {"contract"}]
        assert not found, f"{name} imports {found}"


def rooms() -> dict[str, str]:
    """First-level names of the hosts' software, packages and flat modules, by their full names."""
    paths = (path for path in (ROOT / "scripts/host").iterdir() if path.name != "__pycache__")
    return {f"scripts.host.{path.stem}": path.name for path in paths}


def test_the_rooms_of_the_hosts_software_know_each_other_in_one_direction() -> None:
    places = [name for name in rooms() if not name.endswith(".__init__")]
    graph: dict[str, set[str]] = {}
    for name, tree in modules("scripts.host"):
        room = within(name, places)
        if room is not None:
            graph.setdefault(room, set()).update(
                filter(None, (within(target, places) for target in imported(name, tree)))
            )
            graph[room].discard(room)
    found = circle(graph)
    assert not found, " imports ".join(found)


def test_the_hosts_software_is_a_short_list_of_rooms() -> None:
    assert len(rooms()) <= ENTRIES, sorted(rooms().values())


def test_a_circle_is_seen() -> None:
    """The test of this test: it must not be green because it sees nothing."""
    assert "".join(circle({"a": ["b"], "b": ["c"], "c": ["a"]})) in ("abca", "bcab", "cabc")
    assert list(
        imported("scripts.host.redis.plan", ast.parse("from ..frame.wait import until\nfrom . import wire"))
    ) == [
        "scripts.host.frame.wait.until",
        "scripts.host.redis.wire",
    ]


CLOCKS = frozenset({"monotonic", "now", "spelled", "time", "time_ns", "today", "utcnow"})


def asked_on_import(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that a module makes while it is loaded: not in the body of a function, yet in its decorators and the defaults of its parameters."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for outside in (*node.decorator_list, node.args):
                yield from asked_on_import(ast.Expression(body=outside) if isinstance(outside, ast.expr) else outside)
        elif not isinstance(node, ast.Lambda):
            yield from asked_on_import(node)


def clocks_read(tree: ast.AST) -> list[str]:
    """Which of those calls ask what time it is."""
    return [
        f"line {call.lineno}: {ast.unparse(call)}"
        for call in asked_on_import(tree)
        if (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")) in CLOCKS
    ]


def test_no_test_reads_the_clock_while_it_is_collected() -> None:
    """A run is longer than an hour: what is good for an hour when the tests are collected is over when its test begins."""
    found = {
        str(path.relative_to(ROOT)): read
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if (read := clocks_read(ast.parse(path.read_text())))
    }
    assert not found, "ask for the time in the test, or in a function that it calls"


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("AT = spelled()", True),
        ("class Word:\n    at = time.time()", True),
        ("@pytest.mark.parametrize('at', [datetime.now(UTC)])\ndef test(at): ...", True),
        ("def word(at=time.time()): ...", True),
        ("def word(*, at=later(spelled())): ...", True),
        ("def word():\n    return spelled()", False),
        ("clock = lambda: time.monotonic()", False),
        ("class Word:\n    def at(self):\n        return now()", False),
    ],
)
def test_a_clock_that_is_read_on_import_is_seen(source: str, seen: bool) -> None:
    assert bool(clocks_read(ast.parse(source))) is seen
