"""Decisions about the cache from facts alone, the sizes of its buffers, and what is said of its machine."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from contract.errors import Failed, Refused, Usage
from lab.pairs.redis import Pair
from scripts.host.frame.due import Due
from scripts.host.frame.layout import Layout
from scripts.host.frame.plan import Step
from scripts.host.redis.config import ARMED, Desired
from scripts.host.redis.data import complaint, folder, hold_keys
from scripts.host.redis.engine import ENGINES
from scripts.host.redis.machine import HUGE_PAGES, MEMORY, OVERCOMMIT, disk_warning, warnings
from scripts.host.redis.plan import decided_by_the_witness, plan, spare
from scripts.host.redis.sizes import LEAST_BACKLOG, LEAST_BUFFER, MB, Link
from scripts.host.redis.state import MASTER, REPLICA, Facts, Instance, Wanted
from scripts.host.redis.takeover import LastSeen, Loss, loss
from scripts.host.redis.verbs import Redis
from scripts.host.redis.versions import Software, announced, unreadable

A, B = "10.100.0.21", "10.100.0.121"


def facts(**changes) -> Facts:
    known = Facts(unit_active=True, unit_enabled=True, data=True, role="standby", role_epoch=1)
    return replace(known, **changes)


def wanted(**changes) -> Wanted:
    """Site b's cache; the peer is a's."""
    told = Wanted(active=True, planned=False, epoch=2, own=B, peer=A, peer_name="cache-1.a", maxmemory=64 * MB)
    return replace(told, **changes)


def master(**changes) -> Instance:
    return replace(Instance(role=MASTER, keys=9, offset=500, stream="s1"), **changes)


def replica(**changes) -> Instance:
    return replace(Instance(role=REPLICA, keys=9, offset=500, stream="s1", master=A, link_up=True), **changes)


def names(steps) -> list[str]:
    return [str(step) for step in steps]


# -- nothing between the old master's pause and the promotion


@pytest.mark.parametrize(("peer", "planned"), [(master(), True), (master(), False), (None, False)])
def test_a_takeover_is_one_step(peer, planned):
    steps = plan(
        facts(local=replica(), peer=peer, stale_files=("/etc/redis/dr.conf", "/etc/redis/dr.crt")),
        wanted(planned=planned),
    )
    assert names(steps) == ["handover cache-1.a" if peer else "promote", "look-again"]


def test_a_cache_that_still_asks_for_a_replica_stops_asking_before_it_leads():
    steps = plan(facts(local=replica(differing=(ARMED,)), peer=None), wanted(min_replicas=1))
    assert names(steps) == [f"set {ARMED}", "promote", "look-again"]


def test_a_cold_takeover_has_the_right_to_empty_first():
    steps = plan(facts(local=replica(), peer=None, stale_files=("/etc/redis/dr.acl",)), wanted(cold=True))
    assert names(steps) == ["write /etc/redis/dr.acl", "load-acl", "promote-cold", "look-again"]


@pytest.mark.parametrize("changes", [{"planned": True}, {"cold": False}])
def test_only_an_unplanned_cold_takeover_empties(changes):
    assert "promote-cold" not in names(plan(facts(local=replica(), peer=None), wanted(**{"cold": True} | changes)))


# -- what a standby may follow although it is empty


@pytest.mark.parametrize("local", [None, master(stream="s0", keys=3)])
def test_a_promoted_master_whose_carts_are_all_paid_is_followed_and_the_old_keys_are_kept(local):
    """The region was lost with carts in its cache; the other went on from the same stream, and since then every cart there was paid."""
    peer = master(keys=0, stream="s1", former="s0", former_end=400)
    steps = names(plan(facts(local=local, peer=peer, role="primary"), wanted(active=False)))
    assert "keep-diverged" in steps and steps[-1] == "await-link"


@pytest.mark.parametrize(
    ("used", "limit", "moves"), [(65, 64, True), (65, 128, False), (65, 0, False), (60, 128, True)]
)
def test_a_move_to_a_smaller_cache_is_refused_and_a_full_cache_moves(used, limit, moves):
    found = facts(local=replica(), peer=master(used_memory=used * MB, maxmemory=limit * MB))
    if moves:
        assert "handover cache-1.a" in names(plan(found, wanted(planned=True)))
    else:
        with pytest.raises(Refused, match="it would evict carts at once"):
            plan(found, wanted(planned=True))


# -- what a standby must not follow


def test_a_standby_is_not_set_back_by_a_master_that_was():
    found = facts(local=replica(offset=700, link_up=False), peer=master(offset=500))
    with pytest.raises(Refused, match="200 bytes behind this replica"):
        plan(found, wanted(active=False))
    assert "await-link" in names(plan(found, wanted(active=False, cold=True)))


def test_a_standby_that_is_behind_just_follows():
    steps = names(
        plan(
            facts(local=replica(offset=300, link_up=False, master="10.9.9.9"), peer=master(), role_epoch=2),
            wanted(active=False),
        )
    )
    assert "keep-diverged" not in steps and steps[-2:] == ["follow cache-1.a", "await-link"]


@pytest.mark.parametrize(
    ("local", "kept"),
    [
        (master(stream="s0", offset=400), False),  # ended where the new master went on
        (master(stream="s0", offset=401), True),  # wrote on after the fork
        (master(stream="s9", offset=10), True),  # restarted: nobody can tell
        (master(stream="s9", keys=0, offset=0), False),
        (replica(stream="s9", link_up=False), True),
    ],
)
def test_what_the_new_master_may_not_have_is_kept(local, kept):
    steps = plan(facts(local=local, peer=master(stream="s1", former="s0", former_end=401)), wanted(active=False))
    assert ("keep-diverged" in names(steps)) is kept


def test_an_emptied_master_is_followed_when_it_emptied_itself_in_the_stream_that_this_replica_knows():
    steps = plan(facts(local=replica(link_up=False, offset=400), peer=master(keys=0)), wanted(active=False))
    assert "await-link" in names(steps) and "keep-diverged" not in names(steps)


# -- who begins empty


@pytest.mark.parametrize(
    ("found", "decision", "asked"),
    [
        ({"peer_followed": False}, {"epoch": 1}, True),
        ({"data": True}, {"epoch": 1}, False),
        ({"had_data": True}, {"epoch": 1}, False),
        ({}, {"epoch": 2}, False),
        ({"peer": master(keys=0)}, {"epoch": 1}, False),
        ({}, {"epoch": 1, "cold": True}, False),
        ({}, {"epoch": 1, "active": False}, False),
    ],
)
def test_the_witness_is_asked_only_where_it_decides(found, decision, asked):
    assert decided_by_the_witness(facts(**{"data": False} | found), wanted(**decision)) is asked


@pytest.mark.parametrize(
    ("found", "decision"),
    [
        ({}, {}),
        ({"had_data": True}, {"epoch": 1}),
        ({"peer_followed": None}, {"epoch": 1}),
        ({"peer_followed": True}, {"epoch": 1}),
    ],
)
def test_no_master_begins_empty_by_itself(found, decision):
    with pytest.raises(Refused, match="cold_cache: true"):
        plan(facts(**{"data": False, "role": None, "role_epoch": None} | found), wanted(**decision))
    assert "role primary" in names(plan(facts(**{"data": False, "role": None} | found), wanted(**decision, cold=True)))


# -- losses


def after(replid2: str = "s0", end: int = 401) -> dict[str, str]:
    return {"master_replid2": replid2, "second_repl_offset": str(end)}


@pytest.mark.parametrize(
    ("info", "seen", "expected"),
    [
        (after(), LastSeen(400, "s0"), 0),
        (after(), LastSeen(390, "s0"), 0),
        (after(), LastSeen(450, "s0"), 50),
        (after(), LastSeen(450, None), 50),
        (after(), LastSeen(450, "s7"), None),
        (after(), LastSeen(None, "s0"), None),
        (after("0" * 40, -1), LastSeen(450, "s0"), None),
    ],
)
def test_the_loss_is_what_the_last_heartbeat_had_beyond_the_promotion(info, seen, expected):
    found = loss(info, seen)
    assert found.bytes == expected
    assert (found.why is None) is (expected is not None)
    assert found != Loss(None)


# -- buffers


def test_the_backlog_bridges_the_outage_and_the_buffer_a_full_copy():
    link = Link(write_rate=MB, bridge_s=300, link_rate=10 * MB)
    assert link.backlog() == 300 * MB
    # 1000 MB travel for 100 s and load for as long: 200 MB are written meanwhile.
    assert link.replica_buffer(1000 * MB) == 500 * MB


def test_small_figures_do_not_make_small_buffers():
    link = Link(write_rate=1024, bridge_s=10, link_rate=MB)
    assert (link.backlog(), link.replica_buffer(MB)) == (LEAST_BACKLOG, LEAST_BUFFER)


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"maxmemory_policy": "lru"}, "maxmemory_policy"),
        ({"min_replicas_to_write": 2}, "min_replicas_to_write"),
        ({"write_rate": "much"}, "write_rate"),
        ({"peer_offset": "5"}, "peer_offset"),
        ({"cold_cache": 1}, "cold_cache"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, block, says):
    pair = Pair(tmp_path)
    with pytest.raises(Usage, match=says):
        Desired.read(pair.a.document(1, "a", **block))


# -- the machine


def machine(
    tmp_path, overcommit: str = "1\n", huge: str = "always [madvise] never\n", total_kb: int = 4_000_000
) -> Layout:
    layout = Layout(tmp_path)
    for path, text in (
        (OVERCOMMIT, overcommit),
        (HUGE_PAGES, huge),
        (MEMORY, f"MemFree: 5 kB\nMemTotal:  {total_kb} kB\n"),
    ):
        layout.at(path).parent.mkdir(parents=True, exist_ok=True)
        layout.at(path).write_text(text)
    return layout


def test_a_machine_as_it_should_be_is_not_mentioned(tmp_path):
    assert warnings(machine(tmp_path), 1000 * MB) == []
    assert warnings(Layout(tmp_path / "none"), 1000 * MB) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"overcommit": "0\n"}, "vm.overcommit_memory: found 0"),
        ({"huge": "[always] madvise never\n"}, "transparent huge pages"),
        ({"total_kb": 500_000}, "memory of this host"),
    ],
)
def test_each_dangerous_setting_is_told_alone(tmp_path, changes, says):
    found = warnings(machine(tmp_path, **changes), 1000 * MB)
    assert len(found) == 1 and found[0].startswith(says)


# -- two versions in one pair


@pytest.mark.parametrize(
    ("reader", "writer", "fails"),
    [
        (("redis", "7.0.15"), ("redis", "7.0.16"), False),
        (("redis", "7.0.15"), ("redis", "7.2.4"), True),
        (("redis", "7.4.1"), ("redis", "8.4.0"), False),  # another release, the same format
        (("redis", "8.4.0"), ("redis", "8.6.0"), True),
        (("redis", "8.0.2"), ("redis", "7.0.15"), False),
        (("redis", "8.10.1"), ("redis", "9.0.0"), True),  # newer than anything known
        (("redis", "7.0.15"), ("valkey", "8.1.1"), True),
        (("redis", "7.2.4"), ("valkey", "8.1.1"), False),
        (("redis", "8.6.0"), ("valkey", "9.0.0"), True),
        (("valkey", "8.1.1"), ("redis", "7.2.4"), False),
        (
            ("valkey", "9.1.2"),
            ("redis", "8.0.2"),
            True,
        ),  # takes nothing of Redis's later formats, whatever their numbers
        (("redis", ""), ("redis", "8.0.2"), False),
    ],
)
def test_which_full_copy_a_server_can_read(reader, writer, fails):
    assert unreadable(Software(*reader), Software(*writer)) is fails
    assert unreadable(None, Software(*writer)) is unreadable(Software(*reader), None) is False


def test_what_a_server_says_of_its_version_is_understood():
    assert announced("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0\n") == Software("redis", "7.0.15")
    assert announced("Valkey server v=8.1.1 sha=00000000:0\n") == Software("valkey", "8.1.1")
    assert announced("") is announced("bash: no such file") is None


OLD, NEW = "7.0.15", "8.0.6"


@pytest.mark.parametrize(
    "found",
    [
        {"local": replica(version=OLD, link_up=False)},
        {"local": None, "installed": Software("redis", OLD)},
        {"local": master(version=OLD, stream="s0")},
    ],
)
@pytest.mark.parametrize("cold", [False, True])
def test_a_newer_leader_is_not_followed_for_its_copy_cannot_be_read(found, cold):
    """redis#11750."""
    with pytest.raises(
        Refused, match=r"redis 7\.0\.15, which cannot read what cache-1\.a \(redis 8\.0\.6\) saves"
    ) as refusal:
        plan(facts(**found, peer=master(version=NEW)), wanted(active=False, cold=cold))
    assert "the standby first" in str(refusal.value) and "nothing was changed" in str(refusal.value)


