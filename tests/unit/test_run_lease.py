"""One run of a stack at a time: whoever lives is not disturbed, whoever is gone holds nobody up, and a witness that is silent ends no run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from contract.buckets import Bucket
from contract.errors import Partial, Refused
from contract.runs import PAIR, SILENT_S, Run, What, name_of
from scripts.clients import http, run_bucket, run_lease, this_machine, witness_bucket
from scripts.clients.run_bucket import RunBucket, Word
from scripts.clients.run_lease import RunLease
from scripts.clients.witness_bucket import WitnessDown
from tests.unit.test_witness import endpoint
from tests.unit.test_witness import place as bucket

__all__ = ["bucket", "endpoint"]  # fixtures

PLACE = Bucket(endpoint="https://s3.example", region="de", bucket="witness", access_key="k", secret_key="s")
SOMEBODY = {
    "run": "r-0", "site": "a", "what": "up", "who": "ann", "place": "desk", "at": "2026-11-28T03:00:00+00:00",
    "machine": "0" * 32, "pid": 4711, "begun": 17,
}  # fmt: skip


class Store:
    """The witness's objects of this kind, in memory; `age_s` of whatever lies there moves with the played clock."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.at, self.now, self.words, self.down = 0.0, 1000.0, 0, False
        self.between: list[Any] = []  # what others do while this run waits

    def word(self, _: str) -> Word:
        if self.down:
            raise WitnessDown("witness w: cannot read")
        return Word(run=self.run, etag=f"e{self.words}" if self.run else "", age_s=self.now - self.at)

    def say(self, run: Run, over: str) -> str:
        if self.down:
            raise WitnessDown("witness w: cannot write")
        if over != (f"e{self.words}" if self.run else ""):
            return ""
        self.put(run)
        return f"e{self.words}"

    def put(self, run: Run) -> None:
        self.run, self.at, self.words = run, self.now, self.words + 1

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.between:
            self.between.pop(0)()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    monkeypatch.setattr(run_lease, "RunBucket", lambda *_, **__: made)
    monkeypatch.setattr(run_lease, "time", SimpleNamespace(sleep=made.sleep, monotonic=lambda: made.now))
    return made


@pytest.fixture
def leases() -> Iterator[list[RunLease]]:
    made: list[RunLease] = []
    yield made
    for each in made:
        each.release()


def lease(leases: list[RunLease], said: list[str] | None = None, site: str = "a") -> RunLease:
    made = RunLease(PLACE, site, "up", {"DR_WHO": "bob"}, tell=(said if said is not None else list[str]()).append)
    leases.append(made)
    return made


def somebody(**more: Any) -> Run:
    return Run(**{**SOMEBODY, **more})


def test_a_run_that_ends_leaves_the_stack_free(store: Store, leases: list[RunLease]) -> None:
    first = lease(leases)
    first.take()
    assert store.run is not None and (store.run.who.split(" ")[0], store.run.ended) == ("bob", False)
    first.release()
    first.release()
    assert store.run.ended
    lease(leases).take()
    assert not store.run.ended and store.now == 1000.0, "nobody is waited for who has said that it is over"


def test_one_that_lives_is_seen_by_its_next_word_and_is_not_disturbed(store: Store, leases: list[RunLease]) -> None:
    store.put(somebody())
    store.between = [lambda: None, lambda: store.put(somebody(word=1))]
    said: list[str] = []
    with pytest.raises(
        Refused, match=r"stack region-a: ann at desk \(up since 2026.*is at work there.*nothing was changed"
    ):
        lease(leases, said).take()
    assert store.run == somebody(word=1) and len(said) == 1 and "looking for up to 25 s" in said[0]


@pytest.mark.parametrize("what", get_args(What))
def test_whatever_goes_over_both_regions_is_known_again_by_its_word(
    bucket: Bucket, leases: list[RunLease], monkeypatch: pytest.MonkeyPatch, what: What
) -> None:
    for name in ("RENEWED_S", "LOOK_S"):
        monkeypatch.setattr(run_lease, name, 0.05)
    held = RunLease(bucket, PAIR, what, {"DR_WHO": "bob"}, tell=list[str]().append)
    leases.append(held)
    held.take()
    leases.append(RunLease(bucket, "a", "up", {}, tell=list[str]().append))
    leases[-1].take()  # as its own runs do
    with pytest.raises(
        Refused, match=rf"both regions: bob .*\({what} since .* is at work there, wanted one run at a time"
    ):
        RunLease(bucket, PAIR, "deploy", {}, tell=list[str]().append).take()


