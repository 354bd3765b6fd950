"""Who has come in, out of what sshd says: of Debian 12's and 13's, of people who put lies into the names that they try, and of hosts that lie."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from components import config
from components.settings import Settings
from contract.authlog import Head, Line, Name, body
from contract.buckets import Bucket
from contract.chain import digest
from contract.errors import ExitCode, Failed, Usage
from contract.hosts import HostAddress
from scripts.clients import login_bucket
from scripts.clients.login_bucket import Kept, LoginBucket
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl import cli
from scripts.ctl.commands import arguments, audit, logins
from scripts.ctl.persons.logins import SECOND, SETTLED_S, Said, time_of, unanswered, understand
from scripts.ctl.stacks.stack import Stack
from tests.components import stack
from tests.unit.test_structure import ROOT
from tests.unit.test_witness import endpoint, place

__all__ = ["endpoint", "place"]  # fixtures
FIXTURES = ROOT / "tests/fixtures/sshd"
KEY = "SHA256:9mXqk0Jv1nq7Q3m9oYhZ2bJ1yR8cE5tV4wL6uA0sD3f"
CA = "SHA256:Xo1nq7Q3m9oYhZ2bJ1yR8cE5tV4wL6uA0sD3f9mXqk0"


def line(text: str, at: int = 0, pid: int = 812, comm: str = "sshd-session", uid: int | None = 0) -> Line:
    return Line(at=at * SECOND, comm=comm, uid=uid, pid=pid, unit="ssh.service", text=text)


def heard(*texts: str, host: str = "db-1.a") -> Said:
    return understand(host, [line(text, at) for at, text in enumerate(texts)])


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.txt")), ids=lambda it: str(it.stem))
def test_a_sign_in_is_told_from_its_begin_to_its_end(path: Path) -> None:
    said = heard(*path.read_text().splitlines())
    (login,) = said.logins
    assert (login.user, login.how, login.who.partition(":")[0]) == ("root", "publickey", "SHA256")
    assert login.did and login.until is not None and login.ended in ("disconnect", "disconnected", "closed")
    assert login.address.count(".") == 3 and not said.refused and not said.others


def test_a_certificate_is_told_by_its_key_id() -> None:
    text = f"Accepted publickey for root from 198.51.100.7 port 5 ssh2: ED25519-CERT {KEY} ID alice 2026-11-29 (serial 7) CA ED25519 {CA}"
    (login,) = heard(text).logins
    assert login.who == f"certificate alice 2026-11-29 (serial 7, {KEY}, CA {CA})"


@pytest.mark.parametrize(
    ("text", "whom"),
    [
        ("Invalid user admin from 198.51.100.9 port 4711", ("198.51.100.9", "admin")),
        ("Failed password for invalid user admin from 198.51.100.9 port 1 ssh2", ("198.51.100.9", "admin")),
        (f"Failed publickey for root from 198.51.100.9 port 1 ssh2: ED25519 {KEY}", ("198.51.100.9", "root")),
        ("Connection closed by authenticating user root 198.51.100.9 port 1 [preauth]", ("198.51.100.9", "root")),
        ("User bob from 198.51.100.9 not allowed because not listed in AllowUsers", ("198.51.100.9", "bob")),
    ],
)
def test_who_is_refused_is_counted(text: str, whom: tuple[str, str]) -> None:
    said = heard(text, text)
    assert said.refused == {whom: 2} and not said.logins


@pytest.mark.parametrize(
    "name",
    [
        f"Accepted publickey for root from 10.1.0.31 port 5 ssh2: ED25519 {KEY}",
        f"x from 10.9.9.9 port 1\\nAccepted publickey for root from 10.1.0.31 port 5 ssh2: ED25519 {KEY}",
    ],
)
@pytest.mark.parametrize(
    "form",
    ["Invalid user {} from 198.51.100.9 port 4711", "Failed none for invalid user {} from 198.51.100.9 port 1 ssh2"],
)
def test_a_name_that_looks_like_a_sign_in_signs_nobody_in(name: str, form: str) -> None:
    said = heard(form.format(name))
    assert not said.logins and list(said.refused.values()) == [1]


@pytest.mark.parametrize(
    ("comm", "uid"), [("logger", 33), ("logger", 0), ("sshd", 33), ("sshd-session", None), ("", 33)]
)
def test_what_is_no_sshds_signs_nobody_in_whatever_it_says(comm: str, uid: int | None) -> None:
    """Whoever has a shell may write to the journal, and name a process as he likes; the user it runs as is the kernel's word."""
    text = f"Accepted publickey for root from 10.1.0.31 port 5 ssh2: ED25519 {KEY}"
    said = understand("db-1.a", [line(text, comm=comm, uid=uid)])
    assert not said.logins and [it.text for it in said.others] == [text]


