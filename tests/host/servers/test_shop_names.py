"""The reference shop takes requests for its own name alone, whatever stands before it. Ruby runs in the guests' image, with the whole shop in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.assets.stub import Stub
from tests.host.servers.test_shop_uploads import Shop

pytestmark = pytest.mark.lab

SHOP = "www.shop.example"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Stub("assets-a") as stub:
        running = Shop(stub, tmp_path_factory.mktemp("shop"))
        yield running
        running.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:9292"},
        {"Host": f"{SHOP}.evil.example"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Host": f"{SHOP}, evil.example"},
    ],
)
def test_a_request_for_another_name_is_refused(shop: Shop, headers: dict[str, str]) -> None:
    assert shop.ask("POST", "/uploads", headers)[0] == 403


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-Host": SHOP}, {"Host": f"{SHOP}:443"}])
def test_its_own_name_is_taken(shop: Shop, headers: dict[str, str]) -> None:
    assert shop.ask("POST", "/uploads", headers)[0] == 400, "as far as to miss its key"


def test_whether_it_answers_is_told_under_any_name(shop: Shop) -> None:
    """Its host asks Puma by address."""
    assert shop.ask("GET", "/health", {"Host": "127.0.0.1:9292"})[0] == 200
