"""The lab comes up and goes down."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from contract import pipes
from lab import preflight
from lab.machines import cleanup, image
from lab.machines.shell import add_netns
from lab.namespace import NETNS, LabError, Places, daemon, inside
from lab.toolchain import cache, tools
from lab.toolchain.go import ToolchainError

READY_WITHIN_S = 60.0
POLL_S = 0.1
PROJECT = Path(__file__).resolve().parents[1]
MOUNT_RESOLVER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


def up(places: Places) -> None:
    """Start the lab and wait until everything answers. Raises LabError; then nothing of it is left but its log."""
    preflight.check(places)
    pid = daemon(places)
    if pid is not None:
        raise LabError(
            f"lab {places.name}: runs already (pid {pid}), nothing changed; use it, or end it with `lab down`", 3
        )
    if places.netns.exists() and not (places.cgroup.exists() or places.disks.exists()):
        raise LabError(
            f"network namespace {places.name}: found one that is not of a lab, wanted to make it, nothing changed;"
            f" remove it (ip netns delete {places.name}) or choose another name with DRLAB_NAME",
            3,
        )
    if cleanup.leftovers(places):
        print(f"lab {places.name}: removing what a lab that did not end by `lab down` left", file=sys.stderr)
        down(places)
    try:
        guests, versitygw = image.ensure(), tools.VERSITYGW.build()
    except (image.ImageError, cache.CacheError, ToolchainError) as error:
        raise LabError(str(error)) from error
    try:
        _start(places, [str(guests), str(versitygw)])
    except BaseException:
        # Also when somebody has lost patience: a half lab is none.
        cleanup.remove(places, keep=(places.log.name,))
        raise


def _start(places: Places, arguments: list[str]) -> None:
    places.run.mkdir(parents=True, exist_ok=True)
    places.disks.mkdir(parents=True, exist_ok=True)
    group = places.cgroup / "daemon"
    group.mkdir(parents=True, exist_ok=True)
    add_netns("the lab's namespace", places.name)
    (places.run / "resolv.conf").write_text("nameserver 192.0.2.53\noptions timeout:2 attempts:2\n")
    command = inside(NETNS / places.name, [sys.executable, "-m", "lab.daemon", *arguments])
    environment = {**os.environ, "PATH": f"{preflight.PATH}:{os.environ.get('PATH', '')}", "PYTHONPATH": str(PROJECT)}
    with places.log.open("wb") as out:
        process = subprocess.Popen(
            ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group), *command],
            cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=environment,
        )  # fmt: skip
    places.pid_file.write_text(f"{process.pid}\n")
    deadline = time.monotonic() + READY_WITHIN_S
    while not places.description.exists():
        if process.poll() is not None:
            raise LabError(f"lab {places.name}: did not start: {_last_words(places.log)}; its log: {places.log}")
        if time.monotonic() > deadline:
            raise LabError(
                f"lab {places.name}: not ready after {READY_WITHIN_S:g} s, ended again; its log: {places.log}"
            )
        time.sleep(POLL_S)


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].partition("CRITICAL lab: ")[2] or lines[-1] if lines else "it said nothing"


def down(places: Places) -> bool:
    """Remove everything of the lab, whether its daemon lives or not. False: there was nothing. Raises LabError when something stays."""
    if os.geteuid() != 0:
        raise LabError(
            f"user: found uid {os.geteuid()}, wanted root, because the lab's mounts and namespaces are root's; run the same with sudo",
            2,
        )
    found = cleanup.leftovers(places)
    troubles = cleanup.remove(places)
    if troubles:
        raise LabError(
            f"lab {places.name}: not all of it could be removed, run `lab down` again:\n" + "\n".join(troubles)
        )
    return bool(found)


def execute(places: Places, command: list[str]) -> int:
    """Become `command` inside the lab's network namespace, with the lab's resolver. Returns only when it cannot be started."""
    if daemon(places) is None or not places.netns.exists():
        raise LabError(f"lab {places.name}: not running, wanted a running one for this; start it with `lab up`", 3)
    with contextlib.suppress(OSError):
        # A mount namespace of its own: the resolver is this command's alone.
        wrapped = [
            "unshare",
            "--mount",
            "--propagation",
            "slave",
            "sh",
            "-ec",
            MOUNT_RESOLVER,
            str(places.run / "resolv.conf"),
            *command,
        ]
        pipes.before_exec()
        os.execvp("nsenter", inside(places.netns, wrapped))  # noqa: S606
    raise LabError(f"{command[0]}: cannot be started inside the lab; install util-linux", 1)
