"""A rotation from stage to stage: whatever ends a run of it, hosts of either region are let in by the database of either, and the next run finishes it."""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from components import config
from components.render import documents
from contract.buckets import Bucket
from contract.epoch import InForce
from contract.errors import DrError, Partial, Refused
from contract.held import SECRETS
from contract.hosts import CACHE, certificate_names
from contract.objectives import PROGRAM
from contract.rotation import KINDS, Stage
from contract.services.postgres import REPLICATION_ROLE, Logins, other_pair
from contract.sites import SITES
from contract.witness import LATER_USERS
from scripts.ctl.moves import rotation as steps_of
from scripts.ctl.moves import witness_keys
from scripts.ctl.moves.engine import Outcome
from scripts.ctl.moves.rotation import Steps, World
from scripts.ctl.moves.witness_keys import WitnessKeys
from scripts.ctl.reports.book import signers
from scripts.ctl.stacks import rotation, secrets
from scripts.ctl.stacks.stack import Stack
from tests.components import stack as example

KIND, CERTIFICATES = "database", {"host-certificates": "hosts", "cache-certificates": "caches"}


class Killed(BaseException):
    """The machine went."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """What a region's servers let in, and what its app hosts and its standby show: names with passwords, certificates' CAs. `shown`: CAs of the certificates
    that its hosts show to others, and its caches and its shop at caches; `believes`: those that all of its hosts trust. `bucket_key`: number of the
    key by which they come to buckets, `bucket_keys`: of those that a run makes or leaves. `replicates`: the password of its standby, and whether its
    database asks for none. `at_witness`: keys by which its hosts and the run itself come there. `lets_run_in`: the program's keys by
    which all of its hosts are reached, whatever the first boot has put there.
    """

    lets_in: frozenset[tuple[str, str]]
    trusts: frozenset[str]
    app: tuple[str, str]
    app_ca: str
    standby_ca: str
    cache_lets_in: frozenset[tuple[str, str]]
    cache_shows: frozenset[tuple[str, str]]
    signs: str
    reads: frozenset[str]
    shown: Mapping[str, frozenset[str]]
    believes: Mapping[str, frozenset[str]]
    bucket_key: int
    bucket_keys: frozenset[int]
    replicates: tuple[str, bool]
    at_witness: frozenset[str]
    lets_run_in: frozenset[str]


class PlayedThird:
    """The witness's users at the platform, each with its keys; the store goes by them at once. Each change may be the last one of a run."""

    project = "third"

    def __init__(self, played: Played, found: Mapping[str, Any]) -> None:
        self.played, self.made = played, 0
        used = [found["witness"], *found["witness"]["hosts"].values()]
        self.keys = {number: {it["access_key"]} for number, it in enumerate(used, 1)}

    @property
    def alive(self) -> set[str]:
        return set[str]().union(*self.keys.values())

    def owners(self) -> dict[str, int]:
        return {access: number for number, keys in self.keys.items() for access in keys}

    def keys_of(self, number: int) -> tuple[str, ...]:
        return tuple(sorted(self.keys[number]))

    def another_key(self, number: int) -> dict[str, str]:
        self.played.change()
        self.made += 1
        self.keys[number].add(f"made-{self.made}")
        self.played.changed()
        return {"access_key": f"made-{self.made}", "secret_key": f"secret-made-{self.made}"}

    def remove_key(self, number: int, access: str) -> None:
        self.played.change()
        self.keys[number].remove(access)
        self.played.changed()


class PlayedStack(Stack):
    """`dr:secrets` in memory."""

    kept: dict[str, Any]

    played: Played

    def __init__(self, site: str, kept: dict[str, Any], played: Played) -> None:
        super().__init__(name=f"region-{site}", folder=Path())
        object.__setattr__(self, "kept", kept)
        object.__setattr__(self, "played", played)

    def secrets(self) -> Any:
        return copy.deepcopy(self.kept)

    def keep_secrets(self, secrets: Any) -> None:
        self.played.change()
        object.__setattr__(self, "kept", json.loads(json.dumps(secrets)))
        self.played.changed()


