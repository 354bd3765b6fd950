"""Releases in both regions' buckets: put there and read back, listed, a spoiled copy found and mended, a silent region told."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from contract import artefact, release
from contract.buckets import Bucket
from contract.errors import ExitCode, Failed, Partial, Usage
from contract.release import Card, Manifest, object_of
from scripts.clients.release_bucket import ReleaseBucket, ReleasesDown
from scripts.ctl import cli
from scripts.ctl.commands import releases as command
from scripts.ctl.releases import store as stores
from scripts.ctl.releases.build import card_file
from scripts.ctl.releases.store import MISSING, SPOILED, UNKNOWN, WELL, Store
from scripts.ctl.stacks.stack import Stack
from tests.unit.played_survey import DARK, changed, settings, well
from tests.unit.test_witness import endpoint

__all__ = ["endpoint"]  # a fixture
OTHERS = release.card_text(Card(digest="0" * 64, bytes=1, unpacked=1, count=1))
NOBODY = "http://127.0.0.1:1"
KEYS = {"access_key": "key", "secret_key": "hidden-secret"}


@pytest.fixture
def s3(endpoint: str) -> Any:
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "hidden-secret"}
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)


@pytest.fixture
def store(endpoint: str, s3: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two empty buckets of the test's own; the attempts at a silent one are quick."""
    name = "".join(it if it.isalnum() else "-" for it in request.node.name)[:40].strip("-").lower()
    for site in "ab":
        s3.create_bucket(Bucket=f"{name}-{site}")

    def bucket(_: object, site: str, keys: dict[str, str]) -> Bucket:
        return Bucket(endpoint=endpoint, region="gra", bucket=f"{name}-{site}", **keys)

    monkeypatch.setattr(stores, "release_bucket", bucket)
    return Store(settings(), KEYS)


def test_a_region_that_says_nothing_is_not_waited_for_as_long_as_an_artefact_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ReleaseBucket, "wait_s", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:  # it takes connections, and that is all
        place = Bucket(endpoint=f"http://127.0.0.1:{server.getsockname()[1]}", region="gra", bucket="x", **KEYS)
        bucket, began = ReleaseBucket(place, 10, attempts=1), time.monotonic()
        for ask in (bucket.digests, lambda: bucket.card("0" * 64), lambda: bucket.artefact("0" * 64)):
            with pytest.raises(ReleasesDown, match=r"no answer within 0\.2 s"):
                ask()
        assert time.monotonic() - began < 10


def silent(store: Store, site: str) -> None:
    place = Bucket(endpoint=NOBODY, region="gra", bucket="x", **KEYS)
    store.buckets[site] = ReleaseBucket(place, 10, answer_s=2.0, attempts=1)


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Card]:
    """An artefact with its card."""
    (tmp_path / "config.ru").write_text("run Shop\n")
    target = tmp_path / "shop.tar.gz"
    made = artefact.pack(Manifest(files={}), {"config.ru": tmp_path / "config.ru"}, target)
    card = Card(
        digest=artefact.sha256(target),
        bytes=target.stat().st_size,
        unpacked=made.size,
        count=1,
        built="2026-11-29T10:15:00Z",
    )
    card_file(target).write_bytes(release.card_text(card))
    return target, card


def spoil(s3: Any, store: Store, site: str, digest: str, body: bytes = b"something else") -> None:
    s3.put_object(Bucket=store.buckets[site].bucket, Key=object_of(digest), Body=body)


def test_a_release_lies_in_both_regions_and_is_listed_with_its_card(store: Store, built: tuple[Path, Card]) -> None:
    path, card = built
    assert store.push(path) == card
    ((row,), down) = store.rows()
    assert (row.card, dict(row.states), down) == (card, {"a": "there", "b": "there"}, {})
    assert [dict(it.states) for it in store.verify(repair=False)] == [{"a": WELL, "b": WELL}]
    assert store.push(path) == card, "once more changes nothing"


