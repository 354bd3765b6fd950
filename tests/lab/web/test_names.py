"""The shop's names: plain http leads to https, further names are led on or served, others are nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.web.entrance import CLIENT, NEIGHBOUR, SHOP, Entrance, make

pytestmark = pytest.mark.lab

FIRST, SECOND = "shop.example", "loja.example"
ALIASES = [FIRST, SECOND]


@pytest.fixture(scope="module")
def led(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrance]:
    with make(tmp_path_factory.mktemp("led"), shop_aliases=ALIASES, hsts_s=5).running() as running:
        yield running


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrance]:
    folder = tmp_path_factory.mktemp("serving")
    with make(folder, shop_aliases=ALIASES, serve_aliases=True).running() as running:
        yield running


# --- plain http


@pytest.mark.parametrize("site", ["a", "b"])
@pytest.mark.parametrize("name", [SHOP, FIRST, SECOND])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_plain_http_leads_to_https_of_the_same_name(led: Entrance, site: str, name: str, method: str) -> None:
    found = led.ask("/a/b?c=d&e=%20", site=site, port=80, host=name, method=method)
    assert (found.status, found.header("Location")) == (301, [f"https://{name}/a/b?c=d&e=%20"])
    assert found.header("Strict-Transport-Security") == [], "it counts by https alone (RFC 6797, 7.2)"


@pytest.mark.parametrize(
    "name", ["other.example", "", "app.a.dr.internal", "10.1.0.41", f"{SHOP}.evil.example", "xshop.example"]
)
def test_plain_http_for_another_name_leads_nowhere(led: Entrance, name: str) -> None:
    found = led.ask(port=80, host=name)
    assert found.status in (400, 421) and found.header("Location") == []


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "http://evil.example",
        "//evil.example/",
        "/\\evil.example",
        "@evil.example/",
        ".evil.example/",
        "/%0d%0aLocation:%20https://evil.example/",
        "/%0aSet-Cookie:x=y",
    ],
)
def test_no_path_leads_to_somebody_else(led: Entrance, path: str) -> None:
    for port in (80, 443):
        found = led.ask(path, port=port, sni=FIRST, host=FIRST)
        assert found.status in (301, 400, 421), found
        for target in found.header("Location"):
            assert target.startswith((f"https://{SHOP}/", f"https://{FIRST}/")) and found.header("Set-Cookie") == []


def test_plain_http_is_the_balancers_alone(led: Entrance) -> None:
    assert led.ask(port=80, proxy=False).status is None
    assert led.ask(port=80, source=NEIGHBOUR).status is None


def test_plain_http_tells_nothing_of_the_shop(led: Entrance) -> None:
    for path in ("/health", "/up", "/assets/app.css", "/cable"):
        assert led.ask(path, port=80).status == 301


# --- further names


@pytest.mark.parametrize("site", ["a", "b"])
@pytest.mark.parametrize("name", ALIASES)
def test_a_further_name_leads_to_the_shops_own(led: Entrance, site: str, name: str) -> None:
    found = led.ask("/products?x=1", site=site, sni=name, host=name)
    assert (found.status, found.header("Location")) == (301, [f"https://{SHOP}/products?x=1"])
    assert found.header("Strict-Transport-Security") == ["max-age=5"]


@pytest.mark.parametrize("site", ["a", "b"])
@pytest.mark.parametrize("name", [SHOP, *ALIASES])
def test_or_is_served_and_the_shop_is_told_which_was_asked(serving: Entrance, site: str, name: str) -> None:
    found = serving.ask(site=site, sni=name, host=name)
    assert found.status == 200
    assert found.arrived("Host") == found.arrived("X-Forwarded-Host") == [name]
    assert found.arrived("X-Forwarded-For") == [CLIENT] and found.header("DR-Site") == ["a"]


def test_a_host_of_the_pair_cannot_name_another_than_the_shops(serving: Entrance) -> None:
    context = serving.context(certificate="app-1.b")
    inner = "app.a.dr.internal"
    for told, arrives in (("evil.example", SHOP), (FIRST, FIRST), ("", SHOP)):
        headers = [("X-Forwarded-Host", told), ("X-Forwarded-For", CLIENT)]
        found = serving.ask(sni=inner, host=inner, context=context, headers=headers)
        assert found.arrived("Host") == found.arrived("X-Forwarded-Host") == [arrives]


@pytest.mark.parametrize("sni", [None, "other.example", f"www.{FIRST}.evil.example", "evil-shop.example"])
def test_a_handshake_for_a_name_that_is_none_of_them_is_refused(
    serving: Entrance, led: Entrance, sni: str | None
) -> None:
    assert serving.ask(sni=sni).status is None and led.ask(sni=sni).status is None


@pytest.mark.parametrize("host", ["other.example", "app.a.dr.internal", "app.b.dr.internal"])
@pytest.mark.parametrize("sni", [SHOP, FIRST])
def test_a_request_for_another_name_within_one_of_them_is_refused(
    serving: Entrance, led: Entrance, sni: str, host: str
) -> None:
    for entrance in (serving, led):
        assert entrance.ask(sni=sni, host=host).status == 421


def test_no_alias_is_a_way_in(serving: Entrance) -> None:
    context = serving.context(certificate="app-1.b")
    assert serving.ask(sni=FIRST, host="app.a.dr.internal", context=context).status == 421
    assert serving.ask(sni="app.a.dr.internal", host=FIRST, context=context).status == 421


# --- which site has answered


def test_each_answer_says_which_site_gave_it_and_nobody_else_can(led: Entrance) -> None:
    """The played Puma says that it is of nobody."""
    for site in "ab":
        assert led.ask(site=site, headers=[("DR-Site", "b")]).header("DR-Site") == ["a"]


# --- how large, how long


def test_what_is_larger_than_it_may_be_is_refused_in_both_roles(tmp_path: Path) -> None:
    with make(tmp_path, client_max_body_mb=1).running() as small:
        for site in "ab":
            for size, status in ((2**20 + 1, 413), (0, 200)):
                found = small.ask(site=site, method="POST", headers=[("Content-Length", str(size))])
                assert found.status == status