def test_one_of_another_machine_that_is_silent_is_over_and_not_before(store: Store, leases: list[RunLease]) -> None:
    store.put(somebody())
    lease(leases).take()
    assert store.run is not None and store.run.run != "r-0"
    assert SILENT_S < store.now - 1000.0 <= SILENT_S + 2


def test_a_process_of_this_machine_that_is_gone_is_over_at_once(store: Store, leases: list[RunLease]) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    store.put(somebody(machine=this_machine.identity(), pid=done.pid, begun=1))
    lease(leases).take()
    assert store.now == 1000.0


def test_a_process_of_another_time_with_the_same_number_is_not_taken_for_it(
    store: Store, leases: list[RunLease]
) -> None:
    begun = this_machine.begun()
    store.put(somebody(machine=this_machine.identity(), pid=os.getpid(), begun=begun - 1))
    lease(leases).take()
    assert store.now == 1000.0
    store.put(somebody(machine=this_machine.identity(), pid=os.getpid(), begun=begun))
    store.between = [lambda: store.put(somebody(word=1, machine=this_machine.identity(), pid=os.getpid(), begun=begun))]
    with pytest.raises(Refused):
        lease(leases).take()


def test_of_two_at_once_one_has_it(store: Store, leases: list[RunLease]) -> None:
    really = store.say

    def say(run: Run, over: str) -> str:
        store.put(somebody(word=9))
        return really(run, over)

    store.say = say  # type: ignore[method-assign]
    with pytest.raises(Refused, match="ann at desk"):
        lease(leases).take()


def test_a_silent_witness_ends_no_run(store: Store, leases: list[RunLease]) -> None:
    store.down, said = True, list[str]()
    made = lease(leases, said)
    made.take()
    assert len(said) == 1 and "this one goes on" in said[0]
    made.release()


def test_a_run_is_renewed_until_its_process_is_gone(
    store: Store, leases: list[RunLease], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lease, "RENEWED_S", 0.001)
    said, ended = threading.Event(), threading.Event()

    def put(run: Run) -> None:
        store.run, store.words = run, store.words + 1
        (ended if run.ended else said).set()
        if run.ended:
            return
        if store.words > 3:
            monkeypatch.setattr(this_machine, "gone", lambda *_: True)

    store.put = put  # type: ignore[method-assign]
    lease(leases).take()
    assert ended.wait(20) and store.words > 4, (
        "pulumi is gone, and the process that it has left behind gives the stack back"
    )


def test_a_run_that_was_silent_for_too_long_is_told_whose_it_is_and_disturbs_nobody(
    store: Store, leases: list[RunLease], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lease, "RENEWED_S", 0.001)
    told = threading.Event()
    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        told.set()

    made = RunLease(PLACE, "a", "up", {}, tell=tell)
    leases.append(made)
    really = store.say

    def say(run: Run, over: str) -> str:
        if run.word:
            store.put(somebody())
        return really(run, over)

    store.say = say  # type: ignore[method-assign]
    made.take()
    assert told.wait(20) and "belongs to ann at desk" in said[0]
    made.release()
    assert store.run == somebody(), "it is not its own to give back"


def test_whoever_asks_before_each_thing_hears_that_it_is_another_s(store: Store, leases: list[RunLease]) -> None:
    said: list[str] = []
    made = RunLease(PLACE, PAIR, "deploy", {"DR_WHO": "bob"}, tell=said.append)
    leases.append(made)
    made.take()
    word = store.words
    made.still(PLACE)
    assert store.words == word + 1 and not said, "asked is renewed"
    store.down = True
    made.still(PLACE)
    store.down = False
    store.put(somebody())
    for _ in range(2):
        with pytest.raises(Partial, match=r"both regions: this run was silent.*belongs to ann at desk.*run the same"):
            made.still(PLACE)
    assert store.run == somebody() and len(said) == 1


def test_a_lease_goes_by_the_keys_of_now(monkeypatch: pytest.MonkeyPatch, leases: list[RunLease]) -> None:
    """Those with which a rotation of the witness's keys has begun are deleted before it ends: it would be taken for dead."""
    stores = {PLACE.access_key: Store(), "new": Store()}
    monkeypatch.setattr(run_lease, "RunBucket", lambda place, **_: stores[place.access_key])
    made = lease(leases, site=PAIR)
    made.take()
    stores["new"].run, stores["new"].words = stores["k"].run, stores["k"].words
    stores["k"].down = True
    made.still(replace(PLACE, access_key="new"))
    made.release()
    assert stores["new"].run is not None and stores["new"].run.ended


