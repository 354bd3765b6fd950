"""The shop's certificate by an ACME CA, on the pair's own hosts: jobs in systemd's sandboxes, a challenge in the zone, nginx that serves meanwhile."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
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
                tried = _rehearsed(stage)
                for word in ("a challenge: written into zone", "not proven: that the ACME CA issues one"):
                    record.expect(word in tried.stdout, f"drctl drill certificates does not say {word!r}")
                record.expect(tried.returncode == 0, f"it ended with {tried.returncode}: {tried.stdout[-1500:]}")
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


@drill("certificates-rehearsed")
def certificates_rehearsed(stage: Stage, record: Record) -> None:
    """`drctl drill certificates` while customers order: every host would take what is new, nothing fails, and a host that trusts another CA is told."""
    with stage.shopping(record) as shop:
        began = time.monotonic()
        with _pair_of_shop(stage) as words:
            done = _rehearsed(stage, *words)
            record.figures["rehearsed_s"] = round(time.monotonic() - began, 1)
            record.expect(
                done.returncode == 0, f"it ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}"
            )
            for word in ("the pair that was given", "handshakes of 10 hosts"):
                record.expect(word in done.stdout + done.stderr, f"it does not say {word!r}: {done.stdout[-1500:]}")
        deaf = f"app-1.{stage.standby}"
        with _trusts_another(stage, deaf):
            told = _rehearsed(stage)
        record.expect(told.returncode == 1, f"with a host that trusts another CA it ended with {told.returncode}")
        record.expect(
            f"AGAINST  {deaf} as host" in told.stdout, f"it does not name {deaf}: {(told.stdout + told.stderr)[-2000:]}"
        )
        shop.flow("orders flow on")
        record.expect(shop.failures(began) == 0, f"{shop.failures(began)} requests failed while it was rehearsed")
    left = {host: _left(stage, host) for host in ("app-1.a", "app-2.a", "app-1.b", "app-2.b")}
    record.expect(not any(left.values()), f"it has left {left}")
    listed = stage.pulumi.typed("report", "list", *_stack(stage), "--json")
    events = [it["record"]["event"] for it in json.loads(listed.stdout)["records"]]
    outcomes = [it["outcome"] for it in events if it["scenario"] == "certificates"]
    record.expect(outcomes == ["done", "failed"], f"records of it: {outcomes}")


def _rehearsed(stage: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    return stage.pulumi.typed("drill", "certificates", *_stack(stage), "--reason", "of the quarter", *words)


def _stack(stage: Stage) -> list[str]:
    return ["--stack", stacks.stack_name("a"), "--config-file", str(stage.pulumi.files["a"])]


def _left(stage: Stage, host: str) -> list[str]:
    return stage.line(host, "sh -c 'ls -d /run/dr-certificate-try-* 2>/dev/null || true'").split()


@contextmanager
def _pair_of_shop(stage: Stage) -> Iterator[list[str]]:
    """Arguments that name files with the shop's own certificate, as a person has them who has got another."""
    with tempfile.TemporaryDirectory() as folder:
        words = []
        for name in ("cert", "key"):
            file = Path(folder) / name
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
            file.write_text(stage.world.secrets["tls"]["shop"][name])
            words += [f"--shop-{name}", str(file)]
        yield words


@contextmanager
def _trusts_another(stage: Stage, host: str) -> Iterator[None]:
    """While the block runs, the file of the CA that a host trusts is of another purpose."""
    stage.line(host, "sh -c 'cp -p /etc/dr/ca.pem /etc/dr/ca.pem.kept && cp /etc/shop/tls/cache-ca.pem /etc/dr/ca.pem'")
    try:
        yield
    finally:
        stage.line(host, "mv /etc/dr/ca.pem.kept /etc/dr/ca.pem")