@pytest.mark.parametrize(("own", "other"), [(OLD, OLD), (NEW, OLD), (NEW, NEW)])
def test_an_older_or_equal_leader_is_followed(own, other):
    steps = names(
        plan(facts(local=replica(version=own, link_up=False), peer=master(version=other)), wanted(active=False))
    )
    assert steps[-1] == "await-link"


def test_one_that_follows_a_newer_leader_already_is_left_at_it():
    found = facts(local=replica(version=OLD), peer=master(version=NEW), role_epoch=2, standby_conf=True)
    assert plan(found, wanted(active=False)) == []


@pytest.mark.parametrize(("installed", "refused"), [(OLD, False), (NEW, True)])
def test_a_leader_is_not_restarted_into_a_version_that_its_replica_cannot_follow(installed, refused):
    local = master(version=OLD, differing=("bind",))
    found = facts(
        local=local, peer=replica(version=OLD, master=B), role="primary", installed=Software("redis", installed)
    )
    if refused:
        with pytest.raises(Refused, match=r"redis 8\.0\.6 installed, and at cache-1\.a redis 7\.0\.15"):
            plan(found, wanted())
    else:
        assert "restart bind" in names(plan(found, wanted()))


# -- what a broken full copy left of a replica


def test_a_replica_whose_master_had_no_keys_either_is_promoted_as_it_is():
    """Its files hold what is no more: started from them it would be a master that was started empty, which nobody follows."""
    found = facts(local=replica(keys=0, link_up=False), peer=None, held=True)
    assert names(plan(found, replace(wanted(), peer_keys=0)))[0] == "promote"


