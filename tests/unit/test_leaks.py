"""A secret that lies anywhere it should not is found, in whatever form, and told by its name alone."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.looking import Seen
from lab.namespace import Places
from lab.rehearsal.leaks import holders, scan
from lab.rehearsal.leaks.needles import Needles, Secret, secrets_of
from scripts.ctl.stacks.secrets import generate

WORD = 'p4ss/word+"with=signs&more'
HOSTS = {"db-1.a": ["db-1.a.dr.internal"], "app-1.a": ["app-1.a.dr.internal"]}
MADE = generate(
    HOSTS,
    "www.shop.example",
    {"openstack_password": WORD, "ovh": {"application_key": "public-enough", "consumer_key": "c" * 32}},
)
SECRETS = list(secrets_of(MADE))
PEM = {secret.name: secret.value for secret in SECRETS}["tls.hosts.db-1.a.key"]
SSH = {secret.name: secret.value for secret in SECRETS}["ssh.operator.private"]


def found(data: bytes) -> set[str]:
    with Needles(SECRETS) as needles:
        return needles.within(data)


def test_what_is_secret_is_known_by_where_it_stands_and_nothing_public_is() -> None:
    names = {secret.name for secret in SECRETS}
    assert {
        "openstack_password",
        "ovh.consumer_key",
        "ssh.operator.private",
        "tls.shop.key",
        "postgres.app",
        "archive.passphrase",
    } <= names
    assert not [name for name in names if name.endswith((".cert", ".ca", ".public", "application_key"))]
    public = [MADE["tls"]["ca"], MADE["tls"]["shop"]["cert"], MADE["ssh"]["operator"]["public"], "public-enough"]
    assert found("\n".join(public).encode()) == set()


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_seen_through_wherever_in_it_the_secret_begins(encode: Callable[[bytes], bytes], before: str) -> None:
    assert "openstack_password" in found(b"Authorization: Basic " + encode(f"{before}{WORD}:tail".encode()))
    assert "tls.hosts.db-1.a.key" in found(encode(f"{before}{PEM}".encode()))


@pytest.mark.parametrize(
    "text",
    [
        WORD,
        f"postgres://shop:{urllib.parse.quote(WORD, safe='')}@db-1",
        json.dumps({"password": WORD}),
        WORD.encode().hex(),
        f"\0--password={WORD}\0",
    ],
)
def test_every_form_of_a_password_is_found(text: str) -> None:
    assert found(text.encode()) == {"openstack_password"}


@pytest.mark.parametrize(("key", "name"), [(PEM, "tls.hosts.db-1.a.key"), (SSH, "ssh.operator.private")])
def test_a_key_is_found_in_each_form(key: str, name: str) -> None:
    own = "\n".join(key.splitlines()[1:-1])
    for text in (
        key,
        own,
        json.dumps(key),
        key.replace("\n", " "),
        urllib.parse.quote(key),
        base64.b64encode(key.encode()).decode(),
    ):
        assert found(text.encode()) == {name}
    assert found(b"\n".join(key.encode().splitlines()[:1])) == set()


@pytest.mark.parametrize("number", range(20))
def test_a_certificate_is_never_taken_for_its_key(number: int) -> None:
    """Both hold the public half, by chance in the same place of a line."""
    made = generate(HOSTS, "www.shop.example", {})
    with Needles(secrets_of(made)) as needles:
        tls, ssh = made["tls"], made["ssh"]
        shown = [
            tls["ca"],
            tls["shop"]["cert"],
            *(it["cert"] for it in tls["hosts"].values()),
            *(it["public"] for it in ssh["hosts"].values()),
        ]
        assert needles.within("\n".join(shown).encode()) == set()
        for name, pair in tls["hosts"].items():
            assert needles.within(pair["key"].encode()) == {f"tls.hosts.{name}.key"}


def test_no_name_tells_more_than_where_the_secret_belongs() -> None:
    assert WORD not in repr(SECRETS)
    assert PEM.splitlines()[1] not in repr(SECRETS)


@pytest.fixture
def host(tmp_path: Path) -> Seen:
    """A host's disk, its machine off."""
    folder = tmp_path / "hosts" / "shop-a-db-1.0"
    for place in ("etc/dr", "var/log", "tmp"):
        (folder / "upper" / place).mkdir(parents=True)
    return Seen("shop-a-db-1", "a", folder, None)