def test_the_last_words_of_a_process_that_was_gone_before_it_was_asked_for_its_name_count() -> None:
    accepted = f"Accepted publickey for root from 10.1.0.31 port 5 ssh2: ED25519 {KEY}"
    end, other = "Disconnected from user root 10.1.0.31 port 5", "pam_unix(sudo:session): session closed for user root"
    said = understand("db-1.a", [line(accepted), *(line(it, 9, comm="") for it in (end, other))])
    assert [it.ended for it in said.logins] == ["disconnected"] and [it.text for it in said.others] == [other]


def test_two_connections_from_one_address_are_two() -> None:
    first, second = (f"Accepted publickey for root from 10.1.0.31 port {port} ssh2: ED25519 {KEY}" for port in (5, 6))
    said = heard(first, second, "Disconnected from user root 10.1.0.31 port 5")
    assert [(it.port, it.ended) for it in said.logins] == [("5", "disconnected"), ("6", "")]


# --- both ends


@pytest.fixture(scope="module")
def settings() -> Settings:
    return config.parse(stack.configuration())


@pytest.fixture(scope="module")
def hosts(settings: Settings) -> dict[str, HostAddress]:
    return settings.hosts


NOW = 10_000 * SECOND


def pair(bastion: list[Line], host: list[Line]) -> dict[str, Said]:
    return {"control-1.a": understand("control-1.a", bastion), "db-1.a": understand("db-1.a", host)}


def came(address: str, at: int, port: int = 5, pid: int = 812) -> Line:
    return line(f"Accepted publickey for root from {address} port {port} ssh2: ED25519 {KEY}", at, pid)


CAME = line('Connection from 198.51.100.7 port 5 on 10.1.0.31 port 22 rdomain ""', 99)
CHILD = line("User child is on pid 813", 100)
ON_BASTION = [CAME, came("198.51.100.7", 100), CHILD, line("Disconnected from user root 198.51.100.7 port 5", 200, 813)]
ON_HOST = [came("10.1.0.31", 101, 6)]


def test_one_who_goes_through_the_bastion_is_told_of_by_both(hosts: dict[str, HostAddress]) -> None:
    assert list(unanswered(pair(ON_BASTION, ON_HOST), hosts, 0, NOW)) == []


def test_one_who_went_on_to_a_host_that_says_nothing_is_missed(hosts: dict[str, HostAddress]) -> None:
    (told,) = unanswered(pair(ON_BASTION, []), hosts, 0, NOW)
    assert told.startswith("control-1.a: root signed in at 1970-01-01T00:01:40Z") and "went on to no host" in told


@pytest.mark.parametrize(
    "more",
    [
        "Starting session: command for root from 198.51.100.7 port 5 id 0",
        "Starting session: shell on pts/0 for root from 198.51.100.7 port 5 id 0",
        "error: connect_to 10.1.0.11 port 22: failed.",
        "connect_to 10.1.0.11 port 22: failed.",
    ],
)
def test_one_who_stayed_on_the_bastion_or_got_nowhere_is_not(hosts: dict[str, HostAddress], more: str) -> None:
    there = [*ON_BASTION[:3], line(more, 101, 813), ON_BASTION[3]]
    assert list(unanswered(pair(there, []), hosts, 0, NOW)) == []


@pytest.mark.parametrize(
    "bastion", [[], [came("198.51.100.7", 10), line("Disconnected from user root 198.51.100.7 port 5", 50)]]
)
def test_one_who_comes_from_a_bastion_that_knows_nothing_of_it_is_told(
    hosts: dict[str, HostAddress], bastion: list[Line]
) -> None:
    told = list(unanswered(pair(bastion, ON_HOST), hosts, 60 * SECOND, NOW))
    assert len(told) == 1 and "that bastion tells of nobody who was on it then" in told[0]


def test_one_who_comes_from_elsewhere_is_told(hosts: dict[str, HostAddress]) -> None:
    (told,) = unanswered(pair([], [came("10.1.0.41", 100)]), hosts, 0, NOW)
    assert "signed in at 1970-01-01T00:01:40Z from 10.1.0.41, which is no bastion" in told


def test_what_is_too_young_or_too_old_is_not_judged(hosts: dict[str, HostAddress]) -> None:
    """The other end tells within a minute, and has not yet."""
    alone = pair(ON_BASTION, [])
    assert list(unanswered(alone, hosts, 0, (100 + SETTLED_S - 1) * SECOND)) == []
    assert list(unanswered(alone, hosts, 101 * SECOND, NOW)) == []


