"""The shop's certificate by an ACME CA, on the pair's own hosts: jobs in systemd's sandboxes, a challenge in the zone, nginx that serves meanwhile."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lab.assembly import RESOLVER
from lab.pairs.acme import pebble
from lab.rehearsal import stacks
from lab.rehearsal.drills import drill
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import wait_for

SHOWN_S = 420.0  # a timer of four minutes, and half a minute at random, on the bastion; the same on an app host
CA_NAME = "Pebble"
EVERY_S, ANSWER_S = 0.2, 5.0


class Customers:
    """Asks both entrances, over and over, with a new connection each time; who issued what was shown, and what went wrong, by entrance."""

    def __init__(self, host: str, addresses: Mapping[str, str], path: str, cas: str) -> None:
        self._host, self._addresses, self._path = host, dict(addresses), path
        self._tls = ssl.create_default_context(cadata=cas)
        self.asked, self.failed, self.shown = 0, Counter[str](), dict[str, str]()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(site,), daemon=True) for site in addresses]

    def __enter__(self) -> Customers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * ANSWER_S)

    def _ask(self, site: str) -> None:
        while not self._over.wait(EVERY_S):
            try:
                self.shown[site] = self._issuer(site)
            except (OSError, http.client.HTTPException) as error:
                self.failed[f"region {site}: {type(error).__name__}: {error}"] += 1
            self.asked += 1

    def _issuer(self, site: str) -> str:
        with (
            socket.create_connection((self._addresses[site], 443), ANSWER_S) as raw,
            self._tls.wrap_socket(raw, server_hostname=self._host) as line,
        ):
            told: Any = line.getpeercert()
            link = http.client.HTTPSConnection(self._host, timeout=ANSWER_S)
            link.sock = line
            link.request("GET", self._path)
            answer = link.getresponse()
            answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise http.client.HTTPException(f"answered {answer.status}")
            return str(next(value for part in told["issuer"] for name, value in part if name == "commonName"))


@drill("certificate-ordered")
def certificate_ordered(stage: Stage, record: Record) -> None:
    """An ACME CA's certificate is ordered by the active region's bastion, shown by both entrances, and again by the secrets' own: no request fails."""
    world = stage.world
    host, shop_ca = world.config["dr:shop"]["host"], world.secrets["tls"]["shop"]["ca"]
    addresses = {site: stage.witness.addresses(site)["lb"] for site in "ab"}
    path = world.config["dr:app"].get("health_path", "/up")
    folder = world.places.run / "acme"
    folder.mkdir(exist_ok=True)
    with pebble(folder, f"{RESOLVER.host}:53", RESOLVER.host) as (directory, cas):
        terms = {"directory": directory, "contact": f"ops@{world.config['dr:dns']['zone']}", "ca": cas}
        with Customers(host, addresses, path, shop_ca + cas) as customers:
            with _ordered(stage, terms):
                began = time.monotonic()
                wait_for("both entrances show it", lambda: _all(customers, True), SHOWN_S, 1.0)
                record.figures["shown_after_s"] = round(time.monotonic() - began, 1)
                target = stage.standby
                stage.must(stage.take_over(target), target)
                stage.follow()
                record.expect(_all(customers, True), f"after a planned move: {customers.shown}")
            wait_for("both entrances show their own again", lambda: _all(customers, False), 60, 1.0)
        record.figures |= {"requests": customers.asked, "failed": sum(customers.failed.values())}
        record.expect(not customers.failed, f"failed requests: {dict(customers.failed)}")


@contextmanager
def _ordered(stage: Stage, terms: Mapping[str, Any]) -> Iterator[None]:
    """While the block runs, both sites have the shop's certificate from that CA."""
    keys = {name: stage.world.lab["ovh"][name] for name in ("application_key", "application_secret", "consumer_key")}
    before = {site: stage.world.configure(site, "shop", None) for site in "ab"}
    try:
        _run(
            stage, {site: {**before[site], "acme": dict(terms)} for site in "ab"}, {**stage.world.secrets, "acme": keys}
        )
        yield
    finally:
        _run(stage, before, stage.world.secrets)


def _run(stage: Stage, shop: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
    for site in (stage.standby, stage.active):
        stage.world.configure(site, "shop", shop[site])
        stage.pulumi.config_set(site, "secrets", stacks.to_stdin(secrets), secret=True)
    for site in (stage.standby, stage.active):
        stage.must(stage.pulumi.up(site), site)


def _all(customers: Customers, ordered: bool) -> bool:
    """Whether both show one that was ordered, or both none."""
    return {(CA_NAME in name) for name in customers.shown.values()} == {ordered}