@dataclass
class Played:
    """Both stacks and both regions. `dies`: at which change; it is made (`late`) or not. `busy`: looks that find somebody signed in by the old logins."""

    dies: int = 0
    kind: str = KIND
    keep_days: int = 0
    today: datetime.date = datetime.date(2026, 11, 30)
    late: bool = False
    active: str = "a"
    busy: int = 0
    fails: str = ""
    changes: int = 0
    runs: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stacks = {site: PlayedStack(site, example.secrets(), self) for site in SITES}
        self.third = PlayedThird(self, example.secrets())
        self.unknown = 0  # looks at which the store does not go yet by what the platform has done
        self.hosts = {site: self.told(site) for site in SITES}
        self.keys = {site: {1} for site in SITES}
        self.old = self.hosts["a"]
        PLAYED.append(self)

    def change(self) -> None:
        self.changes += 1
        if self.changes == self.dies and not self.late:
            raise Killed

    def changed(self) -> None:
        self.see()
        if self.changes == self.dies and self.late:
            raise Killed

    def told(self, site: str) -> Host:
        settings = config.parse(example.configuration(site, secrets=self.stacks[site].secrets()))
        keys, door = settings.secrets.buckets, documents.setup(settings, CACHE)
        database, app = documents.postgres(settings, None), documents.app(settings, "/opt/x", KEYS, turn=False)
        caches = [documents.redis(settings, it, EPOCH) for it in settings.hosts_of(site).values() if it.role == CACHE]
        told = [
            documents.envelope(settings, it, instance="i", tool="t")["tls"] for it in settings.hosts_of(site).values()
        ]
        cache, among = caches[0]["passwords"], [it["tls"] for it in caches]
        words, login = database["passwords"], database["login"]
        pairs = {login: words["app"], other_pair(login): words["beside"]}
        lets_in = {
            (name, word)
            for number, word in pairs.items()
            if word
            for name in (Logins.pair(number).app, Logins.pair(number).worker)
        }
        return Host(
            lets_in=frozenset(lets_in),
            trusts=frozenset(_pems(database["tls"]["ca"])),
            app=(Logins.pair(app["login"]).app, app["database_password"]),
            app_ca=self.ca_of(site, app["database_tls"]["cert"]),
            standby_ca=self.ca_of(site, database["tls"]["cert"]),
            cache_lets_in=frozenset((name.partition("_")[0], word) for name, word in cache.items() if word),
            cache_shows=frozenset(
                {("app", app["cache_password"]), ("replica", cache["replica"]), ("operator", cache["operator"])}
            ),
            signs=app["secret_key_base"],
            reads=frozenset(filter(None, (app["secret_key_base"], app["secret_key_base_beside"]))),
            replicates=(words["replication"], words["replication_rotated"]),
            lets_run_in=frozenset(door["ssh_operators"]) - frozenset(door["ssh_revoked"]),
            at_witness=frozenset(
                it.access_key for it in (documents.witness(settings), *documents.host_keys(settings).values())
            ),
            bucket_key=keys.used,
            bucket_keys=frozenset(it for it in (keys.used, keys.beside) if it is not None),
            shown={
                "hosts": frozenset(self.ca_of(site, it["cert"]) for it in told),
                "caches": frozenset(self.ca_of(site, it["cert"]) for it in (*among, app["cache_tls"])),
            },
            believes={
                "hosts": frozenset.intersection(*(frozenset(_pems(it["ca"])) for it in told)),
                "caches": frozenset.intersection(*(frozenset(_pems(it["ca"])) for it in (*among, app["cache_tls"]))),
            },
        )

    def ca_of(self, site: str, certificate: str) -> str:
        """Of the CAs in the set, used and beside, the one beside which the certificate lies."""
        found = self.stacks[site].secrets()
        tls, beside = found["tls"], found.get("rotation", {})
        places = [tls, tls["database"], tls["cache"], *beside.values()]
        return next(
            str(it["ca"]).strip()
            for it in places
            if certificate in [each["cert"] for each in {**it.get("clients", {}), **it.get("hosts", {})}.values()]
        )

    def role_password(self, site: str) -> str:
        """Of the standby's role: the active region's run sets it, and the other database is a copy; who takes over sets its own."""
        return self.hosts[self.active if site != self.active else site].replicates[0]

    def see(self) -> None:
        """Hosts of either region are let in by the database of either: whichever of them leads, now or after a failover."""
        for one, host in self.hosts.items():
            for other, database in self.hosts.items():
                if host.app not in database.lets_in or host.app_ca not in database.trusts:
                    self.lost.append(f"the shop of {one} at the database of {other}")
                if host.standby_ca not in database.trusts:
                    self.lost.append(f"the standby {one} at {other}")
                if not host.cache_shows <= database.cache_lets_in:
                    self.lost.append(f"the shop or the replica of {one} at the cache of {other}")
                if host.signs not in database.reads:
                    self.lost.append(f"a session of {one} in {other}")
                if not database.replicates[1] and host.replicates[0] != self.role_password(other):
                    self.lost.append(f"the password of standby {one} at {other}")
                if program_key(self.stacks[one].kept) not in database.lets_run_in:
                    self.lost.append(f"the run of {one} at hosts of {other}")
                if not host.at_witness <= self.third.alive:
                    self.lost.append(f"{one} at the witness")
                if host.bucket_key not in self.keys[one]:
                    self.lost.append(f"{one} at its buckets")
                for which, shown in host.shown.items():
                    if not shown <= database.believes[which]:
                        self.lost.append(f"{which} of {one} at those of {other}")

    def up(self, site: str, request: str) -> Outcome:
        assert request == self.active
        self.change()
        if site == self.fails:
            return Outcome(ok=False, code=255, seconds=1, errors=("db-1: no ssh session",), warnings=())
        self.runs.append(site)
        self.hosts = {**self.hosts, site: self.told(site)}
        self.keys[site] = set(self.hosts[site].bucket_keys)
        self.changed()
        return Outcome(ok=True, code=0, seconds=1, errors=(), warnings=("mind the gap",))

    def open_logins(self, site: str) -> dict[str, int]:
        assert site == self.active
        found = {name: 1 for name, _ in self.hosts[site].lets_in}
        old = self.old.app[0]
        for name in (old, old.replace("shop", "shop_worker")):
            if name in found:
                found[name] = 3 if self.busy else 0
        self.busy = max(0, self.busy - 1)
        return found

    def world(self) -> World:
        ticks = iter(range(10_000))
        return World(
            stacks=self.stacks,
            active=lambda: self.active,
            up=self.up,
            open_logins=self.open_logins,
            say=self.said.append,
            names=secrets.names_of(config.parse(example.configuration("a"))),
            platform=self.platform(ticks) if self.kind == "witness" else None,
            keep_days=self.keep_days,
            today=lambda: self.today,
            clock=lambda: float(next(ticks)),
            rest=lambda _: None,
        )

    def platform(self, ticks: Iterator[int]) -> WitnessKeys:
        bucket = {"endpoint": "https://s3.example", "region": "de", "bucket": "shop-witness"}
        third: Any = self.third
        return WitnessKeys(
            third=lambda: third,
            place=lambda keys: Bucket(**bucket, access_key=keys["access_key"], secret_key=keys["secret_key"]),
            clock=lambda: float(next(ticks)),
            rest=lambda _: None,
        )

    def reachable(self, place: Bucket) -> bool:
        late, self.unknown = self.unknown > 0, max(self.unknown - 1, 0)
        return (place.access_key in self.third.alive) is not late

    def rotate(self) -> None:
        for step in list(Steps.found(self.kind, self.world()).all()):
            if not step.there:
                step.act()

    def at_rest(self) -> bool:
        sets = [it.secrets() for it in self.stacks.values()]
        return sets[0] == sets[1] and "rotation" not in sets[0]


