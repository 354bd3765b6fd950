"""The chain's proof: a real order through the site's own public load balancer, or, in the standby site, a request that the active site answers.

The order carries an idempotency key made of site and epoch: however often the link runs, the shop holds one such order an epoch.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
import uuid
from typing import Any

from contract.errors import Failed
from contract.links.verify import Document
from scripts.clients.witness import Witness

LIMIT_S, ANSWER_S, PAUSE_S = 60.0, 12.0, 0.25
_NAMESPACE = uuid.UUID("6d3f6f0e-6b0b-4a53-9b53-6f8b0d0e7c11")  # ours, made once: names the orders of this link


def run(told: Document) -> dict[str, Any]:
    """Returns {"schema", "site", "epoch", "served_by"}."""
    site, epoch = told.site, told.epoch
    shop = Shop(told.shop_host, told.address, told.ca)
    if epoch.active == site:
        served = shop.until(lambda: _order(shop, site, epoch.epoch))
    else:
        served = shop.until(lambda: _forwarded(shop, epoch.active))
        Witness(told.witness).record_followed(site, epoch.epoch)
    return {"schema": 1, "site": site, "epoch": epoch.epoch, "served_by": served}


class NotYet(Exception):
    """The shop answers, but not as wanted; the text says what it said."""


class Shop:
    """The shop at one address, under its public name, its certificate checked against `ca`."""

    def __init__(self, host: str, address: str, ca: str) -> None:
        self.host, self.address = host, address
        self._tls = ssl.create_default_context(cadata=ca)

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """One request on a connection of its own: status and parsed JSON body. Raises OSError or NotYet."""
        link = http.client.HTTPSConnection(self.host, context=self._tls, timeout=ANSWER_S)
        raw = socket.create_connection((self.address, 443), timeout=ANSWER_S)
        try:
            link.sock = self._tls.wrap_socket(raw, server_hostname=self.host)
            data = None if body is None else json.dumps(body)
            link.request(
                method,
                path,
                data,
                {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})},
            )
            answer = link.getresponse()
            return answer.status, json.loads(answer.read())
        except (http.client.HTTPException, ValueError) as error:
            raise NotYet(f"{method} {path}: no usable answer ({type(error).__name__})") from None
        finally:
            raw.close()
            link.close()

    def until(self, attempt: Any) -> str:
        """Repeat `attempt` until it returns the site that served; Failed after the limit with what was last seen."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                return str(attempt())
            except (OSError, NotYet) as error:
                seen = str(error)
            if time.monotonic() > deadline:
                raise Failed(
                    f"shop https://{self.host} at {self.address}: after {LIMIT_S:.0f} s still {seen}; wanted an answer of the active site; the data "
                    "tier has its role, so run the same again once the app hosts are well (`dr-host app status` on app-1)"
                )
            time.sleep(PAUSE_S)


def _order(shop: Shop, site: str, epoch: int) -> str:
    status, products = shop.ask("GET", "/products")
    if status != 200 or not products:
        raise NotYet(f"GET /products: {status}, {len(products) if isinstance(products, list) else 'no'} products")
    key = str(uuid.uuid5(_NAMESPACE, f"{shop.host}/{site}/{epoch}"))
    items = [{"product_id": products[0]["id"], "quantity": 1}]
    status, order = shop.ask("POST", "/orders", {"items": items}, {"Idempotency-Key": key})
    if status not in (200, 201) or order.get("idempotency_key") != key:
        raise NotYet(f"POST /orders: {status}")
    return str(order["site"])


def _forwarded(shop: Shop, active: str) -> str:
    status, health = shop.ask("GET", "/health/deep")
    if status != 200 or health.get("site") != active:
        raise NotYet(f"GET /health/deep: {status}, answered by site {health.get('site')!r}, wanted {active!r}")
    return str(health["site"])
