"""Each check is good of a pair that is well, not good of what it is for, and never good of what nobody knows."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest

from contract.accept import Accept, Word
from contract.agreement import digests
from contract.answers import Unreplicated
from contract.runs import Run
from contract.services.certificate import Keys as Acme
from contract.survey import ShopCertificate, Slot
from scripts.clients.compute import Sight as Servers
from scripts.clients.offer import Quota, Room
from scripts.clients.run_bucket import Word as RunWord
from scripts.clients.server_states import Server, Size
from scripts.clients.witness import Tried
from scripts.ctl.stacks.state_stored import Lock
from scripts.ctl.stacks.state_stored import State as Stored
from scripts.ctl.survey.checks import ROWS, judge
from scripts.ctl.survey.checks.row import Finding, Row, Severity, Sight, State
from scripts.ctl.survey.known import Known
from tests.unit.played_survey import AT, DARK, changed, dark, recorded, servers, settings, well

ITS = settings()
DB_A, DB_B, CACHE_B = "regions/a/hosts/db-1", "regions/b/hosts/db-1", "regions/b/hosts/cache-1"
COPIER = "regions/b/hosts/control-1/assets"
SERVER = f"names/servers/{ITS.dns.servers[0]}"
SOON = datetime.datetime.fromtimestamp(AT + 86_400, datetime.UTC)
KILLED = RunWord(
    run=Run(
        run="r",
        site="b",
        what="up",
        who="bob",
        place="desk",
        at="2026-11-29T03:00:00Z",
        machine="0" * 32,
        pid=4711,
        begun=1,
    ),
    etag="e",
    age_s=600.0,
)


def verified(at: float | None) -> Any:
    """Both regions, their copiers' last comparison at that time."""
    found = well(ITS)
    for site in "ab":
        found = changed(found, f"regions/{site}/hosts/control-1/assets/verified", at)
    return found.regions


