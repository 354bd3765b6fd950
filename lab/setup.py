"""Everything that `make demo` and `make test` need on a fresh Debian 12 or 13: packages, the virtual environment, tools, the guests' image.

Runs on the system's Python with nothing installed, so it imports the standard library and modules of the lab that do the same, and is one process
that knows all steps. Each step is skipped when its result is there.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from contract import pipes
from lab.counting import Apt, Pip, follow
from lab.machines import image
from lab.preflight import TOOLS
from lab.progress import Report, Task, work_through
from lab.toolchain import cache, tools
from lab.toolchain.go import ToolchainError

PROJECT = Path(__file__).resolve().parents[1]
PYTHON = (3, 11)
FREE_GIB = 12
# The one apt line: what the lab's machines need, and for building, for names and certificates, and for the servers of the fast tests:
PACKAGES = sorted(
    {
        *TOOLS.values(),
        "debian-archive-keyring",
        "iputils-ping",
        "knot-dnsutils",
        "e2fsprogs",
        "openssh-server",
        "openssl",
        "ca-certificates",
        "python3-venv",
        "git",
        "make",
        "lego",
        "pebble",
        "pgbackrest",
        "postgresql",
        "redis-server",
        "shellcheck",
        "prometheus",
        "prometheus-alertmanager",
        "prometheus-blackbox-exporter",
        "prometheus-node-exporter",
        "systemd-journal-remote",
    }
)
BROWSER = ("chromium", "fonts-dejavu-core")  # what the pages are looked at with; `make drills` alone
# Nothing that is not in the lock files, and nothing that would run its author's code to be built.
PIP = (
    "pip",
    "install",
    "--disable-pip-version-check",
    "--progress-bar",
    "off",
    "--require-hashes",
    "--only-binary=:all:",
)
PROGRAM = ("contract", "components", "scripts")
FAILED, USAGE, REFUSED, INTERRUPTED = 1, 2, 3, 130
ERROR_LINES = 12


class SetupError(Exception):
    """One line with the remedy."""

    def __init__(self, text: str, code: int = REFUSED) -> None:
        super().__init__(text)
        self.code = code


def check_python() -> None:
    """Refuse early, with nothing changed: all that the virtual environment needs."""
    if sys.version_info < PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(
            f"python3: found {found}, wanted {PYTHON[0]}.{PYTHON[1]} or newer; run `make PYTHON=/path/to/python3.11 ...`",
            USAGE,
        )


def check_machine() -> None:
    """Refuse early, with nothing changed."""
    check_python()
    if os.geteuid() != 0:
        raise SetupError(
            f"user: found uid {os.geteuid()}, wanted root, because the lab makes namespaces and mounts; run the same with sudo",
            USAGE,
        )
    place = cache.home()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    if free < FREE_GIB and not any(cache.home().glob("image-*")):
        raise SetupError(
            f"disk: {free:.1f} GiB free at {place}, wanted {FREE_GIB} for the tools and the guests' image; make room or set XDG_CACHE_HOME to another disk"
        )


def missing_packages(wanted: Sequence[str] = PACKAGES) -> list[str]:
    try:
        known = subprocess.run(
            ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n", *wanted],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise SetupError(
            "machine: dpkg-query not found, wanted Debian 12 or 13, whose packages the lab is made of; run it on one",
            USAGE,
        ) from None
    here = {line[3:].strip() for line in known.stdout.splitlines() if line.startswith("ii")}
    return [name for name in wanted if name not in here]


def packages(report: Report, wanted: Sequence[str] = PACKAGES) -> None:
    """Install what is missing, and start nothing: a server of this machine is none of the lab's."""
    missing = missing_packages(wanted)
    policy, keep = Path("/usr/sbin/policy-rc.d"), Path("/usr/sbin/policy-rc.d").exists()
    if not keep:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    report("fetching the lists of packages")
    try:
        _apt(["apt-get", "update", "-qq"], report)
        _apt(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], report)
    finally:
        if not keep:
            policy.unlink(missing_ok=True)


