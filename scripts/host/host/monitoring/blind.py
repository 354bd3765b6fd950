"""What a Prometheus may not say: what it cannot know any more, and what is over. Lines of units, as texts. Pure.

One that cannot write what it hears is ended, and begins again where it can. On a full disk it lives on and hears nothing: after five minutes its figures
are too old for its rules, and it says of each alert that it is over, while the other region's says that it holds. People would be told of both in turn. One
that is dead says nothing: `WatcherDown` is told by the other region, and what holds goes on holding there.

What it could not tell an Alertmanager of the other region in five seconds it tells it anew; but the kernel goes on sending the first word for minutes, also
when whoever said it has given up. Behind a cut it would arrive after the end of what it tells, and be told to people again.
"""

from __future__ import annotations

LEFT_MIB = 16  # with less it is ended: what it hears in some minutes, and whoever fills the disk is faster than that
GIVES_UP = "echo 1 > /proc/sys/net/ipv4/tcp_orphan_retries"  # the kernel with it, but for one more try
ROOM_MIB = 64  # with more it begins: it would soon be ended again


def begins_with_room(data: str) -> str:
    """Of Prometheus' unit: it does not start where it could not write, and is tried again. `data`: its folder."""
    return f"ExecStartPre=/bin/sh -c '{_escaped(room(data, ROOM_MIB))}'\n"


def gives_up_what_it_has_given_up() -> str:
    """Of Prometheus' unit, for its whole host: no other server stands there whose last words somebody waits for."""
    return f"ExecStartPre=-+/bin/sh -c '{GIVES_UP}'\n"


def ended_when_blind(unit: str, data: str) -> str:
    """Of the job that reads figures twice a minute, which goes on whatever comes of it. With full rights: it ends another unit."""
    return f"ExecStartPre=-+/bin/sh -c '{_escaped(room(data, LEFT_MIB))} || systemctl kill -s KILL {unit}'\n"


def room(data: str, mib: int) -> str:
    """A shell's words: exit code 0 where programs other than root's have so much room, and the disk takes it at all."""
    place = data.rstrip("/")
    return f"test -w {place} && test $(($(stat -f -c %a*%S {place}) / 1048576)) -ge {mib}"


def _escaped(words: str) -> str:
    return words.replace("%", "%%").replace("$", "$$")