@pytest.mark.parametrize("peer", [None, replica(master="10.9.9.9")])
def test_a_replica_that_is_empty_in_memory_takes_over_with_what_its_files_hold(peer):
    found = facts(local=replica(keys=0, link_up=False), peer=peer, held=True)
    assert names(plan(found, wanted())) == [
        "record-start was empty",
        "role primary",
        "restart from its own files",
        "look-again",
    ]


@pytest.mark.parametrize(
    ("local", "held"),
    [
        (replica(keys=0, link_up=False), False),  # every cart was paid
        (replica(keys=0, link_up=True), True),  # it has what its master had
        (replica(keys=1, link_up=False), True),
    ],
)
def test_one_that_has_what_it_should_is_promoted_as_it_is(local, held):
    assert names(plan(facts(local=local, peer=None, held=held), wanted())) == ["promote", "look-again"]


def aof(layout: Layout, base: bytes, appended: bytes = b"") -> Layout:
    place = folder(layout, ENGINES[0])
    place.mkdir(parents=True)
    (place / "dr.aof.manifest").write_text(
        "file dr.aof.1.base.rdb seq 1 type b\nfile dr.aof.1.incr.aof seq 1 type i startoffset 0\n"
    )
    (place / "dr.aof.1.base.rdb").write_bytes(base)
    (place / "dr.aof.1.incr.aof").write_bytes(appended)
    return layout