@pytest.mark.parametrize("site", ["a", "b"])
def test_a_spoiled_copy_is_found_and_mended_from_the_other(
    s3: Any, store: Store, built: tuple[Path, Card], site: str
) -> None:
    path, card = built
    store.push(path)
    spoil(s3, store, site, card.digest)
    (row,) = store.verify(repair=False)
    assert row.states[site] == SPOILED and WELL in row.states.values()
    (row,) = store.verify(repair=True)
    assert set(row.states.values()) == {WELL}
    assert store.buckets[site].artefact(card.digest) == path.read_bytes()
    s3.delete_object(Bucket=store.buckets[site].bucket, Key=object_of(card.digest))
    (row,) = store.verify(repair=False)
    assert row.states[site] == MISSING
    assert set(store.verify(repair=True)[0].states.values()) == {WELL}


def test_a_release_is_named_by_the_beginning_of_its_digest(s3: Any, store: Store, built: tuple[Path, Card]) -> None:
    path, card = built
    store.push(path)
    row, body = store.one(card.digest[:8])
    assert (row.digest, dict(row.states), body) == (card.digest, {"a": WELL, "b": WELL}, path.read_bytes())
    assert store.files(card.digest) == {"config.ru"}
    spoil(s3, store, "a", card.digest)
    row, body = store.one(card.digest)
    assert dict(row.states) == {"a": SPOILED, "b": WELL} and body == path.read_bytes()
    assert store.files(card.digest) == {"config.ru"}, "of the other region's copy"
    spoil(s3, store, "b", card.digest)
    assert store.one(card.digest)[1] is None and store.files(card.digest) == store.files("e" * 64) == frozenset()
    with pytest.raises(Usage, match="found none that begins so"):
        store.one("e" * 8)
    silent(store, "a")
    with pytest.raises(Usage, match=r"found none that begins so.*releases, "):
        store.one("e" * 8)


def test_what_is_spoiled_in_both_stays_so_and_is_told(s3: Any, store: Store, built: tuple[Path, Card]) -> None:
    path, card = built
    store.push(path)
    for site in "ab":
        spoil(s3, store, site, card.digest)
    assert set(store.verify(repair=True)[0].states.values()) == {SPOILED}
    store.push(path)
    assert set(store.verify(repair=False)[0].states.values()) == {WELL}, "a push writes over it"


def test_half_an_upload_is_no_release_and_the_next_push_finishes_it(
    s3: Any, store: Store, built: tuple[Path, Card]
) -> None:
    path, card = built
    spoil(s3, store, "a", card.digest, path.read_bytes()[:100])
    (row,), _ = store.rows()
    assert row.card is None and dict(row.states) == {"a": "there", "b": MISSING}
    assert dict(store.verify(repair=True)[0].states) == {"a": SPOILED, "b": MISSING}
    store.push(path)
    assert set(store.verify(repair=False)[0].states.values()) == {WELL}


