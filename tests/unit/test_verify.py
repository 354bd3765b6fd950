"""The proof: asked until the app hosts have turned, and not held up by one that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any, TypeVar

import pytest

from contract.errors import Failed
from contract.services.web import ORDERS, Health
from scripts.links import verify

T = TypeVar("T")
Answer = tuple[int, Any] | Exception
Word = verify.Said | Exception
HEALTH = Health(health_path="/well", health_codes=("200", "204"), health_text="well", proof=ORDERS)


def answered(status: int, site: str | None, body: bytes = b"all is well") -> verify.Said:
    return verify.Said(status=status, site=site, body=body)


HERE, THERE, DEAD = answered(200, "b"), answered(204, "a"), answered(502, None)


class Played(verify.Shop):
    """A shop of `hosts` app hosts behind a balancer that takes one after the other: each is asked whether it is well and answers as its own list says, the
    last for ever."""

    def __init__(self, *hosts: list[Word], order: Callable[[dict[str, str]], Answer] | None = None) -> None:
        self.host, self.address = "shop.example", "198.51.100.5"
        self._hosts = [chain(answers, repeat(answers[-1])) for answers in hosts]
        self._next = 0
        self._order = order or (lambda headers: (201, {"idempotency_key": headers["Idempotency-Key"], "site": "b"}))
        self.orders: list[str] = []
        self.products: Any = [{"id": 7}]

    def ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        limit_s: float = verify.ANSWER_S,
    ) -> tuple[int, Any]:
        if path == "/products":
            return self.products if isinstance(self.products, tuple) else (200, self.products)
        if method == "GET":
            return 404, None
        assert (method, path) == ("POST", "/orders") and headers is not None
        self.orders.append(headers["Idempotency-Key"])
        return said(self._order(headers))

    def said(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        limit_s: float = verify.ANSWER_S,
    ) -> verify.Said:
        assert (method, path) == ("GET", HEALTH.health_path)
        host: Iterator[Word] = self._hosts[self._next % len(self._hosts)]
        self._next += 1
        return said(next(host))


def said(answer: T | Exception) -> T:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes with each look at the clock, none with a pause."""
    ticks = iter(range(10_000))

    class Clock:
        monotonic = staticmethod(lambda: float(next(ticks)))
        sleep = staticmethod(lambda seconds: None)

    monkeypatch.setattr(verify, "time", Clock)


def proved(shop: Played, hosts: int = 2) -> str:
    turned, proof = verify.Turned(shop, HEALTH, "b", hosts), verify.Proof(shop, "b")
    return shop.until(lambda: turned.seen() and proof.order())


def test_an_order_is_placed_once_every_host_serves_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    shop = Played([THERE, DEAD, HERE], [OSError("refused"), HERE])
    assert proved(shop) == "b"
    assert len(shop.orders) == 1
    assert "WARNING" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "never",
    [THERE, DEAD, OSError("timed out"), answered(200, None), answered(404, "b"), answered(200, "b", b"another's page")],
)
def test_a_host_that_never_turns_holds_nothing_up_and_is_told_once(
    never: Word, capsys: pytest.CaptureFixture[str]
) -> None:
    refused: Iterator[Answer] = iter([(503, {}), (503, {})])
    shop = Played(
        [HERE],
        [never],
        order=lambda headers: next(refused, (201, {"idempotency_key": headers["Idempotency-Key"], "site": "b"})),
    )
    assert proved(shop) == "b"
    assert capsys.readouterr().err.count("not every app host serves") == 1


def test_where_no_host_turns_nothing_is_ordered_and_the_last_answer_is_told() -> None:
    shop = Played([THERE], [DEAD])
    with pytest.raises(Failed, match=r"answered by site .*, wanted 'b'.*dr-host app status"):
        proved(shop)
    assert shop.orders == []


def test_who_waits_for_a_shop_that_does_not_come_up_reads_why_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Failed):
        proved(Played([DEAD]), hosts=1)
    told = capsys.readouterr().err.splitlines()
    assert 10 < len(told) <= verify.LIMIT_S / verify.TELL_S
    assert all("still GET /well: 502" in line and "app-turn" in line for line in told)
    assert proved(Played([DEAD, DEAD, HERE]), hosts=1) == "b"
    assert capsys.readouterr().err == "", "nothing is said of what takes its usual time"