NOTES = (
    b"REDIS0010" + b"\xfa\x09redis-ver\x067.0.15" + b"\xfa\x0aredis-bits\xc0\x40" + b"\xfa\x05ctime\xc2\x00\x00\x00\x01"
)


@pytest.mark.parametrize(
    ("base", "appended", "hold"),
    [
        (NOTES + b"\xff" + b"\0" * 8, b"", False),
        (NOTES + b"\xff" + b"\0" * 8, b"*1\r\n$4\r\nPING\r\n", True),
        (NOTES + b"\xfe\x00\xfb\x01\x00\x00\x03key\x05value\xff" + b"\0" * 8, b"", True),
        (b"*1\r\n$4\r\nPING\r\n", b"", True),  # a base without the saved file's form
        (b"REDIS00", b"", True),  # broken: a server says what it is
        (b"", b"", False),
    ],
)
def test_whether_files_may_hold_keys(tmp_path, base, appended, hold):
    assert hold_keys(aof(Layout(tmp_path), base, appended), ENGINES[0]) is hold


def test_files_that_are_not_there_hold_nothing(tmp_path):
    layout = aof(Layout(tmp_path), b"")
    (folder(layout, ENGINES[0]) / "dr.aof.1.base.rdb").unlink()
    assert hold_keys(layout, ENGINES[0]) is False
    assert hold_keys(Layout(tmp_path / "none"), ENGINES[0]) is False


