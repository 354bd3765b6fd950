"""`lab ssh`, `lab logs`, `lab console`: how a person looks into a host of a running lab.

A shell comes through the host's namespaces and not through its sshd: it opens also when that is dead, when the network is cut or the host's own
packet filter lets nobody in, which is when somebody wants to look. What a host without power has written is read from its disk.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from contract import pipes
from lab.control import call
from lab.machines.hosts import Host
from lab.namespace import LabError, Places

NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--root")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
JOURNAL = "/var/log/journal"
LINES, GLANCE = 200, 10
HOST_HELP = "as `db-1.a`, or the server's name at the OpenStack API"


@dataclass(frozen=True)
class Seen:
    """A host as the lab's daemon tells of it. `leader`: its first process, None without power."""

    name: str
    site: str
    folder: Path
    leader: int | None

    @property
    def label(self) -> str:
        return label(self.name, self.site)


def label(name: str, site: str) -> str:
    """What people call a server: "db-1.a" for `shop-a-db-1`; one that is not named so keeps its name."""
    project, _, host = name.rpartition(f"-{site}-")
    return f"{host}.{site}" if project else name


def told(hosts: Mapping[tuple[str, str], Host], sites: Mapping[str, str]) -> list[dict[str, Any]]:
    """The daemon's answer: every host, `sites` being the names of regions."""
    return [
        {"name": host.spec.name, "site": sites[region], "folder": str(host.places.folder), "leader": host.leader()}
        for (region, _), host in sorted(hosts.items())
    ]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The three commands, for the lab's command line."""
    shell = commands.add_parser(
        "ssh", help="a root shell in a host, or one command", usage="lab ssh HOST [-- COMMAND ...]",
        description="A root shell in a host, through its namespaces and not its sshd: also when sshd is dead or the network is cut. With a"
        " COMMAND only that, without a shell around it (`-- sh -c '...'` for one); its exit code is passed on.",
    )  # fmt: skip
    shell.add_argument("host", metavar="HOST", help=HOST_HELP)
    shell.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    logs = commands.add_parser("logs", help="a host's journal, also while it has no power")
    logs.add_argument("host", metavar="HOST", help=HOST_HELP)
    logs.add_argument("unit", nargs="?", metavar="UNIT", help="only this unit, as postgresql@17-main")
    logs.add_argument("-n", "--lines", type=int, default=LINES, help=f"how many of the last ({LINES})")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what it writes")
    console = commands.add_parser("console", help="what a host wrote to its console, as OpenStack's console log")
    console.add_argument(
        "host", nargs="?", metavar="HOST", help=f"{HOST_HELP}; without one, the last {GLANCE} lines of each host"
    )
    console.add_argument("-n", "--lines", type=int, default=None, help="how many of the last (all)")


def ssh(where: Places, options: argparse.Namespace) -> int:
    host = chosen(known(where), options.host)
    if host.leader is None:
        raise LabError(
            f"host {host.label}: has no power, wanted a running one for a shell, nothing done; `lab logs {host.label}` and"
            f" `lab console {host.label}` show what it wrote, `lab fault list` whether a fault holds it",
            3,
        )
    _become(inside(host.leader, after_dashes(options.argv) or ["/bin/bash", "--login"]))


def journal(where: Places, options: argparse.Namespace) -> int:
    host = chosen(known(where), options.host)
    wanted = ["journalctl", "--no-pager", f"--lines={options.lines}"]
    wanted += [f"--unit={options.unit}"] if options.unit else []
    if host.leader is not None:
        _become(inside(host.leader, [*wanted, "--follow"] if options.follow else wanted))
    if options.follow:
        raise LabError(
            f"host {host.label}: has no power, so there is nothing to follow; `lab logs {host.label}` without --follow shows what it wrote",
            3,
        )
    root = host.folder / "root"
    if not (root / JOURNAL.lstrip("/")).exists():
        raise LabError(f"host {host.label}: has no power and no journal on its disk, it was cut before it wrote one", 3)
    # The guest's own program on the guest's disk: this machine's may be too old for its files.
    _become(["chroot", str(root), *wanted, f"--directory={JOURNAL}"])


def show_console(where: Places, options: argparse.Namespace) -> int:
    hosts = known(where)
    if options.host is None:
        for host in hosts:
            print(f"==> {host.label} ({'running' if host.leader else 'no power'}) <==")
            sys.stdout.writelines(console(host, options.lines or GLANCE))
    else:
        sys.stdout.writelines(console(chosen(hosts, options.host), options.lines))
    return 0


def console(host: Seen, count: int | None) -> Iterable[str]:
    """Lines of all its boots, the last `count` of them."""
    try:
        with (host.folder / "console.log").open(errors="replace", newline="") as text:
            return deque((line.rstrip("\r\n") + "\n" for line in text), count)
    except FileNotFoundError:
        return []


def after_dashes(argv: list[str]) -> list[str]:
    """The command of `-- COMMAND`: argparse keeps the dashes or not, by its version and by what stands before them."""
    return argv[1:] if argv[:1] == ["--"] else argv


def known(where: Places) -> list[Seen]:
    """Every host of the running lab. Raises LabError when there is no lab."""
    hosts = call(where, "hosts")
    return [Seen(host["name"], host["site"], Path(host["folder"]), host["leader"]) for host in hosts]


def chosen(hosts: list[Seen], wanted: str) -> Seen:
    """By what people call it, by its server's name, or by an end of that which only one has. Raises LabError that names all."""
    exact = [host for host in hosts if wanted in (host.label, host.name)]
    found = exact or [host for host in hosts if host.name.endswith(f"-{wanted}")]
    if len(found) == 1:
        return found[0]
    if not hosts:
        raise LabError(f"host: found {wanted!r}, but the lab has no hosts yet; `pulumi up` of a stack makes them", 2)
    names = ", ".join(sorted(host.label for host in found or hosts))
    raise LabError(f"host: {wanted!r} names {len(found)} hosts, wanted one of {names}; nothing done", 2)


def inside(leader: int, command: list[str]) -> list[str]:
    """`command` as root in the guest, with the variables of a root login and none of ours."""
    variables = {
        "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash", "LANG": "C.UTF-8", "PATH": PATH,
        "TERM": os.environ.get("TERM", "dumb"),
    }  # fmt: skip
    clean = ["env", "-i", "-C", "/root", *(f"{name}={value}" for name, value in variables.items())]
    return ["nsenter", f"--target={leader}", *NAMESPACES, "--", *clean, *command]


def _become(command: list[str]) -> NoReturn:
    """Its exit code, its end by a signal and the terminal are then this command's own."""
    sys.stdout.flush()
    pipes.before_exec()
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        raise LabError(
            f"{command[0]}: cannot be started ({error.strerror}); install util-linux and coreutils"
        ) from error


COMMANDS: Mapping[str, Callable[[Places, argparse.Namespace], int]] = {
    "ssh": ssh,
    "logs": journal,
    "console": show_console,
}