@pytest.mark.parametrize(
    "wrong",
    [
        {"idempotency_key": "another", "site": "b"},
        {"site": "b"},
        {},
        [],
        None,
        "ok",
        {"idempotency_key": None, "site": "b"},
    ],
)
def test_an_order_that_is_not_the_one_that_was_sent_proves_nothing(wrong: Any) -> None:
    with pytest.raises(Failed, match="POST /orders: 201"):
        proved(Played([HERE], order=lambda _: (201, wrong)), hosts=1)


@pytest.mark.parametrize("products", [None, {}, [], ["one"], [{}], "many"])
def test_products_of_another_form_are_none(products: Any) -> None:
    shop = Played([HERE])
    shop.products = products
    with pytest.raises(Failed, match="GET /products: 200"):
        proved(shop, hosts=1)
    assert shop.orders == []


def test_an_order_that_the_other_site_took_proves_nothing() -> None:
    def there(headers: dict[str, str]) -> Answer:
        return 201, {"idempotency_key": headers["Idempotency-Key"], "site": "a"}

    with pytest.raises(Failed, match="taken by site 'a', wanted 'b'"):
        proved(Played([HERE], order=there), hosts=1)


def test_an_order_whose_answer_was_lost_is_not_placed_twice() -> None:
    lost: Iterator[Answer] = iter([OSError("timed out")])
    shop = Played(
        [HERE], order=lambda headers: next(lost, (200, {"idempotency_key": headers["Idempotency-Key"], "site": "b"}))
    )
    assert proved(shop, hosts=1) == "b"
    assert len(shop.orders) == 2 and len(set(shop.orders)) == 1


def test_one_that_the_other_site_took_is_followed_by_another() -> None:
    first: Iterator[str] = iter(["a"])
    shop = Played(
        [HERE], order=lambda headers: (201, {"idempotency_key": headers["Idempotency-Key"], "site": next(first, "b")})
    )
    assert proved(shop, hosts=1) == "b"
    assert len(set(shop.orders)) == 2


def test_no_two_runs_have_the_same_key() -> None:
    """Whoever could guess it could place it beforehand, and a shop that only reads would pass."""
    shops = [Played([HERE]) for _ in range(2)]
    for shop in shops:
        proved(shop, hosts=1)
    assert shops[0].orders != shops[1].orders


def test_a_standby_is_proven_by_what_everybody_may_ask() -> None:
    """The deep look is not for whoever comes from outside, as this proof does."""
    shop = Played([THERE])
    assert shop.until(lambda: verify.forwarded(shop, HEALTH, "a")) == "a"
    assert shop.orders == [], "nothing is written"


@pytest.mark.parametrize("products", [(503, None), (200, []), (200, {"error": "no"})])
def test_a_standby_whose_forwarded_requests_reach_no_database_is_not_proven(products: Any) -> None:
    shop = Played([THERE])
    shop.products = products
    with pytest.raises(Failed, match="GET /products"):
        shop.until(lambda: verify.forwarded(shop, HEALTH, "a"))


def test_a_standby_that_answers_by_itself_is_not_proven() -> None:
    shop = Played([HERE])
    with pytest.raises(Failed, match="GET /well: answered by site 'b', wanted 'a'"):
        shop.until(lambda: verify.forwarded(shop, HEALTH, "a"))


def test_a_shop_that_has_no_orders_is_proven_by_being_well() -> None:
    """Any Rails application: there is nothing that could be bought, and pages that nobody here knows."""
    plain = Health(health_path="/well")
    shop = Played([THERE, HERE])
    shop.products = (404, None)
    assert shop.until(lambda: verify.forwarded(shop, plain, "b")) == "b"
    assert shop.orders == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (answered(503, "b"), "GET /well: 503, wanted 200 or 204"),
        (answered(200, "b", b"<html>sign in</html>"), r"without the text of dr:app\.health_text"),
        (answered(200, None), "answered by site null, wanted a or b in DR-Site"),
        (answered(200, "\x1b[2Jb"), r"answered by site .*x1b.*wanted a or b"),
    ],
)
def test_an_answer_that_is_not_the_shops_own_is_told_by_what_it_lacks(answer: verify.Said, says: str) -> None:
    with pytest.raises(Failed, match=says):
        proved(Played([answer]), hosts=1)
