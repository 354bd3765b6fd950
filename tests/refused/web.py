"""What the entrance, the way between the regions, the monitor's port and the agents answer to whom: TLS, certificates, names, paths."""

from __future__ import annotations

import ssl

from tests.refused.ground import INTERNET, STRANGER, Ground
from tests.refused.network import FORWARD, HEALTH, HTTP, HTTPS, LEASE
from tests.refused.probes import PROXY_HEADER, body, context, plain, request, tls
from tests.refused.row import Allowed, Call, Row

OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
OUTDATED = ("alert protocol version",)


def entrance(
    path: str, *, host: str = "", version: ssl.TLSVersion | None = None, headers: dict[str, str] | None = None
) -> Call:
    """From the internet through the balancer of a, by the shop's name."""

    def call(ground: Ground) -> str:
        with ground.at(INTERNET):
            say = request(path, host or ground.shop, headers) if path else b""
            return tls(
                ground.entrance("a"), HTTPS, ground.shop, made=context(None, version=version), say=say, source=STRANGER
            )

    return call


def own_front(before: bytes, *, version: ssl.TLSVersion | None = None, balancer: bool = True) -> Call:
    """An app host's port for the balancer, from itself: no rule of the network is in the way. `balancer`: from an address of a balancer's."""

    def call(ground: Ground) -> str:
        with ground.at("app-1.a"):
            made = context(None, version=version)
            return tls(
                ground.front("app-1.a"),
                HTTPS,
                ground.shop,
                made=made,
                before=before,
                say=request("/health", ground.shop),
                source=ground.balancers if balancer else None,
            )

    return call


def http(host: str = "") -> Call:
    """Plain http from the internet through the balancer of a; without `host` by the shop's name."""

    def call(ground: Ground) -> str:
        with ground.at(INTERNET):
            return plain(ground.entrance("a"), HTTP, request("/health", host or ground.shop), STRANGER)

    return call


def own_http(before: bytes, *, balancer: bool = True) -> Call:
    """An app host's port for the balancer's plain http, as `own_front`."""

    def call(ground: Ground) -> str:
        with ground.at("app-1.a"):
            say = before + request("/health", ground.shop)
            return plain(ground.front("app-1.a"), HTTP, say, ground.balancers if balancer else None)

    return call


def named(sni: str | None) -> Call:
    """A handshake at the entrance for another name than the shop's; None for none."""

    def call(ground: Ground) -> str:
        with ground.at(INTERNET):
            say = request("/health", ground.shop)
            return tls(ground.entrance("a"), HTTPS, sni, made=context(None), say=say, source=STRANGER)

    return call


def forged(header: str) -> Call:
    """What the shop makes of this header: `cleared` where nothing of it has arrived; it answers nobody who asks for another name than its own."""

    def call(ground: Ground) -> str:
        say = request("/products", ground.shop, {header: FORGED})
        with ground.at(INTERNET):
            told = body(ground.entrance("a"), HTTPS, ground.shop, context(None), say, STRANGER)
        return "cleared" if told.startswith("HTTP/1.1 200 ") and FORGED not in told else told[:40] or "closed"

    return call


def forward(
    pair: str,
    *,
    path: str = "/health",
    name: str = "app.a.dr.internal",
    trusts: bool = False,
    version: ssl.TLSVersion | None = None,
) -> Call:
    """From an app host of b to one of a. `pair`: whose certificate, empty for none."""

    def call(ground: Ground) -> str:
        with ground.at("app-1.b"):
            made = context(ground.ca if trusts else None, ground.certificate(pair), version)
            return tls(ground.vrack("app-1.a"), FORWARD, name, made=made, say=request(path, "app.a.dr.internal"))

    return call


def lease(
    pair: str, *, path: str = "/lease?site=b&epoch=1", source: str = "db-1.b", version: ssl.TLSVersion | None = None
) -> Call:
    """To the agent of db-1.a."""

    def call(ground: Ground) -> str:
        with ground.at(source):
            made = context(None, ground.certificate(pair), version)
            return tls(
                ground.vrack("db-1.a"), LEASE, "db-1.a.dr.internal", made=made, say=request(path, "db-1.a.dr.internal")
            )

    return call


def monitor(path: str, *, balancer: bool = True) -> Call:
    def call(ground: Ground) -> str:
        with ground.at("app-1.a"):
            source = ground.balancers if balancer else None
            return plain(ground.front("app-1.a"), HEALTH, request(path, ground.shop), source)

    return call


def unencrypted(host: str, port: int) -> Call:
    """HTTP where TLS is spoken."""

    def call(ground: Ground) -> str:
        with ground.at(host):
            return plain(
                ground.front(host) if port == HTTPS else ground.vrack(host), port, request("/health", ground.shop)
            )

    return call


