"""Records and the refresh that alone publishes them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from lab.dns.servers import DnsError, Record
from tests.lab.ovh.fakes import Api, FakeDns

ZONE = "/domain/zone/shop.example"


def add(api: Api, **fields: Any) -> dict[str, Any]:
    status, answer = api(
        "POST", f"{ZONE}/record", {"fieldType": "A", "subDomain": "www", "target": "203.0.113.5", "ttl": 60} | fields
    )
    assert status == 200, answer
    return dict(answer)


def test_a_record_is_served_after_the_refresh_and_not_before(api: Api, dns: FakeDns) -> None:
    add(api)
    assert dns.published == []
    assert api("POST", f"{ZONE}/refresh") == (200, None)
    assert dns.served("www") == ["203.0.113.5"]


def test_a_record_can_be_changed_in_place_and_deleted(api: Api, dns: FakeDns) -> None:
    number = add(api)["id"]
    assert api("PUT", f"{ZONE}/record/{number}", {"target": "198.51.100.20", "ttl": 0, "subDomain": "shop"}) == (
        200,
        None,
    )
    wanted = {
        "id": number,
        "zone": "shop.example",
        "subDomain": "shop",
        "fieldType": "A",
        "target": "198.51.100.20",
        "ttl": 0,
    }
    assert api("GET", f"{ZONE}/record/{number}") == (200, wanted)
    assert api("DELETE", f"{ZONE}/record/{number}") == (200, None)
    assert api("GET", f"{ZONE}/record/{number}")[0] == 404
    assert api("DELETE", f"{ZONE}/record/{number}")[0] == 404


def test_a_second_record_of_the_same_name_is_added_not_merged(api: Api, dns: FakeDns) -> None:
    add(api)
    add(api, target="198.51.100.20")
    api("POST", f"{ZONE}/refresh")
    assert dns.served("www") == ["203.0.113.5", "198.51.100.20"]


def test_records_are_found_by_type_and_name(api: Api) -> None:
    www, other = add(api)["id"], add(api, subDomain="other")["id"]
    assert api("GET", f"{ZONE}/record?fieldType=A&subDomain=www")[1] == [www]
    assert set(api("GET", f"{ZONE}/record?fieldType=A")[1]) == {www, other}
    assert len(api("GET", f"{ZONE}/record")[1]) == 4  # and the two name servers


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"ttl": 59}, "[ttl]"),
        ({"ttl": -1}, "[ttl]"),
        ({"ttl": "60"}, "[ttl]"),
        ({"target": "203.0.113.999"}, "[target]"),
        ({"target": ""}, "[target]"),
        ({"fieldType": "AAAA"}, "[target]"),
        ({"fieldType": "ALIAS"}, "[fieldType]"),
        ({"subDomain": "-www"}, "[subDomain]"),
        ({"fieldType": "TXT", "target": "a\nb IN A 203.0.113.9"}, "[target]"),
    ],
)
def test_a_wrong_record_is_refused_and_the_field_named(api: Api, fields: dict[str, Any], named: str) -> None:
    before = api.service.all()
    status, answer = api(
        "POST", f"{ZONE}/record", {"fieldType": "A", "subDomain": "www", "target": "203.0.113.5", "ttl": 60} | fields
    )
    assert (status, answer["class"]) == (400, "Client::BadRequest")
    assert named in answer["message"]
    assert api.service.all() == before


@pytest.mark.parametrize("ttl", [0, 60, 86400])
def test_a_ttl_of_zero_or_from_sixty_on_is_taken(api: Api, ttl: int) -> None:
    assert add(api, ttl=ttl)["ttl"] == ttl


def test_a_cname_beside_another_record_is_a_conflict(api: Api) -> None:
    add(api)
    assert api("POST", f"{ZONE}/record", {"fieldType": "CNAME", "subDomain": "www", "target": "x.example."})[0] == 409


def test_the_id_zero_quirk_hides_the_id_of_a_record_that_is_there(api: Api) -> None:
    api.service.knobs.zero_ids = 1
    assert add(api)["id"] == 0
    [number] = api("GET", f"{ZONE}/record?fieldType=A&subDomain=www")[1]
    assert number > 0
    assert add(api, subDomain="next")["id"] == number + 1


@pytest.mark.parametrize(("mode", "status"), [("refused", 500), ("forbidden", 403), ("ignored", 200)])
def test_a_refresh_that_does_not_work_leaves_the_servers_as_they_are(
    api: Api, dns: FakeDns, mode: Any, status: int
) -> None:
    number = add(api)["id"]
    api("POST", f"{ZONE}/refresh")
    api("PUT", f"{ZONE}/record/{number}", {"target": "198.51.100.20"})
    api.service.knobs.refresh = mode
    assert api("POST", f"{ZONE}/refresh")[0] == status
    assert dns.served("www") == ["203.0.113.5"]
    api.service.knobs.refresh = "ok"
    api("POST", f"{ZONE}/refresh")
    assert dns.served("www") == ["198.51.100.20"]


def test_serials_rise_with_each_refresh(api: Api, dns: FakeDns) -> None:
    for _ in range(3):
        api("POST", f"{ZONE}/refresh")
    serials = [serial for _, _, serial in dns.published]
    assert serials == sorted(set(serials))


def test_only_one_refresh_runs_at_a_time(api: Api, dns: FakeDns, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slowly(zone: str, records: Iterable[Record], serial: int) -> None:
        entered.set()
        assert leave.wait(10)

    monkeypatch.setattr(dns, "publish", slowly)
    first: list[int] = []
    thread = threading.Thread(target=lambda: first.append(api("POST", f"{ZONE}/refresh")[0]))
    thread.start()
    assert entered.wait(10)
    assert api("POST", f"{ZONE}/refresh")[0] == 409
    leave.set()
    thread.join(10)
    assert first == [200]
    assert api("POST", f"{ZONE}/refresh")[0] == 200


def test_name_servers_that_do_not_take_the_zone_make_the_refresh_fail(
    api: Api, dns: FakeDns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(zone: str, records: Iterable[Record], serial: int) -> None:
        raise DnsError("name server 192.0.2.21: serves serial 1")

    monkeypatch.setattr(dns, "publish", broken)
    status, answer = api("POST", f"{ZONE}/refresh")
    assert status == 500
    assert "192.0.2.21" in answer["message"]


def test_an_unknown_zone_is_a_404(api: Api) -> None:
    assert api("POST", "/domain/zone/other.example/refresh")[0] == 404