def program_key(found: Mapping[str, Any]) -> str:
    return " ".join(found["ssh"]["operator"]["public"].split()[:2])


IN_USE: Mapping[str, Callable[[Any], str]] = {
    "database": lambda it: it["postgres"]["app"],
    "replication": lambda it: it["postgres"]["replication"],
    "redis": lambda it: it["redis"]["app"],
    "cache-operator": lambda it: it["redis"]["operator"],
    "sessions": lambda it: it["rails"]["secret_key_base"],
    "host-certificates": lambda it: it["tls"]["ca"],
    "cache-certificates": lambda it: it["tls"]["cache"]["ca"],
    "buckets": lambda it: str(it.get("buckets")),
    "witness": lambda it: it["witness"]["access_key"],
    "operator": program_key,
}
PLAYED: list[Played] = []  # the newest is asked
KEYS = {"access_key": "k", "secret_key": "s"}
EPOCH = InForce(epoch=3, active="a", previous=None, planned=True, checkpoint=None)


def _pems(text: str) -> Iterator[str]:
    end = "-----END CERTIFICATE-----"
    yield from (f"{it.strip()}\n{end}" for it in text.split(end) if it.strip())


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    class PlayedBucket:
        def __init__(self, place: Bucket) -> None:
            self.place = place

        def reachable(self) -> bool:
            return PLAYED[-1].reachable(self.place)

    monkeypatch.setattr(witness_keys, "RuledBucket", PlayedBucket)