# What each check is for: where the survey is spoiled, and by what.
SPOILED: dict[str, tuple[str, Any]] = {
    "pg.role": (f"{DB_B}/postgres/in_recovery", False),
    "pg.replication.streaming": (f"{DB_B}/postgres/streaming", False),
    "pg.replication.lag": (f"{DB_A}/postgres/lag_bytes", 2**40),
    "pg.slot": (f"{DB_A}/postgres/slot", Slot(active=True, wal_status="lost")),
    "pg.replay": (f"{DB_B}/postgres/paused", True),
    "pg.timeline": (f"{DB_B}/postgres/timeline", 2),
    "pg.identity": (f"{DB_B}/postgres/system_identifier", "8"),
    "pg.parity.version": (f"{DB_B}/parity/version", 170001),
    "pg.parity.collation": (f"{DB_B}/parity/collations", {"shop": "2.41"}),
    "pg.parity.parameters": (f"{DB_B}/parity/parameters", {"max_connections": "99"}),
    "pg.parity.extensions": (f"{DB_B}/parity/extensions", {}),
    "pg.checksums": (f"{DB_A}/parity/checksums", False),
    "pg.sync": (f"{DB_A}/postgres/mode", "sync"),
    "pg.disk": (f"{DB_B}/postgres/disk_free", 2**29),
    "archive.checked": (f"{DB_A}/archive/age_s", 999.0),
    "archive.alarm": (f"{DB_A}/archive/alarm", True),
    "archive.repository": (f"{DB_A}/archive/b/reachable", False),
    "archive.waiting": (f"{DB_A}/archive/waiting", 17),
    "archive.age": (f"{DB_A}/archive/archived_s", None),
    "archive.gap": (f"{DB_A}/archive/b/left_out", True),
    "archive.dropped": (f"{DB_A}/archive/dropped", True),
    "backup.age": (f"{DB_A}/archive/a/newest_backup", int(AT) - 100_000),
    "backup.damage": (f"{DB_A}/archive/a/damaged_backups", 1),
    "redis.role": (f"{CACHE_B}/redis/role", "master"),
    "redis.link": (f"{CACHE_B}/redis/link_up", False),
    "redis.lag": (f"{CACHE_B}/redis/lag_bytes", 2**21),
    "redis.leader": ("", None),  # of a group, see below
    "redis.memory": (f"{CACHE_B}/redis/used_memory", 999),
    "assets.run": (f"{COPIER}/finished", AT - 3600),
    "assets.lag": (f"{COPIER}/unreplicated", Unreplicated(count=1, bytes=1, oldest=AT - 600)),
    "assets.reconciled": ("regions/a/hosts/control-1/assets/reconciled", False),
    "witness.answers": ("newest", None),
    "witness.epochs": ("epochs", 1),
    "witness.lock": ("locked", False),
    "witness.conditions": ("deep/witness", Tried(conditional=False, versioned=True)),
    "witness.versioning": ("deep/witness", Tried(conditional=True, versioned=False)),
    "witness.moves": ("unsettled", 1),
    "audit.trail": ("last", None),
    "role.epoch": (f"{DB_B}/role/epoch", 4),
    "role.followed": ("regions/b/followed", 2),
    "lease.agent": (f"{CACHE_B}/agent/running", False),
    "lease.heartbeat": ("regions/b/beats/db-1/age_s", 60.0),
    "lease.terms-agree": (
        "regions/b/beats/db-1/document",
        {"lease": {"lease_s": 999, "stop_s": 5, "margin_s": 5, "heartbeat_s": 2}},
    ),
    "lease.witness": (f"{DB_A}/agent/witness", "HTTP 403"),
    "lease.counterpart": (f"{DB_A}/agent/counterpart", "no answer"),
    "app.healthy": ("regions/b/hosts/app-2/app/healthy", False),
    "app.worker": ("regions/b/hosts/app-2/app/worker", True),
    "release.parity": ("regions/b/hosts/app-2/app/release", "/opt/shop/releases/0"),
    "software.parity": (f"{CACHE_B}/version", "0.1.0"),
    "packages.parity": (f"{CACHE_B}/packages", {"nginx": "1.22"}),
    "entrance.answers": ("regions/a/entrance/site", "b"),
    "certs.served": ("regions/a/entrance/ends", SOON),
    "certs.ordered": ("", None),  # of the configuration, see below
    "certs.shown": ("", None),
    "certs.expiry": ("", None),
    "secrets.age": ("", None),
    "dns.authoritative": (f"{SERVER}/addresses", frozenset(["192.0.2.1"])),
    "dns.resolver": ("names/resolver/addresses", frozenset[str]()),
    "dns.serial": (f"{SERVER}/serial", 6),
    "dns.ttl": (f"{SERVER}/ttl", 86_400),
    "dns.aaaa": (f"{SERVER}/others", frozenset(["2001:db8::1"])),
    "dns.delegation": ("names/delegation", frozenset(["192.0.2.99"])),
    "servers.on": ("regions/b/servers", Servers(servers=(Server(id="1", name="shop-b-db-1", status="SHUTOFF"),))),
    "balancer.members": ("regions/b/members", {"app-1": "ERROR"}),
    "capacity.standby": ("regions/b/servers", Servers(servers=servers("b", ITS)[1:])),
    "quota.standby": ("deep/rooms/b/cores", Quota(limit=21, used=20)),
    "flavors.available": (f"deep/sizes/b/{ITS.regions['b'].flavors['db']}", None),
    "images.available": ("deep/images/b", ""),
    "stack.drift": ("deep/listed/b", servers("b", ITS)[1:]),
    "state.backend": ("", None),  # of a shop that is no rehearsal, see below
    "state.lock": ("deep/locks/b", (Lock(who="ann@desk, process 7", since=AT - 7200),)),
    "state.backup": ("deep/copies/b", AT - 100_000),
    "backup.restore-age": (f"{DB_B}/archive/rehearsed", AT - 4e6),
    "assets.verify-age": ("regions", verified(AT - 4e6)),
    "host.answers": (f"{CACHE_B}/silent", ("redis",)),
    "host.units": (f"{CACHE_B}/failed", ("dr-agent.service",)),
    "host.disk": (f"{CACHE_B}/disk_free", 2**30),
    "reboot.due": (f"{CACHE_B}/reboot_due", True),
    "clock.offset": (f"{CACHE_B}/at", AT + 60),
    "report.unsigned": ("reports/signed", {}),
    "report.waiting": ("reports/waiting", 1),
    "drill.age": ("reports/records", ()),
    "certs.rehearsed": ("reports/records", recorded().records[:1]),
    "config.agrees": ("regions/b/record/keys", {}),
    "run.ended": ("regions/b/run", KILLED),
    "accept.left-over": ("", None),  # of the configuration, see below
}
# They are about what this machine has, so they are known whoever is silent.
OWN = ("certs.ordered", "certs.shown", "certs.expiry", "secrets.age", "accept.left-over", "redis.leader")
BY_CONFIGURATION = (
    "certs.ordered",
    "certs.shown",
    "certs.expiry",
    "secrets.age",
    "accept.left-over",
    "redis.leader",
    "state.backend",
)


