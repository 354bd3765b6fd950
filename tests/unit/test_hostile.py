"""Whoever owns one host, or stands between, writes what he likes into every field of every document that comes from outside.

The fields are those of the dataclasses, so a new one is tried by itself. Wanted of each: refused with a sentence that names document and field and
shows the value escaped and shortened; or, of a text for people alone, taken as what can be seen of it.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from contract import audit, checks, forms
from contract.access import OpenStack, Ssh, SshHost
from contract.agreement import Record
from contract.audit import Entry
from contract.buckets import Bucket
from contract.checked import Checked
from contract.checks import Check, Unwanted
from contract.documents import Envelope
from contract.epoch import Claimed, Epoch, InForce
from contract.errors import DrError, Failed, Usage
from contract.fields import default_of, keys
from contract.heard import Addresses, Beat, Followed, Servers, Unsettled
from contract.links import fence, keeper, pointer, replication, turn, verify
from contract.plain import phrase, printable, shown
from contract.services import app, archive, assets, postgres, redis, setup
from contract.verbs import ANSWERS
from contract.watch import Alarm
from contract.watch import Word as Agreed
from scripts.clients import bounded, http
from scripts.clients import hosts as clients_hosts
from scripts.clients.check_bucket import CheckBucket
from scripts.clients.hosts import Hosts, answer_of
from scripts.clients.openstack import ApiDown, Cloud
from scripts.clients.server_states import read as read_server
from scripts.clients.trail_bucket import TrailBucket
from scripts.clients.watch_bucket import WatchBucket
from scripts.clients.witness import Witness
from scripts.clients.witness_bucket import WitnessDown
from scripts.host.agent.peer import told
from tests.unit.bad_answers import Played
from tests.unit.bad_answers import good as answered

DATE = "Tue, 01 Dec 2026 10:00:00 GMT"
TEXTS = {
    "line end": "203.0.113.9\n  ProxyCommand touch /tmp/x",
    "carriage return": "203.0.113.9\r\nUser other",
    "end of a directive": "203.0.113.9; } server { listen 1",
    "quote": "it's",
    "double quote": 'a"b',
    "option": "-oProxyCommand=touch /tmp/x",
    "substitution": "$(touch /tmp/x)",
    "backquotes": "`touch /tmp/x`",
    "blank": "a b",
    "empty": "",
    "nul": "a\0b",
    "title": "\x1b]0;owned\x07",
    "one character's escape": "\x9b2J",
    "turned": "\u202egnp.exe",
    "line separator": "a\u2028b",
    "other digits": "\u0663",
    "half a character": "\ud800",
    "path": "../../etc/passwd",
    "long": "a" * 2**20,
    "long digits": "9" * 5000,
}
KINDS: dict[str, Any] = {
    "list": ["a"],
    "object": {"a\x1b[2J": 1},
    "negative": -1,
    "large": 10**400,
    "fraction": 0.5,
    "endless": float("inf"),
    "truth": True,
    "nested": json.loads("[" * 60 + "]" * 60),
}
HOSTILE = TEXTS | KINDS
SAMPLES: tuple[Any, ...] = (
    1, "a", "held", "master", "primary", "0/16", "203.0.113.5", "db-1", "db-1.a", "16", True, "ssh-ed25519 AAAA", "https://s3.example", "0" * 16,
    "0" * 64, "run", "done", "move", "0123456789ab", "tell", "2026-12-31", "2026-12-31T10:00:00Z", {}, [],
)  # fmt: skip
FREE = (forms.PHRASE, forms.TREE)


def good(check: Check[Any]) -> Any:
    """A value that the check takes, and that is not null."""
    for sample in SAMPLES:
        try:
            check(sample)
        except Unwanted:
            continue
        return sample
    raise AssertionError(f"no sample for {check.wanted}")


def sample(cls: type[Any]) -> dict[str, Any]:
    """A document with every field of the dataclass."""
    return {
        name: sample(it.of) if it.of is not None else good(it.check or forms.ID) for name, (_, it) in keys(cls).items()
    }


def leaves(cls: type[Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every value, and of every part as a whole."""
    for name, (_, it) in keys(cls).items():
        yield (*path, name)
        if it.of is not None:
            yield from leaves(it.of, (*path, name))


def check_at(cls: type[Any], path: tuple[str, ...]) -> Check[Any] | None:
    _, it = keys(cls)[path[0]]
    return it.check if len(path) == 1 or it.of is None else check_at(it.of, path[1:])


