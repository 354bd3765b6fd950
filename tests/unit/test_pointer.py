"""Where the name points: targets by mode, records changed in place, servers asked."""

import socket
import threading
from typing import Any

import dns.message
import dns.rdatatype
import dns.rrset
import pytest

from contract import fields
from contract.epoch import Epoch
from contract.errors import Failed, Partial, Refused
from contract.limits import LINKS_S
from contract.links.pointer import Document
from scripts.clients import nameservers, witness_bucket
from scripts.clients.ovh import Answered
from scripts.clients.witness_bucket import WitnessDown
from scripts.links import pointer
from scripts.links.pointer import Plan, targets

A, B = "203.0.113.5", "198.51.100.5"


def record(number, target, ttl=60, kind="A"):
    """As a zone hands it out."""
    return {"id": number, "kind": kind, "target": target, "ttl": ttl}


def stored(number, target, ttl=60, kind="A", sub="www"):
    """As the API does."""
    return {"id": number, "fieldType": kind, "subDomain": sub, "target": target, "ttl": ttl}


@pytest.mark.parametrize(
    ("mode", "site", "active", "known", "wanted"),
    [
        ("single", "a", "a", {"a": A, "b": B}, {A}),
        ("single", "b", "b", {"a": A, "b": B}, {B}),
        ("single", "b", "a", {"a": A, "b": B}, set()),
        ("dual", "a", "a", {"a": A, "b": None}, {A}),
        ("dual", "b", "a", {"a": A, "b": B}, {A, B}),
        ("dual", "b", "b", {"a": A, "b": B}, {A, B}),
    ],
)
def test_targets(mode, site, active, known, wanted):
    assert targets(mode, site, active, known) == wanted


@pytest.mark.parametrize(
    ("records", "wanted", "create", "update", "delete"),
    [
        ([], {A}, [A], [], []),
        ([record(1, A)], {A}, [], [], []),
        ([record(1, A)], {B}, [], [(1, B)], []),
        ([record(1, A)], {A, B}, [B], [], []),
        ([record(1, A), record(2, B)], {B}, [], [], [1]),
        ([record(1, A), record(2, A)], {A}, [], [], [2]),
        ([record(1, "192.0.2.1"), record(2, "192.0.2.2")], {A}, [], [(1, A)], [2]),
        ([record(1, A, 3600)], {A}, [], [(1, A)], []),
    ],
)
def test_records_change_in_place_where_they_can(records, wanted, create, update, delete):
    plan = Plan(records, wanted, 60)
    assert (plan.create, plan.update, plan.delete) == (create, update, delete)


class PlayedZone:
    """A zone of nobody's: what it is told, in order."""

    def __init__(self, *records):
        self.there, self.told = list(records), []

    def records(self):
        return self.there

    def create(self, target, ttl):
        self.told.append(("create", target, ttl))

    def change(self, number, target, ttl):
        self.told.append(("change", number, target, ttl))

    def remove(self, number):
        self.told.append(("remove", number))

    def refresh(self):
        self.told.append(("refresh",))


@pytest.mark.parametrize(
    ("records", "wanted", "told"),
    [
        ([record(1, A)], {A}, []),
        ([], {A, B}, [("create", B, 60), ("create", A, 60)]),
        ([record(1, A), record(2, "192.0.2.1")], {B}, [("change", 1, B, 60), ("remove", 2)]),
        ([record(1, A), record(2, A, 3600)], {A, B}, [("create", B, 60), ("remove", 2)]),
    ],
)
def test_any_zone_is_told_to_add_before_it_removes(records, wanted, told):
    zone = PlayedZone(*records)
    assert pointer._point(zone, wanted, 60) == bool(told)
    assert zone.told == told


class PlayedApi:
    """The records of one name, and what the servers hand out after a refresh."""

    records: dict[int, Any] = {}
    served: set[str] = set()
    calls: list[tuple[str, str]] = []
    down = False
    refresh_lies = 0
    ghosts: set[int] = set()  # listed, and gone when they are asked for
    vanishing: set[int] = set()  # gone when they are to be changed

    def __init__(self, document, **_):
        pass

    def ask(self, method, path, body=None):
        cls = PlayedApi
        if cls.down:
            raise Failed("OVHcloud API x: no usable answer")
        cls.calls.append((method, path.rsplit("/", 1)[-1] if method != "GET" else "GET"))
        if path.endswith("/refresh"):
            if cls.refresh_lies:
                cls.refresh_lies -= 1
            else:
                cls.served = {item["target"] for item in cls.records.values() if item["fieldType"] in ("A", "AAAA")}
            return None
        if method == "GET" and "?" in path:
            assert "fieldType" not in path, "all types lead somewhere"
            return [*cls.records, *cls.ghosts]
        if method != "POST" and int(path.rsplit("/", 1)[1]) not in cls.records:
            cls.ghosts = set()
            raise Answered("OVHcloud API x: answered 404 Not Found", 404, own=True)
        if method == "GET":
            return cls.records[int(path.rsplit("/", 1)[1])]
        if method == "POST":
            number = max(cls.records, default=0) + 1
            cls.records[number] = {"id": number, **body}
            return cls.records[number]
        number = int(path.rsplit("/", 1)[1])
        if method == "PUT" and number in cls.vanishing:
            del cls.records[number]
            cls.vanishing.discard(number)
            raise Answered("OVHcloud API x: answered 404 Not Found", 404, own=True)
        if method == "PUT":
            cls.records[number].update(body)
        else:
            del cls.records[number]
        return None