def _apt(command: list[str], report: Report) -> None:
    count, lines = Apt(report), list[str]()

    def each(line: str) -> None:
        lines.append(line)
        count(line)

    # To the end: dpkg that is cut in the middle leaves a machine to be mended.
    code = follow(
        command, each, to_the_end=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    )
    if code:
        said = [line for line in lines if line.startswith("E:")] or lines
        raise SetupError(f"`{' '.join(command[:2])}` ended with {code}: {said[-1:]}; mend apt and run the same again")


def environment_recipe() -> str:
    requirements = (path.read_text() for path in sorted(PROJECT.glob("requirements*.txt")))
    return "\n".join([sys.version, sys.base_prefix, *requirements])


def environment_there() -> bool:
    return cache.entry("venv", environment_recipe()).is_dir()


def environment(report: Report) -> None:
    """The virtual environment with `requirements-dev.txt`."""
    recipe = environment_recipe()
    place = cache.entry("venv", recipe)

    def make(folder: Path) -> None:
        commands = (
            [sys.executable, "-m", "venv", str(folder)],
            [str(folder / "bin/python"), "-m", *PIP, "-r", str(PROJECT / "requirements-dev.txt")],
        )
        report("making the virtual environment")
        for command in commands:
            count = Pip(report, lambda: folder.glob("lib/python*/site-packages/*"))
            if follow(command, count, env={**os.environ, "PYTHONUNBUFFERED": "1"}):
                print("\n".join(count.lines[-ERROR_LINES:]), file=sys.stderr)
                raise SetupError(
                    f"`{' '.join(command[:4])}` failed, its message is above; mend it and run the same again"
                )
        # Console scripts name the interpreter by the path at which they were installed; the folder is renamed once it is complete.
        for script in (folder / "bin").iterdir():
            if script.is_file() and not script.is_symlink():
                script.write_bytes(script.read_bytes().replace(str(folder).encode(), str(place).encode()))

    cache.build("venv", recipe, make)


def python() -> str:
    """The interpreter of the virtual environment, by the link `.venv`, which is made to lead there."""
    link, place = PROJECT / ".venv", cache.entry("venv", environment_recipe())
    if link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(place)
    return str(link / "bin/python")


def compiled() -> None:
    """The program's bytecode, as its first run leaves it: where an environment forbids that, every link of every move would compile all it loads."""
    for name in PROGRAM:
        compileall.compile_dir(PROJECT / name, quiet=2)


PYTHON_PACKAGES = Task(name="Python packages", rough_s=50, there=environment_there, make=environment)


PAGES = Task(
    name="a browser",
    rough_s=40,
    there=lambda: not missing_packages(BROWSER),
    make=lambda report: packages(report, BROWSER),
)


def tasks() -> list[Task]:
    """Every step, in its order: each needs what those before it leave."""
    return [
        Task(name="Debian packages", rough_s=60, there=lambda: not missing_packages(), make=packages),
        PYTHON_PACKAGES,
        *tools.tasks(python),
        image.task(),
    ]


def main(arguments: Sequence[str] = ()) -> int:
    """Returns the exit code. The one argument `python`: the virtual environment alone, which anybody may make (`make fast`); `browser`: a browser
    besides all else (`make drills`).
    """
    if list(arguments) not in ([], ["python"], ["browser"]):
        print(
            f"set-up: found {arguments[0]!r}, wanted no argument, `python` for the virtual environment alone, or `browser` for a browser besides",
            file=sys.stderr,
        )
        return USAGE
    try:
        if list(arguments) == ["python"]:
            check_python()
            work_through("set-up", [PYTHON_PACKAGES], sys.stdout)
            python()
            return 0
        check_machine()
        work_through("set-up", [*tasks(), *([PAGES] if arguments else [])], sys.stdout)
        compiled()
        tools.ensure(python())
    except (SetupError, cache.CacheError) as error:
        print(f"set-up: {error}", file=sys.stderr)
        return getattr(error, "code", REFUSED)
    except (ToolchainError, image.ImageError) as error:
        print(f"{error}\nset-up: failed, the message is above; run the same again once it is mended", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("set-up: interrupted; steps that were done are kept, the same again goes on from there", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(pipes.status(lambda: main(sys.argv[1:])))
