"""Who has come in where, out of what sshd has said: pure. Every text of it is a host's, and a host may be somebody else's by now.

A name that somebody tries to sign in with is part of a message too, so a pattern fits a whole message or nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from contract.authlog import Line
from contract.hosts import CONTROL, HostAddress, kind_of

SSHD = ("sshd", "sshd-session", "sshd-auth")
GONE = ""  # a process that had ended when the journal asked for its name; of its user the kernel has told with the message itself
SECOND = 1_000_000
APART_S = 5  # two hosts' clocks
SETTLED_S = 180  # what is younger may not have been told by both hosts yet

# Said where sshd's level is VERBOSE, as everything is that tells a jump from a stay.
_CAME = re.compile(r"Connection from (\S+) port (\d+) on \S+ port \d+(?: rdomain .*)?")
_CHILD = re.compile(r"User child is on pid (\d+)")
_ACCEPTED = re.compile(r"Accepted (\S+) for (\S+) from (\S+) port (\d+) ssh2(?:: (.+))?")
_CERTIFICATE = re.compile(r"\S+-CERT (SHA256:\S+) ID (.*) \(serial (\d+)\) CA \S+ (SHA256:\S+)")
_KEY = re.compile(r"\S+ (SHA256:\S+)")
_BEGUN = re.compile(r"Starting session: (.+) for (\S+) from (\S+) port (\d+) id \d+")
_ENDED = (
    re.compile(r"(?P<how>Disconnected) from user \S+ (?P<address>\S+) port (?P<port>\d+)"),
    re.compile(r"(?P<how>Connection closed) by (?:user \S+ )?(?P<address>\S+) port (?P<port>\d+)"),
    re.compile(r"(?P<how>Connection reset) by (?:user \S+ )?(?P<address>\S+) port (?P<port>\d+)"),
    re.compile(r"(?P<how>Read error) from remote host (?P<address>\S+) port (?P<port>\d+): .*"),
    re.compile(r"(?P<how>Closing connection) to (?P<address>\S+) port (?P<port>\d+)"),
    re.compile(r"(?P<how>Timeout), client not responding from user \S+ (?P<address>\S+) port (?P<port>\d+)"),
    re.compile(r"(?:error: )?Received (?P<how>disconnect) from (?P<address>\S+) port (?P<port>\d+):\d+:.*"),
)
_CLOSED = re.compile(r"pam_unix\(sshd:session\): session closed for user \S+")
_NOWHERE = re.compile(r"(?:error: )?connect_to (\S+) port (\d+): (?:failed|unknown host).*")
_REFUSED = (
    re.compile(r"Failed \S+ for (?:invalid user )?(?P<user>.*) from (?P<address>\S+) port \d+ ssh2.*"),
    re.compile(r"Invalid user (?P<user>.*) from (?P<address>\S+) port \d+"),
    re.compile(
        r"Connection (?:closed|reset) by (?:authenticating|invalid) user (?P<user>.*) (?P<address>\S+) port \d+ \[preauth\]"
    ),
    re.compile(r"User (?P<user>.*) from (?P<address>\S+) not allowed because .*"),
)


@dataclass(frozen=True, kw_only=True)
class Login:
    """Times in microseconds. `who`: the key's fingerprint, or the certificate's key id with its serial number. `did`: what was begun in it.

    `whole`: its sshd says of sessions that they begin, so that nothing in `did` means something.
    """

    host: str
    at: int
    user: str
    who: str
    how: str
    address: str
    port: str
    pid: int
    whole: bool = False
    did: tuple[str, ...] = ()
    nowhere: tuple[str, ...] = ()  # where it was passed on to in vain
    until: int | None = None
    ended: str = ""  # how; empty: nothing says that it has


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one host has said. `refused`: how often, by address and user; `others`: what is no sshd's."""

    logins: tuple[Login, ...]
    refused: Mapping[tuple[str, str], int]
    others: tuple[Line, ...]


Changed = Callable[[Login], Login]


def understand(host: str, lines: Sequence[Line], since: int = 0) -> Said:
    """In the order of their times. `since`: what was refused is counted from then on, in microseconds."""
    reading = _Reading(host, since)
    for line in lines:
        reading.take(line)
    return Said(logins=tuple(reading.logins), refused=reading.refused, others=tuple(reading.others))


