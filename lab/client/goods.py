"""Customers who put things aside: carts, which live in the cache, and files, which live in the asset bucket. Each acknowledged write is written down.

Beside `client.py`, with threads, connections and a ledger of their own: those who order are not slowed down, and their figures stay theirs.
"""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lab.client.connect import Link, ask
from lab.client.customers import ERRORS, Customers
from lab.client.ledger import CART, UPLOAD

PATIENCE_S = 1.0  # between two attempts: a shop that cannot is not kept busy with them


@dataclass(frozen=True)
class Write:
    """One thing to be written. `acknowledged`: whether an answer promises it; `note`: what the ledger keeps of it."""

    kind: str
    key: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    note: dict[str, Any]
    acknowledged: Callable[[Any], bool]


def cart(key: str, product: int, quantity: int) -> Write:
    """A new cart with one line."""
    line = {"product_id": product, "quantity": quantity}
    return Write(
        CART,
        key,
        "/cart/items",
        line,
        {"X-Cart": key},
        {"product": product, "quantity": quantity},
        lambda answer: line in answer["items"],
    )


def upload(key: str, text: str) -> Write:
    """A new file."""
    return Write(
        UPLOAD,
        key,
        "/uploads",
        {"text": text},
        {"Idempotency-Key": key},
        {"md5": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()},
        lambda answer: bool(answer["idempotency_key"] == key),
    )


class Goods(Customers):
    """Fills `carts` carts and uploads `uploads` files a second until `stop`. The rest: see `Customers`."""

    def __init__(
        self, url: str, resolver: str, ca: Path, ledger: Path, *, carts: float = 4.0, uploads: float = 1.0
    ) -> None:
        super().__init__(url, resolver, ca, ledger)
        for name, rate, make in (("carts", carts, self._cart), ("uploads", uploads, self._upload)):
            if rate:
                self._employ(name, partial(self._work, 1 / rate, make))

    def _work(self, pause: float, make: Callable[[Link], Write | None]) -> None:
        link = self._link()
        while not self._stopped.wait(pause):
            write = make(link)
            if write is not None:
                self._insist(link, write)
        link.drop()

    def _cart(self, link: Link) -> Write | None:
        try:
            products = [int(product["id"]) for product in ask(link, "GET", "/products")[1]]
        except ERRORS:
            return None
        return cart(str(uuid.uuid4()), random.choice(products), random.randint(1, 9)) if products else None

    def _upload(self, _: Link) -> Write:
        key = str(uuid.uuid4())
        return upload(key, f"the file of {key}\n" * random.randint(1, 500))

    def _insist(self, link: Link, write: Write) -> None:
        """Until it is acknowledged or the customers are stopped; safe to repeat, for a line is set and a file is put once."""
        kind, key = write.kind, write.key
        while not self._stopped.is_set():
            began = time.monotonic()
            self._ledger.note("attempt", key, kind=kind, address=link.address)
            status = None
            try:
                status, answer = ask(link, "POST", write.path, write.body, write.headers)
                promised, reason = status in (200, 201) and write.acknowledged(answer), f"status {status}"
            except ERRORS as error:
                promised, reason = False, f"{type(error).__name__}: {error}"
            took = round((time.monotonic() - began) * 1000)
            if promised:
                self._ledger.note("ack", key, kind=kind, address=link.address, status=status, ms=took, **write.note)
                return
            self._ledger.note("fail", key, kind=kind, address=link.address, status=status, ms=took, error=reason)
            self._stopped.wait(PATIENCE_S)
