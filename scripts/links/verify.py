"""The chain's proof: through the site's own public load balancer the shop is asked whether it is well, and answers from this site; with `proof: orders` it
takes a real order, too. In the standby site: a request that the active site answers.

It begins while the app hosts turn, and asks until they have. One that does not turn (it is dead, or refuses) is waited for no longer than the others
need, and told: the balancer leaves out what is dead, and most of the shop is more than none of it.

Which site has answered is nginx's word (`DR-Site`), so that any shop will do. Each order has a key that nobody can have guessed: an answer is of this
very order, and a shop that only reads does not pass by one that it has.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.forms import MOST_BYTES
from contract.limits import VERIFY_S
from contract.links.verify import Document
from contract.plain import shown
from contract.services.web import ORDERS, SITE_HEADER, Health
from contract.sites import SITES
from contract.wire import document as json_document
from scripts.clients.witness import Witness

LIMIT_S, ANSWER_S, PAUSE_S = VERIFY_S, 12.0, 0.1
TELL_S = (
    30.0  # after which it says what it waits for, again and again: a first release that fails is waited for to the end
)
TURN_S = 10.0  # how long one that answers for the other site is waited for once another answers for its own


def run(told: Document) -> dict[str, Any]:
    """Returns {"schema", "site", "epoch", "served_by"}."""
    site, epoch, sells = told.site, told.epoch, told.proof == ORDERS
    shop = Shop(told.shop_host, told.address, told.ca, public=told.public)
    if epoch.active == site:
        turned, proof = Turned(shop, told, site, told.hosts), Proof(shop, site)
        served = shop.until(lambda: turned.seen() and (proof.order() if sells else site))
    else:
        served = shop.until(lambda: forwarded(shop, told, epoch.active))
        Witness(told.witness).record_followed(site, epoch.epoch)
    return {"schema": 1, "site": site, "epoch": epoch.epoch, "served_by": served}


class NotYet(Exception):
    """The shop answers, but not as wanted; the text says what it said."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer. `site`: whose Puma gave it, by nginx's word; None where there is none."""

    status: int
    site: str | None
    body: bytes