@dataclass
class _Reading:
    host: str
    since: int = 0
    logins: list[Login] = field(default_factory=list)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)
    others: list[Line] = field(default_factory=list)
    _came: set[tuple[str, str]] = field(default_factory=set)
    _by: dict[tuple[str, str], int] = field(default_factory=dict)  # the newest of a connection, and of a process

    def take(self, line: Line) -> None:
        """Whoever is not root, or no sshd by what the kernel calls it, signs nobody in."""
        if line.comm not in (*SSHD, GONE) or line.uid != 0:
            self.others.append(line)
        elif found := _CAME.fullmatch(line.text):
            self._came.add((found[1], found[2]))
        elif found := _CHILD.fullmatch(line.text):
            if (number := self._by.get(("", str(line.pid)))) is not None:
                self._by["", found[1]] = number
        elif found := _ACCEPTED.fullmatch(line.text):
            how, user, address, port, key = found.groups()
            who, at, whole = _who(key or ""), line.at, (address, port) in self._came
            self._by[address, port] = self._by["", str(line.pid)] = len(self.logins)
            self.logins.append(
                Login(
                    host=self.host,
                    at=at,
                    user=user,
                    who=who,
                    how=how,
                    address=address,
                    port=port,
                    pid=line.pid,
                    whole=whole,
                )
            )
        elif found := _BEGUN.fullmatch(line.text):
            self._change(line, partial(_did, what=found[1]), found[3], found[4])
        elif found := _NOWHERE.fullmatch(line.text):
            self._change(line, partial(_tried, where=f"{found[1]}:{found[2]}"))
        elif not self._ends(line) and not self._refuses(line) and line.comm == GONE:
            self.others.append(line)

    def _ends(self, line: Line) -> bool:
        if _CLOSED.fullmatch(line.text):
            return self._change(line, partial(_over, line=line, how="closed"))
        for pattern in _ENDED:
            if found := pattern.fullmatch(line.text):
                over = partial(_over, line=line, how=found["how"].lower())
                return self._change(line, over, found["address"], found["port"])
        return False

    def _refuses(self, line: Line) -> bool:
        for pattern in _REFUSED:
            if found := pattern.fullmatch(line.text):
                whom = found["address"], found["user"]
                if line.at >= self.since:
                    self.refused[whom] = self.refused.get(whom, 0) + 1
                return True
        return False

    def _change(self, line: Line, change: Changed, address: str = "", port: str = "") -> bool:
        """The newest that this is about: of the same connection, or of the same process where a message names none."""
        number = self._by.get((address, port) if address else ("", str(line.pid)))
        if number is None:
            return False
        self.logins[number] = change(self.logins[number])
        return True


def _did(it: Login, what: str) -> Login:
    return replace(it, did=(*it.did, what))


def _tried(it: Login, where: str) -> Login:
    return replace(it, nowhere=(*it.nowhere, where))


def _over(it: Login, line: Line, how: str) -> Login:
    return it if it.until is not None else replace(it, until=line.at, ended=how)


def _who(key: str) -> str:
    if found := _CERTIFICATE.fullmatch(key):
        return f"certificate {found[2]} (serial {found[3]}, {found[1]}, CA {found[4]})"
    found = _KEY.fullmatch(key)
    return found[1] if found else key or "nothing told"


def unanswered(said: Mapping[str, Said], hosts: Mapping[str, HostAddress], since: int, now: int) -> Iterator[str]:
    """Sign-ins that one host tells of and another must have told of too: through a bastion to a host, both ways. Times in microseconds.

    Only of hosts that have told anything, and of what is long enough ago. Where several people are on a bastion at once, one hides the other.
    """
    bastions = {it: key for key, host in hosts.items() if host.role == CONTROL for it in (host.front, host.vrack)}
    logins = [it for each in said.values() for it in each.logins]
    for it in (it for it in logins if since <= it.at <= now - SETTLED_S * SECOND):
        if kind_of(it.host) == CONTROL:
            inside = [other for other in logins if bastions.get(other.address) == it.host and _within(other.at, it)]
            if it.whole and not it.did and not it.nowhere and not inside:
                yield (
                    f"{it.host}: {it.user} signed in at {time_of(it.at)} by {it.who} from {it.address} and went on to no host that says so; "
                    "look on the hosts behind it, whose log somebody may have stopped"
                )
        elif it.address not in bastions:
            yield f"{it.host}: {it.user} signed in at {time_of(it.at)} from {it.address}, which is no bastion, by {it.who}; nobody of ours comes that way"
        elif bastions[it.address] in said:
            there = said[bastions[it.address]].logins
            if not any(_within(it.at, other) for other in there):
                yield (
                    f"{it.host}: {it.user} signed in at {time_of(it.at)} from {bastions[it.address]} ({it.address}) by {it.who}, and that bastion tells of "
                    "nobody who was on it then; somebody else uses it, or its log was stopped"
                )


def time_of(at: int) -> str:
    """Of microseconds since 1970; of a number that no clock has, the number."""
    try:
        return datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(at)


def _within(at: int, it: Login) -> bool:
    apart = APART_S * SECOND
    return it.at - apart <= at and (it.until is None or at <= it.until + apart)