def of(findings: list[Finding], name: str) -> list[Finding]:
    return [it for it in findings if it.id == name]


def test_every_check_is_spoiled_here() -> None:
    assert set(SPOILED) == {row.id for row in ROWS} and len(ROWS) == len(set(SPOILED)) >= 40


@pytest.mark.parametrize("row", [row for row in ROWS if row.id != "certs.expiry"], ids=lambda row: row.id)
def test_of_a_pair_that_is_well_it_is_good(row: Row) -> None:
    found = of(judge(well(ITS), ITS), row.id)
    assert found and [it for it in found if it.state is not State.OK] == []


@pytest.mark.parametrize("name", [name for name in SPOILED if name not in BY_CONFIGURATION])
def test_it_finds_what_it_is_for_and_says_what_to_run(name: str) -> None:
    path, value = SPOILED[name]
    found = [it for it in of(judge(changed(well(ITS), path, value), ITS), name) if it.state is not State.OK]
    assert found, f"{name} does not see it"
    for it in found:
        assert it.state is (State.FAIL if it.severity is Severity.BLOCKS else State.WARN), it
        assert it.found and it.wanted and it.next and it.subject


@pytest.mark.parametrize("name", [name for name in SPOILED if name not in OWN])
def test_of_what_nobody_knows_it_is_never_good(name: str) -> None:
    found = of(judge(dark(ITS), ITS), name)
    silent = [it for it in found if it.state is not State.UNKNOWN]
    if name == "entrance.answers":  # what a customer cannot reach is down, whoever asks
        assert {it.state for it in found} == {State.WARN}
    else:
        assert found and silent == []


def test_a_half_known_pair_hides_no_host_that_is_silent() -> None:
    survey = changed(well(ITS), CACHE_B, DARK)
    dumb = {it.id for it in judge(survey, ITS) if it.state is State.UNKNOWN}
    assert {
        "host.answers",
        "redis.role",
        "redis.link",
        "redis.lag",
        "redis.memory",
        "lease.agent",
        "reboot.due",
    } <= dumb


def test_a_job_that_a_change_of_roles_has_ended_is_no_trouble_of_the_host() -> None:
    ended = changed(well(ITS), f"{CACHE_B}/failed", ("dr-assets-sync.service", "dr-archive-due.service"))
    assert {it.state for it in of(judge(ended, ITS), "host.units")} == {State.OK}
    real = changed(well(ITS), f"{CACHE_B}/failed", ("dr-assets-sync.service", "dr-agent.service"))
    assert [it.found for it in of(judge(real, ITS), "host.units") if it.state is State.WARN] == ["dr-agent.service"]


@pytest.mark.parametrize(("off_s", "which"), [(3600.0, "behind"), (-900.0, "ahead of")])
def test_a_clock_of_the_operators_own_that_is_off_is_told_once_and_not_as_every_hosts(off_s: float, which: str) -> None:
    survey = well(ITS)
    regions = {
        site: replace(
            it,
            hosts={
                name: Known(value=replace(word.value, at=AT + 1 + off_s + (90 if name == "cache-1" else 0)))
                for name, word in it.hosts.items()
                if word.value is not None
            },
        )
        for site, it in survey.regions.items()
    }
    found = of(judge(replace(survey, regions=regions), ITS), "clock.offset")
    own, *others = found
    assert own.subject == "this machine" and f"s {which} most hosts" in own.found and "here" in own.next
    told = {it.subject for it in others if it.state is not State.OK}
    assert told == {"cache-1.a", "cache-1.b"}, "whoever differs from most others is told as before"


def test_what_the_configuration_says_by_itself_is_checked() -> None:
    word = Word(epoch=3, reason="a test", at="2026-11-29T10:00Z")
    armed = replace(ITS, accept=Accept(data_loss=word))
    (found,) = of(judge(well(armed), armed), "accept.left-over")
    assert (found.state, found.found) == (State.WARN, "data_loss")
    assert {it.state for it in of(judge(well(ITS), ITS), "certs.expiry")} == {State.UNKNOWN}, (
        "the tests' certificates are none"
    )
    grouped = replace(ITS, redis=replace(ITS.redis, cache_replicas=2))
    assert {it.state for it in of(judge(well(ITS), grouped), "redis.leader")} == {State.UNKNOWN}