class Shop:
    """The shop at one address, under its public name: its certificate is of that name, in time, and goes back to `ca` with all of its chain.

    `ca`: PEM; None: one of the public roots of this machine, as with any customer; with `public` those besides. Whether it was revoked is not asked.
    """

    def __init__(self, host: str, address: str, ca: str | None, *, public: bool = False) -> None:
        self.host, self.address = host, address
        self._trusted = "the public roots of this machine" if ca is None else "dr:secrets tls.shop.ca"
        self._tls = ssl.create_default_context(cadata=ca)
        if public and ca is not None:
            self._trusted += ", and the public roots of this machine"
            self._tls.load_default_certs()

    def ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        limit_s: float = ANSWER_S,
    ) -> tuple[int, Any]:
        """One request: status and parsed JSON body. Raises as `said`."""
        answer = self.said(method, path, body, headers, limit_s)
        try:
            return answer.status, json_document.parse(answer.body)
        except ValueError as error:
            raise NotYet(f"{method} {path}: no usable answer ({type(error).__name__})") from None

    def well(self, health: Health, limit_s: float = ANSWER_S) -> str:
        """The site that answers, with what a shop that is well says. Raises as `said`."""
        path = health.health_path
        answer = self.said("GET", path, limit_s=limit_s)
        if str(answer.status) not in health.health_codes:
            raise NotYet(f"GET {path}: {answer.status}, wanted {' or '.join(health.health_codes)}")
        if health.health_text is not None and health.health_text.encode() not in answer.body:
            raise NotYet(f"GET {path}: {answer.status}, an answer without the text of dr:app.health_text")
        if answer.site not in SITES:
            raise NotYet(
                f"GET {path}: {answer.status}, answered by site {shown(answer.site)}, wanted a or b in {SITE_HEADER}"
            )
        return answer.site

    def said(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        limit_s: float = ANSWER_S,
    ) -> Said:
        """One request on a connection of its own. Raises OSError, of which one is SSLCertVerificationError, or NotYet.

        `limit_s`: for the connection, and again for all that follows: a host that is half dead may answer byte by byte.
        """
        link = http.client.HTTPSConnection(self.host, context=self._tls, timeout=limit_s)
        raw = socket.create_connection((self.address, 443), timeout=limit_s)
        line = raw.dup()  # the same connection, also once TLS has taken the other end of it
        over = threading.Timer(limit_s, _shut, (line,))
        over.daemon = True
        over.start()
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
            said = answer.read(MOST_BYTES + 1)
            if len(said) > MOST_BYTES:
                raise NotYet(f"{method} {path}: an answer of more than {MOST_BYTES} bytes")
            return Said(status=answer.status, site=answer.getheader(SITE_HEADER), body=said)
        except ssl.SSLCertVerificationError:  # a ValueError, too
            raise
        except (http.client.HTTPException, ValueError) as error:
            raise NotYet(f"{method} {path}: no usable answer ({type(error).__name__})") from None
        finally:
            over.cancel()
            for each in (raw, link, line):
                each.close()

    def until(self, attempt: Callable[[], Any]) -> str:
        """Repeat `attempt` until it returns the site that served; Failed after the limit with what was last seen."""
        began = time.monotonic()
        deadline, tell = began + LIMIT_S, began + TELL_S
        while True:
            remedy = "run the same again once the app hosts are well (`dr-host app status` on app-1)"
            try:
                return str(attempt())
            except ssl.SSLCertVerificationError as error:  # until its host has turned, it may be the one before
                seen = f"a certificate that is not trusted ({error.verify_message}; trusted: {self._trusted})"
                remedy = (
                    "put the certificate with its whole chain into dr:secrets tls.shop, and into tls.shop.ca the CA that it goes back to where that "
                    "is no public one, then run the same again"
                )
            except (OSError, NotYet) as error:
                seen = str(error)
            now = time.monotonic()
            if now > tell:
                tell = now + TELL_S
                _tell(
                    f"INFO verify: after {now - began:.0f} s still {seen}; asked for {LIMIT_S:.0f} s in all; the link app-turn has told what its hosts said"
                )
            if now > deadline:
                raise Failed(
                    f"shop https://{self.host} at {self.address}: after {LIMIT_S:.0f} s still {seen}; wanted an answer of the active site; the data "
                    f"tier has its role, so {remedy}"
                )
            time.sleep(PAUSE_S)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _shut(line: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        line.shutdown(socket.SHUT_RDWR)


class Turned:
    """Whether the app hosts behind an entrance serve by themselves. `hosts`: how many there are; new connections go to one after the other."""

    def __init__(self, shop: Shop, health: Health, site: str, hosts: int) -> None:
        self._shop, self._health, self._site, self._hosts = shop, health, site, hosts
        self._patience = 1.0  # one that still forwards to a region that is gone takes seconds to say so
        self._since = float("inf")
        self._told = False

    def seen(self) -> bool:
        """True once every answer comes from the own site, or one has for so long that the others are not waited for. Raises OSError or NotYet."""
        try:
            for _ in range(2 * self._hosts):
                self._answer()
        except (OSError, NotYet) as error:
            if time.monotonic() - self._since < TURN_S:
                raise
            self._tell(error)
        return True

    def _tell(self, error: Exception) -> None:
        text = f"not every app host serves ({error}); the shop sells on the others, and the links of the app hosts tell which it is"
        if not self._told:
            _tell(f"WARNING verify: {text}")
        self._told = True

    def _answer(self) -> None:
        limit, self._patience = self._patience, min(1.5 * self._patience, ANSWER_S)
        _answered(self._shop, self._health, self._site, limit)
        self._since = min(self._since, time.monotonic())


class Proof:
    """A real order, which the own site takes. One whose answer was lost is not placed twice; one that the other site took is of no use."""

    def __init__(self, shop: Shop, site: str) -> None:
        self._shop, self._site, self._key = shop, site, str(uuid.uuid4())

    def order(self) -> str:
        """The site that took it. Raises OSError or NotYet."""
        items = [{"product_id": _first_product(self._shop), "quantity": 1}]
        status, order = self._shop.ask("POST", "/orders", {"items": items}, {"Idempotency-Key": self._key})
        if status not in (200, 201) or not isinstance(order, dict) or order.get("idempotency_key") != self._key:
            raise NotYet(f"POST /orders: {status}, not with the order that was sent")
        if order.get("site") != self._site:
            self._key = str(uuid.uuid4())
            raise NotYet(f"POST /orders: taken by site {shown(order.get('site'))}, wanted {self._site!r}")
        return self._site


def forwarded(shop: Shop, told: Health, active: str) -> str:
    """Whether the standby's entrance leads to the active site, and, where that is how it is proven, there to the database. Raises OSError or NotYet."""
    _answered(shop, told, active)
    if told.proof == ORDERS:
        _first_product(shop)
    return active


def _answered(shop: Shop, health: Health, site: str, limit_s: float = ANSWER_S) -> None:
    found = shop.well(health, limit_s)
    if found != site:
        raise NotYet(f"GET {health.health_path}: answered by site {shown(found)}, wanted {site!r}")


def _first_product(shop: Shop) -> Any:
    """Its id. Raises OSError or NotYet."""
    status, products = shop.ask("GET", "/products")
    first = products[0] if isinstance(products, list) and products else None
    if status != 200 or not isinstance(first, dict) or "id" not in first:
        raise NotYet(f"GET /products: {status}, {len(products) if isinstance(products, list) else 'no'} products")
    return first["id"]
