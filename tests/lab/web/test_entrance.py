"""What the app hosts' nginx lets in, and what arrives at the shop: a row for each call that must be refused, against the nginx of the guests' image."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.client.client import NEWCOMER_S, PATIENCE_S
from scripts.ctl.stacks.secrets import Authority
from tests.lab.web.entrance import AMPHORA, CLIENT, FRONT, HOSTS, NEIGHBOUR, SHOP, VIP, Entrance, answer, make, proxied

pytestmark = pytest.mark.lab

WAY_IN = "app.a.dr.internal"


@pytest.fixture(scope="module")
def entrance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrance]:
    with make(tmp_path_factory.mktemp("web")).running() as running:
        yield running


def test_the_shop_answers_behind_its_balancer_in_both_sites(entrance: Entrance) -> None:
    for source in (VIP, AMPHORA):
        assert entrance.ask(source=source).told["site"] == "a"
    assert entrance.ask(site="b").told["site"] == "a", "the standby forwards"


# --- TLS


def offer(entrance: Entrance, *, version: ssl.TLSVersion, ciphers: str) -> str | None:
    """The cipher that is agreed on, None where none is."""
    context = entrance.context()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    raw = entrance.connect("a", 443)
    try:
        raw.sendall(proxied(CLIENT))
        link = context.wrap_socket(raw, server_hostname=SHOP)
        chosen = link.cipher()
        return chosen[0] if chosen else None
    except OSError:
        return None
    finally:
        raw.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_an_old_version_of_tls_is_refused(entrance: Entrance, version: ssl.TLSVersion) -> None:
    assert offer(entrance, version=version, ciphers="ALL") is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_version_of_today_is_agreed_on(entrance: Entrance, version: ssl.TLSVersion) -> None:
    assert offer(entrance, version=version, ciphers="ALL") is not None


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-CCM8"])
def test_a_cipher_that_is_not_on_the_list_is_refused(entrance: Entrance, cipher: str) -> None:
    assert offer(entrance, version=ssl.TLSVersion.TLSv1_2, ciphers=cipher) is None


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_a_cipher_of_the_list_is_taken(entrance: Entrance, cipher: str) -> None:
    assert offer(entrance, version=ssl.TLSVersion.TLSv1_2, ciphers=cipher) == cipher


# --- names


@pytest.mark.parametrize("sni", [None, "other.example", "203.0.113.9", "shop.example", "wwwxshop.example"])
def test_a_handshake_for_another_name_is_refused(entrance: Entrance, sni: str | None) -> None:
    assert entrance.ask(sni=sni).status is None


@pytest.mark.parametrize(
    "host", ["other.example", WAY_IN, "app.b.dr.internal", "www.shop.example.evil.example", "10.1.0.41", ""]
)
def test_a_request_for_another_name_than_that_of_the_handshake_is_refused(entrance: Entrance, host: str) -> None:
    assert entrance.ask(host=host).status in (400, 421)


def test_an_absolute_address_is_a_name_too(entrance: Entrance) -> None:
    assert entrance.ask("https://other.example/products").status == 421


def test_the_shops_name_is_taken_in_any_case_and_with_its_port(entrance: Entrance) -> None:
    assert entrance.ask(host=SHOP.upper()).status == entrance.ask(host=f"{SHOP}:443").status == 200
    assert entrance.ask(sni=SHOP.upper()).status == 200


def test_the_way_in_of_the_pair_is_no_way_to_the_public_name(entrance: Entrance) -> None:
    context = entrance.context(certificate="app-1.b")
    assert entrance.ask(sni=WAY_IN, host=WAY_IN, context=context).told["site"] == "a"
    assert entrance.ask(sni=WAY_IN, host=SHOP, context=context).status == 421


@pytest.mark.parametrize("who", ["nobody", "foreign"])
def test_the_way_in_wants_a_certificate_of_the_pair(entrance: Entrance, who: str) -> None:
    context = entrance.context(authority=Authority("elsewhere") if who == "foreign" else None)
    vrack = HOSTS["app-1.a"].vrack
    inner = entrance.ask(port=8443, target=vrack, source=vrack, proxy=False, sni=WAY_IN, host=WAY_IN, context=context)
    assert inner.status in (None, 400)
    assert entrance.ask(sni=WAY_IN, host=WAY_IN, context=context).status in (None, 400)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_the_public_name_opens_no_way_in(entrance: Entrance, version: ssl.TLSVersion) -> None:
    """CVE-2025-23419: a session that is taken up again under another name kept what was proven, or not asked, under the first."""
    context = entrance.context()
    context.minimum_version = context.maximum_version = version
    first = entrance.connect("a", 443)
    first.sendall(proxied(CLIENT))
    public = context.wrap_socket(first, server_hostname=SHOP)
    public.sendall(f"GET /health HTTP/1.1\r\nHost: {SHOP}\r\nConnection: close\r\n\r\n".encode())
    assert answer(public).status == 200
    session = public.session
    assert session is not None, "nginx gives sessions"
    public.close()
    second = entrance.connect("a", 443)
    second.sendall(proxied(CLIENT))
    try:
        inner = context.wrap_socket(second, server_hostname=WAY_IN, session=session)
        inner.sendall(f"GET /health HTTP/1.1\r\nHost: {WAY_IN}\r\nConnection: close\r\n\r\n".encode())
        assert answer(inner).status in (None, 400, 421)
    except OSError:
        pass  # refused before a request was taken
    finally:
        second.close()


def test_the_way_in_on_the_vrack_answers_to_its_own_name_alone(entrance: Entrance) -> None:
    vrack, context = HOSTS["app-1.a"].vrack, entrance.context(certificate="app-1.b")
    asked = {"port": 8443, "target": vrack, "source": vrack, "proxy": False, "context": context}
    assert entrance.ask(sni=WAY_IN, host=WAY_IN, **asked).told["site"] == "a"  # type: ignore[arg-type]
    assert entrance.ask(sni=WAY_IN, host=SHOP, **asked).status == 421  # type: ignore[arg-type]
    assert entrance.ask(sni="other.example", host=WAY_IN, **asked).status in (None, 421)  # type: ignore[arg-type]


def test_a_standby_forwards_to_nobody_who_has_the_certificate_of_another_host(tmp_path: Path) -> None:
    with make(tmp_path, certified="db-1").running() as wrong:
        assert wrong.ask(site="a").status == 200
        assert wrong.ask(site="b").status == 502


# --- the balancer


def test_who_sends_no_proxy_header_is_refused(entrance: Entrance) -> None:
    assert entrance.ask(proxy=False).status is None


@pytest.mark.parametrize("source", [NEIGHBOUR, FRONT])
def test_a_proxy_header_of_somebody_else_than_the_balancer_is_refused(entrance: Entrance, source: str) -> None:
    assert entrance.ask(source=source).status is None


# --- the port of the balancer's monitor


def test_the_monitor_hears_whether_the_host_serves(entrance: Entrance) -> None:
    for site in "ab":
        assert entrance.ask("/health", site=site, port=8080, proxy=False, host=None).told["site"] == site


@pytest.mark.parametrize(
    "path", ["/", "/products", "/health/deep", "/health.json", "/health/", "/../products", "/nginx_status"]
)
@pytest.mark.parametrize("site", ["a", "b"])
def test_the_monitors_port_tells_nothing_but_health(entrance: Entrance, site: str, path: str) -> None:
    assert entrance.ask(path, site=site, port=8080, proxy=False).status in (400, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("site", ["a", "b"])
def test_the_monitors_port_is_only_read(entrance: Entrance, site: str, method: str) -> None:
    assert (
        entrance.ask(
            "/health", site=site, port=8080, proxy=False, method=method, headers=[("Content-Length", "0")]
        ).status
        == 405
    )


@pytest.mark.parametrize("site", ["a", "b"])
def test_the_monitors_port_is_the_balancers_alone(entrance: Entrance, site: str) -> None:
    assert entrance.ask("/health", site=site, port=8080, proxy=False, source=NEIGHBOUR).status is None


# --- what a client says of itself

FORGED = (
    ("X-Forwarded-For", "192.0.2.66"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Port", "81"),
    ("X-Forwarded-Server", "evil.example"),
    ("X-Forwarded-Ssl", "off"),
    ("X-Forwarded-Scheme", "http"),
    ("X-Forwarded-Prefix", "/evil"),
    ("Forwarded", "for=192.0.2.66;host=evil.example;proto=http"),
    ("X-Real-IP", "192.0.2.66"),
    ("Client-IP", "192.0.2.66"),
    ("X-Client-IP", "192.0.2.66"),
    ("True-Client-IP", "192.0.2.66"),
    ("X-Original-URL", "/health/deep"),
    ("X-Rewrite-URL", "/health/deep"),
    ("Proxy", "http://evil.example"),
    ("X_Forwarded_Host", "evil.example"),
)
TRUE = {
    "x-forwarded-for": [CLIENT],
    "x-real-ip": [CLIENT],
    "x-forwarded-proto": ["https"],
    "x-forwarded-host": [SHOP],
    "x-forwarded-port": ["443"],
    "host": [SHOP],
}


@pytest.mark.parametrize("site", ["a", "b"])
@pytest.mark.parametrize("headers", [(), FORGED, (*FORGED, *FORGED)], ids=["none", "forged", "forged twice"])
def test_what_a_client_says_of_itself_does_not_arrive(
    entrance: Entrance, site: str, headers: tuple[tuple[str, str], ...]
) -> None:
    found = entrance.ask(site=site, headers=headers)
    names = {name.lower() for name, _ in FORGED} | set(TRUE)
    assert {name: found.arrived(name) for name in names if found.arrived(name)} == TRUE
    assert b"evil" not in found.body and b"192.0.2.66" not in found.body


# --- the deep look


DEEP = (
    "/health/deep",
    "/health/deep/",
    "/health/deep.json",
    "//health//deep",
    "/health/%64eep",
    "/health%2fdeep",
    "/x/../health/deep",
    "/health/./deep?x=1",
)


@pytest.mark.parametrize("path", DEEP)
@pytest.mark.parametrize("site", ["a", "b"])
def test_the_deep_look_is_not_for_the_internet(entrance: Entrance, site: str, path: str) -> None:
    assert entrance.ask(path, site=site).status == 404


def test_the_deep_look_is_there_for_the_pairs_own_hosts(entrance: Entrance) -> None:
    vrack, context = HOSTS["app-1.a"].vrack, entrance.context(certificate="app-1.b")
    found = entrance.ask(
        "/health/deep", port=8443, target=vrack, source=vrack, proxy=False, sni=WAY_IN, host=WAY_IN, context=context
    )
    assert found.told["path"] == "/health/deep"


def test_whether_the_shop_answers_is_for_everybody(entrance: Entrance) -> None:
    assert [entrance.ask("/health", site=site).told["site"] for site in "ab"] == ["a", "a"]


# --- browsers that have been here come by https alone


@pytest.mark.parametrize("path", ["/products", "/health/deep"])
@pytest.mark.parametrize("site", ["a", "b"])
def test_a_browser_is_told_once_to_come_by_https_for_a_day(entrance: Entrance, site: str, path: str) -> None:
    assert entrance.ask(path, site=site).header("Strict-Transport-Security") == ["max-age=86400"]


def test_the_monitors_port_says_nothing_of_it(entrance: Entrance) -> None:
    assert [
        entrance.ask("/health", site=site, port=8080, proxy=False).header("Strict-Transport-Security") for site in "ab"
    ] == [[], []]


# --- a client that asks too much


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrance]:
    """One request a second of each client, and browsers told to forget."""
    with make(tmp_path_factory.mktemp("narrow"), client_rate=1, hsts_s=0).running() as running:
        yield running


@pytest.mark.parametrize("site", ["a", "b"])
def test_a_client_that_asks_too_much_is_told_when_to_come_again_and_others_are_served(
    narrow: Entrance, site: str
) -> None:
    loud, other = ("192.0.2.7", "192.0.2.8") if site == "a" else ("192.0.2.17", "192.0.2.18")
    answers = [narrow.ask(site=site, client=loud, headers=[("X-Forwarded-For", f"192.0.2.{n}")]) for n in range(30)]
    refused = [it for it in answers if it.status == 429]
    assert refused and answers[0].status == 200
    assert refused[-1].header("Retry-After") == ["1"]
    assert narrow.ask(site=site, client=other).status == 200


def test_browsers_are_told_to_forget_where_it_is_turned_off(narrow: Entrance) -> None:
    assert narrow.ask(client="192.0.2.9").header("Strict-Transport-Security") == ["max-age=0"]


def test_all_of_the_labs_customers_at_one_address_are_not_too_many(entrance: Entrance, narrow: Entrance) -> None:
    """A drill's customers share an address. A minute without a shop leaves so many newcomers who insist, and all of them come in one second."""
    insisting = int(60 / NEWCOMER_S / PATIENCE_S)
    assert entrance.burst(insisting, "192.0.2.10") == [200] * insisting
    assert 429 in narrow.burst(insisting, "192.0.2.10"), "the burst is one"


def test_no_client_is_limited_where_it_is_turned_off(tmp_path: Path) -> None:
    with make(tmp_path, client_rate=0).running() as unlimited:
        assert unlimited.burst(900, "192.0.2.10") + unlimited.burst(900, "192.0.2.10") == [200] * 1800