def test_a_secret_is_renewed_within_a_year_and_one_of_unknown_age_is_not_good() -> None:
    def found(**since: str) -> dict[str, tuple[State, str]]:
        days = {name: day for name, day in {**ITS.secrets.since, **since}.items() if day}
        its = replace(ITS, secrets=replace(ITS.secrets, since=days))
        return {it.subject: (it.state, it.found) for it in of(judge(well(its), its), "secrets.age")}

    told = found(database="2025-11-20", redis="2025-12-20", ovh="")
    assert told["database"] == (State.WARN, "in use since 2025-11-20, 375 days")
    assert told["redis"][0] is State.OK
    assert told["ovh"] == (State.UNKNOWN, "its day is in no set of secrets")
    assert "archive" not in told and "hosts" not in told, "what is never renewed by itself is no yearly complaint"


def test_a_deploy_that_is_not_at_its_end_stands_against_no_move() -> None:
    keys = {**digests(ITS), "shop.release": "0" * 16}
    survey = changed(well(ITS), "regions/b/record/keys", keys)
    assert {it.state for it in of(judge(survey, ITS), "config.agrees")} == {State.OK}
    other = changed(well(ITS), "regions/b/hosts/app-1/app/release", "/opt/shop/releases/2")
    found = [it for it in of(judge(other, ITS), "release.parity") if it.state is not State.OK]
    assert found and not any(it.blocks for it in found)


def test_a_judge_that_raises_knows_nothing_and_hides_nobody() -> None:
    def fails(_: Sight) -> Any:
        raise KeyError("a-secret")

    row = Row(id="x.y", severity=Severity.BLOCKS, about="-", wanted="-", next="-", judge=fails)
    (found,) = row.findings(Sight(survey=well(ITS), settings=ITS))
    assert found.state is State.UNKNOWN and found.blocks and "a-secret" not in found.found


def test_a_record_that_does_not_hold_is_told_though_each_is_signed_off() -> None:
    forged = changed(well(ITS), "reports/breaks", ("reports/00000002.json: found a signature that is not of drctl",))
    bad = [it for it in of(judge(forged, ITS), "report.unsigned") if it.state is not State.OK]
    assert [it.subject for it in bad] == ["records at the witness"] and "00000002" in bad[0].found


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({}, State.OK),
        ({"at": "2026-09-02T00:00:00Z"}, State.OK),
        ({"at": "2026-08-30T00:00:00Z"}, State.WARN),
        ({"outcome": "failed"}, State.WARN),
        ({"outcome": "unknown"}, State.WARN),
        ({"scenario": "rejoin"}, State.WARN),
        ({"kind": "drill", "scenario": "region-killed"}, State.OK),
        ({"kind": "deploy"}, State.WARN),
        ({"kind": "drill", "scenario": "restore"}, State.WARN),  # it proves no move, and has an age of its own
        ({"kind": "drill", "scenario": "certificates"}, State.WARN),
    ],
)
def test_a_rehearsal_is_one_that_came_to_its_end_within_the_days(told: dict[str, Any], state: State) -> None:
    """The survey is of 2026-11-30."""
    records = (replace(recorded().records[0], **told),)
    (found,) = of(judge(changed(well(ITS), "reports/records", records), ITS), "drill.age")
    assert found.state is state, found


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({}, State.OK),
        ({"at": "2026-08-30T00:00:00Z"}, State.WARN),
        ({"outcome": "failed"}, State.WARN),
        ({"scenario": "switchover-and-back"}, State.WARN),
        ({"kind": "rotation"}, State.WARN),
    ],
)
def test_a_rehearsal_of_certificates_is_one_that_came_to_its_end_within_the_days(
    told: dict[str, Any], state: State
) -> None:
    records = (replace(recorded().records[1], **told),)
    (found,) = of(judge(changed(well(ITS), "reports/records", records), ITS), "certs.rehearsed")
    assert found.state is state, found


def test_what_is_older_than_the_last_90_days_asks_nobody_to_sign() -> None:
    old = tuple(replace(it, at="2026-08-30T00:00:00Z") for it in recorded().records)
    survey = changed(changed(well(ITS), "reports/records", old), "reports/signed", {})
    assert {it.state for it in of(judge(survey, ITS), "report.unsigned")} == {State.OK}