def test_both_regions_have_the_new_set_and_the_old_one_opens_nothing() -> None:
    played = Played()
    before = played.stacks["a"].secrets()
    played.rotate()
    assert played.lost == [] and played.at_rest()
    assert played.runs == ["b", "a"] * 3, "the standby first, each time"
    after = played.stacks["b"].secrets()
    assert after["postgres"]["login"] == 2 and after["postgres"]["replication"] == before["postgres"]["replication"]
    assert set(after["tls"]["database"]["clients"]) == {"shop_2", "shop_worker_2", REPLICATION_ROLE}
    assert after["since"][KIND].startswith("20")
    for host in played.hosts.values():
        assert not host.lets_in & played.old.lets_in and not host.trusts & played.old.trusts
    rest = {name: it for name, it in after.items() if name not in ("postgres", "tls", "since")}
    assert rest == {name: it for name, it in before.items() if name not in ("postgres", "tls", "since")}
    assert {**after["tls"], "database": 0} == {**before["tls"], "database": 0}
    assert json.dumps(before["postgres"]["app"]) not in json.dumps(after)


def test_the_next_one_goes_back_to_the_first_names_with_what_nobody_has_seen() -> None:
    played = Played()
    played.rotate()
    first, played.old = played.old, played.hosts["a"]
    played.rotate()
    assert played.lost == [] and played.at_rest()
    assert played.hosts["a"].app[0] == first.app[0] and played.hosts["a"].app[1] != first.app[1]
    assert not played.hosts["a"].trusts & first.trusts


def test_passwords_of_the_cache_are_new_and_the_operators_is_as_it_was() -> None:
    played = Played(kind="redis")
    before = played.stacks["a"].secrets()
    played.rotate()
    assert played.lost == [] and played.at_rest() and played.runs == ["b", "a"] * 3
    after = played.stacks["a"].secrets()
    assert after["redis"]["operator"] == before["redis"]["operator"]
    assert not {after["redis"][user] for user in ("app", "replica")} & set(before["redis"].values())
    shown = {it for it in played.old.cache_shows if it[0] != "operator"}
    assert all(not host.cache_lets_in & shown for host in played.hosts.values())
    assert {**after, "redis": 0, "since": 0} == {**before, "redis": 0, "since": 0}