FORGED = "shop.refused.example"
NO_CERTIFICATE = ("http 400", "alert certificate required", "alert unknown ca", "alert handshake failure", "closed")
ROWS = [
    *(
        Row(
            who="internet",
            what=f"entrance by {version.name}",
            wanted=OUTDATED,
            call=entrance("", version=version),
            closed_by="nginx: TLS 1.2 and up",
        )
        for version in OLD
    ),
    *(
        Row(
            who="internet",
            what=f"entrance, the shop's name in TLS and {what} in HTTP",
            wanted=("http 400", "http 421"),
            call=entrance("/health", host=host),
            closed_by="nginx: names agree",
        )
        for host, what in (("app.a.dr.internal", "an inner name"), ("other.example", "another"))
    ),
    *(
        Row(
            who="internet",
            what=f"entrance by plain http for {what}",
            wanted=("http 421",),
            call=http(host),
            closed_by="nginx: names agree",
        )
        for host, what in (("app.a.dr.internal", "an inner name"), ("other.example", "another name"))
    ),
    Row(
        who="anybody in front",
        what="app-1.a 80 without the balancer's header",
        wanted=("closed",),
        call=own_http(b""),
        closed_by="nginx: the balancer's header",
    ),
    Row(
        who="anybody in front",
        what="app-1.a 443 without the balancer's header",
        wanted=("closed",),
        call=own_front(b""),
        closed_by="nginx: the balancer's header",
    ),
    Row(
        who="anybody in front",
        what="app-1.a 443 with half a header",
        wanted=("closed", "alert unexpected message"),
        call=own_front(b"PROXY TCP4 192.0.2.1\r\n"),
        closed_by="nginx: the balancer's header",
    ),
    *(
        Row(
            who="app-1.b",
            what=f"app-1.a 8443 {what}",
            wanted=NO_CERTIFICATE,
            call=forward(pair),
            closed_by="nginx: a certificate of the pair",
        )
        for pair, what in (
            ("", "without a certificate"),
            ("stranger", "with another CA's"),
            ("public", "with the public name's certificate"),
            ("database shop", "with the certificate for the database"),
            ("cache shop", "with the certificate for the caches"),
        )
    ),
    Row(
        who="app-1.b",
        what="app-1.a 8443 by TLS 1.1",
        wanted=OUTDATED,
        call=forward("app-1.b", version=ssl.TLSVersion.TLSv1_1),
        closed_by="nginx: TLS 1.2 and up",
    ),
    Row(
        who="app-1.b",
        what="app-1.a under the name of b",
        wanted=("distrust",),
        call=forward("app-1.b", name="app.b.dr.internal", trusts=True),
        closed_by="the asker: names are verified",
    ),
    Row(
        who="app-1.a",
        what="8443 without TLS",
        wanted=("http 400",),
        call=unencrypted("app-1.a", FORWARD),
        closed_by="nginx: TLS alone",
    ),
    *(
        Row(
            who="the front network",
            what=f"app-1.a 8080 {path}",
            wanted=("http 404",),
            call=monitor(path),
            closed_by="nginx: the monitor's path alone",
        )
        for path in ("/products", "/health/deep", "/")
    ),
    *(
        Row(
            who="db-1.b",
            what=f"lease of db-1.a {what}",
            wanted=NO_CERTIFICATE,
            call=lease(pair),
            closed_by="agent: the counterpart's certificate",
        )
        for pair, what in (
            ("", "without a certificate"),
            ("stranger", "with another CA's"),
            ("cache-1.b", "with another host's"),
            ("app-1.a", "with an app host's"),
            ("cache cache-1.b", "with one for the caches"),
            ("database dr_replication", "with one for the database"),
        )
    ),
    Row(
        who="db-1.b",
        what="lease of db-1.a with the public name's certificate",
        wanted=NO_CERTIFICATE,
        call=lease("public"),
        closed_by="agent: the counterpart's certificate",
    ),
    Row(
        who="db-1.b",
        what="agent of db-1.a by TLS 1.1",
        wanted=OUTDATED,
        call=lease("db-1.b", version=OLD[1]),
        closed_by="agent: TLS 1.2 and up",
    ),
    *(
        Row(
            who="db-1.b",
            what=f"agent of db-1.a {path}",
            wanted=(answer,),
            call=lease("db-1.b", path=path),
            closed_by="agent: one question alone",
        )
        for path, answer in (
            ("/", "http 404"),
            ("/lease/../etc", "http 404"),
            ("/lease?site=b&epoch=x", "http 400"),
            ("/lease?site=b&epoch=-1", "http 400"),
            ("/lease?site=b&epoch=9999999999", "http 400"),
        )
    ),
    Row(
        who="internet",
        what="/health/deep at the entrance",
        wanted=("http 404",),
        call=entrance("/health/deep"),
        closed_by="nginx: deep health is inside",
    ),
    *(
        Row(
            who="internet",
            what=f"a handshake {what}",
            wanted=("alert unrecognized name",),
            call=named(sni),
            closed_by="nginx: no handshake for another name",
        )
        for sni, what in (("other.example", "for another name"), (None, "without a name"))
    ),
    *(
        Row(
            who="anybody in front",
            what=f"app-1.a {port} as the balancer, from another address",
            wanted=("closed",),
            call=call,
            closed_by="nginx: the balancer alone",
        )
        for port, call in (
            (HTTP, own_http(PROXY_HEADER, balancer=False)),
            (HTTPS, own_front(PROXY_HEADER, balancer=False)),
            (HEALTH, monitor("/health", balancer=False)),
        )
    ),
    Row(
        who="internet",
        what="a forged X-Forwarded-Host",
        wanted=("cleared",),
        call=forged("X-Forwarded-Host"),
        closed_by="nginx: what a client says of itself",
    ),
]
ALLOWED = [
    Allowed(who="internet", what="entrance /health", answer="http 200", call=entrance("/health")),
    Allowed(who="internet", what="entrance by plain http, led to https", answer="http 301", call=http()),
    Allowed(who="the balancer", what="app-1.a 80 with its header", answer="http 301", call=own_http(PROXY_HEADER)),
    Allowed(who="the balancer", what="app-1.a 443 with its header", answer="http 200", call=own_front(PROXY_HEADER)),
    Allowed(who="app-1.b", what="app-1.a 8443", answer="http 200", call=forward("app-1.b")),
    Allowed(who="app-1.b", what="app-1.a under its own name", answer="http 200", call=forward("app-1.b", trusts=True)),
    Allowed(who="db-1.b", what="lease of db-1.a", answer="http 200", call=lease("db-1.b")),
    Allowed(who="the front network", what="app-1.a 8080 /health", answer="http 200", call=monitor("/health")),
]