@pytest.fixture
def zone(monkeypatch):
    PlayedApi.records, PlayedApi.served, PlayedApi.calls, PlayedApi.down, PlayedApi.refresh_lies = (
        {},
        set(),
        [],
        False,
        0,
    )
    PlayedApi.ghosts, PlayedApi.vanishing = set(), set()
    monkeypatch.setattr(pointer, "OvhApi", PlayedApi)
    monkeypatch.setattr(pointer, "Witness", PlayedWitness)
    monkeypatch.setattr(nameservers, "answers", lambda server, name: set(PlayedApi.served))
    monkeypatch.setattr(pointer, "SERVED_S", 0.3)
    return PlayedApi


def told(mode="single", active="b"):
    keys = dict.fromkeys(("application_key", "application_secret", "consumer_key"), "k")
    witness = {"endpoint": "http://w", "region": "de", "bucket": "w", "access_key": "k", "secret_key": "s"}
    document = {
        "site": "b",
        "epoch": {"epoch": 2, "active": active},
        "dns": {"zone": "shop.example", "subdomain": "www", "ttl": 60, "mode": mode, "servers": ["192.0.2.21:53"]},
        "address": B,
        "ovh": {"endpoint": "ovh-eu", **keys},
        "witness": witness,
    }
    return fields.read(Document, document, "document of pointer")


class PlayedWitness:
    """Knows the other site's address. `said`: its newest epoch, or what it fails with."""

    said: Any = None

    def __init__(self, place, **_):
        pass

    def newest(self):
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def addresses(self, site):
        return {"lb": A}


def test_a_move_updates_the_one_record_and_refreshes(zone):
    zone.records, zone.served = {7: stored(7, A)}, {A}
    answer = pointer.run(told())
    assert answer["addresses"] == [B]
    assert zone.served == {B}
    assert [call for call in zone.calls if call[0] != "GET"] == [("PUT", "7"), ("POST", "refresh")]


def test_the_active_sites_name_is_noted_once_it_is_served_and_the_standbys_is_not(zone, kept):
    zone.records, zone.served, zone.refresh_lies = {7: stored(7, A)}, {A}, 99
    with pytest.raises(Partial):
        pointer.run(told())
    assert kept.told() == []
    zone.refresh_lies = 0
    pointer.run(told())
    assert kept.told() == [("moved", "b")]
    pointer.run(told("dual", active="a"))
    assert kept.told() == [("moved", "b")]


def test_a_run_that_was_overtaken_by_another_move_leaves_the_name_alone(zone, monkeypatch):
    """It waited for a slow API, and the shop was moved home meanwhile: nothing would lead the name back."""
    monkeypatch.setattr(PlayedWitness, "said", Epoch(epoch=3, active="a", previous="b", planned=True))
    zone.records, zone.served = {7: stored(7, A)}, {A}
    with pytest.raises(Refused, match=r"epoch 3 is in force and region a active, wanted epoch 2 of region b"):
        pointer.run(told())
    assert [call for call in zone.calls if call[0] != "GET"] == []


@pytest.mark.parametrize(
    "said",
    [
        None,
        Epoch(epoch=2, active="b", previous="a", planned=True),
        Epoch(epoch=4, active="b", previous="a", planned=True),
        WitnessDown("no answer within 3 s"),
        Failed("witness object epochs/00000002.json: is not a JSON object"),
    ],
)
def test_the_name_moves_also_where_the_witness_says_nothing_against_it(zone, monkeypatch, said):
    monkeypatch.setattr(PlayedWitness, "said", said)
    zone.records, zone.served = {7: stored(7, A)}, {A}
    pointer.run(told())
    assert zone.served == {B}


def test_again_changes_nothing_and_does_not_refresh(zone):
    zone.records, zone.served = {7: stored(7, B)}, {B}
    pointer.run(told())
    assert [call for call in zone.calls if call[0] != "GET"] == []


def test_a_refresh_that_was_lost_earlier_is_made_up_for(zone):
    zone.records, zone.served = {7: stored(7, B)}, {A}
    pointer.run(told())
    assert zone.served == {B}


def test_servers_that_keep_the_old_answer_are_an_error_that_says_how_to_go_on(zone):
    zone.records, zone.served, zone.refresh_lies = {7: stored(7, A)}, {A}, 99
    with pytest.raises(Partial, match="run the same again"):
        pointer.run(told())