@pytest.mark.parametrize(("kind", "which"), CERTIFICATES.items())
def test_certificates_are_of_another_ca_afterwards_and_those_of_before_are_trusted_nowhere(
    kind: str, which: str
) -> None:
    played = Played(kind=kind)
    before = played.stacks["a"].secrets()
    played.rotate()
    assert played.lost == [] and played.at_rest() and played.runs == ["b", "a"] * 3
    after = played.stacks["b"].secrets()
    for host in played.hosts.values():
        assert not host.believes[which] & played.old.believes[which], "whoever has an old key comes in by it"
        assert len(host.believes[which]) == 1 and host.shown[which] == host.believes[which]
    assert after["since"][kind] > before["since"][kind]
    changed = {"ca", "hosts"} if which == "hosts" else {"cache"}
    assert {name for name in after["tls"] if after["tls"][name] != before["tls"][name]} == changed
    assert {**after, "tls": 0, "since": 0} == {**before, "tls": 0, "since": 0}


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_what_was_in_use_lies_beside_after_the_turn_whole(kind: str) -> None:
    """A host that has not turned yet is known by it, and opens what was sealed for it."""
    before = example.secrets()
    names = secrets.names_of(config.parse(example.configuration("a")))
    after = rotation.turned(rotation.begun(before, kind, names), kind, "2026-11-30")
    part = {name: it for name, it in after["rotation"][kind].items() if name not in ("stage", "applied")}
    assert part == {name: (before["tls"]["cache"] if "clients" in part else before["tls"])[name] for name in part}


def test_new_certificates_name_what_the_hosts_are_asked_by_and_are_good_for_what_they_do() -> None:
    played, like = Played(kind="host-certificates"), config.parse(example.configuration("a"))
    played.rotate()
    made = played.stacks["a"].secrets()["tls"]
    assert set(made["hosts"]) == set(example.secrets()["tls"]["hosts"]), "those of hosts that may come later, too"
    ends = list[datetime.datetime]()
    for host, it in like.hosts.items():
        leaf = x509.load_pem_x509_certificate(made["hosts"][host]["cert"].encode())
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        asked = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
        assert set(asked) == set(certificate_names(it))
        leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(made["ca"].encode()))
        ends.append(leaf.not_valid_after_utc)
    apart = [after - before for before, after in pairwise(ends)]
    assert min(apart) > datetime.timedelta(days=4), "no two end on one day, those of a before those of b"


def test_keys_of_buckets_have_a_number_that_never_comes_again() -> None:
    played = Played(kind="buckets")
    for number in (2, 3):
        played.rotate()
        assert played.lost == [] and played.at_rest()
        assert played.keys == {site: {number} for site in SITES}, "the ones of before are taken away"
        assert {host.bucket_key for host in played.hosts.values()} == {number}


def test_keys_to_the_witness_are_others_afterwards_and_each_user_has_one() -> None:
    played = Played(kind="witness")
    before = played.stacks["a"].secrets()
    played.third.keys[3].add("of-a-run-that-was-killed-long-ago")
    played.unknown = 3
    played.rotate()
    assert played.lost == [] and played.at_rest() and played.runs == ["b", "a"], "the store takes both by itself"
    after = played.stacks["b"].secrets()
    assert {len(keys) for keys in played.third.keys.values()} == {1}
    assert all(host.at_witness == played.third.alive for host in played.hosts.values())
    assert not played.third.alive & played.old.at_witness
    assert set(after["witness"]["hosts"]) == set(before["witness"]["hosts"])
    assert {**after, "witness": 0, "since": 0} == {**before, "witness": 0, "since": 0}
    assert after["since"]["witness"] > before["since"]["witness"]


