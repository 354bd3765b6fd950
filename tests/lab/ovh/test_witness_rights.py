"""The keys to the witness at a real S3 server: each does its work, and is refused whatever is another's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contract.buckets import Bucket
from contract.epoch import Epoch
from contract.witness import HOST_USERS, OPERATOR, USERS
from lab.cloud.ovh import service
from lab.pairs import loopback
from lab.rehearsal import witness_users
from lab.s3.gateway import Storage, connect
from scripts.clients.witness import EpochTaken, Witness
from scripts.clients.witness_bucket import WitnessDown
from scripts.host.agent.witness import WitnessChannel
from scripts.host.frame.witness import Active, Silent
from scripts.host.frame.witness import Witness as HostWitness
from tests.lab.ovh.fakes import CONFIG, Api, FakeDns

pytestmark = pytest.mark.lab
# Short: the gateway has 4 KB for what it knows of a bucket, a lock among it, and each right of each user names it.
BUCKET, LOCKING = "shop-wit", "lck"
EPOCH = "epochs/00000001.json"
HOSTS = {"db.a": "db-1", "cache.a": "cache-1", "db.b": "db-1", "cache.b": "cache-3", "app.a": "app-1", "app.b": "app-2"}
BASTIONS = ("control.a", "control.b")
KEPT = (
    EPOCH,
    "epochs/00000002.json",
    "sites/a.json",
    "servers/a.json",
    "followed/a.json",
    "unsettled/a.json",
    "configurations/a.json",
    "clusters/7.json",
    *(f"certificates/{site}/shop.json" for site in "ab"),
    *(f"heartbeats/{site}/{host}.json" for site in "ab" for host in ("db-1", "cache-1", "app-1")),
    *(f"logs/{site}/{host}/x.jsonl" for site in "ab" for host in ("control-1", "db-1", "cache-1", "app-1")),
)

NOBODYS = {f"heartbeats/{site}/app-1.json" for site in "ab"}  # of hosts that have no agent


class Bench:
    """A witness with an epoch and one object of each kind, and the keys that `witness_users` has made."""

    def __init__(self, storage: Storage) -> None:
        self.endpoint, self.root = storage.endpoint("de"), storage.client("de")
        storage.create_bucket("de", BUCKET, versioning=True)
        storage.create_bucket("de", LOCKING, versioning=True, object_lock=True)
        storage.create_bucket("de", "pulumi-state", versioning=True)
        api = Api(service(CONFIG, storage, FakeDns()))
        made = witness_users.make(lambda *asked: api(*asked)[1], CONFIG.service_name, BUCKET)
        self.locking = witness_users.make(lambda *asked: api(*asked)[1], CONFIG.service_name, LOCKING)["hosts"]
        operator = {name: made[name] for name in ("access_key", "secret_key")}
        self.keys: dict[str, dict[str, str]] = {OPERATOR: operator, **made["hosts"]}
        self.operator = Witness(Bucket(endpoint=self.endpoint, region="de", bucket=BUCKET, **operator))
        for key in KEPT:
            if not key.startswith("epochs/"):
                self.root.put_object(Bucket=BUCKET, Key=key, Body=b'{"epoch": 1, "count": 0}')
        self.operator.claim(Epoch(epoch=1, active="a", previous=None, planned=True))
        self.root.put_object(Bucket="pulumi-state", Key="x", Body=b"x")

    def client(self, user: str) -> Any:
        return connect(self.endpoint, "de", *self.keys[user].values())

    def host(self, user: str) -> HostWitness:
        return HostWitness(self.endpoint, "de", BUCKET, *self.keys[user].values())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp("run")
    with loopback.storage(folder, ("de",)) as storage:
        yield Bench(storage)


def refusal(function: Any, **arguments: Any) -> str:
    """The code of a refusal; empty where it is done."""
    try:
        function(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_the_operators_key_does_all_that_a_run_does(bench: Bench) -> None:
    operator = bench.operator
    operator.probe()
    newest = operator.newest()
    assert newest is not None and (newest.epoch, newest.active) == (1, "a")
    with pytest.raises(EpochTaken):
        operator.claim(Epoch(epoch=1, active="b", previous="a", planned=True))
    operator.record_addresses("a", {"lb": "203.0.113.5", "bastion": "203.0.113.6"})
    operator.record_servers("a", {"shop-a-db-1": "0f3a"})
    operator.record_followed("b", 1)
    operator.record_configuration("b", {"postgres.mode": "0" * 16}, {"database": "2026-11-30"})
    operator.unsettle(newest)
    operator.settle(newest)
    assert (operator.followed("b"), operator.unsettled(newest)) == (1, 0)
    assert operator.versions("epochs/") == [EPOCH]
    assert operator.heartbeat("a", "db-9") is None
    assert operator.trace() == EPOCH


@pytest.mark.parametrize("user", HOSTS)
def test_a_hosts_key_does_all_that_its_agent_and_its_guard_do(bench: Bench, user: str) -> None:
    host, site = bench.host(user), user.partition(".")[2]
    assert host.newest(1) == Active(1, "a") and host.newest(2) is None
    if user.startswith("app."):
        return
    key = f"heartbeats/{site}/{HOSTS[user]}.json"
    agent = WitnessChannel(host, 5.0)
    agent.put(key, {"sequence": 1})
    told = agent.get(key)
    assert told is not None and told[0] == {"sequence": 1}
    first, second = agent.newest(sure=True), agent.newest(sure=False)  # the second asks for an epoch that is not there
    assert first is not None and second is not None and (first.epoch, second.epoch) == (1, 1)
    assert host.has("followed/a.json") and not host.has("followed/c.json")
    if user.startswith("db."):
        host.put("clusters/8.json", {})
        assert "clusters/8.json" in host.names("clusters/")


OWN = {user: {f"heartbeats/{user[-1]}/{user.split('.')[0]}-1.json"} - NOBODYS for user in HOSTS}
OWN_CLUSTERS = {user: {"clusters/7.json"} if user.startswith("db.") else set() for user in HOSTS}
OWN_LOGS = {user: {f"logs/{user[-1]}/{user.split('.')[0]}-1/x.jsonl"} for user in HOST_USERS}


# A bastion puts what it has ordered for its own site; app hosts and bastions read that of both.
OWN_CERTIFICATE = {user: {f"certificates/{user[-1]}/shop.json"} if user in BASTIONS else set() for user in HOST_USERS}


@pytest.mark.parametrize("user", HOST_USERS)
@pytest.mark.parametrize("key", KEPT)
def test_a_hosts_key_puts_nothing_that_is_anothers(bench: Bench, user: str, key: str) -> None:
    mine = key in OWN.get(user, set()) | OWN_CLUSTERS.get(user, set()) | OWN_LOGS[user] | OWN_CERTIFICATE[user]
    for condition in ({}, {"IfNoneMatch": "*"}):
        found = refusal(bench.client(user).put_object, Bucket=BUCKET, Key=key, Body=b"{}", **condition)
        assert (found == "AccessDenied") != mine, (user, key, found)


@pytest.mark.parametrize("user", HOST_USERS)
@pytest.mark.parametrize("key", KEPT)
def test_a_hosts_key_reads_epochs_its_own_word_and_what_it_shows(bench: Bench, user: str, key: str) -> None:
    found = refusal(bench.client(user).get_object, Bucket=BUCKET, Key=key)
    shows = user in BASTIONS or user.startswith("app.")
    readable = key.startswith("epochs/") or key in OWN.get(user, ()) or (shows and key.startswith("certificates/"))
    assert (found == "AccessDenied") != readable, (user, key, found)


@pytest.mark.parametrize("user", HOST_USERS)
def test_what_a_host_has_told_of_sign_ins_stays_whatever_its_key_does(bench: Bench, user: str) -> None:
    """Put once; put over, it shows; and where the bucket locks, nobody takes a version away, whose bucket it is neither."""
    kind, _, site = user.partition(".")
    key = f"logs/{site}/{kind}-1/told.jsonl"
    host, client = bench.host(user), bench.client(user)
    host.create(key, b"first", 86_400)
    host.create(key, b"second", 86_400)
    assert bench.operator.versions(key) == [key]
    assert bench.root.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"first"
    for action in (client.delete_object, client.get_object):
        assert refusal(action, Bucket=BUCKET, Key=key) == "AccessDenied"
    client.put_object(Bucket=BUCKET, Key=key, Body=b"over it")
    assert bench.operator.versions(key) == [key, key]
    keys = bench.locking[user]
    locking, locker = replace(host, bucket=LOCKING, **keys), connect(bench.endpoint, "de", *keys.values())
    locking.create(key, b"first", 86_400)
    (kept,) = bench.root.list_object_versions(Bucket=LOCKING, Prefix=key)["Versions"]
    held = bench.root.get_object_retention(Bucket=LOCKING, Key=key, VersionId=kept["VersionId"])["Retention"]
    assert held["Mode"] == "COMPLIANCE"
    for whose in (locker, bench.root):
        assert refusal(whose.delete_object, Bucket=LOCKING, Key=key, VersionId=kept["VersionId"])
    assert bench.root.list_object_versions(Bucket=LOCKING, Prefix=key)["Versions"] == [kept]


@pytest.mark.parametrize("user", BASTIONS)
def test_a_bastions_key_does_all_that_its_order_does(bench: Bench, user: str) -> None:
    host, names = bench.host(user), [f"certificates/{site}/shop.json" for site in "ab"]
    host.store(f"certificates/{user[-1]}/shop.json", b"{}")
    seen = host.glance(0, [*names, "certificates/a/none.json"])
    assert seen.active == Active(1, "a") and [*seen.bodies] == names and seen.ahead == 0


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("key", KEPT)
def test_no_key_removes_an_object_or_a_version(bench: Bench, user: str, key: str) -> None:
    """But the operator's, which may take away the addresses of a site that is taken down: a marker, under which they stay."""
    if user == OPERATOR and key.startswith("sites/"):
        before = bench.root.get_object(Bucket=BUCKET, Key=key)
        assert refusal(bench.client(user).delete_object, Bucket=BUCKET, Key=key) == ""
        kept = bench.root.get_object(Bucket=BUCKET, Key=key, VersionId=before["VersionId"])["Body"].read()
        bench.root.put_object(Bucket=BUCKET, Key=key, Body=kept)
        return
    version = bench.root.put_object(Bucket=BUCKET, Key="spare", Body=b"1")["VersionId"]
    client = bench.client(user)
    assert refusal(client.delete_object, Bucket=BUCKET, Key=key) == "AccessDenied"
    assert refusal(client.delete_object, Bucket=BUCKET, Key="spare", VersionId=version) == "AccessDenied"
    several = {"Objects": [{"Key": key}]}
    assert refusal(client.delete_objects, Bucket=BUCKET, Delete=several) == "AccessDenied"