def test_a_run_that_nobody_hears_is_over_also_where_the_store_tells_no_time(
    bucket: Bucket, leases: list[RunLease], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that takes `Last-Modified` away, or a store whose clock is ahead of itself, kept everybody out for ever."""
    RunBucket(bucket).say(somebody(site=PAIR, what="deploy"), "")
    for told in (None, -3600.0):
        now = [1000.0]
        clock = SimpleNamespace(
            monotonic=lambda now=now: now[0], sleep=lambda s, now=now: now.__setitem__(0, now[0] + s)
        )
        monkeypatch.setattr(run_bucket, "age", lambda _, told=told: told)
        monkeypatch.setattr(run_bucket, "time", clock)
        monkeypatch.setattr(run_lease, "time", clock)
        made = RunLease(bucket, PAIR, "deploy", {}, tell=list[str]().append)
        leases.append(made)
        made.take()
        assert SILENT_S < now[0] - 1000.0 <= SILENT_S + 2
        found = RunBucket(bucket).word(PAIR)
        assert found.run is not None and found.run.run != "r-0" and found.dated is (told is not None)
        made.release()
        RunBucket(bucket).say(somebody(site=PAIR, what="deploy"), RunBucket(bucket).word(PAIR).etag)


def test_an_etag_that_no_condition_could_name_is_none(bucket: Bucket) -> None:
    """Kept, it would be sent with each word from then on, and refused on this machine: silent for good, by one bad answer."""
    found = RunBucket(bucket)
    for bad in ("x\0y", "\xe9"):
        said = Message()
        said["ETag"] = f'"{bad}"'
        reply = http.Reply(status=200, reason="OK", headers=said, body=b"")
        assert witness_bucket.etag(reply) == ""
        with pytest.raises(WitnessDown, match="without an ETag"):
            found._stored("write", reply)


def test_a_word_that_is_none_of_ours_is_written_over(bucket: Bucket, leases: list[RunLease]) -> None:
    found = RunBucket(bucket)
    for body in (b"<html>", b'{"run": 1}', b'{"site": "a\\n"}'):
        found._must("write", found._ask("write", "PUT", name_of("a"), body=body))
        assert found.word("a").run is None and found.word("a").etag
        made = RunLease(bucket, "a", "up", {}, tell=list[str]().append)
        made.take()
        made.release()
        run = found.word("a").run
        assert run is not None and run.ended


def test_a_store_keeps_the_first_of_two_and_a_lost_answer_is_no_loss(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = RunBucket(bucket), RunBucket(bucket)
    mine, theirs = somebody(run="r-1"), somebody(run="r-2")
    etag = one.say(mine, "")
    assert etag and other.say(theirs, "") == "" and other.word("a").run == mine
    really = one._ask

    def lost(what: str, method: str, *rest: Any, **more: Any) -> Any:
        reply = really(what, method, *rest, **more)
        if method == "PUT":
            monkeypatch.setattr(one, "_ask", really)
            raise WitnessDown("the answer was lost")
        return reply

    monkeypatch.setattr(one, "_ask", lost)
    with pytest.raises(WitnessDown):
        one.say(replace(mine, word=1), etag)
    assert one.say(replace(mine, word=2), etag), "it stands on a word of its own that it has not heard of"


def test_the_run_ends_with_the_nearest_pulumi_above_it(tmp_path: Path) -> None:
    script = tmp_path / "pulumi"
    script.write_text(
        f"#!{sys.executable}\nimport subprocess, sys, os\nprint(os.getpid(), flush=True)\n"
        f"subprocess.run([sys.executable, '-c', 'from scripts.clients import this_machine as m; print(*m.engine())'])\n"
    )
    script.chmod(0o755)
    said = subprocess.run([str(script)], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    own, pid, begun = re.split(r"\s+", said.stdout.strip())
    assert (own, int(begun) > 0) == (pid, True)
    assert this_machine.gone(int(pid), int(begun))


def test_a_machine_without_proc_knows_itself_and_its_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store, leases: list[RunLease]
) -> None:
    monkeypatch.setattr(this_machine, "PROC", tmp_path / "none")
    assert this_machine.identity() == this_machine.identity()
    assert this_machine.engine() == (os.getpid(), 0) and not this_machine.gone(os.getpid(), 0)
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert this_machine.gone(done.pid, 0)
    store.put(somebody(machine=this_machine.identity(), pid=done.pid, begun=0))
    lease(leases).take()
    assert store.now == 1000.0


def test_a_process_that_another_user_hides_is_not_taken_for_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine may show nobody else's processes (`hidepid`): its run is known by its words alone."""

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(this_machine, "PROC", tmp_path)
    monkeypatch.setattr(os, "kill", refused)
    assert not this_machine.gone(4711, 17)
