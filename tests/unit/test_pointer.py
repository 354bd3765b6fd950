"""Where the name points: targets by mode, records changed in place, servers asked."""

from typing import Any

import pytest

from contract import fields
from contract.errors import Failed, Partial
from contract.links.pointer import Document
from scripts.links import pointer
from scripts.links.pointer import Plan, targets

A, B = "203.0.113.5", "198.51.100.5"


def record(number, target, ttl=60):
    return {"id": number, "target": target, "ttl": ttl}


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

    def __init__(self, document):
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
                cls.served = {item["target"] for item in cls.records.values()}
            return None
        if method == "GET":
            return list(cls.records) if "?" in path else cls.records[int(path.rsplit("/", 1)[1])]
        if method == "POST":
            number = max(cls.records, default=0) + 1
            cls.records[number] = {"id": number, **body}
            return cls.records[number]
        number = int(path.rsplit("/", 1)[1])
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
    monkeypatch.setattr(pointer, "OvhApi", PlayedApi)
    monkeypatch.setattr(pointer, "Witness", PlayedWitness)
    monkeypatch.setattr(pointer, "_answers", lambda server, name: set(PlayedApi.served))
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
    """Knows the other site's address."""

    def __init__(self, place):
        pass

    def addresses(self, site):
        return {"lb": A}


def test_a_move_updates_the_one_record_and_refreshes(zone):
    zone.records, zone.served = {7: record(7, A)}, {A}
    answer = pointer.run(told())
    assert answer["addresses"] == [B]
    assert zone.served == {B}
    assert [call for call in zone.calls if call[0] != "GET"] == [("PUT", "7"), ("POST", "refresh")]


def test_again_changes_nothing_and_does_not_refresh(zone):
    zone.records, zone.served = {7: record(7, B)}, {B}
    pointer.run(told())
    assert [call for call in zone.calls if call[0] != "GET"] == []


def test_a_refresh_that_was_lost_earlier_is_made_up_for(zone):
    zone.records, zone.served = {7: record(7, B)}, {A}
    pointer.run(told())
    assert zone.served == {B}


def test_servers_that_keep_the_old_answer_are_an_error_that_says_how_to_go_on(zone):
    zone.records, zone.served, zone.refresh_lies = {7: record(7, A)}, {A}, 99
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