def test_the_program_comes_in_by_another_key_and_what_the_old_one_has_signed_verifies_on() -> None:
    played = Played(kind="operator")
    olds = [program_key(example.secrets())]
    for _ in range(2):
        played.rotate()
        assert played.lost == [] and played.at_rest()
        found = played.stacks["b"].secrets()
        new = program_key(found)
        assert new not in olds and found["ssh"]["former"] == olds, "public parts alone, the newest last"
        for host in played.hosts.values():
            assert host.lets_run_in == {new}
        settings = config.parse(example.configuration("a", secrets=found))
        told = documents.setup(settings, CACHE)
        assert set(olds) <= set(told["ssh_revoked"]), "the first boot's file names it for ever"
        assert [key for name, key in signers(settings) if name == PROGRAM] == [new, *olds]
        assert load_ssh_private_key(found["ssh"]["operator"]["private"].encode(), None)
        olds.append(new)
    assert played.runs == ["b", "a"] * 6


def test_the_old_private_key_is_in_no_set_from_the_turn_on() -> None:
    found = example.secrets()
    old = found["ssh"]["operator"]["private"]
    after = rotation.turned(rotation.begun(found, "operator", {}), "operator", "2026-11-30")
    assert old not in json.dumps(after) and json.dumps(old)[1:-1] not in json.dumps(after)
    assert set(after["rotation"]["operator"]) == {"stage", "applied", "public"}


def test_a_set_without_the_bastions_keys_stays_one() -> None:
    played = Played(kind="witness")
    for stack in played.stacks.values():
        for user in LATER_USERS:
            del stack.kept["witness"]["hosts"][user]
    played.hosts = {site: played.told(site) for site in SITES}
    played.rotate()
    assert played.lost == [] and played.at_rest()
    assert not set(played.stacks["a"].secrets()["witness"]["hosts"]) & set(LATER_USERS)


def test_a_store_that_does_not_go_by_the_platform_turns_nothing_and_ends_nothing() -> None:
    played = Played(kind="witness")
    played.unknown = 10_000
    with pytest.raises(Partial, match="new key of operator: is not known to the witness after 120 s"):
        played.rotate()
    assert played.runs == [] and played.lost == []
    played.unknown = 0
    steps = list(Steps.found("witness", played.world()).all())
    for step in steps[1:6]:
        if not step.there:
            step.act()
    played.unknown = 10_000
    with pytest.raises(Partial, match=r"old key of operator: is deleted .* and the witness takes it after 120 s yet"):
        played.rotate()
    assert rotation.number(played.stacks["a"].secrets(), "witness") == steps_of.TURNED, "what it was is known yet"
    played.unknown = 0
    played.rotate()
    assert played.lost == [] and played.at_rest()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda it: it.keys[1].clear(), "no user of project third has the key of operator that is in use"),
        (
            lambda it: it.keys.update({2: it.keys[2] | it.keys.pop(3)}),
            r"have keys of one user \(2\) of project third, wanted a user for each",
        ),
    ],
)
def test_users_that_are_not_those_of_the_set_are_refused_and_no_key_is_made(
    spoil: Callable[[PlayedThird], Any], said: str
) -> None:
    played = Played(kind="witness")
    spoil(played.third)
    with pytest.raises(Refused, match=said) as refused:
        played.rotate()
    assert played.changes == 0 and "no key was changed" in str(refused.value) and "secret-" not in str(refused.value)


def test_sessions_of_before_are_read_for_some_days_and_the_same_command_ends_them_then() -> None:
    played = Played(kind="sessions", keep_days=14)
    before = played.stacks["a"].secrets()["rails"]["secret_key_base"]
    for day in (30, 30):  # again the same day: nothing more is done
        played.today = datetime.date(2026, 11, day)
        with pytest.raises(Partial, match="sessions of before 2026-11-30: are read until 2026-12-14, as they shall"):
            played.rotate()
        assert played.runs == ["b", "a"] * 2
    for host in played.hosts.values():
        assert host.signs != before and host.reads == {host.signs, before}
    played.today = datetime.date(2026, 12, 13)
    with pytest.raises(Partial):
        played.rotate()
    played.today = datetime.date(2026, 12, 14)
    played.rotate()
    assert played.lost == [] and played.at_rest() and played.runs == ["b", "a"] * 3
    assert all(host.reads == {host.signs} and before not in host.reads for host in played.hosts.values())
    assert played.stacks["a"].secrets()["since"]["sessions"] == "2026-11-30", "in use since the turn"


