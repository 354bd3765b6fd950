"""The witness against an S3 server: one owner an epoch, whatever is lost on the way."""

import base64
import datetime
import email.utils
import hashlib
import time
from dataclasses import replace
from email.message import Message

import boto3
import pytest
from moto.server import ThreadedMotoServer

from contract.buckets import Bucket
from contract.epoch import Epoch
from contract.errors import DrError, Failed, Refused
from contract.wire.sigv4 import encode_query
from scripts.clients import http
from scripts.clients import witness_bucket as clients_witness
from scripts.clients.witness import EpochTaken, Tried, Witness
from scripts.clients.witness_bucket import WitnessDown
from scripts.links.fence import claimer

NOWHERE = Bucket(endpoint="https://s3.example", region="de", bucket="witness", access_key="k", secret_key="s")


@pytest.fixture(scope="module")
def endpoint():
    """An S3 server of nobody's."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def place(endpoint, request):
    """An empty bucket of the test's own, versioned."""
    bucket = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:60].lower()
    place = Bucket(endpoint=endpoint, region="de", bucket=bucket, access_key="key", secret_key="hidden-secret")
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="hidden-secret",
    )
    s3.create_bucket(Bucket=bucket)
    return place


def epoch(number: int, active: str, by: str = "me") -> Epoch:
    return Epoch(epoch=number, active=active, previous=None, planned=True, claimed_by=by)


def test_the_newest_epoch_is_the_one_with_the_highest_number(place):
    witness = Witness(place)
    assert witness.newest() is None
    for number, active in ((1, "a"), (2, "b"), (10, "a")):
        witness.claim(epoch(number, active))
    assert witness.newest() == epoch(10, "a")


def test_of_two_claims_for_one_epoch_the_second_is_told_who_owns_it(place):
    Witness(place).claim(epoch(2, "b", "first"))
    with pytest.raises(EpochTaken) as caught:
        Witness(place).claim(epoch(2, "b", "second"))
    assert caught.value.epoch.claimed_by == "first"
    assert Witness(place).newest() == epoch(2, "b", "first")


def test_a_move_that_is_taken_back_leaves_no_mark(place):
    witness, newest = Witness(place), epoch(4, "a")
    assert witness.unsettled(newest) == 0
    witness.unsettle(newest)
    assert witness.unsettled(newest) == 1
    witness.settle(newest)
    assert witness.unsettled(newest) == 0
    witness.settle(newest)
    assert witness.unsettled(newest) == 0
    assert witness.unsettled(epoch(5, "a")) == 0


def test_a_mark_that_a_run_has_gone_by_stays_and_the_next_one_is_another(place):
    """Else the next move that is killed would look like the one that was mended, and nothing would start what it has stopped."""
    witness, newest = Witness(place), epoch(4, "a")
    witness.unsettle(newest)
    assert witness.mend(newest) == 1
    witness.settle(newest)
    assert (witness.unsettled(newest), witness.mend(newest)) == (1, 1)
    witness.unsettle(newest)
    assert witness.mend(newest) == 2
    assert witness.unsettled(epoch(5, "a")) == 0
    witness.unsettle(epoch(5, "a"))
    assert witness.unsettled(epoch(5, "a")) == 1


def test_a_run_that_finds_nothing_begun_writes_nothing(place, monkeypatch):
    asked = Between(monkeypatch)
    assert Witness(place).mend(epoch(4, "a")) == 0
    assert asked.asked == ["GET"]


@pytest.mark.parametrize("there", [False, True])
def test_marks_of_two_at_once_are_both_there(place, monkeypatch, there):
    newest = epoch(4, "a")
    for _ in range(there):
        Witness(place).unsettle(newest)
    between = Between(monkeypatch)

    def first(headers):
        if {"if-match", "if-none-match"} & set(headers) and between.asked.count("PUT") == 1:
            between.asked.append("PUT of the other one")
            with monkeypatch.context() as patch:
                patch.setattr(http, "ask", between.really)
                Witness(place).mend(newest)
                Witness(place).unsettle(newest)
        return headers

    between.changed = first
    Witness(place).unsettle(newest)
    assert Witness(place).unsettled(newest) == there + 2
    Witness(place).settle(newest)
    assert Witness(place).unsettled(newest) == there + 1, "the other one's is as open as it was"
    for _ in range(2):
        Witness(place).settle(newest)
    assert Witness(place).unsettled(newest) == there, "what the other one had gone by stays"


def test_of_two_moves_one_takes_back_its_own_mark_alone(place):
    first, second, newest = Witness(place), Witness(place), epoch(4, "a")
    first.unsettle(newest)
    second.unsettle(newest)
    first.settle(newest)
    assert Witness(place).unsettled(newest) == 1, "the second one may have stopped the database"
    second.settle(newest)
    assert Witness(place).unsettled(newest) == 0