def changed(document: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    inner = value if len(path) == 1 else changed(document[path[0]], path[1:], value)
    return {**document, path[0]: inner}


def texts(value: Any) -> Iterator[str]:
    """All texts in what was read."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from texts(name)
            yield from texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def takes(check: Check[Any] | None, value: Any) -> bool:
    """Whether it is of the field's form after all: true where a truth is wanted. An object of unknown keys is of another version's."""
    if check is None:
        return isinstance(value, Mapping)
    try:
        return check(value) is not None
    except Unwanted:
        return False


def needs(cls: type[Any], path: tuple[str, ...]) -> bool:
    """Whether it is a part in which something must be there."""
    _, it = keys(cls)[path[0]]
    if len(path) > 1:
        return it.of is not None and needs(it.of, path[1:])
    return it.of is not None and any(default_of(field) is dataclasses.MISSING for field, _ in keys(it.of).values())


def fault(attempt: Callable[[], Any], field: str, takes_it: bool) -> str:
    """What is wrong with how it ended; empty where nothing is."""
    try:
        found = attempt()
    except DrError as error:
        text = str(error)
        if takes_it:
            return f"refused although it is of the form: {text}"
        if not text.isprintable() or len(text) > 1500:
            return f"no sentence: {len(text)} characters, {shown(text)}"
        return "" if field in text and "found" in text else f"does not name {field}: {text}"
    except Exception as error:
        return f"a traceback: {error!r:.200}"
    if not takes_it:
        return f"believed: {found!r:.200}"
    return next((f"holds {shown(each)}" for each in texts(found) if printable(each) != each or "\n" in each), "")


class Store:
    """A bucket in which one object is whatever it is said to be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.body, self.written = b"", list[str]()
        monkeypatch.setattr(http, "ask", self.ask)

    def ask(self, method: str, url: str, *, headers: Mapping[str, str], **_: Any) -> http.Reply:
        from email.message import Message

        said = Message()
        said["Date"] = said["Last-Modified"] = DATE
        if method != "GET":
            self.written.append(url)
        listed = b"<ListBucketResult><Contents><Key>epochs/00000001.json</Key></Contents></ListBucketResult>"
        return http.Reply(200, "OK", said, listed if "list-type" in url else self.body)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("contract.wire.dates.clock_ahead", lambda _: None)
    return Store(monkeypatch)


WITNESS_PLACE = Bucket(endpoint="https://s3.example", region="de", bucket="witness", access_key="k", secret_key="s")
WITNESS = Witness(WITNESS_PLACE)
NEWEST = Epoch(epoch=1, active="a", previous=None, planned=True)
# Which object of the bucket, its form, and who reads it.
OBJECTS: dict[str, tuple[type[Any], Callable[[], Any]]] = {
    "epochs/00000001.json": (Claimed, WITNESS.newest),
    "sites/a.json": (Addresses, lambda: WITNESS.addresses("a")),
    "followed/a.json": (Followed, lambda: WITNESS.followed("a")),
    "servers/a.json": (Servers, lambda: WITNESS.servers("a")),
    "unsettled/a.json": (Unsettled, lambda: WITNESS.unsettled(NEWEST)),
    "configurations/a.json": (Record, lambda: WITNESS.configuration("a")),
    "heartbeats/a/db-1.json": (Beat, lambda: WITNESS.heartbeat("a", "db-1")),
    "checks/last.json": (Checked, lambda: CheckBucket(WITNESS_PLACE).last_check()),
    "watch/alarms/000000000000.json": (Alarm, lambda: WatchBucket(WITNESS_PLACE).alarm("0" * 12)),
    "watch/confirmed/000000000000.json": (Agreed, lambda: WatchBucket(WITNESS_PLACE).word("0" * 12)),
    "audit/00000001.json": (Entry, lambda: audit.read("audit/00000001.json", TrailBucket(WITNESS_PLACE).stored(1) or b"")),
}  # fmt: skip


def body(document: Any) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", OBJECTS)
def test_a_good_object_is_read(store: Store, name: str) -> None:
    cls, read = OBJECTS[name]
    store.body = body(sample(cls))
    assert read() not in (None, {}) or cls is Servers


@pytest.mark.parametrize("how", HOSTILE)
@pytest.mark.parametrize("name", OBJECTS)
def test_nothing_hostile_in_an_object_of_the_witness_is_believed(store: Store, name: str, how: str) -> None:
    cls, read = OBJECTS[name]
    found = {}
    for path in leaves(cls):
        value, check = HOSTILE[how], check_at(cls, path)
        store.body = body(changed(sample(cls), path, value))
        other = how == "endless"  # is no JSON at all
        newer = path == ("schema",) and how == "large"
        field = name if other or newer or cls is Claimed else f"{name}:{path[0]}"
        good_one = (
            takes(check, value)
            and not needs(cls, path)
            and not other
            and not (cls is Claimed and (path == ("epoch",) or not takes(forms.TREE, {"": value})))
        )
        why = fault(read, name if other else field, good_one)
        if why and not (other and "object" in why) and not (newer and "believed: None" in why):
            found[".".join(path)] = why
    assert found == {}
    assert store.written == []


@pytest.mark.parametrize("name", OBJECTS)
def test_keys_of_another_version_are_passed_over(store: Store, name: str) -> None:
    cls, read = OBJECTS[name]
    store.body = body(sample(cls))
    before = read()
    store.body = body(sample(cls) | {"of_a_later_version": ["x"]})
    assert read() == before


def test_an_object_that_is_too_long_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.clients.witness_bucket.PAUSE_S", 0.0)
    server = Played()
    try:
        place = dataclasses.replace(WITNESS_PLACE, endpoint=server.url)
        server.good["/sites/a.json"] = answered({"lb": "203.0.113.5", "more": "a" * 2**19})
        assert Witness(place).addresses("a") == {"lb": "203.0.113.5"}
        server.good["/sites/a.json"] = answered({"lb": "203.0.113.5", "more": "a" * 2**20})
        with pytest.raises(WitnessDown, match=r"cannot read sites/a\.json \(.*1048576 at most"):
            Witness(place).addresses("a")
    finally:
        server.close()


@pytest.mark.parametrize("how", HOSTILE)
@pytest.mark.parametrize("command", ANSWERS)
def test_nothing_hostile_in_a_hosts_answer_is_believed(command: str, how: str) -> None:
    cls, found = ANSWERS[command], {}
    for path in leaves(cls):
        value, check = HOSTILE[how], check_at(cls, path)
        said = body({"schema": 1, "facts": changed(sample(cls), path, value)})
        field = command if how in ("endless", "long") else f"{command}:{path[0]}"
        why = fault(
            partial(answer_of, said, "db-1.b", command),
            field,
            takes(check, value) and how not in ("endless", "long") and not needs(cls, path),
        )
        if why:
            found[".".join(path)] = why
    assert found == {}


@pytest.mark.parametrize(
    "said", [b"", b"[]", b"x", b"[" * 100_000, b'{"facts": 1}', b'{"facts": {}' + b" " * 2**20 + b"}", b"\xff"]
)
def test_what_is_no_answer_is_a_sentence(said: bytes) -> None:
    with pytest.raises(Failed, match=r"host db-1\.b, answer of dr-host postgres stop: found .*see what answers there"):
        answer_of(said, "db-1.b", "postgres stop")


def test_the_facts_of_a_verb_without_a_form_reach_nobody() -> None:
    assert answer_of(b'{"facts": {"x": "\\u001b[2J"}}', "app-1.b", "app quiesce") == {}


DOCUMENTS: tuple[type[Any], ...] = (
    Envelope, InForce, fence.Document, keeper.Document, turn.Document, verify.Document, pointer.Document, replication.Document, setup.Block,
    postgres.Block, redis.Block, assets.Block, app.Block, archive.Block,
)  # fmt: skip
# Of the operator's own configuration, quoted where they are written.
OWN = {id(each) for each in (checks.prose, checks.password, checks.password_or_none)}
QUOTED = ("parameters", "reason", "passphrase", "ca", "documents")  # the last two are read as PEM and as JSON


def all_checks(cls: type[Any], path: str = "") -> Iterator[tuple[str, Check[Any]]]:
    for name, (_, it) in keys(cls).items():
        if it.check is not None:
            yield f"{path}{name}", it.check
        if it.of is not None:
            yield from all_checks(it.of, f"{path}{name}.")


@pytest.mark.parametrize("cls", DOCUMENTS, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_no_field_of_a_document_takes_what_a_file_or_a_terminal_reads_as_its_own(cls: type[Any]) -> None:
    """The other end: what came from outside is in these documents, too, and is checked where it is used."""
    hostile = [
        TEXTS[name]
        for name in ("line end", "carriage return", "nul", "title", "one character's escape", "line separator")
    ]
    taken = [
        (path, shown(value))
        for path, check in all_checks(cls)
        if id(check) not in OWN and path.rpartition(".")[2] not in QUOTED
        for value in hostile
        if takes(check, value)
    ]
    assert taken == []


@pytest.mark.parametrize(
    "address",
    [
        TEXTS["line end"],
        "127.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "www.example",
        "203.0.113.9 ",
        5,
        None,
    ],
)
def test_only_an_address_that_others_can_reach_becomes_a_record_or_a_proxys_target(address: Any) -> None:
    for check in (forms.ENTRANCE, dict(all_checks(pointer.Document))["address"]):
        with pytest.raises(Unwanted, match="an IPv4 address that others can reach"):
            check(address)


def test_sshs_configuration_takes_no_line_from_outside(tmp_path: Any) -> None:
    fine = SshHost(vrack="10.100.0.1", front="10.1.0.1", host_key="ssh-ed25519 AAAA")
    for name, host, bastion in (
        ("db-1.a", fine, TEXTS["line end"]),
        ("db-1.a\n  ProxyCommand x", fine, "203.0.113.1"),
        ("db-1.a", dataclasses.replace(fine, vrack=TEXTS["line end"]), "203.0.113.1"),
        ("db-1.a", dataclasses.replace(fine, host_key="ssh-ed25519 AAAA\nother ssh-ed25519 BBBB"), "203.0.113.1"),
    ):
        with pytest.raises(Usage, match="the way to the hosts"):
            Hosts(Ssh(private_key="no key", hosts={name: host}, bastions={"a": bastion}))


def test_a_host_that_never_stops_talking_is_ended() -> None:
    babble = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    with pytest.raises(bounded.TooMuch, match="more than 1000000 bytes"):
        bounded.run([sys.executable, "-c", babble], b"", 60, 1_000_000)


def test_both_ways_of_a_program_are_read_and_what_it_is_told_is_said_whole() -> None:
    echo = "import sys\nsaid = sys.stdin.read()\nsys.stderr.write(said)\nsys.stdout.write(said)\nsys.exit(3)"
    done = bounded.run([sys.executable, "-c", echo], b"x" * 300_000, 60, 2**20)
    assert (done.returncode, len(done.stdout), len(done.stderr)) == (3, 300_000, 300_000)
    with pytest.raises(subprocess.TimeoutExpired):
        bounded.run([sys.executable, "-c", "import time; time.sleep(60)"], b"", 0.2, 2**20)


def test_a_hosts_last_word_orders_no_terminal_about() -> None:
    said = clients_hosts._last_line("x\nfound \x1b]0;owned\x07 \u202e".encode() + b"y" * 10**6)
    assert said.isprintable() and len(said) < 2100


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_no_message_holds_what_orders_a_terminal_about(text: str) -> None:
    for said in (str(Failed(f"host: said {text}")), shown(text), phrase(text)):
        assert said.replace("\n", "").isprintable(), shown(said)
    assert len(shown(text)) < 100 and len(phrase(text)) < 2010


@pytest.mark.parametrize("how", TEXTS)
def test_a_servers_id_is_one_or_the_list_is_none(how: str) -> None:
    fine = {"id": "0b4f-1", "name": "shop-a-db-1", "status": "ACTIVE"}
    assert read_server({**fine, "id": TEXTS[how]}) is None
    for name in ("name", "status"):
        server = read_server({**fine, name: TEXTS[how]})
        assert server is not None and server.words().isprintable() and len(server.words()) < 3000


@pytest.mark.parametrize(
    "block", ['{"a": "\\u001b[2J"}', '{"a": 1e999}', "[" * 100_000, "[]", '{"a": "' + "x" * 10**6 + '"}']
)
def test_a_counterparts_block_is_kept_only_where_it_is_sound(block: str) -> None:
    assert told([f"x-dr-block: {block}"]) is None
    assert told(['x-dr-block: {"write_lsn": "0/16"}']) == {"write_lsn": "0/16"}


def cloud(auth_url: str, compute: str) -> Cloud:
    keys = {"user": "dr", "password": "hidden", "project_id": "p", "domain": "Default"}
    made = Cloud(OpenStack(auth_url=auth_url, **keys), "GRA11")
    made._endpoints = {"compute": compute}
    return made


def test_a_catalog_cannot_lead_a_token_away_from_tls() -> None:
    with pytest.raises(ApiDown, match=r"its catalog names 'http://elsewhere' for compute, wanted an https:// URL"):
        cloud("https://auth.example/v3", "http://elsewhere").url("compute", "/servers")
    assert (
        cloud("https://auth.example/v3", "https://n.example").url("compute", "/servers/x")
        == "https://n.example/servers/x"
    )
    assert cloud("http://192.0.2.10:5000/v3", "http://192.0.2.10:8774").url("compute", "/servers")


@pytest.mark.parametrize("how", ["line end", "blank", "substitution", "nul", "title", "path", "turned", "quote"])
def test_an_id_of_the_platform_leads_nowhere_else(how: str) -> None:
    with pytest.raises(ApiDown, match="is no path of ours") as caught:
        cloud("https://auth.example/v3", "https://n.example").url("compute", f"/servers/{TEXTS[how]}")
    assert str(caught.value).isprintable()