@pytest.mark.parametrize("at", range(8, 12))
def test_the_days_count_from_when_both_regions_sign_with_the_new_one(at: int) -> None:
    """Killed behind the turn of the sets, and gone on with days later: until then customers were given what the old one has signed."""
    played = Played(kind="sessions", keep_days=14, dies=at)
    with pytest.raises(Killed):
        played.rotate()
    played.dies, played.today = 0, datetime.date(2026, 12, 12)
    with pytest.raises(Partial, match="until 2026-12-26, as they shall"):
        played.rotate()
    played.today = datetime.date(2026, 12, 26)
    played.rotate()
    assert played.lost == [] and played.at_rest()


def test_a_day_that_is_none_is_a_sentence() -> None:
    played = Played(kind="sessions", keep_days=14)
    with pytest.raises(Partial):
        played.rotate()
    for stack in played.stacks.values():
        found = stack.secrets()
        found["rotation"]["sessions"]["applied"] = True
        found["since"]["sessions"] = "soon"
        stack.keep_secrets(found)
    with pytest.raises(Refused, match="found 'soon' as the day since which its sessions are in use"):
        played.rotate()


def test_while_sessions_of_before_are_read_another_kind_is_rotated() -> None:
    played = Played(kind="sessions", keep_days=14)
    with pytest.raises(Partial):
        played.rotate()
    played.kind = "redis"
    played.rotate()
    assert played.lost == [] and set(played.stacks["a"].secrets()["rotation"]) == {"sessions"}


def test_two_kinds_may_be_under_way_at_a_time() -> None:
    played = Played(dies=9)
    with pytest.raises(Killed):
        played.rotate()
    played.dies, played.kind = 0, "redis"
    played.rotate()
    assert played.lost == [] and not played.at_rest()
    played.kind = "database"
    played.rotate()
    assert played.lost == [] and played.at_rest()


@pytest.mark.parametrize("kind", rotation.EXCHANGES)
def test_a_run_killed_at_any_change_is_finished_by_the_next_one_and_shuts_nobody_out(kind: str) -> None:
    whole = Played(kind=kind)
    whole.rotate()
    assert whole.changes > 12
    for dies in range(1, whole.changes + 1):
        for late in (False, True):
            played = Played(dies=dies, late=late, kind=kind)
            with pytest.raises(Killed):
                played.rotate()
            played.dies = 0
            if not (dies == whole.changes and late):  # both are at rest: there is nothing to go on with
                played.rotate()
            assert played.lost == [] and played.at_rest(), (dies, late)
            assert len(played.runs) <= len(whole.runs) + 1, (
                "what was done is not done again, but for the run in which it ended"
            )
            new = {IN_USE[kind](it.secrets()) for it in played.stacks.values()}
            assert len(new) == 1 and IN_USE[kind](example.secrets()) not in new


