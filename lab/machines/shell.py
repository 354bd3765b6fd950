"""Running the machine's tools, with errors that name the thing."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from lab.cloud.backend import BackendError
from lab.namespace import NETNS, inside

LIMIT_S = 60.0


def run(what: str, command: Sequence[str], stdin: str | None = None) -> str:
    """Run a tool to its end and return its output. Raises BackendError with what it said."""
    try:
        done = subprocess.run(command, input=stdin or "", capture_output=True, text=True, check=False, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"{what}: `{command[0]}` did not end within {LIMIT_S:g} s") from error
    except OSError as error:
        raise BackendError(f"{what}: `{command[0]}` cannot be started: {error.strerror}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()
        raise BackendError(
            f"{what}: `{' '.join(command[:4])}` ended with status {done.returncode}: {' / '.join(said[:3])}"
        )
    return done.stdout


def ip(what: str, lines: Iterable[str], netns: str | None = None) -> None:
    """Several `ip` commands at once, in the namespace of this name (None: the caller's). Stops at the first that fails."""
    text = "\n".join(lines)
    if text:
        run(what, ["ip", *(["-n", netns] if netns else []), "-batch", "-"], text + "\n")


def nft(what: str, text: str, netns: str | None = None) -> None:
    """One atomic change of a namespace's packet filter."""
    command = ["nft", "-f", "-"]
    run(what, inside(NETNS / netns, command) if netns else command, text)


def sysctl(what: str, settings: Iterable[str], netns: str | None = None) -> None:
    """Settings `net.…=value` of a namespace."""
    command = ["sysctl", "-q", "-w", *settings]
    run(what, inside(NETNS / netns, command) if netns else command)


def add_netns(what: str, name: str) -> None:
    """A fresh namespace with its loopback up; one of that name that was left over goes first."""
    drop_netns(what, name)
    run(what, ["ip", "netns", "add", name])
    ip(what, ["link set lo up"], name)


def drop_netns(what: str, name: str) -> None:
    """Remove a namespace; its interfaces go with it, and the far ends of its pairs. Nothing if there is none."""
    if (NETNS / name).exists():
        run(what, ["ip", "netns", "delete", name])


def link_exists(name: str) -> bool:
    """In the caller's namespace."""
    return subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode == 0


def drop_link(what: str, name: str) -> None:
    """Remove an interface of the caller's namespace. Nothing if there is none: those of a removed namespace go a moment after it, by themselves."""
    done = subprocess.run(["ip", "link", "delete", name], capture_output=True, text=True, check=False)
    if done.returncode and link_exists(name):
        raise BackendError(f"{what}: interface {name} cannot be removed: {done.stderr.strip()}")


def short(*parts: str) -> str:
    """Ten characters that stand for the parts: interface names have fifteen at most."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:10]


def mac_of(*parts: str) -> str:
    """A hardware address that stands for the parts: whoever comes anew with an old address is found by those who remember it."""
    digits = hashlib.sha256("/".join(parts).encode()).hexdigest()
    return f"fa:16:3e:{digits[0:2]}:{digits[2:4]}:{digits[4:6]}"


def mounted_under(folder: Path) -> list[Path]:
    """Mount points in `folder`, the deepest first."""
    inside_it = f"{folder}/"
    points = [
        line.split()[4].encode().decode("unicode_escape")
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    return sorted(
        (Path(point) for point in points if point.startswith(inside_it) or point == str(folder)),
        key=lambda p: -len(p.parts),
    )
