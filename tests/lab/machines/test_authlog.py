"""The job that keeps sign-ins at the witness on a real guest: its systemd, its journal and its sshd, a real store, and root who wipes what there is."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components import bundle
from contract.authlog import Walked, walk
from contract.buckets import Bucket
from lab.pairs import loopback
from lab.s3.gateway import Storage
from scripts.clients.login_bucket import Kept, LoginBucket
from scripts.ctl.persons.logins import Said, understand
from scripts.host.frame.layout import Layout
from scripts.host.frame.systemd import Systemd
from scripts.host.host.authlog import TIMER, UNIT, Installation
from tests.lab.machines.bench import GRA, Bench
from tests.unit.test_structure import ROOT

pytestmark = pytest.mark.lab
WHERE = "203.0.113.3"  # of the namespace, as hosts reach it


@dataclass
class Guest:
    """A host with the job, and the operator's view of what it has told."""

    bench: Bench
    witness: LoginBucket

    def root(self, line: str) -> str:
        return self.bench.ssh(GRA, f"sudo sh -c {shlex.quote(line)}")

    def tell(self) -> None:
        """What the timer does each minute."""
        self.root(f"systemctl start {UNIT}")

    def kept(self) -> Kept:
        return self.witness.kept("a", "db-1", "00000000T000000Z")

    def walked(self) -> Walked:
        found = self.kept()
        assert not found.breaks
        return walk(found.objects)

    def said(self) -> Said:
        return understand("db-1.a", self.walked().lines)

    def put(self, path: str, text: str, mode: str = "0644") -> None:
        self.root(
            f"mkdir -p {Path(path).parent}; install -m {mode} /dev/null {path}; printf %s {shlex.quote(text)} > {path}"
        )


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Bench], Guest]]:
    folder, made = tmp_path_factory.mktemp("witness"), list[Guest]()
    stores = list[Storage]()

    def once(bench: Bench) -> Guest:
        if not made:
            storage = Storage(folder, loopback.versitygw(), {"de": (WHERE, loopback.free_port())}, {})
            storage.start()
            stores.append(storage)
            storage.create_bucket("de", "witness", versioning=True)
            keys = {"access_key": storage.root_access_key, "secret_key": storage.root_secret_key}
            place = Bucket(endpoint=storage.endpoint("de"), region="de", bucket="witness", **keys)
            made.append(Guest(bench, LoginBucket(place)))
            _install(made[0], place)
        return made[0]

    yield once
    for storage in stores:
        storage.stop()


def _install(guest: Guest, place: Bucket) -> None:
    tool = ROOT / bundle.dr_host(ROOT).path
    guest.bench.send(GRA, tool.read_bytes(), "sudo sh -c 'mkdir -p /opt/dr; cat > /opt/dr/dr-host.pyz'")
    told = {name: getattr(place, name) for name in ("endpoint", "region", "bucket", "access_key", "secret_key")}
    guest.put("/etc/dr/witness.json", json.dumps(told), "0600")
    for file in Installation(True, "a", "db-1", Layout(), Systemd()).files():
        guest.put(str(file.path), file.content)
    guest.root("systemctl daemon-reload")


@pytest.fixture
def guest(bench: Bench, install: Callable[[Bench], Guest]) -> Guest:
    return install(bench)


def test_it_tells_who_has_signed_in_as_a_user_that_has_nothing(guest: Guest) -> None:
    guest.tell()
    (first, *_) = guest.said().logins
    assert first.user == "debian" and first.who.startswith("SHA256:") and first.address.count(".") == 3
    shown = dict(
        line.split("=", 1)
        for line in guest.root(f"systemctl show -p Result,DynamicUser,ExecMainStatus {UNIT}").splitlines()
    )
    assert shown == {"Result": "success", "DynamicUser": "yes", "ExecMainStatus": "0"}
    assert guest.root("stat -Lc '%U %a' /etc/dr/witness.json; stat -c %a /var/lib/private/dr-authlog").split() == [
        "root",
        "600",
        "700",
    ]


def test_each_word_is_told_once_and_a_session_has_its_end(guest: Guest) -> None:
    guest.bench.ssh(GRA, "true")
    guest.tell()
    before = len(guest.walked().lines)
    guest.tell()
    found = guest.walked()
    assert not found.breaks and not found.gaps and len(found.lines) > before
    texts = [(it.at, it.text, it.pid) for it in found.lines]
    assert len(texts) == len(set(texts))
    assert [it for it in guest.said().logins if it.until is not None and it.ended]


def test_a_line_that_somebody_has_written_like_sshd_signs_nobody_in(guest: Guest) -> None:
    lie = "Accepted publickey for root from 192.0.2.66 port 5 ssh2: ED25519 SHA256:lie"
    # It lives until its line is in the journal: of one that has ended, journald may find no name any more.
    written = "until journalctl -q --since -1min | grep -q 192.0.2.66; do sleep 0.1; done"
    guest.bench.ssh(GRA, f"(echo {shlex.quote(lie)}; {written}) | logger -t 'sshd[1]' -p auth.info")
    guest.tell()
    said = guest.said()
    assert not [it for it in said.logins if it.address == "192.0.2.66"]
    assert [it.text for it in said.others if "192.0.2.66" in it.text and it.comm == "logger"] == [lie]


def test_the_timer_tells_by_itself(guest: Guest) -> None:
    newest = len(guest.kept().objects)
    guest.root(f"systemctl restart {TIMER}")
    until = time.monotonic() + 60
    while len(guest.kept().objects) == newest:
        assert time.monotonic() < until, "nothing was told within a minute"
        time.sleep(1)
    guest.root(f"systemctl stop {TIMER}")


def test_a_wiped_journal_shows_and_what_was_told_before_stays(guest: Guest) -> None:
    guest.tell()
    before = guest.walked().lines
    guest.root("journalctl --rotate; rm -rf /var/log/journal/*/*; systemctl restart systemd-journald")
    guest.tell()
    found = guest.walked()
    assert len(found.gaps) == 1 and found.gaps[0].endswith("before they could be kept")
    assert not found.breaks and set(before) <= set(found.lines)
    guest.tell()
    assert len(guest.walked().gaps) == 1, "it is told once"


def test_a_machine_that_was_started_again_begins_a_chain_that_joins(guest: Guest) -> None:
    server = guest.bench.servers[GRA].server_id
    guest.bench.machines.stop_server(GRA, server)
    guest.bench.machines.start_server(GRA, server)
    guest.bench.await_ssh(GRA)
    gaps = len(guest.walked().gaps)
    guest.tell()
    found = guest.walked()
    assert "the machine was started" in found.begun[-1] and not found.breaks and len(found.gaps) == gaps


def test_while_the_witness_is_silent_it_waits_and_the_unit_does_not_fail(guest: Guest) -> None:
    before = len(guest.walked().lines)
    guest.root(
        'mv /etc/dr/witness.json /etc/dr/kept; sed \'s/"endpoint": "[^"]*"/"endpoint": "http:\\/\\/203.0.113.3:9"/\' /etc/dr/kept > /etc/dr/witness.json'
    )
    guest.tell()
    assert "what was said since waits here" in guest.root(f"journalctl -u {UNIT} -o cat | tail -5")
    guest.root("mv /etc/dr/kept /etc/dr/witness.json")
    guest.tell()
    found = guest.walked()
    assert len(found.lines) > before and not found.breaks
