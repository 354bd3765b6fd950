"""The shop's customers: they fill a cart, order, insist until they are acknowledged, and write down every promise."""

from __future__ import annotations

import http.client
import threading
import time
import uuid
from pathlib import Path

from lab.client.connect import Link, Resolver, ask
from lab.client.customers import ERRORS, Customers

PATIENCE_S = 0.1  # between two attempts at one order
FRESH_EVERY = 20  # orders after which a customer comes with a new connection
NEWCOMER_S = 1.0  # between two customers who have never been here: they hang on no connection of before, and ask the resolver themselves


class Client(Customers):
    """Places `rate` orders a second over `connections` customers until `stop`, and one for each newcomer. The rest: see `Customers`."""

    def __init__(
        self, url: str, resolver: str, ca: Path, ledger: Path, *, rate: float = 10.0, connections: int = 4
    ) -> None:
        super().__init__(url, resolver, ca, ledger)
        self._pause = connections / rate
        self._lock, self._acknowledged = threading.Lock(), 0
        for number in range(connections):
            self._employ(f"customer-{number}", self._shop)
        self._employ("newcomers", self._welcome)

    @property
    def acknowledged(self) -> int:
        """Orders acknowledged so far."""
        with self._lock:
            return self._acknowledged

    def _shop(self) -> None:
        link = self._link()
        products: list[int] = []
        count, due = 0, time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause, time.monotonic())
            count += 1
            if count % FRESH_EVERY == 0:
                link.drop()
            try:
                products = products or [product["id"] for product in ask(link, "GET", "/products")[1]]
            except ERRORS:
                self._stopped.wait(PATIENCE_S)
                continue
            if products:
                self._order(link, {"product_id": products[count % len(products)], "quantity": 1})
        link.drop()

    def _welcome(self) -> None:
        visitors: list[threading.Thread] = []
        while not self._stopped.wait(NEWCOMER_S):
            visitors = [
                *(thread for thread in visitors if thread.is_alive()),
                threading.Thread(target=self._visit, name="newcomer", daemon=True),
            ]
            visitors[-1].start()
        for thread in visitors:
            thread.join()

    def _visit(self) -> None:
        link = self._link(Resolver(self._server))
        while not self._stopped.is_set():
            try:
                (product, *_) = [product["id"] for product in ask(link, "GET", "/products")[1]]
            except ERRORS:
                self._stopped.wait(PATIENCE_S)
            else:
                self._order(link, {"product_id": product, "quantity": 1})
                break
        link.drop()

    def _order(self, link: Link, item: dict[str, int]) -> None:
        """One order, with one key, until it is acknowledged or the client is stopped."""
        key, cart = str(uuid.uuid4()), str(uuid.uuid4())
        filled = self._fill(link, cart, item)
        while not self._stopped.is_set():
            began = time.monotonic()
            self._ledger.note("attempt", key, address=link.address)
            headers = {"Idempotency-Key": key, **({"X-Cart": cart} if filled else {})}
            try:
                status, answer = ask(link, "POST", "/orders", None if filled else {"items": [item]}, headers)
            except (OSError, http.client.HTTPException, ValueError) as error:
                status, answer, reason = None, {}, f"{type(error).__name__}: {error}"
            else:
                reason = f"status {status}"
            took = round((time.monotonic() - began) * 1000)
            if status in (200, 201) and isinstance(answer, dict) and answer.get("idempotency_key") == key:
                self._ledger.note("ack", key, address=link.address, status=status, site=answer.get("site"), ms=took)
                with self._lock:
                    self._acknowledged += 1
                return
            self._ledger.note("fail", key, address=link.address, status=status, ms=took, error=reason)
            filled = filled and not (
                status is not None and 400 <= status < 500
            )  # the cart is gone: bring the items along
            self._stopped.wait(PATIENCE_S)

    def _fill(self, link: Link, cart: str, item: dict[str, int]) -> bool:
        try:
            return ask(link, "POST", "/cart/items", dict(item), {"X-Cart": cart})[0] in (200, 201)
        except (OSError, http.client.HTTPException, ValueError):
            return False