def test_a_replica_that_loads_a_copy_beside_what_it_holds_needs_memory_for_both():
    link = Link(write_rate=1024, bridge_s=10, link_rate=100 * MB)
    assert link.memory(4096 * MB) == 2 * 4096 * MB + link.backlog()
    assert link.memory(64 * MB) == 64 * MB + link.backlog() + link.replica_buffer(64 * MB)


# -- files that no server starts from


@pytest.mark.parametrize(
    ("found", "decision", "says"),
    [
        ({"peer": None}, {}, None),
        ({"peer": None}, {"cold": True}, "given up"),
        ({"peer": replica(keys=0)}, {}, None),
        ({"peer": replica(keys=5)}, {}, "come from cache-1.a"),
        ({"peer": replica(keys=5)}, {"cold": True}, "come from cache-1.a"),
        ({"peer": master(keys=0, former_end=7)}, {"active": False}, "come from cache-1.a"),  # every cart was paid
        ({"peer": master(keys=0)}, {"active": False}, None),  # it was started empty
        ({"peer": master(keys=0)}, {"active": False, "cold": True}, "given up"),
    ],
)
def test_broken_files_are_put_aside_only_where_their_keys_are_elsewhere_or_given_up(found, decision, says):
    told = spare(facts(local=None, **found), wanted(**decision))
    assert (told is None) if says is None else (told is not None and says in told)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["1:M 28 Nov 2026 20:55:25.540 # Bad file format reading the append only file x: make a backup"], "Bad file format reading"),
        (["1:M 28 Nov 2026 20:55:25.540 # Wrong RDB checksum expected: (f) but got (7). Aborting now."], "Wrong RDB checksum"),
        (["1:M 28 Nov 2026 20:55:25.540 # Unable to obtain the AOF file x length. stat: No such file or directory"], "Unable to obtain"),
        (["1:M 28 Nov 2026 20:55:25.540 * DB loaded from append only file: 0.1 seconds"], None),
        (["1:M 28 Nov 2026 20:55:25.540 # Bad file format reading the append only file x", "2:C 28 Nov 2026 20:56:00.000 * Redis is just started"], None),
        (["1:M 28 Nov 2026 20:55:25.540 # Can't open the append-only file x: No space left on device"], None),
        (["1:M 28 Nov 2026 20:55:25.540 # Warning: Could not create server TCP listening socket 10.0.0.1:6379: bind: Address in use"], None),
        ([], None),
    ],
)  # fmt: skip
def test_a_server_that_did_not_start_says_whether_its_files_are_why(said, words):
    found = complaint(said)
    assert (found is None) if words is None else (found is not None and found.startswith(words))