@pytest.mark.parametrize("kind", [KIND, *CERTIFICATES, "buckets", "replication", "witness", "operator"])
@pytest.mark.parametrize("planned", [True, False])
def test_the_shop_may_be_moved_in_the_middle_and_the_rotation_goes_on_from_the_other_side(
    planned: bool, kind: str
) -> None:
    whole = Played(kind=kind)
    whole.rotate()
    for dies in range(1, whole.changes + 1):
        played = Played(dies=dies, kind=kind)
        with pytest.raises(Killed):
            played.rotate()
        played.dies, played.active, before = 0, "b", len(played.runs)
        for site in ("b", "a") if planned else ("b",):  # runs of a move: each with the set that its stack holds
            played.hosts = {**played.hosts, site: played.told(site)}
            played.see()
        played.rotate()
        assert played.lost == [] and played.at_rest(), dies
        left = played.runs[before:]
        pairs = left[len(left) % 2 :]
        assert pairs == ["a", "b"] * (len(pairs) // 2), "the standby's comes first, and that is another one now"


def test_somebody_signed_in_by_the_old_logins_is_waited_for_and_one_who_stays_is_not_cut_off() -> None:
    played = Played(busy=3)
    played.rotate()
    assert played.at_rest() and played.busy == 0
    stays = Played(busy=10_000)
    with pytest.raises(
        Partial, match=r"sessions by the old logins: found shop 3, shop_worker 3 after 300 s, wanted none"
    ):
        stays.rotate()
    assert stays.hosts["a"].lets_in > stays.old.lets_in
    stays.busy = 0
    stays.rotate()
    assert stays.at_rest()


def test_a_region_whose_run_fails_stops_it_before_the_next_stage() -> None:
    played = Played(fails="b")
    with pytest.raises(Partial, match=r"pulumi up of region b: failed \(db-1: no ssh session\); both regions let in"):
        played.rotate()
    assert rotation.number(played.stacks["a"].secrets(), KIND) == steps_of.BESIDE and played.runs == []
    played.fails = ""
    played.rotate()
    assert played.at_rest() and "warning: mind the gap" in played.said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda it: it["postgres"].update(app="another-password-of-the-shop"), "differ in postgres"),
        (lambda it: it["rails"].update(secret_key_base="0" * 64), "differ in rails"),
        (lambda it: it.update(rotation={KIND: {"stage": "half", "applied": True}}), "no stage of one"),
        (lambda it: it.update(rotation={KIND: 7}), "no stage of one"),
        (lambda it: it.update(rotation={KIND: {"stage": "turned", "applied": False}}), f"differ in rotation.{KIND}"),
    ],
)
def test_sets_that_are_no_neighbours_are_refused_and_nothing_is_changed(
    spoil: Callable[[dict[str, Any]], None], said: str
) -> None:
    played = Played()
    spoil(played.stacks["b"].kept)
    with pytest.raises(Refused, match=said) as refused:
        played.rotate()
    assert played.changes == 0 and "nothing was changed" in str(refused.value)
    for word in ("another-password-of-the-shop", "0" * 64):
        assert word not in str(refused.value)


def test_a_set_that_somebody_changes_meanwhile_is_left_as_it_is() -> None:
    played = Played()
    steps = list(Steps.found(KIND, played.world()).all())
    played.stacks["a"].kept["archive"]["passphrase"] = "one-that-was-put-in-by-hand"
    with pytest.raises(DrError, match="were changed since this run has read them"):
        steps[0].act()
    assert played.stacks["a"].kept["archive"]["passphrase"] == "one-that-was-put-in-by-hand"
    assert played.changes == 0


def test_what_lies_beside_is_new_each_time_and_stages_have_an_order() -> None:
    one, two = (rotation.begun(example.secrets(), KIND, {})["rotation"][KIND] for _ in range(2))
    assert one["app"] != two["app"] and one["ca"] != two["ca"]
    assert [str(it) for it in Stage] == ["beside", "turned", "ended"]
    with pytest.raises(KeyError):
        rotation.is_applied(example.secrets(), KIND)


def test_each_kind_that_is_rotated_has_its_stages_and_each_secret_its_kind() -> None:
    assert {name for name, kind in KINDS.items() if kind.rotated} == set(rotation.EXCHANGES)
    told = [place for kind in KINDS.values() for place in kind.places]
    assert len(told) == len(set(told))
    assert set(told) == {row.place for row in SECRETS if not row.place.startswith("rotation.")}