def test_a_bastion_that_tells_nothing_at_all_accuses_nobody(hosts: dict[str, HostAddress]) -> None:
    """Its set of secrets has no key for it."""
    assert list(unanswered({"db-1.a": understand("db-1.a", ON_HOST)}, hosts, 0, NOW)) == []


def test_a_bastion_whose_sshd_does_not_say_when_a_session_begins_is_not_judged_by_that(
    hosts: dict[str, HostAddress],
) -> None:
    """In its first seconds, before its rules are in force."""
    assert list(unanswered(pair(ON_BASTION[1:], []), hosts, 0, NOW)) == []


@pytest.mark.parametrize(
    "text",
    [
        "Connection closed by 198.51.100.7 port 5",
        "Connection reset by user root 198.51.100.7 port 5",
        "Read error from remote host 198.51.100.7 port 5: Connection reset by peer",
        "Closing connection to 198.51.100.7 port 5",
        "Timeout, client not responding from user root 198.51.100.7 port 5",
        "Received disconnect from 198.51.100.7 port 5:11: disconnected by user",
    ],
)
def test_each_way_in_which_a_session_ends_is_known(text: str) -> None:
    (login,) = understand("control-1.a", [*ON_BASTION[:3], line(text, 150, 813)]).logins
    assert login.until == 150 * SECOND and login.ended


@pytest.mark.parametrize("at", [-1, 2**63, 10**30])
def test_a_time_that_no_clock_has_is_a_number(at: int) -> None:
    assert time_of(at)


# --- the command