@pytest.mark.parametrize(("free", "told"), [(None, False), (64 * MB, False), (64 * MB - 1, True), (0, True)])
def test_a_disk_with_too_little_room_is_told(free, told):
    assert (disk_warning(free, 64 * MB) is not None) is told


@pytest.mark.parametrize(
    ("peer", "words"),
    [(replica(master="10.100.0.121"), "found a replica of 10.100.0.121"), (None, "found nobody answers (refused)")],
)
def test_a_standby_that_comes_before_the_active_site_is_told_which_command_comes_first(peer, words):
    found = facts(local=replica(link_up=False), peer=peer, peer_error="refused")
    with pytest.raises(Refused) as caught:
        plan(found, wanted(active=False, before="a"))
    assert words in str(caught.value)
    assert str(caught.value).endswith(
        "; run `pulumi up -s region-a` first, then the same again; where it does not help, mend cache-1.a"
    )
    with pytest.raises(Refused, match=r"; mend cache-1\.a, then run the same again$"):
        plan(found, wanted(active=False))  # a follower within the active site: that command is the one that runs


# -- what a run has written that ended before its server had read it


@pytest.mark.parametrize(
    ("unloaded", "found"),
    [
        (("/etc/redis/dr.acl",), ["load-acl"]),
        (("/etc/redis/dr.crt", "/etc/redis/dr.key"), ["load-tls"]),
        (("/etc/redis/dr.acl", "/etc/redis/dr-ca.pem"), ["load-tls", "load-acl"]),
        ((), []),
    ],
)
def test_passwords_and_certificates_of_a_run_that_failed_are_read_in_the_next(unloaded, found):
    """A setting that the server does not take comes between: the shop's new password would open nothing until the cache starts again."""
    leads = facts(local=master(), peer=replica(), role="primary", role_epoch=2, unloaded=unloaded)
    assert names(plan(leads, wanted())) == found
    follows = facts(local=replica(), peer=master(armed=True), role_epoch=2, unloaded=unloaded)
    assert names(plan(follows, wanted(active=False))) == found


def test_a_unit_of_which_systemd_has_not_heard_is_told_to_it_in_the_next_run():
    path = "/etc/systemd/system/redis-server.service.d/dr-guard.conf"
    leads = facts(local=master(), peer=replica(), role="primary", role_epoch=2, unloaded=(path,))
    assert names(plan(leads, wanted())) == ["daemon-reload"]


def test_what_is_to_be_read_is_told_before_it_is_written_and_until_it_was_read(tmp_path, monkeypatch):
    layout = Layout(tmp_path)
    service = Redis.__new__(Redis)
    service._due, service._layout = Due(layout, "redis"), layout
    service.wanted, service._settings = wanted(), {}
    monkeypatch.setattr(service, "_desired", SimpleNamespace(local=None), raising=False)
    said = []

    class File:
        def __init__(self, name):
            self.path = layout.at(f"/etc/redis/{name}")

        def write(self):
            said.append((self.path.name, service._due.names() == (str(self.path),)))

    monkeypatch.setattr(Redis, "_files", lambda self, standby: [File("dr.acl"), File("dr.conf")])
    for name in ("dr.conf", "dr.acl"):
        service._write(str(layout.at(f"/etc/redis/{name}")))
    assert said == [("dr.conf", False), ("dr.acl", True)] and service._due.names() == (
        str(layout.at("/etc/redis/dr.acl")),
    )

    def refused(*_, **__):
        raise Failed("cache: found error ERR")

    monkeypatch.setattr("scripts.host.redis.verbs.ask", refused)
    with pytest.raises(Failed):
        service.apply(Step("load-acl"))
    assert service._due.names()
    monkeypatch.setattr("scripts.host.redis.verbs.ask", lambda *_, **__: "")
    monkeypatch.setattr("scripts.host.redis.verbs._reloaded", lambda _: [])
    service.apply(Step("load-tls"))
    assert service._due.names(), "of passwords nothing was read"
    service.apply(Step("load-acl"))
    assert not service._due.names()
