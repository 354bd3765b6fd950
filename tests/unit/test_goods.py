"""Carts and files that customers put aside, against a shop of straw: what is promised, what is asked for again, and what became of each promise."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.client.goods import Goods
from lab.client.ledger import CART, UPLOAD, kept_carts, kept_uploads, read
from lab.rehearsal.world import versions_of
from tests.unit import test_client as straw
from tests.unit.test_client import NAME, Straw, until

resolver, shop = straw.resolver, straw.shop


class Keeper(Straw):
    """Keeps what it acknowledges; `lose`, `garble`: answers of the first so many writes that never come, or promise nothing."""

    carts: dict[str, dict[str, int]] = {}
    files: dict[str, str] = {}
    asked: Counter[str] = Counter()
    lose, garble = 0, 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        key = self.headers["X-Cart"] or self.headers["Idempotency-Key"]
        with Straw.lock:
            Keeper.asked[key] += 1
            if self.path == "/cart/items":
                Keeper.carts.setdefault(key, {})[str(body["product_id"])] = body["quantity"]
                answer: Any = {"items": [body]}
            else:
                Keeper.files[key] = hashlib.md5(body["text"].encode()).hexdigest()
                answer = {"idempotency_key": key, "site": "a"}
            if Keeper.lose:
                Keeper.lose -= 1
                self.close_connection = True
                return
            if Keeper.garble:
                Keeper.garble -= 1
                answer = {"items": []} if self.path == "/cart/items" else {"idempotency_key": "of another"}
        self._answer(200, answer)


@pytest.fixture
def goods(
    shop: int, resolver: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], list[dict[str, Any]]]]:
    """Runs customers until the shop has been asked for so many things; returns the ledger."""
    monkeypatch.setattr(straw.Straw, "do_POST", Keeper.do_POST)
    monkeypatch.setattr("lab.client.goods.PATIENCE_S", 0.01)
    Keeper.carts, Keeper.files, Keeper.asked, Keeper.lose, Keeper.garble = {}, {}, Counter(), 0, 0

    def run(wanted: int) -> list[dict[str, Any]]:
        made = Goods(
            f"https://{NAME}:{shop}", resolver[0], tmp_path / "ca.pem", tmp_path / "aside", carts=200, uploads=200
        )
        made.start()
        until(lambda: min(len(Keeper.carts), len(Keeper.files)) >= wanted)
        made.stop()
        return read(tmp_path / "aside")

    yield run


def acks(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == "ack" and event["kind"] == kind]


def test_every_acknowledged_write_is_in_the_ledger_with_what_was_written(
    goods: Callable[[int], list[dict[str, Any]]],
) -> None:
    events = goods(10)
    carts, files = acks(events, CART), acks(events, UPLOAD)
    assert {ack["key"]: {str(ack["product"]): ack["quantity"]} for ack in carts} == Keeper.carts
    assert {ack["key"]: ack["md5"] for ack in files} == Keeper.files
    assert kept_carts(events, Keeper.carts).figures() == dict(
        acknowledged=len(carts), found=len(carts), lost=0, twice=0
    )
    held = {key: [md5] for key, md5 in Keeper.files.items()}
    assert kept_uploads(events, held).figures() == dict(acknowledged=len(files), found=len(files), lost=0, twice=0)


@pytest.mark.parametrize("how", ["lose", "garble"])
def test_what_was_not_promised_is_asked_for_again_by_the_same_key(
    goods: Callable[[int], list[dict[str, Any]]], how: str
) -> None:
    setattr(Keeper, how, 6)
    events = goods(10)
    failed = {event["key"] for event in events if event["event"] == "fail"}
    assert failed
    assert failed <= {event["key"] for event in events if event["event"] == "ack"}
    assert all(Keeper.asked[key] >= 2 for key in failed)
    assert all(acked == 1 for acked in Counter(event["key"] for event in events if event["event"] == "ack").values())


def ack(kind: str, key: str, **written: Any) -> dict[str, Any]:
    return {"event": "ack", "kind": kind, "key": key, "at": 1.0, "mono": 1.0, **written}


@pytest.mark.parametrize(
    ("held", "found", "lost", "twice"),
    [
        ({"7": 2}, 1, 0, 0),
        ({}, 0, 1, 0),
        ({"7": 4}, 1, 0, 1),  # added, and not set
        ({"7": 2, "8": 1}, 1, 0, 1),  # somebody else's line in it
        ({"7": 3}, 0, 1, 0),  # another quantity than was promised
        ({"7": 1}, 0, 1, 0),
        ({"8": 2}, 0, 1, 0),
    ],
)
def test_a_cart_is_kept_when_it_holds_what_was_promised(
    held: dict[str, int], found: int, lost: int, twice: int
) -> None:
    kept = kept_carts(
        [ack(CART, "t", product=7, quantity=2), {"event": "fail", "kind": CART, "key": "x"}],
        {"t": held, "other": {"1": 1}},
    )
    assert kept.figures() == {"acknowledged": 1, "found": found, "lost": lost, "twice": twice}
    assert [event["key"] for event in kept.lost] == ["t"] * lost


def test_a_cart_that_is_not_there_at_all_is_lost() -> None:
    assert kept_carts([ack(CART, "t", product=7, quantity=2)], {}).figures()["lost"] == 1


@pytest.mark.parametrize(
    ("versions", "found", "lost", "twice"),
    [
        (["m"], 1, 0, 0),
        ([], 0, 1, 0),  # deleted
        (["m", "m"], 1, 0, 1),
        (["other", "m"], 0, 1, 0),  # overwritten
        (["m", "other"], 1, 0, 1),
    ],
)
def test_a_file_is_kept_when_its_newest_version_is_what_was_promised(
    versions: list[str], found: int, lost: int, twice: int
) -> None:
    kept = kept_uploads([ack(UPLOAD, "f", md5="m"), ack(CART, "f", product=1, quantity=1)], {"f": versions})
    assert kept.figures() == {"acknowledged": 1, "found": found, "lost": lost, "twice": twice}
    assert kept.twice == ["f"] * twice


def test_a_file_that_is_not_there_at_all_is_lost() -> None:
    assert [event["key"] for event in kept_uploads([ack(UPLOAD, "f", md5="m")], {}).lost] == ["f"]


def test_versions_are_read_from_all_pages_and_a_deleted_file_has_none() -> None:
    def version(key: str, etag: str) -> dict[str, Any]:
        return {"Key": f"uploads/{key}", "ETag": f'"{etag}"', "IsLatest": True}

    def marker(key: str, latest: bool) -> dict[str, Any]:
        return {"Key": f"uploads/{key}", "IsLatest": latest}

    pages = [
        {"Versions": [version("one", "m1"), version("gone", "m2")], "DeleteMarkers": [marker("gone", True)]},
        {"Versions": [version("again", "m4"), version("again", "m3")], "DeleteMarkers": [marker("again", False)]},
        {},
    ]
    assert versions_of(pages) == {"one": ["m1"], "gone": [], "again": ["m4", "m3"]}