def test_two_regions_that_both_write_fail_and_block() -> None:
    both = changed(well(ITS), f"{DB_B}/postgres/in_recovery", False)
    found = [it for it in of(judge(both, ITS), "pg.role") if it.state is State.FAIL]
    assert [(it.subject, it.found, it.blocks) for it in found] == [("db-1.b", "a primary", True)]


def found_of(name: str, path: str, value: Any) -> list[tuple[State, str]]:
    return [(it.state, it.found) for it in of(judge(changed(well(ITS), path, value), ITS), name)]


def test_what_check_alone_asks_is_judged_where_it_was_asked_and_is_no_unknown_elsewhere() -> None:
    asked, quick = ({it.id for it in judge(it, ITS)} for it in (well(ITS), replace(well(ITS), deep=None)))
    assert asked - quick == {row.id for row in ROWS if row.deep} and quick == {row.id for row in ROWS if not row.deep}


def test_quota_is_counted_for_what_the_standby_lacks_and_else_for_its_largest_server() -> None:
    largest = changed(well(ITS), f"deep/sizes/b/{ITS.regions['b'].flavors['db']}", Size(cores=81, memory=8192))
    (found,) = of(judge(largest, ITS), "quota.standby")
    assert (found.state, found.found) == (
        State.WARN,
        "80 of 100 cores left, 81 needed for one more of 81 cores and 8192 MiB",
    )
    two = changed(well(ITS), "deep/listed/b", servers("b", ITS)[2:])
    for left, state in ((4, State.OK), (3, State.WARN)):
        (found,) = of(judge(changed(two, "deep/rooms/b/cores", Quota(limit=20 + left, used=20)), ITS), "quota.standby")
        assert found.state is state and "which it lacks" in found.found
    lowered = Room(servers=Quota(limit=1, used=5), cores=Quota(limit=None, used=9), memory=Quota(limit=None, used=9))
    assert found_of("quota.standby", "deep/rooms/b", lowered)[0][0] is State.WARN
    assert found_of("quota.standby", "deep/rooms/a", lowered)[0][0] is State.OK, (
        "the active region is not asked to take anything"
    )


def test_quota_of_what_nobody_knows_the_size_of_is_unknown() -> None:
    gone = changed(well(ITS), f"deep/sizes/b/{ITS.regions['b'].flavors['db']}", None)
    missing = changed(gone, "deep/listed/b", tuple(it for it in servers("b", ITS) if "db-1" not in str(it.name)))
    (found,) = of(judge(missing, ITS), "quota.standby")
    assert found.state is State.UNKNOWN and "flavors.available" in found.found


def test_a_standby_that_is_smaller_or_off_does_not_bear_what_the_active_region_bears() -> None:
    first, *rest = servers("b", ITS)
    for server, told in (
        (replace(first, size=Size(cores=1, memory=8192)), "has 1 cores and 8192 MiB, that of region a 2 cores"),
        (replace(first, size=Size(cores=4, memory=4096)), "has 4 cores and 4096 MiB"),
        (replace(first, status="SHUTOFF"), "is SHUTOFF"),
    ):
        ((state, found),) = found_of("capacity.standby", "regions/b/servers", Servers(servers=(server, *rest)))
        assert state is State.WARN and told in found
    larger = replace(first, size=Size(cores=4, memory=8192))
    assert found_of("capacity.standby", "regions/b/servers", Servers(servers=(larger, *rest)))[0][0] is State.OK
    untold = replace(first, size=None)
    assert found_of("capacity.standby", "regions/b/servers", Servers(servers=(untold, *rest)))[0][0] is State.UNKNOWN


def test_a_server_that_was_made_anew_under_its_old_name_is_another_one() -> None:
    first, *rest = servers("b", ITS)
    other = replace(first, id="made-by-hand")
    _, (state, found) = found_of("stack.drift", "deep/listed/b", (other, *rest))
    assert state is State.WARN
    assert f"({first.id}) is not there" in found and f"{first.name} (made-by-hand) is not of the stack" in found
    stranger = Server(id="9", name="somebody-elses", status="ACTIVE")
    assert {it for it, _ in found_of("stack.drift", "deep/listed/b", (first, *rest, stranger))} == {State.OK}


