"""The shop's certificate for real: lego orders it of pebble, the challenge goes through the rehearsal's OVHcloud API to real name servers, it is handed over at
an S3 server, taken by app hosts of both sites, and shown by nginx's own library.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest

from contract import hosts
from contract.consumer_key import challenge
from contract.hosts import Place
from contract.services.certificate import Terms
from lab.cloud.web import Call, Reply
from lab.pairs.acme import DELEGATED, KEYS, ZONE, Ca, authority
from scripts.ctl.stacks.secrets import certificates
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.witness import Witness
from scripts.host.host.certificate import lego, memory
from scripts.host.host.certificate.job import Job, objects
from scripts.host.host.certificate.lego import Lego
from scripts.host.host.certificate.memory import Memory
from scripts.host.host.certificate.order import Ordering
from scripts.host.host.certificate.sealed import Own, opened
from scripts.host.host.certificate.take import Taking, shown_now
from tests.lab.ovh.fakes import FakeStorage
from tests.unit.test_witness import endpoint, place

__all__ = ["endpoint", "place"]  # fixtures
SHOP = f"www.{ZONE}"
HOSTS = {
    key: it
    for site in "ab"
    for key, it in hosts.site_hosts(site, Place(front="10.1.0.0/24", vrack="10.2.0.0/24", offset=0)).items()
}
SECRETS = certificates({key: hosts.certificate_names(it) for key, it in HOSTS.items()}, SHOP)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ca]:
    with authority(tmp_path_factory.mktemp("ca"), FakeStorage(), os.getpid() % 200) as it:
        yield it


@pytest.fixture(autouse=True)
def resolv(ca: Ca, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """lego asks the resolver that its machine was given: as on a host of ours, that is the one of the zone's servers."""
    (tmp_path / "resolv.conf").write_text(f"nameserver {ca.dns.resolver.host}\n")
    program = tmp_path / "lego"
    program.write_text(
        f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec /usr/bin/lego "$@"\' lego "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(lego, "PROGRAM", str(program))
    monkeypatch.setattr(lego, "POLL_S", 1)
    ca.dns.flush()


@dataclass
class Site:
    """Hosts of both sites, each with a root of its own, and the witness between them."""

    root: Path
    ca: Ca
    witness: Witness
    shop: str = SHOP
    said: StringIO = field(default_factory=StringIO)

    def layout(self, host: str) -> Layout:
        """With what `host converge` puts there."""
        layout = Layout(self.root / host)
        pair = SECRETS["hosts"][host]
        layout.etc.mkdir(parents=True, exist_ok=True)
        layout.at("/etc/shop").mkdir(exist_ok=True)
        for name, text in (("ca.pem", SECRETS["ca"]), ("host.crt", pair["cert"]), ("host.key", pair["key"])):
            (layout.etc / name).write_text(text)
        for name, text in KEYS.items():
            (layout.etc / name).write_text(text)
        (layout.etc / "cas.pem").write_text(self.ca.cas)
        self.folder(host).mkdir(parents=True, exist_ok=True)
        return layout

    def folder(self, host: str) -> Path:
        return self.root / host / "state"

    def job(self, host: str) -> Job:
        terms = Terms(
            directory=self.ca.directory,
            contact=f"ops@{ZONE}",
            endpoint=self.ca.endpoint,
            resolvers=(self.ca.dns.resolver.host,),
            opened_by={
                key: SECRETS["hosts"][key]["cert"] for key, it in HOSTS.items() if it.role in ("control", "app")
            },
        )
        name, _, site = host.partition(".")
        return Job(site=site, host=name, shop=self.shop, ca=self.ca.cas, order=terms if name == "control-1" else None)

    def own(self, host: str) -> Own:
        etc = self.layout(host).etc
        return Own(etc / "host.crt", etc / "host.key", etc / "ca.pem")

    def order(self, site: str, now: float | None = None) -> Memory:
        """One run of a bastion's job."""
        host = f"control-1.{site}"
        layout, job = self.layout(host), self.job(host)
        self.ca.dns.flush()  # a CA keeps no answer of an earlier order
        return Ordering(
            job=job,
            own=self.own(host),
            folder=self.folder(host),
            look=lambda: self.witness.glance(0, tuple(objects().values())),
            put=self.witness.store,
            order=Lego(job, self.folder(host), layout.etc, layout.etc / "cas.pem").order,
            log=Log(self.said, "certificate order"),
            now=lambda: time.time() if now is None else now,
        ).go()

    def take(self, host: str, reloads: list[str] | None = None) -> dict[str, Any]:
        """One run of an app host's job."""

        def reload() -> None:
            if reloads is not None:
                reloads.append(host)

        return Taking(
            job=self.job(host),
            own=self.own(host),
            layout=self.layout(host),
            folder=self.folder(host),
            look=lambda: self.witness.glance(0, tuple(objects().values())).bodies,
            reload=reload,
            log=Log(self.said, "certificate take"),
        ).go()

    def active(self, number: int, site: str) -> None:
        self.witness.put(f"epochs/{number:08d}.json", {"schema": 1, "epoch": number, "active": site})

    def memory(self, site: str) -> Memory:
        return memory.load(self.folder(f"control-1.{site}"))


@pytest.fixture
def pair(tmp_path: Path, ca: Ca, place: Any) -> Site:
    it = Site(tmp_path, ca, Witness(place.endpoint, place.region, place.bucket, place.access_key, place.secret_key))
    it.active(1, "a")
    return it


@pytest.fixture
def asked(ca: Ca, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the OVHcloud API was asked."""
    found: list[tuple[str, str]] = []
    handle = ca.api.handle

    def noted(call: Call) -> Reply:
        found.append((call.method, call.path))
        return handle(call)

    monkeypatch.setattr(ca.api, "handle", noted)
    return found


def stored(place: Any, site: str) -> bytes:
    s3 = boto3.client(
        "s3",
        endpoint_url=place.endpoint,
        region_name="us-east-1",
        aws_access_key_id=place.access_key,
        aws_secret_access_key=place.secret_key,
    )
    body: bytes = s3.get_object(Bucket=place.bucket, Key=f"certificates/{site}/shop.json")["Body"].read()
    return body


def test_the_active_bastion_orders_one_and_app_hosts_of_both_sites_show_it(
    pair: Site, place: Any, asked: list[tuple[str, str]]
) -> None:
    done = pair.order("a")
    assert (done.error, done.state, done.failures) == (None, "handed over", 0), pair.said.getvalue()
    reloads: list[str] = []
    shown = {host: pair.take(host, reloads) for host in ("app-1.a", "app-2.a", "app-1.b")}
    assert {it["shown"] for it in shown.values()} == {done.ordered}
    assert reloads == [*shown], "each nginx was told once"
    for host in shown:
        link = pair.layout(host).at("/etc/shop/shown")
        assert stat.S_IMODE((link / "tls.key").stat().st_mode) == 0o600
        assert shown_now(pair.job(host), pair.layout(host)) is not None
    key = (pair.layout("app-1.a").at("/etc/shop/shown") / "tls.key").read_text().splitlines()[1]
    assert key.encode() not in stored(place, "a"), "whoever reads the bucket reads no key"
    left = [path for path in pair.folder("control-1.a").rglob("*") if path.is_file() and key in path.read_text()]
    assert left == [], "no copy of the key stays on the bastion"
    zone = f"/1.0/domain/zone/{ZONE}"
    assert [path for _, path in asked if path != "/1.0/auth/time"][:2] == [f"{zone}/record", f"{zone}/refresh"]
    assert "_acme" not in str([it["subDomain"] for it in pair.ca.api.zones[ZONE].records()]), (
        "the challenge is gone again"
    )

    asked.clear()
    assert pair.order("a").state == "handed over"
    assert pair.take("app-1.a", reloads)["shown"] == done.ordered
    assert (asked, reloads) == ([], [*shown]), "one that is good is neither ordered nor reloaded again"


def test_a_database_host_opens_nothing_of_it(pair: Site, place: Any) -> None:
    pair.order("a")
    assert opened(stored(place, "a"), pair.own("app-1.b"), "control-1.a.dr.internal").shop == SHOP
    for host, signer in (("db-1.a", "control-1.a.dr.internal"), ("app-1.b", "control-1.b.dr.internal")):
        with pytest.raises(Exception, match=r"cannot be opened|signed by another"):
            opened(stored(place, "a"), pair.own(host), signer)


def test_who_takes_over_orders_none_while_that_of_the_other_is_good(pair: Site, asked: list[tuple[str, str]]) -> None:
    first = pair.order("a")
    asked.clear()
    assert pair.order("b").state == "site a is active, and orders"
    pair.active(2, "b")
    assert pair.order("b").ordered == first.ordered
    assert pair.order("a").state == "site b is active, and orders"
    assert asked == []


def test_two_bastions_that_both_order_cost_one_order_and_nothing_else(pair: Site) -> None:
    """A move in the middle of an order: a ends what it has begun, b had looked before it was there."""
    pair.order("a")
    late = Site(pair.root, pair.ca, pair.witness, pair.shop, pair.said)
    pair.active(2, "b")
    life = 90 * 86_400
    second = late.order("b", now=time.time() + life * 0.7)
    assert second.error is None, pair.said.getvalue()
    assert {pair.take(host)["shown"] for host in ("app-1.a", "app-1.b")} == {second.ordered}


def test_one_that_is_two_thirds_through_its_life_is_renewed(pair: Site) -> None:
    first, life = pair.order("a"), 90 * 86_400
    pair.take("app-1.a")
    assert pair.order("a", now=time.time() + life * 0.6).ordered == first.ordered
    second = pair.order("a", now=time.time() + life * 0.7)
    assert second.ordered != first.ordered and second.error is None, pair.said.getvalue()
    assert pair.take("app-1.a")["shown"] == second.ordered
    folders = [it.name for it in pair.layout("app-1.a").at("/etc/shop").glob("acme-*")]
    assert folders == [f"acme-{str(second.ordered)[:16]}"], "no key of before stays"


def test_the_challenge_is_answered_in_a_zone_of_its_own_where_a_name_leads_there(
    pair: Site, monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, str]]
) -> None:
    api = pair.ca.api
    api.zones[ZONE].put(
        {
            "id": api.next_id(),
            "zone": ZONE,
            "subDomain": "_acme-challenge.www",
            "fieldType": "CNAME",
            "target": f"{SHOP}.{DELEGATED}.",
            "ttl": 60,
        }
    )
    pair.ca.dns.publish(ZONE, api.zones[ZONE].published(), api.zones[ZONE].next_serial())
    monkeypatch.setattr(api, "config", replace(api.config, granted=tuple(challenge(DELEGATED))))
    try:
        assert pair.order("a").error is None, pair.said.getvalue()
    finally:
        row = next(it for it in api.zones[ZONE].records() if it["fieldType"] == "CNAME")
        api.zones[ZONE].delete(str(row["id"]))
        pair.ca.dns.publish(ZONE, api.zones[ZONE].published(), api.zones[ZONE].next_serial())
    assert not [path for _, path in asked if f"/zone/{ZONE}/" in path], "the shop's own zone was not touched"


def refused(pair: Site) -> str:
    """What one run comes to, where nothing is handed over; nobody is asked again before its time, whatever is started anew."""
    done = pair.order("a")
    assert (done.ordered, done.failures) == (None, 1)
    assert done.error and done.next > time.time() + 800
    before = list(pair.ca.api.all()["records"][ZONE])
    again = pair.order("a")
    assert again.state.startswith("one is to be ordered, and the CA is asked again in ") and again.tried == done.tried
    assert list(pair.ca.api.all()["records"][ZONE]) == before
    assert pair.take("app-1.a")["shown"] is None
    return done.error


def test_name_servers_that_do_not_serve_the_challenge_are_not_waited_for_without_end(
    pair: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lego, "PROPAGATION_S", 3)
    monkeypatch.setattr(pair.ca.api.knobs, "refresh", "ignored")
    began = time.monotonic()
    assert "the zone's name servers do not serve the challenge within 3 s" in refused(pair)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("knob", [{"failing": 500}, {"refresh": "forbidden"}])
def test_an_api_that_is_down_or_refuses_is_told(
    pair: Site, monkeypatch: pytest.MonkeyPatch, knob: dict[str, Any]
) -> None:
    for name, value in knob.items():
        monkeypatch.setattr(pair.ca.api.knobs, name, value)
    assert "the OVHcloud API does not take the challenge" in refused(pair)


def test_a_ca_that_refuses_the_name_is_told(pair: Site) -> None:
    pair.shop = f"www.blocked.{ZONE}"
    assert "the CA refuses: rejectedIdentifier" in refused(pair)


def test_a_ca_that_is_away_is_told(pair: Site) -> None:
    pair.ca = Ca("https://127.0.0.1:9/dir", pair.ca.cas, pair.ca.endpoint, pair.ca.api, pair.ca.dns)
    assert "the order failed" in refused(pair)
