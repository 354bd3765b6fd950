"""The witness against an S3 server: one owner an epoch, whatever is lost on the way."""

from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ConnectionClosedError
from moto.server import ThreadedMotoServer

from contract.buckets import Bucket
from contract.epoch import Epoch
from contract.errors import DrError, Refused
from scripts.clients.witness import EpochTaken, Witness, WitnessDown


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def place(endpoint, request):
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


def test_a_claim_whose_answer_was_lost_is_found_to_be_ours(place, monkeypatch):
    witness = Witness(place)
    really = witness._s3.put_object

    def answer_lost(**arguments):
        really(**arguments)
        raise ConnectionClosedError(endpoint_url="x")

    monkeypatch.setattr(witness._s3, "put_object", answer_lost)
    witness.claim(epoch(3, "a"))
    assert Witness(place).newest() == epoch(3, "a")


def test_a_store_that_honours_the_condition_passes_the_probe_and_keeps_nothing_of_it(place):
    witness = Witness(place)
    witness.probe()
    assert witness._s3.list_objects_v2(Bucket=place.bucket)["KeyCount"] == 0


def test_a_store_that_ignores_the_condition_is_no_witness(place, monkeypatch):
    witness = Witness(place)
    really = witness._s3.put_object
    monkeypatch.setattr(
        witness._s3,
        "put_object",
        lambda **arguments: really(**{k: v for k, v in arguments.items() if k != "IfNoneMatch"}),
    )
    with pytest.raises(Refused, match="honours conditional writes"):
        witness.probe()


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
