"""The manifest: reading it in pieces, cutting it into ranges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.assets.listing import Entry
from scripts.assets.plan import shards
from scripts.assets.state import CHUNK, State

T0 = "2026-11-25T10:00:00.000Z"


def key(number: int) -> bytes:
    return b"k\xff%05d" % number


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path, "a -> b")
    yield made
    made.close()


def fill(state: State, count: int) -> None:
    for number in range(count):
        entry = Entry(key(number), number, 'e"\\', T0)
        state.record(entry, entry, "t", "")
    state.flush()


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_every_row_is_read_once_and_in_order(state: State, count: int) -> None:
    fill(state, count)
    assert [(row.key, row.size, row.source_etag) for row in state.rows()] == [(key(n), n, 'e"\\') for n in range(count)]


def test_a_range_leaves_out_its_start_and_holds_its_end(state: State) -> None:
    fill(state, 3 * CHUNK)
    found = [row.size for row in state.rows(key(10), key(10 + 2 * CHUNK))]
    assert found == list(range(11, 11 + 2 * CHUNK))


def test_a_pass_sees_the_rows_of_its_start(state: State) -> None:
    fill(state, 2 * CHUNK)
    rows = state.rows()
    next(rows)
    entry = Entry(b"z", 1, "e", T0)
    state.record(entry, entry, "t", "")
    state.flush()
    assert sum(1 for _ in rows) == 2 * CHUNK - 1
    assert sum(1 for _ in state.rows()) == 2 * CHUNK + 1


def test_a_missing_key_keeps_the_moment_it_was_missed(state: State) -> None:
    fill(state, 2)
    state.missing(key(1), 1_764_000_000.123456)
    row = next(state.rows(key(0)))
    assert row.missing_runs == 1
    assert row.missing_since == pytest.approx(1_764_000_000.123456, abs=1e-4)


def test_ranges_fill_their_answers(state: State) -> None:
    fill(state, 4100)
    cuts = state.bounds(4, 995)
    assert cuts == [key(994), key(1989), key(2984)]
    assert [len(list(state.rows(*part))) for part in zip([b"", *cuts], [*cuts, None], strict=True)] == [
        995,
        995,
        995,
        1115,
    ]


def test_few_keys_are_cut_evenly(state: State) -> None:
    fill(state, 50)
    assert [sum(1 for _ in state.rows(*part)) for part in shards(state, 5)] == [10] * 5