@pytest.mark.parametrize("lost", [1, 2])
def test_a_mark_whose_answer_was_lost_is_made_once(place, monkeypatch, lost):
    """A store that writes and says 500: asked again it says that somebody else has written, who is this run."""
    Witness(place).unsettle(epoch(4, "a"))
    between = Between(monkeypatch)
    between.broken = lost
    Witness(place).unsettle(epoch(4, "a"))
    assert Witness(place).unsettled(epoch(4, "a")) == 2
    between.broken = lost
    Witness(place).settle(epoch(4, "a"))
    assert Witness(place).unsettled(epoch(4, "a")) == 1


def test_a_mark_without_an_etag_is_written_over_by_nobody(place, monkeypatch):
    Witness(place).unsettle(epoch(4, "a"))
    between = Between(monkeypatch)
    between.bare = True
    with pytest.raises(WitnessDown, match=r"no ETag of what is there"):
        Witness(place).unsettle(epoch(4, "a"))
    assert between.asked == ["GET"]


def test_a_store_that_never_takes_a_mark_is_told(place, monkeypatch):
    Witness(place).unsettle(epoch(4, "a"))
    Between(monkeypatch, lambda headers: headers | ({"if-match": "0" * 32} if "if-match" in headers else {}))
    with pytest.raises(WitnessDown, match="others wrote there 4 times meanwhile"):
        Witness(place).unsettle(epoch(4, "a"))


class Between:
    """What is asked really, and what comes of it: `changed` makes another question of one, `lost` answers are never seen."""

    def __init__(self, monkeypatch, changed=lambda headers: headers, lost=()):
        self.really, self.changed, self.lost, self.asked = http.ask, changed, lost, []
        self.broken, self.bare = 0, False  # so many writings are taken and answered with 500; answers bear no ETag
        monkeypatch.setattr(http, "ask", self.ask)
        monkeypatch.setattr(clients_witness, "PAUSE_S", 0.0)

    def ask(self, method, url, *, headers, **rest):
        self.asked.append(method)
        reply = self.really(method, url, headers=self.changed(headers), **rest)
        if method in self.lost:
            raise http.NoAnswer("closed before it had answered")
        if method == "PUT" and self.broken:
            self.broken -= 1
            return replace(reply, status=500, body=b"")
        if self.bare:
            del reply.headers["ETag"]
        return reply


def test_what_is_stored_says_its_md5_which_a_locked_bucket_asks_for(place, monkeypatch):
    really, stored = http.ask, []

    def ask(method, url, *, headers, body, **rest):
        if method == "PUT":
            stored.append((body, headers.get("content-md5")))
        return really(method, url, headers=headers, body=body, **rest)

    monkeypatch.setattr(http, "ask", ask)
    witness = Witness(place)
    witness.claim(epoch(1, "a"))
    witness.probe()
    witness.record_followed("b", 1)
    assert len(stored) == 4
    for body, told in stored:
        assert told == base64.b64encode(hashlib.md5(body).digest()).decode()


def test_a_claim_whose_answer_was_lost_is_found_to_be_ours(place, monkeypatch):
    between = Between(monkeypatch, lost=("PUT",))
    Witness(place).claim(epoch(3, "a"))
    assert between.asked == ["PUT", "PUT", "GET"]
    assert Witness(place).newest() == epoch(3, "a")


