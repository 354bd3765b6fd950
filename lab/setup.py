"""Everything that `make demo` and `make test` need on a fresh Debian 12 or 13: packages, the virtual environment, tools, the guests' image.

Runs on the system's Python with nothing installed, so it imports the standard library and modules of the lab that do the same; what needs the virtual
environment is started with its interpreter. Each step is skipped when its result is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab import pipes
from lab.preflight import TOOLS
from lab.toolchain import cache

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
        "pgbackrest",
        "postgresql",
        "redis-server",
    }
)
USAGE, REFUSED = 2, 3


class SetupError(Exception):
    """One line with the remedy."""

    def __init__(self, text: str, code: int = REFUSED) -> None:
        super().__init__(text)
        self.code = code


def check_machine() -> None:
    """Refuse early, with nothing changed."""
    if sys.version_info < PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(
            f"python3: found {found}, wanted {PYTHON[0]}.{PYTHON[1]} or newer; run `make PYTHON=/path/to/python3.11 ...`",
            USAGE,
        )
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


def packages() -> None:
    """Install what is missing, and start nothing: a server of this machine is none of the lab's."""
    known = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    here = {line[3:].strip() for line in known.stdout.splitlines() if line.startswith("ii")}
    missing = [name for name in PACKAGES if name not in here]
    if not missing:
        return
    print(f"installing {len(missing)} packages", flush=True)
    policy, keep = Path("/usr/sbin/policy-rc.d"), Path("/usr/sbin/policy-rc.d").exists()
    if not keep:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
        ):
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SetupError(
                    f"`{' '.join(command[:2])}` ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}; mend apt and run the same again"
                )
    finally:
        if not keep:
            policy.unlink(missing_ok=True)


def environment() -> Path:
    """The virtual environment with `requirements-dev.txt`, linked as `.venv`. Returns its interpreter."""
    recipe = "\n".join(
        [sys.version, sys.base_prefix, *(path.read_text() for path in sorted(PROJECT.glob("requirements*.txt")))]
    )
    place = cache.entry("venv", recipe)

    def make(folder: Path) -> None:
        print("installing the Python packages", flush=True)
        commands = (
            [sys.executable, "-m", "venv", str(folder)],
            [
                str(folder / "bin/python"),
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                "-r",
                str(PROJECT / "requirements-dev.txt"),
            ],
        )
        for command in commands:
            if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
                raise SetupError(
                    f"`{' '.join(command[:4])}` failed, its message is above; mend it and run the same again"
                )
        # Console scripts name the interpreter by the path at which they were installed; the folder is renamed once it is complete.
        for script in (folder / "bin").iterdir():
            if script.is_file() and not script.is_symlink():
                script.write_bytes(script.read_bytes().replace(str(folder).encode(), str(place).encode()))

    cache.build("venv", recipe, make)
    link = PROJECT / ".venv"
    if link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(place)
    return link / "bin/python"


def main() -> int:
    """Returns the exit code."""
    try:
        check_machine()
        packages()
        python = environment()
        for module in ("lab.toolchain", "lab.machines.image"):
            done = subprocess.run([str(python), "-m", module], cwd=PROJECT, stdin=subprocess.DEVNULL, check=False)
            if done.returncode:
                raise SetupError(
                    f"set-up step {module} ended with {done.returncode}, its message is above; run the same again once it is mended",
                    1,
                )
    except (SetupError, cache.CacheError) as error:
        print(f"set-up: {error}", file=sys.stderr)
        return getattr(error, "code", REFUSED)
    return 0


if __name__ == "__main__":
    sys.exit(pipes.status(main))
