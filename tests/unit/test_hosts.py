"""Ways to a host: each has a connection of its own, so that one may live when another dies."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from contract.access import Ssh, SshHost
from contract.errors import Refused
from scripts.clients import bounded, ssh_folder
from scripts.clients.hosts import Hosts, Unreachable

ROOT = Path(__file__).resolve().parents[2]
TOLD = Ssh(
    private_key="no key",
    hosts={
        name: SshHost(vrack=f"10.100.0.{number}", front="10.1.0.1", host_key="ssh-ed25519 AAAA")
        for number, name in enumerate(("control-1.a", "db-1.a", "db-1.b"))
    },
    bastions={"a": "203.0.113.10", "b": "198.51.100.10"},
)


def said(hosts: Hosts, alias: str, option: str) -> str:
    """What ssh itself makes of its configuration."""
    done = subprocess.run(
        ["ssh", "-G", "-F", str(hosts._folder / "config"), alias], capture_output=True, text=True, check=True
    )
    return dict(line.partition(" ")[::2] for line in done.stdout.splitlines())[option]


def test_the_peers_host_is_asked_through_the_own_bastion_first():
    with Hosts(TOLD) as hosts:
        assert hosts.routes("db-1.b") == ["a", "b"]
        assert hosts.routes("db-1.a") == ["b", "a"]
    with Hosts(replace(TOLD, bastions={"a": "203.0.113.10", "b": None})) as hosts:
        assert hosts.routes("db-1.b") == ["a"]


def test_two_ways_to_a_host_share_its_address_and_no_connection():
    with Hosts(TOLD) as hosts:
        ways = [f"db-1.b.via-{site}" for site in hosts.routes("db-1.b")]
        assert {said(hosts, way, "hostname") for way in ways} == {"10.100.0.2"}
        assert len({said(hosts, way, "controlpath") for way in ways}) == len(ways)


def test_a_bastion_that_is_asked_itself_is_asked_by_the_connection_that_leads_through_it() -> None:
    with Hosts(TOLD) as hosts:
        for option in ("hostname", "hostkeyalias", "controlpath", "user", "kexalgorithms"):
            assert said(hosts, "control-1.a.via-a", option) == said(hosts, "bastion-a", option)
        other = said(hosts, "control-1.a.via-b", "controlpath")
        assert other not in {said(hosts, f"bastion-{site}", "controlpath") for site in "ab"}


def test_a_session_within_a_bastions_costs_no_second_exchange_of_another_kind() -> None:
    """What the internet sees is the bastion's, and has what OpenSSH chooses by itself."""
    default = subprocess.run(["ssh", "-G", "-F", "none", "bastion"], capture_output=True, text=True, check=True).stdout
    with Hosts(TOLD) as hosts:
        assert f"kexalgorithms {said(hosts, 'bastion-a', 'kexalgorithms')}\n" in default
        within = said(hosts, "db-1.b.via-a", "kexalgorithms").split(",")
        assert within[0] == "curve25519-sha256"
        assert set(within) == set(said(hosts, "bastion-a", "kexalgorithms").split(",")), "a server without it is led in"


@pytest.mark.parametrize(
    "name", ["x" * 90, "with a blank", "100%", "per%n", 'a"b', "a'b", "$HOME", "new\nline", "missing/one"]
)
def test_a_connections_socket_fits_whatever_the_folder_for_temporary_files_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """ansible#11536"""
    if name != "missing/one":
        (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))
    with Hosts(TOLD) as hosts:
        for way in (f"db-1.b.via-{site}" for site in "ab"):
            path = said(hosts, way, "controlpath")
            assert path == f"{hosts._folder}/{way}"
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(f"{path}.0123456789abcdef")  # what ssh itself binds first
            assert Path(said(hosts, way, "identityfile")).read_text() == "no key\n"
        assert hosts._folder.stat().st_mode & 0o777 == 0o700
    assert not hosts._folder.exists()


def test_a_short_folder_of_the_operators_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/dev/shm")
    with Hosts(TOLD) as hosts:
        assert hosts._folder.parent == Path("/dev/shm")


def test_no_folder_at_all_is_told_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("TMPDIR", "/a b")
    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(
        Refused, match=r"'/a b' holds characters .*; /tmp: No space left on device; .*nothing was changed"
    ):
        Hosts(TOLD).__enter__()


@pytest.mark.parametrize("file", ["known_hosts", "config"])
def test_a_full_disk_of_this_machine_is_a_sentence_and_no_fault_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    really = Path.write_text

    def full(path: Path, *told: str) -> int:
        if path.name == file:
            raise OSError(28, "No space left on device")
        return really(path, *told)

    monkeypatch.setattr(ssh_folder, "make", lambda *_: tmp_path)
    monkeypatch.setattr(Path, "write_text", full)
    with (
        pytest.raises(
            Refused, match=rf"{tmp_path}: cannot be written \(No space left on device\).*nothing was changed"
        ),
        Hosts(TOLD),
    ):
        pytest.fail("there is no way to a host")


def test_a_user_that_the_machine_does_not_know_is_told_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """ansible#68007: as in a container. ssh would say it at each host, after the first of them was stopped through a connection that still was there."""
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(Refused, match=r"user id 54321 .*no entry .*nothing was changed; .*/etc/passwd"):
        Hosts(TOLD).__enter__()