class Ahead:
    """A store whose clock is an hour ahead of this machine's, and which refuses what is signed by another. `lost`: so many answers are never seen."""

    def __init__(self, monkeypatch, lost=0):
        self.asked, self.lost = 0, lost
        monkeypatch.setattr(http, "ask", self.ask)
        monkeypatch.setattr(clients_witness, "PAUSE_S", 0.0)

    def ask(self, method, url, *, headers, **rest):
        self.asked += 1
        if self.asked <= self.lost:
            raise http.NoAnswer("no answer within 5 s")
        now = time.time() + 3600
        said = Message()
        said["Date"] = email.utils.formatdate(now, usegmt=True)
        said["ETag"] = '"1"'
        signed = datetime.datetime.strptime(headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
        if abs(signed - now) > 900:
            return http.Reply(403, "Forbidden", said, b"<Error><Code>RequestTimeTooSkewed</Code></Error>")
        return http.Reply(200, "OK", said, b"")


@pytest.mark.parametrize(("attempts", "lost"), [(1, 0), (2, 0), (2, 1)])
def test_a_clock_that_is_wrong_costs_no_attempt(monkeypatch, attempts, lost):
    """Who has one attempt alone, such as the audit trail, is heard from a machine whose clock is wrong, too."""
    store = Ahead(monkeypatch, lost)
    Witness(NOWHERE, attempts=attempts).record_followed("b", 1)
    assert store.asked == lost + 2


def test_the_key_of_a_host_that_may_too_much_is_seen_with_a_clock_that_is_wrong(monkeypatch):
    Ahead(monkeypatch)
    assert "operator's alone" in Witness(NOWHERE).fault_of(NOWHERE)


def test_keys_that_are_refused_are_refused_once_more_at_most_however_the_clocks_drift(monkeypatch):
    asked = []

    def ask(method, url, **rest):
        asked.append(method)
        said = Message()
        said["Date"] = email.utils.formatdate(time.time() + 3600 + 60 * len(asked), usegmt=True)
        return http.Reply(403, "Forbidden", said, b"<Error><Code>AccessDenied</Code></Error>")

    monkeypatch.setattr(http, "ask", ask)
    with pytest.raises(WitnessDown, match="AccessDenied"):
        Witness(NOWHERE).followed("b")
    assert len(asked) == 2


def test_a_claim_that_is_alike_in_all_but_its_token_is_somebody_elses(place, monkeypatch):
    """Two runs of one person on one machine, in the same millisecond: only one of them is the owner."""
    mine, theirs = (replace(epoch(2, "b"), **{**claimer(), "claimed_at": "now"}) for _ in range(2))
    assert replace(mine, token=None) == replace(theirs, token=None)
    Witness(place).claim(theirs)
    Between(monkeypatch, lost=("PUT",))
    with pytest.raises(EpochTaken):
        Witness(place).claim(mine)


def test_a_claim_whose_first_answer_was_lost_is_not_taken_for_somebody_elses(place, monkeypatch):
    between = Between(monkeypatch, lost=["PUT"])
    monkeypatch.setattr("time.sleep", lambda _: between.lost.clear())
    Witness(place).claim(epoch(3, "a"))
    assert between.asked == ["PUT", "PUT", "GET"]


def test_a_store_that_honours_the_condition_passes_the_probe_and_keeps_nothing_of_it(place):
    Witness(place).probe()
    assert Witness(place).versions("") == []


def test_a_store_that_ignores_the_condition_is_no_witness(place, monkeypatch):
    Between(monkeypatch, lambda headers: {name: it for name, it in headers.items() if name != "if-none-match"})
    with pytest.raises(Refused, match="honours conditional writes"):
        Witness(place).probe()


@pytest.mark.parametrize(("status", "versioned"), [(None, False), ("Enabled", True), ("Suspended", False)])
def test_whether_a_store_keeps_versions_is_seen_by_what_it_answers_to_a_write(place, status, versioned):
    """Moto's bucket is without versions, until somebody says so."""
    if status:
        s3 = boto3.client(
            "s3",
            endpoint_url=place.endpoint,
            region_name="us-east-1",
            aws_access_key_id=place.access_key,
            aws_secret_access_key=place.secret_key,
        )
        s3.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": status})
    assert Witness(place).tried() == Tried(conditional=True, versioned=versioned)
    assert Witness(place)._keys("probe/") == [], "it is taken away again"


def test_every_page_of_a_listing_is_read(place, monkeypatch):
    witness = Witness(place)
    for number in range(1, 6):
        witness.claim(epoch(number, "a"))
        witness.record_followed("b", number)
    plain = encode_query
    monkeypatch.setattr(
        clients_witness, "encode_query", lambda query: plain({**query, "max-keys": "2"} if query else query)
    )
    assert witness.newest() == epoch(5, "a")
    assert witness.versions("epochs/") == [f"epochs/{number:08d}.json" for number in range(1, 6)]


def test_nothing_of_this_machines_own_keys_and_settings_is_read(place, monkeypatch, tmp_path):
    """boto3#4121: a profile of somebody else's, which is not there, ended every run."""
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://127.0.0.1:9\nca_bundle = /nowhere\n")
    for name, value in {
        "AWS_PROFILE": "no-such-profile",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "nowhere"),
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_CA_BUNDLE": "/nowhere",
        "AWS_DEFAULT_REGION": "mars",
        "AWS_MAX_ATTEMPTS": "none",
        "AWS_ACCESS_KEY_ID": "other",
    }.items():
        monkeypatch.setenv(name, value)
    Witness(place).claim(epoch(1, "a"))
    assert Witness(place).newest() == epoch(1, "a")


