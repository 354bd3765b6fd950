"""The operator's way to the hosts: ssh with pinned keys, through a bastion, one kept connection a host.

A host is named `db-1.a`. Its vRack address is reached through the bastion (`control-1`) of a chosen site: the own site's reaches the peer's
hosts over the vRack, the peer's own when the vRack is cut. OpenSSH does the work, in a private folder (`ssh_folder.py`). What a host says is read to a
bound, and its facts in the forms of `contract.answers`.
"""

from __future__ import annotations

import json
import os
import pwd
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from contract import fields
from contract.access import Ssh
from contract.dataclass import dataclass
from contract.errors import ExitCode, Failed, Refused
from contract.forms import MOST_BYTES
from contract.plain import phrase
from contract.verbs import ANSWERS
from contract.wire import document as json_document
from scripts.clients import bounded, shown, ssh_folder

CONNECT_S = 4
ENDS_S = 5  # what a process may take to its end once it is told nothing more
OVERHEAD_S = CONNECT_S + 10  # what ssh may take on top of a command's own limit
DR_HOST = "/opt/dr/dr-host.pyz"
MOST_SAID = 16 * 2**20  # bytes of what a command says: a journal of some days is a few
LONGEST_LINE = 8192  # of what is said on stderr: the end of it is kept
# Of a session within the one to the bastion, which is what the internet sees and has OpenSSH's own choice. That of 9.0 to 9.8 costs 0.06 s of processor
# time on either end, for a way on which everything else is X25519, too (decision 57).
INNER_KEX = "^curve25519-sha256"
NOTHING_CONCLUDED = "nothing is concluded from it; see what answers there"
LOST = 255  # OpenSSH's own exit code when there was no session