RUN = """
import os
import select
from contract.access import Ssh, SshHost
from scripts.clients.hosts import Hosts, Unreachable
from scripts.links.interrupts import install
told = Ssh(
    private_key="THE-OPERATORS-KEY",
    hosts={"db-1.a": SshHost(vrack="10.100.0.1", front="10.1.0.1", host_key="ssh-ed25519 AAAA")},
    bastions={"a": "203.0.113.10"},
)
install(os.getppid())
with Hosts(told) as hosts:
    print(hosts._folder, flush=True)
    while True:
        select.select([], [], [], 0.1)
"""


def killed(folder: Path, how: signal.Signals) -> Path:
    """The folder of a run that was ended so."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert run.stdout is not None
        left = Path(run.stdout.readline().strip())
        assert left.parent == folder and left.is_dir()
        run.send_signal(how)
    return left


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for temporary files, with a path that sockets fit into."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_told_to_end_leaves_nothing(short: Path, how: signal.Signals) -> None:
    killed(short, how)
    assert list(short.iterdir()) == []


def test_a_run_that_is_killed_leaves_no_key_and_the_next_one_clears_the_rest(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = killed(short, signal.SIGKILL)
    assert left.exists()
    assert not [file for file in left.rglob("*") if b"THE-OPERATORS-KEY" in file.read_bytes()]
    monkeypatch.setenv("TMPDIR", str(short))
    with Hosts(TOLD) as living:
        assert not left.exists()
        with Hosts(TOLD):
            assert living._folder.exists(), "a run beside it took it away"
    assert list(short.iterdir()) == []


def test_where_the_system_has_no_memory_for_it_the_key_is_a_private_file_that_goes(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setenv("TMPDIR", str(short))
    with Hosts(TOLD) as hosts:
        key = Path(said(hosts, "db-1.b.via-a", "identityfile"))
        assert (key.read_text(), key.stat().st_mode & 0o777, key.parent) == ("no key\n", 0o600, hosts._folder)
    assert list(short.iterdir()) == []


def test_a_folder_of_an_older_version_goes_when_nobody_can_be_at_work_in_it(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    old, new, other = (short / f"dr-ssh-{name}" for name in ("old", "new", "other"))
    for folder in (old, new):
        folder.mkdir()
        (folder / "key").write_text("a key")
    os.utime(old, (0, 0))
    other.symlink_to(new)
    with Hosts(TOLD):
        assert (old.exists(), new.exists(), other.is_symlink()) == (False, True, True)


def test_a_question_that_nobody_waits_for_ends_no_run_with_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take up a way while the others are being hung up."""
    with Hosts(TOLD) as hosts:

        def ssh(arguments: list[str], *_: object) -> None:
            hosts._used.add(f"another after {arguments[-1]}")

        monkeypatch.setattr(hosts, "_ssh", ssh)
        hosts._used |= {f"way-{number}" for number in range(50)}
    assert len(hosts._used) == 100


def asked_at_once(hosts: Hosts, number: int) -> list[str]:
    """What became of as many questions to hosts behind one bastion, all of them begun before the first has signed in."""

    def ask(_: int) -> str:
        try:
            return hosts.execute("db-1.b", "a", "true", b"", 5).stdout.decode()
        except Unreachable as error:
            return str(error)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(ask, range(number)))


class PlayedSsh:
    """Bastions let in as `opens` says, once all others of `number` wait for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, opens: list[int]) -> None:
        self.words: list[str] = []
        self._opens, self._others, self._waiting = opens, number - 1, threading.Semaphore(0)
        really = Future.result

        def result(future: Future[None], timeout: float | None = None) -> None:
            if threading.current_thread() is not threading.main_thread():
                self._waiting.release()
            return really(future, timeout)

        monkeypatch.setattr(Future, "result", result)
        monkeypatch.setattr(bounded, "run", self.run)

    def run(self, command: list[str], *_: object) -> subprocess.CompletedProcess[bytes]:
        alias = next(word for word in command[3:] if word.startswith(("bastion-", "db-1.")))
        self.words.append(alias)
        if not alias.startswith("bastion-"):
            return subprocess.CompletedProcess(command, 0, b"said", b"")
        while self._others:
            assert self._waiting.acquire(timeout=20), "one of them does not wait"
            self._others -= 1
        return subprocess.CompletedProcess(command, self._opens.pop(0), b"", b"no way")


def test_who_comes_while_somebody_signs_in_to_a_bastion_waits_and_shares_that_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Hosts(TOLD) as hosts:
        played = PlayedSsh(monkeypatch, 4, [0])
        assert asked_at_once(hosts, 4) == ["said"] * 4
        hosts.lead("a")
        monkeypatch.undo()
    assert played.words == ["bastion-a", *["db-1.b.via-a"] * 4]


def test_a_bastion_that_lets_nobody_in_is_waited_for_once_by_all_who_came_and_asked_anew_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Hosts(TOLD) as hosts:
        played = PlayedSsh(monkeypatch, 4, [255, 0])
        assert set(asked_at_once(hosts, 4)) == {"bastion of a: no ssh session (no way)"}
        assert played.words == ["bastion-a"]
        assert asked_at_once(hosts, 1) == ["said"]
        monkeypatch.undo()