def test_a_store_that_says_yes_and_keeps_something_else_is_seen(
    store: Store, built: tuple[Path, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read back, at once: what is there is compared with what was sent."""
    path, _ = built
    real = ReleaseBucket._ask

    def ask(self: ReleaseBucket, what: str, method: str, key: str, **more: Any) -> Any:
        if method == "PUT" and key.endswith(".tar.gz"):
            more["body"] = more["body"][:-1]
        return real(self, what, method, key, **more)

    monkeypatch.setattr(ReleaseBucket, "_ask", ask)
    with pytest.raises(Failed, match="found a file with SHA-256"):
        store.push(path)
    monkeypatch.undo()


def test_a_region_that_is_silent_is_told_and_the_other_goes_on(store: Store, built: tuple[Path, Card]) -> None:
    path, card = built
    store.push(path)
    silent(store, "a")
    (row,), down = store.rows()
    assert row.card == card and dict(row.states) == {"a": UNKNOWN, "b": "there"} and "no connection" in down["a"]
    assert dict(store.verify(repair=True)[0].states) == {"a": UNKNOWN, "b": WELL}
    with pytest.raises(Partial, match="lies in region b alone") as partial:
        store.push(path)
    assert "hidden-secret" not in str(partial.value)
    silent(store, "b")
    with pytest.raises(ReleasesDown):
        store.verify(repair=False)
    with pytest.raises(Failed):
        store.push(path)


def test_what_is_no_release_is_put_nowhere(store: Store, built: tuple[Path, Card], tmp_path: Path) -> None:
    path, card = built
    with pytest.raises(Usage, match="cannot be read"):
        store.push(tmp_path / "none.tar.gz")
    (tmp_path / "x.tar.gz").write_bytes(b"x")
    with pytest.raises(Failed, match="no gzipped tar"):
        store.push(tmp_path / "x.tar.gz")
    card_file(path).write_bytes(release.card_text(replace(card, digest="0" * 64)))
    with pytest.raises(Usage, match="which its card says"):
        store.push(path)
    card_file(path).unlink()
    assert store.push(path).built is None
    assert len(store.rows()[0]) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"digest": "x"}', b"\xff" * 9, OTHERS])
def test_a_card_that_is_none_is_none(s3: Any, store: Store, built: tuple[Path, Card], body: bytes) -> None:
    path, card = built
    store.push(path)
    for site in "ab":
        s3.put_object(Bucket=store.buckets[site].bucket, Key=object_of(card.digest, ".json"), Body=body)
    assert store.rows()[0][0].card is None
    store.push(path)
    assert store.rows()[0][0].card == card


@pytest.fixture
def typed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """`drctl releases` with these buckets, and hosts of which one runs something that is in none."""
    monkeypatch.setattr(Stack, "settings", lambda _: settings())
    monkeypatch.setattr(Stack, "output", lambda *_: KEYS)
    monkeypatch.setattr(command, "Store", lambda *_: store)
    survey = changed(well(settings()), "regions/b/hosts/app-1/app/release", f"/opt/shop/releases/{'f' * 64}")
    survey.regions["b"].hosts["app-2"] = DARK
    monkeypatch.setattr(command, "look", lambda _: survey)


@pytest.mark.usefixtures("typed")
def test_the_command_says_where_each_lies_and_which_one_runs(
    s3: Any,
    store: Store,
    built: tuple[Path, Card],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, card = built
    shop = replace(settings(), app=replace(settings().app, threads=64))
    monkeypatch.setattr(Stack, "settings", lambda _: shop)
    assert cli.main(["releases", "push", str(path)]) == ExitCode.DONE
    pushed = capsys.readouterr()
    assert "warning: with this release dr:postgres.parameters.max_connections is 100" in pushed.err
    assert f"dr:shop.release: {card.digest}" in pushed.out
    assert cli.main(["releases", "list"]) == ExitCode.DONE
    told = capsys.readouterr()
    said = told.out.splitlines()
    assert told.err == "warning: app-2.b does not say which release runs there (no answer within 4.5 s)\n"
    assert said[0].startswith(f"{card.digest[:12]}  2026-11-29T10:15:00Z  git no git") and "a there, b there" in said[0]
    assert said[1:] == [
        "1             in no bucket; runs on app-1.a, app-2.a",
        "ffffffffffff  in no bucket; runs on app-1.b",
    ]
    survey = changed(well(settings()), "regions/a/hosts/app-2/app/release", f"/opt/shop/releases/{card.digest}")
    monkeypatch.setattr(command, "look", lambda _: survey)
    cli.main(["releases", "list"])
    assert capsys.readouterr().out.splitlines()[0].endswith("a there, b there runs on app-2.a")
    spoil(s3, store, "b", card.digest)
    assert cli.main(["releases", "verify"]) == ExitCode.FAILED
    assert "(a well, b SPOILED)" in capsys.readouterr().err
    assert cli.main(["releases", "verify", "--repair"]) == ExitCode.DONE


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize("found", [None, {}, {"access_key": "x"}, [], "x"])
def test_a_stack_without_the_keys_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: object
) -> None:
    monkeypatch.setattr(Stack, "output", lambda *_: found)
    assert cli.main(["releases", "list"]) == ExitCode.FAILED
    assert "found none that holds keys" in capsys.readouterr().err