@pytest.mark.parametrize("user", USERS)
def test_a_key_is_for_the_witness_alone(bench: Bench, user: str) -> None:
    client = bench.client(user)
    assert refusal(client.put_bucket_versioning, Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    assert refusal(client.delete_bucket, Bucket=BUCKET) == "AccessDenied"
    assert refusal(client.get_object, Bucket="pulumi-state", Key="x") == "AccessDenied"
    assert refusal(client.list_objects_v2, Bucket="pulumi-state") == "AccessDenied"
    assert client.list_buckets()["Buckets"] == []


def test_with_another_hosts_key_nothing_is_told_in_its_name(bench: Bench) -> None:
    with pytest.raises(Silent, match="found HTTP 403"):
        WitnessChannel(bench.host("db.b"), 5.0).put("heartbeats/a/db-1.json", {"lease": {"state": "stopped"}})
    keys = bench.keys["db.b"]
    thief = Witness(Bucket(endpoint=bench.endpoint, region="de", bucket=BUCKET, **keys))
    for claim in (1, 2):
        with pytest.raises((WitnessDown, EpochTaken)):
            thief.claim(Epoch(epoch=claim, active="b", previous="a", planned=True))
    with pytest.raises(WitnessDown, match="AccessDenied"):
        thief.record_addresses("a", {"lb": "198.51.100.66", "bastion": "198.51.100.66"})
    assert bench.operator.newest() == Epoch(epoch=1, active="a", previous=None, planned=True)


@pytest.mark.parametrize("user", USERS)
def test_a_key_that_may_more_than_a_hosts_is_seen(bench: Bench, user: str) -> None:
    """Whoever attaches the policies by hand may take the wrong one, and a host works as well with it."""
    place = Bucket(endpoint=bench.endpoint, region="de", bucket=BUCKET, **bench.keys[user])
    found = bench.operator.fault_of(place)
    assert found == ("may put what the operator's alone may" if user == OPERATOR else "")
    assert "Contents" not in bench.root.list_objects_v2(Bucket=BUCKET, Prefix="probe/"), "nothing of it is left"
    mistyped = bench.operator.fault_of(replace(place, secret_key="mistyped"))
    assert mistyped == "is no key of this store (SignatureDoesNotMatch)"
    assert "is no key of this store" in bench.operator.fault_of(replace(place, access_key="gone"))