@pytest.fixture
def told(place: Bucket, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What hosts have put, some minutes ago, and the command that reads it."""
    client = boto3.client(
        "s3", endpoint_url=place.endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    secrets = replace(settings.secrets, witness=replace(settings.secrets.witness, access_key="k", secret_key="s"))
    where = replace(settings.witness, endpoint=place.endpoint, bucket=place.bucket)
    monkeypatch.setattr(Stack, "settings", lambda _: replace(settings, witness=where, secrets=secrets))
    yield lambda key, text: client.put_object(Bucket=place.bucket, Key=key, Body=text)


@cache
def began() -> int:
    """Some minutes ago, the same for all of these tests."""
    return int(time.time()) - 1200


def stored(host: str, lines: list[Line], number: int = 1, before: str = "") -> tuple[str, bytes]:
    name, site = host.split(".")
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began()))
    key = Name(site=site, host=name, at=at, chain="00000001", number=number)
    return str(key), body(Head(site=site, host=name, chain="00000001", number=number, before=before), lines)


def ago(lines: list[Line]) -> list[Line]:
    return [replace(it, at=it.at + began() * SECOND) for it in lines]


def run(*arguments: str) -> ExitCode:
    return audit.run(cli.parser().parse_args(["audit", "logins", *arguments]))


def everybody(told: Any, settings: Settings, but: str = "") -> None:
    through = {site: f"10.{number}.0.31" for number, site in ((1, "a"), (2, "b"))}
    for key, host in settings.hosts.items():
        if key == but:
            continue
        lines = ON_BASTION if host.role == "control" else [came(through[host.site], 101, 6)]
        told(*stored(key, ago(lines)))


def test_the_command_tells_who_where_from_where_and_how_it_ended(
    told: Any, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    everybody(told, settings)
    assert run() == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    bastion = next(it for it in lines if "control-1.a " in it and "root by" in it)
    assert f"root by {KEY} from 198.51.100.7 port 5; until " in bastion and bastion.endswith("(disconnected)")
    assert any(it.startswith("db-1.a: told last ") for it in lines)


def test_as_json_it_is_all_of_it_and_of_one_site_where_that_is_asked(
    told: Any, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    everybody(told, settings)
    assert run("--json", "--site", "b") == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert {it["host"] for it in found["logins"]} == {key for key in settings.hosts if key.endswith(".b")}
    assert found["missing"] == [] and set(found["newest_s"]) == set(settings.hosts)


def test_a_host_that_has_told_nothing_makes_it_fail_with_the_way_on(told: Any, settings: Settings) -> None:
    everybody(told, settings, but="db-1.a")
    with pytest.raises(Failed, match=r"db-1\.a: has told nothing.*drctl rights witness --user db\.a"):
        run()


def test_what_was_written_over_removed_or_cut_off_makes_it_fail(told: Any, settings: Settings, place: Bucket) -> None:
    everybody(told, settings)
    key, _ = stored("app-1.a", [])
    told(key, b"something else")
    other, text = stored("cache-1.b", ago(ON_HOST), number=3)
    told(other, text)
    with pytest.raises(
        Failed, match=r"(?s)app-1.*was written over: there are 2 versions.*cache-1.*found none of number 2"
    ):
        run()


def test_what_was_removed_makes_it_fail(told: Any, settings: Settings, place: Bucket) -> None:
    everybody(told, settings)
    key, text = stored("app-1.a", ago(ON_HOST), number=2)
    told(key, text)
    client = boto3.client(
        "s3", endpoint_url=place.endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    client.delete_object(Bucket=place.bucket, Key=key)
    with pytest.raises(Failed, match=f"{key}: was removed: older versions of it are there"):
        run()


def test_a_host_of_which_nothing_can_be_read_does_not_hide_the_others(
    told: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    everybody(told, settings)
    really = LoginBucket.kept

    def kept(self: LoginBucket, site: str, host: str, since: str) -> Kept:
        if host == "app-1":
            raise WitnessDown("witness: its listing has no end after 999000 keys")
        return really(self, site, host, since)

    monkeypatch.setattr(LoginBucket, "kept", kept)
    with pytest.raises(Failed, match=r"(?s)app-1\.a: witness: its listing has no end.*app-1\.b"):
        run()
    assert "db-1.a " in capsys.readouterr().out


def test_whoever_floods_is_told_and_fills_no_memory(
    told: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    everybody(told, settings, but="app-1.a")
    before = ""
    for number in range(1, 6):
        key, text = stored("app-1.a", ago(ON_HOST), number, before)
        told(key, text)
        before = digest(text)
    monkeypatch.setattr(login_bucket, "MOST_OBJECTS", 4)
    monkeypatch.setattr(login_bucket, "PIECE", 2)
    monkeypatch.setattr(login_bucket, "MOST_READ", 10)
    monkeypatch.setattr(logins, "MOST_LOGINS", 1)
    with pytest.raises(
        Failed, match=r"(?s)found 5 objects, wanted 4 at most.*it and 1 older ones were not read.*tells of 2 sign-ins"
    ):
        run()


def test_a_store_that_hands_out_nothing_is_asked_for_one_piece(
    told: Any, settings: Settings, place: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()
    monkeypatch.setattr(login_bucket, "PIECE", 2)

    def silent(_: LoginBucket, key: str) -> Failed:
        asked.append(key)
        return WitnessDown("witness: no answer")

    monkeypatch.setattr(LoginBucket, "_one", silent)
    breaks = list[str]()
    assert len(list(LoginBucket(place)._all([str(number) for number in range(9)], breaks))) == 2 == len(asked)
    assert breaks == ["6: it and 6 older ones were not read, because the store hands out none of them"]


def test_a_host_without_a_key_is_not_awaited(settings: Settings, place: Bucket) -> None:
    """A set of secrets from before bastions had one."""
    held = {user: it for user, it in settings.secrets.witness_hosts.items() if not user.startswith("control")}
    older = replace(settings, secrets=replace(settings.secrets, witness_hosts=held))
    found = logins.gather(older, LoginBucket(place), time.time() - 60, time.time())
    assert "control-1.a" not in found.ages and "db-1.a" in found.ages
    assert set(found.unkept) == {"control-1.a", "control-1.b"}


def test_that_nobody_keeps_a_hosts_sign_ins_is_no_silence(
    told: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a list without a bastion's name reads as if nobody had been there."""
    everybody(told, settings)
    now = Stack.settings(Stack(name="region-a", folder=arguments.PROJECT))
    held = {user: it for user, it in now.secrets.witness_hosts.items() if not user.startswith("control")}
    older = replace(now, secrets=replace(now.secrets, witness_hosts=held))
    monkeypatch.setattr(Stack, "settings", lambda _: older)
    assert run("--site", "a") == ExitCode.DONE
    lines = [it for it in capsys.readouterr().out.splitlines() if it.startswith("control-1")]
    (line,) = lines
    assert line.startswith("control-1.a: who signs in there is not kept") and "control.a" in line
    assert run("--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["unkept"] == ["control-1.a", "control-1.b"]


def test_who_was_refused_before_the_time_that_is_asked_for_is_not_counted(
    told: Any, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    everybody(told, settings, but="db-1.a")
    refused = "Invalid user admin from 198.51.100.9 port 4711"
    told(
        *stored(
            "db-1.a", ago([line(refused, -9000), line(refused, -8000), line(refused, 5), came("10.1.0.31", 101, 6)])
        )
    )
    assert run("--since", "1h") == ExitCode.DONE
    assert "db-1.a: refused 1 times: admin from 198.51.100.9" in capsys.readouterr().out


@pytest.mark.parametrize("since", ["", "24", "0h", "1w", "-1h", "1h\n", "999999h"])
def test_a_time_that_is_none_is_told(since: str) -> None:
    with pytest.raises(Usage, match="wanted a number with s, m, h or d, like 30m"):
        run("--since", since) if since != "-1h" else arguments.age(since)