@dataclass(frozen=True)
class Answer:
    """What a host's command said."""

    code: int
    document: dict[str, Any] | None  # stdout, when it is a JSON object with facts in the verb's form
    message: str  # last line of stderr, or what is wrong with the document
    usable: bool = True  # whether stdout was what the verb answers with

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of a `dr-host` result; empty when there is none."""
        return dict((self.document or {}).get("facts", {}))


class Unreachable(Failed):
    """There was no ssh session: nothing was run, or (after a lost connection) nobody knows."""


class Conversation:
    """A verb that is told one JSON object a line and answers each with one. Its end without an answer is an error that names the host."""

    def __init__(self, command: list[str], host: str, verb: str) -> None:
        """`command`: what leads to `dr-host <verb>` on `host`."""
        self._verb, self._name = (host, verb), f"host {host}, dr-host {verb}"
        self._err = b""  # the end of what it has said there
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )

    def say(self, document: dict[str, Any], limit_s: float) -> dict[str, Any]:
        """The answer. Raises Failed when there is none within the limit, or one that is no JSON object."""
        stdin = self._process.stdin
        assert stdin is not None
        answer = None
        with suppress(OSError, ValueError):  # it has ended, and says why in its last line
            stdin.write(json.dumps(document).encode() + b"\n")
            answer = json_document.parse(self._line(limit_s))
        if not isinstance(answer, dict):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDS_S)
            self._hear(0)
            raise Failed(f"{self._name}: exit code {self._process.poll()}: {_last_line(self._err) or 'no message'}")
        return answer

    def facts(self, limit_s: float) -> dict[str, Any]:
        """What it answers to an empty object, where its verb has a form. Raises Failed, also for facts of another form."""
        return dict(_facts(self.say({}, limit_s), *self._verb)["facts"])

    def _line(self, limit_s: float) -> bytes:
        """All that comes until the line ends, or the process does. Raises Failed at the limit: half a line is no answer either."""
        found, until = bytearray(), time.monotonic() + limit_s
        while not found.endswith(b"\n"):
            if time.monotonic() > until:
                raise Failed(f"{self._name}: no answer within {limit_s:g} s")
            piece = self._hear(max(until - time.monotonic(), 0))
            if piece is not None and not piece:
                break
            found += piece or b""
            if len(found) > MOST_BYTES:
                raise Failed(f"{self._name}: answered a line of more than {MOST_BYTES} bytes, wanted a JSON object")
        return bytes(found)

    def _hear(self, wait_s: float) -> bytes | None:
        """What has come on stdout, empty at its end; None when nothing has. What has come on stderr is kept, the end of it."""
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None and stderr is not None
        with selectors.DefaultSelector() as each:  # not `select`, which takes no file whose number is 1024 or more
            for stream in (stdout, *([] if stderr.closed else [stderr])):
                each.register(stream, selectors.EVENT_READ)
            ready = [it.fileobj for it, _ in each.select(wait_s)]
        if stderr in ready:
            piece = os.read(stderr.fileno(), 65536)
            self._err = (self._err + piece)[-LONGEST_LINE:]
            if not piece:
                stderr.close()
        return os.read(stdout.fileno(), 65536) if stdout in ready else None

    def close(self) -> None:
        """It is told nothing more, and ends."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Hosts:
    """The hosts of both sites, by the bastions that are known. A context manager."""

    def __init__(self, told: Ssh, certificate: str = "") -> None:
        """`certificate`: of the key, the line of a `-cert.pub` file; empty: the key opens by itself. Raises Usage for what is no address, name or key: it
        would be a line of ssh's configuration.
        """
        self._certificate = certificate
        self._told = fields.read(Ssh, fields.write(told), "the way to the hosts")
        self._cleanup = ExitStack()
        self._used: set[str] = set()
        self._signed: dict[str, Future[None]] = {}  # in to bastions, by site: done, or at it
        self._one = threading.Lock()

    def __enter__(self) -> Hosts:
        """Raises Refused where ssh cannot work on this machine, whatever host it is asked for."""
        _known_person()
        with ExitStack() as made:
            self._folder = folder = ssh_folder.make(max(map(len, self._ways()), default=0), made)
            try:
                self._fill(folder, made)
            except OSError as error:
                raise Refused(
                    f"folder for the connections to hosts {folder}: cannot be written ({error.strerror}), wanted room in it for some kilobytes; no host can "
                    "be reached from this machine, so nothing was changed; make room there or set TMPDIR, and run the same again"
                ) from None
            made.callback(self._hang_up)
            self._cleanup = made.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _fill(self, folder: Path, made: ExitStack) -> None:
        self._key = ssh_folder.keep(self._told.private_key, folder, made)
        known = [f"{name} {host.host_key}" for name, host in self._told.hosts.items()]
        (folder / "known_hosts").write_text("\n".join(known) + "\n")
        (folder / "certificate").write_text(self._certificate + "\n")
        (folder / "config").write_text(self._config())

    def _hang_up(self) -> None:
        used = tuple(self._used)  # a question that nobody waits for may begin another connection yet
        if used:  # side by side: of a host that has just gone, each waits for its limit
            with ThreadPoolExecutor(len(used)) as pool:
                list(pool.map(lambda alias: self._ssh(["-O", "exit", alias], b"", 2), used))

    def routes(self, host: str) -> list[str]:
        """The sites whose bastion may lead to `host`, where they have an address: that of the other region first, then of its own."""
        own = host.rsplit(".", 1)[1]
        return [site for site in sorted(self._told.bastions, key=lambda site: site == own) if self._told.bastions[site]]

    def lead(self, site: str, connect_s: int = CONNECT_S) -> None:
        """Sign in to a bastion, so that whatever goes through it afterwards shares that connection: sshd lets ten in at once and, of more, drops some.

        Once: who comes meanwhile waits for it, since side by side each would make a connection of its own, whose keys take longer than what is asked.
        Raises Unreachable; whoever comes behind a failure tries anew.
        """
        with self._one:
            begun = self._signed.get(site)
            mine = Future[None]()
            self._signed[site] = begun or mine
        if begun is not None:
            return begun.result()
        try:
            self._sign_in(site, connect_s)
        except BaseException as error:
            del self._signed[site]
            mine.set_exception(error)
            raise
        return mine.set_result(None)

    def _sign_in(self, site: str, connect_s: int) -> None:
        alias = f"bastion-{site}"
        self._used.add(alias)
        done = self._ssh(["-o", f"ConnectTimeout={connect_s}", alias, "true"], b"", connect_s + OVERHEAD_S)
        if done.returncode == LOST:
            raise Unreachable(f"bastion of {site}: no ssh session ({_last_line(done.stderr)})")

    def execute(
        self, host: str, via: str, line: str, stdin: bytes, limit_s: int, *, connect_s: int = CONNECT_S
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a shell line on `host` through the bastion of site `via`, whatever its exit code. Raises Unreachable.

        `connect_s`: how long its ssh server may take to say its first word.
        """
        alias = f"{host}.via-{via}"
        self._used.add(alias)
        self.lead(via, connect_s)
        done = self._ssh(
            ["-o", f"ConnectTimeout={connect_s}", alias, f"timeout -k 5 {limit_s} {line}"], stdin, limit_s + OVERHEAD_S
        )
        if done.returncode == LOST:
            raise Unreachable(f"host {host} through the bastion of {via}: no ssh session ({_last_line(done.stderr)})")
        return done

    def call(
        self, host: str, via: str, command: str, document: dict[str, Any], limit_s: int, *, connect_s: int = CONNECT_S
    ) -> Answer:
        """Run `dr-host <command>` with the document on stdin. Raises Unreachable."""
        line = f"python3 {DR_HOST} {command}"
        done = self.execute(host, via, line, json.dumps(document).encode(), limit_s, connect_s=connect_s)
        message = _last_line(done.stderr)
        if done.returncode != ExitCode.DONE:
            return Answer(done.returncode, None, message)
        try:
            return Answer(done.returncode, answer_of(done.stdout, host, command), message)
        except Failed as error:
            return Answer(done.returncode, None, str(error), usable=False)

    def must(self, host: str, via: str, command: str, document: dict[str, Any], limit_s: int) -> Answer:
        """Like `call`, and anything but success is an error that names the host."""
        answer = self.call(host, via, command, document, limit_s)
        if answer.code != ExitCode.DONE:
            raise Failed(f"host {host}, dr-host {command}: exit code {answer.code}: {answer.message or 'no message'}")
        if not answer.usable:
            raise Failed(answer.message)
        return answer

    def talk(self, host: str, via: str, command: str, limit_s: int) -> Conversation:
        """Start `dr-host <command>` and keep it waiting for what `Conversation.say` tells it: what it takes to start is over by then."""
        alias = f"{host}.via-{via}"
        self._used.add(alias)
        line = f"timeout -k 5 {limit_s} python3 {DR_HOST} {command}"
        ssh = ["ssh", "-F", str(self._folder / "config"), alias, line]
        with suppress(Unreachable):  # it says so itself, to whoever asks it
            self.lead(via, CONNECT_S)
        talk = Conversation(ssh, host, command)
        self._cleanup.callback(talk.close)
        return talk

    def attach(self, host: str, via: str, line: str, *, terminal: bool) -> int:
        """Run a shell line on `host` with this process's own streams, a login shell where it is empty; its exit code, 255 when there was no session."""
        alias = f"{host}.via-{via}"
        self._used.add(alias)
        words = [
            "ssh",
            "-F",
            str(self._folder / "config"),
            *(["-t"] if terminal else []),
            alias,
            *([line] if line else []),
        ]
        return subprocess.run(words, check=False).returncode

    def show(self, host: str, via: str, line: str, row: Callable[[str], None]) -> int:
        """Run a shell line on `host` and show what it says, as `shown.run` does; its exit code, LOST when there was no session, or it ended."""
        alias = f"{host}.via-{via}"
        self._used.add(alias)
        return shown.run(["ssh", "-F", str(self._folder / "config"), alias, line], row)

    def _ssh(self, arguments: list[str], stdin: bytes, limit_s: int) -> subprocess.CompletedProcess[bytes]:
        command = ["ssh", "-F", str(self._folder / "config"), *arguments]
        try:
            return bounded.run(command, stdin, limit_s, MOST_SAID)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, LOST, b"", f"no end within {limit_s} s".encode())
        except bounded.TooMuch as error:
            return subprocess.CompletedProcess(command, LOST, b"", str(error).encode())

    def _ways(self) -> list[str]:
        return [f"{name}.via-{site}" for name in self._told.hosts for site in self._told.bastions]

    def _config(self) -> str:
        folder, lines = self._folder, []
        for site, address in self._told.bastions.items():
            if address:
                lines += [f"Host bastion-{site}", f"  HostName {address}", f"  HostKeyAlias control-1.{site}"]
        for name, host in self._told.hosts.items():
            for site, address in self._told.bastions.items():
                if address:
                    direct = name == f"control-1.{site}"
                    lines += [
                        f"Host {name}.via-{site}",
                        f"  HostName {address if direct else host.vrack}",
                        f"  HostKeyAlias {name}",
                    ]
                    if direct:  # the same server by the same address and key: one connection
                        lines.append(f"  ControlPath {folder}/bastion-{site}")
                    else:
                        lines.append(f"  ProxyCommand ssh -F {folder}/config -W %h:%p bastion-{site}")
                        lines.append(f"  KexAlgorithms {INNER_KEX}")
        lines += [
            "Host *",
            "  User root",
            f"  IdentityFile {self._key}",
            *([f"  CertificateFile {folder}/certificate"] if self._certificate else []),
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {folder}/known_hosts",
            "  StrictHostKeyChecking yes",
            "  HostKeyAlgorithms ssh-ed25519",
            "  BatchMode yes",
            f"  ConnectTimeout {CONNECT_S}",
            "  ServerAliveInterval 3",
            "  ServerAliveCountMax 2",
            "  ControlMaster auto",
            # By the way's name: two ways to a host lead to the same address, and must not share a connection.
            f"  ControlPath {folder}/%n",
            "  ControlPersist 60",
            "  LogLevel ERROR",
        ]
        return "\n".join(lines) + "\n"