def test_a_dead_store_is_one_sentence_without_the_secret(place):
    with pytest.raises(WitnessDown) as caught:
        Witness(replace(place, endpoint="http://127.0.0.1:9")).newest()
    assert "cannot list the epochs" in str(caught.value)
    assert "hidden-secret" not in str(caught.value)


def test_a_missing_bucket_names_the_remedy(place):
    with pytest.raises(DrError, match="create it, versioned, in a region that is neither a nor b"):
        Witness(replace(place, bucket="no-such-bucket")).newest()


def test_followed_and_addresses_are_kept_per_site(place):
    witness = Witness(place)
    assert witness.followed("b") is None
    assert witness.addresses("b") == {}
    witness.record_followed("b", 4)
    witness.record_addresses("b", {"lb": "198.51.100.9"})
    assert (witness.followed("b"), witness.followed("a")) == (4, None)
    assert witness.addresses("b") == {"lb": "198.51.100.9"}


@pytest.mark.parametrize(
    "stored", [{"lb": 5}, {"lb": "198.51.100.9\n  ProxyCommand touch /tmp/x"}, {"bastion": "::1"}, {"lb": None}]
)
def test_an_address_that_is_none_is_given_to_nobody(place, stored):
    Witness(place)._put("sites/b.json", stored)
    with pytest.raises(
        Failed, match=r"sites/b\.json:(lb|bastion): found .*, wanted an IPv4 address that others can reach; customers"
    ):
        Witness(place).addresses("b")
    Witness(place).record_addresses("b", {"lb": "198.51.100.9"})
    assert Witness(place).addresses("b") == {"lb": "198.51.100.9"}


@pytest.mark.parametrize("stored", [{}, {"epoch": "4"}, {"epoch": True}, {"epoch": 0}, {"epoch": None}])
def test_a_followed_epoch_that_is_none_is_a_sentence(place, stored):
    Witness(place)._put("followed/b.json", stored)
    with pytest.raises(Failed, match=r"followed/b\.json:epoch: found .*it tells no epoch"):
        Witness(place).followed("b")


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"epoch": "2", "active": "b", "previous": None, "planned": True},
        {"epoch": True, "active": "b", "previous": None, "planned": True},
        {"epoch": 3, "active": "b", "previous": None, "planned": True},
        {"epoch": 2, "active": ["b"], "previous": None, "planned": True},
        {"epoch": 2, "active": "c", "previous": None, "planned": True},
        {"epoch": 2, "active": "b", "previous": None, "planned": "no"},
        {"epoch": 2, "active": "b", "previous": None, "planned": True, "fence": []},
        {"epoch": 2, "active": "b", "previous": None, "planned": True, "checkpoint": "0/1"},
    ],
)
def test_an_epoch_that_is_none_is_a_sentence(place, stored):
    Witness(place)._put("epochs/00000002.json", stored)
    with pytest.raises(DrError, match=r"epochs/00000002\.json:.*found .*it is not an epoch"):
        Witness(place).newest()


def test_an_object_among_the_epochs_whose_name_is_none_is_to_be_removed(place):
    """Written by hand, as two procedures of docs/failover.md have it, and not under its name: there is no older version to bring back."""
    witness = Witness(place)
    witness.claim(epoch(2, "b"))
    for name in ("epochs/00000002.json.bak", "epochs/3.json", "epochs/notes.txt"):
        witness._put(name, {"epoch": 3})
        with pytest.raises(DrError, match=rf"{name} in .*wanted epochs/<eight digits>\.json.*remove it"):
            witness.newest()


def test_a_witness_whose_epochs_are_gone_still_says_that_there_were_some(place):
    witness = Witness(place)
    assert witness.trace() == ""
    witness.record_followed("b", 3)
    assert witness.trace() == "followed/b.json"
    witness.claim(epoch(1, "a"))
    assert witness.trace() == "epochs/00000001.json"


LOCK = b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>%s</ObjectLockConfiguration>"
RULE = b"<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>7</Days></DefaultRetention></Rule>"


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (200, LOCK % RULE, True),
        (200, LOCK % b"", False),
        (404, b"<Error><Code>ObjectLockConfigurationNotFoundError</Code></Error>", False),
        (404, b"<html/>", None),
        (403, b"<Error><Code>AccessDenied</Code></Error>", None),
        (501, b"", None),
        (200, b"<html>DefaultRetention</html>", None),
    ],
    ids=["rule", "none", "no-lock", "page", "denied", "unknown", "another-page"],
)
def test_whether_it_is_locked_is_believed_only_of_s3(place, monkeypatch, status, body, wanted):
    reply = http.Reply(status, "", Message(), body)
    monkeypatch.setattr(http, "ask", lambda *_, **__: reply)
    assert Witness(place).locked() is wanted