def test_a_standby_in_single_mode_asks_nobody(zone):
    pointer.run(told(active="a"))
    assert zone.calls == []


def test_a_dead_api_is_a_warning_when_the_name_is_served_as_wanted(zone, capsys):
    zone.down, zone.served = True, {A, B}
    assert pointer.run(told("dual"))["addresses"] == sorted([A, B])
    assert "WARNING pointer" in capsys.readouterr().err


def test_a_dead_api_is_an_error_when_it_is_not(zone):
    zone.down, zone.served = True, {A}
    with pytest.raises(Failed, match="no usable answer"):
        pointer.run(told())


def test_what_is_gone_between_two_questions_is_gone(zone):
    """octodns#318"""
    zone.records, zone.served, zone.ghosts = {7: stored(7, A)}, {A}, {8}
    pointer.run(told())
    assert zone.served == {B}


def test_a_record_that_goes_before_it_is_changed_is_made_anew(zone):
    zone.records, zone.served, zone.vanishing = {7: stored(7, A)}, {A}, {7}
    pointer.run(told())
    assert [item["target"] for item in zone.records.values()] == [B]
    assert zone.served == {B}


def test_records_of_other_names_are_nobodys_here(zone):
    """A filter for the zone's own name, which is empty, may be none to the API."""
    zone.records, zone.served = {6: stored(6, A, sub="mail"), 7: stored(7, A)}, {A}
    with pytest.raises(Partial):
        pointer.run(told())
    assert zone.records[6]["target"] == A and zone.records[7]["target"] == B


@pytest.mark.parametrize(
    ("kind", "target"), [("AAAA", "2001:db8::9"), ("HTTPS", "1 . ipv6hint=2001:db8::9"), ("SVCB", "1 x.")]
)
def test_what_leads_some_customers_elsewhere_is_an_error_once_the_rest_is_done(zone, kind, target):
    """caddy-dynamicdns#96"""
    zone.records, zone.served = {7: stored(7, A), 8: stored(8, target, kind=kind)}, {A}
    with pytest.raises(Partial, match=rf"has {kind} .*\(record 8\) as well, wanted A records alone") as caught:
        pointer.run(told())
    assert target in str(caught.value)
    assert (zone.records[7]["target"], zone.records[8]["target"]) == (B, target)
    assert ("POST", "refresh") in zone.calls


@pytest.mark.parametrize("kind", ["CNAME", "DNAME", "NS"])
def test_what_leads_all_customers_elsewhere_is_refused_with_nothing_changed(zone, kind):
    zone.records, zone.served = {8: stored(8, "shop.elsewhere.example.", kind=kind)}, set()
    with pytest.raises(
        Refused, match=rf"has {kind} shop.elsewhere.example. \(record 8\), wanted A records; .*no record was changed"
    ):
        pointer.run(told())
    assert [call for call in zone.calls if call[0] != "GET"] == []


@pytest.mark.parametrize("kind", ["TXT", "MX", "CAA", "TLSA"])
def test_what_leads_nobody_anywhere_stays_and_is_no_error(zone, kind):
    zone.records, zone.served = {7: stored(7, A), 8: stored(8, "x", kind=kind)}, {A}
    pointer.run(told())
    assert zone.records[8]["target"] == "x"


def test_the_name_servers_of_the_zone_itself_are_no_delegation():
    records = [record(1, "ns1.example.", kind="NS"), record(2, A)]
    assert pointer._strangers(records, "shop.example", apex=True) == []


class Answering:
    """A name server of straw: answers with these records of the type that is asked for."""

    def __init__(self, **records):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.place, self.records = f"127.0.0.1:{self.sock.getsockname()[1]}", records
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            data, client = self.sock.recvfrom(4096)
            asked = dns.message.from_wire(data)
            reply = dns.message.make_response(asked)
            kind = dns.rdatatype.to_text(asked.question[0].rdtype)
            for text in self.records.get(kind, ()):
                reply.answer.append(dns.rrset.from_text(asked.question[0].name, 60, "IN", *text.split()))
            self.sock.sendto(reply.to_wire(), client)


def test_servers_are_asked_for_addresses_of_both_kinds_and_aliases():
    assert nameservers.answers(Answering(A=[f"A {A}"]).place, "www.shop.example") == {A}
    assert nameservers.answers(Answering(A=[f"A {A}"], AAAA=["AAAA 2001:db8::9"]).place, "www.shop.example") == {
        A,
        "2001:db8::9",
    }
    assert nameservers.answers(Answering(A=["CNAME x.example."]).place, "www.shop.example") == {"x.example."}


def test_all_that_a_run_may_take_fits_into_the_links_limit():
    rounds = 3 * len(nameservers.ASKED) * nameservers.QUERY_S
    witness_s = 2 * (witness_bucket.ANSWER_S + witness_bucket.PAUSE_S)
    assert pointer.API_S + pointer.SERVED_S + rounds + witness_s < LINKS_S["pointer"]