@pytest.fixture(autouse=True)
def usual_modes() -> Iterator[None]:
    """Whatever ran before in this process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def laid(host: Seen, path: str, text: str, mode: int = 0o600) -> list[scan.Leak]:
    file = host.folder / "upper" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    with Needles(SECRETS) as needles:
        return scan.disk(needles, host)


def test_a_secret_in_its_place_is_none_of_a_leak(host: Seen) -> None:
    assert laid(host, "etc/dr/host.key", PEM) == []


def test_the_same_key_on_another_host_is_one(tmp_path: Path, host: Seen) -> None:
    other = Seen("shop-a-app-1", "a", host.folder, None)
    assert [leak.place for leak in laid(other, "etc/dr/host.key", PEM)] == ["app-1.a:/etc/dr/host.key"]


def test_a_place_that_everybody_may_read_is_none(host: Seen) -> None:
    assert [leak.fault for leak in laid(host, "etc/dr/host.key", PEM, 0o644)] == ["is there for everybody to read"]
    (host.folder / "upper" / "etc/dr").chmod(0o700)
    assert laid(host, "etc/dr/host.key", PEM, 0o644) == []


@pytest.mark.parametrize(
    "path", ["var/log/dr.log", "tmp/out", "etc/dr/host.key.partial", "etc/cron.d/job", "opt/dr/dump"]
)
def test_a_planted_secret_is_found_wherever_it_lies_also_where_root_alone_reads(host: Seen, path: str) -> None:
    (leak,) = laid(host, path, f"line\nused {WORD}\n")
    assert leak.line() == f"db-1.a:/{path}: openstack_password lies where it should not"


@pytest.mark.parametrize("path", ["core", "var/lib/postgresql/core.1234", "var/lib/systemd/coredump/core.ruby.zst"])
def test_a_core_file_is_a_leak_whatever_is_in_it(host: Seen, path: str) -> None:
    assert [leak.secret for leak in laid(host, path, "memory")] == ["a core file"]


@pytest.mark.parametrize(
    "name",
    ["pulumi.log", "pulumi-state/.pulumi/history/dr/region-a/1.json", "daemon.log", "stacks/Pulumi.region-a.yaml"],
)
def test_state_history_and_logs_are_searched(tmp_path: Path, name: str) -> None:
    where = Places("x1", tmp_path / "run", tmp_path, tmp_path)
    file = where.run / name
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"args": ["--set", WORD]}))
    where.description.write_text(WORD)  # what the lab tells whoever writes a stack file
    with Needles(SECRETS) as needles:
        assert [(leak.place, leak.secret) for leak in scan.outside(needles, where, [])] == [
            (str(file), "openstack_password")
        ]
        record = tmp_path / "drill.json"
        record.write_text(f"<p>{WORD}</p>".replace("&", "&"))
        assert str(record) in {leak.place for leak in scan.outside(needles, where, [record])}


@pytest.mark.parametrize("way", ["arguments", "environment"])
def test_a_process_that_shows_a_secret_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A process of a host of the lab, whose network namespace is this one."""
    monkeypatch.setattr(scan, "NETNS", tmp_path)
    word = uuid.uuid4().hex  # others run the same test beside this one, in the same namespace
    sleeping = [
        sys.executable,
        "-c",
        "import sys; print(flush=True); sys.stdin.read()",
        *([word] if way == "arguments" else []),
    ]
    environment = {"PASSWORD": word} if way == "environment" else {}
    with subprocess.Popen(sleeping, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        host = Seen("shop-a-db-1", "a", tmp_path, process.pid)
        with Needles([Secret("openstack_password", word)]) as needles:
            leaks = scan.processes(needles, Places("x1", tmp_path, tmp_path, tmp_path), [host])
        process.stdin.close()
    assert [leak.secret for leak in leaks] == ["openstack_password"]
    assert f", {way}" in leaks[0].place
    assert word not in leaks[0].line()


def test_a_key_of_object_storage_is_at_home_where_its_holder_is(host: Seen) -> None:
    """They are numbered, since each site has its own."""
    secret = Secret("storage.archive 4", "0123456789abcdef0123456789abcdef")
    for path, leaks in (("etc/dr/archive/a.conf", 0), ("etc/dr/witness.json", 1)):
        laid(host, path, secret.value)
        with Needles([secret]) as needles:
            assert len([leak for leak in scan.disk(needles, host) if leak.place.endswith(path)]) == leaks


def test_every_place_says_why_it_holds_what_it_holds() -> None:
    for row in (*holders.FILES, *holders.ENVIRONMENTS):
        assert row.why and row.names and row.path