def test_a_lock_of_a_run_at_work_is_no_trouble_and_one_of_unknown_age_is() -> None:
    young, untold = Lock(who="ann@desk, process 7", since=AT - 60), Lock(who="ann@desk, process 7", since=None)
    assert found_of("state.lock", "deep/locks/b", (young,))[1] == (State.OK, "locked by ann@desk, process 7, 60 s ago")
    assert found_of("state.lock", "deep/locks/b", (young, untold))[1][0] is State.WARN


def test_an_old_copy_of_a_state_that_has_not_changed_is_all_that_there_is() -> None:
    old = changed(well(ITS), "deep/copies/b", AT - 1e6)
    for changed_at, state in ((AT - 2e6, State.OK), (AT - 5e5, State.WARN)):
        survey = changed(old, "deep/states/b", Stored(changed=changed_at, servers={}))
        assert of(judge(survey, ITS), "state.backup")[1].state is state
    assert of(judge(changed(old, "deep/states/b", DARK), ITS), "state.backup")[1].state is State.UNKNOWN
    assert found_of("state.backup", "deep/copies/b", None)[1] == (State.WARN, "was never copied")


def test_a_rehearsal_has_its_folder_where_it_likes_and_a_shop_has_not() -> None:
    folder = changed(well(ITS), "deep/backend/versioned", False)
    assert of(judge(folder, replace(ITS, lab=True)), "state.backend")[0].state is State.OK
    assert of(judge(folder, replace(ITS, lab=False)), "state.backend")[0].state is State.WARN
    silent = changed(well(ITS), "deep/backend/versioned", None)
    assert of(judge(silent, replace(ITS, lab=False)), "state.backend")[0].state is State.UNKNOWN


def test_a_restore_that_was_proven_on_either_host_counts_and_never_is_no_unknown() -> None:
    moved = changed(changed(well(ITS), f"{DB_B}/archive/rehearsed", None), f"{DB_A}/archive/rehearsed", AT - 60)
    assert [it.found for it in of(judge(moved, ITS), "backup.restore-age")] == ["60 s ago"]
    (found,) = of(judge(changed(well(ITS), f"{DB_B}/archive/rehearsed", None), ITS), "backup.restore-age")
    assert (found.state, found.found) == (State.WARN, "never")
    (found,) = of(judge(changed(well(ITS), "regions", verified(None)), ITS), "assets.verify-age")
    assert (found.state, found.found) == (State.WARN, "never")


def ordering(ordered: str | None = "a" * 64, error: str | None = None, shows: str = "a" * 64) -> list[Finding]:
    """Of a pair whose certificate is ordered: what the bastion of region a says, and what region b's app host shows."""
    its = replace(ITS, shop=replace(ITS.shop, acme=Acme(contact="ops@shop.example")))
    found = well(its)
    for site in "ab":
        for name in ("control-1", "app-1", "app-2"):
            shown = ShopCertificate(ordered=shows if (site, name) == ("b", "app-1") else "a" * 64)
            found = changed(found, f"regions/{site}/hosts/{name}/certificate", shown)
    bastion = ShopCertificate(ordered=ordered, error=error, state="no site is active yet")
    return judge(changed(found, "regions/a/hosts/control-1/certificate", bastion), its)


def test_an_order_that_fails_is_told_and_so_is_a_host_that_shows_another() -> None:
    def bad(findings: list[Finding], name: str) -> list[tuple[str, State, str]]:
        return [(it.subject, it.state, it.found) for it in of(findings, name) if it.state is not State.OK]

    assert bad(ordering(), "certs.ordered") == bad(ordering(), "certs.shown") == []
    refused = bad(ordering(error="the CA refuses: caa"), "certs.ordered")
    assert [it[1:] for it in refused] == [(State.WARN, "the CA refuses: caa")]
    assert [it[1:] for it in bad(ordering(ordered=None), "certs.ordered")] == [(State.WARN, "no site is active yet")]
    (other,) = bad(ordering(shows="b" * 64), "certs.shown")
    assert "app-1" in other[0] and other[1] is State.WARN
    assert {it[1] for it in bad(ordering(ordered=None), "certs.shown")} == {State.UNKNOWN}, (
        "nobody knows what was ordered"
    )
    its = replace(ITS, shop=replace(ITS.shop, acme=Acme(contact="ops@shop.example")))
    assert {it.state for it in of(judge(dark(its), its), "certs.ordered")} == {State.UNKNOWN}