def answer_of(said: bytes, host: str, command: str) -> dict[str, Any]:
    """The answer of a verb. Raises Failed for what is none, or has a fact of another form."""
    try:
        if len(said) > MOST_BYTES:
            raise ValueError
        answer = json_document.mapping(said)
    except ValueError:
        raise Failed(
            f"{_subject(host, command)}: found {len(said)} bytes that are no JSON object of ours; {NOTHING_CONCLUDED}"
        ) from None
    return _facts(answer, host, command)


def _facts(answer: Mapping[str, Any], host: str, command: str) -> dict[str, Any]:
    form = ANSWERS.get(command)
    if form is None:
        return {}
    return {"facts": fields.write(fields.heard(form, answer.get("facts"), _subject(host, command), NOTHING_CONCLUDED))}


def _subject(host: str, command: str) -> str:
    return f"host {host}, answer of dr-host {command}"


def _known_person() -> None:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise Refused(
            f"user id {os.getuid()} of this process: has no entry in the list of users, wanted one; ssh refuses to start without it, so no host can be "
            "reached and nothing was changed; run it as a user of this machine, or give the container an entry in /etc/passwd"
        ) from None


def _last_line(text: bytes) -> str:
    """As much of it as fits into a sentence: whatever stands there, a host has said it."""
    return phrase((text[-LONGEST_LINE:].decode(errors="replace").strip().splitlines() or [""])[-1])
